//! Softmax attention: `softmax(scale · Q·Kᵀ) · V`, head by head.

use super::super::rearrange::{self, Step};
use super::super::recognise::{Partial, Scores, Tensor};
use super::super::view::View;
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Op;

impl Importer {
    /// A product of two tensors that both depend on the input: scores, or probabilities times values.
    pub(super) fn attention_product(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if let Tensor::Partial(Partial::Probabilities(scores)) = a {
            let v = self.tokens(b)?;
            return self.attention(scores, &v).map(Tensor::Tokens);
        }
        let (q, q_scale) = self.scaled_tokens(a)?;
        let (k, k_scale) = self.scaled_tokens(b)?;
        let rank = k.dims.len();
        let fits = rank >= 2
            && q.dims.len() == rank
            && heads(&q).is_some()
            && k.tokens == (rank - 1..rank)
            && (k.batch, k.merged) == (q.batch, q.merged);
        if !fits || q.rows != k.rows {
            return Err(not_attention(&q, &k));
        }
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 2, rank - 1);
        let k = k.rearrange(&Step::Transpose(perm))?;
        if q.dims != k.dims {
            return Err(not_attention(&q, &k));
        }
        Ok(Tensor::Partial(Partial::Scores(Scores { q, k, scale: q_scale * k_scale })))
    }

    /// Tokens and a number that they are still to be multiplied by.
    fn scaled_tokens(&mut self, tensor: &Tensor) -> Result<(View, f64)> {
        match tensor {
            Tensor::Partial(Partial::Poly { x, c: [0.0, scale, 0.0, 0.0] }) => Ok((x.clone(), *scale)),
            other => Ok((self.tokens(other)?, 1.0)),
        }
    }

    /// The Softmax operator over the keys.
    pub(super) fn softmax(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let attributes = call.node.attributes(&["axis"])?;
        let Tensor::Partial(Partial::Scores(scores)) = call.input(0)? else {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "a softmax of something else than attention scores",
            )
            .hint("leave the softmax of the logits out of the model"));
        };
        let rank = scores.dims().len();
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = rearrange::axis(attributes.int_or("axis", default)?, rank)?;
        if axis + 1 != rank {
            return Err(super::super::node::unsupported(
                "axis",
                -1,
                axis,
                "attention takes the softmax over the keys",
            ));
        }
        Ok(Tensor::Partial(Partial::Probabilities(scores.clone())))
    }

    fn attention(&mut self, scores: &Scores, v: &View) -> Result<View> {
        let Scores { q, k, scale } = scores;
        let same =
            |v: &View| v.dims == q.dims && v.rows == k.rows && (v.batch, v.merged) == (q.batch, q.merged);
        let count = heads(v).filter(|count| Some(*count) == heads(q) && same(v));
        let heads = count.ok_or_else(|| not_attention(q, v))?;
        let same_way = q.reversed == k.reversed && k.reversed == v.reversed;
        let mut inputs = Vec::new();
        for view in [q, k, v] {
            let view = if same_way { view.clone() } else { self.upright(view)? };
            inputs.push(self.matrix(&view)?);
        }
        let scale = *scale as f32;
        let output = self.emit(Op::Attention { heads, scale }, inputs, q.rows, q.cols.len())?;
        Ok(View { reversed: same_way && q.reversed, ..self.made(output, q) })
    }

    /// Refuses to add anything else than a mask to attention scores.
    pub(super) fn refuse_bias(&self, tensor: &Tensor) -> Result<()> {
        match tensor {
            Tensor::Partial(Partial::Scores(_)) => Err(Error::new(
                ErrorKind::UnsupportedOp,
                "arithmetic on attention scores is not supported, but for the attention mask",
            )
            .expected("the softmax of scaled products of queries and keys, perhaps plus a mask over the keys")
            .got("something else added to the scores")
            .hint("leave out position biases, and masks that are no input of the model")),
            _ => Ok(()),
        }
    }
}

/// Number of heads of `[…, heads, T, d]`.
fn heads(view: &View) -> Option<usize> {
    let rank = view.dims.len();
    let fits = rank >= 2 && view.tokens == (rank - 2..rank - 1);
    fits.then(|| view.cols.len() / view.dims[rank - 1])
}

fn not_attention(a: &View, b: &View) -> Error {
    Error::new(ErrorKind::UnsupportedOp, "a product of two tensors that is not softmax attention")
        .expected("[…, heads, T, d] times […, heads, d, T], a softmax, times […, heads, T, d]")
        .got(format!("{:?} and {:?}", a.dims, b.dims))
        .hint("export the attention in its plain form, all queries over all keys of the same tokens")
}
