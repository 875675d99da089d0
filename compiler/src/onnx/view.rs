//! How a tensor of the ONNX graph lies in matrices of the IR. May import: `error`, `ir`, `rearrange`.
//!
//! An ONNX tensor such as `[batch, heads, T, d]` is, for each element of the batch, a set of columns of `T × D` matrices
//! under some order of axes. As long as nothing is computed, Reshape, Transpose, Split, Slice and Concat only change that
//! order: they cost nothing. What would mix elements of the batch is refused.

use std::ops::Range;
use std::sync::Arc;

use super::rearrange::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::ValueId;

/// Most tokens, and most columns, of a view.
pub(super) const MAX_SIZE: usize = 1 << 20;

/// One column of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) value: ValueId,
    pub(super) index: usize,
}

/// A tensor whose elements are columns of values that all have `rows` rows.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Dimensions of the ONNX tensor.
    pub(super) dims: Vec<usize>,
    /// The axis that runs over the batch; `None` if there is one element.
    pub(super) batch: Option<usize>,
    /// Columns that a reshape has put into the axis of the batch, behind its elements; else 1.
    pub(super) merged: usize,
    /// The axes that together run over the tokens; their product is `rows`. May be empty if there is one row.
    pub(super) tokens: Range<usize>,
    /// Number of tokens.
    pub(super) rows: usize,
    /// The columns, row-major over all other axes.
    pub(super) cols: Arc<[Column]>,
    /// Whether token `t` stands in row `rows - 1 - t`.
    pub(super) reversed: bool,
    /// Whether the node that is the tensor's producer has made the value for this tensor alone.
    pub(super) fresh: bool,
}

/// Whether two views are the same tensor; who made it does not matter.
impl PartialEq for View {
    fn eq(&self, other: &Self) -> bool {
        let Self { dims, batch, merged, tokens, rows, cols, reversed, fresh: _ } = self;
        (dims, batch, merged) == (&other.dims, &other.batch, &other.merged)
            && (tokens, rows, reversed) == (&other.tokens, &other.rows, &other.reversed)
            && (Arc::ptr_eq(cols, &other.cols) || *cols == other.cols)
    }
}

impl View {
    /// All `cols` columns of a value, in order, as a tensor of `dims`.
    pub(super) fn whole(
        value: ValueId,
        rows: usize,
        cols: usize,
        dims: Vec<usize>,
        tokens: Range<usize>,
    ) -> Self {
        let cols = (0..cols).map(|index| Column { value, index }).collect();
        Self { dims, batch: None, merged: 1, tokens, rows, cols, reversed: false, fresh: true }
    }

    /// The same with another axis of the batch.
    pub(super) fn with_batch(self, batch: Option<usize>) -> Self {
        Self { batch, ..self }
    }

    /// Elements of the batch.
    pub(super) fn elements(&self) -> usize {
        self.batch.map_or(1, |axis| self.dims[axis] / self.merged)
    }

    /// Whether an axis is neither the batch's nor one of the tokens'.
    pub(super) fn is_column_axis(&self, axis: usize) -> bool {
        !self.tokens.contains(&axis) && self.batch != Some(axis)
    }

