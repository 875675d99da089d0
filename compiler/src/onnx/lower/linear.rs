//! Matrix products with constant weights.

use std::sync::Arc;

use super::super::names;
use super::super::node::unsupported;
use super::super::rearrange::{self, Step, broadcast};
use super::super::recognise::{Binary, Partial, Tensor};
use super::super::tensor::Const;
use super::super::view::{View, check_size};
use super::matrix::Selection;
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Activation, Linear, LinearGroup, Op, Origin, ValueId, WeightId};

impl Importer {
    /// The MatMul operator, not all of whose inputs are constant.
    pub(super) fn matmul(&mut self, call: &Call<'_>) -> Result<Tensor> {
        call.node.attributes(&[])?;
        call.at_most(2)?;
        match (call.input(0)?, call.input(1)?) {
            (Tensor::Const(_), _) => {
                Err(Error::new(ErrorKind::UnsupportedOp, "a constant matrix is multiplied from the left")
                    .expected("tokens times a constant")
                    .got("a constant times tokens")
                    .hint("transpose the product: `x.T @ w.T` instead of `w @ x`"))
            }
            (x, Tensor::Const(weight)) => {
                let x = self.tokens(x)?;
                if weight.dims().len() == 1 {
                    // A vector is a matrix of one column, which goes again.
                    let column = rearrange::apply(weight, &[Step::InsertAxis(1)]);
                    let y = self.linear(&x, &Weight::of(&x, &column)?, None)?;
                    let last = Step::SplitAxis { axis: y.dims.len() - 1, dims: Vec::new() };
                    return self.view_steps(&y, &[last]).map(Tensor::Tokens);
                }
                let weight = Weight::of(&x, weight)?;
                self.linear(&x, &weight, None).map(Tensor::Tokens)
            }
            (mask @ (Tensor::Ids { .. } | Tensor::Partial(Partial::Mask(_))), x) => self.summed(mask, x),
            (a, b) => self.attention_product(a, b),
        }
    }

    /// The Gemm operator: `alpha·A·B + beta·C`.
    pub(super) fn gemm(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let attributes = call.node.attributes(&["alpha", "beta", "transA", "transB"])?;
        attributes.only_int("transA", 0, "transpose the tensor before the product")?;
        let (alpha, beta) = (attributes.float_or("alpha", 1.0)?, attributes.float_or("beta", 1.0)?);
        let x = self.tokens(call.input(0)?)?;
        let mut b = call.required_constant(1, "B")?.clone();
        if b.dims().len() != 2 || x.dims.len() != 2 {
            return Err(wrong_shapes(&x.dims, b.dims()));
        }
        match attributes.int_or("transB", 0)? {
            0 => {}
            1 => b = rearrange::apply(&b, &[Step::Transpose(vec![1, 0])]),
            other => {
                return Err(unsupported("transB", "0` or `1", other, "check the model with `onnx.checker`"));
            }
        }
        let mut weight = Weight::of(&x, &b)?;
        weight.data.iter_mut().for_each(|w| *w *= alpha);
        let cols = weight.cols;
        let Some(c) = call.constant(2, "C")? else {
            return self.linear(&x, &weight, None).map(Tensor::Tokens);
        };
        let c = Const::from(c.f32s()?.mapv(|v| beta * v)).with_origin(c.origin.clone());
        if broadcast(c.dims(), &[1, cols])? == [1, cols] {
            let wide = c.f32s()?.broadcast(ndarray::IxDyn(&[1, cols])).expect("checked by `broadcast`");
            return self.linear(&x, &weight, Some(wide.iter().copied().collect())).map(Tensor::Tokens);
        }
        let product = self.linear(&x, &weight, None)?;
        self.with_constant(Binary::Add, &product, &c, false).map(Tensor::Tokens)
    }

    /// `x · W + b` over the last axis of `x`.
    fn linear(&mut self, x: &View, weight: &Weight, bias: Option<Vec<f32>>) -> Result<View> {
        let (depth, cols) = (weight.rows, weight.cols);
        let count = x.cols.len() / depth;
        check_size(x.rows, count.saturating_mul(cols))?;
        let bias = bias.map(|bias| self.vector(bias)).transpose()?;
        let (input, columns) = self.gathered(x)?;
        let width = self.graph.dims(input)[1];
        let mut shared: Option<WeightId> = None;
        let mut origin = Origin { initializer: weight.initializer.clone(), ..Origin::default() };
        let mut groups = Vec::with_capacity(count);
        for (index, columns) in columns.chunks(depth).enumerate() {
            let data = match weight.each {
                true => &weight.data[index * depth * cols..][..depth * cols],
                false => &weight.data[..],
            };
            let (input, id) = match (Selection::of(columns.to_vec()), shared) {
                (Selection::Range(range), Some(id)) if !weight.each => (range, id),
                (Selection::Range(range), _) => {
                    let id = self.weight(depth, cols, data.to_vec())?;
                    shared = Some(id);
                    (range, id)
                }
                (Selection::Scattered(columns), _) => {
                    let size = width.saturating_mul(cols);
                    self.spend(size)?;
                    let mut wide = vec![0.0f32; size];
                    for (row, column) in columns.iter().enumerate() {
                        let sum = wide[column * cols..][..cols].iter_mut();
                        sum.zip(&data[row * cols..]).for_each(|(sum, w)| *sum += w);
                    }
                    origin.columns = (count == 1).then_some(columns);
                    (0..width, self.graph.add_weight(width, cols, wide))
                }
            };
            groups.push(LinearGroup { input, output: index * cols..(index + 1) * cols, weight: id, bias });
        }
        let op = Op::Linear(Linear { cols: count * cols, groups, act: Activation::None, residual: false });
        let output = self.emit(op, vec![input], x.rows, count * cols)?;
        self.origins.insert(output, origin);
        let mut dims = x.dims.clone();
        dims.pop();
        dims.push(cols);
        let made = View::whole(output, x.rows, count * cols, dims, x.tokens.clone()).with_batch(x.batch);
        Ok(View { reversed: x.reversed, merged: x.merged, ..made })
    }

