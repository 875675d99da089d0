//! What can be wrong with an artifact, with the values that say so. May import: `cpu`, `limits`, `plan`, `region`.

use alloc::string::String;
use core::fmt;

use crate::artifact::VERSION;
use crate::limits::Limit;
use crate::plan::Dtype;
use crate::region::Region;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// The fixed beginning, with the table of sections.
    Header,
    /// What is said for people: names, metadata.
    Meta,
    /// Tensors, ports and steps.
    Plan,
    /// Packed weights.
    Weights,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Section::Header => "header",
            Section::Meta => "meta section",
            Section::Plan => "plan section",
            Section::Weights => "weights section",
        })
    }
}

/// The stable classes of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Not a `.far` file.
    NotAnArtifact,
    /// Of a version that this library can't read.
    Version,
    /// Shortened, lengthened or altered after it was written.
    Corrupt,
    /// Breaks the specification, though its checksums hold.
    Invalid,
    /// More than the caller accepts.
    Exceeded,
    /// Memory is short.
    OutOfMemory,
}

/// Why an artifact is refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes are others.
    Magic,
    /// Another major version.
    Version {
        /// The file's.
        found: u16,
    },
    /// The file isn't as long as it says, or too short to say.
    Length {
        /// Bytes stated, or the fewest possible.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Stored and computed CRC-32 differ.
    Checksum {
        /// Over which part.
        section: Section,
        /// Stored.
        expected: u32,
        /// Computed.
        found: u32,
    },
    /// A section ended inside a value.
    Ended {
        /// Which section.
        section: Section,
        /// The value.
        field: &'static str,
        /// Where in the section.
        offset: u64,
        /// Bytes that the value takes.
        expected: u64,
        /// Bytes left.
        found: u64,
    },
    /// A count or length above its limit, or above what its section can hold.
    Limit {
        /// Which section.
        section: Section,
        /// What is counted.
        field: &'static str,
        /// Most.
        limit: u64,
        /// Stated.
        found: u64,
    },
    /// A value that the specification doesn't know.
    Field {
        /// Which section.
        section: Section,
        /// The value's name.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What is there.
        found: u64,
    },
    /// A string that isn't UTF-8 or has control characters.
    Text {
        /// Which section.
        section: Section,
        /// The string's name.
        field: &'static str,
    },
    /// A plan that can't be proved safe and meaningful.
    Plan {
        /// Where in the plan.
        subject: Subject,
        /// Which of its fields.
        field: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Sound so far, but more than the caller accepts.
    Exceeded {
        /// Of what.
        limit: Limit,
        /// The caller's most.
        most: u64,
        /// The artifact's.
        found: u64,
    },
    /// An allocation failed.
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
}

/// A part of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The plan as a whole.
    Plan,
    /// What is said for users.
    Meta,
    /// The tensor of that index.
    Tensor(usize),
    /// The input port of that index and name.
    Input(usize, String),
    /// The output port of that index and name.
    Output(usize, String),
    /// The step of that index and name.
    Step(usize, String),
}

/// What is wrong with a field of a plan.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// An index past the end.
    Index {
        /// Elements there are.
        count: u64,
        /// The index.
        found: u64,
    },
    /// Reaches past the end of what it lies in.
    Outside {
        /// What it lies in.
        of: &'static str,
        /// Size of that.
        size: u64,
        /// End of this, in the same unit.
        end: u64,
    },
    /// Not a multiple of the alignment.
    Unaligned {
        /// The alignment in bytes.
        alignment: u64,
        /// The offset in bytes.
        found: u64,
    },
    /// Other rows × columns than the step needs.
    Shape {
        /// What it needs.
        expected: (u64, u64),
        /// What is there.
        found: (u64, u64),
    },
    /// A number out of its range.
    Value {
        /// The range.
        expected: &'static str,
        /// The number.
        found: u64,
    },
    /// A float out of its range.
    Float {
        /// The range.
        expected: &'static str,
        /// The float.
        found: f32,
    },
    /// Rows that are the call's tokens where their number must be fixed, or the other way round.
    Tokens {
        /// Whether they must be tokens.
        expected: bool,
    },
    /// Elements of another type.
    Dtype {
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: Dtype,
    },
    /// Shares memory with another operand where it must not.
    Overlap {
        /// The other.
        with: &'static str,
    },
    /// Would be written, but is an input or in the weights section.
    ReadOnly,
    /// Read, or handed to the caller, before any step wrote all of it.
    Unwritten {
        /// What is read.
        region: Region,
    },
    /// The same as an earlier one.
    Repeated,
}

