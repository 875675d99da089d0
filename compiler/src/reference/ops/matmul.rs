//! `MatMul` and `Gemm`.

use ndarray::{ArrayD, ArrayViewD, Axis, Dimension, Ix2, IxDyn};

use super::check_work;
use super::elementwise::broadcast_shape;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::node::Node;
use crate::reference::tensor::{Tensor, checked_len};

/// `… × m × k` by `… × k × n`, leading axes broadcast; a vector stands for a row on the left, a column on the right.
pub(super) fn matmul(node: &Node<'_>) -> Result<Tensor> {
    let (mut a, mut b) = (node.input(0)?.as_real()?, node.input(1)?.as_real()?);
    if a.ndim() == 0 || b.ndim() == 0 {
        return Err(node.shape_error(
            "a scalar has no product",
            "1 dimension or more",
            &(a.shape(), b.shape()),
        ));
    }
    let (row, column) = (a.ndim() == 1, b.ndim() == 1);
    if row {
        a.insert_axis_inplace(Axis(0));
    }
    if column {
        b.insert_axis_inplace(Axis(1));
    }
    let (a_lead, a_mat) = a.shape().split_at(a.ndim() - 2);
    let (b_lead, b_mat) = b.shape().split_at(b.ndim() - 2);
    let (m, k, n) = (a_mat[0], a_mat[1], b_mat[1]);
    if k != b_mat[0] {
        return Err(node.shape_error("inner sizes differ", k.to_string(), &b_mat[0]));
    }
    let lead = broadcast_shape(node, a_lead, b_lead)?;
    let with = |tail: [usize; 2]| [&lead[..], &tail].concat();
    checked_len(&with([m, n]))?;
    check_work(&[&lead[..], &[m, k, n]].concat())?;
    let spread = |x: &ArrayViewD<'_, f64>, tail: [usize; 2]| {
        checked_len(&with(tail))?;
        x.broadcast(IxDyn(&with(tail)))
            .map(|v| v.to_owned())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "shapes that were found to broadcast don't"))
    };
    let (a, b) = (spread(&a, [m, k])?, spread(&b, [k, n])?);
    let mut out = ArrayD::zeros(with([m, n]));
    for lead_index in ndarray::indices(IxDyn(&lead)) {
        let at = |x: ArrayViewD<'_, f64>| -> Result<ndarray::Array2<f64>> {
            let mut x = x;
            for &i in lead_index.slice() {
                x.index_axis_inplace(Axis(0), i);
            }
            matrix(node, x)
        };
        let product = at(a.view())?.dot(&at(b.view())?);
        let mut target = out.view_mut();
        for &i in lead_index.slice() {
            target.index_axis_inplace(Axis(0), i);
        }
        target.assign(&product);
    }
    if column {
        let last = Axis(out.ndim() - 1);
        out = out.index_axis_move(last, 0);
    }
    if row {
        let axis = out.ndim() - if column { 1 } else { 2 };
        out = out.index_axis_move(Axis(axis), 0);
    }
    Ok(Tensor::Real(out.into_shared()))
}

/// `alpha·A·B + beta·C`, A and B transposed on demand.
pub(super) fn gemm(node: &Node<'_>) -> Result<Tensor> {
    let operand = |index, transposed| -> Result<ndarray::Array2<f64>> {
        let x = matrix(node, node.input(index)?.as_real()?)?;
        Ok(if transposed { x.reversed_axes() } else { x })
    };
    let a = operand(0, node.flag("transA", false)?)?;
    let b = operand(1, node.flag("transB", false)?)?;
    let (alpha, beta) = (node.float("alpha")?.unwrap_or(1.0), node.float("beta")?.unwrap_or(1.0));
    if a.ncols() != b.nrows() {
        return Err(node.shape_error("inner sizes differ", a.ncols().to_string(), &b.nrows()));
    }
    checked_len(&[a.nrows(), b.ncols()])?;
    check_work(&[a.nrows(), a.ncols(), b.ncols()])?;
    let mut out = a.dot(&b) * alpha;
    if let Some(c) = node.optional(2) {
        let c = c.as_real()?;
        let spread = c.broadcast(out.raw_dim()).ok_or_else(|| {
            node.shape_error("C does not broadcast", format!("{:?}", out.shape()), c.shape())
        })?;
        out.scaled_add(beta, &spread);
    }
    Ok(Tensor::Real(out.into_dyn().into_shared()))
}

fn matrix(node: &Node<'_>, x: ArrayViewD<'_, f64>) -> Result<ndarray::Array2<f64>> {
    let shape = x.shape().to_vec();
    x.into_dimensionality::<Ix2>()
        .map(|x| x.to_owned())
        .map_err(|_| node.shape_error("expects matrices", "2 dimensions", &shape))
}
