//! `cargo xtask cross`: everything that builds and runs programs of other architectures.
//! May import: `command`, `console`, `error`, `platform`, `workspace`.

mod check;
mod clang;
mod mode;
mod musl;
mod packages;
mod sysroot;
mod wrappers;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::console::step;
use crate::error::{Error, Result};
use crate::platform::{self, CROSS, Cpu, Platform};
use crate::workspace::Workspace;

pub(crate) use clang::Clang;
pub(crate) use mode::Mode;

/// Options of `cargo xtask cross`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where Rust's standard library for the targets comes from; by default what is already there decides
    #[arg(long, value_enum)]
    mode: Option<Mode>,
}

/// A machine that is ready for cross builds.
pub(crate) struct Cross {
    /// Wrapper scripts, the sysroot and the builds.
    dir: PathBuf,
    /// The C compiler for all targets.
    clang: Clang,
    /// The compiler whose standard library for the targets is in the sysroot; `None`: the default one has it.
    rustc: Option<PathBuf>,
}

/// Sets up cross builds and shows that they work.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let cross = Cross::set_up(workspace, args.mode)?;
    step("cross", format_args!("ready; for use by hand: . {}", cross.dir.join("env.sh").display()));
    Ok(())
}

impl Cross {
    /// Installs what is missing, step by step; quick when all is there.
    pub(crate) fn set_up(workspace: &Workspace, mode: Option<Mode>) -> Result<Self> {
        let (mode, reason) = mode::choose(mode)?;
        step("cross", format_args!("mode: {mode} ({reason})"));
        install_packages(mode)?;
        let clang = Clang::newest().ok_or_else(Clang::missing)?;
        step("cross", format_args!("C compiler: {}", clang.cc()));
        let dir = workspace.target.join("cross");
        let rustc = match mode {
            Mode::Rustup => {
                mode::add_rustup_targets(&CROSS)?;
                None
            }
            Mode::Debian => Some(sysroot::build(&dir, &platform::all())?),
        };
        wrappers::write_all(&dir, &clang, rustc.as_deref())?;
        let cross = Self { dir, clang, rustc };
        cross.write_environment()?;
        for platform in CROSS {
            check::hello(&cross, platform)?;
        }
        Ok(cross)
    }

    /// Makes ready for static programs of these platforms, whose libc is musl.
    pub(crate) fn set_up_musl(&self, platforms: &[&Platform]) -> Result<()> {
        let with_musl: Vec<_> = platforms.iter().map(|platform| platform.musl()).collect();
        let with_musl: Vec<_> = with_musl.iter().collect();
        match self.rustc {
            None => mode::add_rustup_targets(&with_musl)?,
            Some(_) => {
                sysroot::build(&self.dir, &with_musl)?;
                musl::install(self, platforms)?;
            }
        }
        with_musl.into_iter().try_for_each(|platform| check::hello(self, platform))
    }

    /// Whether the standard library was built here, for size.
    pub(crate) fn has_small_std(&self) -> bool {
        self.rustc.is_some()
    }

    /// Where cross builds and their tools live.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a build for a platform in a Cargo profile leaves its results.
    pub(crate) fn build_dir(&self, platform: &Platform, profile: &str) -> PathBuf {
        builds(&self.dir).join(platform.rust).join(profile)
    }

    /// Clang as a C compiler and linker for a platform.
    pub(crate) fn cc(&self, platform: &Platform) -> PathBuf {
        self.dir.join("bin").join(format!("{}-clang", platform.gnu))
    }

    /// The reader of ELF files, of all platforms.
    pub(crate) fn readelf(&self) -> String {
        self.llvm("readelf")
    }

    /// One of LLVM's other tools, e.g. `objdump`.
    pub(crate) fn llvm(&self, tool: &str) -> String {
        self.clang.llvm(tool)
    }

    /// The compiler of Rust that knows the targets.
    fn rustc_program(&self) -> PathBuf {
        match self.rustc {
            Some(_) => self.dir.join("bin/rustc"),
            None => PathBuf::from("rustc"),
        }
    }

    /// `cargo SUBCOMMAND --target …` with everything a cross build needs. `rustflags` apply to the target's code.
    pub(crate) fn cargo(
        &self,
        workspace: &Workspace,
        platform: &Platform,
        subcommand: &str,
        rustflags: &str,
    ) -> Command {
        let mut cargo = workspace.cargo(subcommand);
        cargo.args(["--target", platform.rust]).envs(self.common_variables());
        cargo.envs(self.variables(platform));
        // These would win over the variables of the target.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(name);
        }
        if !rustflags.is_empty() {
            cargo.env(platform.cargo_variable("RUSTFLAGS"), rustflags);
        }
        cargo
    }

    /// The environment of cross builds, whatever the target.
    fn common_variables(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.dir.join(name).to_string_lossy().into_owned();
        let mut variables = vec![("CARGO_TARGET_DIR".to_owned(), path(BUILDS))];
        if self.rustc.is_some() {
            variables.push(("RUSTC".to_owned(), path("bin/rustc")));
            variables.push(("RUSTDOC".to_owned(), path("bin/rustdoc")));
        }
        variables
    }

    /// The environment of builds for one target.
    fn variables(&self, platform: &Platform) -> Vec<(String, String)> {
        let cc = self.cc(platform).to_string_lossy().into_owned();
        vec![
            (platform.cargo_variable("LINKER"), cc.clone()),
            (platform.cc_variable("CXX"), format!("{cc}++")),
            (platform.cc_variable("CC"), cc),
            (platform.cc_variable("AR"), self.clang.ar()),
        ]
    }

    /// The same as a file for a shell, with the first CPU of each platform as cargo's runner.
    fn write_environment(&self) -> Result<()> {
        let mut variables = self.common_variables();
        for platform in CROSS {
            variables.extend(self.variables(platform));
            if let Some(cpu) = platform.cpus.first() {
                variables.push((platform.cargo_variable("RUNNER"), runner(platform, cpu)));
            }
            variables.push((platform.cargo_variable("RUSTFLAGS"), CRT_STATIC.to_owned()));
        }
        let mut text = String::from(
            "# Environment of cross builds, written by `cargo xtask cross`; source it in a shell of its own.\n",
        );
        for (name, value) in variables {
            text += &format!("export {name}={}\n", command::quote(&value));
        }
        crate::workspace::write(&self.dir.join("env.sh"), &text)
    }
}

