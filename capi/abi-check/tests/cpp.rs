//! far.hpp, as both standards and both compilers read it, with exceptions and without: its own examples compile, and a program
//! that uses all of it finds all as expected.

#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod support;

use std::process::Command;

use far_abi_check::{capi, cxx, libraries, succeed};
use support::{Bench, SYSTEM};

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pedantic-errors"];

const WITHOUT_EXCEPTIONS: &[&str] = &["-fno-exceptions", "-fno-rtti"];

/// The default compiler, and the newest clang that is there.
fn compilers() -> Vec<Command> {
    let clang = (14..30).rev().map(|version| format!("clang++-{version}")).chain(["clang++".to_string()]);
    let there =
        |name: &String| Command::new(name).arg("--version").output().is_ok_and(|it| it.status.success());
    let mut compilers = vec![cxx()];
    match clang.into_iter().find(there) {
        Some(clang) => compilers.push(Command::new(clang)),
        None => eprintln!("SKIPPED far.hpp with clang: there is none; hint: `apt-get install clang`"),
    }
    compilers
}

/// Each compiler with each standard, with exceptions and without, and what to call it.
fn ways() -> Vec<(Command, bool, String)> {
    let mut ways = Vec::new();
    for standard in ["-std=c++17", "-std=c++20"] {
        for exceptions in [true, false] {
            for mut compiler in compilers() {
                compiler.arg(standard).args(STRICT).arg("-I").arg(capi().join("include"));
                if !exceptions {
                    compiler.args(WITHOUT_EXCEPTIONS);
                }
                let name =
                    format!("{} {standard}, exceptions {exceptions}", compiler.get_program().display());
                ways.push((compiler, exceptions, name));
            }
        }
    }
    ways
}

#[test]
fn a_program_that_uses_all_of_it() {
    let bench = Bench::new();
    for (at, (mut compiler, exceptions, name)) in ways().into_iter().enumerate() {
        let program = bench.path().join(format!("any-{at}"));
        compiler.arg(capi().join("abi-check/cpp/any.cpp"));
        if exceptions != name.contains("c++17") {
            succeed(compiler.arg("-fsyntax-only")); // the others are run, to save time
            continue;
        }
        compiler.arg("-o").arg(&program);
        succeed(compiler.arg(&libraries().archive).args(SYSTEM));
        for artifact in ["fixture.far", "text.far", "wide.far", "image.far"] {
            let mut any = Command::new(&program);
            any.arg(artifact).current_dir(bench.path());
            if bench.path().join(artifact).with_extension("far.sig").is_file() {
                any.arg("maker.pub");
            }
            let output = succeed(&mut any);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.ends_with("all as expected\n"), "{name}, {artifact}: {text}");
        }
    }
}

/// The indented blocks of the header's first comment: the one that throws, and the one that does not.
fn examples() -> [String; 2] {
    let header = std::fs::read_to_string(capi().join("include/far.hpp")).expect("far.hpp can be read");
    let comment = header.split("*/").next().expect("it begins with a comment");
    let mut blocks = vec![String::new()];
    for line in comment.lines() {
        match line.strip_prefix(" *     ") {
            Some(code) => *blocks.last_mut().expect("never empty") += &format!("    {code}\n"),
            None if blocks.last().is_some_and(|block| !block.is_empty()) => blocks.push(String::new()),
            None => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks.try_into().unwrap_or_else(|blocks: Vec<_>| panic!("expected two examples, found {blocks:#?}"))
}

#[test]
fn its_examples_compile() {
    let folder = tempfile::tempdir().expect("a folder");
    let examples = examples();
    for (at, (mut compiler, exceptions, _)) in ways().into_iter().enumerate() {
        let example = &examples[usize::from(!exceptions)];
        let source = folder.path().join(format!("example-{at}.cpp"));
        let text = format!(
            "#include <far.hpp>\n#include <far.hpp>\n#include <cstdio>\n#include <vector>\nint main() {{\n{example}    return 0;\n}}\n"
        );
        std::fs::write(&source, text).expect("a source can be written");
        succeed(compiler.arg("-fsyntax-only").arg(source));
    }
}

#[test]
fn exceptions_can_be_declined_where_the_compiler_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("declined.cpp");
    let text = "#define FAR_NO_EXCEPTIONS\n#include <far.hpp>\nint main() { return far::Model::open(\"\") ? 0 : 1; }\n";
    std::fs::write(&source, text).expect("a source can be written");
    for (mut compiler, ..) in ways() {
        succeed(compiler.arg("-fsyntax-only").arg(&source));
    }
}
