//! Rust's standard library for the targets, built once from the distribution's source with the distribution's compiler.
//! Its compiler may be another version than the default one; the two can't be mixed.
//! May import: `command`, `console`, `error`, `platform`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::console::step;
use crate::error::{Error, Result};
use crate::platform::{self, Platform};
use crate::workspace::{cargo_program, copy, create_dir, remove_dir, write};

/// The distribution's compiler: by its path, because rustup's comes first on the `PATH`.
pub(crate) const RUSTC: &str = "/usr/bin/rustc";
/// The last one is for procedural macros, which run on the host.
const CRATES: &str = "std,panic_unwind,panic_abort,test,proc_macro";
/// Without the names in backtraces, which take more code than all kernels.
const FEATURES: &str = "panic-unwind,optimize_for_size,backtrace-trace-only";
/// Bitcode is what link-time optimisation of a program takes from its libraries.
const RUSTFLAGS: &str = "-C embed-bitcode=yes";
/// Kernels take nothing from the library but what is compiled with them.
const OPT_LEVEL: &str = "z";

/// Brings the platforms' libraries in the sysroot `dir` up to date with the compiler, and returns the compiler's path.
pub(crate) fn build(dir: &Path, platforms: &[&Platform]) -> Result<PathBuf> {
    let version = command::stdout(Command::new(RUSTC).arg("-vV"))?;
    let name = version.lines().next().unwrap_or_default();
    let recipe = format!("{version}\n{CRATES}\n{FEATURES}\n{RUSTFLAGS}\n{OPT_LEVEL}\n");
    let outdated: Vec<_> = platforms.iter().copied().filter(|p| !is_current(dir, p, &recipe)).collect();
    if outdated.is_empty() {
        step("cross", format_args!("standard library: up to date with {name}"));
    } else {
        let targets: Vec<_> = outdated.iter().map(|platform| platform.rust).collect();
        step("cross", format_args!("standard library: building for {} with {name}", targets.join(" and ")));
        for platform in &outdated {
            remove_builds(dir, platform)?;
        }
        link_foreign_host(dir, &version)?;
        compile(dir, &outdated)?;
        for platform in outdated {
            write(&stamp(dir, platform), &recipe)?;
        }
    }
    Ok(PathBuf::from(RUSTC))
}

/// Holds the recipe by which a target's library was built.
fn stamp(dir: &Path, platform: &Platform) -> PathBuf {
    dir.join(format!("std-{}.txt", platform.rust))
}

fn is_current(dir: &Path, platform: &Platform, recipe: &str) -> bool {
    std::fs::read_to_string(stamp(dir, platform)).is_ok_and(|text| text == recipe)
}

/// Removes what is linked with an old library, which cargo does not know; the host's is in all builds' scripts and macros.
fn remove_builds(dir: &Path, platform: &Platform) -> Result<()> {
    let builds = super::builds(dir);
    match platform::host().is_some_and(|host| host.rust == platform.rust) {
        true => remove_dir(&builds),
        false => remove_dir(&builds.join(platform.rust)),
    }
}

/// Build scripts and procedural macros run on the host: where that is none of our platforms, its library is the
/// distribution's own.
fn link_foreign_host(dir: &Path, version: &str) -> Result<()> {
    if platform::host().is_some() {
        return Ok(());
    }
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let original = sysroot()?.join("lib/rustlib").join(host);
    let rustlib = dir.join("lib/rustlib");
    create_dir(&rustlib)?;
    let link = rustlib.join(host);
    if link.is_symlink() {
        std::fs::remove_file(&link).map_err(Error::io("remove", &link))?;
    }
    std::os::unix::fs::symlink(&original, &link).map_err(Error::io("link", &link))
}

fn sysroot() -> Result<PathBuf> {
    command::stdout(Command::new(RUSTC).args(["--print", "sysroot"])).map(PathBuf::from)
}

/// Builds the library as a dependency of an empty crate, offline from the source package, and copies it.
fn compile(dir: &Path, platforms: &[&Platform]) -> Result<()> {
    let vendor = sysroot()?.join("lib/rustlib/src/rust/library/vendor");
    let work = dir.join("std");
    create_dir(&work.join("src"))?;
    write(&work.join("src/lib.rs"), "#![no_std]\n")?;
    write(
        &work.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n",
    )?;
    let mut cargo = Command::new(cargo_program());
    cargo.current_dir(&work).args(["build", "--release", "--offline"]);
    cargo.arg(format!("-Zbuild-std={CRATES}")).arg(format!("-Zbuild-std-features={FEATURES}"));
    cargo.args(["--config", "source.crates-io.replace-with=\"distribution\""]);
    cargo.arg("--config").arg(format!("source.distribution.directory={:?}", vendor));
    for platform in platforms {
        cargo.args(["--target", platform.rust]);
    }
    // The compiler's own library needs the compiler's unstable features.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", RUSTC).env("CARGO_TARGET_DIR", work.join("target"));
    cargo.env("RUSTFLAGS", RUSTFLAGS).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", OPT_LEVEL);
    for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    command::run(&mut cargo)?;
    for platform in platforms {
        let built = work.join("target").join(platform.rust).join("release/deps");
        install(&built, &libraries(dir, platform))?;
    }
    remove_dir(&work)
}

/// Where a platform's libraries are in a sysroot.
pub(crate) fn libraries(dir: &Path, platform: &Platform) -> PathBuf {
    dir.join("lib/rustlib").join(platform.rust).join("lib")
}

/// Copies the library's crates in place of what was there.
fn install(built: &Path, lib: &Path) -> Result<()> {
    if let Some(target) = lib.parent().filter(|target| target.is_symlink()) {
        std::fs::remove_file(target).map_err(Error::io("remove", target))?;
    }
    remove_dir(lib)?;
    create_dir(lib)?;
    for entry in std::fs::read_dir(built).map_err(Error::io("list", built))? {
        let file = entry.map_err(Error::io("list", built))?.path();
        let name = file.file_name().unwrap_or_default();
        let text = name.to_string_lossy();
        if text.ends_with(".rlib") && !text.starts_with("libempty-") {
            copy(&file, &lib.join(name))?;
        }
    }
    Ok(())
}
