//! Element-wise operators.

use ndarray::IxDyn;

use super::super::node::unsupported;
use super::super::rearrange::{self, Step, broadcast};
use super::super::recognise::{self, Binary, Found, Tensor};
use super::super::tensor::Const;
use super::super::view::View;
use super::shape::one_element;
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Activation, Op};

impl Importer {
    pub(super) fn binary(&mut self, call: &Call<'_>) -> Result<Tensor> {
        call.node.attributes(&[])?;
        call.at_most(2)?;
        let op = match call.node.op() {
            "Add" => Binary::Add,
            "Sub" => Binary::Sub,
            "Mul" => Binary::Mul,
            "Div" => Binary::Div,
            _ => Binary::Pow,
        };
        let (a, b) = (call.input(0)?, call.input(1)?);
        let fresh = [self.is_sole_reader(call, 0), self.is_sole_reader(call, 1)];
        self.combine(op, a, b, fresh)
    }

    /// The Sum operator: two tensors or more.
    pub(super) fn sum(&mut self, call: &Call<'_>) -> Result<Tensor> {
        call.node.attributes(&[])?;
        let mut sum = call.input(0)?.clone();
        for index in 1..call.inputs.len() {
            sum = self.combine(Binary::Add, &sum, call.input(index)?, [false; 2])?;
        }
        Ok(sum)
    }

    /// An operator of two tensors, each made for this use alone if `fresh` says so.
    fn combine(&mut self, op: Binary, a: &Tensor, b: &Tensor, fresh: [bool; 2]) -> Result<Tensor> {
        if let Some(found) = self.with_mask(op, a, b)? {
            return Ok(found);
        }
        if let Some(found) = recognise::binary(op, a, b) {
            return self.found(found);
        }
        match (a, b) {
            (Tensor::Const(c), x) | (x, Tensor::Const(c)) => {
                let constant_first = matches!(a, Tensor::Const(_));
                self.refuse_bias(x)?;
                let x = View { fresh: fresh[usize::from(constant_first)], ..self.tokens(x)? };
                self.with_constant(op, &x, c, constant_first).map(Tensor::Tokens)
            }
            _ => {
                self.refuse_bias(a)?;
                self.refuse_bias(b)?;
                let (a, b) = (self.tokens(a)?, self.tokens(b)?);
                self.two(op, &a, &b).map(Tensor::Tokens)
            }
        }
    }

    pub(super) fn unary(&mut self, call: &Call<'_>) -> Result<Tensor> {
        call.node.attributes(&[])?;
        call.at_most(1)?;
        let x = call.input(0)?;
        if let Some(found) = recognise::unary(call.node.op(), x) {
            return self.found(found);
        }
        let act = match call.node.op() {
            "Tanh" => Activation::Tanh,
            "Relu" => Activation::Relu,
            _ => return Err(super::unknown_op(call.node)),
        };
        let x = self.tokens(x)?;
        self.row_wise(&x, Op::Activation(act)).map(Tensor::Tokens)
    }

    /// The Gelu operator.
    pub(super) fn gelu(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let act = match call.node.attributes(&["approximate"])?.string("approximate")? {
            None | Some("none") => Activation::Gelu,
            Some("tanh") => Activation::GeluTanh,
            Some(other) => {
                return Err(unsupported(
                    "approximate",
                    "none` or `tanh",
                    other,
                    "use one of the two forms of GELU",
                ));
            }
        };
        let x = self.tokens(call.input(0)?)?;
        self.row_wise(&x, Op::Activation(act)).map(Tensor::Tokens)
    }

    fn found(&mut self, found: Found) -> Result<Tensor> {
        match found {
            Found::Tensor(tensor) => Ok(tensor),
            Found::Activation { x, act, factor } => {
                let y = self.row_wise(&x, Op::Activation(act))?;
                Ok(if factor == 1.0 { Tensor::Tokens(y) } else { Tensor::poly(y, [0.0, factor, 0.0, 0.0]) })
            }
            Found::LayerNorm { x, eps } => self.layer_norm(&x, eps as f32, None, None).map(Tensor::Tokens),
            Found::Normalize { x, eps } => self.normalize(&x, eps).map(Tensor::Tokens),
        }
    }