    /// Makes `shift` the bias of the linear layer, or the shift of the LayerNorm, that made `x` for this use alone.
    /// Says whether it was possible.
    pub(super) fn fuse_shift(&mut self, x: &View, shift: &[f32], origin: Option<&str>) -> Result<bool> {
        let Some(index) = self.maker(x) else { return Ok(false) };
        match &self.graph.nodes[index].op {
            Op::LayerNorm { shift: None, .. } => {
                let id = self.vector(shift.to_vec())?;
                if let Op::LayerNorm { shift, .. } = &mut self.graph.nodes[index].op {
                    *shift = Some(id);
                }
            }
            Op::Linear(linear) if linear.groups.iter().all(|group| group.bias.is_none()) => {
                let outputs: Vec<_> = linear.groups.iter().map(|group| group.output.clone()).collect();
                let vectors = outputs.into_iter().map(|output| self.vector(shift[output].to_vec()));
                let ids: Vec<WeightId> = vectors.collect::<Result<_>>()?;
                if let Op::Linear(linear) = &mut self.graph.nodes[index].op {
                    linear.groups.iter_mut().zip(ids).for_each(|(group, id)| group.bias = Some(id));
                }
            }
            _ => return Ok(false),
        }
        if let Some(module) = origin.and_then(names::of_parameter) {
            self.rename(index, module);
        }
        Ok(true)
    }

    /// Makes `scale` the scale of the LayerNorm that made `x` for this use alone. Says whether it was possible.
    pub(super) fn fuse_scale(&mut self, x: &View, scale: &[f32]) -> Result<bool> {
        let Some(index) = self.maker(x) else { return Ok(false) };
        if !matches!(self.graph.nodes[index].op, Op::LayerNorm { scale: None, shift: None, .. }) {
            return Ok(false);
        }
        let id = self.vector(scale.to_vec())?;
        if let Op::LayerNorm { scale, .. } = &mut self.graph.nodes[index].op {
            *scale = Some(id);
        }
        Ok(true)
    }

    /// The node that made a value of which `x` is all.
    fn maker(&self, x: &View) -> Option<usize> {
        let value: ValueId = x.cols.first()?.value;
        let index = self.graph.nodes.iter().rposition(|node| node.output == value)?;
        let whole = x.cols.iter().enumerate().all(|(i, col)| col.value == value && col.index == i);
        (whole && self.graph.dims(value)[1] == x.cols.len()).then_some(index)
    }

    /// A parameter knows better where a node came from than a guess.
    fn rename(&mut self, index: usize, module: &str) {
        let node = &mut self.graph.nodes[index];
        if self.guessed.remove(&node.output) {
            node.name = module.to_owned();
        }
    }
}

/// A constant right operand.
struct Weight {
    /// `rows × cols`, or one such matrix for each group of channels.
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    /// Whether each group of channels has its own matrix.
    each: bool,
    /// The constant of the model that it was made from.
    initializer: Option<Arc<str>>,
}

impl Weight {
    /// Brings a constant right operand into the form that [`Importer::linear`] takes.
    fn of(x: &View, b: &Const) -> Result<Self> {
        let dims = b.dims();
        let [batch @ .., rows, cols] = dims else { return Err(wrong_shapes(&x.dims, dims)) };
        let wrong = || wrong_shapes(&x.dims, dims);
        let [front @ .., last] = x.dims.as_slice() else { return Err(wrong()) };
        if last != rows || *cols == 0 || !x.is_column_axis(front.len()) {
            return Err(wrong());
        }
        let each = batch.iter().any(|d| *d > 1);
        if each && x.merged > 1 {
            return Err(wrong());
        }
        if each {
            // One matrix for each group of channels: the tokens are the rows of each product.
            let lead = front.len().checked_sub(1).filter(|axis| x.tokens == (*axis..axis + 1));
            let mut lead = front[..lead.ok_or_else(wrong)?].to_vec();
            if let Some(axis) = x.batch {
                // The same for every element of the batch.
                lead[axis] = 1;
            }
            if batch.iter().product::<usize>() != lead.iter().product::<usize>()
                || broadcast(batch, &lead)? != lead
            {
                return Err(wrong());
            }
        } else if batch.len() > front.len() {
            return Err(wrong());
        }
        Ok(Self { data: b.floats()?, rows: *rows, cols: *cols, each, initializer: b.origin.clone() })
    }
}

fn wrong_shapes(x: &[usize], b: &[usize]) -> Error {
    Error::new(ErrorKind::ShapeMismatch, "the shapes of a matrix product don't fit together")
        .expected(format!("[…, tokens, K] times [K, N] with K = {}", x.last().unwrap_or(&0)))
        .got(format!("{x:?} times {b:?}"))
}
