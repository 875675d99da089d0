//! Elements of arrays → masks and keep-lists. Reads in steps: what is allocated grows with what is there.
//! May import: `error`, the types of `masks`.

use std::io::Read;

use super::{Entry, Mask};
use crate::error::{Error, ErrorKind, Result};

/// Types that masks come in; little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    I32,
    I64,
    F32,
    F64,
}

/// Bytes that are read at once; a multiple of every element's size.
const STEP: usize = 1 << 13;

impl Element {
    /// What masks may be made of, for error messages.
    pub(super) const EXPECTED: &str = "bool, u8, i32, i64, f32 or f64";

    fn size(self) -> usize {
        match self {
            Element::Bool | Element::U8 => 1,
            Element::I32 | Element::F32 => 4,
            Element::I64 | Element::F64 => 8,
        }
    }

    fn value(self, bytes: &[u8]) -> Value {
        // `bytes` has the element's size.
        let four = || bytes.first_chunk().copied().unwrap_or_default();
        let eight = || bytes.first_chunk().copied().unwrap_or_default();
        match self {
            Element::Bool | Element::U8 => Value::Integer(i64::from(bytes[0])),
            Element::I32 => Value::Integer(i64::from(i32::from_le_bytes(four()))),
            Element::I64 => Value::Integer(i64::from_le_bytes(eight())),
            Element::F32 => Value::Real(f64::from(f32::from_le_bytes(four()))),
            Element::F64 => Value::Real(f64::from_le_bytes(eight())),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Integer(i64),
    Real(f64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Integer(x) => x.fmt(f),
            Value::Real(x) => x.fmt(f),
        }
    }
}

/// The elements that follow in `bytes`, as a matrix or a keep-list.
///
/// # Errors
///
/// `BadMask` for elements other than 0 and 1, for another number of dimensions than one or two, and if there are too few.
pub(super) fn entry(element: Element, shape: &[usize], fortran: bool, bytes: impl Read) -> Result<Entry> {
    let count = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let Some(count) = count.filter(|count| count.checked_mul(element.size()).is_some()) else {
        return Err(bad("a mask of an impossible shape").got(format!("`{shape:?}`")));
    };
    match (shape, element) {
        ([_], Element::I32 | Element::I64) => indices(element, count, bytes).map(Entry::Indices),
        ([_], _) => bits(element, count, count, bytes).map(Entry::Bits),
        (&[rows, cols], _) if fortran => {
            let columns = bits(element, count, rows, bytes)?;
            let keep = (0..count).map(|i| columns[i % cols * rows + i / cols]).collect();
            Ok(Entry::Matrix(Mask { dims: [rows, cols], keep }))
        }
        (&[rows, cols], _) => {
            Ok(Entry::Matrix(Mask { dims: [rows, cols], keep: bits(element, count, cols, bytes)? }))
        }
        _ => Err(bad("a mask is a matrix, a keep-list is a vector")
            .expected("one or two dimensions")
            .got(format!("`{shape:?}`"))
            .hint("only weight matrices are masked; biases stay")),
    }
}

fn bits(element: Element, count: usize, line: usize, bytes: impl Read) -> Result<Vec<bool>> {
    let mut bits = Vec::new();
    each(element, count, bytes, |value| {
        let bit = match value {
            Value::Integer(0) => false,
            Value::Integer(1) => true,
            Value::Real(0.0) => false,
            Value::Real(1.0) => true,
            other => {
                let i = bits.len();
                return Err(bad("an element of a mask is neither 0 nor 1")
                    .at_field(format!("row {}, column {}", i / line, i % line))
                    .expected("`0` or `1`")
                    .got(format!("`{other}`"))
                    .hint("scores have to be compared with their threshold first"));
            }
        };
        bits.push(bit);
        Ok(())
    })?;
    Ok(bits)
}

fn indices(element: Element, count: usize, bytes: impl Read) -> Result<Vec<usize>> {
    let mut kept: Vec<usize> = Vec::new();
    each(element, count, bytes, |value| {
        let next = match value {
            Value::Integer(x) => usize::try_from(x).ok().filter(|x| kept.last().is_none_or(|last| last < x)),
            Value::Real(_) => None,
        };
        kept.push(next.ok_or_else(|| {
            bad("the integers of a keep-list are the kept units in ascending order")
                .at_field(format!("element {}", kept.len()))
                .expected(format!("above `{}`", kept.last().map_or(-1, |last| *last as i64)))
                .got(format!("`{value}`"))
                .hint("a 0 or 1 for each unit has to be bool, u8 or float")
        })?);
        Ok(())
    })?;
    Ok(kept)
}

/// Visits `count` elements.
fn each(
    element: Element,
    count: usize,
    mut bytes: impl Read,
    mut visit: impl FnMut(Value) -> Result<()>,
) -> Result<()> {
    let mut left = count * element.size();
    let mut buffer = [0u8; STEP];
    while left > 0 {
        let step = &mut buffer[..left.min(STEP)];
        bytes.read_exact(step).map_err(|e| bad(format!("the elements of a mask can't be read: {e}")))?;
        step.chunks_exact(element.size()).try_for_each(|bytes| visit(element.value(bytes)))?;
        left -= step.len();
    }
    Ok(())
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadMask, what)
}
