//! `cargo xtask sdk`: the header, the libraries and the board's command for each platform, in one folder:
//! `include/`, `lib/<triple>/`, `bin/<triple>/`. farc takes from it what goes with an artifact.
//! May import: `command`, `console`, `cross`, `error`, `platform`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::console::step;
use crate::cross::Cross;
use crate::error::{Error, Result};
use crate::platform::{self, CROSS, Platform};
use crate::workspace::{Workspace, copy, create_dir};

/// Options of `cargo xtask sdk`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this platform, e.g. `riscv64gc-unknown-linux-gnu`; may be repeated
    #[arg(long = "triple", value_name = "TRIPLE")]
    triples: Vec<String>,
}

/// Builds it for the platforms asked for, by default all.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let known = platforms();
    let mut chosen = Vec::new();
    for triple in &args.triples {
        let found = known.iter().find(|platform| platform.rust == triple).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|platform| platform.rust).collect();
            Error::Missing {
                what: format!("unknown triple `{triple}`"),
                hint: format!("known are {}", names.join(", ")),
            }
        })?;
        chosen.push(*found);
    }
    if chosen.is_empty() {
        chosen = known;
    }
    let cross = Cross::set_up(workspace, None)?;
    let folder = build(workspace, &cross, &chosen)?;
    step("sdk", format_args!("ready in {}", folder.display()));
    Ok(())
}

/// The host, where it is one of ours, and all that are cross-built.
pub(crate) fn platforms() -> Vec<&'static Platform> {
    let host = platform::host();
    let others = CROSS.into_iter().filter(|platform| host.is_none_or(|host| host.arch != platform.arch));
    host.into_iter().chain(others).collect()
}

/// Builds it, and returns its folder.
pub(crate) fn build(workspace: &Workspace, cross: &Cross, platforms: &[&Platform]) -> Result<PathBuf> {
    let sdk = workspace.target.join("sdk");
    install_headers(workspace, &sdk.join("include"))?;
    for platform in platforms {
        step("sdk", format_args!("building libfar and far for {}", platform.rust));
        build_one(workspace, cross, platform, &sdk)?;
    }
    Ok(sdk)
}

/// The Cargo profile of what goes to a board.
const PROFILE: &str = "board";

fn install_headers(workspace: &Workspace, include: &Path) -> Result<()> {
    let from = workspace.root.join("capi/include");
    create_dir(include)?;
    for entry in std::fs::read_dir(&from).map_err(Error::io("list", &from))? {
        let file = entry.map_err(Error::io("list", &from))?.path();
        if let Some(name) = file.file_name().filter(|_| file.is_file()) {
            copy(&file, &include.join(name))?;
        }
    }
    Ok(())
}

fn build_one(workspace: &Workspace, cross: &Cross, platform: &Platform, sdk: &Path) -> Result<()> {
    let native = platform::host().is_some_and(|host| host.arch == platform.arch);
    let cargo = |subcommand| match native {
        true => workspace.cargo(subcommand),
        false => cross.cargo(workspace, platform, subcommand, ""),
    };
    let built = match native {
        true => workspace.target.join(PROFILE),
        false => cross.build_dir(platform, PROFILE),
    };
    command::run(cargo("build").args(["--profile", PROFILE, "--package=libfar", "--lib"]))?;
    // The tool brings its libc along, so that it runs on any board, and under QEMU.
    command::run(cargo("rustc").args([
        "--profile",
        PROFILE,
        "--package=far-tool",
        "--bin=far",
        "--",
        "-Ctarget-feature=+crt-static",
    ]))?;
    let lib = sdk.join("lib").join(platform.rust);
    let bin = sdk.join("bin").join(platform.rust);
    create_dir(&lib)?;
    create_dir(&bin)?;
    copy(&built.join("libfar.a"), &lib.join("libfar.a"))?;
    copy(&built.join("far"), &bin.join("far"))?;
    install_shared(cross, &built.join("libfar.so"), &lib)
}

/// The loader looks for the name that the library gives itself (`libfar.so.N`), the linker for `libfar.so`.
fn install_shared(cross: &Cross, built: &Path, lib: &Path) -> Result<()> {
    let dynamic = command::stdout(Command::new(cross.readelf()).arg("--dynamic").arg(built))?;
    let soname =
        soname(&dynamic).ok_or_else(|| Error::Unexpected(format!("`{}` has no soname", built.display())))?;
    copy(built, &lib.join(soname))?;
    let link = lib.join("libfar.so");
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(&link).map_err(Error::io("remove", &link))?;
    }
    std::os::unix::fs::symlink(soname, &link).map_err(Error::io("link", &link))
}

/// From a line such as `0x…0e (SONAME) Library soname: [libfar.so.0]`.
fn soname(dynamic: &str) -> Option<&str> {
    let line = dynamic.lines().find(|line| line.contains("SONAME"))?;
    line.split_once('[')?.1.split_once(']').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soname_is_read() {
        let text = " 0x1 (NEEDED) Shared library: [libc.so.6]\n 0xe (SONAME) Library soname: [libfar.so.0]\n";
        assert_eq!(soname(text), Some("libfar.so.0"));
        assert_eq!(soname(" 0x1 (NEEDED) Shared library: [libc.so.6]\n"), None);
    }

    #[test]
    fn each_platform_is_there_once() {
        let mut triples: Vec<_> = platforms().iter().map(|platform| platform.rust).collect();
        let all = triples.len();
        triples.dedup();
        assert_eq!(triples.len(), all);
        assert!(triples.contains(&"riscv64gc-unknown-linux-gnu"));
    }
}
