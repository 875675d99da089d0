//! Evaluates nodes whose inputs are all constant, by ONNX's rules. May import: `error`, `node`, `rearrange`, `tensor`.

use ndarray::{ArcArray, ArrayD, ArrayViewD, Axis, IxDyn, Zip};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::f16;

use super::node::Node;
use super::rearrange::{self, broadcast, check_size};
use super::tensor::{Const, Data, shape};
use crate::error::{Error, ErrorKind, Result};

/// The outputs of a node, or `None` if there is no rule for folding it. No tensor gets more than `max` elements.
pub(super) fn fold(
    node: &Node,
    opset: i64,
    inputs: &[Option<&Const>],
    max: usize,
) -> Result<Option<Vec<Const>>> {
    if node.op() == "Constant" {
        return constant(node).map(|c| Some(vec![c]));
    }
    let [Some(first), rest @ ..] = inputs else { return Ok(None) };
    if let Some(outputs) = rearrange::steps(node, opset, first.dims(), rest, max)? {
        return Ok(Some(outputs.iter().map(|steps| rearrange::apply(first, steps)).collect()));
    }
    let second = rest.first().copied().flatten();
    let folded = match (node.op(), second, rest.get(1).copied().flatten()) {
        ("Shape", None, None) => shape_of(node, first.dims())?,
        ("Size", None, None) => Const::ints_1d(vec![first.len() as i64]).scalar_shaped(),
        ("Cast", None, None) => cast(node, first)?,
        ("CastLike", Some(like), None) => cast_like(node, first, like)?,
        ("ConstantOfShape", None, None) => constant_of_shape(node, first, max)?,
        ("Concat", ..) => {
            let axis = node.attributes(&["axis"])?.int("axis")?.ok_or_else(|| no_attribute("axis"))?;
            let parts: Vec<&Const> = inputs.iter().copied().flatten().collect();
            concat(&parts, axis, max)?
        }
        ("Sum", ..) => {
            node.attributes(&[])?;
            let mut sum = Const::clone(first);
            for part in rest.iter().copied().flatten() {
                let Some(next) = binary("Add", &sum, part, max)? else { return Ok(None) };
                sum = next;
            }
            sum
        }
        ("Range", Some(limit), Some(delta)) => range(first, limit, delta, max)?,
        ("Where", Some(a), Some(b)) => {
            node.attributes(&[])?;
            select(first, a, b, max)?
        }
        (op, Some(second), None) => {
            let Some(folded) = binary(op, first, second, max)? else { return Ok(None) };
            node.attributes(&[])?;
            folded
        }
        (op, None, None) => {
            let Some(folded) = unary(op, first)? else { return Ok(None) };
            node.attributes(&[])?;
            folded
        }
        _ => return Ok(None),
    };
    let origin = inputs.iter().flatten().find_map(|input| input.origin.clone());
    Ok(Some(vec![folded.with_origin(origin)]))
}

impl Const {
    fn scalar_shaped(self) -> Self {
        rearrange::apply(&self, &[rearrange::Step::Reshape(Vec::new())])
    }
}

fn no_attribute(name: &str) -> Error {
    Error::new(ErrorKind::BrokenModel, format!("attribute `{name}` is missing")).at_field(name)
}

fn constant(node: &Node) -> Result<Const> {
    let attributes = node.attributes(&["value", "value_float", "value_floats", "value_int", "value_ints"])?;
    if let Some(tensor) = attributes.tensor("value")? {
        return Const::decode(tensor);
    }
    if let Some(value) = attributes.float("value_float")? {
        return Ok(ArrayD::from_elem(IxDyn(&[]), value).into());
    }
    if let Some(values) = attributes.floats("value_floats")? {
        return Ok(ndarray::Array1::from(values.to_vec()).into_dyn().into());
    }
    if let Some(value) = attributes.int("value_int")? {
        return Ok(ArrayD::from_elem(IxDyn(&[]), value).into());
    }
    let values = attributes.ints("value_ints")?.ok_or_else(|| no_attribute("value"))?;
    Ok(Const::ints_1d(values.to_vec()))
}

