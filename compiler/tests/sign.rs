//! `farc keygen` and `farc sign`, and that what they write is what the runtime and OpenSSL check.
#![allow(clippy::print_stderr, reason = "what was skipped is said")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as Plain;

use assert_cmd::Command;
use far_engine::signature::{Signature, decode};
use far_engine::{ErrorKind, Model, ModelOptions, Signed};
use tempfile::TempDir;

fn farc(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farc"));
    command.current_dir(folder).args(arguments.split(' ')).env("NO_COLOR", "1");
    command
}

fn prints(folder: &Path, arguments: &str) -> String {
    let output = farc(folder, arguments).assert().success().get_output().clone();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &str) -> serde_json::Value {
    serde_json::from_str(&prints(folder, &format!("{arguments} --json"))).unwrap()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// Fails as the user's problem, says all of `parts`, and leaves nothing behind.
fn fails(folder: &Path, arguments: &str, parts: &[&str]) {
    let before = names(folder);
    let output = farc(folder, arguments).assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).unwrap();
    // Lines are broken where the terminal ends.
    let words = error.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(words.contains(part), "no `{part}` in:\n{error}");
    }
    assert!(output.stdout.is_empty());
    assert_eq!(names(folder), before, "something was left behind");
}

/// A folder with an artifact and two pairs of keys.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/format/tests/data/golden");
    let name = format!("image-f32-{}.far", std::env::consts::ARCH);
    fs::copy(golden.join(&name), folder.path().join("model.far")).unwrap_or_else(|e| panic!("{name}: {e}"));
    prints(folder.path(), "keygen maker");
    prints(folder.path(), "keygen other");
    folder
}

/// Opens the model as one of the key in `name.pub`.
fn open(folder: &Path, name: &str) -> Result<(), ErrorKind> {
    let key = far_tool::signature::public_key(&folder.join(name).with_extension("pub")).unwrap();
    let options = ModelOptions { signed: Some(Signed { key, signatures: None }), ..ModelOptions::default() };
    Model::open_with(&folder.join("model.far"), &options).map(drop).map_err(|error| error.kind())
}

fn signatures(folder: &Path) -> Vec<Signature> {
    decode(&fs::read(folder.join("model.far.sig")).unwrap()).unwrap().collect()
}

#[test]
fn keys_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = prints(folder.path(), "keygen v1.2");
    let key = far_tool::signature::public_key(&folder.path().join("v1.2.pub")).unwrap();
    assert!(text.contains(&key.to_string()), "{text}");
    // What C programs want.
    let initializer: String =
        text.split_once("= {").unwrap().1.chars().filter(char::is_ascii_hexdigit).collect();
    let pairs: Vec<&str> = (0..32).map(|i| &initializer[3 * i + 1..3 * i + 3]).collect();
    assert_eq!(pairs.concat(), key.to_string());
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("v1.2.key"), 0o600);
    assert_eq!(mode("v1.2.pub") & 0o444, 0o444);

    let made = json(folder.path(), "keygen second");
    assert_eq!((&made["private"], &made["public"]), (&"second.key".into(), &"second.pub".into()));
    assert_ne!(made["key"], key.to_string());

    // Neither of the two is overwritten.
    let before = fs::read(folder.path().join("second.key")).unwrap();
    fails(folder.path(), "keygen second", &["File exists", "choose another name"]);
    assert_eq!(fs::read(folder.path().join("second.key")).unwrap(), before);
    fs::remove_file(folder.path().join("second.key")).unwrap();
    fails(folder.path(), "keygen second", &["File exists", "second.pub"]);
    fails(folder.path(), "keygen no/such/folder", &["No such file or directory"]);
}

