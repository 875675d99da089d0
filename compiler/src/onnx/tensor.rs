//! Constant tensors of the model: decoding with every size checked, and typed access.
//! May import: `error`, protobuf types.

use std::sync::Arc;

use ndarray::{ArcArray, ArrayD, IxDyn};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::prelude::f16;

use crate::error::{Error, ErrorKind, Result};

/// Elements by type. Integers of any width are held as `i64`, floats of 32 and 64 bits as `f32`. Floats of 16 bits stay what
/// they are until a `Cast` widens them: arithmetic on them would have to round to 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    F32(ArcArray<f32, IxDyn>),
    F16(ArcArray<f16, IxDyn>),
    I64(ArcArray<i64, IxDyn>),
    Bool(ArcArray<bool, IxDyn>),
}

/// A constant tensor. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Const {
    pub(super) data: Data,
    /// Name of the parameter that it was made from.
    pub(super) origin: Option<Arc<str>>,
}

/// Applies one expression to the array of whatever type.
macro_rules! each_type {
    ($data:expr, $array:ident => $body:expr) => {
        match $data {
            Data::F32($array) => $body,
            Data::F16($array) => $body,
            Data::I64($array) => $body,
            Data::Bool($array) => $body,
        }
    };
}

impl From<ArrayD<f32>> for Const {
    fn from(array: ArrayD<f32>) -> Self {
        Self { data: Data::F32(array.into_shared()), origin: None }
    }
}

impl From<ArrayD<f16>> for Const {
    fn from(array: ArrayD<f16>) -> Self {
        Self { data: Data::F16(array.into_shared()), origin: None }
    }
}

impl From<ArrayD<i64>> for Const {
    fn from(array: ArrayD<i64>) -> Self {
        Self { data: Data::I64(array.into_shared()), origin: None }
    }
}

impl From<ArrayD<bool>> for Const {
    fn from(array: ArrayD<bool>) -> Self {
        Self { data: Data::Bool(array.into_shared()), origin: None }
    }
}

impl Const {
    /// A list of integers.
    pub(super) fn ints_1d(values: Vec<i64>) -> Self {
        ArrayD::from_shape_vec(IxDyn(&[values.len()]), values).expect("one axis as long as the list").into()
    }

    /// The same elements with another origin.
    pub(super) fn with_origin(mut self, origin: Option<Arc<str>>) -> Self {
        self.origin = origin;
        self
    }

    pub(super) fn dims(&self) -> &[usize] {
        each_type!(&self.data, a => a.shape())
    }

    pub(super) fn len(&self) -> usize {
        each_type!(&self.data, a => a.len())
    }

    /// Name of the element type.
    pub(super) fn type_name(&self) -> &'static str {
        match self.data {
            Data::F32(_) => "f32",
            Data::F16(_) => "f16",
            Data::I64(_) => "i64",
            Data::Bool(_) => "bool",
        }
    }

    fn wrong_type(&self, expected: &str) -> Error {
        let error = Error::new(ErrorKind::UnsupportedOp, "wrong element type of a constant")
            .expected(expected)
            .got(self.type_name());
        match self.data {
            Data::F16(_) => error.hint(
                "farc computes in f32: export in f32, or store the weights in f16 and widen them by `Cast`",
            ),
            _ => error,
        }
    }

    /// The array of f32.
    pub(super) fn f32s(&self) -> Result<&ArcArray<f32, IxDyn>> {
        match &self.data {
            Data::F32(a) => Ok(a),
            _ => Err(self.wrong_type("f32")),
        }
    }

    /// The f32 elements, row-major.
    pub(super) fn floats(&self) -> Result<Vec<f32>> {
        Ok(self.f32s()?.iter().copied().collect())
    }

    /// The integers, row-major.
    pub(super) fn ints(&self) -> Result<Vec<i64>> {
        match &self.data {
            Data::I64(a) => Ok(a.iter().copied().collect()),
            _ => Err(self.wrong_type("i64")),
        }
    }

    /// The number, if there is exactly one.
    pub(super) fn scalar(&self) -> Option<f64> {
        match &self.data {
            Data::F32(a) if a.len() == 1 => a.first().map(|v| f64::from(*v)),
            Data::I64(a) if a.len() == 1 => a.first().map(|v| *v as f64),
            _ => None,
        }
    }

    /// Whether every element is zero (or false).
    pub(super) fn is_zero(&self) -> bool {
        match &self.data {
            Data::F32(a) => a.iter().all(|v| *v == 0.0),
            Data::F16(a) => a.iter().all(|v| v.to_f32() == 0.0),
            Data::I64(a) => a.iter().all(|v| *v == 0),
            Data::Bool(a) => a.iter().all(|v| !v),
        }
    }

    /// Decodes a tensor of the file.
    pub(super) fn decode(proto: &TensorProto) -> Result<Self> {
        let name = if proto.name.is_empty() { "constant" } else { proto.name.as_str() };
        let decoded = decode(proto).map_err(|e| e.at_field(name))?;
        Ok(decoded.with_origin((!proto.name.is_empty()).then(|| proto.name.as_str().into())))
    }
}

