//! What readelf says of a program or library. May import: `command`, `cross`, `error`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::command;
use crate::cross::Cross;
use crate::error::{Error, Result};

/// A version of glibc: major and minor.
pub(crate) type Glibc = (u32, u32);

/// What a linker or loader sees of an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// The name that the loader looks for.
    pub(crate) soname: Option<String>,
    /// Whether a loader must start it.
    pub(crate) interpreter: bool,
    /// The libraries that must be there at run time.
    pub(crate) needed: BTreeSet<String>,
    /// The newest version of glibc that one of its symbols asks for.
    pub(crate) glibc: Option<Glibc>,
    /// The largest pages that it can be loaded on.
    pub(crate) page: Option<u64>,
}

impl Elf {
    /// Asks readelf.
    pub(crate) fn read(cross: &Cross, file: &Path) -> Result<Elf> {
        let mut readelf = Command::new(cross.readelf());
        let text =
            command::stdout(readelf.args(["--wide", "--segments", "--dynamic", "--version-info"]).arg(file))?;
        Ok(Elf::parse(&text))
    }

    /// The soname of a library, which must have one.
    pub(crate) fn soname_of(cross: &Cross, file: &Path) -> Result<String> {
        let elf = Elf::read(cross, file)?;
        elf.soname.ok_or_else(|| Error::Unexpected(format!("`{}` has no soname", file.display())))
    }

    fn parse(text: &str) -> Elf {
        let bracketed = |line: &str| {
            let name = line.split_once('[')?.1.split_once(']')?.0;
            Some(name.to_owned())
        };
        let of =
            |tag: &'static str| text.lines().filter(move |line| line.contains(tag)).filter_map(bracketed);
        Elf {
            soname: of("(SONAME)").next(),
            interpreter: text.contains("INTERP"),
            needed: of("(NEEDED)").collect(),
            glibc: text.split("GLIBC_").skip(1).filter_map(glibc).max(),
            page: text.lines().filter_map(alignment).min(),
        }
    }
}

/// Of a segment that is loaded: the last number of its line.
fn alignment(line: &str) -> Option<u64> {
    let number = line.trim_start().strip_prefix("LOAD ")?.split_whitespace().next_back()?;
    u64::from_str_radix(number.strip_prefix("0x")?, 16).ok()
}

/// From the rest of a symbol's version, such as `2.34  Flags: none`.
fn glibc(text: &str) -> Option<Glibc> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (major, rest) = text[..end].split_once('.')?;
    Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_readelf_is_read() {
        let text = "  INTERP 0x0002a8 0x00000000000002a8\n 0x1 (NEEDED) Shared library: [libc.so.6]\n 0x1 (NEEDED) Shared library: [libm.so.6]\n \
                    0xe (SONAME) Library soname: [libfar.so.0]\n\
                    0x0010: Name: GLIBC_2.2.5  Flags: none  Version: 3\n0x0020: Name: GLIBC_2.34  Flags: none\n\
                    0x0030: Name: GLIBC_2.4\n  LOAD 0x000000 0x0000000000000000 0x0000000000000000 0x04349c 0x04349c R   0x10000\n  \
                    LOAD 0x04349c 0x000000000004449c 0x000000000004449c 0x1399a4 0x1399a4 R E 0x20000\n";
        let elf = Elf::parse(text);
        assert_eq!(elf.soname.as_deref(), Some("libfar.so.0"));
        assert!(elf.interpreter);
        assert_eq!(Vec::from_iter(elf.needed), ["libc.so.6", "libm.so.6"]);
        assert_eq!((elf.glibc, elf.page), (Some((2, 34)), Some(0x10000)));
        assert_eq!(Elf::parse("There is no dynamic section in this file."), Elf::default());
    }
}
