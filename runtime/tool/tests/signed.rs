//! `--key`: who made a model, before it is run, looked at or installed.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{artifact, bad, folder, good, host, json};
use ed25519_compact::{KeyPair, Seed};
use far_engine::signature::{Signature, decode, encode};
use tempfile::TempDir;

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

fn signed_by(pairs: &[&KeyPair], artifact: &[u8]) -> Vec<u8> {
    let sign = |pair: &&KeyPair| Signature { key: *pair.pk, bytes: *pair.sk.sign(artifact, None) };
    encode(&pairs.iter().map(sign).collect::<Vec<_>>())
}

fn hex(pair: &KeyPair) -> String {
    pair.pk.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The usual folder, with the maker's and another's keys, and the model signed by the maker.
fn signed_folder() -> TempDir {
    let folder = folder();
    for (name, seed) in [("maker", 1), ("other", 2)] {
        let pair = pair(seed);
        fs::write(folder.path().join(name).with_extension("pub"), pair.pk.to_pem()).unwrap();
        fs::write(folder.path().join(name).with_extension("key"), pair.sk.to_pem()).unwrap();
    }
    fs::write(folder.path().join("model.far.sig"), signed_by(&[&pair(1)], &artifact(host()))).unwrap();
    folder
}

#[test]
fn verify_says_who_signed() {
    let folder = signed_folder();
    let text = good(folder.path(), "verify model.far --key maker.pub");
    assert!(text.starts_with(&format!("signed   by {}: every byte\nsound ", hex(&pair(1)))), "{text}");
    let found = json(folder.path(), "verify model.far --key maker.pub --json");
    assert_eq!((&found["signed_by"], &found["sound"]), (&hex(&pair(1)).into(), &true.into()));
    let found = json(folder.path(), "verify model.far --json");
    assert_eq!(found["signed_by"], serde_json::Value::Null);
    good(
        folder.path(),
        "run model.far --key maker.pub --input a.npy --input b.f32 --batch 1 --output sum=y.npy",
    );
    good(folder.path(), "bench model.far --key maker.pub --runs 1 --warmup 0");
}

#[test]
fn refused_by_what_is_wrong() {
    let folder = signed_folder();
    let at = |name: &str| folder.path().join(name);
    let refused = |arguments: &str, what: &str, hint: &str| {
        let error = bad(folder.path(), arguments, 1);
        let (first, second) = error.split_once("\nhint: ").unwrap_or_else(|| panic!("no hint in {error}"));
        assert!(first.contains(what) && second.contains(hint), "{error}");
    };
    for command in ["verify model.far", "run model.far", "bench model.far", "install model.far place.far"] {
        let command = format!("{command} --key other.pub");
        refused(&command, &format!("signed by another key: expected `{}`", hex(&pair(2))), "`farc sign`");
    }
    refused(
        "verify model.far --key maker.key",
        "`maker.key`: expected a public key, got a private one",
        ".pub",
    );
    refused("verify model.far --key a.npy", "`a.npy`: expected a public key of Ed25519 in PEM", ".pub");
    let weak = ed25519_compact::PublicKey::new([0; 32]);
    fs::write(at("weak.pub"), weak.to_pem()).unwrap();
    refused("verify model.far --key weak.pub", "got a number that is nobody's", ".pub");
    assert!(bad(folder.path(), "verify model.far --key none.pub", 1).contains("can't read `none.pub`"));
    assert!(bad(folder.path(), "info model.far --key maker.pub", 2).contains("--key"));

    let good_model = artifact(host());
    let mut altered = good_model.clone();
    altered[20] ^= 1;
    fs::write(at("model.far"), &altered).unwrap();
    refused("verify model.far --key maker.pub", "`model.far`: the signature doesn't fit", "somebody changed");
    fs::write(at("model.far"), &good_model[..good_model.len() - 1]).unwrap();
    refused("verify model.far --key maker.pub", "truncated", "copy the file again");
    fs::write(at("model.far"), &good_model).unwrap();
    fs::write(at("model.far.sig"), b"FARSIG").unwrap();
    refused("verify model.far --key maker.pub", "not a file of signatures", "copy the file of signatures");
    refused("install model.far place.far", "`model.far.sig`: not a file of signatures", "copy the file");
    fs::remove_file(at("model.far.sig")).unwrap();
    refused("verify model.far --key maker.pub", "expected one in `model.far.sig`", "`farc sign`");
    assert!(!at("place.far").exists() && !at("place.far.sig").exists());
}

#[test]
fn install_takes_the_signatures_along() {
    let folder = signed_folder();
    let at = |name: &str| folder.path().join(name);
    let said = good(folder.path(), "install model.far place.far --key maker.pub");
    assert!(said.ends_with(&format!("signed by {}\n", hex(&pair(1)))), "{said}");
    assert_eq!(fs::read(at("place.far.sig")).unwrap(), fs::read(at("model.far.sig")).unwrap());
    good(folder.path(), "verify place.far --key maker.pub");
    // Another version of the model, signed by two: its signatures alone are left.
    let both = signed_by(&[&pair(2), &pair(1)], &artifact(host()));
    fs::write(at("model.far.sig"), &both).unwrap();
    let found = json(folder.path(), "install model.far place.far --json");
    assert_eq!((&found["signatures"], &found["signed_by"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!(fs::read(at("place.far.sig")).unwrap(), both);
    // One without signatures: those of the old one go; a file that holds none stays.
    fs::remove_file(at("model.far.sig")).unwrap();
    good(folder.path(), "install model.far place.far");
    assert!(!at("place.far.sig").exists());
    fs::write(at("place.far.sig"), "a letter").unwrap();
    good(folder.path(), "install model.far place.far");
    assert_eq!(fs::read(at("place.far.sig")).unwrap(), b"a letter");
}

/// What is there at some moment or other is signed.
#[test]
fn the_place_is_signed_at_every_moment() {
    let emulated =
        std::env::vars().any(|(name, _)| name.ends_with("_RUNNER") && name.starts_with("CARGO_TARGET"));
    if emulated {
        return;
    }
    let folder = signed_folder();
    let at = |name: &str| folder.path().join(name);
    let (new, old) = (artifact(host()), b"an older one, whatever it was".to_vec());
    let maker = pair(1);
    let is_signed = |bytes: &[u8]| {
        let file = fs::read(at("place.far.sig")).unwrap();
        let mut signatures = decode(&file).unwrap();
        signatures.any(|it| maker.pk.verify(bytes, &ed25519_compact::Signature::new(it.bytes)).is_ok())
    };
    let (mut stayed, mut replaced) = (0, 0);
    for i in 0..100 {
        fs::write(at("place.far"), &old).unwrap();
        fs::write(at("place.far.sig"), signed_by(&[&maker], &old)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_far"));
        command.args(["install", "model.far", "place.far"]).current_dir(Path::new(folder.path()));
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(100 * i));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = fs::read(at("place.far")).unwrap();
        assert!(is_signed(&found), "{} bytes that nobody signed", found.len());
        match found {
            found if found == old => stayed += 1,
            found if found == new => replaced += 1,
            found => panic!("neither the old file nor the new: {} bytes", found.len()),
        }
    }
    assert!(stayed > 0 && stayed + replaced == 100, "{stayed} stayed, {replaced} were replaced");
}