/// The Shape operator for a tensor of known dimensions, constant or not.
pub(super) fn shape_of(node: &Node, dims: &[usize]) -> Result<Const> {
    let attributes = node.attributes(&["start", "end"])?;
    let rank = dims.len() as i64;
    let bound = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(attributes.int_or("start", 0)?), bound(attributes.int_or("end", rank)?));
    let part = dims.get(start..end).unwrap_or_default();
    Ok(Const::ints_1d(part.iter().map(|d| *d as i64).collect()))
}

fn constant_of_shape(node: &Node, dims: &Const, max: usize) -> Result<Const> {
    let dims = shape(&dims.ints()?)?;
    check_size(&dims, max)?;
    let dims = IxDyn(&dims);
    let Some(value) = node.attributes(&["value"])?.tensor("value")? else {
        return Ok(ArrayD::<f32>::zeros(dims).into());
    };
    let value = Const::decode(value)?;
    let wrong = || {
        Error::new(ErrorKind::BrokenModel, "`value` is not one element")
            .at_field("value")
            .got(format!("{:?}", value.dims()))
    };
    Ok(match &value.data {
        Data::F32(a) if a.len() == 1 => ArrayD::from_elem(dims, *a.first().ok_or_else(wrong)?).into(),
        Data::F16(a) if a.len() == 1 => ArrayD::from_elem(dims, *a.first().ok_or_else(wrong)?).into(),
        Data::I64(a) if a.len() == 1 => ArrayD::from_elem(dims, *a.first().ok_or_else(wrong)?).into(),
        Data::Bool(a) if a.len() == 1 => ArrayD::from_elem(dims, *a.first().ok_or_else(wrong)?).into(),
        _ => return Err(wrong()),
    })
}

