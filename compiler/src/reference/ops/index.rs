//! Operators that pick, cut and join along axes.

use ndarray::{ArrayD, Axis, IxDyn};

use super::arrange::for_any;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::node::Node;
use crate::reference::tensor::{Shared, Tensor, checked_len};

/// The elements of `x` at `indices` along `axis`, in that order. Indices are in range.
fn take(x: &Tensor, axis: usize, indices: &[usize]) -> Result<Tensor> {
    fn go<T: Clone>(x: &Shared<T>, axis: usize, indices: &[usize]) -> Shared<T> {
        x.select(Axis(axis), indices).into_shared()
    }
    let mut shape = x.shape().to_vec();
    shape[axis] = indices.len();
    checked_len(&shape)?;
    Ok(for_any!(x, x => go(x, axis, indices)))
}

/// `Concat` along `axis`.
pub(super) fn concat(node: &Node<'_>) -> Result<Tensor> {
    let inputs = node.all()?;
    let first = inputs[0];
    let rank = first.shape().len();
    let axis = node.axis(node.int("axis", 0)?, rank)?;
    let mut shape = first.shape().to_vec();
    shape[axis] = 0;
    for x in &inputs {
        let fits = x.kind() == first.kind()
            && x.shape().len() == rank
            && (0..rank).all(|i| i == axis || x.shape()[i] == shape[i]);
        if !fits {
            return Err(node.shape_error(
                "inputs don't fit together",
                format!("{:?}", first.shape()),
                x.shape(),
            ));
        }
        shape[axis] = shape[axis].saturating_add(x.shape()[axis]);
    }
    checked_len(&shape)?;
    macro_rules! join {
        ($kind:ident, $view:ident) => {{
            let views = inputs.iter().map(|x| x.$view()).collect::<Result<Vec<_>>>()?;
            let joined = ndarray::concatenate(Axis(axis), &views);
            Tensor::$kind(joined.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?.into_shared())
        }};
    }
    Ok(match first {
        Tensor::Real(_) => join!(Real, as_real),
        Tensor::Int(_) => join!(Int, as_int),
        Tensor::Bool(_) => join!(Bool, as_bool),
    })
}

/// `Split` along `axis`: into given sizes, or as many equal parts as there are outputs (the last may be smaller).
pub(super) fn split(node: &Node<'_>) -> Result<Vec<Tensor>> {
    let x = node.input(0)?;
    let axis = node.axis(node.int("axis", 0)?, x.shape().len())?;
    let size = x.shape()[axis];
    let given =
        if node.opset >= 13 { node.optional_ints(1)? } else { node.int_list("split")?.map(<[i64]>::to_vec) };
    let wrong = |got: &dyn std::fmt::Debug| node.shape_error("parts don't fit", size.to_string(), got);
    let parts: Vec<usize> = match given {
        Some(given) => {
            let parts = given.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<Vec<_>>>();
            parts.ok_or_else(|| wrong(&given))?
        }
        None => {
            let count = usize::try_from(node.int("num_outputs", i64::try_from(node.outputs()).unwrap_or(0))?);
            let count = count.ok().filter(|&c| c > 0 && c == node.outputs()).ok_or_else(|| wrong(&count))?;
            let each = size.div_ceil(count);
            (0..count).map(|i| each.min(size.saturating_sub(i * each))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |sum, &p| sum.checked_add(p)) != Some(size)
        || parts.len() != node.outputs()
    {
        return Err(wrong(&parts));
    }
    let mut start = 0;
    let cut = |part: usize| {
        let indices: Vec<usize> = (start..start + part).collect();
        start += part;
        take(x, axis, &indices)
    };
    parts.into_iter().map(cut).collect()
}

/// `Slice`: from start to before end by step on some axes; steps may be negative, ends may lie outside.
pub(super) fn slice(node: &Node<'_>) -> Result<Tensor> {
    let x = node.input(0)?;
    let (starts, ends) = (node.ints(1)?, node.ints(2)?);
    let count = starts.len();
    let axes = match node.optional_ints(3)? {
        Some(axes) => axes,
        None => (0..i64::try_from(count).unwrap_or(i64::MAX)).collect(),
    };
    let steps = node.optional_ints(4)?.unwrap_or_else(|| vec![1; count]);
    if [ends.len(), axes.len(), steps.len()] != [count; 3] {
        let got = (count, ends.len(), axes.len(), steps.len());
        return Err(node.shape_error("starts, ends, axes and steps differ in number", "equal", &got));
    }
    // Refuses an axis given twice.
    node.axes(&axes, x.shape().len())?;
    let mut out = x.clone();
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = node.axis(axis, x.shape().len())?;
        out = take(&out, axis, &sliced(node, x.shape()[axis], [start, end, step])?)?;
    }
    Ok(out)
}

/// The indices that a slice of an axis of `size` names.
fn sliced(node: &Node<'_>, size: usize, [start, end, step]: [i64; 3]) -> Result<Vec<usize>> {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    let (start, end) = (from_end(start), from_end(end));
    let range: Vec<i64> = match step {
        0 => return Err(node.shape_error("a step of 0", "any other", &step)),
        1.. => {
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            (start.clamp(0, size)..end.clamp(0, size)).step_by(step).collect()
        }
        _ => {
            let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
            (end.clamp(-1, size - 1) + 1..start.clamp(-1, size - 1) + 1).rev().step_by(step).collect()
        }
    };
    Ok(range.into_iter().filter_map(|i| usize::try_from(i).ok()).collect())
}

/// `Gather`: the entries of one axis that `indices` names; the axis is replaced by the axes of `indices`.
pub(super) fn gather(node: &Node<'_>) -> Result<Tensor> {
    let (x, indices) = (node.input(0)?, node.input(1)?.as_int()?);
    let axis = node.axis(node.int("axis", 0)?, x.shape().len())?;
    let flat = indices.iter().map(|&i| node.axis(i, x.shape()[axis])).collect::<Result<Vec<_>>>()?;
    let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
    checked_len(&shape)?;
    let picked = take(x, axis, &flat)?;
    macro_rules! reshaped {
        ($kind:ident, $x:ident) => {
            ArrayD::from_shape_vec(IxDyn(&shape), $x.iter().copied().collect())
                .map(|x| Tensor::$kind(x.into_shared()))
        };
    }
    let out = match &picked {
        Tensor::Real(x) => reshaped!(Real, x),
        Tensor::Int(x) => reshaped!(Int, x),
        Tensor::Bool(x) => reshaped!(Bool, x),
    };
    out.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}
