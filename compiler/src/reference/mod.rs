//! The judge: a naive evaluator of ONNX models in f64. It reads the file itself and runs the nodes one after the other,
//! one short function an operator, sharing no code with the importer, the passes or the kernels. May import: `error`,
//! `wire`.
//!
//! ```
//! # fn main() -> farc::error::Result<()> {
//! # let onnx = far_models::generate(&far_models::Config::new(far_models::Size {
//! #     image: 8, patch: 4, channels: 1, width: 4, heads: 2, hidden: 2, depth: 1, mlp: 8, classes: 3, distilled: false,
//! # })).unwrap().onnx;
//! use farc::reference::{Keep, Model, Tensor};
//!
//! let model = Model::load(&onnx)?;
//! let image = Tensor::real(&[1, 1, 8, 8], vec![0.5; 64])?;
//! let values = model.run(&[("image", image)], Keep::Outputs)?;
//! assert_eq!(values["logits"].shape(), [1, 3]);
//! # Ok(())
//! # }
//! ```

mod masks;
mod node;
mod ops;
mod proto;
mod tensor;
mod trace;

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};

use crate::error::{Error, ErrorKind, Result};
use crate::wire;
use node::Node;
pub use tensor::{MAX_ELEMENTS, MAX_RANK, Shared, Tensor};
pub use trace::Fused;

/// Operator sets whose operators are known here.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=25;
/// What a file may be made of: more than any exporter writes.
const LIMITS: wire::Limits = wire::Limits { parts: 1 << 22, numbers: 1 << 27, depth: wire::DEPTH };
/// Most elements of all values that live at one time, the constants apart.
const MAX_LIVE: usize = 1 << 29;

/// Values by the names that the file gives them.
pub type Values = HashMap<String, Tensor>;

/// An input or output of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its dimensions; `None` for those that the caller chooses. Outputs may lack them.
    pub dims: Option<Vec<Option<usize>>>,
}

/// Which values a run gives back.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// The model's outputs.
    Outputs,
    /// The model's outputs, and these where the model has them.
    Names(&'a HashSet<String>),
    /// Everything that a node produced.
    All,
}

/// A model that can be run.
#[derive(Clone, Debug)]
pub struct Model {
    opset: i64,
    nodes: Vec<NodeProto>,
    constants: Values,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Model {
    /// Reads an ONNX file. Operators are looked at when they run.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        wire::check(bytes, LIMITS)?;
        let model = ModelProto::decode(bytes).map_err(|e| {
            Error::new(ErrorKind::BrokenModel, format!("not an ONNX model: {e}"))
                .hint("the file may be truncated, or not be ONNX at all")
        })?;
        let opset = opset(&model)?;
        let graph = model.graph.ok_or_else(|| Error::new(ErrorKind::BrokenModel, "the file has no graph"))?;
        if !graph.sparse_initializer.is_empty() {
            return Err(Error::new(ErrorKind::UnsupportedAttribute, "sparse initializers"));
        }
        let constants = constants(&graph)?;
        let given = graph.input.iter().filter(|input| !constants.contains_key(&input.name));
        let inputs = given.map(port).collect::<Result<_>>()?;
        let outputs = graph.output.iter().map(port).collect::<Result<_>>()?;
        Ok(Self { opset, nodes: graph.node, constants, inputs, outputs })
    }

    /// What [`Model::run`] must be given.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What [`Model::run`] gives back at least.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Multiplies parameters by the 0/1 matrices of a mask file (safetensors; PyTorch's names and layouts) and says how
    /// many entries it had. Fails if one of them fits no parameter.
    pub fn apply_masks(&mut self, safetensors: &[u8]) -> Result<usize> {
        masks::apply(self, safetensors)
    }

    /// Names of the nodes and of their outputs, in order of evaluation.
    pub fn node_outputs(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.nodes.iter().map(|node| (node.name.as_str(), node.output.as_slice()))
    }

    /// Runs the model once.
    pub fn run(&self, inputs: &[(&str, Tensor)], keep: Keep<'_>) -> Result<Values> {
        let mut values = self.checked_inputs(inputs)?;
        let mut live: usize = values.values().map(Tensor::len).sum();
        let outputs: HashSet<&str> = self.outputs.iter().map(|port| port.name.as_str()).collect();
        let kept = |name: &str| {
            outputs.contains(name)
                || match keep {
                    Keep::Outputs => false,
                    Keep::Names(names) => names.contains(name),
                    Keep::All => true,
                }
        };
        let last_reader = self.last_readers();
        for (index, proto) in self.nodes.iter().enumerate() {
            let results = self.run_node(proto, &values).map_err(|e| e.at_node(node_name(proto)))?;
            for (name, tensor) in proto.output.iter().zip(results) {
                if name.is_empty() {
                    continue;
                }
                live = live.saturating_add(tensor.len());
                if self.constants.contains_key(name) || values.insert(name.clone(), tensor).is_some() {
                    return Err(Error::new(ErrorKind::BrokenModel, format!("`{name}` is produced twice"))
                        .at_node(node_name(proto)));
                }
            }
            if live > MAX_LIVE {
                return Err(Error::new(ErrorKind::LimitExceeded, "too many values live at one time")
                    .expected(format!("at most {MAX_LIVE} elements"))
                    .got(live.to_string())
                    .at_node(node_name(proto)));
            }
            let done = proto.input.iter().chain(&proto.output);
            for name in done.filter(|name| !kept(name)) {
                if last_reader.get(name.as_str()).is_none_or(|&last| last <= index) {
                    live = live.saturating_sub(values.remove(name).map_or(0, |tensor| tensor.len()));
                }
            }
        }
        self.collect(values, kept)
    }

