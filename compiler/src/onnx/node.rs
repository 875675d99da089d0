//! A node of the model and its attributes, each of which must be known and have the right type.
//! May import: `error`, protobuf types.

use std::collections::BTreeMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use crate::error::{Error, ErrorKind, Result};

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    proto: NodeProto,
}

impl Node {
    pub(super) fn new(proto: NodeProto) -> Self {
        Self { proto }
    }

    /// The operator, e.g. `MatMul`.
    pub(super) fn op(&self) -> &str {
        &self.proto.op_type
    }

    /// The operator's domain; empty for ONNX's own.
    pub(super) fn domain(&self) -> &str {
        match self.proto.domain.as_str() {
            "ai.onnx" => "",
            other => other,
        }
    }

    /// The name that the exporter gave it; may be empty.
    pub(super) fn name(&self) -> &str {
        &self.proto.name
    }

    /// A name for errors, never empty.
    pub(super) fn label(&self) -> String {
        match (self.proto.name.as_str(), self.proto.output.first()) {
            ("", Some(output)) => format!("{} of `{output}`", self.op()),
            ("", None) => self.op().to_owned(),
            (name, _) => name.to_owned(),
        }
    }

    /// Names of the inputs; an optional one that is left out is `None`.
    pub(super) fn inputs(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.proto.input.iter().map(|name| (!name.is_empty()).then_some(name.as_str()))
    }

    /// Names of the outputs; an optional one that is left out is `None`.
    pub(super) fn outputs(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.proto.output.iter().map(|name| (!name.is_empty()).then_some(name.as_str()))
    }

    /// The attributes, if all of them are among `known`.
    pub(super) fn attributes(&self, known: &[&str]) -> Result<Attributes<'_>> {
        let mut found = BTreeMap::new();
        for attribute in &self.proto.attribute {
            let name = attribute.name.as_str();
            if !known.contains(&name) {
                return Err(Error::new(
                    ErrorKind::UnsupportedAttribute,
                    format!("unknown attribute `{name}` of {}", self.op()),
                )
                .at_field(name)
                .expected(if known.is_empty() { "no attribute".to_owned() } else { one_of(known) })
                .got(format!("`{name}`"))
                .hint("export the model with a standard ONNX operator set"));
            }
            if !attribute.ref_attr_name.is_empty() {
                return Err(Error::new(
                    ErrorKind::UnsupportedAttribute,
                    format!("attribute `{name}` refers to an attribute of a function"),
                )
                .at_field(name)
                .hint("inline the model's functions before compiling it"));
            }
            if found.insert(name, attribute).is_some() {
                return Err(Error::new(ErrorKind::BrokenModel, format!("attribute `{name}` appears twice"))
                    .at_field(name));
            }
        }
        Ok(Attributes(found))
    }
}

fn one_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Checked attributes of one node.
pub(super) struct Attributes<'a>(BTreeMap<&'a str, &'a AttributeProto>);

impl<'a> Attributes<'a> {
    fn get(&self, name: &str, wanted: AttributeType) -> Result<Option<&'a AttributeProto>> {
        let Some(attribute) = self.0.get(name) else { return Ok(None) };
        // Files from before IR version 3 leave the type out.
        if attribute.r#type != wanted as i32 && attribute.r#type != AttributeType::Undefined as i32 {
            return Err(Error::new(ErrorKind::BrokenModel, format!("attribute `{name}` has the wrong type"))
                .at_field(name)
                .expected(wanted.as_str_name())
                .got(type_name(attribute.r#type)));
        }
        Ok(Some(attribute))
    }

    /// An integer.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.get(name, AttributeType::Int)?.map(|a| a.i))
    }

    /// An integer or what ONNX says is meant without it.
    pub(super) fn int_or(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A number.
    pub(super) fn float(&self, name: &str) -> Result<Option<f32>> {
        Ok(self.get(name, AttributeType::Float)?.map(|a| a.f))
    }

    /// A number or what ONNX says is meant without it.
    pub(super) fn float_or(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A list of integers.
    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.get(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    /// A list of numbers.
    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        Ok(self.get(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>> {
        self.get(name, AttributeType::String)?.map(|a| text(name, &a.s)).transpose()
    }

    /// A list of texts.
    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<&'a str>>> {
        self.get(name, AttributeType::Strings)?
            .map(|a| a.strings.iter().map(|s| text(name, s)).collect())
            .transpose()
    }

    /// A tensor.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>> {
        Ok(self.get(name, AttributeType::Tensor)?.and_then(|a| a.t.as_ref()))
    }

    /// Refuses the attribute unless it is absent or has the one value that is supported.
    pub(super) fn only_int(&self, name: &str, wanted: i64, hint: &str) -> Result<()> {
        match self.int(name)? {
            Some(got) if got != wanted => Err(unsupported(name, wanted, got, hint)),
            _ => Ok(()),
        }
    }
}

/// An attribute's value that is not supported.
pub(super) fn unsupported(
    name: &str,
    expected: impl std::fmt::Display,
    got: impl std::fmt::Display,
    hint: &str,
) -> Error {
    Error::new(ErrorKind::UnsupportedAttribute, format!("unsupported value of `{name}`"))
        .at_field(name)
        .expected(format!("`{expected}`"))
        .got(format!("`{got}`"))
        .hint(hint)
}

fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| {
        Error::new(ErrorKind::BrokenModel, format!("attribute `{name}` is not UTF-8")).at_field(name)
    })
}

fn type_name(r#type: i32) -> String {
    AttributeType::try_from(r#type).map_or_else(|_| r#type.to_string(), |t| t.as_str_name().to_owned())
}
