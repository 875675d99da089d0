//! What can go wrong on the command line. May import: nothing of this crate.

use std::fmt;
use std::io;
use std::path::PathBuf;

use far_engine::ErrorKind;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command wasn't done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The command line isn't understood.
    Usage(String),
    /// A file can't be read or written.
    File {
        /// Whether it was to be written.
        write: bool,
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of numbers isn't what it should be.
    Array {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file that holds no public key.
    Key {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        message: &'static str,
    },
    /// An array doesn't fit its port.
    Shape {
        /// The port.
        port: String,
        /// What would fit.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An array whose elements aren't those of its port.
    Element {
        /// The port.
        port: String,
        /// What is wrong with them.
        message: String,
    },
    /// Arrays for different numbers of runs.
    Runs {
        /// The port of the array that differs.
        port: String,
        /// What the arrays before it are for.
        expected: usize,
        /// What it is for.
        found: usize,
    },
    /// Not one array for each input.
    Inputs {
        /// Names of the inputs without one.
        missing: Vec<String>,
    },
    /// Pictures for a model that doesn't say how one becomes an input.
    NoImage,
    /// A result can't be held in memory.
    OutOfMemory {
        /// How many bytes.
        bytes: usize,
    },
    /// A model can't be loaded.
    Model {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Box<far_engine::Error>,
    },
    /// A model can't be run.
    Run(far_engine::Error),
}

impl Error {
    /// The process's exit status: 1 for a problem of the user or the model, 2 for usage and defects.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Run(error) if error.kind() == ErrorKind::Internal => 2,
            _ => 1,
        }
    }

    /// A way out, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Usage(_) => Some("`far --help` lists commands and options"),
            Error::Key { .. } => Some("give the `.pub` file that `farc keygen` wrote"),
            Error::NoImage => Some(
                "compile it with `--meta`, whose `image` says so, or give `--input` numbers in a .npy file",
            ),
            Error::Model { source, .. } => match source.kind() {
                ErrorKind::Architecture => Some("compile the model with `--target` for this machine"),
                ErrorKind::Features => {
                    Some("compile the model for a target that this CPU satisfies; see `far doctor`")
                }
                ErrorKind::Corrupt => Some("copy the file again"),
                ErrorKind::Exceeded => Some("raise `--limit`, if the model is from somebody you trust"),
                ErrorKind::Unsigned => Some("sign it with `farc sign`, and copy the file of signatures too"),
                ErrorKind::SignatureFile => Some("copy the file of signatures again"),
                ErrorKind::OtherKey => Some("use the key of who signed it, or sign it with `farc sign`"),
                ErrorKind::Signature => {
                    Some("copy artifact and signatures again; if that doesn't help, somebody changed one")
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(message) => f.write_str(message),
            Error::File { write, path, source } => {
                write!(f, "can't {} `{}`: {source}", if *write { "write" } else { "read" }, path.display())
            }
            Error::Array { path, message } => write!(f, "`{}`: {message}", path.display()),
            Error::Key { path, message } => write!(f, "`{}`: {message}", path.display()),
            Error::Shape { port, expected, found } => {
                write!(f, "input `{port}`: expected shape `{expected}`, got `{found}`")
            }
            Error::Element { port, message } => write!(f, "input `{port}`: {message}"),
            Error::Runs { port, expected, found } => {
                write!(
                    f,
                    "input `{port}`: expected as many runs as the inputs before it, `{expected}`, got `{found}`"
                )
            }
            Error::NoImage => f.write_str("the model doesn't say how an image becomes an input"),
            Error::Inputs { missing } => write!(f, "no `--input` for `{}`", missing.join("`, `")),
            Error::OutOfMemory { bytes } => write!(f, "out of memory: can't allocate `{bytes}` bytes"),
            Error::Model { path, source } => match **source {
                // Neither is about the file, or it names the file itself.
                far_engine::Error::Io { .. } | far_engine::Error::Isa { .. } => write!(f, "{source}"),
                _ => write!(f, "`{}`: {source}", path.display()),
            },
            Error::Run(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<far_engine::Error> for Error {
    fn from(error: far_engine::Error) -> Error {
        Error::Run(error)
    }
}
