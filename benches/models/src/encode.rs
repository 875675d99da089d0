//! Writes a graph as an ONNX file, holding one tensor of weights at a time. May import: `graph`.

use std::io::{self, Write};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto};

use crate::graph::{GraphBuilder, Parameter, f32_tensor, index};

/// `ModelProto.graph` and `GraphProto.initializer`.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;

pub(crate) fn model(graph: &GraphBuilder, to: &mut impl Write) -> io::Result<()> {
    let model = ModelProto {
        ir_version: if graph.opset >= 19 { 9 } else { 8 },
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: graph.opset }],
        producer_name: "far-models".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let without_weights = GraphProto {
        name: "main_graph".to_owned(),
        node: graph.nodes.clone(),
        input: graph.inputs.clone(),
        output: graph.outputs.clone(),
        ..Default::default()
    };
    let mut length = without_weights.encoded_len();
    for parameter in &graph.parameters {
        let tensor = tensor_len(parameter);
        length += header(GRAPH_INITIALIZER, tensor).len() + tensor;
    }
    to.write_all(&model.encode_to_vec())?;
    to.write_all(&header(MODEL_GRAPH, length))?;
    to.write_all(&without_weights.encode_to_vec())?;
    for parameter in &graph.parameters {
        let tensor = f32_tensor(&parameter.name, &parameter.dims, &(parameter.fill)()).encode_to_vec();
        assert_eq!(tensor.len(), tensor_len(parameter), "size of `{}`", parameter.name);
        to.write_all(&header(GRAPH_INITIALIZER, tensor.len()))?;
        to.write_all(&tensor)?;
    }
    Ok(())
}

/// Encoded length of a tensor, without making its numbers.
fn tensor_len(parameter: &Parameter) -> usize {
    const RAW_DATA: u32 = 9;
    let empty = TensorProto { raw_data: Vec::new(), ..f32_tensor(&parameter.name, &parameter.dims, &[]) };
    let bytes = 4 * parameter.dims.iter().product::<usize>();
    let data = if bytes == 0 { 0 } else { header(RAW_DATA, bytes).len() + bytes };
    empty.encoded_len() + data
}

/// Key and length of a length-delimited field.
fn header(tag: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut bytes);
    encode_varint(index(length).unsigned_abs(), &mut bytes);
    bytes
}
