//! Artifacts as constants of C programs: `farc compile --emit obj` and `--emit c`, linked by the host's compiler.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Writes its artifact to standard output, and fails where that is not aligned.
const PROGRAM: &str = r#"
#include <stdint.h>
#include <stdio.h>
#include "tiny.h"
#include "tiny.h"

int main(void) {
    if ((uintptr_t)far_model_tiny % 64 != 0) return 3;
    return fwrite(far_model_tiny, 1, far_model_tiny_size, stdout) != far_model_tiny_size;
}
"#;

fn farc(folder: &Path, arguments: &[&str]) -> Output {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/far-fashion/far-parallel.onnx");
    let mut farc = Command::new(env!("CARGO_BIN_EXE_farc"));
    farc.current_dir(folder).args(["compile", model]).args(arguments).env("NO_COLOR", "1");
    farc.output().expect("farc runs")
}

fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_program_holds_the_very_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for output in ["tiny.far", "tiny.o", "tiny.c"] {
        let output = farc(folder.path(), &["--target", "host", "-o", output]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let artifact = fs::read(path("tiny.far")).unwrap();
    fs::write(path("main.c"), PROGRAM).unwrap();
    fs::write(path("main.cpp"), PROGRAM).unwrap();
    let compilers = [("cc", "main.c", "-std=c99"), ("c++", "main.cpp", "-std=c++17")];
    for ((compiler, main, standard), constant) in compilers.into_iter().zip(["tiny.o", "tiny.c"]) {
        let program = path(constant).with_extension("program");
        let mut cc = Command::new(compiler);
        cc.current_dir(folder.path()).args([standard, "-Wall", "-Wextra", "-Werror", "-Wl,--fatal-warnings"]);
        succeed(cc.args([main, constant, "-o"]).arg(&program));
        assert!(succeed(&mut Command::new(program)) == artifact, "{constant} holds another artifact");
    }
}

#[test]
fn names_and_forms_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, parts) in [
        (
            &["-o", "deit-tiny.o"][..],
            &["deit-tiny.o", "letters of ASCII, digits and `_`", "`deit-tiny`", "`-o`"][..],
        ),
        (&["-o", "open.c"], &["as something in far.h", "`open`"]),
        (&["-o", "tiny.far", "--emit", "obj"], &["`.o`", "`.far`", "the name alone decides"]),
        (&["-o", "none/tiny.o"], &["header can't be written", "the folder above it must exist"]),
    ] {
        let output = farc(folder.path(), &[&["--target", "host"], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        for part in parts {
            assert!(error.contains(part), "no `{part}` in:\n{error}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn all_of_it_is_written_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.h"), "mine").unwrap();
    fs::create_dir(folder.path().join("tiny.o")).unwrap();
    let output = farc(folder.path(), &["--target", "host", "-o", "tiny.o"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(folder.path().join("tiny.h")).unwrap(), "mine");
}
