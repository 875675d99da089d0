//! Small models, each imported, evaluated in f64, and compared with rten's answer for the same file.

mod attention;
mod elementwise;
mod hostile;
mod linear;
mod lstm;
mod names;
mod rten;
mod shape;
mod text;

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

use super::{ImportOptions, import};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{self, Graph, Op};

/// A model under construction.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) proto: ModelProto,
    pub(super) graph: GraphProto,
    nodes: usize,
}

impl Model {
    pub(super) fn new() -> Self {
        Self::with_opset(17)
    }

    pub(super) fn with_opset(version: i64) -> Self {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version }];
        let proto = ModelProto { ir_version: 8, opset_import, ..Default::default() };
        Self { proto, graph: GraphProto { name: "test".into(), ..Default::default() }, nodes: 0 }
    }

    /// An f32 input of fixed shape.
    pub(super) fn input(self, name: &str, dims: &[i64]) -> Self {
        let dims = dims.iter().map(|d| Some(dimension::Value::DimValue(*d))).collect();
        self.declared_input(name, DataType::Float, dims)
    }

    pub(super) fn declared_input(
        mut self,
        name: &str,
        r#type: DataType,
        dims: Vec<Option<dimension::Value>>,
    ) -> Self {
        let dim = dims.into_iter().map(|value| Dimension { value, ..Default::default() }).collect();
        let tensor = type_proto::Tensor { elem_type: r#type as i32, shape: Some(TensorShapeProto { dim }) };
        let r#type =
            Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
        self.graph.input.push(ValueInfoProto { name: name.into(), r#type, ..Default::default() });
        self
    }

    pub(super) fn output(mut self, name: &str) -> Self {
        self.graph.output.push(ValueInfoProto { name: name.into(), ..Default::default() });
        self
    }

    pub(super) fn constant(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// A constant of given numbers.
    pub(super) fn f32s(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let tensor = TensorProto { float_data: values.to_vec(), ..tensor(name, DataType::Float, dims) };
        self.constant(tensor)
    }

    /// One number.
    pub(super) fn scalar(self, name: &str, value: f32) -> Self {
        self.f32s(name, &[], &[value])
    }

    /// A constant of zeros.
    pub(super) fn zeros(self, name: &str, dims: &[i64]) -> Self {
        let count = dims.iter().product::<i64>() as usize;
        self.f32s(name, dims, &vec![0.0; count])
    }

    /// A constant of numbers in (-½, ½), the same for the same name.
    pub(super) fn noise(self, name: &str, dims: &[i64]) -> Self {
        let count = dims.iter().product::<i64>() as usize;
        let seed = name.bytes().fold(1u64, |seed, b| seed.wrapping_mul(31).wrapping_add(b.into()));
        let values = noise(seed, count);
        self.f32s(name, dims, &values)
    }

    /// A list of integers.
    pub(super) fn i64s(self, name: &str, values: &[i64]) -> Self {
        let dims = [values.len() as i64];
        let tensor = TensorProto { int64_data: values.to_vec(), ..tensor(name, DataType::Int64, &dims) };
        self.constant(tensor)
    }

    /// A node; names are separated by spaces, `_` stands for one that is left out.
    pub(super) fn node(mut self, op: &str, inputs: &str, outputs: &str) -> Self {
        let names =
            |list: &str| list.split_whitespace().map(|n| if n == "_" { "" } else { n }.to_owned()).collect();
        self.nodes += 1;
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: format!("n{}", self.nodes),
            input: names(inputs),
            output: names(outputs),
            ..Default::default()
        });
        self
    }

    /// Names the last node.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.graph.node.last_mut().unwrap().name = name.into();
        self
    }

    fn attribute(mut self, name: &str, r#type: AttributeType, attribute: AttributeProto) -> Self {
        let attribute = AttributeProto { name: name.into(), r#type: r#type as i32, ..attribute };
        self.graph.node.last_mut().unwrap().attribute.push(attribute);
        self
    }

    pub(super) fn int(self, name: &str, i: i64) -> Self {
        self.attribute(name, AttributeType::Int, AttributeProto { i, ..Default::default() })
    }

    pub(super) fn ints(self, name: &str, ints: &[i64]) -> Self {
        let attribute = AttributeProto { ints: ints.to_vec(), ..Default::default() };
        self.attribute(name, AttributeType::Ints, attribute)
    }

    pub(super) fn float(self, name: &str, f: f32) -> Self {
        self.attribute(name, AttributeType::Float, AttributeProto { f, ..Default::default() })
    }

    pub(super) fn floats(self, name: &str, floats: &[f32]) -> Self {
        let attribute = AttributeProto { floats: floats.to_vec(), ..Default::default() };
        self.attribute(name, AttributeType::Floats, attribute)
    }

    pub(super) fn string(self, name: &str, s: &str) -> Self {
        self.attribute(name, AttributeType::String, AttributeProto { s: s.into(), ..Default::default() })
    }

    pub(super) fn strings(self, name: &str, list: &[&str]) -> Self {
        let strings = list.iter().map(|s| s.as_bytes().to_vec()).collect();
        self.attribute(name, AttributeType::Strings, AttributeProto { strings, ..Default::default() })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        ModelProto { graph: Some(self.graph.clone()), ..self.proto.clone() }.encode_to_vec()
    }

    pub(super) fn import(&self) -> Result<Graph> {
        let graph = import(&self.bytes(), &ImportOptions::default())?;
        ir::verify(&graph).unwrap();
        Ok(graph)
    }

    /// The error of a model that is refused.
    pub(super) fn refused(&self) -> Error {
        match self.import() {
            Err(error) => error,
            Ok(graph) => panic!("not refused:\n{}", ir::text::print(&graph, ir::text::Detail::Summary)),
        }
    }

    /// The graph; its answer is rten's.
    pub(super) fn check(&self) -> Graph {
        let graph = self.import().unwrap();
        let inputs: Vec<Vec<f32>> = graph
            .inputs
            .iter()
            .enumerate()
            .map(|(seed, port)| {
                noise(seed as u64 + 7, graph.port_dims(port).iter().product())
                    .iter()
                    .map(|v| 4.0 * v)
                    .collect()
            })
            .collect();
        let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let got = ir::eval::outputs(&graph, &slices).unwrap();
        let expected = rten::run(&self.bytes(), &graph, &inputs);
        for ((got, (dims, expected)), port) in got.iter().zip(&expected).zip(&graph.outputs) {
            assert_eq!(*dims, graph.port_dims(port), "dimensions of `{}`", port.name);
            assert_eq!(got.len(), expected.len());
            for (got, expected) in got.iter().zip(expected) {
                let error = (got - f64::from(*expected)).abs();
                assert!(
                    error < 1e-5 * (1.0 + got.abs()),
                    "{got} instead of {expected}:\n{}",
                    ir::text::print(&graph, ir::text::Detail::Summary)
                );
            }
        }
        graph
    }
}

fn tensor(name: &str, r#type: DataType, dims: &[i64]) -> TensorProto {
    TensorProto { name: name.into(), data_type: r#type as i32, dims: dims.to_vec(), ..Default::default() }
}

/// Numbers in (-½, ½) by a linear congruential generator (Knuth's MMIX).
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    next();
    (0..count).map(|_| next()).collect()
}

/// The operations in short.
fn ops(graph: &Graph) -> Vec<&'static str> {
    let short = |op: &Op| match op {
        Op::PatchEmbed { .. } => "patch_embed",
        Op::Constant(_) => "constant",
        Op::Positions(_) => "positions",
        Op::Embedding { .. } => "embedding",
        Op::Normalize { .. } => "normalize",
        Op::ConcatRows => "concat_rows",
        Op::ConcatCols => "concat_cols",
        Op::SliceRows { .. } => "slice_rows",
        Op::SliceCols { .. } => "slice_cols",
        Op::ReverseRows => "reverse_rows",
        Op::Linear(_) => "linear",
        Op::MultiHeadLstm(_) => "lstm",
        Op::Attention { .. } => "attention",
        Op::LayerNorm { .. } => "layer_norm",
        Op::Activation(_) => "activation",
        Op::Add => "add",
        Op::Affine { .. } => "affine",
        Op::MeanRows => "mean_rows",
    };
    graph.nodes.iter().map(|node| short(&node.op)).collect()
}

/// Dimensions that are the same in every call.
fn fixed(dims: &[usize]) -> Vec<ir::Dim> {
    dims.iter().map(|dim| ir::Dim::Fixed(*dim)).collect()
}

/// Kind, node and field of an error.
#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, node: Option<&str>, field: Option<&str>) {
    let got = (error.kind, error.place.node.as_deref(), error.place.field.as_deref());
    assert_eq!(got, (kind, node, field), "{error:?}");
}
