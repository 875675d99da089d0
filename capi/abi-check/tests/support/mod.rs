//! C programs of `c/`, built against libfar, and the artifacts that they run.
#![allow(dead_code, reason = "each test file uses a part")]

#[path = "../../../tests/common/mod.rs"]
pub(crate) mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ed25519_compact::{KeyPair, Seed};
use far_abi_check::{capi, cc, libraries, succeed};
use far_engine::signature::{Signature, encode};
use tempfile::TempDir;

pub(crate) const STRICT: &[&str] = &["-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// What a program links that links `libfar.a`, as the header says.
pub(crate) const SYSTEM: &[&str] = &["-lpthread", "-lm", "-ldl"];

/// A folder with the artifacts, the public keys of two and their signatures, and with the programs that are built in it.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let folder = TempDir::new().expect("a folder");
        for (name, bytes) in [
            ("fixture.far", common::artifact()),
            ("text.far", common::text_artifact()),
            ("wide.far", common::wide_artifact()),
            ("image.far", common::image_artifact()),
        ] {
            std::fs::write(folder.path().join(name), bytes).expect("an artifact can be written");
        }
        for (who, seed) in [("maker", 1), ("other", 2)] {
            let pair = KeyPair::from_seed(Seed::new([seed; 32]));
            let write = |name: &str, bytes: &[u8]| {
                std::fs::write(folder.path().join(name), bytes).expect("a file can be written");
            };
            let sign = |artifact: Vec<u8>| {
                encode(&[Signature { key: *pair.pk, bytes: *pair.sk.sign(artifact, None) }])
            };
            write(&format!("{who}.pub"), &*pair.pk);
            match who {
                "maker" => {
                    write("fixture.far.sig", &sign(common::artifact()));
                    write("image.far.sig", &sign(common::image_artifact()));
                    write("wide.far.sig", &sign(common::wide_artifact()));
                }
                _ => write("other.sig", &sign(common::artifact())),
            }
        }
        Bench { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Builds `c/NAME.c` with further arguments.
    pub(crate) fn build(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let program = self.path().join(name);
        let mut cc = cc();
        cc.args(STRICT).arg("-I").arg(capi().join("include"));
        cc.arg(capi().join("abi-check/c").join(name).with_extension("c")).arg("-o").arg(&program);
        succeed(cc.args(arguments));
        program
    }

    /// As [`build`](Self::build), with `libfar.a`.
    pub(crate) fn build_static(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let archive = libraries().archive.to_str().expect("a path in UTF-8");
        self.build(name, &[arguments, &[archive], SYSTEM].concat())
    }

    /// A folder with the shared library as an SDK has it: the linker reads `libfar.so`, the loader `libfar.so.ABI`.
    pub(crate) fn shared(&self) -> PathBuf {
        let lib = self.path().join("lib");
        std::fs::create_dir(&lib).expect("a folder");
        let named = lib.join(format!("libfar.so.{}", far::FAR_ABI_VERSION));
        std::fs::copy(&libraries().shared, &named).expect("the library can be copied");
        std::os::unix::fs::symlink(&named, lib.join("libfar.so")).expect("a link");
        lib
    }

    /// Runs a program in the folder, which must find all as expected.
    pub(crate) fn run(&self, command: &mut Command) -> Output {
        let output = succeed(command.current_dir(self.path()));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "all as expected\n");
        output
    }
}
