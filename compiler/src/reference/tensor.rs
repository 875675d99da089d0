//! Tensors of the reference evaluator. Real numbers of every width are f64, integers i64. May import: `error`.

use ndarray::{ArcArray, ArrayViewD, IxDyn};

use crate::error::{Error, ErrorKind, Result};

/// Most elements of one tensor.
pub const MAX_ELEMENTS: usize = 1 << 28;
/// Most dimensions of one tensor.
pub const MAX_RANK: usize = 16;

/// A dense tensor that is cheap to clone.
pub type Shared<T> = ArcArray<T, IxDyn>;

/// A value of the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Real numbers, whatever their width in the file.
    Real(Shared<f64>),
    /// Integers, whatever their width in the file.
    Int(Shared<i64>),
    /// Truth values.
    Bool(Shared<bool>),
}

impl Tensor {
    /// A tensor of real numbers, row-major. Fails unless the shape has as many elements as `data`.
    pub fn real(shape: &[usize], data: Vec<f64>) -> Result<Self> {
        Ok(Self::Real(shared(shape, data)?))
    }

    /// A tensor of integers, row-major. Fails unless the shape has as many elements as `data`.
    pub fn int(shape: &[usize], data: Vec<i64>) -> Result<Self> {
        Ok(Self::Int(shared(shape, data)?))
    }

    /// A tensor of truth values, row-major. Fails unless the shape has as many elements as `data`.
    pub fn bool(shape: &[usize], data: Vec<bool>) -> Result<Self> {
        Ok(Self::Bool(shared(shape, data)?))
    }

    /// Its dimensions.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Real(x) => x.shape(),
            Self::Int(x) => x.shape(),
            Self::Bool(x) => x.shape(),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of its elements, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Real(_) => "real",
            Self::Int(_) => "integer",
            Self::Bool(_) => "bool",
        }
    }

    /// Its real numbers.
    pub fn as_real(&self) -> Result<ArrayViewD<'_, f64>> {
        match self {
            Self::Real(x) => Ok(x.view()),
            _ => Err(self.is_not("real")),
        }
    }

    /// Its integers.
    pub fn as_int(&self) -> Result<ArrayViewD<'_, i64>> {
        match self {
            Self::Int(x) => Ok(x.view()),
            _ => Err(self.is_not("integer")),
        }
    }

    /// Its truth values.
    pub fn as_bool(&self) -> Result<ArrayViewD<'_, bool>> {
        match self {
            Self::Bool(x) => Ok(x.view()),
            _ => Err(self.is_not("bool")),
        }
    }

    fn is_not(&self, expected: &str) -> Error {
        Error::new(ErrorKind::BrokenModel, "a tensor of another type").expected(expected).got(self.kind())
    }
}

/// Number of elements of a shape within the limits, whatever the order of its dimensions.
pub(crate) fn checked_len(shape: &[usize]) -> Result<usize> {
    let too_large = |what: &str| {
        Error::new(ErrorKind::LimitExceeded, format!("a tensor of shape {shape:?} has too many {what}"))
    };
    if shape.len() > MAX_RANK {
        return Err(too_large("dimensions")
            .expected(format!("at most {MAX_RANK}"))
            .got(shape.len().to_string()));
    }
    // Zeros count as ones here, so that no partial product can overflow.
    let bound = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)).filter(|&n| n <= MAX_ELEMENTS));
    match bound {
        Some(_) => Ok(shape.iter().product()),
        None => Err(too_large("elements").expected(format!("at most {MAX_ELEMENTS}")).got("more")),
    }
}

/// A shared array of a checked shape.
pub(crate) fn shared<T>(shape: &[usize], data: Vec<T>) -> Result<Shared<T>> {
    let len = checked_len(shape)?;
    if data.len() != len {
        return Err(Error::new(ErrorKind::ShapeMismatch, format!("shape {shape:?} does not fit the data"))
            .expected(format!("{len} elements"))
            .got(data.len().to_string()));
    }
    ArcArray::from_shape_vec(IxDyn(shape), data).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}
