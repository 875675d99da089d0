//! The binary interface, version 1: the newest libfar against the first header of that version (`abi/far-1.h`), which never changes.
//! Its functions and the fields of its structs are there with the same types (what build.rs generates does not compile
//! else), at the same offsets, its constants have the same values, and a program compiled against it runs.

mod support;

use std::path::Path;
use std::process::Command;

use far_abi_check::{capi, cc, libraries, succeed};
use support::{Bench, STRICT, SYSTEM};

#[cfg(libclang)]
mod agreement {
    include!(concat!(env!("OUT_DIR"), "/frozen.rs"));

    #[test]
    fn structs_only_grow_at_the_end() {
        assert!(LAYOUTS.len() > 60, "bindgen found {} sizes and offsets only", LAYOUTS.len());
        for (what, first, now) in LAYOUTS {
            match what.starts_with("size of ") {
                true => assert!(first <= now, "{what} was {first}, and is {now}"),
                false => assert_eq!(first, now, "{what}: abi/far-1.h (left) and libfar (right) differ"),
            }
        }
    }

    #[test]
    fn constants_stay() {
        assert!(CONSTANTS.len() > 80, "bindgen found {} constants only", CONSTANTS.len());
        for (name, first, now) in CONSTANTS {
            assert_eq!(first, now, "{name}: abi/far-1.h (left) and libfar (right) differ");
        }
    }

    #[test]
    fn functions_stay() {
        let now = far_abi_check::committed_symbols();
        assert!(FUNCTIONS.len() > 30, "bindgen found {} functions only", FUNCTIONS.len());
        for name in FUNCTIONS {
            assert!(now.contains(name), "abi/far-1.symbols lacks {name} of abi/far-1.h");
        }
    }
}

/// The program of the first days, with the header of the first days.
fn first_program(bench: &Bench, link: &[&str]) -> Command {
    let include = bench.path().join("include");
    std::fs::create_dir_all(&include).expect("a folder");
    std::fs::copy(capi().join("abi/far-1.h"), include.join("far.h")).expect("the header can be copied");
    let program = bench.path().join("far-1");
    let mut cc = cc();
    cc.args(STRICT).arg("-I").arg(&include).arg(capi().join("abi/far-1.c")).arg("-o").arg(&program);
    succeed(cc.args(link).args(SYSTEM));
    let mut command = Command::new(program);
    command.args(["fixture.far", "text.far", "wide.far", "image.far"]);
    command
}

#[test]
fn the_first_program_runs_with_the_newest_archive() {
    let bench = Bench::new();
    let archive = libraries().archive.to_str().expect("a path in UTF-8");
    bench.run(&mut first_program(&bench, &[archive]));
}

#[test]
fn the_first_program_runs_with_the_newest_shared_library() {
    let bench = Bench::new();
    let lib: &Path = &bench.shared();
    let mut program = first_program(&bench, &["-L", lib.to_str().expect("a path in UTF-8"), "-lfar"]);
    bench.run(program.env("LD_LIBRARY_PATH", lib));
}
