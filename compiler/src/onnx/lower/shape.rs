//! Operators that move data: Reshape, Transpose, Slice, Split, Gather, Concat, and those that do nothing.

use super::super::fold;
use super::super::mask::Mask;
use super::super::node::unsupported;
use super::super::rearrange::{self, Step};
use super::super::recognise::{Partial, Tensor};
use super::super::tensor::Const;
use super::super::view::{View, check_size};
use super::mask::layout;
use super::{Call, Importer, unknown_op};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Op;

/// Most pieces into which the rows of a tensor are cut at once.
const MAX_PIECES: usize = 64;

impl Importer {
    /// A shape operator on tokens.
    pub(super) fn rearrange(&mut self, call: &Call<'_>) -> Result<Vec<Tensor>> {
        let first = call.inputs.first().and_then(Option::as_ref).ok_or_else(|| unknown_op(call.node))?;
        let params: Vec<Option<&Const>> =
            call.inputs.iter().skip(1).map(|input| input.as_ref().and_then(Tensor::constant)).collect();
        let steps = rearrange::steps(call.node, self.opset, &first.dims(), &params, self.max_elements)?;
        let outputs = steps.ok_or_else(|| unknown_op(call.node))?;
        outputs.iter().map(|steps| self.steps(first, steps)).collect()
    }

    fn steps(&mut self, tensor: &Tensor, steps: &[Step]) -> Result<Tensor> {
        match tensor {
            Tensor::Const(c) => Ok(Tensor::Const(rearrange::apply(c, steps))),
            // Element by element, so it makes no difference where the elements are.
            Tensor::Partial(Partial::Poly { x, c }) => Ok(Tensor::poly(self.view_steps(x, steps)?, *c)),
            other if steps.is_empty() && !matches!(other, Tensor::Tokens(_)) => Ok(other.clone()),
            Tensor::Ids { x, input } => Ok(Tensor::Ids { x: layout(x, steps)?, input: *input }),
            Tensor::Partial(Partial::Mask(Mask { x, bits })) => {
                Ok(Tensor::Partial(Partial::Mask(Mask { x: layout(x, steps)?, bits: *bits })))
            }
            Tensor::Partial(Partial::Lengths { x, rows }) => {
                Ok(Tensor::Partial(Partial::Lengths { x: layout(x, steps)?, rows: *rows }))
            }
            Tensor::Partial(Partial::Sum { x, rows }) => {
                Ok(Tensor::Partial(Partial::Sum { x: layout(x, steps)?, rows: *rows }))
            }
            Tensor::Partial(Partial::Norm { x, squared, floor, .. }) if repeats_last(steps, &x.dims) => {
                let (x, squared, floor) = (x.clone(), *squared, *floor);
                Ok(Tensor::Partial(Partial::Norm { x, squared, floor, wide: true }))
            }
            other => {
                let view = self.tokens(other)?;
                self.view_steps(&view, steps).map(Tensor::Tokens)
            }
        }
    }

    pub(super) fn view_steps(&mut self, view: &View, steps: &[Step]) -> Result<View> {
        let mut view = View { fresh: false, ..view.clone() };
        for step in steps {
            view = match step {
                Step::Take { axis, indices } if view.tokens.contains(axis) => {
                    self.take_rows(&view, *axis, indices)?
                }
                step => view.rearrange(step)?,
            };
        }
        Ok(view)
    }

