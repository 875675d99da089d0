//! Operators that look at one element at a time.

use std::cmp::Ordering;

use ndarray::{ArrayD, ArrayViewD, IxDyn, Zip};
use tract_onnx::pb::tensor_proto::DataType;

use crate::error::{Error, ErrorKind, Result};
use crate::reference::node::Node;
use crate::reference::tensor::{Tensor, checked_len};

/// The shape that two shapes broadcast to, aligned at the last axis.
pub(super) fn broadcast_shape(node: &Node<'_>, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let joined = (0..rank).map(|axis| match (at(a, axis), at(b, axis)) {
        (x, y) if x == y => Some(x),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    });
    let shape = joined.collect::<Option<Vec<_>>>();
    let shape =
        shape.ok_or_else(|| node.shape_error("shapes don't broadcast", "equal sizes or 1", &(a, b)))?;
    checked_len(&shape)?;
    Ok(shape)
}

/// `f` of each pair of elements after broadcasting.
fn pairwise<A: Clone, B>(
    node: &Node<'_>,
    a: &ArrayViewD<'_, A>,
    b: &ArrayViewD<'_, A>,
    f: impl Fn(&A, &A) -> B,
) -> Result<ArrayD<B>> {
    let shape = broadcast_shape(node, a.shape(), b.shape())?;
    let spread = |x: &ArrayViewD<'_, A>| x.broadcast(IxDyn(&shape)).map(|v| v.to_owned());
    match (spread(a), spread(b)) {
        (Some(a), Some(b)) => Ok(Zip::from(&a).and(&b).map_collect(f)),
        _ => Err(Error::new(ErrorKind::Internal, "shapes that were found to broadcast don't")),
    }
}

fn real(array: ArrayD<f64>) -> Tensor {
    Tensor::Real(array.into_shared())
}

fn mixed(node: &Node<'_>, a: &Tensor, b: &Tensor) -> Error {
    Error::new(ErrorKind::BrokenModel, format!("`{}` of tensors of different types", node.op()))
        .expected(a.kind())
        .got(b.kind())
}

/// `Add`, `Sub`, `Mul`, `Div`, and `Sum`, `Min` and `Max` of any number of inputs.
pub(super) fn arithmetic(node: &Node<'_>) -> Result<Tensor> {
    let inputs = node.all()?;
    if !matches!(node.op(), "Sum" | "Min" | "Max") {
        return arithmetic_pair(node, node.input(0)?, node.input(1)?);
    }
    let mut folded = inputs[0].clone();
    for next in &inputs[1..] {
        folded = arithmetic_pair(node, &folded, next)?;
    }
    Ok(folded)
}

fn arithmetic_pair(node: &Node<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (a, b) {
        (Tensor::Real(a), Tensor::Real(b)) => {
            let f = match node.op() {
                "Add" | "Sum" => |a: &f64, b: &f64| a + b,
                "Sub" => |a: &f64, b: &f64| a - b,
                "Mul" => |a: &f64, b: &f64| a * b,
                "Div" => |a: &f64, b: &f64| a / b,
                // NaN wins, as in numpy, which ONNX refers to.
                "Min" => |a: &f64, b: &f64| if a.is_nan() || a < b { *a } else { *b },
                _ => |a: &f64, b: &f64| if a.is_nan() || a > b { *a } else { *b },
            };
            Ok(real(pairwise(node, &a.view(), &b.view(), f)?))
        }
        (Tensor::Int(a), Tensor::Int(b)) => {
            let f = match node.op() {
                "Add" | "Sum" => |a: &i64, b: &i64| a.checked_add(*b),
                "Sub" => |a: &i64, b: &i64| a.checked_sub(*b),
                "Mul" => |a: &i64, b: &i64| a.checked_mul(*b),
                "Div" => |a: &i64, b: &i64| a.checked_div(*b),
                "Min" => |a: &i64, b: &i64| Some(*a.min(b)),
                _ => |a: &i64, b: &i64| Some(*a.max(b)),
            };
            let results = pairwise(node, &a.view(), &b.view(), f)?;
            let shape = results.shape().to_vec();
            let all: Option<Vec<i64>> = results.into_iter().collect();
            let all = all.ok_or_else(|| {
                let what = format!("`{}` of integers overflows or divides by zero", node.op());
                Error::new(ErrorKind::BrokenModel, what)
            })?;
            Tensor::int(&shape, all)
        }
        _ => Err(mixed(node, a, b)),
    }
}