    /// An operator on tokens and a constant that is not one number, or not for every token.
    pub(super) fn with_constant(
        &mut self,
        op: Binary,
        x: &View,
        constant: &Const,
        constant_first: bool,
    ) -> Result<View> {
        let x = self.padded(x, constant.dims().len())?;
        if x.merged > 1 {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "arithmetic on a batch that is one axis with channels",
            )
            .expected("the batch as an axis of its own")
            .got(format!("{:?}", x.dims)));
        }
        let (rows, data) = by_columns(constant, &x, self.max_elements)?;
        let negated = || data.iter().map(|v| -v).collect::<Vec<f32>>();
        let minus_one = || vec![-1.0; x.cols.len()];
        match (op, constant_first) {
            (Binary::Add, _) if rows == 1 => self.shifted(&x, data, constant.origin.as_deref()),
            (Binary::Sub, false) if rows == 1 => self.shifted(&x, negated(), constant.origin.as_deref()),
            (Binary::Sub, true) if rows == 1 => self.affine(&x, Some(minus_one()), Some(data)),
            (Binary::Mul, _) if rows == 1 => self.scaled(&x, data),
            (Binary::Div, false) if rows == 1 => self.scaled(&x, data.iter().map(|v| 1.0 / v).collect()),
            (Binary::Add, _) => self.plus_rows(&x, data),
            (Binary::Sub, false) => self.plus_rows(&x, negated()),
            (Binary::Sub, true) => {
                let negative = self.affine(&x, Some(minus_one()), None)?;
                self.plus_rows(&negative, data)
            }
            _ => Err(Error::new(
                ErrorKind::UnsupportedOp,
                format!("unsupported arithmetic: {op:?} of tokens and a constant"),
            )
            .expected("a sum, or a product with a constant that is the same for every token")
            .got(format!("{op:?} of {:?} and {:?}", x.dims, constant.dims()))),
        }
    }

    /// Adds the same vector to every row; as the bias of the linear layer that made them, if it has none yet.
    fn shifted(&mut self, x: &View, shift: Vec<f32>, origin: Option<&str>) -> Result<View> {
        if x.fresh && self.fuse_shift(x, &shift, origin)? {
            return Ok(x.clone());
        }
        self.affine(x, None, Some(shift))
    }

    /// Multiplies every row by the same vector; as the scale of the LayerNorm that made them, if it has none yet.
    fn scaled(&mut self, x: &View, scale: Vec<f32>) -> Result<View> {
        if x.fresh && self.fuse_scale(x, &scale)? {
            return Ok(x.clone());
        }
        self.affine(x, Some(scale), None)
    }

    /// Adds a matrix, row-major.
    fn plus_rows(&mut self, x: &View, data: Vec<f32>) -> Result<View> {
        let (rows, cols) = (x.rows, x.cols.len());
        let data = match x.reversed {
            true => data.chunks(cols).rev().flatten().copied().collect(),
            false => data,
        };
        let input = self.matrix(x)?;
        let constant = self.constant(rows, cols, data)?;
        let output = self.emit(Op::Add, vec![input, constant], rows, cols)?;
        Ok(self.made(output, x))
    }

    fn two(&mut self, op: Binary, a: &View, b: &View) -> Result<View> {
        let rank = a.dims.len().max(b.dims.len());
        let (mut a, mut b) = (self.padded(a, rank)?, self.padded(b, rank)?);
        if !matches!(op, Binary::Add | Binary::Sub) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                format!("unsupported arithmetic: {op:?} of two tensors"),
            )
            .expected("a sum, or a known function spelled out in primitives")
            .got(format!("{op:?}")));
        }
        if (a.batch, a.merged) != (b.batch, b.merged) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "two tensors whose batches run along different axes are added",
            ));
        }
        if a.dims != b.dims || (a.rows, &a.tokens) != (b.rows, &b.tokens) && a.cols.len() != b.cols.len() {
            return Err(Error::new(ErrorKind::ShapeMismatch, "two tensors of different shapes are added")
                .expected(format!("{:?}", a.dims))
                .got(format!("{:?}", b.dims))
                .hint("only constants may be broadcast over tokens"));
        }
        if a.rows != b.rows || a.rows > 1 && a.tokens != b.tokens {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "two tensors whose tokens run along different axes are added",
            ));
        }
        if a.reversed != b.reversed {
            (a, b) = (self.upright(&a)?, self.upright(&b)?);
        }
        if op == Binary::Sub {
            b = self.affine(&b, Some(vec![-1.0; b.cols.len()]), None)?;
        }
        let inputs = vec![self.matrix(&a)?, self.matrix(&b)?];
        let output = self.emit(Op::Add, inputs, a.rows, a.cols.len())?;
        Ok(self.made(output, &a))
    }

    /// The tensor with axes of size 1 in front, up to a rank. Keeps [`View::fresh`].
    fn padded(&mut self, view: &View, rank: usize) -> Result<View> {
        let steps = vec![Step::InsertAxis(0); rank.saturating_sub(view.dims.len())];
        Ok(View { fresh: view.fresh, ..self.view_steps(view, &steps)? })
    }
}

/// A constant in the order of the view's rows and columns; one row if it is the same for all.
fn by_columns(constant: &Const, x: &View, max: usize) -> Result<(usize, Vec<f32>)> {
    if broadcast(constant.dims(), &x.dims)? != x.dims {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            "a constant is larger than the tensor it is combined with",
        )
        .expected(format!("at most {:?}", x.dims))
        .got(format!("{:?}", constant.dims())));
    }
    let pad = vec![Step::InsertAxis(0); x.dims.len() - constant.dims().len()];
    let padded = one_element(&rearrange::apply(constant, &pad), x.batch)?;
    let by_row = x.tokens.clone().any(|axis| padded.dims()[axis] > 1);
    let size = |(axis, size): (usize, &usize)| match () {
        () if x.batch == Some(axis) || x.tokens.contains(&axis) && !by_row => 1,
        () => *size,
    };
    let dims: Vec<usize> = x.dims.iter().enumerate().map(size).collect();
    rearrange::check_size(&dims, max)?;
    let wide = padded.f32s()?.broadcast(IxDyn(&dims)).expect("checked by `broadcast`");
    let order: Vec<usize> = x.batch.into_iter().chain(x.tokens.clone()).chain(x.column_axes()).collect();
    let data: Vec<f32> = wide.permuted_axes(IxDyn(&order)).iter().copied().collect();
    let mut rows = data.chunks(x.cols.len().max(1));
    let first = rows.next().unwrap_or_default();
    match by_row && rows.any(|row| row != first) {
        true => Ok((x.rows, data)),
        false => Ok((1, first.to_vec())),
    }
}
