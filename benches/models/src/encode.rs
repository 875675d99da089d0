//! Writes a graph as an ONNX file, holding one tensor of weights at a time. May import: `graph`, `onnx`.

use std::io::{self, Write};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::graph::{GraphBuilder, Parameter, f32_tensor, index};
use crate::onnx::{Graph, Model, OperatorSet, Tensor};

pub(crate) fn model(graph: &GraphBuilder, to: &mut impl Write) -> io::Result<()> {
    let model = Model {
        ir_version: if graph.opset >= 19 { 9 } else { 8 },
        opset_import: vec![OperatorSet { domain: Some(String::new()), version: graph.opset }],
        producer_name: "far-models".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: None,
    };
    let without_weights = Graph {
        name: "main_graph".to_owned(),
        node: graph.nodes.clone(),
        input: graph.inputs.clone(),
        output: graph.outputs.clone(),
        initializer: Vec::new(),
    };
    let mut length = without_weights.encoded_len();
    for parameter in &graph.parameters {
        let tensor = tensor_len(parameter);
        length += header(Graph::INITIALIZER, tensor).len() + tensor;
    }
    to.write_all(&model.encode_to_vec())?;
    to.write_all(&header(Model::GRAPH, length))?;
    to.write_all(&without_weights.encode_to_vec())?;
    for parameter in &graph.parameters {
        let tensor = f32_tensor(&parameter.name, &parameter.dims, &(parameter.fill)()).encode_to_vec();
        assert_eq!(tensor.len(), tensor_len(parameter), "size of `{}`", parameter.name);
        to.write_all(&header(Graph::INITIALIZER, tensor.len()))?;
        to.write_all(&tensor)?;
    }
    Ok(())
}

/// Encoded length of a tensor, without making its numbers.
fn tensor_len(parameter: &Parameter) -> usize {
    let empty = Tensor { raw_data: None, ..f32_tensor(&parameter.name, &parameter.dims, &[]) };
    let bytes = 4 * parameter.dims.iter().product::<usize>();
    empty.encoded_len() + header(Tensor::RAW_DATA, bytes).len() + bytes
}

/// Key and length of a length-delimited field.
fn header(tag: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut bytes);
    encode_varint(index(length).unsigned_abs(), &mut bytes);
    bytes
}
