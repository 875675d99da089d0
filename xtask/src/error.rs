//! What can go wrong, and what to do about it. May import: nothing of ours.

use std::path::{Path, PathBuf};

/// Result of everything here.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a project command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A command could not be started.
    #[error("cannot start a command: {source}\n  {command}")]
    Start { command: String, source: std::io::Error },

    /// A command ended with an error.
    #[error("a command failed ({status})\n  {command}\n{}", output.trim_end())]
    Failed { command: String, status: std::process::ExitStatus, output: String },

    /// A file operation failed.
    #[error("cannot {verb} `{}`: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: std::io::Error },

    /// Something on this machine is missing, and this program may not or can't install it.
    #[error("{what}")]
    Missing { what: String, hint: String },

    /// An output was not what it has to be.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    /// For `map_err` of file operations.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { verb, path: path.to_owned(), source }
    }

    /// What to do, where that is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Error::Missing { hint, .. } => Some(hint),
            _ => None,
        }
    }
}
