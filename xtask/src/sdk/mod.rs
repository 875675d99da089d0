//! `cargo xtask sdk`: all that an application's author unpacks, in one folder that may be moved (docs/sdk.md says what is
//! in it). farc takes from it what goes with an artifact.
//! May import: `command`, `console`, `cross`, `error`, `platform`, `workspace`.

pub(crate) mod elf;
pub(crate) mod library;
mod licenses;
pub(crate) mod pack;
mod packages;
mod rust;
mod sbom;
pub(crate) mod text;

use std::path::{Path, PathBuf};

use crate::command;
use crate::console::step;
use crate::cross::Cross;
use crate::error::{Error, Result};
use crate::platform::{self, Platform};
use crate::workspace::{Workspace, copy, create_dir, remove_dir, write};

use text::VERSION;

/// Options of `cargo xtask sdk`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this platform, e.g. `riscv64gc-unknown-linux-gnu`; may be repeated
    #[arg(long = "triple", value_name = "TRIPLE")]
    triples: Vec<String>,
}

/// Builds it for the platforms asked for, by default all.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let known = platform::all();
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
    step("sdk", "building farc");
    command::run(workspace.cargo("build").args(["--release", "--package=farc", "--bin=farc"]))?;
    let dist = workspace.root.join("dist");
    let folder = dist.join(format!("far-sdk-{VERSION}"));
    remove_dir(&folder)?;
    assemble(workspace, &cross, &chosen, &workspace.target.join("release/farc"), &folder)?;
    let archive = pack::archive(&folder)?;
    step("sdk", format_args!("ready in {} and {}", folder.display(), archive.display()));
    Ok(())
}

/// The whole SDK, with this farc, in a folder that is not there yet.
pub(crate) fn assemble(
    workspace: &Workspace,
    cross: &Cross,
    platforms: &[&Platform],
    farc: &Path,
    sdk: &Path,
) -> Result<()> {
    // What was built before is in the development's own SDK: the same files.
    let libraries = build(workspace, cross, platforms)?;
    create_dir(&sdk.join("bin"))?;
    for platform in platforms {
        for part in [("lib", platform.rust), ("bin", platform.rust), ("bin", platform.musl().rust)] {
            let part = Path::new(part.0).join(part.1);
            copy_tree(&libraries.join(&part), &sdk.join(part))?;
        }
    }
    library::strip(cross, farc, &sdk.join("bin/farc"))?;
    library::install_headers(workspace, &sdk.join("include"))?;
    text::install_any(sdk)?;
    copy_sources(
        workspace,
        &[&["targets", "examples", "packaging", "docs"][..], &rust::SOURCES].concat(),
        sdk,
    )?;
    rust::install(workspace, sdk)?;
    text::install_readme(workspace, sdk)?;
    let packages = packages::linked(workspace, platforms)?;
    licenses::install(workspace, &packages, sdk)?;
    write(&sdk.join("far-sdk.cdx.json"), &sbom::cyclonedx(&packages))?;
    pack::sums(sdk)
}

/// Headers, libraries and the board's command for each platform, where a farc of this workspace finds them.
pub(crate) fn build(workspace: &Workspace, cross: &Cross, platforms: &[&Platform]) -> Result<PathBuf> {
    let sdk = workspace.target.join("sdk");
    library::install_headers(workspace, &sdk.join("include"))?;
    cross.set_up_musl(platforms)?;
    for platform in platforms {
        step("sdk", format_args!("building libfar and far for {}", platform.rust));
        library::install(workspace, cross, platform, &sdk)?;
    }
    Ok(sdk)
}

/// Copies a folder, links as links.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    create_dir(to)?;
    for entry in std::fs::read_dir(from).map_err(Error::io("list", from))? {
        let path = entry.map_err(Error::io("list", from))?.path();
        let Some(name) = path.file_name() else { continue };
        let copied = to.join(name);
        if path.is_symlink() {
            let target = std::fs::read_link(&path).map_err(Error::io("read", &path))?;
            std::os::unix::fs::symlink(target, &copied).map_err(Error::io("link", &copied))?;
        } else if path.is_dir() {
            copy_tree(&path, &copied)?;
        } else {
            copy(&path, &copied)?;
        }
    }
    Ok(())
}

/// Copies folders of the repository: what git knows, so that results of builds stay behind.
fn copy_sources(workspace: &Workspace, patterns: &[&str], sdk: &Path) -> Result<()> {
    let mut git = std::process::Command::new("git");
    git.current_dir(&workspace.root).args(["ls-files", "-z", "--"]).args(patterns);
    for file in command::stdout(&mut git)?.split('\0').filter(|file| !file.is_empty()) {
        let to = sdk.join(file);
        create_dir(to.parent().unwrap_or(sdk))?;
        copy(&workspace.root.join(file), &to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_is_there_once() {
        let mut triples: Vec<_> = platform::all().iter().map(|platform| platform.rust).collect();
        let all = triples.len();
        triples.dedup();
        assert_eq!(triples.len(), all);
        assert!(triples.contains(&"riscv64gc-unknown-linux-gnu"));
    }
}
