//! Scripts of two lines that name a compiler and its fixed options: cargo and `cc` take one program each.
//! May import: `clang`, `command`, `error`, `platform`, `workspace`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Clang;
use crate::command::quote;
use crate::error::{Error, Result};
use crate::platform;
use crate::workspace::{create_dir, write};

/// Writes them to `dir/bin`.
pub(crate) fn write_all(dir: &Path, clang: &Clang, rustc: Option<&Path>) -> Result<()> {
    let bin = dir.join("bin");
    create_dir(&bin)?;
    for platform in platform::all().into_iter().flat_map(|platform| [*platform, platform.musl()]) {
        for (name, compiler) in [("clang", clang.cc()), ("clang++", clang.cxx())] {
            // C for programs with musl uses clang's own headers only: there may be none of musl, and those of glibc are wrong.
            let headers = if platform.gnu.ends_with("musl") { " -nostdlibinc" } else { "" };
            let exec = format!("{compiler} --target={} -fuse-ld=lld{headers}", platform.gnu);
            script(&bin.join(format!("{}-{name}", platform.gnu)), &exec)?;
        }
    }
    if let Some(rustc) = rustc {
        let rustdoc = rustc.with_file_name("rustdoc");
        for (name, program) in [("rustc", rustc), ("rustdoc", rustdoc.as_path())] {
            let exec =
                format!("{} --sysroot {}", quote(&program.to_string_lossy()), quote(&dir.to_string_lossy()));
            script(&bin.join(name), &exec)?;
        }
    }
    Ok(())
}

/// Leaves an unchanged script as it is: its time is part of what cargo calls fresh.
fn script(path: &Path, exec: &str) -> Result<()> {
    let text = format!("#!/bin/sh\nexec {exec} \"$@\"\n");
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write(path, &text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .map_err(Error::io("make executable", path))
}
