//! musl, the libc of static programs: Debian's packages of it and GCC's unwinder, put into the sysroot where rustc looks
//! for them, as they are in rustup's libraries for the same targets.
//! May import: `packages`, `sysroot`, `command`, `console`, `error`, `platform`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Cross, packages, sysroot};
use crate::command;
use crate::console::step;
use crate::error::Result;
use crate::platform::Platform;
use crate::workspace::{copy, create_dir, remove_dir, write};

/// The first release of Debian that has musl for RISC-V.
const RELEASE: &str = "trixie";
const PACKAGE: &str = "musl-dev";
/// What is of musl, and what is of GCC.
const LIBC: [&str; 6] = ["crt1.o", "rcrt1.o", "Scrt1.o", "crti.o", "crtn.o", "libc.a"];
const GCC: [&str; 4] = ["crtbegin.o", "crtbeginS.o", "crtend.o", "crtendS.o"];
/// The name by which Rust asks for the unwinder.
const UNWINDER: &str = "libunwind.a";
const THREADS: &str = include_str!("threads.c");

/// Completes the sysroot for these platforms with musl.
pub(crate) fn install(cross: &Cross, platforms: &[&Platform]) -> Result<()> {
    let folder =
        |platform: &Platform| sysroot::libraries(&cross.dir, &platform.musl()).join("self-contained");
    let lacking: Vec<_> =
        platforms.iter().filter(|platform| !folder(platform).join(UNWINDER).is_file()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let unpacked = cross.dir.join("musl");
    let architectures: Vec<_> =
        lacking.iter().map(|platform| platform.debian).filter(|name| !unpacked.join(name).is_dir()).collect();
    if !architectures.is_empty() {
        step("cross", format_args!("musl: {PACKAGE} of Debian {RELEASE} for {}", architectures.join(", ")));
        packages::unpack(&unpacked, RELEASE, PACKAGE, &architectures)?;
    }
    for platform in lacking {
        let libc = unpacked.join(platform.debian).join("usr/lib").join(platform.musl().gnu);
        let folder = folder(platform);
        create_dir(&folder)?;
        for name in LIBC {
            copy(&libc.join(name), &folder.join(name))?;
        }
        for name in GCC {
            copy(&of_gcc(cross, platform, name)?, &folder.join(name))?;
        }
        install_unwinder(cross, platform, &folder)?;
    }
    Ok(())
}

/// GCC's unwinder with what it needs beside musl; last of all, so that what is there is whole.
fn install_unwinder(cross: &Cross, platform: &Platform, folder: &Path) -> Result<()> {
    let work = cross.dir.join("musl").join("unwinder").join(platform.arch);
    remove_dir(&work)?;
    create_dir(&work)?;
    let archive = work.join(UNWINDER);
    copy(&of_gcc(cross, platform, "libgcc_eh.a")?, &archive)?;
    let mut ar = Command::new(cross.llvm("ar"));
    ar.arg("rs").arg(&archive);
    for (name, source) in [("find_object", super::FIND_OBJECT), ("threads", THREADS)] {
        let (file, object) = (work.join(format!("{name}.c")), work.join(format!("{name}.o")));
        write(&file, source)?;
        // By glibc's headers: what is used of them is the same in musl.
        let mut cc = Command::new(cross.cc(platform));
        cc.args(["-D_GNU_SOURCE", "-DFIND_OBJECT=_dl_find_object", "-O2", "-fPIC", "-Wall", "-c"]).arg(file);
        command::run(cc.arg("-o").arg(&object))?;
        ar.arg(object);
    }
    command::run(&mut ar)?;
    copy(&archive, &folder.join(UNWINDER))
}

/// A file of GCC's for the platform.
fn of_gcc(cross: &Cross, platform: &Platform, name: &str) -> Result<PathBuf> {
    let mut cc = Command::new(cross.cc(platform));
    command::stdout(cc.arg(format!("-print-file-name={name}"))).map(PathBuf::from)
}