    /// The axes that are neither the batch's nor the tokens'.
    pub(super) fn column_axes(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.dims.len()).filter(|axis| self.is_column_axis(*axis))
    }

    /// Whether the last axis is one of columns and all its elements are together one row's worth: `[…1…, T, …1…, D]`.
    pub(super) fn is_matrix(&self) -> bool {
        self.dims.last() == Some(&self.cols.len()) && self.is_column_axis(self.dims.len() - 1)
    }

    /// Whether the tensor in row-major order is, element by element, the matrix of tokens by columns.
    pub(super) fn is_row_major(&self) -> bool {
        let ones = |end: usize| (0..end).all(|axis| self.dims[axis] == 1 || self.batch == Some(axis));
        self.merged == 1 && self.batch.is_none_or(ones) && (self.rows == 1 || ones(self.tokens.start))
    }

    /// The same tensor with its tokens along the given axis, where that makes no difference or is so already.
    pub(super) fn with_tokens_along(&self, axis: usize) -> Option<Self> {
        let already = self.tokens == (axis..axis + 1);
        if already || (self.rows == 1 && self.dims.get(axis) == Some(&1)) {
            return Some(Self { tokens: axis..axis + 1, ..self.clone() });
        }
        // Axes of size 1 beside the tokens' may have been taken in with them.
        let whole = self.tokens.contains(&axis) && self.dims[axis] == self.rows;
        whole.then(|| Self { tokens: axis..axis + 1, ..self.clone() })
    }

    /// A step that computes nothing. [`Step::Take`] along the tokens is not one.
    pub(super) fn rearrange(&self, step: &Step) -> Result<Self> {
        let mut view = Self { fresh: false, ..self.clone() };
        match step {
            Step::Reshape(dims) => {
                if let Some(batch) = self.batch {
                    let (axis, merged) = self.batch_after_reshape(batch, dims)?;
                    (view.batch, view.merged) = (Some(axis), merged);
                }
                view.tokens = self.tokens_after_reshape(dims, view.batch)?;
                view.dims.clone_from(dims);
            }
            Step::InsertAxis(axis) => {
                view.dims.insert(*axis, 1);
                view.batch = self.batch.map(|batch| batch + usize::from(*axis <= batch));
                view.tokens.start += usize::from(*axis <= self.tokens.start);
                view.tokens.end += usize::from(*axis < self.tokens.end || *axis <= self.tokens.start);
            }
            Step::SplitAxis { axis, dims } => {
                view.batch = match self.batch {
                    Some(batch) if batch == *axis => {
                        let whole =
                            dims.iter().position(|size| *size == self.dims[batch] && self.merged == 1);
                        Some(axis + whole.ok_or_else(|| mixes_batch(&self.dims, dims))?)
                    }
                    Some(batch) if batch > *axis => Some(batch - 1 + dims.len()),
                    other => other,
                };
                view.dims.splice(axis..=axis, dims.iter().copied());
                let moved = |end: usize| if *axis < end { end - 1 + dims.len() } else { end };
                view.tokens = moved(self.tokens.start)..moved(self.tokens.end);
            }
            Step::Transpose(perm) => view.transpose(self, perm)?,
            Step::Take { axis, indices } => view.take(self, *axis, indices)?,
        }
        Ok(view)
    }

    /// The axis of the batch under other dimensions, with as much before it, and the columns that it takes in: some of
    /// those between the batch and the tokens.
    fn batch_after_reshape(&self, batch: usize, dims: &[usize]) -> Result<(usize, usize)> {
        let before: usize = self.dims[..batch].iter().product();
        let end = if batch < self.tokens.start { self.tokens.start } else { self.dims.len() };
        let behind = self.merged * self.dims[batch + 1..end].iter().product::<usize>();
        let merged = |axis: usize| {
            let merged = dims[axis].checked_div(self.elements()).filter(|merged| *merged > 0)?;
            let fits = merged * self.elements() == dims[axis] && behind.is_multiple_of(merged);
            (fits && dims[..axis].iter().product::<usize>() == before).then_some((axis, merged))
        };
        (0..dims.len()).find_map(merged).ok_or_else(|| mixes_batch(&self.dims, dims))
    }

    /// Columns along an axis.
    fn columns_along(&self, axis: usize) -> usize {
        match () {
            () if self.tokens.contains(&axis) => 1,
            () if self.batch == Some(axis) => self.merged,
            () => self.dims[axis],
        }
    }

    fn tokens_after_reshape(&self, dims: &[usize], batch: Option<usize>) -> Result<Range<usize>> {
        let before: usize = self.dims[..self.tokens.start].iter().product();
        let prefix = |axis: usize| dims[..axis].iter().product::<usize>();
        let starts = (0..=dims.len()).rev().filter(|start| prefix(*start) == before);
        let mut found = starts.filter_map(|start| {
            let end =
                (start..=dims.len()).find(|end| dims[start..*end].iter().product::<usize>() == self.rows)?;
            Some(start..end).filter(|range| batch.is_none_or(|axis| !range.contains(&axis)))
        });
        found.next().ok_or_else(|| {
            Error::new(ErrorKind::UnsupportedOp, "a reshape mixes tokens with channels")
                .expected(format!("a shape that keeps the axis of {} tokens of {:?}", self.rows, self.dims))
                .got(format!("{dims:?}"))
        })
    }

    fn transpose(&mut self, from: &Self, perm: &[usize]) -> Result<()> {
        self.dims = perm.iter().map(|axis| from.dims[*axis]).collect();
        let place = |axis: usize| perm.iter().position(|p| *p == axis).expect("a permutation");
        let start = match from.tokens.is_empty() {
            true => 0,
            false => place(from.tokens.start),
        };
        if from.tokens.clone().map(place).ne(start..start + from.tokens.len()) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "a transposition separates the axes of the tokens",
            )
            .got(format!("{perm:?}")));
        }
        self.tokens = start..start + from.tokens.len();
        self.batch = from.batch.map(place);
        let axes: Vec<usize> = perm.iter().copied().filter(|axis| from.columns_along(*axis) > 1).collect();
        if !axes.is_sorted() {
            let strides = from.column_strides();
            let sizes: Vec<usize> = axes.iter().map(|axis| from.columns_along(*axis)).collect();
            let mut at = vec![0usize; axes.len()];
            let mut cols = Vec::with_capacity(from.cols.len());
            for _ in 0..from.cols.len() {
                let index: usize = at.iter().zip(&axes).map(|(i, axis)| i * strides[*axis]).sum();
                cols.push(from.cols[index]);
                for axis in (0..at.len()).rev() {
                    at[axis] += 1;
                    if at[axis] < sizes[axis] {
                        break;
                    }
                    at[axis] = 0;
                }
            }
            self.cols = cols.into();
        }
        Ok(())
    }

    /// Distance in `cols` of neighbours along each axis; of no meaning for the tokens'.
    fn column_strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.dims.len()];
        let mut stride = 1;
        for axis in (0..self.dims.len()).rev() {
            strides[axis] = stride;
            stride *= self.columns_along(axis);
        }
        strides
    }

    fn take(&mut self, from: &Self, axis: usize, indices: &[usize]) -> Result<()> {
        if indices.is_empty() {
            return Err(Error::new(ErrorKind::UnsupportedOp, "a tensor has no elements left"));
        }
        if from.batch == Some(axis) {
            if indices.iter().copied().eq(0..from.dims[axis]) {
                return Ok(());
            }
            return Err(Error::new(ErrorKind::UnsupportedOp, "elements of the batch are picked")
                .expected("every element computed by itself")
                .got(format!("{} of {}", indices.len(), from.dims[axis]))
                .hint("leave the batch as it is from the model's inputs to its outputs"));
        }
        let inner = from.column_strides()[axis];
        let size = from.dims[axis];
        check_size(1, from.cols.len() / size * indices.len())?;
        let block = |outer: usize| {
            indices.iter().flat_map(move |i| (outer * size + i) * inner..(outer * size + i + 1) * inner)
        };
        self.cols = (0..from.cols.len() / (size * inner)).flat_map(block).map(|i| from.cols[i]).collect();
        self.dims[axis] = indices.len();
        Ok(())
    }

    /// Puts views side by side along an axis of columns. They agree in all other axes and in their tokens.
    pub(super) fn concat(views: &[Self], axis: usize) -> Result<Self> {
        let first = &views[0];
        let block = |view: &Self| view.column_strides()[axis] * view.dims[axis];
        let count = first.cols.len() / block(first);
        check_size(1, views.iter().map(|view| view.cols.len()).sum())?;
        let part = |outer: usize| {
            views.iter().flat_map(move |view| view.cols[outer * block(view)..][..block(view)].iter().copied())
        };
        let mut view = Self { fresh: false, cols: (0..count).flat_map(part).collect(), ..first.clone() };
        view.dims[axis] = views.iter().map(|view| view.dims[axis]).sum();
        Ok(view)
    }

    /// The layout of what is left when the tokens are brought to one; columns stay those of the tokens.
    pub(super) fn reduced(&self, keep: bool) -> Self {
        let axes = self.tokens.len();
        let kept = if keep { axes } else { 0 };
        let mut dims = self.dims.clone();
        dims.splice(self.tokens.clone(), std::iter::repeat_n(1, kept));
        let moved = |axis: usize| if axis >= self.tokens.end { axis - axes + kept } else { axis };
        Self {
            dims,
            batch: self.batch.map(moved),
            tokens: self.tokens.start..self.tokens.start + kept,
            rows: 1,
            // What is made of all tokens is the same whichever way they run.
            reversed: false,
            fresh: false,
            ..self.clone()
        }
    }

    /// The distinct values in order of first appearance.
    pub(super) fn values(&self) -> Vec<ValueId> {
        let mut seen = std::collections::HashSet::new();
        self.cols.iter().map(|col| col.value).filter(|value| seen.insert(*value)).collect()
    }
}

fn mixes_batch(from: &[usize], to: &[usize]) -> Error {
    Error::new(ErrorKind::UnsupportedOp, "a reshape mixes elements of the batch")
        .expected(format!("a shape that keeps the axis of the batch of {from:?}"))
        .got(format!("{to:?}"))
        .hint("export the model with batch size 1, or keep the batch an axis of its own")
}

/// Refuses more tokens or channels than are sensible, before anything is allocated for them.
pub(super) fn check_size(rows: usize, cols: usize) -> Result<()> {
    for (what, got) in [("tokens", rows), ("channels", cols)] {
        if got > MAX_SIZE {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("too many {what}"))
                .expected(format!("at most {MAX_SIZE}"))
                .got(got.to_string()));
        }
    }
    Ok(())
}
