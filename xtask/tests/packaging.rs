//! The recipes in `packaging/`: well formed, of this version, with the right checksums; the scripts are sound.

#![allow(clippy::print_stderr, reason = "says what was skipped")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn packaging(file: &str) -> String {
    let path = root().join("packaging").join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The checksum of a licence's file, by a program such as `md5sum`.
fn checksum(program: &str, file: &str) -> String {
    let output = Command::new(program).arg(root().join(file)).output().expect("coreutils are there");
    let text = String::from_utf8(output.stdout).expect("a checksum is text");
    text.split_whitespace().next().expect("a checksum comes first").to_owned()
}

/// What a recipe of BitBake says: variables and functions, or the line that is neither.
fn bitbake(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let joined = text.replace("\\\n", " ");
    let mut lines = joined.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_suffix("() {") {
            let body: Vec<_> = lines.by_ref().take_while(|line| *line != "}").collect();
            if body.iter().any(|line| !line.starts_with("    ")) {
                return Err(format!("function `{name}` does not end"));
            }
            found.push((name.to_owned(), body.join("\n")));
            continue;
        }
        let assignment = line.split_once(" = ").or_else(|| line.split_once(" =+ "));
        let (name, value) = assignment.ok_or_else(|| format!("not understood: `{line}`"))?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        match value.filter(|value| !value.contains('"')) {
            Some(value) => found.push((name.to_owned(), value.to_owned())),
            None => return Err(format!("not between two quotes: `{line}`")),
        }
    }
    Ok(found)
}

#[test]
fn the_checker_of_recipes_finds_faults() {
    assert!(bitbake("A = \"b\"\nf() {\n    x\n}\n").is_ok());
    for bad in ["A = b", "A = \"b", "A = \"b\" c\"", "f() {\n    x\nA = \"b\"\n", "something"] {
        bitbake(bad).expect_err(bad);
    }
}

#[test]
fn yocto() {
    let text = packaging(&format!("yocto/recipes-support/far/far_{VERSION}.bb"));
    let recipe = bitbake(&text).unwrap();
    let value = |name: &str| {
        let found = recipe.iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("the recipe has no `{name}`")).1.as_str()
    };
    for name in ["SUMMARY", "LICENSE", "SRC_URI", "S", "do_install"] {
        assert!(!value(name).is_empty(), "{name}");
    }
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let expected = format!("file://{file};md5={}", checksum("md5sum", file));
        assert!(value("LIC_FILES_CHKSUM").contains(&expected), "expected `{expected}`");
    }
    for (arch, triple) in [("x86-64", "x86_64"), ("aarch64", "aarch64"), ("riscv64", "riscv64gc")] {
        assert_eq!(value(&format!("FAR_TRIPLE:{arch}")), format!("{triple}-unknown-linux-gnu"));
    }
    let scripts: Vec<_> = recipe.iter().filter(|(name, _)| name == "do_install").collect();
    assert_eq!(scripts.len(), 1);
    let braces = |c| text.matches(c).count();
    assert_eq!(braces('{'), braces('}'));
}

#[test]
fn buildroot() {
    let config = packaging("buildroot/far/Config.in");
    let count = |begin: &str| config.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(count("if "), count("endif"), "each `if` ends");
    let options: Vec<_> = config.lines().filter_map(|line| line.strip_prefix("config ")).collect();
    assert_eq!(options[0], "BR2_PACKAGE_FAR");
    assert!(options.iter().all(|option| option.starts_with("BR2_PACKAGE_FAR")), "{options:?}");
    assert!(
        config
            .lines()
            .all(|line| line.is_empty() || line.starts_with(char::is_alphabetic) || line.starts_with('\t'))
    );

    let make = packaging("buildroot/far/far.mk");
    assert!(make.contains(&format!("\nFAR_VERSION = {VERSION}\n")));
    assert!(make.ends_with("$(eval $(generic-package))\n"));
    let count = |begin: &str| make.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(count("ifeq"), count("endif"));
    assert_eq!(count("define"), count("endef"));
    assert_eq!(make.matches('(').count(), make.matches(')').count());
    for triple in ["x86_64", "aarch64", "riscv64gc"] {
        assert!(make.contains(&format!("FAR_TRIPLE = {triple}-unknown-linux-gnu\n")));
    }

    let hashes = packaging("buildroot/far/far.hash");
    for line in hashes.lines().filter(|line| !line.starts_with('#')) {
        let [kind, hash, file] = line.split("  ").collect::<Vec<_>>()[..] else {
            panic!("expected three fields with two spaces between them: `{line}`");
        };
        match kind {
            "none" => assert_eq!((hash, file), ("xxx", format!("far-sdk-{VERSION}.tar.gz").as_str())),
            "sha256" => assert_eq!(hash, checksum("sha256sum", file), "{file}"),
            other => panic!("unknown kind of hash `{other}`"),
        }
    }
}

#[test]
fn scripts_are_sound() {
    let script = root().join("packaging/install.sh");
    let status = Command::new("sh").arg("-n").arg(&script).status().expect("there is a shell");
    assert!(status.success());
    match Command::new("shellcheck").arg(&script).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => eprintln!("SKIPPED: shellcheck is not installed"),
    }
    for arguments in [&[][..], &["riscv64gc-unknown-linux-gnu"]] {
        let output = Command::new("sh").arg(&script).args(arguments).output().expect("there is a shell");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "));
    }
}
