//! What must hold of the files: sizes, what they need at run time, the oldest glibc.
//! May import: `link`, `command`, `console`, `cross`, `error`, `platform`, `sdk`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::link::Linker;
use crate::command;
use crate::console::step;
use crate::cross::Cross;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::sdk::elf::{Elf, Glibc};

/// The functions of the C interface, sorted.
const SYMBOLS: &str = include_str!("../../../../capi/abi/far-1.symbols");

/// Bytes of libfar.so without symbols.
const SHARED: u64 = 700_000;
/// The same with rustup's standard library, which knows how to print names in backtraces.
const SHARED_WITH_NAMES: u64 = 900_000;
/// Bytes of a minimal program with libfar.a in it, without symbols.
const MINIMAL: u64 = 900_000;
/// The oldest glibc on which libfar.so loads; docs/sdk.md names it.
const GLIBC: Glibc = (2, 30);

/// The shared library.
pub(super) fn check(cross: &Cross, platform: &Platform, sdk: &Path) -> Result<()> {
    let lib = sdk.join("lib").join(platform.rust);
    let soname = std::fs::read_link(lib.join("libfar.so")).map_err(Error::io("read", &lib))?;
    let shared = lib.join(&soname);
    let elf = Elf::read(cross, &shared)?;
    let needed: Vec<_> = elf.needed.iter().filter(|name| !is_libc(name)).collect();
    if !needed.is_empty() {
        return Err(Error::Unexpected(format!("libfar.so needs more than libc: {needed:?}")));
    }
    if elf.soname.as_deref() != soname.to_str() {
        return Err(Error::Unexpected(format!(
            "libfar.so leads to {soname:?}, whose soname is {:?}",
            elf.soname
        )));
    }
    let glibc = elf.glibc.unwrap_or_default();
    if glibc > GLIBC {
        return Err(Error::Unexpected(format!("libfar.so needs glibc {glibc:?}, allowed is {GLIBC:?}")));
    }
    // Arm's kernels may have pages of 4, 16 or 64 KiB; the others have 4.
    let (page, least) = (elf.page.unwrap_or(0), if platform.arch == "aarch64" { 64 << 10 } else { 4 << 10 });
    if page < least {
        return Err(Error::Unexpected(format!("libfar.so is for pages of {page} bytes, expected {least}")));
    }
    exports(cross, &shared, &["--dynamic"])?;
    exports(cross, &lib.join("libfar.a"), &["--extern-only"])?;
    let bytes = size(&shared)?;
    step(
        "test",
        format_args!(
            "sdk: {}: libfar.so has {bytes} bytes, needs glibc {}.{}",
            platform.rust, glibc.0, glibc.1
        ),
    );
    let limit = if cross.has_small_std() { SHARED } else { SHARED_WITH_NAMES };
    at_most(&shared, bytes, limit)?;
    symbols_are_aside(cross, &shared)
}

/// What C sees of a library must be the committed list: all functions `far_…`, without the kernels that are C themselves.
fn exports(cross: &Cross, library: &Path, symbols: &[&str]) -> Result<()> {
    let mut nm = Command::new(cross.llvm("nm"));
    nm.args(["--defined-only", "--format=posix", "--quiet"]).args(symbols).arg(library);
    let text = command::stdout(&mut nm)?;
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let found: BTreeSet<_> =
        names.filter(|name| name.starts_with("far_") && !name.starts_with("far_rvv_")).collect();
    let committed: BTreeSet<_> = SYMBOLS.lines().collect();
    match found == committed {
        true => Ok(()),
        false => Err(Error::Unexpected(format!(
            "`{}` and abi/far-1.symbols differ in {:?}",
            library.display(),
            found.symmetric_difference(&committed).collect::<Vec<_>>()
        ))),
    }
}

/// libc, its parts, and the loader.
fn is_libc(name: &str) -> bool {
    ["libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "ld-linux-"]
        .iter()
        .any(|part| name.starts_with(part))
}

/// The debug information must be beside the library, under the name that debuggers look for.
fn symbols_are_aside(cross: &Cross, shared: &Path) -> Result<()> {
    let mut debug = shared.as_os_str().to_owned();
    debug.push(".debug");
    let sections =
        |file: &Path| command::stdout(Command::new(cross.readelf()).args(["--wide", "--sections"]).arg(file));
    if sections(shared)?.contains(".debug_line") || !sections(shared)?.contains(".gnu_debuglink") {
        return Err(Error::Unexpected("libfar.so is not stripped, or names no file of symbols".to_owned()));
    }
    match sections(Path::new(&debug))?.contains(".debug_line") {
        true => Ok(()),
        false => Err(Error::Unexpected(format!("`{}` has no debug information", debug.display()))),
    }
}

/// A program with libfar.a in it, and one with libc too.
pub(super) fn minimal(linker: &Linker<'_>) -> Result<()> {
    let program = linker.models.join("minimal");
    let archive = linker.lib().join("libfar.a");
    let mut bytes = [0; 2];
    for (bytes, more) in bytes.iter_mut().zip([&["-static-libgcc"][..], &["-static"]]) {
        let mut cc = linker.cc()?;
        cc.args(more).arg("-s").arg("-I").arg(linker.sdk.join("include")).arg(&archive);
        command::stdout(cc.args(["-lpthread", "-lm", "-ldl", "-o"]).arg(&program))?;
        *bytes = size(&program)?;
    }
    let [alone, with_libc] = bytes;
    let triple = linker.platform.rust;
    step(
        "test",
        format_args!("sdk: {triple}: a program with libfar.a has {alone} bytes, fully static {with_libc}"),
    );
    at_most(&program, alone, MINIMAL)
}

fn size(file: &Path) -> Result<u64> {
    std::fs::metadata(file).map(|metadata| metadata.len()).map_err(Error::io("read", file))
}

fn at_most(file: &Path, bytes: u64, limit: u64) -> Result<()> {
    match bytes <= limit {
        true => Ok(()),
        false => {
            Err(Error::Unexpected(format!("`{}` has {bytes} bytes, allowed are {limit}", file.display())))
        }
    }
}
