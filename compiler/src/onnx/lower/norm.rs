//! LayerNorm, L2 normalisation and means.

use super::super::rearrange;
use super::super::recognise::{self, Tensor};
use super::super::tensor::Const;
use super::super::view::View;
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Op;

impl Importer {
    /// The LayerNormalization operator.
    pub(super) fn layer_normalization(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let attributes = call.node.attributes(&["axis", "epsilon", "stash_type"])?;
        attributes.only_int("stash_type", 1, "compute the statistics in f32")?;
        call.at_most(3)?;
        let x = self.tokens(call.input(0)?)?;
        let axis = rearrange::axis(attributes.int_or("axis", -1)?, x.dims.len())?;
        let inner: usize = x.dims[axis..].iter().product();
        if axis < x.tokens.end || x.batch.is_some_and(|batch| axis <= batch) || inner != x.cols.len() {
            return Err(Error::new(
                ErrorKind::UnsupportedAttribute,
                "LayerNormalization over anything but all channels",
            )
            .at_field("axis")
            .expected(format!("{} channels, all that a token has", x.cols.len()))
            .got(format!("axis {} of {:?}", attributes.int_or("axis", -1)?, x.dims)));
        }
        let vector = |c: Option<&Const>, name: &str| match c {
            Some(c) if c.len() != x.cols.len() => {
                Err(Error::new(ErrorKind::ShapeMismatch, format!("`{name}` has the wrong size"))
                    .at_field(name)
                    .expected(x.cols.len().to_string())
                    .got(c.len().to_string()))
            }
            other => other.map(Const::floats).transpose(),
        };
        let scale = vector(call.constant(1, "Scale")?, "Scale")?;
        let shift = vector(call.constant(2, "B")?, "B")?;
        let eps = attributes.float_or("epsilon", 1e-5)?;
        self.layer_norm(&x, eps, scale, shift).map(Tensor::Tokens)
    }

    pub(super) fn layer_norm(
        &mut self,
        x: &View,
        eps: f32,
        scale: Option<Vec<f32>>,
        shift: Option<Vec<f32>>,
    ) -> Result<View> {
        if !(eps.is_finite() && eps > 0.0) {
            return Err(Error::new(ErrorKind::UnsupportedAttribute, "unsupported epsilon of a LayerNorm")
                .at_field("epsilon")
                .expected("a finite number above 0")
                .got(format!("`{eps}`")));
        }
        let scale = scale.map(|v| self.vector(v)).transpose()?;
        let shift = shift.map(|v| self.vector(v)).transpose()?;
        self.row_wise(x, Op::LayerNorm { eps, scale, shift })
    }

    /// The axes of a reduction, and whether they are kept.
    pub(super) fn reduction(&self, call: &Call<'_>) -> Result<(Vec<usize>, bool)> {
        let attributes = call.node.attributes(&["axes", "keepdims", "noop_with_empty_axes"])?;
        call.at_most(2)?;
        let listed = match (attributes.ints("axes")?, call.constant(1, "axes")?) {
            (Some(list), None) => list.to_vec(),
            (None, Some(list)) => list.ints()?,
            _ => Vec::new(),
        };
        let axes = rearrange::axes(&listed, call.input(0)?.dims().len())?;
        Ok((axes, attributes.int_or("keepdims", 1)? != 0))
    }

    /// The ReduceMean operator: over tokens, or as a part of LayerNorm.
    pub(super) fn reduce_mean(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let (axes, keep) = self.reduction(call)?;
        let x = call.input(0)?;
        if let ([axis], true) = (axes.as_slice(), keep)
            && *axis + 1 == x.dims().len()
            && let Some(mean) = recognise::mean_over_channels(x)
        {
            return Ok(Tensor::Partial(mean));
        }
        let view = self.tokens(x)?;
        if axes.is_empty() || !axes.iter().copied().eq(view.tokens.clone()) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "a mean over anything but all tokens or all channels",
            )
            .at_field("axes")
            .expected(format!("the axes of the tokens, {:?}", view.tokens.clone().collect::<Vec<_>>()))
            .got(format!("{axes:?} of {:?}", view.dims)));
        }
        self.map_values(&view.reduced(keep), 1, &Op::MeanRows).map(Tensor::Tokens)
    }

    /// The ReduceL2 operator, as a part of an L2 normalisation.
    pub(super) fn reduce_l2(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let (axes, keep) = self.reduction(call)?;
        let x = call.input(0)?;
        let last = axes.iter().map(|axis| axis + 1).eq([x.dims().len()]);
        let norm = recognise::norm_over_channels(x).filter(|_| last && keep);
        norm.map(Tensor::Partial).ok_or_else(|| {
            Error::new(ErrorKind::UnsupportedOp, "a norm over anything but all channels")
                .at_field("axes")
                .expected("the last axis, kept")
                .got(format!("{axes:?} of {:?}", x.dims()))
        })
    }

    /// The LpNormalization operator.
    pub(super) fn lp_normalization(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let attributes = call.node.attributes(&["axis", "p"])?;
        attributes.only_int("p", 2, "normalise by the Euclidean norm")?;
        let x = self.tokens(call.input(0)?)?;
        let axis = attributes.int_or("axis", -1)?;
        if rearrange::axis(axis, x.dims.len())? + 1 != x.dims.len() || !x.is_matrix() {
            return Err(super::super::node::unsupported("axis", -1, axis, "normalise over all channels"));
        }
        self.normalize(&x, 0.0).map(Tensor::Tokens)
    }

    /// `x / max(‖x‖₂, eps)`. A norm that is divided by as it is gets the least bound there is: it differs for zeros only.
    pub(super) fn normalize(&mut self, x: &View, eps: f64) -> Result<View> {
        self.row_wise(x, Op::Normalize { eps: (eps as f32).max(f32::MIN_POSITIVE) })
    }

    /// The Clip operator with a lower bound, or Max with a number.
    pub(super) fn at_least(&mut self, call: &Call<'_>) -> Result<Tensor> {
        call.node.attributes(&[])?;
        let clips = call.node.op() == "Clip";
        let (x, low) = match (call.input(0)?, call.inputs.get(1).and_then(Option::as_ref)) {
            (Tensor::Const(low), Some(x)) if !clips => (x, low),
            (x, Some(Tensor::Const(low))) => (x, low),
            _ => return Err(super::unknown_op(call.node)),
        };
        let bounded = call.inputs.iter().skip(2).any(Option::is_some);
        let low = low.scalar().filter(|_| !bounded);
        low.and_then(|low| recognise::at_least(x, low)).ok_or_else(|| {
            let what = match x {
                Tensor::Partial(partial) => partial.describe(),
                _ => "tokens",
            };
            Error::new(ErrorKind::UnsupportedOp, format!("unsupported bound of {what}"))
                .expected("a lower bound of a norm, or of the number of tokens that count")
                .got(format!("{} of {what}", call.node.op()))
        })
    }
}