/// The Cast operator for a constant.
fn cast(node: &Node, value: &Const) -> Result<Const> {
    let to =
        node.attributes(&["to", "saturate", "round_mode"])?.int("to")?.ok_or_else(|| no_attribute("to"))?;
    let r#type = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok());
    let unknown = || {
        super::node::unsupported(
            "to",
            "FLOAT, FLOAT16, DOUBLE, INT64, INT32 or BOOL",
            to,
            "export the model in f32",
        )
    };
    cast_to(r#type.ok_or_else(unknown)?, value)?.ok_or_else(unknown)
}

/// The CastLike operator for two constants.
fn cast_like(node: &Node, value: &Const, like: &Const) -> Result<Const> {
    node.attributes(&["saturate", "round_mode"])?;
    let r#type = match like.data {
        Data::F32(_) => DataType::Float,
        Data::F16(_) => DataType::Float16,
        Data::I64(_) => DataType::Int64,
        Data::Bool(_) => DataType::Bool,
    };
    let unknown = || {
        Error::new(ErrorKind::UnsupportedOp, "an unsupported cast of a constant")
            .expected(like.type_name())
            .got(value.type_name())
    };
    cast_to(r#type, value)?.ok_or_else(unknown)
}

/// A constant cast to the type of the tokens.
pub(super) fn cast_to_f32(value: &Const) -> Result<Const> {
    let unknown = || Error::new(ErrorKind::UnsupportedOp, "a constant that can't be cast to f32");
    cast_to(DataType::Float, value)?.ok_or_else(unknown)
}

/// A constant with its elements as another type, if that is one of ours.
fn cast_to(r#type: DataType, value: &Const) -> Result<Option<Const>> {
    if let (Data::F16(a), false) = (&value.data, r#type == DataType::Float16) {
        return cast_to(r#type, &a.mapv(f16::to_f32).into());
    }
    let int = |v: i64| match r#type {
        DataType::Int32 => i32::try_from(v).map(i64::from).map_err(|_| {
            Error::new(ErrorKind::UnsupportedOp, "a cast overflows").expected("an i32").got(v.to_string())
        }),
        _ => Ok(v),
    };
    Ok(Some(match (r#type, &value.data) {
        (DataType::Float | DataType::Double, Data::F32(a)) => a.to_owned().into(),
        (DataType::Float | DataType::Double, Data::I64(a)) => a.mapv(|v| v as f32).into(),
        (DataType::Float | DataType::Double, Data::Bool(a)) => a.mapv(|v| f32::from(u8::from(v))).into(),
        (DataType::Float16, Data::F16(a)) => a.to_owned().into(),
        (DataType::Float16, Data::F32(a)) => a.mapv(f16::from_f32).into(),
        (DataType::Int64 | DataType::Int32, Data::F32(a)) => map(a, |v| int(v as i64))?.into(),
        (DataType::Int64 | DataType::Int32, Data::I64(a)) => map(a, int)?.into(),
        (DataType::Int64 | DataType::Int32, Data::Bool(a)) => a.mapv(i64::from).into(),
        (DataType::Bool, Data::F32(a)) => a.mapv(|v| v != 0.0).into(),
        (DataType::Bool, Data::I64(a)) => a.mapv(|v| v != 0).into(),
        (DataType::Bool, Data::Bool(a)) => a.to_owned().into(),
        _ => return Ok(None),
    }))
}

fn map<T: Clone, U>(array: &ArcArray<T, IxDyn>, f: impl Fn(T) -> Result<U>) -> Result<ArrayD<U>> {
    let values: Vec<U> = array.iter().cloned().map(f).collect::<Result<_>>()?;
    Ok(ArrayD::from_shape_vec(array.raw_dim(), values).expect("as many elements as before"))
}

/// Joins constants of one type along an axis.
pub(super) fn concat(parts: &[&Const], axis: i64, max: usize) -> Result<Const> {
    let first = parts[0];
    let axis = rearrange::axis(axis, first.dims().len())?;
    let all: Vec<&[usize]> = parts.iter().map(|part| part.dims()).collect();
    check_size(&rearrange::concat_dims(&all, axis)?, max)?;
    fn join<T: Clone>(axis: usize, views: Option<Vec<ArrayViewD<'_, T>>>) -> Option<ArrayD<T>> {
        ndarray::concatenate(Axis(axis), &views?).ok()
    }
    let joined: Option<Const> = match &first.data {
        Data::F32(_) => join(
            axis,
            parts.iter().map(|p| if let Data::F32(a) = &p.data { Some(a.view()) } else { None }).collect(),
        )
        .map(Into::into),
        Data::I64(_) => join(
            axis,
            parts.iter().map(|p| if let Data::I64(a) = &p.data { Some(a.view()) } else { None }).collect(),
        )
        .map(Into::into),
        Data::F16(_) => join(
            axis,
            parts.iter().map(|p| if let Data::F16(a) = &p.data { Some(a.view()) } else { None }).collect(),
        )
        .map(Into::into),
        Data::Bool(_) => join(
            axis,
            parts.iter().map(|p| if let Data::Bool(a) = &p.data { Some(a.view()) } else { None }).collect(),
        )
        .map(Into::into),
    };
    joined.ok_or_else(|| {
        let types: Vec<&str> = parts.iter().map(|part| part.type_name()).collect();
        Error::new(ErrorKind::BrokenModel, "constants of different element types are joined")
            .expected(first.type_name())
            .got(types.join(", "))
    })
}

fn range(start: &Const, limit: &Const, delta: &Const, max: usize) -> Result<Const> {
    let number = |c: &Const| match c.ints()?.as_slice() {
        [one] => Ok(*one),
        other => Err(Error::new(ErrorKind::BrokenModel, "a bound of a range is not one number")
            .got(format!("{other:?}"))),
    };
    let (start, limit, delta) =
        (i128::from(number(start)?), i128::from(number(limit)?), i128::from(number(delta)?));
    if delta == 0 {
        return Err(Error::new(ErrorKind::BrokenModel, "a range has no step").at_field("delta").got("0"));
    }
    let count = ((limit - start + delta - delta.signum()) / delta).max(0);
    check_size(&[usize::try_from(count).unwrap_or(usize::MAX)], max)?;
    Ok(Const::ints_1d((0..count).map(|i| (start + i * delta) as i64).collect()))
}

fn unary(op: &str, x: &Const) -> Result<Option<Const>> {
    let float = |f: fn(f32) -> f32| -> Result<Option<Const>> { Ok(Some(x.f32s()?.mapv(f).into())) };
    match (op, &x.data) {
        ("Neg", Data::I64(a)) => Ok(Some(map(a, |v| v.checked_neg().ok_or_else(overflow))?.into())),
        ("Not", Data::Bool(a)) => Ok(Some(a.mapv(|v| !v).into())),
        ("Neg", _) => float(|v| -v),
        ("Sqrt", _) => float(f32::sqrt),
        ("Reciprocal", _) => float(f32::recip),
        ("Floor", _) => float(f32::floor),
        ("Ceil", _) => float(f32::ceil),
        _ => Ok(None),
    }
}

fn overflow() -> Error {
    Error::new(ErrorKind::BrokenModel, "integer arithmetic on constants overflows, or divides by zero")
}

fn binary(op: &str, a: &Const, b: &Const, max: usize) -> Result<Option<Const>> {
    let folded: Const = match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => {
            let f: fn(f32, f32) -> f32 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Pow" => f32::powf,
                "Equal" => return zip(a, b, max, |a, b| Ok(a == b)).map(|c| Some(c.into())),
                _ => return Ok(None),
            };
            zip(a, b, max, |a, b| Ok(f(*a, *b)))?.into()
        }
        (Data::I64(a), Data::I64(b)) => {
            let f: fn(i64, i64) -> Option<i64> = match op {
                "Add" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                "Div" => i64::checked_div,
                "Pow" => |a, b| a.checked_pow(u32::try_from(b).ok()?),
                "Equal" => return zip(a, b, max, |a, b| Ok(a == b)).map(|c| Some(c.into())),
                "Less" => return zip(a, b, max, |a, b| Ok(a < b)).map(|c| Some(c.into())),
                "Greater" => return zip(a, b, max, |a, b| Ok(a > b)).map(|c| Some(c.into())),
                _ => return Ok(None),
            };
            zip(a, b, max, |a, b| f(*a, *b).ok_or_else(overflow))?.into()
        }
        (Data::F16(_), _) | (_, Data::F16(_)) => {
            a.f32s()?;
            b.f32s()?;
            return Ok(None);
        }
        (Data::F32(a), Data::I64(b)) if op == "Pow" => zip(a, b, max, |a, b| Ok(a.powf(*b as f32)))?.into(),
        _ => return Ok(None),
    };
    Ok(Some(folded))
}

