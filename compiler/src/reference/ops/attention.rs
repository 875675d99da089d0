//! `Attention`, as far as a model without earlier keys has it.

use ndarray::{Array4, ArrayViewD, Ix4, IxDyn};

use super::check_work;
use crate::error::Result;
use crate::reference::node::Node;
use crate::reference::tensor::{Tensor, checked_len};

/// `softmax(scale · Q·Kᵀ) · V` of each head: `[batch, heads, tokens, width]`, or `[batch, tokens, heads · width]` with the
/// numbers of heads as attributes. A head of keys serves as many heads of queries as there are more of these. A mask is
/// added to the scores; one of truth values takes those away that it is false for.
pub(super) fn attention(node: &Node<'_>) -> Result<Tensor> {
    for index in 4..7 {
        if node.optional(index).is_some() {
            return Err(node.shape_error("earlier keys are not known", "at most 4 inputs", &(index + 1)));
        }
    }
    for name in ["is_causal", "qk_matmul_output_mode"] {
        if node.int(name, 0)? != 0 {
            return Err(node.bad_attribute(name, "must be 0"));
        }
    }
    if node.float("softcap")?.is_some_and(|cap| cap != 0.0) {
        return Err(node.bad_attribute("softcap", "must be 0"));
    }
    // The precision of the softmax: here all is f64.
    node.optional_int("softmax_precision")?;
    let (q_heads, kv_heads) = (node.optional_int("q_num_heads")?, node.optional_int("kv_num_heads")?);
    let q = by_heads(node, node.input(0)?.as_real()?, q_heads)?;
    let k = by_heads(node, node.input(1)?.as_real()?, kv_heads)?;
    let v = by_heads(node, node.input(2)?.as_real()?, kv_heads)?;
    let ((b, h, t, d), (kb, kh, s, kd), (vb, vh, vs, width)) = (q.dim(), k.dim(), v.dim());
    if (kb, kd) != (b, d) || (vb, vh, vs) != (b, kh, s) || kh == 0 || !h.is_multiple_of(kh) {
        return Err(node.shape_error(
            "heads don't fit together",
            format!("{:?}", q.shape()),
            &(k.shape(), v.shape()),
        ));
    }
    checked_len(&[b, h, t, width])?;
    check_work(&[b, h, t, s, d.max(width)])?;
    checked_len(&[b, h, t, s])?;
    let mask = node.optional(3).map(|mask| additive(node, mask, [b, h, t, s])).transpose()?;
    let scale = node.float("scale")?.unwrap_or(1.0 / (d as f64).sqrt());
    let mut y = Array4::zeros((b, h, t, width));
    for batch in 0..b {
        for head in 0..h {
            let of_keys = head / (h / kh);
            for query in 0..t {
                let score = |key: usize| -> f64 {
                    (0..d).map(|i| q[[batch, head, query, i]] * k[[batch, of_keys, key, i]]).sum::<f64>()
                        * scale
                };
                let masked = |key: usize| mask.as_ref().map_or(0.0, |mask| mask[[batch, head, query, key]]);
                let scores: Vec<f64> = (0..s).map(|key| score(key) + masked(key)).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|x| (x - max).exp()).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..width {
                    let sum: f64 = (0..s).map(|key| weights[key] * v[[batch, of_keys, key, i]]).sum();
                    y[[batch, head, query, i]] = sum / total;
                }
            }
        }
    }
    if node.input(0)?.shape().len() == 4 {
        return Ok(Tensor::Real(y.into_dyn().into_shared()));
    }
    let joined = y.permuted_axes([0, 2, 1, 3]).iter().copied().collect();
    Tensor::real(&[b, t, h * width], joined)
}

/// What a mask adds to each score.
fn additive(node: &Node<'_>, mask: &Tensor, shape: [usize; 4]) -> Result<Array4<f64>> {
    let wrong = || node.shape_error("the mask does not fit the scores", format!("{shape:?}"), mask.shape());
    let wide = match mask {
        Tensor::Bool(x) => x.mapv(|kept| if kept { 0.0 } else { f64::NEG_INFINITY }),
        other => other.as_real()?.to_owned(),
    };
    let wide = wide.broadcast(IxDyn(&shape)).ok_or_else(wrong)?.to_owned();
    wide.into_dimensionality::<Ix4>().map_err(|_| wrong())
}

/// `[batch, heads, tokens, width]` of either form.
fn by_heads(node: &Node<'_>, x: ArrayViewD<'_, f64>, heads: Option<i64>) -> Result<Array4<f64>> {
    let shape = x.shape().to_vec();
    let wrong = || node.shape_error("heads of another shape", "3 or 4 dimensions", &shape);
    if let [b, t, all] = shape[..] {
        let heads = heads.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0 && all.is_multiple_of(*n));
        let heads = heads.ok_or_else(|| {
            node.shape_error("the number of heads does not divide the width", all.to_string(), &heads)
        })?;
        let values: Vec<f64> = x.iter().copied().collect();
        let split =
            ndarray::Array::from_shape_vec((b, t, heads, all / heads), values).map_err(|_| wrong())?;
        return Ok(split.permuted_axes([0, 2, 1, 3]));
    }
    Ok(x.into_dimensionality::<Ix4>().map_err(|_| wrong())?.to_owned())
}
