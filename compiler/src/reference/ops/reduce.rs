//! Operators that look along axes: reductions, softmax, layer normalisation.

use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::error::{Error, ErrorKind, Result};
use crate::reference::node::Node;
use crate::reference::tensor::Tensor;

/// `ReduceMean`, `ReduceSum`, `ReduceMax`, `ReduceMin`, `ReduceL2`. The axes moved from an attribute to an input with operator set
/// 13 (`ReduceSum`) or 18 (the others).
pub(super) fn reduce(node: &Node<'_>) -> Result<Tensor> {
    let x = node.input(0)?;
    let as_input = node.opset >= if node.op() == "ReduceSum" { 13 } else { 18 };
    let mut keep_all_if_empty = false;
    let given = if as_input {
        keep_all_if_empty = node.flag("noop_with_empty_axes", false)?;
        node.optional_ints(1)?
    } else {
        node.int_list("axes")?.map(<[i64]>::to_vec)
    };
    let keepdims = node.flag("keepdims", true)?;
    let axes = match given {
        Some(axes) if !axes.is_empty() => node.axes(&axes, x.shape().len())?,
        _ if keep_all_if_empty => return Ok(x.clone()),
        _ => (0..x.shape().len()).collect(),
    };
    match x {
        Tensor::Int(x) => {
            let overflow = || Error::new(ErrorKind::BrokenModel, "a sum of integers overflows");
            let out = along(x.view(), &axes, keepdims, |lane| match node.op() {
                "ReduceSum" => lane.iter().try_fold(0i64, |sum, &v| sum.checked_add(v)).ok_or_else(overflow),
                "ReduceMax" => lane.iter().copied().max().ok_or_else(|| nothing(node)),
                "ReduceMin" => lane.iter().copied().min().ok_or_else(|| nothing(node)),
                other => Err(Error::new(ErrorKind::UnsupportedOp, format!("`{other}` of integers"))),
            })?;
            Ok(Tensor::Int(out.into_shared()))
        }
        other => {
            let out = along(other.as_real()?, &axes, keepdims, |lane| {
                let sum = lane.iter().sum::<f64>();
                match node.op() {
                    "ReduceSum" => Ok(sum),
                    "ReduceMean" => Ok(sum / lane.len() as f64),
                    "ReduceL2" => Ok(lane.iter().map(|v| v * v).sum::<f64>().sqrt()),
                    "ReduceMax" => lane.iter().copied().reduce(f64::max).ok_or_else(|| nothing(node)),
                    _ => lane.iter().copied().reduce(f64::min).ok_or_else(|| nothing(node)),
                }
            })?;
            Ok(Tensor::Real(out.into_shared()))
        }
    }
}

fn nothing(node: &Node<'_>) -> Error {
    node.shape_error("nothing to choose from", "an axis that is not empty", &[0])
}

/// `f` over all elements that differ only in `axes`.
fn along<T: Copy>(
    x: ArrayViewD<'_, T>,
    axes: &[usize],
    keepdims: bool,
    f: impl Fn(&[T]) -> Result<T>,
) -> Result<ArrayD<T>> {
    let kept: Vec<usize> = (0..x.ndim()).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let outer: Vec<usize> = kept.iter().map(|&axis| x.shape()[axis]).collect();
    let inner: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
    let elements: Vec<T> = x.permuted_axes(order).iter().copied().collect();
    let count = outer.iter().product();
    let results = (0..count).map(|i| f(&elements[i * inner..(i + 1) * inner])).collect::<Result<Vec<T>>>()?;
    let out = ArrayD::from_shape_vec(outer, results);
    let mut out = out.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    if keepdims {
        for &axis in axes {
            out = out.insert_axis(Axis(axis));
        }
    }
    Ok(out)
}

