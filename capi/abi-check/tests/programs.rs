//! C programs against libfar, linked in each way that the header's first page gives.

mod support;

use std::process::{Command, Output};

use support::Bench;

fn silent(output: &Output) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "the library printed");
}

/// Each program with the artifacts that it wants.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("misuse", &["fixture.far", "text.far", "image.far"]),
    ("options", &["wide.far"]),
    ("signed", &["fixture.far", "maker.pub", "other.pub", "other.sig", "text.far"]),
];

fn linked(link: &[&str]) {
    let bench = Bench::new();
    for (name, artifacts) in PROGRAMS {
        let program = bench.build_static(name, link);
        silent(&bench.run(Command::new(program).args(artifacts)));
    }
}

#[test]
fn with_the_archive() {
    linked(&[]);
}

#[test]
fn fully_static() {
    linked(&["-static"]);
}

#[test]
fn with_the_shared_library() {
    let bench = Bench::new();
    let lib = bench.shared();
    for (name, artifacts) in PROGRAMS {
        let program =
            bench.build(name, &["-L", lib.to_str().expect("a path in UTF-8"), "-lfar", "-lpthread"]);
        silent(&bench.run(Command::new(program).args(artifacts).env("LD_LIBRARY_PATH", &lib)));
    }
}
