//! What can go wrong between a file and its answers. May import: `counted`, `reason`, `signature` (keys), `far_kernels` (ISAs).

use std::fmt;
use std::io;
use std::path::PathBuf;

use far_format::cpu::{Arch, Features};
use far_format::plan::Dtype;
use far_kernels::Isa;

use crate::counted::Counted;
use crate::reason::Reason;
use crate::signature::{Hex, MAX_SIGNATURES, PublicKey};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The stable classes of [`Error`]: the C interface's status codes follow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file can't be read.
    Io,
    /// Not a `.far` file.
    NotAnArtifact,
    /// A version of the format that this library can't read.
    Version,
    /// Shortened, lengthened or altered after it was written.
    Corrupt,
    /// Breaks the specification of the format.
    InvalidArtifact,
    /// More than the caller accepts.
    Exceeded,
    /// Not signed, where a signature is demanded.
    Unsigned,
    /// Signatures that aren't as they should be written.
    SignatureFile,
    /// Signed by others only.
    OtherKey,
    /// Altered after it was signed.
    Signature,
    /// Compiled for another architecture.
    Architecture,
    /// Needs features that this CPU lacks.
    Features,
    /// Memory is short.
    OutOfMemory,
    /// Memory of the caller's that isn't aligned as it must be.
    Alignment,
    /// An option has a value that can't be met.
    Option,
    /// Memory that a caller lends is too small.
    MemorySize,
    /// The caller ended the run.
    Cancelled,
    /// Not as many inputs or outputs as the model has.
    PortCount,
    /// An input or output of the wrong length.
    PortLength,
    /// An input of the wrong element type.
    PortType,
    /// A batch or a number of tokens that the model can't have.
    Extent,
    /// A token's id that its table doesn't have.
    TokenId,
    /// An attention mask that isn't ones, then zeros.
    Mask,
    /// The system gives no more threads.
    Thread,
    /// A defect of this library.
    Internal,
}

/// Which of the caller's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// What the model reads.
    Input,
    /// What the model writes.
    Output,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Input => "input",
            Side::Output => "output",
        })
    }
}

/// What may vary from call to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The number of elements.
    Batch,
    /// The number of tokens of each.
    Tokens,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Axis::Batch => "batch",
            Axis::Tokens => "tokens",
        })
    }
}

/// Why something wasn't done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The artifact is refused.
    Artifact(far_format::Error),
    /// There is no signature, where one is demanded.
    Unsigned {
        /// Where it would be; `None` for memory.
        path: Option<PathBuf>,
    },
    /// A file of signatures that isn't one.
    SignatureFile {
        /// Its bytes.
        found: usize,
    },
    /// Signed, but not by the key that is demanded.
    OtherKey {
        /// That key.
        expected: PublicKey,
        /// The key of the first signature, as it says.
        found: [u8; PublicKey::BYTES],
    },
    /// The key's signature doesn't fit the artifact.
    Signature {
        /// The key.
        key: PublicKey,
    },
    /// Bytes that are no public key.
    PublicKey,
    /// The artifact was compiled for another architecture.
    Architecture {
        /// What it is for.
        artifact: Arch,
        /// What this library was built for, where it knows.
        host: Option<Arch>,
    },
    /// The CPU lacks features that the artifact needs.
    Features {
        /// What it needs.
        needed: Features,
        /// What this CPU has.
        present: Features,
    },
    /// An allocation failed.
    OutOfMemory {
        /// What it was for.
        what: &'static str,
        /// How many bytes.
        bytes: usize,
    },
    /// Memory of the caller that isn't aligned.
    Alignment {
        /// What it is.
        what: &'static str,
        /// What its address must be a multiple of.
        expected: usize,
        /// What its address is beyond such a multiple.
        found: usize,
    },
    /// An ISA that doesn't exist, or whose kernels aren't in this library.
    Isa {
        /// Where it was asked for.
        origin: &'static str,
        /// What was asked for.
        found: String,
    },
    /// More threads than can be sensible.
    Threads {
        /// Most.
        limit: usize,
        /// Asked for.
        found: usize,
    },
    /// Fewer CPUs listed than there are threads.
    Cpus {
        /// Threads.
        expected: usize,
        /// CPUs.
        found: usize,
    },
    /// A thread can't be kept on that CPU.
    Cpu {
        /// Its number.
        cpu: usize,
        /// Why.
        problem: CpuProblem,
    },
    /// CPUs for threads that are a caller's own.
    CpusOfPool,
    /// Memory that a caller lends is too small.
    MemorySize {
        /// Least, in bytes.
        expected: usize,
        /// The caller's.
        found: usize,
    },
    /// The caller ended the run.
    Cancelled,
    /// The system gives no more threads.
    Spawn {
        /// How many there were, the caller's included.
        running: usize,
        /// What the system says.
        source: io::Error,
    },
    /// Not as many inputs or outputs as the model has.
    PortCount {
        /// Which of them.
        side: Side,
        /// The model's.
        expected: usize,
        /// The caller's.
        found: usize,
    },
    /// A buffer that isn't as long as its port.
    PortLength {
        /// Input or output.
        side: Side,
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
        /// Type of its elements.
        dtype: Dtype,
        /// Elements of the port in a call of that extent.
        expected: usize,
        /// Elements of the buffer.
        found: usize,
    },
    /// An input whose elements are of another type than its port's.
    PortType {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
        /// The port's.
        expected: Dtype,
        /// The buffer's.
        found: Dtype,
    },
    /// A call larger or smaller than the model's can be.
    Extent {
        /// In which direction.
        axis: Axis,
        /// Least.
        least: usize,
        /// Most.
        most: usize,
        /// The call's.
        found: usize,
    },
    /// A call that doesn't say how large it is, of a model whose calls differ.
    ExtentUnknown,
    /// A token's id outside of its table.
    TokenId {
        /// Name of the input.
        name: Counted<String>,
        /// Which element of the batch.
        element: usize,
        /// Which of its tokens.
        position: usize,
        /// The id.
        id: i64,
        /// Rows of the table.
        size: usize,
    },
    /// An attention mask that isn't ones, at least one, then zeros.
    Mask {
        /// Name of the input.
        name: Counted<String>,
        /// Which element of the batch.
        element: usize,
        /// Where in its row.
        position: usize,
        /// What is there.
        found: i64,
    },
    /// A step panicked: a defect of this library, contained.
    Panicked {
        /// The step's name.
        step: String,
    },
}

