//! Where Rust's standard library for the targets comes from: rustup, or a distribution's source.
//! May import: `packages`, `command`, `console`, `error`, `platform`.

use std::path::Path;
use std::process::Command;

use super::packages;
use crate::command;
use crate::console::step;
use crate::error::{Error, Result};
use crate::platform::{CROSS, Platform};

/// The two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// The default toolchain, with the targets that `rustup target add` installs
    Rustup,
    /// Debian's rustc from apt, with its standard library built once from Debian's source
    Debian,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Rustup => "rustup",
            Mode::Debian => "debian",
        })
    }
}

/// What the machine has, as far as the choice depends on it.
struct Facts {
    /// Targets that the default toolchain lacks.
    lacking: Vec<&'static str>,
    /// Whether apt is there.
    apt: bool,
}

/// The mode to use and the reason for it.
pub(crate) fn choose(asked: Option<Mode>) -> Result<(Mode, String)> {
    decide(asked, &Facts { lacking: lacking(&CROSS)?, apt: packages::available() })
}

/// The targets whose standard library the default toolchain has not.
fn lacking(platforms: &[&Platform]) -> Result<Vec<&'static str>> {
    let sysroot = command::stdout(Command::new("rustc").args(["--print", "sysroot"]))?;
    let has = |target: &str| Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir();
    Ok(platforms.iter().map(|platform| platform.rust).filter(|target| !has(target)).collect())
}

fn decide(asked: Option<Mode>, facts: &Facts) -> Result<(Mode, String)> {
    match asked {
        Some(mode) => Ok((mode, "as asked".to_owned())),
        None if facts.lacking.is_empty() => {
            Ok((Mode::Rustup, "the default toolchain has the targets".to_owned()))
        }
        None if facts.apt => Ok((
            Mode::Debian,
            format!("the default toolchain lacks {}, apt is here", facts.lacking.join(" and ")),
        )),
        None => Err(Error::Missing {
            what: format!("the default toolchain lacks the targets {}", facts.lacking.join(" and ")),
            hint: format!("run `{}`, then this command again", target_add(&facts.lacking)),
        }),
    }
}

fn target_add(targets: &[&str]) -> String {
    format!("rustup target add {}", targets.join(" "))
}

/// Has rustup install the targets that are not there.
pub(crate) fn add_rustup_targets(platforms: &[&Platform]) -> Result<()> {
    let lacking = lacking(platforms)?;
    if lacking.is_empty() {
        return Ok(());
    }
    step("cross", target_add(&lacking));
    command::run(Command::new("rustup").args(["target", "add"]).args(lacking)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lacking: &[&'static str], apt: bool) -> Facts {
        Facts { lacking: lacking.to_vec(), apt }
    }

    #[test]
    fn installed_targets_win() {
        assert_eq!(decide(None, &facts(&[], true)).unwrap().0, Mode::Rustup);
    }

    #[test]
    fn apt_serves_where_targets_are_missing() {
        let (mode, reason) = decide(None, &facts(&["riscv64gc-unknown-linux-gnu"], true)).unwrap();
        assert_eq!(mode, Mode::Debian);
        assert!(reason.contains("riscv64gc-unknown-linux-gnu"), "{reason}");
    }

    #[test]
    fn neither_says_what_to_run() {
        let error = decide(None, &facts(&["a", "b"], false)).unwrap_err();
        assert!(error.hint().unwrap().contains("rustup target add a b"));
    }

    #[test]
    fn flag_decides() {
        assert_eq!(decide(Some(Mode::Debian), &facts(&[], false)).unwrap().0, Mode::Debian);
    }
}