/// A function that the unwinder of GCC takes from glibc, where it is new enough.
pub(crate) const FIND_OBJECT: &str = include_str!("find_object.c");

/// Cargo's target folder for cross builds, in the folder of cross builds.
const BUILDS: &str = "build";

fn builds(dir: &Path) -> PathBuf {
    dir.join(BUILDS)
}

/// What cargo runs the platform's programs with.
pub(crate) fn runner(platform: &Platform, cpu: &Cpu) -> String {
    let untold = cpu.untold.map_or(String::new(), |feature| format!(" -E FAR_TEST_ASSUME={feature}"));
    format!("{} -cpu {}{untold}", platform.qemu(), cpu.qemu)
}

/// Programs that bring their libc along: they run under QEMU whatever libraries the machine has.
pub(crate) const CRT_STATIC: &str = "-C target-feature=+crt-static";

/// Brings the tools that are not Rust: by the package manager, or by asking the user.
fn install_packages(mode: Mode) -> Result<()> {
    if packages::available() {
        let clang = Clang::newest().map_or(clang::PREFERRED, |clang| clang.version());
        return packages::install("cross", &packages::for_cross(mode, clang));
    }
    let mut missing: Vec<String> = CROSS
        .iter()
        .flat_map(|platform| [platform.qemu(), format!("{}-gcc", platform.gnu)])
        .filter(|program| command::find(program).is_none())
        .collect();
    if Clang::newest().is_none() {
        missing.push(format!("clang (version {} or newer) with lld and llvm-ar", clang::OLDEST));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Missing {
        what: format!("programs that cross builds need are not on the PATH: {}", missing.join(", ")),
        hint: "install them with this system's package manager, with glibc's development files for the targets, \
               then run this command again"
            .to_owned(),
    })
}

/// Brings the data of the slow suites, where this system packages them: tests that lack them say so.
pub(crate) fn install_for_slow_suites() -> Result<()> {
    match packages::available() {
        true => packages::install("slow", &packages::for_slow_suites()),
        false => Ok(()),
    }
}

/// Brings the build systems that the tests of the SDK use.
pub(crate) fn install_for_sdk() -> Result<()> {
    if packages::available() {
        return packages::install("sdk", &packages::for_sdk());
    }
    let missing: Vec<_> = ["cmake", "make", "pkg-config"]
        .into_iter()
        .filter(|program| command::find(program).is_none())
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::Missing {
            what: format!(
                "programs that the tests of the SDK need are not on the PATH: {}",
                missing.join(", ")
            ),
            hint: "install them with this system's package manager, then run this command again".to_owned(),
        }),
    }
}

/// Brings what the host's own tests need besides Rust and a C compiler: clang, whose library reads far.h for bindgen.
pub(crate) fn install_for_host() -> Result<Clang> {
    find_or_install(Clang::newest, "host", &packages::for_host(clang::PREFERRED))?.ok_or_else(Clang::missing)
}

/// One of LLVM's tools, of rustc's own version or newer: older ones can't read what its programs write. Installed where
/// this system packages it.
pub(crate) fn llvm_tool(name: &str) -> Result<PathBuf> {
    let verbose = command::stdout(Command::new("rustc").arg("-vV"))?;
    let oldest = clang::major(&verbose).unwrap_or(clang::PREFERRED);
    let find = || clang::newest(name, oldest).map(|(.., path)| path);
    find_or_install(find, "llvm", &packages::for_llvm(oldest))?.ok_or_else(|| Error::Missing {
        what: format!("no `{name}` of version {oldest} or newer is on the PATH"),
        hint: format!(
            "install the tools of LLVM {oldest}, which this rustc is built with, then run this command again"
        ),
    })
}

/// What is found, if need be after its packages are installed where this system has them.
fn find_or_install<T>(
    find: impl Fn() -> Option<T>,
    step_name: &str,
    packages: &[String],
) -> Result<Option<T>> {
    if let Some(found) = find() {
        return Ok(Some(found));
    }
    if packages::available() {
        packages::install(step_name, packages)?;
    }
    Ok(find())
}
