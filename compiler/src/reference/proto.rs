//! ONNX's tensors to ours. May import: `tensor`, `error`.

use tract_onnx::pb::{TensorProto, tensor_proto::DataType};
use tract_onnx::prelude::f16;

use super::tensor::{Tensor, checked_len};
use crate::error::{Error, ErrorKind, Result};

/// Reads a tensor that the file holds.
pub(super) fn tensor(proto: &TensorProto) -> Result<Tensor> {
    let field = |e: Error| if proto.name.is_empty() { e } else { e.at_field(proto.name.clone()) };
    read(proto).map_err(field)
}

fn read(proto: &TensorProto) -> Result<Tensor> {
    let shape = proto
        .dims
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| broken(format!("a tensor with dimension {d}"))))
        .collect::<Result<Vec<_>>>()?;
    let len = checked_len(&shape)?;
    if proto.data_location == Some(1) || !proto.external_data.is_empty() {
        return Err(Error::new(ErrorKind::UnsupportedAttribute, "a tensor whose data is in another file")
            .hint("give `--allow-external-data`, or save the model with its weights in one file"));
    }
    let kind = DataType::try_from(proto.data_type)
        .map_err(|_| broken(format!("unknown element type {}", proto.data_type)))?;
    let raw = |size: usize| {
        if len.checked_mul(size) == Some(proto.raw_data.len()) {
            Ok(proto.raw_data.chunks_exact(size))
        } else {
            Err(broken("a tensor whose data has another size than its shape")
                .expected(format!("{len} elements of {size} bytes"))
                .got(format!("{} bytes", proto.raw_data.len())))
        }
    };
    let has_raw = !proto.raw_data.is_empty();
    match kind {
        DataType::Float if has_raw => {
            Tensor::real(&shape, raw(4)?.map(|b| f64::from(f32::from_le_bytes(bytes(b)))).collect())
        }
        DataType::Float => Tensor::real(&shape, proto.float_data.iter().map(|&v| f64::from(v)).collect()),
        DataType::Double if has_raw => {
            Tensor::real(&shape, raw(8)?.map(|b| f64::from_le_bytes(bytes(b))).collect())
        }
        DataType::Double => Tensor::real(&shape, proto.double_data.clone()),
        DataType::Float16 if has_raw => Tensor::real(
            &shape,
            raw(2)?.map(|b| f64::from(f16::from_bits(u16::from_le_bytes(bytes(b))))).collect(),
        ),
        // A 16-bit number stands in the low half of an int32.
        DataType::Float16 => Tensor::real(
            &shape,
            proto.int32_data.iter().map(|&v| f64::from(f16::from_bits((v & 0xffff) as u16))).collect(),
        ),
        DataType::Int64 if has_raw => {
            Tensor::int(&shape, raw(8)?.map(|b| i64::from_le_bytes(bytes(b))).collect())
        }
        DataType::Int64 => Tensor::int(&shape, proto.int64_data.clone()),
        DataType::Int32 if has_raw => {
            Tensor::int(&shape, raw(4)?.map(|b| i64::from(i32::from_le_bytes(bytes(b)))).collect())
        }
        DataType::Int32 => Tensor::int(&shape, proto.int32_data.iter().map(|&v| i64::from(v)).collect()),
        DataType::Bool if has_raw => Tensor::bool(&shape, raw(1)?.map(|b| b[0] != 0).collect()),
        DataType::Bool => Tensor::bool(&shape, proto.int32_data.iter().map(|&v| v != 0).collect()),
        other => Err(Error::new(
            ErrorKind::UnsupportedAttribute,
            format!("element type `{}`", other.as_str_name()),
        )
        .hint("export the model in 32-bit floating point")),
    }
}

/// A chunk of `chunks_exact(N)` as an array.
fn bytes<const N: usize>(chunk: &[u8]) -> [u8; N] {
    chunk.try_into().expect("chunks_exact gives chunks of its size")
}

fn broken(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BrokenModel, what)
}
