//! Softmax attention: `softmax(scale · Q·Kᵀ) · V`, head by head.

use super::super::mask::Kind;
use super::super::node::{Attributes, unsupported};
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
            return Err(unsupported("axis", -1, axis, "attention takes the softmax over the keys"));
        }
        Ok(Tensor::Partial(Partial::Probabilities(scores.clone())))
    }

    /// The Attention operator.
    pub(super) fn attention_op(&mut self, call: &Call<'_>) -> Result<Tensor> {
        const HINT: &str = "export with `opset_version=17`, so that attention is spelled out";
        let attributes = call.node.attributes(&[
            "is_causal",
            "kv_num_heads",
            "q_num_heads",
            "qk_matmul_output_mode",
            "scale",
            "softcap",
            "softmax_precision",
        ])?;
        attributes.only_int("is_causal", 0, "each token may attend to all")?;
        attributes.only_int("softmax_precision", 1, "compute the softmax in f32")?;
        // What `qk_matmul_output_mode` chooses is an output that is refused if it is read.
        attributes.int("qk_matmul_output_mode")?;
        if let Some(got) = attributes.float("softcap")?.filter(|cap| *cap != 0.0) {
            return Err(unsupported("softcap", 0, got, HINT));
        }
        if call.inputs.iter().skip(4).any(Option::is_some) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "keys and values of earlier calls are not supported",
            )
            .expected("queries, keys, values, perhaps a mask")
            .got(format!("{} inputs", call.inputs.len()))
            .hint("export the model without a cache"));
        }
        let (mut views, mut joined) = (Vec::new(), None);
        for (index, heads) in ["q_num_heads", "kv_num_heads", "kv_num_heads"].into_iter().enumerate() {
            let view = self.tokens(call.input(index)?)?;
            if view.dims.len() == 3 {
                joined.get_or_insert_with(|| view.dims.clone());
                views.push(by_heads(&view, &attributes, heads)?);
            } else {
                views.push(view);
            }
        }
        let [q, k, v] =
            <[View; 3]>::try_from(views).map_err(|_| Error::new(ErrorKind::Internal, "three views"))?;
        let width = q.dims.last().copied().unwrap_or(1);
        let fits = heads(&q).is_some()
            && q.dims == k.dims
            && (q.rows, &q.tokens, q.batch) == (k.rows, &k.tokens, k.batch);
        if !fits {
            return Err(not_attention(&q, &k));
        }
        let scale = attributes.float("scale")?.map_or(1.0 / (width as f64).sqrt(), f64::from);
        let scores = Scores { q, k, scale };
        match call.inputs.get(3).and_then(Option::as_ref) {
            None => {}
            Some(mask @ (Tensor::Ids { .. } | Tensor::Partial(Partial::Mask(_)))) => {
                let mask = self.as_mask(mask)?;
                let masks = match mask.bits.kind {
                    Kind::Bool => mask.bits.selects(),
                    Kind::Int | Kind::Float => mask.bits.masks(),
                };
                super::mask::over_keys(&scores, &mask, masks)?;
            }
            Some(_) => self.refuse_bias(&Tensor::Partial(Partial::Scores(scores.clone())))?,
        }
        let y = self.attention(&scores, &v)?;
        let Some(dims) = joined else { return Ok(Tensor::Tokens(y)) };
        self.view_steps(&y, &[Step::Transpose(vec![0, 2, 1, 3]), Step::Reshape(dims)]).map(Tensor::Tokens)
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
        if !scale.is_finite() {
            return Err(Error::new(ErrorKind::UnsupportedAttribute, "unsupported scale of attention scores")
                .at_field("scale")
                .expected("a finite number")
                .got(format!("`{scale}`")));
        }
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

/// `[1, T, heads·d]` as `[1, heads, T, d]`.
fn by_heads(view: &View, attributes: &Attributes<'_>, name: &str) -> Result<View> {
    let count = attributes.int(name)?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let dims = &view.dims;
    let count = count.filter(|count| dims[2].is_multiple_of(*count)).ok_or_else(|| {
        Error::new(ErrorKind::ShapeMismatch, format!("`{name}` does not divide the channels"))
            .at_field(name)
            .expected(format!("a divisor of {}", dims[2]))
            .got(attributes.int(name).ok().flatten().unwrap_or_default().to_string())
    })?;
    let split = Step::SplitAxis { axis: 2, dims: vec![count, dims[2] / count] };
    view.rearrange(&split)?.rearrange(&Step::Transpose(vec![0, 2, 1, 3]))
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