    /// The values to give back. An output may also be an input or a constant.
    fn collect(&self, mut values: Values, kept: impl Fn(&str) -> bool) -> Result<Values> {
        for port in &self.outputs {
            if let Some(constant) = self.constants.get(&port.name) {
                values.insert(port.name.clone(), constant.clone());
            } else if !values.contains_key(&port.name) {
                return Err(Error::new(
                    ErrorKind::BrokenModel,
                    format!("no node produces output `{}`", port.name),
                ));
            }
        }
        values.retain(|name, _| kept(name));
        Ok(values)
    }

    fn run_node(&self, proto: &NodeProto, values: &Values) -> Result<Vec<Tensor>> {
        if !matches!(proto.domain.as_str(), "" | "ai.onnx") {
            let what = format!("operator `{}` of domain `{}`", proto.op_type, proto.domain);
            return Err(Error::new(ErrorKind::UnsupportedOp, what)
                .hint("export the model with the standard operators only"));
        }
        let find = |name: &String| match name.as_str() {
            "" => Ok(None),
            _ => match values.get(name).or_else(|| self.constants.get(name)) {
                Some(tensor) => Ok(Some(tensor)),
                None => Err(Error::new(ErrorKind::BrokenModel, format!("nothing before produces `{name}`"))),
            },
        };
        let inputs = proto.input.iter().map(find).collect::<Result<_>>()?;
        ops::run(&Node::new(proto, self.opset, inputs))
    }

    fn checked_inputs(&self, given: &[(&str, Tensor)]) -> Result<Values> {
        let names = || self.inputs.iter().map(|p| format!("`{}`", p.name)).collect::<Vec<_>>().join(", ");
        let mut values = Values::new();
        for (name, tensor) in given {
            let port = self.inputs.iter().find(|port| port.name == *name).ok_or_else(|| {
                Error::new(ErrorKind::BadInput, "no such input").expected(names()).got(format!("`{name}`"))
            })?;
            if let Some(dims) = &port.dims {
                let fits = dims.len() == tensor.shape().len()
                    && dims.iter().zip(tensor.shape()).all(|(dim, got)| dim.is_none_or(|d| d == *got));
                if !fits {
                    return Err(Error::new(ErrorKind::BadInput, format!("shape of input `{name}`"))
                        .expected(port_shape(dims))
                        .got(format!("{:?}", tensor.shape())));
                }
            }
            values.insert((*name).to_owned(), tensor.clone());
        }
        match self.inputs.iter().find(|port| !values.contains_key(&port.name)) {
            Some(port) => Err(Error::new(ErrorKind::BadInput, format!("input `{}` is missing", port.name))),
            None => Ok(values),
        }
    }

    /// By value, the last node that reads it.
    fn last_readers(&self) -> HashMap<&str, usize> {
        let reads = self.nodes.iter().enumerate();
        reads.flat_map(|(index, node)| node.input.iter().map(move |name| (name.as_str(), index))).collect()
    }
}

/// The node's name, or what else tells it apart.
fn node_name(proto: &NodeProto) -> String {
    match (&proto.name, proto.output.first()) {
        (name, _) if !name.is_empty() => name.clone(),
        (_, Some(output)) => format!("{} → {output}", proto.op_type),
        _ => proto.op_type.clone(),
    }
}

fn port_shape(dims: &[Option<usize>]) -> String {
    let dims: Vec<String> = dims.iter().map(|d| d.map_or_else(|| "?".into(), |d| d.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

fn opset(model: &ModelProto) -> Result<i64> {
    let default = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    let version = default.map(|set| set.version);
    match version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        _ => Err(Error::new(ErrorKind::UnsupportedOp, "the model's operator set is not known")
            .expected(format!("{} to {}", OPSETS.start(), OPSETS.end()))
            .got(version.map_or_else(|| "none".into(), |v| v.to_string()))
            .hint("export the model with operator set 17")),
    }
}

fn constants(graph: &GraphProto) -> Result<Values> {
    let mut constants = Values::new();
    for proto in &graph.initializer {
        if constants.insert(proto.name.clone(), proto::tensor(proto)?).is_some() {
            return Err(Error::new(
                ErrorKind::BrokenModel,
                format!("initializer `{}` is there twice", proto.name),
            ));
        }
    }
    Ok(constants)
}

fn port(info: &ValueInfoProto) -> Result<Port> {
    let shape = match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor.shape.as_ref(),
        None => None,
    };
    let dims = shape.map(|shape| {
        let dim = |dim: &tract_onnx::pb::tensor_shape_proto::Dimension| match &dim.value {
            Some(dimension::Value::DimValue(size)) => usize::try_from(*size).map(Some).map_err(|_| {
                let what = format!("`{}` has a dimension of {size}", info.name);
                Error::new(ErrorKind::BrokenModel, what)
            }),
            _ => Ok(None),
        };
        shape.dim.iter().map(dim).collect::<Result<Vec<_>>>()
    });
    Ok(Port { name: info.name.clone(), dims: dims.transpose()? })
}