/// `LpNormalization`: divided by the norm of order 1 or 2 along an axis.
pub(super) fn lp_normalization(node: &Node<'_>) -> Result<Tensor> {
    let mut x = node.input(0)?.as_real()?.to_owned();
    let axis = node.axis(node.int("axis", -1)?, x.ndim())?;
    let norm = match node.int("p", 2)? {
        1 => |lane: &[f64]| lane.iter().map(|v| v.abs()).sum::<f64>(),
        2 => |lane: &[f64]| lane.iter().map(|v| v * v).sum::<f64>().sqrt(),
        other => return Err(node.bad_attribute("p", &format!("must be 1 or 2, not `{other}`"))),
    };
    for mut lane in x.lanes_mut(Axis(axis)) {
        let length = norm(&lane.to_vec());
        lane.mapv_inplace(|v| v / length);
    }
    Ok(Tensor::Real(x.into_shared()))
}

/// `Softmax` along an axis; before operator set 13, over all axes from it on.
pub(super) fn softmax(node: &Node<'_>) -> Result<Tensor> {
    let mut x = node.input(0)?.as_real()?.to_owned();
    if x.ndim() == 0 {
        return Err(node.shape_error("a scalar has no axis", "1 dimension or more", x.shape()));
    }
    let axis = node.axis(node.int("axis", if node.opset >= 13 { -1 } else { 1 })?, x.ndim())?;
    let normalise = |lane: &mut [f64]| {
        let max = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        lane.iter_mut().for_each(|v| *v = (*v - max).exp());
        let sum: f64 = lane.iter().sum();
        lane.iter_mut().for_each(|v| *v /= sum);
    };
    if node.opset >= 13 {
        for mut lane in x.lanes_mut(Axis(axis)) {
            let mut values = lane.to_vec();
            normalise(&mut values);
            lane.assign(&ndarray::aview1(&values));
        }
        Ok(Tensor::Real(x.into_shared()))
    } else {
        let shape = x.shape().to_vec();
        let len: usize = shape[axis..].iter().product();
        let mut values: Vec<f64> = x.iter().copied().collect();
        values.chunks_mut(len.max(1)).for_each(normalise);
        Tensor::real(&shape, values)
    }
}

/// `(x − mean) / √(variance + epsilon) · scale + bias` over all axes from `axis` on; also gives the mean and the
/// reciprocal of the deviation.
pub(super) fn layer_normalization(node: &Node<'_>) -> Result<Vec<Tensor>> {
    let x = node.input(0)?.as_real()?;
    // The precision of the statistics: here all is f64.
    node.int("stash_type", 1)?;
    let epsilon = node.float("epsilon")?.unwrap_or(f64::from(1e-5f32));
    let axis = node.axis(node.int("axis", -1)?, x.ndim())?;
    let (outer, inner) = x.shape().split_at(axis);
    let spread = |index: usize, what: &str| -> Result<Option<Vec<f64>>> {
        let Some(tensor) = node.optional(index) else { return Ok(None) };
        let view = tensor.as_real()?;
        let spread = view.broadcast(inner).ok_or_else(|| {
            node.shape_error(format!("{what} does not fit"), format!("{inner:?}"), view.shape())
        })?;
        Ok(Some(spread.iter().copied().collect()))
    };
    node.input(1)?;
    let (scale, bias) = (spread(1, "scale")?, spread(2, "bias")?);

    let len = inner.iter().product::<usize>();
    let mut values: Vec<f64> = x.iter().copied().collect();
    let (mut means, mut reciprocals) = (Vec::new(), Vec::new());
    for row in values.chunks_mut(len.max(1)) {
        let mean = row.iter().sum::<f64>() / len as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / len as f64;
        let reciprocal = 1.0 / (variance + epsilon).sqrt();
        for (i, v) in row.iter_mut().enumerate() {
            *v = (*v - mean) * reciprocal * scale.as_ref().map_or(1.0, |s| s[i])
                + bias.as_ref().map_or(0.0, |b| b[i]);
        }
        means.push(mean);
        reciprocals.push(reciprocal);
    }
    let y = Tensor::real(x.shape(), values)?;
    if node.outputs() == 1 {
        return Ok(vec![y]);
    }
    let statistics = [outer, &vec![1; inner.len()]].concat();
    Ok(vec![y, Tensor::real(&statistics, means)?, Tensor::real(&statistics, reciprocals)?])
}
