//! Where things are. May import: `command`, `error`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::{Error, Result};

/// The checkout and its build folder.
pub(crate) struct Workspace {
    /// Folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Metadata {
            workspace_root: PathBuf,
            target_directory: PathBuf,
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut metadata = Command::new(cargo_program());
        metadata.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
        let text = command::stdout(&mut metadata)?;
        let found: Metadata = serde_json::from_str(&text).map_err(|error| {
            Error::Unexpected(format!("cannot read the output of cargo metadata: {error}"))
        })?;
        Ok(Self { root: found.workspace_root, target: found.target_directory })
    }

    /// Cargo, in the root, with the host's own toolchain.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new(cargo_program());
        cargo.arg(subcommand).current_dir(&self.root);
        cargo
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Creates a folder and its parents.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io("create", path))
}

/// Removes a folder with all in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match path.exists() {
        true => std::fs::remove_dir_all(path).map_err(Error::io("remove", path)),
        false => Ok(()),
    }
}

/// Writes a file.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io("write", path))
}

/// Copies a file, with its permissions.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map_err(Error::io("copy", from)).map(drop)
}