/// Why a thread can't be kept on a CPU.
#[derive(Debug)]
#[non_exhaustive]
pub enum CpuProblem {
    /// The machine has none of that number.
    Missing {
        /// The highest number that it has.
        last: usize,
    },
    /// Another thread of the list has it.
    Twice,
    /// The system refuses.
    System(io::Error),
}

impl fmt::Display for CpuProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CpuProblem::Missing { last } => write!(f, "this machine has CPUs 0 to {last}"),
            CpuProblem::Twice => f.write_str("it is listed twice"),
            CpuProblem::System(source) => write!(f, "{}", Reason(source)),
        }
    }
}

/// A copy of a text, for `what`; there may be no memory for it.
pub(crate) fn copy_text(text: &str, what: &'static str) -> Result<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| Error::OutOfMemory { what, bytes: text.len() })?;
    copy.push_str(text);
    Ok(copy)
}

/// A copy of what an error is to name.
pub(crate) fn named(text: &str) -> Result<String> {
    copy_text(text, "an error's text")
}

impl Error {
    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        use far_format::ErrorKind as Format;
        match self {
            Error::Io { .. } => ErrorKind::Io,
            Error::Artifact(error) => match error.kind() {
                Format::NotAnArtifact => ErrorKind::NotAnArtifact,
                Format::Version => ErrorKind::Version,
                Format::Corrupt => ErrorKind::Corrupt,
                Format::Exceeded => ErrorKind::Exceeded,
                Format::OutOfMemory => ErrorKind::OutOfMemory,
                _ => ErrorKind::InvalidArtifact,
            },
            Error::Unsigned { .. } => ErrorKind::Unsigned,
            Error::SignatureFile { .. } => ErrorKind::SignatureFile,
            Error::OtherKey { .. } => ErrorKind::OtherKey,
            Error::Signature { .. } => ErrorKind::Signature,
            Error::Architecture { .. } => ErrorKind::Architecture,
            Error::Features { .. } => ErrorKind::Features,
            Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            Error::Alignment { .. } => ErrorKind::Alignment,
            Error::Isa { .. }
            | Error::Threads { .. }
            | Error::Cpus { .. }
            | Error::Cpu { .. }
            | Error::CpusOfPool
            | Error::PublicKey => ErrorKind::Option,
            Error::MemorySize { .. } => ErrorKind::MemorySize,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Spawn { .. } => ErrorKind::Thread,
            Error::PortCount { .. } => ErrorKind::PortCount,
            Error::PortLength { .. } => ErrorKind::PortLength,
            Error::PortType { .. } => ErrorKind::PortType,
            Error::Extent { .. } | Error::ExtentUnknown => ErrorKind::Extent,
            Error::TokenId { .. } => ErrorKind::TokenId,
            Error::Mask { .. } => ErrorKind::Mask,
            Error::Panicked { .. } => ErrorKind::Internal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "can't read `{}`: {}", path.display(), Reason(source)),
            Error::Artifact(error) => write!(f, "{error}"),
            Error::Unsigned { path: Some(path) } => {
                write!(f, "no signature: expected one in `{}`, got no such file", path.display())
            }
            Error::Unsigned { path: None } => {
                f.write_str("no signature: expected one with the artifact in memory, got none")
            }
            Error::SignatureFile { found } => write!(
                f,
                "not a file of signatures: expected 1 to {MAX_SIGNATURES} behind `FARSIG`, got `{found}` other bytes"
            ),
            Error::OtherKey { expected, found } => {
                write!(f, "signed by another key: expected `{expected}`, got `{}`", Hex(found))
            }
            Error::Signature { key } => {
                write!(f, "the signature doesn't fit: expected the bytes that key `{key}` signed, got others")
            }
            Error::PublicKey => f.write_str("public key: expected a key of Ed25519, got bytes that are none"),
            Error::Architecture { artifact, host: Some(host) } => {
                write!(
                    f,
                    "artifact for another architecture: it is for `{artifact}`, this library for `{host}`"
                )
            }
            Error::Architecture { artifact, host: None } => {
                write!(f, "artifact for `{artifact}`, this library's architecture is not supported")
            }
            Error::Features { needed, present } => write!(
                f,
                "artifact needs CPU features `{needed}`, this CPU has `{present}`, missing `{}`",
                needed.missing_from(*present)
            ),
            Error::OutOfMemory { what, bytes } => {
                write!(f, "out of memory: can't allocate `{bytes}` bytes for {what}")
            }
            Error::Alignment { what, expected, found } => {
                write!(
                    f,
                    "{what} must be aligned: expected a multiple of `{expected}`, got one plus `{found}`"
                )
            }
            Error::Isa { origin, found } => {
                write!(f, "{origin}: expected one of `")?;
                for (i, isa) in Isa::of_host().enumerate() {
                    write!(f, "{}{isa}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, "`, got `{found}`")
            }
            Error::Threads { limit, found } => {
                write!(f, "threads: expected at most `{limit}`, got `{found}`")
            }
            Error::Cpus { expected, found } => {
                write!(f, "cpus: expected at least one for each of `{expected}` threads, got `{found}`")
            }
            Error::Cpu { cpu, problem } => write!(f, "cpus: can't keep a thread on CPU `{cpu}`: {problem}"),
            Error::CpusOfPool => {
                f.write_str("cpus: expected none with a thread pool, whose threads are its owner's to place")
            }
            Error::MemorySize { expected, found } => {
                write!(f, "session's memory: expected at least `{expected}` bytes, got `{found}`")
            }
            Error::Cancelled => f.write_str("the run was cancelled"),
            Error::Spawn { running, source } => {
                write!(f, "can't start thread `{running}`: {}", Reason(source))
            }
            Error::PortCount { side, expected, found } => {
                write!(f, "wrong number of {side}s: expected `{expected}`, got `{found}`")
            }
            Error::PortLength { side, index, name, dtype, expected, found } => {
                write!(
                    f,
                    "{side} `{index}` (`{name}`): expected `{expected}` {dtype} elements, got `{found}`"
                )
            }
            Error::PortType { index, name, expected, found } => {
                write!(f, "input `{index}` (`{name}`): expected {expected} elements, got {found}")
            }
            Error::Extent { axis, least, most, found } if least == most => {
                write!(f, "{axis}: expected `{most}`, got `{found}`")
            }
            Error::Extent { axis, least, most, found } => {
                write!(f, "{axis}: expected `{least}` to `{most}`, got `{found}`")
            }
            Error::ExtentUnknown => f.write_str(
                "the batch or the number of tokens varies: expected a call that says how large it is",
            ),
            Error::TokenId { name, element, position, id, size } => write!(
                f,
                "input `{name}`: element `{element}`, position `{position}`: expected an id below `{size}`, got `{id}`"
            ),
            Error::Mask { name, element, position, found } => write!(
                f,
                "input `{name}`: element `{element}`, position `{position}`: expected ones, at least one, then zeros, \
                 got `{found}`"
            ),
            Error::Panicked { step } => write!(f, "internal error in step `{step}`, please report it"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. }
            | Error::Spawn { source, .. }
            | Error::Cpu { problem: CpuProblem::System(source), .. } => Some(source),
            Error::Artifact(error) => Some(error),
            _ => None,
        }
    }
}

impl From<far_format::Error> for Error {
    fn from(error: far_format::Error) -> Error {
        Error::Artifact(error)
    }
}
