//! What `farc inspect` says about an ONNX file. May import: `error`, `proto`, `tensor`, protobuf types.

use std::collections::{BTreeMap, HashSet};

use tract_onnx::pb::ValueInfoProto;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;

use super::ImportOptions;
use super::proto;
use super::tensor;
use crate::error::Result;

/// An ONNX file at a glance. It need not be one that can be compiled.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ModelInfo {
    /// Name of the graph.
    pub name: String,
    /// Version of the ONNX file format.
    pub ir_version: i64,
    /// Program that wrote the file, and its version.
    pub producer: String,
    /// Version of each operator set by domain; ONNX's own is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// What the caller supplies.
    pub inputs: Vec<TensorInfo>,
    /// What the caller receives.
    pub outputs: Vec<TensorInfo>,
    /// How many nodes of each operator.
    pub ops: BTreeMap<String, usize>,
    /// Elements of all constants that are stored as parameters.
    pub parameters: u64,
}

/// A declared tensor.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Element type in ONNX's terms, e.g. `FLOAT`.
    pub dtype: String,
    /// A number, a symbol, or `?` for each axis.
    pub dims: Vec<String>,
}

/// Looks at a file without importing it.
pub fn inspect(bytes: &[u8], options: &ImportOptions) -> Result<ModelInfo> {
    let (model, graph) = proto::parse(bytes, options)?;
    let mut ops = BTreeMap::new();
    for node in &graph.node {
        *ops.entry(node.op_type.clone()).or_default() += 1;
    }
    let mut parameters = 0u64;
    for initializer in &graph.initializer {
        let elements = tensor::elements(&tensor::shape(&initializer.dims)?)?;
        parameters = parameters.saturating_add(elements as u64);
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let is_constant = |info: &&ValueInfoProto| constants.contains(info.name.as_str());
    let domain = |name: &str| if name.is_empty() { "ai.onnx".to_owned() } else { name.to_owned() };
    Ok(ModelInfo {
        name: graph.name.clone(),
        ir_version: model.ir_version,
        producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
        opsets: model.opset_import.iter().map(|set| (domain(&set.domain), set.version)).collect(),
        inputs: graph.input.iter().filter(|info| !is_constant(info)).map(tensor_info).collect(),
        outputs: graph.output.iter().map(tensor_info).collect(),
        ops,
        parameters,
    })
}

fn tensor_info(info: &ValueInfoProto) -> TensorInfo {
    let (dtype, shape) = proto::tensor_type(info).map_or(("?", None), |(t, shape)| (t.as_str_name(), shape));
    let dims = shape.map_or_else(Vec::new, |shape| {
        shape
            .dim
            .iter()
            .map(|dim| match &dim.value {
                Some(Dim::DimValue(n)) => n.to_string(),
                Some(Dim::DimParam(symbol)) => symbol.clone(),
                None => "?".to_owned(),
            })
            .collect()
    });
    TensorInfo { name: info.name.clone(), dtype: dtype.to_owned(), dims }
}
