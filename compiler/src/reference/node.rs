//! What an operator sees of its node: inputs, attributes, operator set. Attributes that nobody asked for are an error.
//! May import: `proto`, `tensor`, `error`.

use std::cell::RefCell;
use std::collections::HashSet;

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::proto;
use super::tensor::Tensor;
use crate::error::{Error, ErrorKind, Result};

/// A node together with the values of its inputs.
pub(super) struct Node<'a> {
    proto: &'a NodeProto,
    /// Version of the default operator set.
    pub(super) opset: i64,
    /// `None` for an optional input that is left out.
    inputs: Vec<Option<&'a Tensor>>,
    read: RefCell<HashSet<&'a str>>,
}

impl<'a> Node<'a> {
    pub(super) fn new(proto: &'a NodeProto, opset: i64, inputs: Vec<Option<&'a Tensor>>) -> Self {
        Self { proto, opset, inputs, read: RefCell::default() }
    }

    pub(super) fn op(&self) -> &'a str {
        &self.proto.op_type
    }

    /// All inputs of an operator that takes any number.
    pub(super) fn all(&self) -> Result<Vec<&'a Tensor>> {
        if self.inputs.is_empty() {
            return Err(self.missing(0));
        }
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    pub(super) fn input(&self, index: usize) -> Result<&'a Tensor> {
        self.optional(index).ok_or_else(|| self.missing(index))
    }

    pub(super) fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.inputs.get(index).copied().flatten()
    }

    /// A vector of integers; a scalar counts as one.
    pub(super) fn optional_ints(&self, index: usize) -> Result<Option<Vec<i64>>> {
        let Some(tensor) = self.optional(index) else { return Ok(None) };
        let view = tensor.as_int()?;
        if view.ndim() > 1 {
            return Err(self.shape_error(
                format!("input {index} must be a vector"),
                "1 dimension",
                view.shape(),
            ));
        }
        Ok(Some(view.iter().copied().collect()))
    }

    pub(super) fn ints(&self, index: usize) -> Result<Vec<i64>> {
        self.optional_ints(index)?.ok_or_else(|| self.missing(index))
    }

    /// A tensor of one integer.
    pub(super) fn scalar(&self, index: usize) -> Result<i64> {
        match self.ints(index)?[..] {
            [value] => Ok(value),
            ref other => Err(self.shape_error(format!("input {index} must be one integer"), "1", other)),
        }
    }

    /// Number of outputs that have a name.
    pub(super) fn outputs(&self) -> usize {
        self.proto.output.len()
    }

    fn attribute(&self, name: &'static str, kind: AttributeType) -> Result<Option<&'a AttributeProto>> {
        self.read.borrow_mut().insert(name);
        let Some(attribute) = self.proto.attribute.iter().find(|a| a.name == name) else { return Ok(None) };
        if !attribute.ref_attr_name.is_empty() {
            return Err(self.bad_attribute(name, "refers to a function's attribute"));
        }
        // The type was optional in the first version of the format.
        let undefined = i32::from(AttributeType::Undefined);
        if attribute.r#type != undefined && attribute.r#type != i32::from(kind) {
            return Err(self.bad_attribute(name, &format!("is not of type `{}`", kind.as_str_name())));
        }
        Ok(Some(attribute))
    }

    pub(super) fn int(&self, name: &'static str, default: i64) -> Result<i64> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    pub(super) fn optional_int(&self, name: &'static str) -> Result<Option<i64>> {
        Ok(self.attribute(name, AttributeType::Int)?.map(|a| a.i))
    }

    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        match self.int(name, i64::from(default))? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.bad_attribute(name, &format!("must be 0 or 1, not `{other}`"))),
        }
    }

    pub(super) fn float(&self, name: &'static str) -> Result<Option<f64>> {
        Ok(self.attribute(name, AttributeType::Float)?.map(|a| f64::from(a.f)))
    }

    pub(super) fn int_list(&self, name: &'static str) -> Result<Option<&'a [i64]>> {
        Ok(self.attribute(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    pub(super) fn float_list(&self, name: &'static str) -> Result<Option<&'a [f32]>> {
        Ok(self.attribute(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    pub(super) fn string(&self, name: &'static str, default: &'static str) -> Result<&'a str> {
        self.attribute(name, AttributeType::String)?.map_or(Ok(default), |a| self.text(name, &a.s))
    }

    pub(super) fn string_list(&self, name: &'static str) -> Result<Option<Vec<&'a str>>> {
        self.attribute(name, AttributeType::Strings)?
            .map(|a| a.strings.iter().map(|s| self.text(name, s)).collect())
            .transpose()
    }

    pub(super) fn tensor(&self, name: &'static str) -> Result<Option<Tensor>> {
        let attribute = self.attribute(name, AttributeType::Tensor)?;
        attribute.and_then(|a| a.t.as_ref()).map(proto::tensor).transpose()
    }

    fn text(&self, name: &'static str, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes).map_err(|_| self.bad_attribute(name, "is not UTF-8"))
    }

    /// Fails if the node has an attribute that its operator did not ask for, or more outputs than it gave.
    pub(super) fn finish(&self, outputs: &[Tensor]) -> Result<()> {
        let read = self.read.borrow();
        if let Some(left) = self.proto.attribute.iter().find(|a| !read.contains(a.name.as_str())) {
            return Err(self.bad_attribute(&left.name, "is not known"));
        }
        if let Some(name) = self.proto.output.iter().skip(outputs.len()).find(|o| !o.is_empty()) {
            return Err(Error::new(
                ErrorKind::UnsupportedAttribute,
                format!("`{}` does not give output `{name}`", self.op()),
            ));
        }
        Ok(())
    }

    pub(super) fn bad_attribute(&self, name: &str, why: &str) -> Error {
        Error::new(ErrorKind::UnsupportedAttribute, format!("attribute `{name}` of `{}` {why}", self.op()))
            .at_field(name)
    }

    pub(super) fn shape_error<S: std::fmt::Debug + ?Sized>(
        &self,
        what: impl Into<String>,
        expected: impl Into<String>,
        got: &S,
    ) -> Error {
        Error::new(ErrorKind::ShapeMismatch, format!("`{}`: {}", self.op(), what.into()))
            .expected(expected)
            .got(format!("{got:?}"))
    }

    fn missing(&self, index: usize) -> Error {
        Error::new(ErrorKind::BrokenModel, format!("`{}` lacks input {index}", self.op()))
    }

    /// An axis of a tensor of `rank` dimensions; negative ones count from the end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let from_start = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
        from_start.and_then(|a| usize::try_from(a).ok()).filter(|&a| a < rank).ok_or_else(|| {
            self.shape_error("axis out of range", format!("an axis of {rank} dimensions"), &axis)
        })
    }

    /// Several different axes, ascending.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        let mut out = axes.iter().map(|&a| self.axis(a, rank)).collect::<Result<Vec<_>>>()?;
        out.sort_unstable();
        if out.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(self.shape_error("an axis is given twice", "different axes", axes));
        }
        Ok(out)
    }
}