impl Error {
    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Magic => ErrorKind::NotAnArtifact,
            Error::Version { .. } => ErrorKind::Version,
            Error::Length { .. } | Error::Checksum { .. } => ErrorKind::Corrupt,
            Error::Exceeded { .. } => ErrorKind::Exceeded,
            Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            _ => ErrorKind::Invalid,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Magic => f.write_str("not a far artifact: the first 8 bytes are not its signature"),
            Error::Version { found } => {
                write!(f, "artifact of format version `{found}`, this library reads version `{VERSION}`")
            }
            Error::Length { expected, found } if found < expected => {
                write!(f, "truncated: expected `{expected}` bytes, got `{found}`")
            }
            Error::Length { expected, found } => {
                write!(f, "bytes after the end: expected `{expected}` bytes, got `{found}`")
            }
            Error::Checksum { section, expected, found } => {
                write!(
                    f,
                    "{section}: checksum differs: expected `{expected:#010x}`, computed `{found:#010x}`"
                )
            }
            Error::Ended { section, field, offset, expected, found } => write!(
                f,
                "{section}: ended in `{field}` at byte `{offset}`: expected `{expected}` bytes, got `{found}`"
            ),
            Error::Limit { section, field, limit, found } => {
                write!(f, "{section}: `{field}`: expected at most `{limit}`, got `{found}`")
            }
            Error::Field { section, field, expected, found } => {
                write!(f, "{section}: `{field}`: expected {expected}, got `{found}`")
            }
            Error::Text { section, field } => {
                write!(f, "{section}: `{field}`: expected UTF-8 text without control characters")
            }
            Error::Plan { subject, field, problem } => write!(f, "{subject}: `{field}` {problem}"),
            Error::Exceeded { limit, most, found } => {
                write!(f, "more {limit} than accepted: expected at most `{most}`, got `{found}`")
            }
            Error::OutOfMemory { bytes } => write!(f, "out of memory: can't allocate `{bytes}` bytes"),
        }
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Plan => f.write_str("plan"),
            Subject::Meta => f.write_str("metadata"),
            Subject::Tensor(i) => write!(f, "tensor `{i}`"),
            Subject::Input(i, name) => write!(f, "input `{i}` (`{name}`)"),
            Subject::Output(i, name) => write!(f, "output `{i}` (`{name}`)"),
            Subject::Step(i, name) => write!(f, "step `{i}` (`{name}`)"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Index { count, found } => write!(f, "is number `{found}` of `{count}`"),
            Problem::Outside { of, size, end } => {
                write!(f, "reaches outside: expected its end within {of} of `{size}`, got `{end}`")
            }
            Problem::Unaligned { alignment, found } => {
                write!(f, "is unaligned: expected a multiple of `{alignment}`, got `{found}`")
            }
            Problem::Shape { expected: (rows, cols), found: (r, c) } => {
                write!(f, "has the wrong shape: expected `{rows}×{cols}`, got `{r}×{c}`")
            }
            Problem::Value { expected, found } => {
                write!(f, "is out of range: expected {expected}, got `{found}`")
            }
            Problem::Float { expected, found } => {
                write!(f, "is out of range: expected {expected}, got `{found}`")
            }
            Problem::Tokens { expected: true } => f.write_str("has a fixed number of rows: expected tokens"),
            Problem::Tokens { expected: false } => f.write_str("has tokens as rows: expected a fixed number"),
            Problem::Dtype { expected, found } => {
                write!(f, "has the wrong element type: expected {expected}, got `{found}`")
            }
            Problem::Overlap { with } => write!(f, "overlaps `{with}`"),
            Problem::ReadOnly => f.write_str("would be written, but inputs and weights are read only"),
            Problem::Unwritten { region } => write!(f, "is read before all of it is written ({region})"),
            Problem::Repeated => f.write_str("is the same as an earlier one"),
        }
    }
}