/// Whether the tensor's data are in another file.
pub(super) fn is_external(proto: &TensorProto) -> bool {
    proto.data_location == Some(DataLocation::External as i32) || !proto.external_data.is_empty()
}

fn decode(proto: &TensorProto) -> Result<Const> {
    if is_external(proto) {
        return Err(Error::new(ErrorKind::BrokenModel, "a tensor's data is in another file")
            .expected("data inside the model file")
            .got("external data")
            .hint(
                "give `--allow-external-data` if the file is in the model's own folder and may be read, or write the \
                 model as one file: `torch.onnx.export(…, external_data=False)`, or `onnx.save(model, path)` of a model \
                 that was loaded",
            ));
    }
    if proto.segment.is_some() {
        return Err(Error::new(ErrorKind::BrokenModel, "a tensor is stored in segments"));
    }
    let dims = shape(&proto.dims)?;
    let raw = (!proto.raw_data.is_empty()).then_some(proto.raw_data.as_slice());
    let small = || proto.int32_data.iter().copied();
    let r#type = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    Ok(match r#type {
        DataType::Float => match raw {
            Some(raw) => array(&dims, le(raw, f32::from_le_bytes)?)?,
            None => array(&dims, proto.float_data.clone())?,
        },
        DataType::Double => match raw {
            Some(raw) => array(&dims, le(raw, |b| f64::from_le_bytes(b) as f32)?)?,
            None => array(&dims, proto.double_data.iter().map(|v| *v as f32).collect())?,
        },
        DataType::Float16 => match raw {
            Some(raw) => array(&dims, le(raw, f16::from_le_bytes)?)?,
            // A 16-bit number stands in the low half of an int32.
            None => array(&dims, small().map(|v| f16::from_bits(v as u16)).collect())?,
        },
        DataType::Int64 => match raw {
            Some(raw) => array(&dims, le(raw, i64::from_le_bytes)?)?,
            None => array(&dims, proto.int64_data.clone())?,
        },
        DataType::Int32 => match raw {
            Some(raw) => array(&dims, le(raw, |b| i64::from(i32::from_le_bytes(b)))?)?,
            None => array(&dims, small().map(i64::from).collect())?,
        },
        DataType::Bool => match raw {
            Some(raw) => array(&dims, raw.iter().map(|v| *v != 0).collect())?,
            None => array(&dims, small().map(|v| v != 0).collect())?,
        },
        other => return Err(unsupported_type(other, proto.data_type)),
    })
}

/// An element type that is not known here, by its name or, where ONNX does not know it either, its number.
pub(super) fn unsupported_type(r#type: DataType, number: i32) -> Error {
    let got = match r#type {
        DataType::Undefined => number.to_string(),
        known => known.as_str_name().into(),
    };
    Error::new(ErrorKind::UnsupportedAttribute, "unsupported element type of a tensor")
        .expected("FLOAT, FLOAT16, DOUBLE, INT64, INT32 or BOOL")
        .got(got)
        .hint("export the model in f32")
}

/// Dimensions that are not negative and whose product can be an array.
pub(super) fn shape(dims: &[i64]) -> Result<Vec<usize>> {
    let bad = || {
        Error::new(ErrorKind::BrokenModel, "impossible dimensions of a tensor")
            .expected("a size")
            .got(format!("{dims:?}"))
    };
    let dims: Vec<usize> =
        dims.iter().map(|d| usize::try_from(*d).map_err(|_| bad())).collect::<Result<_>>()?;
    elements(&dims).map(|_| dims)
}

/// Most axes of a tensor.
const MAX_RANK: usize = 16;

/// Refuses more axes than any operator needs.
pub(super) fn check_rank(rank: usize) -> Result<()> {
    if rank <= MAX_RANK {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LimitExceeded, "a tensor has too many axes")
        .expected(format!("at most {MAX_RANK}"))
        .got(rank.to_string()))
}

