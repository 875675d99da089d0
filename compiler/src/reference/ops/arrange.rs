//! Operators that give a tensor another shape, or make one from a shape.

use ndarray::{ArrayD, IxDyn};

use super::elementwise::broadcast_shape;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::node::Node;
use crate::reference::tensor::{Shared, Tensor, checked_len};

/// The same expression over whatever the elements are.
macro_rules! for_any {
    ($tensor:expr, $x:ident => $body:expr) => {
        match $tensor {
            Tensor::Real($x) => Tensor::Real($body),
            Tensor::Int($x) => Tensor::Int($body),
            Tensor::Bool($x) => Tensor::Bool($body),
        }
    };
}
pub(super) use for_any;

/// The elements in row-major order under another shape of as many elements.
fn with_shape(node: &Node<'_>, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    fn go<T: Clone>(x: &Shared<T>, shape: &[usize]) -> Option<Shared<T>> {
        x.as_standard_layout().into_shared().into_shape_with_order(IxDyn(shape)).ok()
    }
    let wrong = || node.shape_error("another number of elements", format!("{:?}", x.shape()), shape);
    if checked_len(shape)? != x.len() {
        return Err(wrong());
    }
    Ok(for_any!(x, x => go(x, shape).ok_or_else(wrong)?))
}

/// `Reshape`: 0 copies a size (unless `allowzero`), −1 stands for what is left.
pub(super) fn reshape(node: &Node<'_>) -> Result<Tensor> {
    let (x, wanted) = (node.input(0)?, node.ints(1)?);
    let allow_zero = node.flag("allowzero", false)?;
    let wrong = || node.shape_error("shape does not fit", format!("{:?}", x.shape()), &wanted);
    let mut shape = Vec::new();
    let mut open = None;
    for (i, &size) in wanted.iter().enumerate() {
        match size {
            0 if !allow_zero => shape.push(*x.shape().get(i).ok_or_else(wrong)?),
            -1 if open.is_none() => {
                open = Some(i);
                shape.push(1);
            }
            _ => shape.push(usize::try_from(size).map_err(|_| wrong())?),
        }
    }
    if let Some(open) = open {
        let known = checked_len(&shape)?;
        if known == 0 || !x.len().is_multiple_of(known) {
            return Err(wrong());
        }
        shape[open] = x.len() / known;
    }
    with_shape(node, x, &shape)
}

/// `Flatten`: all axes before `axis`, and all from it on.
pub(super) fn flatten(node: &Node<'_>) -> Result<Tensor> {
    let x = node.input(0)?;
    let rank = x.shape().len();
    // One more than the last axis is allowed: everything goes to the first.
    let axis = node.int("axis", 1)?;
    let axis = if usize::try_from(axis) == Ok(rank) { rank } else { node.axis(axis, rank)? };
    let (before, after) = x.shape().split_at(axis);
    with_shape(node, x, &[before.iter().product(), after.iter().product()])
}

/// Axes from an input since operator set 13, from an attribute before.
fn moved_axes(node: &Node<'_>) -> Result<Option<Vec<i64>>> {
    if node.opset >= 13 { node.optional_ints(1) } else { Ok(node.int_list("axes")?.map(<[i64]>::to_vec)) }
}

/// `Squeeze`: the given axes, or all of size 1.
pub(super) fn squeeze(node: &Node<'_>) -> Result<Tensor> {
    let x = node.input(0)?;
    let axes = match moved_axes(node)? {
        Some(axes) => node.axes(&axes, x.shape().len())?,
        None => (0..x.shape().len()).filter(|&axis| x.shape()[axis] == 1).collect(),
    };
    if let Some(&axis) = axes.iter().find(|&&axis| x.shape()[axis] != 1) {
        return Err(node.shape_error(format!("axis {axis} is not of size 1"), "1", x.shape()));
    }
    let kept = x.shape().iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
    with_shape(node, x, &kept.map(|(_, &size)| size).collect::<Vec<_>>())
}

/// `Unsqueeze`: the axes count in the result.
pub(super) fn unsqueeze(node: &Node<'_>) -> Result<Tensor> {
    let x = node.input(0)?;
    let wanted = moved_axes(node)?
        .ok_or_else(|| Error::new(ErrorKind::BrokenModel, "`Unsqueeze` has no axes").at_field("axes"))?;
    let axes = node.axes(&wanted, x.shape().len() + wanted.len())?;
    let mut shape = x.shape().to_vec();
    for axis in axes {
        shape.insert(axis, 1);
    }
    with_shape(node, x, &shape)
}

/// `Transpose`: all axes reversed unless `perm` says otherwise.
pub(super) fn transpose(node: &Node<'_>) -> Result<Tensor> {
    let x = node.input(0)?;
    let rank = x.shape().len();
    let perm: Vec<usize> = match node.int_list("perm")? {
        None => (0..rank).rev().collect(),
        Some(given) => {
            if node.axes(given, rank)?.len() != rank {
                return Err(node.shape_error("perm does not fit", format!("{rank} axes"), given));
            }
            given.iter().map(|&axis| node.axis(axis, rank)).collect::<Result<_>>()?
        }
    };
    Ok(for_any!(x, x => x.view().permuted_axes(perm).as_standard_layout().into_owned().into_shared()))
}

