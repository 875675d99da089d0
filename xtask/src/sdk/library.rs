//! libfar and the board's command for one platform, built so that the same sources give the same bytes.
//! May import: `elf`, `text`, `command`, `cross`, `error`, `platform`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::elf::Elf;
use super::text;
use crate::command;
use crate::cross::{CRT_STATIC, Cross, FIND_OBJECT};
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::workspace::{Workspace, copy, create_dir, write};

/// The Cargo profile of what goes to a board.
const PROFILE: &str = "board";

/// The unwinder goes into the library, so that a board needs nothing of its compiler. Rust asks for it by this name.
const UNWINDER: (&str, &str) = ("libgcc_s.so", "GROUP ( -lgcc_eh -lgcc )\n");

/// Old versions of functions of glibc under the names of the new ones.
const GLIBC: &str = include_str!("templates/glibc.c");

/// What cargo left.
pub(crate) struct Built {
    archive: PathBuf,
    shared: PathBuf,
}

/// Builds the libraries, in another of cargo's target folders where one is given.
pub(crate) fn build(
    workspace: &Workspace,
    cross: &Cross,
    platform: &Platform,
    target: Option<&Path>,
) -> Result<Built> {
    let unwinder = cross.dir().join("unwinder");
    create_dir(&unwinder)?;
    write(&unwinder.join(UNWINDER.0), UNWINDER.1)?;
    let mut cargo = cargo(workspace, cross, platform, "rustc", "");
    if let Some(target) = target {
        cargo.arg("--target-dir").arg(target);
    }
    // Cargo optimises across crates only where no library for Rust is among what it makes.
    cargo.args(["--profile", PROFILE, "--package=libfar", "--lib", "--crate-type=staticlib,cdylib", "--"]);
    cargo.arg(format!("-Lnative={}", unwinder.display()));
    let glibc = old_glibc(cross, platform)?;
    let link = ["-Wl,--build-id=sha1", "-Wl,--gc-sections", "-Wl,--icf=all"].map(str::to_owned);
    cargo.args(link.into_iter().chain(glibc).map(|argument| format!("-Clink-arg={argument}")));
    command::run(&mut cargo)?;
    let folder = match target {
        Some(target) => target.join(platform.rust).join(PROFILE),
        None => cross.build_dir(platform, PROFILE),
    };
    Ok(Built { archive: folder.join("libfar.a"), shared: folder.join("libfar.so") })
}

/// What the linker is told, so that the library asks for no newer glibc than it must.
fn old_glibc(cross: &Cross, platform: &Platform) -> Result<Vec<String>> {
    let folder = cross.dir().join("glibc");
    let (source, object) = (folder.join("glibc.c"), folder.join(format!("{}.o", platform.gnu)));
    create_dir(&folder)?;
    write(&source, &format!("{GLIBC}\n{FIND_OBJECT}"))?;
    let mut cc = Command::new(cross.cc(platform));
    cc.args(["-D_GNU_SOURCE", "-DFIND_OBJECT=__wrap__dl_find_object", "-O2", "-fPIC", "-Wall", "-c"])
        .arg(&source);
    command::run(cc.arg("-o").arg(&object))?;
    let names = wrapped(GLIBC).chain(["_dl_find_object"]);
    let mut arguments: Vec<_> = names.map(|name| format!("-Wl,--wrap={name}")).collect();
    // Where the functions were before.
    let libraries = ["-Wl,--no-as-needed", "-l:libpthread.so.0", "-l:libdl.so.2", "-Wl,--as-needed"];
    arguments.push(object.display().to_string());
    arguments.extend(libraries.map(str::to_owned));
    Ok(arguments)
}

/// The functions that the source defines: the first word of each line `OLD(name, …` or `STAT(name, …`.
fn wrapped(source: &str) -> impl Iterator<Item = &str> {
    let rest = |line| ["OLD(", "STAT("].iter().find_map(|name| str::strip_prefix(line, name));
    source.lines().filter_map(rest).filter_map(|rest| rest.split(',').next())
}