    fn take_rows(&mut self, view: &View, axis: usize, indices: &[usize]) -> Result<View> {
        let Some(view) = view.with_tokens_along(axis) else {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "the tokens are cut along one axis of an image",
            )
            .hint("flatten the patches before selecting some of them"));
        };
        let pieces = row_pieces(indices)?;
        if let [piece] = pieces.as_slice() {
            return self.slice_rows(&view, axis, piece);
        }
        let views: Vec<View> =
            pieces.iter().map(|piece| self.slice_rows(&view, axis, piece)).collect::<Result<_>>()?;
        self.concat_rows(&views, axis)
    }

    fn slice_rows(&mut self, view: &View, axis: usize, piece: &Rows) -> Result<View> {
        let mut dims = view.dims.clone();
        dims[axis] = piece.len;
        let start = match view.reversed {
            true => view.rows - piece.start - piece.len,
            false => piece.start,
        };
        let sliced = match piece.len == view.rows {
            true => view.clone(),
            false => self.map_values(view, piece.len, &Op::SliceRows { start, len: piece.len })?,
        };
        Ok(View { dims, reversed: view.reversed != piece.backwards, fresh: false, ..sliced })
    }

    /// Puts tensors one below the other; they agree in all axes but the tokens'.
    fn concat_rows(&mut self, views: &[View], axis: usize) -> Result<View> {
        let mut inputs = Vec::new();
        let mut rows = 0usize;
        for view in views {
            let view = self.upright(view)?;
            inputs.push(self.matrix(&view)?);
            rows = rows.saturating_add(view.rows);
        }
        let cols = views[0].cols.len();
        check_size(rows, cols)?;
        let value = self.emit(Op::ConcatRows, inputs, rows, cols)?;
        let mut dims = views[0].dims.clone();
        dims[axis] = rows;
        Ok(View::whole(value, rows, cols, dims, axis..axis + 1).with_batch(views[0].batch))
    }

    /// The Concat operator, not all of whose inputs are constant.
    pub(super) fn concat(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let attributes = call.node.attributes(&["axis"])?;
        let axis = attributes.int("axis")?.ok_or_else(|| {
            Error::new(ErrorKind::BrokenModel, "attribute `axis` is missing").at_field("axis")
        })?;
        let axis = rearrange::axis(axis, call.input(0)?.dims().len())?;
        let tensors: Vec<&Tensor> = call.inputs.iter().flatten().collect();
        let all: Vec<Vec<usize>> = tensors.iter().map(|tensor| tensor.dims()).collect();
        rearrange::concat_dims(&all.iter().map(Vec::as_slice).collect::<Vec<_>>(), axis)?;
        if all.iter().any(|dims| dims.contains(&0)) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "tokens are joined with a tensor without elements",
            )
            .got(format!("{all:?}")));
        }
        // Tokens are joined if any part runs over them along this axis, channels otherwise.
        let along_rows = tensors.iter().any(|tensor| match tensor {
            Tensor::Tokens(view) | Tensor::Partial(Partial::Poly { x: view, .. }) => {
                view.tokens.contains(&axis) && view.rows > 1
            }
            _ => false,
        });
        let batch = tensors.iter().find_map(|t| t.as_poly()).and_then(|(view, _)| view.batch);
        if batch == Some(axis) {
            return Err(Error::new(ErrorKind::UnsupportedOp, "elements are added to the batch")
                .hint("leave the batch as it is from the model's inputs to its outputs"));
        }
        let mut views = Vec::new();
        for tensor in &tensors {
            views.push(match tensor {
                Tensor::Const(c) if along_rows => self.constant_rows(c, axis, batch)?,
                Tensor::Const(c) => self.constant_beside(c, &tensors)?,
                other => self.tokens(other)?,
            });
        }
        let aligned = |view: View| view.with_tokens_along(axis).ok_or_else(|| different_tokens(axis));
        if views.iter().any(|view| view.batch != batch || view.merged > 1) {
            return Err(different_tokens(axis));
        }
        if along_rows {
            let views: Vec<View> = views.into_iter().map(aligned).collect::<Result<_>>()?;
            return Ok(Tensor::Tokens(self.concat_rows(&views, axis)?));
        }
        if views.windows(2).any(|pair| pair[0].reversed != pair[1].reversed) {
            views = views.iter().map(|view| self.upright(view)).collect::<Result<_>>()?;
        }
        let (rows, tokens) = (views[0].rows, views[0].tokens.clone());
        if rows == 1 {
            // One row: every axis is one of columns.
            views.iter_mut().for_each(|view| view.tokens = 0..0);
        } else if views.iter().any(|view| view.tokens != tokens) {
            return Err(different_tokens(axis));
        }
        Ok(Tensor::Tokens(View::concat(&views, axis)?))
    }

    /// A constant whose rows are joined to tokens along an axis.
    fn constant_rows(&mut self, constant: &Const, axis: usize, batch: Option<usize>) -> Result<View> {
        let dims = constant.dims().to_vec();
        let one = one_element(constant, batch)?;
        let (rows, cols) = (dims[axis], one.len() / dims[axis]);
        check_size(rows, cols)?;
        let front: Vec<usize> = std::iter::once(axis).chain((0..dims.len()).filter(|a| *a != axis)).collect();
        let data = rearrange::apply(&one, &[Step::Transpose(front)]).floats()?;
        let value = self.constant(rows, cols, data)?;
        Ok(View::whole(value, rows, cols, dims, axis..axis + 1).with_batch(batch))
    }

    /// A constant whose columns are joined to those of tokens.
    fn constant_beside(&mut self, constant: &Const, tensors: &[&Tensor]) -> Result<View> {
        let tokens = tensors.iter().find_map(|t| t.as_poly()).map(|(view, _)| view.clone());
        let Some(like) = tokens else { return Err(different_tokens(0)) };
        let dims = constant.dims().to_vec();
        let order: Vec<usize> =
            like.tokens.clone().chain((0..dims.len()).filter(|axis| !like.tokens.contains(axis))).collect();
        let one = one_element(constant, like.batch)?;
        let data = rearrange::apply(&one, &[Step::Transpose(order)]).floats()?;
        let cols = data.len() / like.rows;
        check_size(like.rows, cols)?;
        let value = self.constant(like.rows, cols, data)?;
        Ok(View::whole(value, like.rows, cols, dims, like.tokens).with_batch(like.batch))
    }

    /// The Cast and CastLike operators on tokens, all of which are f32, and on counts of tokens.
    pub(super) fn cast(&mut self, call: &Call<'_>) -> Result<Tensor> {
        const ROUNDING: [&str; 2] = ["saturate", "round_mode"];
        let value = call.input(0)?;
        if call.node.op() == "CastLike" {
            call.node.attributes(&ROUNDING)?;
            if let Some(like) = call.input(1)?.constant() {
                like.f32s()?;
            }
            return match value {
                Tensor::Const(c) => fold::cast_to_f32(c).map(Tensor::Const),
                tokens => self.steps(tokens, &[]),
            };
        }
        let to = call.node.attributes(&["to", ROUNDING[0], ROUNDING[1]])?.int_or("to", 0)?;
        if let Tensor::Partial(Partial::Lengths { .. }) = value {
            return Ok(value.clone());
        }
        if to != tract_onnx::pb::tensor_proto::DataType::Float as i64 {
            return Err(unsupported("to", "1 (FLOAT)", to, "export the model in f32"));
        }
        self.steps(value, &[])
    }
}

