//! Artifacts of another architecture: the board's own command under QEMU user mode.
//! May import: `farc::{target, emit, error}`; far-format.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use far_format::Header;
use far_format::cpu::Arch;
use farc::emit::Sdk;
use farc::error::{Error, ErrorKind, Result};
use farc::target::{self, Target};

/// What an artifact says about itself, proved.
pub(super) fn header(path: &Path) -> Result<Header> {
    let bytes = super::read(path, "artifact")?;
    let artifact = far_format::read(&bytes).map_err(|e| {
        Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}"))
            .in_file(path)
            .hint("`farc compile` makes artifacts; copy the file again if it was copied")
    })?;
    Ok(artifact.header)
}

/// Whether this machine can't run it by itself.
pub(super) fn is_foreign(header: &Header) -> bool {
    Arch::HOST != Some(header.arch)
}

/// `RUNNER -cpu CPU far ARGUMENTS`, as the target that the artifact names wants it.
pub(super) fn command(header: &Header, arguments: &[OsString]) -> Result<Command> {
    let target = target_of(header)?;
    let program = Sdk::find()?.board_tool(&target.triple)?;
    let mut command = Command::new(runner(&target)?);
    command.arg("-cpu").arg(&target.qemu.cpu).arg(program).args(arguments);
    Ok(command)
}

/// A target of the user's own is known by its architecture only.
fn target_of(header: &Header) -> Result<Target> {
    let known = target::find(&header.target).ok().filter(|t| t.arch == header.arch);
    match known {
        Some(target) => Ok(target),
        None if header.features.is_empty() || header.arch != Arch::Riscv64 => {
            target::find(header.arch.name())
        }
        None => target::find("riscv64-v"),
    }
}

fn runner(target: &Target) -> Result<PathBuf> {
    let name = &target.qemu.runner;
    let names = [name.clone(), format!("{name}-static")];
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).flat_map(|folder| names.iter().map(move |n| folder.join(n)));
    found.find(|file| file.is_file()).ok_or_else(|| {
        Error::new(
            ErrorKind::MissingTool,
            format!("`{name}` is needed to run an artifact for {}", target.arch),
        )
        .hint("install QEMU user mode, e.g. `apt-get install qemu-user`")
    })
}

/// Runs the board's command and lets it speak for itself. Gives its exit status.
pub(super) fn run(header: &Header, arguments: &[OsString]) -> Result<u8> {
    let mut command = command(header, arguments)?;
    let status = command.status().map_err(|e| {
        Error::new(
            ErrorKind::MissingTool,
            format!("`{}` can't be started: {e}", command.get_program().display()),
        )
    })?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(2)),
        None => Err(Error::new(ErrorKind::Internal, format!("the board's command ended by {status}"))
            .hint("the emulated CPU may lack a feature: `FAR_ISA=scalar` runs without vectors")),
    }
}