/// Cargo with paths that are the same on every machine: panics and debug information name files.
fn cargo(
    workspace: &Workspace,
    cross: &Cross,
    platform: &Platform,
    subcommand: &str,
    rustflags: &str,
) -> Command {
    let root = workspace.root.display();
    let crates = cargo_home().join("registry/src");
    let flags =
        format!("{rustflags} --remap-path-prefix={}=crates --remap-path-prefix={root}=far", crates.display());
    let mut cargo = cross.cargo(workspace, platform, subcommand, flags.trim_start());
    cargo.env(platform.cc_variable("CFLAGS"), format!("-ffile-prefix-map={root}=far"));
    cargo
}

/// Where cargo keeps the sources of crates.
fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

impl Built {
    /// Puts what applications link into a folder: without debug information, which goes into a file beside the library.
    pub(crate) fn install(&self, cross: &Cross, lib: &Path) -> Result<()> {
        create_dir(lib)?;
        let objcopy = || Command::new(cross.llvm("objcopy"));
        // Bitcode is for Rust's own linking.
        let without = ["--strip-debug", "--remove-section=.llvmbc", "--remove-section=.llvmcmd"];
        command::run(objcopy().args(without).arg(&self.archive).arg(lib.join("libfar.a")))?;
        let soname = Elf::soname_of(cross, &self.shared)?;
        let shared = lib.join(&soname);
        let debug = lib.join(format!("{soname}.debug"));
        command::run(objcopy().arg("--only-keep-debug").arg(&self.shared).arg(&debug))?;
        let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
        link.push(&debug);
        command::run(objcopy().arg("--strip-all").arg(link).arg(&self.shared).arg(&shared))?;
        symlink(&soname, &lib.join("libfar.so"))
    }
}

/// Builds the board's command for a platform with musl: libc is in it, so that it runs on any board, and under QEMU.
fn build_tool(workspace: &Workspace, cross: &Cross, platform: &Platform) -> Result<PathBuf> {
    let mut cargo = cargo(workspace, cross, platform, "build", CRT_STATIC);
    command::run(cargo.args(["--profile", PROFILE, "--package=far-tool", "--bin=far"]))?;
    Ok(cross.build_dir(platform, PROFILE).join("far"))
}

/// Everything of one platform in the SDK's folder.
pub(crate) fn install(workspace: &Workspace, cross: &Cross, platform: &Platform, sdk: &Path) -> Result<()> {
    let built = build(workspace, cross, platform, None)?;
    let musl = platform.musl();
    let tool = build_tool(workspace, cross, &musl)?;
    let lib = sdk.join("lib").join(platform.rust);
    let bin = |platform: &Platform| sdk.join("bin").join(platform.rust);
    crate::workspace::remove_dir(&lib)?;
    built.install(cross, &lib)?;
    create_dir(&bin(&musl))?;
    strip(cross, &tool, &bin(&musl).join("far"))?;
    // It is found by the name of the libraries' platform, too.
    create_dir(&bin(platform))?;
    symlink(&format!("../{}/far", musl.rust), &bin(platform).join("far"))?;
    text::install(platform, &Elf::soname_of(cross, &built.shared)?, &lib)
}

/// Copies a program without its symbols.
pub(crate) fn strip(cross: &Cross, from: &Path, to: &Path) -> Result<()> {
    command::run(Command::new(cross.llvm("objcopy")).arg("--strip-all").arg(from).arg(to)).map(drop)
}

/// The loader looks for the name that the library gives itself (`libfar.so.N`), the linker for `libfar.so`.
fn symlink(to: &str, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link).map_err(Error::io("remove", link))?;
    }
    std::os::unix::fs::symlink(to, link).map_err(Error::io("link", link))
}

/// The headers, which are the same everywhere.
pub(crate) fn install_headers(workspace: &Workspace, include: &Path) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_functions_are_found() {
        let names: Vec<_> = wrapped(GLIBC).collect();
        assert!(names.contains(&"pthread_create") && names.contains(&"fstat64"), "{names:?}");
        assert!(names.iter().all(|name| !name.contains(char::is_whitespace)), "{names:?}");
    }
}