/// `Pow`: the exponent may be an integer.
pub(super) fn pow(node: &Node<'_>) -> Result<Tensor> {
    let exponent = match node.input(1)? {
        Tensor::Int(x) => x.mapv(|v| v as f64).into_shared(),
        other => other.as_real()?.to_shared(),
    };
    Ok(real(pairwise(node, &node.input(0)?.as_real()?, &exponent.view(), |a, b| a.powf(*b))?))
}

/// `Equal`, `Less`, `LessOrEqual`, `Greater`, `GreaterOrEqual`.
pub(super) fn compare(node: &Node<'_>) -> Result<Tensor> {
    let holds = |ordering: Option<Ordering>| match node.op() {
        "Equal" => ordering == Some(Ordering::Equal),
        "Less" => ordering == Some(Ordering::Less),
        "LessOrEqual" => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        "Greater" => ordering == Some(Ordering::Greater),
        _ => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
    };
    let (a, b) = (node.input(0)?, node.input(1)?);
    let truth = match (a, b) {
        (Tensor::Real(a), Tensor::Real(b)) => {
            pairwise(node, &a.view(), &b.view(), |a, b| holds(a.partial_cmp(b)))?
        }
        (Tensor::Int(a), Tensor::Int(b)) => {
            pairwise(node, &a.view(), &b.view(), |a, b| holds(a.partial_cmp(b)))?
        }
        (Tensor::Bool(a), Tensor::Bool(b)) if node.op() == "Equal" => {
            pairwise(node, &a.view(), &b.view(), |a, b| a == b)?
        }
        _ => return Err(mixed(node, a, b)),
    };
    Ok(Tensor::Bool(truth.into_shared()))
}

/// `And`, `Or`, `Not`.
pub(super) fn logic(node: &Node<'_>) -> Result<Tensor> {
    let a = node.input(0)?.as_bool()?;
    let truth = match node.op() {
        "Not" => a.mapv(|x| !x),
        "And" => pairwise(node, &a, &node.input(1)?.as_bool()?, |a, b| *a && *b)?,
        _ => pairwise(node, &a, &node.input(1)?.as_bool()?, |a, b| *a || *b)?,
    };
    Ok(Tensor::Bool(truth.into_shared()))
}