/// A constant for one element of the batch: it must be the same for all of them.
pub(super) fn one_element(constant: &Const, batch: Option<usize>) -> Result<Const> {
    let Some(axis) = batch.filter(|axis| constant.dims().get(*axis).is_some_and(|size| *size > 1)) else {
        return Ok(constant.clone());
    };
    let element = |index| rearrange::apply(constant, &[Step::Take { axis, indices: vec![index] }]);
    let first = element(0);
    match (1..constant.dims()[axis]).all(|index| element(index).data == first.data) {
        true => Ok(first),
        false => {
            Err(Error::new(ErrorKind::UnsupportedOp, "a constant differs between the elements of the batch")
                .expected("every element computed alike"))
        }
    }
}

/// Whether steps do nothing but repeat the last axis, which is of size 1, for each channel.
fn repeats_last(steps: &[Step], dims: &[usize]) -> bool {
    let repeats = |step: &Step| {
        matches!(step, Step::Take { axis, indices }
            if *axis + 1 == dims.len() && indices.iter().all(|i| *i == 0) && Some(&indices.len()) == dims.last())
    };
    steps.len() == 1 && steps.iter().all(repeats)
}

fn different_tokens(axis: usize) -> Error {
    Error::new(
        ErrorKind::UnsupportedOp,
        format!("tensors whose tokens run along different axes are joined along axis {axis}"),
    )
    .hint("transpose them to the same order of axes before joining them")
}

/// Rows that stand next to each other.
struct Rows {
    start: usize,
    len: usize,
    backwards: bool,
}

/// Cuts a list of rows into ranges that run one way.
fn row_pieces(indices: &[usize]) -> Result<Vec<Rows>> {
    let mut pieces: Vec<Rows> = Vec::new();
    for index in indices {
        match pieces.last_mut() {
            Some(piece) if !piece.backwards && *index == piece.start + piece.len => piece.len += 1,
            Some(piece) if (piece.backwards || piece.len == 1) && *index + 1 == piece.start => {
                *piece = Rows { start: *index, len: piece.len + 1, backwards: true };
            }
            _ => pieces.push(Rows { start: *index, len: 1, backwards: false }),
        }
    }
    match pieces.len() {
        0 => Err(Error::new(ErrorKind::UnsupportedOp, "no token is left")),
        1..=MAX_PIECES => Ok(pieces),
        got => Err(Error::new(
            ErrorKind::UnsupportedOp,
            "the tokens are reordered in a way that is not supported",
        )
        .expected(format!("at most {MAX_PIECES} runs of tokens"))
        .got(got.to_string())),
    }
}