/// `Expand`: broadcasts both ways.
pub(super) fn expand(node: &Node<'_>) -> Result<Tensor> {
    fn go<T: Clone>(x: &Shared<T>, shape: &[usize]) -> Option<Shared<T>> {
        Some(x.broadcast(IxDyn(shape))?.to_owned().into_shared())
    }
    let (x, wanted) = (node.input(0)?, sizes(node, 1)?);
    let shape = broadcast_shape(node, x.shape(), &wanted)?;
    let wrong = || Error::new(ErrorKind::Internal, "shapes that were found to broadcast don't");
    Ok(for_any!(x, x => go(x, &shape).ok_or_else(wrong)?))
}

/// `Shape`: the sizes from `start` to `end`.
pub(super) fn shape(node: &Node<'_>) -> Result<Tensor> {
    let sizes = node.input(0)?.shape().iter().map(|&d| i64::try_from(d).unwrap_or(i64::MAX));
    let sizes: Vec<i64> = sizes.collect();
    let rank = i64::try_from(sizes.len()).unwrap_or(i64::MAX);
    let clamp = |at: i64| {
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(at.clamp(0, rank)).unwrap_or(0)
    };
    let (start, end) = (clamp(node.int("start", 0)?), clamp(node.int("end", i64::MAX)?));
    let part = sizes.get(start..end).unwrap_or_default().to_vec();
    Tensor::int(&[part.len()], part)
}

/// `Constant`: exactly one of its attributes.
pub(super) fn constant(node: &Node<'_>) -> Result<Tensor> {
    let float = |v: f64| Tensor::real(&[], vec![v]);
    let floats = |v: &[f32]| Tensor::real(&[v.len()], v.iter().map(|&v| f64::from(v)).collect());
    let ints = |v: &[i64]| Tensor::int(&[v.len()], v.to_vec());
    if let Some(value) = node.tensor("value")? {
        Ok(value)
    } else if let Some(value) = node.float("value_float")? {
        float(value)
    } else if let Some(values) = node.float_list("value_floats")? {
        floats(values)
    } else if let Some(values) = node.int_list("value_ints")? {
        ints(values)
    } else if let Some(value) = node.optional_int("value_int")? {
        Tensor::int(&[], vec![value])
    } else {
        Err(Error::new(ErrorKind::UnsupportedAttribute, "`Constant` without a number").at_field("value"))
    }
}

/// `ConstantOfShape`: one value everywhere, zero unless given.
pub(super) fn constant_of_shape(node: &Node<'_>) -> Result<Tensor> {
    let shape = sizes(node, 0)?;
    checked_len(&shape)?;
    let value = match node.tensor("value")? {
        Some(value) => value,
        None => Tensor::real(&[1], vec![0.0])?,
    };
    if value.len() != 1 {
        return Err(node.shape_error("the value must be one number", "[1]", value.shape()));
    }
    Ok(for_any!(value, x => {
        let mut x = x;
        x = x.into_shape_with_order(IxDyn(&[1])).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        ArrayD::from_elem(IxDyn(&shape), x[[0]]).into_shared()
    }))
}

/// `Range`: from start by delta, before limit.
pub(super) fn range(node: &Node<'_>) -> Result<Tensor> {
    let count = |steps: f64| {
        let count = steps.ceil().max(0.0);
        // A NaN or an infinity is beyond every limit.
        if count <= super::super::tensor::MAX_ELEMENTS as f64 {
            Ok(count as usize)
        } else {
            checked_len(&[usize::MAX])
        }
    };
    if let Tensor::Real(_) = node.input(0)? {
        let at = |index| -> Result<f64> {
            let view = node.input(index)?.as_real()?;
            if view.len() != 1 {
                return Err(node.shape_error("expects single numbers", "1 element", view.shape()));
            }
            Ok(view.iter().sum())
        };
        let (start, limit, delta) = (at(0)?, at(1)?, at(2)?);
        let n = count((limit - start) / delta)?;
        return Tensor::real(&[n], (0..n).map(|i| start + i as f64 * delta).collect());
    }
    let (start, limit, delta) = (node.scalar(0)?, node.scalar(1)?, node.scalar(2)?);
    if delta == 0 {
        return Err(Error::new(ErrorKind::BrokenModel, "`Range` by steps of 0"));
    }
    let n = count((limit as f64 - start as f64) / delta as f64)?;
    let values = (0..n).map(|i| start.wrapping_add(delta.wrapping_mul(i64::try_from(i).unwrap_or(i64::MAX))));
    Tensor::int(&[n], values.collect())
}

/// A vector of integers as sizes.
fn sizes(node: &Node<'_>, index: usize) -> Result<Vec<usize>> {
    let given = node.ints(index)?;
    let sizes = given.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>();
    sizes.ok_or_else(|| node.shape_error("a negative size", "0 or more", &given))
}
