//! LayerNorm and means.

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
        if axis < x.tokens.end || inner != x.cols.len() {
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

    /// The ReduceMean operator: over tokens, or as a part of LayerNorm.
    pub(super) fn reduce_mean(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let attributes = call.node.attributes(&["axes", "keepdims", "noop_with_empty_axes"])?;
        let x = call.input(0)?;
        let rank = x.dims().len();
        let listed = match (attributes.ints("axes")?, call.constant(1, "axes")?) {
            (Some(list), None) => list.to_vec(),
            (None, Some(list)) => list.ints()?,
            _ => Vec::new(),
        };
        let axes = rearrange::axes(&listed, rank)?;
        let keep = attributes.int_or("keepdims", 1)? != 0;
        if let ([axis], true) = (axes.as_slice(), keep)
            && *axis + 1 == rank
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
            .got(format!("{listed:?} of {:?}", view.dims)));
        }
        // The mean is the same whichever way the tokens run.
        let mean = View { reversed: false, ..self.map_values(&view, 1, &Op::MeanRows)? };
        let mut dims = mean.dims.clone();
        dims.splice(mean.tokens.clone(), keep.then_some(1).into_iter().cycle().take(axes.len()));
        let tokens = mean.tokens.start..mean.tokens.start + if keep { axes.len() } else { 0 };
        Ok(Tensor::Tokens(View { dims, tokens, ..mean }))
    }
}