fn zip<A, B, T>(
    a: &ArcArray<A, IxDyn>,
    b: &ArcArray<B, IxDyn>,
    max: usize,
    f: impl Fn(&A, &B) -> Result<T>,
) -> Result<ArrayD<T>> {
    let dims = broadcast(a.shape(), b.shape())?;
    check_size(&dims, max)?;
    let a = a.broadcast(IxDyn(&dims)).expect("checked by `broadcast`");
    let b = b.broadcast(IxDyn(&dims)).expect("checked by `broadcast`");
    let values: Vec<T> = a.iter().zip(b.iter()).map(|(a, b)| f(a, b)).collect::<Result<_>>()?;
    Ok(ArrayD::from_shape_vec(IxDyn(&dims), values).expect("one element each"))
}

fn select(condition: &Const, a: &Const, b: &Const, max: usize) -> Result<Const> {
    let Data::Bool(condition) = &condition.data else {
        return Err(Error::new(ErrorKind::BrokenModel, "the condition is not of type bool"));
    };
    fn pick<T: Clone>(
        condition: &ArcArray<bool, IxDyn>,
        a: &ArcArray<T, IxDyn>,
        b: &ArcArray<T, IxDyn>,
        max: usize,
    ) -> Result<ArrayD<T>> {
        let dims = broadcast(&broadcast(a.shape(), b.shape())?, condition.shape())?;
        check_size(&dims, max)?;
        let dims = IxDyn(&dims);
        let wide = "checked by `broadcast`";
        let (a, b) = (a.broadcast(dims.clone()).expect(wide), b.broadcast(dims.clone()).expect(wide));
        let condition = condition.broadcast(dims).expect(wide);
        Ok(Zip::from(condition).and(a).and(b).map_collect(|c, a, b| if *c { a.clone() } else { b.clone() }))
    }
    match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => Ok(pick(condition, a, b, max)?.into()),
        (Data::I64(a), Data::I64(b)) => Ok(pick(condition, a, b, max)?.into()),
        (Data::Bool(a), Data::Bool(b)) => Ok(pick(condition, a, b, max)?.into()),
        _ => Err(Error::new(ErrorKind::BrokenModel, "the branches have different element types")
            .expected(a.type_name())
            .got(b.type_name())),
    }
}