/// Number of elements. Zero-sized axes are counted as ones, so that the others are checked too.
pub(super) fn elements(dims: &[usize]) -> Result<usize> {
    check_rank(dims.len())?;
    let product = dims.iter().try_fold(1usize, |n, d| n.checked_mul((*d).max(1)));
    match product.filter(|n| *n <= isize::MAX as usize / 8) {
        Some(n) => Ok(if dims.contains(&0) { 0 } else { n }),
        None => Err(Error::new(ErrorKind::LimitExceeded, "a tensor is too large to be addressed")
            .expected("fewer elements")
            .got(format!("{dims:?}"))),
    }
}

/// An array of the elements, if there are as many as the dimensions say.
fn array<T>(dims: &[usize], values: Vec<T>) -> Result<Const>
where
    Const: From<ArrayD<T>>,
{
    let (expected, got) = (elements(dims)?, values.len());
    match ArrayD::from_shape_vec(IxDyn(dims), values) {
        Ok(array) => Ok(array.into()),
        Err(_) => Err(Error::new(
            ErrorKind::BrokenModel,
            format!("a tensor of {dims:?} has the wrong amount of data"),
        )
        .expected(format!("{expected} elements"))
        .got(got.to_string())),
    }
}

fn le<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let (chunks, rest) = raw.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(Error::new(ErrorKind::BrokenModel, "raw data is not a whole number of elements")
            .expected(format!("a multiple of {N} bytes"))
            .got(format!("{} bytes", raw.len())));
    }
    Ok(chunks.iter().map(|chunk| f(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(r#type: DataType, dims: &[i64]) -> TensorProto {
        TensorProto { data_type: r#type as i32, dims: dims.to_vec(), name: "w".into(), ..Default::default() }
    }

    #[test]
    fn raw_and_typed_data_decode_alike() {
        let raw = |r#type, bytes: &[u8]| {
            Const::decode(&TensorProto { raw_data: bytes.into(), ..proto(r#type, &[2]) }).unwrap()
        };
        let floats = |c: Const| c.floats().unwrap();
        assert_eq!(floats(raw(DataType::Float, &[0, 0, 128, 63, 0, 0, 0, 192])), [1.0, -2.0]);
        let half = |c: Const| match c.data {
            Data::F16(a) => a.iter().map(|v| v.to_f32()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(half(raw(DataType::Float16, &[0, 0x3c, 1, 0x80])), [1.0, -(2f32.powi(-24))]);
        assert_eq!(floats(raw(DataType::Double, &1.5f64.to_le_bytes().repeat(2))), [1.5, 1.5]);
        assert_eq!(raw(DataType::Int32, &(-3i32).to_le_bytes().repeat(2)).ints().unwrap(), [-3, -3]);
        assert_eq!(raw(DataType::Int64, &7i64.to_le_bytes().repeat(2)).ints().unwrap(), [7, 7]);
        let typed = TensorProto { float_data: vec![1.0, 2.0], ..proto(DataType::Float, &[2]) };
        assert_eq!(floats(Const::decode(&typed).unwrap()), [1.0, 2.0]);
        let typed = TensorProto { int32_data: vec![0x7c00, 0x3800], ..proto(DataType::Float16, &[2]) };
        assert_eq!(half(Const::decode(&typed).unwrap()), [f32::INFINITY, 0.5]);
        let bools = TensorProto { int32_data: vec![0, 1], ..proto(DataType::Bool, &[2]) };
        assert!(!Const::decode(&bools).unwrap().is_zero());
    }

    #[test]
    fn broken_tensors_are_refused() {
        let external = TensorProto { data_location: Some(1), ..proto(DataType::Float, &[2]) };
        let short = TensorProto { float_data: vec![1.0], ..proto(DataType::Float, &[2]) };
        let ragged = TensorProto { raw_data: vec![0; 7], ..proto(DataType::Float, &[2]) };
        let negative = proto(DataType::Float, &[-1]);
        let huge = proto(DataType::Float, &[i64::MAX, i64::MAX]);
        let hidden = proto(DataType::Float, &[0, i64::MAX, i64::MAX]);
        let strings = proto(DataType::String, &[]);
        for (broken, kind) in [
            (external, ErrorKind::BrokenModel),
            (short, ErrorKind::BrokenModel),
            (ragged, ErrorKind::BrokenModel),
            (negative, ErrorKind::BrokenModel),
            (huge, ErrorKind::LimitExceeded),
            (hidden, ErrorKind::LimitExceeded),
            (strings, ErrorKind::UnsupportedAttribute),
        ] {
            let error = Const::decode(&broken).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert_eq!(error.place.field.as_deref(), Some("w"));
        }
    }
}