/// Functions of one real number.
pub(super) fn function(node: &Node<'_>) -> Result<Tensor> {
    let f = match node.op() {
        "Sqrt" => f64::sqrt,
        "Reciprocal" => f64::recip,
        "Erf" => libm::erf,
        "Tanh" => f64::tanh,
        "Sigmoid" => sigmoid,
        "Relu" => relu,
        "Exp" => f64::exp,
        "Floor" => f64::floor,
        "Ceil" => f64::ceil,
        _ => f64::ln,
    };
    Ok(real(node.input(0)?.as_real()?.mapv(f)))
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// NaN stays NaN.
pub(super) fn relu(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// `Neg` and `Abs`, which know integers too.
pub(super) fn sign(node: &Node<'_>) -> Result<Tensor> {
    let negate = node.op() == "Neg";
    match node.input(0)? {
        Tensor::Int(x) => Ok(Tensor::Int(
            x.mapv(|v| if negate { v.wrapping_neg() } else { v.wrapping_abs() }).into_shared(),
        )),
        other => Ok(real(other.as_real()?.mapv(|v| if negate { -v } else { v.abs() }))),
    }
}

/// `x·Φ(x)`, or its approximation by `tanh`.
pub(super) fn gelu(node: &Node<'_>) -> Result<Tensor> {
    // erfc keeps its digits where 1 + erf cancels.
    let exact = |x: f64| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let tanh = |x: f64| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    };
    let x = node.input(0)?.as_real()?;
    match node.string("approximate", "none")? {
        "none" => Ok(real(x.mapv(exact))),
        "tanh" => Ok(real(x.mapv(tanh))),
        other => Err(node.bad_attribute("approximate", &format!("must be none or tanh, not `{other}`"))),
    }
}

/// `Clip`: at least the lower bound, then at most the upper one; each is optional. Attributes before operator set 11.
pub(super) fn clip(node: &Node<'_>) -> Result<Tensor> {
    fn bounded<T: PartialOrd + Copy>(x: &T, low: Option<T>, high: Option<T>) -> T {
        let raised = low.filter(|low| *x < *low).unwrap_or(*x);
        high.filter(|high| raised > *high).unwrap_or(raised)
    }
    let one = |index: usize, tensor: &Tensor| match tensor.len() {
        1 => Ok(()),
        _ => Err(node.shape_error(format!("input {index} must be one number"), "1", tensor.shape())),
    };
    for (index, bound) in [(1, node.optional(1)), (2, node.optional(2))] {
        bound.map_or(Ok(()), |bound| one(index, bound))?;
    }
    match node.input(0)? {
        Tensor::Int(x) => {
            let bound = |tensor: Option<&Tensor>| -> Result<Option<i64>> {
                tensor.map_or(Ok(None), |tensor| Ok(tensor.as_int()?.first().copied()))
            };
            let (low, high) = (bound(node.optional(1))?, bound(node.optional(2))?);
            Ok(Tensor::Int(x.mapv(|v| bounded(&v, low, high)).into_shared()))
        }
        x => {
            let bound = |tensor: Option<&Tensor>| -> Result<Option<f64>> {
                tensor.map_or(Ok(None), |tensor| Ok(tensor.as_real()?.first().copied()))
            };
            let (low, high) = (bound(node.optional(1))?, bound(node.optional(2))?);
            Ok(real(x.as_real()?.mapv(|v| bounded(&v, low, high))))
        }
    }
}

/// `IsNaN`.
pub(super) fn is_nan(node: &Node<'_>) -> Result<Tensor> {
    Ok(Tensor::Bool(node.input(0)?.as_real()?.mapv(f64::is_nan).into_shared()))
}

/// `Where`: condition ? x : y.
pub(super) fn select(node: &Node<'_>) -> Result<Tensor> {
    fn pick<T: Clone>(
        node: &Node<'_>,
        condition: &ArrayViewD<'_, bool>,
        x: &ArrayViewD<'_, T>,
        y: &ArrayViewD<'_, T>,
    ) -> Result<ArrayD<T>> {
        let both = pairwise(node, x, y, |x, y| (x.clone(), y.clone()))?;
        let shape = broadcast_shape(node, condition.shape(), both.shape())?;
        match (condition.broadcast(IxDyn(&shape)), both.broadcast(IxDyn(&shape))) {
            (Some(condition), Some(both)) => Ok(Zip::from(&condition)
                .and(&both)
                .map_collect(|&c, (x, y)| if c { x.clone() } else { y.clone() })),
            _ => Err(Error::new(ErrorKind::Internal, "shapes that were found to broadcast don't")),
        }
    }
    let condition = node.input(0)?.as_bool()?;
    match (node.input(1)?, node.input(2)?) {
        (Tensor::Real(x), Tensor::Real(y)) => Ok(real(pick(node, &condition, &x.view(), &y.view())?)),
        (Tensor::Int(x), Tensor::Int(y)) => {
            Ok(Tensor::Int(pick(node, &condition, &x.view(), &y.view())?.into_shared()))
        }
        (Tensor::Bool(x), Tensor::Bool(y)) => {
            Ok(Tensor::Bool(pick(node, &condition, &x.view(), &y.view())?.into_shared()))
        }
        (x, y) => Err(mixed(node, x, y)),
    }
}

/// `Cast`. Real numbers are f64 here, so a cast between their widths changes nothing.
pub(super) fn cast(node: &Node<'_>) -> Result<Tensor> {
    // Rounding of an 8-bit type, which is no target here.
    node.flag("saturate", true)?;
    let to = i32::try_from(node.int("to", 0)?).ok().and_then(|to| DataType::try_from(to).ok());
    let x = node.input(0)?;
    match to {
        Some(DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16) => Ok(match x {
            Tensor::Real(_) => x.clone(),
            Tensor::Int(x) => real(x.mapv(|v| v as f64).into_owned()),
            Tensor::Bool(x) => real(x.mapv(|v| f64::from(u8::from(v))).into_owned()),
        }),
        // A float to an integer drops the fraction and, as `as` does, stays within the type.
        Some(DataType::Int64) => Ok(match x {
            Tensor::Real(x) => Tensor::Int(x.mapv(|v| v as i64).into_shared()),
            Tensor::Int(_) => x.clone(),
            Tensor::Bool(x) => Tensor::Int(x.mapv(i64::from).into_shared()),
        }),
        Some(DataType::Int32) => Ok(match x {
            Tensor::Real(x) => Tensor::Int(x.mapv(|v| i64::from(v as i32)).into_shared()),
            Tensor::Int(x) => Tensor::Int(x.mapv(|v| i64::from(v as i32)).into_shared()),
            Tensor::Bool(x) => Tensor::Int(x.mapv(i64::from).into_shared()),
        }),
        Some(DataType::Bool) => Ok(match x {
            Tensor::Real(x) => Tensor::Bool(x.mapv(|v| v != 0.0).into_shared()),
            Tensor::Int(x) => Tensor::Bool(x.mapv(|v| v != 0).into_shared()),
            Tensor::Bool(_) => x.clone(),
        }),
        _ => Err(node.bad_attribute("to", "names a type that is not supported")),
    }
}
