//! Decodes an ONNX file within limits. May import: `error`, `ir` (types), `node`, `tensor`, `wire`, protobuf types.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto, type_proto};

use super::ImportOptions;
use super::node::Node;
use super::tensor::{self, Const};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Dtype;
use crate::wire;

/// Oldest and newest version of ONNX's operator set whose rules are followed here.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=24;

/// Texts and messages of the file for each node that is allowed: far more than any exporter writes.
const PARTS_PER_NODE: usize = 64;

/// Numbers outside of raw data: exporters write weights as raw data, and only sizes and indices otherwise.
const NUMBERS: usize = 1 << 27;

/// What the caller supplies.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    /// `None` for a dimension that the model leaves open.
    pub(super) dims: Vec<Option<usize>>,
}

/// A decoded model. Names are unique; nodes are as they stood in the file.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: String,
    /// Version of ONNX's own operator set.
    pub(super) opset: i64,
    pub(super) nodes: Vec<Node>,
    pub(super) constants: HashMap<String, Const>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<String>,
}

/// Parses the file and nothing more.
pub(super) fn parse(bytes: &[u8], options: &ImportOptions) -> Result<(ModelProto, GraphProto)> {
    limit("the file is too large", bytes.len(), options.max_bytes, "bytes", "model-bytes")?;
    let parts = options.max_nodes.saturating_mul(PARTS_PER_NODE);
    wire::check(bytes, wire::Limits { parts, numbers: NUMBERS, depth: options.max_depth })?;
    let mut model = ModelProto::decode(bytes).map_err(|e| {
        Error::new(ErrorKind::BrokenModel, format!("not a readable ONNX model: {e}"))
            .hint("check that the file is a complete `.onnx` file")
    })?;
    let graph = model.graph.take().ok_or_else(|| {
        Error::new(ErrorKind::BrokenModel, "the model has no graph")
            .hint("check that the file is a complete `.onnx` file")
    })?;
    limit("the model has too many nodes", graph.node.len(), options.max_nodes, "nodes", "nodes")?;
    Ok((model, graph))
}

/// Parses the file and decodes its constants.
pub(super) fn decode(bytes: &[u8], options: &ImportOptions) -> Result<Model> {
    let (model, mut graph) = parse(bytes, options)?;
    let opset = opset(&model)?;
    if let Some(function) = model.functions.first() {
        return Err(Error::new(ErrorKind::UnsupportedOp, "the model defines functions of its own")
            .expected("no function")
            .got(format!("`{}`", function.name.as_deref().unwrap_or_default()))
            .hint("inline them: `onnx.inliner.inline_local_functions(model)`"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(Error::new(ErrorKind::UnsupportedOp, "the model has sparse constants")
            .hint("store them as dense tensors; farc finds the zeros itself"));
    }
    let constants = constants(std::mem::take(&mut graph.initializer), options)?;
    let mut inputs = Vec::new();
    let mut names = HashSet::new();
    for info in &graph.input {
        if !names.insert(info.name.as_str()) {
            return Err(duplicate(&info.name));
        }
        // Before IR version 4 every constant was listed as an input too, as its default.
        if !constants.contains_key(&info.name) {
            inputs.push(input(info)?);
        }
    }
    let outputs: Vec<String> = graph.output.into_iter().map(|info| info.name).collect();
    if outputs.is_empty() {
        return Err(Error::new(ErrorKind::BrokenModel, "the model has no output"));
    }
    let mut names = HashSet::new();
    if let Some(name) = outputs.iter().find(|name| !names.insert(name.as_str())) {
        return Err(duplicate(name));
    }
    let nodes = graph.node.into_iter().map(Node::new).collect();
    Ok(Model { name: graph.name, opset, nodes, constants, inputs, outputs })
}

pub(super) fn duplicate(name: &str) -> Error {
    Error::new(ErrorKind::BrokenModel, format!("the name `{name}` is given twice")).at_field(name)
}

fn limit(what: &str, got: usize, max: usize, unit: &str, name: &str) -> Result<()> {
    if got <= max {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LimitExceeded, what)
        .expected(format!("at most {max} {unit}"))
        .got(got.to_string())
        .hint(format!("`--limit {name}=N` accepts more")))
}

fn opset(model: &ModelProto) -> Result<i64> {
    let own = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    let version = own.map(|set| set.version).ok_or_else(|| {
        Error::new(ErrorKind::BrokenModel, "the model does not say which ONNX operator set it uses")
    })?;
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    Err(Error::new(ErrorKind::UnsupportedOp, "unsupported version of the ONNX operator set")
        .at_field("opset_import")
        .expected(format!("{} to {}", OPSETS.start(), OPSETS.end()))
        .got(version.to_string())
        .hint("export with `opset_version=17`, or convert with `onnx.version_converter`"))
}

fn constants(tensors: Vec<TensorProto>, options: &ImportOptions) -> Result<HashMap<String, Const>> {
    let mut constants = HashMap::with_capacity(tensors.len());
    let mut total = 0usize;
    for proto in tensors {
        let elements = tensor::elements(&tensor::shape(&proto.dims)?).map_err(|e| e.at_field(&proto.name))?;
        total = total.saturating_add(elements);
        limit("the model has too many parameters", total, options.max_elements, "elements", "elements")?;
        if proto.name.is_empty() {
            return Err(Error::new(ErrorKind::BrokenModel, "a constant has no name"));
        }
        if constants.insert(proto.name.clone(), Const::decode(&proto)?).is_some() {
            return Err(duplicate(&proto.name));
        }
    }
    Ok(constants)
}

/// Element type and shape of a tensor's declaration.
pub(super) fn tensor_type(info: &ValueInfoProto) -> Option<(DataType, Option<&TensorShapeProto>)> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    Some((DataType::try_from(tensor.elem_type).ok()?, tensor.shape.as_ref()))
}

/// An input of numbers or of token ids.
fn input(info: &ValueInfoProto) -> Result<Input> {
    let name = info.name.as_str();
    let Some((r#type, Some(shape))) = tensor_type(info) else {
        return Err(Error::new(
            ErrorKind::BrokenModel,
            format!("input `{name}` has no tensor type with a shape"),
        )
        .at_field(name));
    };
    let dtype = match r#type {
        DataType::Float => Dtype::F32,
        DataType::Int32 => Dtype::I32,
        DataType::Int64 => Dtype::I64,
        other => {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                format!("unsupported element type of input `{name}`"),
            )
            .at_field(name)
            .expected("FLOAT, INT32 or INT64")
            .got(other.as_str_name())
            .hint("export a model whose inputs are f32, token ids or an attention mask of integers"));
        }
    };
    let dim = |(axis, dim): (usize, &tract_onnx::pb::tensor_shape_proto::Dimension)| match &dim.value {
        Some(Dim::DimParam(_)) | None => Ok(None),
        Some(Dim::DimValue(n)) => match usize::try_from(*n) {
            Ok(size) if size > 0 => Ok(Some(size)),
            _ => Err(Error::new(
                ErrorKind::ShapeMismatch,
                format!("axis {axis} of input `{name}` has an impossible size"),
            )
            .at_field(name)
            .expected("a number above 0")
            .got(n.to_string())),
        },
    };
    let dims: Vec<Option<usize>> = shape.dim.iter().enumerate().map(dim).collect::<Result<_>>()?;
    let known: Vec<usize> = dims.iter().map(|dim| dim.unwrap_or(1)).collect();
    tensor::elements(&known).map_err(|e| e.at_field(name))?;
    Ok(Input { name: name.into(), dtype, dims })
}
