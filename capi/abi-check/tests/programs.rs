//! C programs against libfar, linked in each way that the header's first page gives.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use far_abi_check::{capi, cc, libraries, succeed};
use tempfile::TempDir;

const STRICT: &[&str] = &["-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Builds `source` with further arguments for the linker, which may contain spaces between them.
fn build(folder: &TempDir, source: &Path, link: &[&str]) -> PathBuf {
    let program = folder.path().join(source.file_stem().expect("a source has a name"));
    let mut cc = cc();
    cc.args(STRICT).arg("-I").arg(capi().join("include")).arg(source).arg("-o").arg(&program).args(link);
    succeed(&mut cc);
    program
}

/// Runs the misuse program on the fixtures, under `environment`.
fn misuse(folder: &TempDir, program: &Path, environment: &[(&str, &Path)]) {
    let artifact = folder.path().join("fixture.far");
    std::fs::write(&artifact, common::artifact()).expect("the fixture can be written");
    let text = folder.path().join("text.far");
    std::fs::write(&text, common::text_artifact()).expect("the fixture can be written");
    let output = succeed(Command::new(program).args([&artifact, &text]).envs(environment.iter().copied()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all as expected\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "the library printed");
}

fn misuse_source() -> PathBuf {
    capi().join("abi-check/c/misuse.c")
}

#[test]
fn misuse_with_the_archive() {
    let folder = TempDir::new().expect("a folder");
    let archive = libraries().archive.to_str().expect("a path in UTF-8");
    let program = build(&folder, &misuse_source(), &[archive, "-lpthread", "-lm", "-ldl"]);
    misuse(&folder, &program, &[]);
}

#[test]
fn misuse_fully_static() {
    let folder = TempDir::new().expect("a folder");
    let archive = libraries().archive.to_str().expect("a path in UTF-8");
    let program = build(&folder, &misuse_source(), &["-static", archive, "-lpthread", "-lm", "-ldl"]);
    misuse(&folder, &program, &[]);
}

#[test]
fn misuse_with_the_shared_library() {
    let folder = TempDir::new().expect("a folder");
    // As an SDK has it: the linker reads libfar.so, the loader libfar.so.ABI.
    let lib = folder.path().join("lib");
    std::fs::create_dir(&lib).expect("a folder");
    let named = lib.join(format!("libfar.so.{}", far::FAR_ABI_VERSION));
    std::fs::copy(&libraries().shared, &named).expect("the library can be copied");
    std::os::unix::fs::symlink(&named, lib.join("libfar.so")).expect("a link");
    let program = build(&folder, &misuse_source(), &["-L", lib.to_str().expect("a path in UTF-8"), "-lfar"]);
    misuse(&folder, &program, &[("LD_LIBRARY_PATH", &lib)]);
}
