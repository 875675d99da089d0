//! From views to matrices of the graph.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::recognise::{Partial, Tensor};
use super::super::view::{Column, View};
use super::Importer;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Op, ValueId};

/// Most pieces that a matrix is put together from.
const MAX_PIECES: usize = 64;

/// Which columns of one value a view has.
pub(super) enum Selection {
    /// Neighbours in order.
    Range(Range<usize>),
    /// Any, in any order.
    Scattered(Vec<usize>),
}

impl Selection {
    pub(super) fn of(columns: Vec<usize>) -> Self {
        match columns.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            true => Self::Range(columns[0]..columns[0] + columns.len()),
            false => Self::Scattered(columns),
        }
    }
}

impl Importer {
    /// The tensor as tokens; what is left of a polynomial is computed.
    pub(super) fn tokens(&mut self, tensor: &Tensor) -> Result<View> {
        let what = match tensor {
            Tensor::Tokens(view) => return Ok(view.clone()),
            Tensor::Partial(Partial::Poly { x, c: [shift, scale, 0.0, 0.0] }) => {
                let vector = |v: f64| vec![v as f32; x.cols.len()];
                let scale = (*scale != 1.0).then(|| vector(*scale));
                let shift = (*shift != 0.0).then(|| vector(*shift));
                return self.affine(x, scale, shift);
            }
            Tensor::Partial(partial) => partial.describe(),
            Tensor::Const(_) => "a constant",
            Tensor::Image { .. } => "an image",
            Tensor::Ids { .. } => "an input of integers",
        };
        Err(Error::new(ErrorKind::UnsupportedOp, format!("{what} is used in a way that is not known"))
            .expected("tokens")
            .got(what)
            .hint("only GELU, LayerNorm and softmax attention may be spelled out in primitives"))
    }

    /// `x ⊙ scale + shift`, by column.
    pub(super) fn affine(
        &mut self,
        x: &View,
        scale: Option<Vec<f32>>,
        shift: Option<Vec<f32>>,
    ) -> Result<View> {
        let scale = scale.map(|v| self.vector(v)).transpose()?;
        let shift = shift.map(|v| self.vector(v)).transpose()?;
        self.row_wise(x, Op::Affine { scale, shift })
    }

    /// An op that works on each row by itself and keeps the width.
    pub(super) fn row_wise(&mut self, x: &View, op: Op) -> Result<View> {
        let input = self.matrix(x)?;
        let output = self.emit(op, vec![input], x.rows, x.cols.len())?;
        Ok(self.made(output, x))
    }

    /// The value with all its columns in order, as a tensor like `like`.
    pub(super) fn made(&self, value: ValueId, like: &View) -> View {
        let whole = View::whole(value, like.rows, like.cols.len(), like.dims.clone(), like.tokens.clone());
        View { reversed: like.reversed, batch: like.batch, merged: like.merged, ..whole }
    }

    /// The matrix whose columns are those of the view in order. Rows are as they stand: see [`View::reversed`].
    pub(super) fn matrix(&mut self, view: &View) -> Result<ValueId> {
        let mut runs: Vec<(ValueId, Range<usize>)> = Vec::new();
        for Column { value, index } in view.cols.iter() {
            match runs.last_mut() {
                Some((last, range)) if last == value && range.end == *index => range.end += 1,
                _ => runs.push((*value, *index..*index + 1)),
            }
        }
        if runs.len() > MAX_PIECES {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "the channels are in an order that would have to be copied one by one",
            )
            .expected(format!("at most {MAX_PIECES} runs of channels"))
            .got(runs.len().to_string())
            .hint("reorder the channels by the weights of a linear layer instead"));
        }
        let mut pieces = Vec::new();
        for (value, range) in runs {
            pieces.push(match range == (0..self.graph.dims(value)[1]) {
                true => value,
                false => {
                    let op = Op::SliceCols { start: range.start, len: range.len() };
                    self.emit(op, vec![value], view.rows, range.len())?
                }
            });
        }
        match pieces.as_slice() {
            [one] => Ok(*one),
            _ => self.emit(Op::ConcatCols, pieces, view.rows, view.cols.len()),
        }
    }

    /// One value that has all columns of the view, and the index there of each.
    pub(super) fn gathered(&mut self, view: &View) -> Result<(ValueId, Vec<usize>)> {
        let values = view.values();
        let mut width = 0;
        let mut starts = HashMap::new();
        for value in &values {
            starts.insert(*value, width);
            width += self.graph.dims(*value)[1];
        }
        let value = match values.as_slice() {
            [one] => *one,
            _ => self.emit(Op::ConcatCols, values, view.rows, width)?,
        };
        Ok((value, view.cols.iter().map(|col| starts[&col.value] + col.index).collect()))
    }

    /// The same tensor with row `t` in row `t`.
    pub(super) fn upright(&mut self, view: &View) -> Result<View> {
        match view.reversed {
            true => Ok(View { reversed: false, ..self.map_values(view, view.rows, &Op::ReverseRows)? }),
            false => Ok(view.clone()),
        }
    }

    /// The view on values that an op made of each of the old ones, all columns kept.
    pub(super) fn map_values(&mut self, view: &View, rows: usize, op: &Op) -> Result<View> {
        let mut mapped = HashMap::new();
        for value in view.values() {
            let width = self.graph.dims(value)[1];
            mapped.insert(value, self.emit(op.clone(), vec![value], rows, width)?);
        }
        let cols: Arc<[Column]> =
            view.cols.iter().map(|col| Column { value: mapped[&col.value], index: col.index }).collect();
        Ok(View { cols, rows, fresh: false, ..view.clone() })
    }
}