#[test]
fn what_is_signed_is_accepted() {
    let folder = folder();
    let path = folder.path();
    assert_eq!(open(path, "maker"), Err(ErrorKind::Unsigned));
    let text = prints(path, "sign model.far --key maker.key");
    assert!(
        text.starts_with("signed   model.far: ") && text.ends_with("model.far.sig: 1 signature\n"),
        "{text}"
    );
    assert_eq!(open(path, "maker"), Ok(()));
    assert_eq!(open(path, "other"), Err(ErrorKind::OtherKey));
    let first = fs::read(path.join("model.far.sig")).unwrap();
    prints(path, "sign model.far --key maker.key");
    assert_eq!(fs::read(path.join("model.far.sig")).unwrap(), first, "the same artifact, another signature");

    // Two keys; then one of them again; then the other alone.
    assert_eq!(json(path, "sign model.far --key other.key --add")["signatures"], 2);
    assert_eq!((open(path, "maker"), open(path, "other")), (Ok(()), Ok(())));
    assert_eq!(json(path, "sign model.far --key other.key --add")["signatures"], 2);
    prints(path, "sign model.far --key other.key");
    assert_eq!((open(path, "maker"), open(path, "other")), (Err(ErrorKind::OtherKey), Ok(())));

    // A signature of what the artifact was before isn't kept.
    let mut stale = signatures(path);
    stale[0].bytes[5] ^= 1;
    fs::write(path.join("model.far.sig"), far_engine::signature::encode(&stale)).unwrap();
    assert_eq!(json(path, "sign model.far --key maker.key --add")["signatures"], 1);
}

#[test]
fn what_cannot_be_signed_or_sign() {
    let folder = folder();
    let path = folder.path();
    fails(path, "sign none.far --key maker.key", &["the artifact can't be read", "none.far"]);
    fails(path, "sign model.far --key none.key", &["the private key can't be read", "none.key"]);
    fails(
        path,
        "sign model.far --key maker.pub",
        &["got a public key", "`.key` file that `farc keygen` wrote"],
    );
    fails(path, "sign model.far --key model.far", &["got no key"]);
    let rsa =
        "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8=\n-----END PRIVATE KEY-----\n";
    fs::write(path.join("rsa.key"), rsa).unwrap();
    fails(path, "sign model.far --key rsa.key", &["got a key of another kind", "openssl genpkey"]);
    fails(path, "sign maker.pub --key maker.key", &["the artifact is refused: not a far artifact"]);
    let mut damaged = fs::read(path.join("model.far")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(path.join("damaged.far"), damaged).unwrap();
    fails(path, "sign damaged.far --key maker.key", &["damaged.far", "checksum differs"]);
    fs::write(path.join("model.far.sig"), "a letter").unwrap();
    fails(path, "sign model.far --key maker.key --add", &["not a file of signatures", "without `--add`"]);
}

/// Another implementation agrees: on our keys and signatures, and we on its.
#[test]
fn openssl_agrees() {
    let version = Plain::new("openssl").arg("version").output();
    // Before 3.0 it takes no file that isn't hashed first.
    if !version.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).starts_with("OpenSSL 3")) {
        eprintln!("SKIPPED openssl_agrees: no OpenSSL 3; hint: `apt-get install openssl`");
        return;
    }
    let folder = folder();
    let path = folder.path();
    let openssl = |arguments: &str| {
        let arguments = arguments.split(' ');
        Plain::new("openssl").args(arguments).current_dir(path).output().unwrap().status.success()
    };
    prints(path, "sign model.far --key maker.key");
    fs::write(path.join("bare.sig"), signatures(path)[0].bytes).unwrap();
    let verify = "pkeyutl -verify -pubin -rawin -in model.far -sigfile bare.sig -inkey";
    assert!(openssl(&format!("{verify} maker.pub")));
    assert!(!openssl(&format!("{verify} other.pub")));

    assert!(openssl("genpkey -algorithm ed25519 -out theirs.key"));
    assert!(openssl("pkey -in theirs.key -pubout -out theirs.pub"));
    assert!(openssl("pkeyutl -sign -inkey theirs.key -rawin -in model.far -out theirs.sig"));
    prints(path, "sign model.far --key theirs.key");
    assert_eq!(open(path, "theirs"), Ok(()));
    assert_eq!(signatures(path)[0].bytes[..], fs::read(path.join("theirs.sig")).unwrap()[..]);
}
