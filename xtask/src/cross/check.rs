//! Shows that a cross build works: builds a small program, runs it under QEMU.
//! May import: `command`, `console`, `error`, `platform`, `workspace`.

use std::process::Command;

use super::Cross;
use crate::command;
use crate::console::step;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::workspace::{create_dir, write};

const PROGRAM: &str = "fn main() { print!(\"{}\", std::env::consts::ARCH) }\n";

/// Has a program of the platform say its architecture.
pub(crate) fn hello(cross: &Cross, platform: &Platform) -> Result<()> {
    let dir = cross.dir().join("check");
    create_dir(&dir)?;
    let source = dir.join("hello.rs");
    let program = dir.join(format!("hello-{}", platform.rust));
    write(&source, PROGRAM)?;
    let mut rustc = Command::new(cross.rustc_program());
    rustc.args(["--edition=2024", "--target", platform.rust, "-C", "target-feature=+crt-static", "-C"]);
    rustc.arg(format!("linker={}", cross.cc(platform).display())).arg("-o").arg(&program).arg(&source);
    command::run(&mut rustc)?;
    let said = match platform.is_host() {
        true => command::stdout(&mut Command::new(&program))?,
        false => command::stdout(Command::new(platform.qemu()).arg(&program))?,
    };
    if said != platform.arch {
        return Err(Error::Unexpected(format!(
            "a program for `{}` says that it is for `{said}`",
            platform.rust
        )));
    }
    step("cross", format_args!("check: a program for {} runs here", platform.rust));
    Ok(())
}
