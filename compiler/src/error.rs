//! The compiler's one error type: what, where, expected, got, hint. May import: nothing of ours.

use std::fmt;
use std::path::PathBuf;

/// Result of anything in the compiler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of problem it is. Tests and `--json` name it; people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be read or written.
    Io,
    /// The ONNX file is broken.
    BrokenModel,
    /// The model is larger or deeper than the limits.
    LimitExceeded,
    /// An ONNX operator or an arrangement of operators that has no counterpart here.
    UnsupportedOp,
    /// An operator is known, one of its attributes or inputs is not supported.
    UnsupportedAttribute,
    /// Shapes that don't fit together.
    ShapeMismatch,
    /// The mask file is broken, or one of its entries fits no parameter or has the wrong shape.
    BadMask,
    /// No such board or architecture.
    UnknownTarget,
    /// An option that this model or this target can't meet.
    BadOption,
    /// The target's YAML is broken.
    BadTarget,
    /// The metadata are broken, or don't fit the model.
    BadMeta,
    /// A key, or a file of signatures, is broken or of another kind.
    BadKey,
    /// The artifact is broken, or not for this machine.
    BadArtifact,
    /// An input tensor has the wrong name, shape or type.
    BadInput,
    /// The IR's verifier found a pass at fault, or the text form can't be parsed.
    InvalidIr,
    /// Two results differ by more than allowed.
    Mismatch,
    /// Pruning can't get as far as was asked.
    OutOfReach,
    /// Something that a tool needs is not installed.
    MissingTool,
    /// A bug in farc.
    Internal,
}

/// Where in the user's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// The file.
    pub file: Option<PathBuf>,
    /// The node of the model, or the parameter of the mask file.
    pub node: Option<String>,
    /// The attribute, input or field.
    pub field: Option<String>,
    /// Line and column, from 1, in a text file.
    pub line: Option<(usize, usize)>,
}

/// An error that its reader can act on.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Error {
    /// What sort.
    pub kind: ErrorKind,
    /// What went wrong; lower case, no full stop, values in backticks.
    pub what: String,
    /// Where.
    #[serde(rename = "where")]
    pub place: Place,
    /// What would have been right.
    pub expected: Option<String>,
    /// What was there.
    pub got: Option<String>,
    /// What to try.
    pub hint: Option<String>,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: Place::default(), expected: None, got: None, hint: None }
    }
    /// Names the file, unless one is named already.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.place.file.get_or_insert_with(|| file.into());
        self
    }
    /// Names the node, unless one is named already.
    #[must_use]
    pub fn at_node(mut self, node: impl Into<String>) -> Self {
        self.place.node.get_or_insert_with(|| node.into());
        self
    }
    /// Names the attribute, input or field, unless one is named already.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.place.field.get_or_insert_with(|| field.into());
        self
    }
    /// Names line and column, from 1.
    #[must_use]
    pub fn at_line(mut self, line: usize, column: usize) -> Self {
        self.place.line.get_or_insert((line, column));
        self
    }
    /// What would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
    /// What was there.
    #[must_use]
    pub fn got(mut self, got: impl Into<String>) -> Self {
        self.got = Some(got.into());
        self
    }
    /// What to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let (Some(expected), Some(got)) = (&self.expected, &self.got) {
            write!(f, ": expected {expected}, got {got}")?;
        }
        if let Some(node) = &self.place.node {
            write!(f, " (at `{node}`)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
