//! The SDK as its users meet it: unpacked somewhere, found by build systems, linked in every way that docs/sdk.md gives,
//! for this machine and, run under QEMU, for the boards. May import: `command`, `console`, `cross`, `error`, `platform`,
//! `sdk`, `workspace`.

mod limits;
mod link;
mod tool;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::console::{result, step};
use crate::cross::Cross;
use crate::error::{Error, Result};
use crate::platform::{self, Platform, RISCV64};
use crate::sdk::{self, library, pack, text};
use crate::workspace::{Workspace, create_dir, remove_dir};

use super::libtest::Counts;
use link::{Linker, Way};

/// What was tried, and how it went.
pub(super) struct Suite<'a> {
    workspace: &'a Workspace,
    cross: &'a Cross,
    /// Where everything happens.
    folder: PathBuf,
    counts: Counts,
}

/// Runs all of it.
pub(super) fn run(workspace: &Workspace, cross: &Cross) -> Result<Counts> {
    let folder = workspace.target.join("sdk-test");
    remove_dir(&folder)?;
    create_dir(&folder)?;
    let mut suite = Suite { workspace, cross, folder, counts: Counts::default() };
    let sdk = suite.unpack()?;
    let (mut bits, mut classes) = (BTreeSet::new(), BTreeSet::new());
    for platform in platform::all() {
        step("test", format_args!("sdk: {}", platform.rust));
        let checked = limits::check(cross, platform, &sdk);
        suite.count(&format!("limits of {}", platform.rust), checked);
        let compiled = suite.compile(platform, &sdk);
        if let Some(models) = suite.count(&format!("farc for {}", platform.rust), compiled) {
            let linker = Linker { platform, sdk: &sdk, models: &models };
            for way in Way::ALL {
                let hash = linker.build(way).and_then(|program| linker.run(&program));
                let name = format!("{way:?} for {}", platform.rust);
                bits.extend(suite.count(&name, hash).flatten());
            }
            let said = tool::check(cross, &linker, &models.join("fashion.far"));
            classes.extend(suite.count(&format!("far for {}", platform.rust), said));
            if platform.is_host() {
                suite.count("a program in Rust", tool::rust(&linker, &models.join("fashion.far")));
            }
            suite.count(&format!("a C++ program for {}", platform.rust), linker.cpp());
            suite.count(&format!("a minimal program for {}", platform.rust), limits::minimal(&linker));
        }
    }
    suite.count("equal bits everywhere", one(&bits));
    suite.count("a picture's classes everywhere", one(&classes));
    let again = suite.build_again(&sdk);
    suite.count("the same bytes again", again);
    Ok(suite.counts)
}

impl Suite<'_> {
    fn count<T>(&mut self, name: &str, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.counts.passed += 1;
                Some(value)
            }
            Err(error) => {
                self.counts.failed += 1;
                result(format_args!("sdk: {name}: {error}"));
                None
            }
        }
    }

    /// The SDK, with the farc that the other tests use, packed, and unpacked where it was not made.
    fn unpack(&self) -> Result<PathBuf> {
        // Built as the other tests build it, whose programs it shares; a build of farc alone would take other features.
        let mut cargo = self.workspace.cargo("test");
        command::run(cargo.args(["--workspace", "--test=embed", "--no-run"]))?;
        let name = format!("far-sdk-{}", text::VERSION);
        let made = self.folder.join("made").join(&name);
        let farc = self.workspace.target.join("debug/farc");
        sdk::assemble(self.workspace, self.cross, &platform::all(), &farc, &made)?;
        let archive = pack::archive(&made)?;
        remove_dir(&made)?;
        let elsewhere = self.folder.join("unpacked");
        create_dir(&elsewhere)?;
        command::run(
            Command::new("tar").current_dir(&elsewhere).arg("--extract").arg("--file").arg(archive),
        )?;
        let sdk = elsewhere.join(name);
        let mut check = Command::new("sha256sum");
        command::run(check.current_dir(&sdk).args(["--check", "--strict", "--quiet", "SHA256SUMS"]))?;
        Ok(sdk)
    }

    /// A real model in each form, by the SDK's farc; a folder among them, for which it must find the SDK it lies in.
    fn compile(&self, platform: &Platform, sdk: &Path) -> Result<PathBuf> {
        let folder = self.folder.join(platform.rust);
        create_dir(&folder)?;
        let data = sdk.join("examples/models/far-fashion");
        for output in ["fashion.far", "object/fashion.o", "c/fashion.c", "bundle"] {
            let output = folder.join(output);
            create_dir(output.parent().unwrap_or(&folder))?;
            let mut farc = Command::new(sdk.join("bin/farc"));
            farc.env_remove("FAR_SDK").arg("compile").arg(data.join("far-pruned-dense.onnx"));
            farc.arg("--masks").arg(data.join("far-pruned-dense.masks.safetensors"));
            farc.arg("--meta").arg(data.join("meta.yaml"));
            farc.args(["--target", platform.arch, "--output"]).arg(output);
            command::run(&mut farc)?;
        }
        let library = folder.join("bundle/lib").join(platform.rust).join("libfar.a");
        match library.is_file() {
            true => Ok(folder),
            false => Err(Error::Unexpected(format!("farc left no `{}`", library.display()))),
        }
    }

    /// One platform's libraries, built from nothing in another folder, must be those of the SDK. RISC-V's have C in them.
    fn build_again(&self, sdk: &Path) -> Result<()> {
        step("test", format_args!("sdk: building libfar for {} once more", RISCV64.rust));
        let again = self.folder.join("again");
        let built = library::build(self.workspace, self.cross, &RISCV64, Some(&again.join("target")))?;
        built.install(self.cross, &again.join("lib"))?;
        let first = sdk.join("lib").join(RISCV64.rust);
        let read = |path: PathBuf| std::fs::read(&path).map_err(Error::io("read", &path));
        for file in pack::files(&again.join("lib"))? {
            if read(again.join("lib").join(&file))? != read(first.join(&file))? {
                return Err(Error::Unexpected(format!("`{}` differs between two builds", file.display())));
            }
        }
        Ok(())
    }
}

fn one(all: &BTreeSet<String>) -> Result<()> {
    match all.len() {
        1 => Ok(()),
        _ => Err(Error::Unexpected(format!("expected the same on all platforms, got {all:?}"))),
    }
}
