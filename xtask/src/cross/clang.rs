//! Clang: one compiler for all targets, and the one that knows RISC-V's vector intrinsics.
//! May import: `command`, `error`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::Error;

/// The first version with the intrinsics of RISC-V Vector 1.0.
pub(crate) const OLDEST: u32 = 17;
/// The version to install where there is none.
pub(crate) const PREFERRED: u32 = 22;
/// No version is looked for beyond this one.
const NEWEST: u32 = 60;

/// An installed clang.
pub(crate) struct Clang {
    version: u32,
    /// What follows the names of its programs: `-22`, or nothing.
    suffix: String,
    path: PathBuf,
}

impl Clang {
    /// The newest on the `PATH` that is new enough.
    pub(crate) fn newest() -> Option<Self> {
        newest("clang", OLDEST).map(|(version, suffix, path)| Self { version, suffix, path })
    }

    /// That there is none.
    pub(crate) fn missing() -> Error {
        Error::Missing {
            what: format!("no clang of version {OLDEST} or newer is on the PATH"),
            hint: format!("install clang {PREFERRED}, lld and the LLVM tools, then run this command again"),
        }
    }

    /// Major version.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// The C compiler.
    pub(crate) fn cc(&self) -> String {
        format!("clang{}", self.suffix)
    }

    /// The C++ compiler.
    pub(crate) fn cxx(&self) -> String {
        format!("clang++{}", self.suffix)
    }

    /// The archiver.
    pub(crate) fn ar(&self) -> String {
        self.llvm("ar")
    }

    /// Another tool of the same LLVM.
    pub(crate) fn llvm(&self, tool: &str) -> String {
        format!("llvm-{tool}{}", self.suffix)
    }

    /// The folder of libclang, which bindgen loads; `None` where it is not next to the compiler.
    pub(crate) fn libclang_dir(&self) -> Option<PathBuf> {
        let lib = self.path.canonicalize().ok()?.parent()?.parent()?.join("lib");
        holds_libclang(&lib).then_some(lib)
    }
}

/// The newest of LLVM's programs of this name on the `PATH`, from version `oldest` on: its version, what follows its name,
/// and where it is.
pub(crate) fn newest(program: &str, oldest: u32) -> Option<(u32, String, PathBuf)> {
    let numbered = (oldest..=NEWEST).rev().find_map(|version| {
        let suffix = format!("-{version}");
        let path = command::find(&format!("{program}{suffix}"))?;
        Some((version, suffix, path))
    });
    let plain = command::find(program).and_then(|path| {
        let text = command::stdout(Command::new(&path).arg("--version")).ok()?;
        Some((major(&text)?, String::new(), path))
    });
    numbered
        .into_iter()
        .chain(plain)
        .filter(|(version, ..)| *version >= oldest)
        .max_by_key(|(version, ..)| *version)
}

fn holds_libclang(dir: &Path) -> bool {
    std::fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name.starts_with("libclang-") || name.starts_with("libclang.")) && name.contains(".so")
    })
}

/// From what one of LLVM's programs says of its version.
pub(crate) fn major(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once(" version ").or_else(|| text.split_once("LLVM version: "))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read() {
        assert_eq!(major("Debian clang version 14.0.6\nTarget: x86_64"), Some(14));
        assert_eq!(major("host: x86_64-unknown-linux-gnu\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(major("clang version 22.1.8 (1~deb12u1)"), Some(22));
        assert_eq!(major("gcc (Debian 12.2.0-14) 12.2.0"), None);
    }
}
