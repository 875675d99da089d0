//! Packages of Debian and its relatives, by apt.
//! May import: `mode`, `command`, `console`, `error`, `platform`, `workspace`.

use std::path::Path;
use std::process::Command;

use super::Mode;
use crate::command;
use crate::console::step;
use crate::error::{Error, Result};
use crate::platform::CROSS;
use crate::workspace::{create_dir, remove_dir, write};

/// The keys of Debian's releases, old and new.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Whether this system has apt.
pub(crate) fn available() -> bool {
    command::find("apt-get").is_some() && command::find("dpkg-query").is_some()
}

/// What cross builds and their runs need. The GNU compilers are what a board's vendor gives to an app's author: the
/// C examples are built with them; they also bring libgcc and libstdc++ for the targets.
pub(crate) fn for_cross(mode: Mode, clang: u32) -> Vec<String> {
    let mut packages = for_host(clang);
    packages.extend([format!("lld-{clang}"), format!("llvm-{clang}"), "qemu-user".to_owned()]);
    for platform in CROSS {
        if !platform.is_host() {
            packages.push(format!("gcc-{}", platform.gnu.replace('_', "-")));
            packages.push(format!("g++-{}", platform.gnu.replace('_', "-")));
            packages.push(format!("libc6-dev-{}-cross", platform.debian));
        }
    }
    if mode == Mode::Debian {
        packages.extend(["rustc-web".to_owned(), "rust-web-src".to_owned()]);
    }
    packages
}

/// What the tests on the host need besides Rust and a C compiler.
pub(crate) fn for_host(clang: u32) -> Vec<String> {
    vec![format!("clang-{clang}"), "valgrind".to_owned()]
}

/// LLVM's tools of a version.
pub(crate) fn for_llvm(version: u32) -> Vec<String> {
    vec![format!("llvm-{version}")]
}

/// Data that the slow suites measure accuracy on.
pub(crate) fn for_slow_suites() -> Vec<String> {
    vec!["dataset-fashion-mnist".to_owned()]
}

/// What the tests of the SDK need: the build systems that its users have.
pub(crate) fn for_sdk() -> Vec<String> {
    ["cmake", "make", "pkg-config"].map(str::to_owned).to_vec()
}

/// Installs those that are not there: as root or by a sudo that asks nothing, else says what to run.
pub(crate) fn install(step_name: &str, packages: &[String]) -> Result<()> {
    let missing = not_installed(packages);
    if missing.is_empty() {
        step(step_name, format_args!("packages: all {} are installed", packages.len()));
        return Ok(());
    }
    let names = missing.join(" ");
    let Some(privileged) = Privilege::get() else {
        return Err(Error::Missing {
            what: format!("packages are not installed, and installing them needs root: {names}"),
            hint: format!(
                "run `sudo apt-get update && sudo apt-get install --no-install-recommends {names}`, \
                 then this command again"
            ),
        });
    };
    step(step_name, format_args!("packages: installing {names}"));
    command::run(privileged.apt_get().arg("update"))?;
    if let Some(unknown) = missing.iter().find(|package| !is_known(package)) {
        return Err(Error::Missing {
            what: format!("apt knows no package `{unknown}`"),
            hint: format!(
                "on Debian 12 it comes with the suite `bookworm` or `bookworm-security`; see that both are in apt's \
                 sources, then run `apt-get update && apt-get install --no-install-recommends {names}`"
            ),
        });
    }
    command::run(privileged.apt_get().args(["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    Ok(())
}

/// Unpacks a package of another release or architecture, which then isn't installed, into `folder/ARCHITECTURE` for each.
pub(crate) fn unpack(folder: &Path, release: &str, package: &str, architectures: &[&str]) -> Result<()> {
    let work = folder.join("apt");
    remove_dir(&work)?;
    for part in ["lists/partial", "cache/archives/partial"] {
        create_dir(&work.join(part))?;
    }
    let sources = work.join("sources.list");
    let list = architectures.join(",");
    write(&sources, &format!("deb [arch={list} signed-by={KEYRING}] {} {release} main\n", mirror()?))?;
    let apt_get = || {
        let mut apt_get = Command::new("apt-get");
        apt_get.current_dir(&work).args([
            "--quiet",
            "-o",
            "Dir::Etc::SourceParts=-",
            "-o",
            "Acquire::Retries=3",
        ]);
        for (key, path) in
            [("Etc::SourceList", "sources.list"), ("State::Lists", "lists"), ("Cache", "cache")]
        {
            apt_get.arg("-o").arg(format!("Dir::{key}={}", work.join(path).display()));
        }
        // What is downloaded lies where only this user may read.
        apt_get.args(["-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"]);
        apt_get.args(
            architectures.iter().flat_map(|name| ["-o".to_owned(), format!("APT::Architectures::={name}")]),
        );
        apt_get
    };
    command::run(apt_get().arg("update"))?;
    command::run(
        apt_get().arg("download").args(architectures.iter().map(|name| format!("{package}:{name}"))),
    )?;
    for entry in std::fs::read_dir(&work).map_err(Error::io("list", &work))? {
        let path = entry.map_err(Error::io("list", &work))?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((_, architecture)) =
            name.rsplit_once('_').filter(|_| path.extension() == Some("deb".as_ref()))
        {
            command::run(
                Command::new("dpkg-deb").arg("--extract").arg(&path).arg(folder.join(architecture)),
            )?;
        }
    }
    remove_dir(&work)
}

/// Where this system gets Debian's packages from.
fn mirror() -> Result<String> {
    let known = || {
        let mut apt_get = Command::new("apt-get");
        apt_get.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]);
        Ok(command::stdout(&mut apt_get)?.lines().next().map(str::to_owned))
    };
    if let Some(mirror) = known()? {
        return Ok(mirror);
    }
    if let Some(privileged) = Privilege::get() {
        command::run(privileged.apt_get().arg("update"))?;
    }
    known()?.ok_or_else(|| Error::Missing {
        what: "apt knows no mirror of Debian".to_owned(),
        hint: "on Debian run `apt-get update`; elsewhere use `cargo xtask cross --mode rustup`".to_owned(),
    })
}

fn not_installed(packages: &[String]) -> Vec<&str> {
    let format = "--showformat=${Package} ${db:Status-Status}\n";
    // It ends with an error when it knows one of them not at all, but lists the others.
    let output = Command::new("dpkg-query").args(["--show", format]).args(packages).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let installed: Vec<_> = text.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    packages.iter().map(String::as_str).filter(|package| !installed.contains(package)).collect()
}

fn is_known(package: &str) -> bool {
    command::succeeds(Command::new("apt-cache").args(["show", package]))
}

/// The right to install packages.
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    fn get() -> Option<Self> {
        if command::stdout(Command::new("id").arg("-u")).is_ok_and(|id| id == "0") {
            return Some(Self::Root);
        }
        command::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(Self::Sudo)
    }

    fn apt_get(&self) -> Command {
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
        command.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"]);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_mode_brings_a_compiler_of_rust() {
        assert!(for_cross(Mode::Debian, 22).contains(&"rustc-web".to_owned()));
        assert!(!for_cross(Mode::Rustup, 22).iter().any(|package| package.contains("rust")));
    }

    #[test]
    fn clang_and_its_tools_have_one_version() {
        let packages = for_cross(Mode::Rustup, 19);
        for name in ["clang-19", "lld-19", "llvm-19"] {
            assert!(packages.contains(&name.to_owned()), "{name} is not in {packages:?}");
        }
    }
}
