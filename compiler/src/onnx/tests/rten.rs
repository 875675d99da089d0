//! What rten answers for a model.

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use crate::ir::Graph;

/// Dimensions and elements of each output.
pub(super) fn run(model: &[u8], graph: &Graph, inputs: &[Vec<f32>]) -> Vec<(Vec<usize>, Vec<f32>)> {
    let model = rten::Model::load(unpack(model, "model")).unwrap();
    let inputs = graph.inputs.iter().zip(inputs).map(|(port, data)| {
        let value = rten::Value::from_shape(&graph.port_dims(port), data.clone()).unwrap();
        (model.node_id(&port.name).unwrap(), value.into())
    });
    let outputs = model.run(inputs.collect(), model.output_ids(), None).unwrap();
    outputs
        .into_iter()
        .zip(&graph.outputs)
        .map(|(value, port)| shape_and_data(value, port.dims.len()))
        .collect()
}

fn shape_and_data(value: rten::Value, rank: usize) -> (Vec<usize>, Vec<f32>) {
    macro_rules! of_rank {
        ($rank:literal) => {{
            let (shape, data) = value.into_shape_vec::<f32, $rank>().unwrap();
            (shape.to_vec(), data)
        }};
    }
    match rank {
        1 => of_rank!(1),
        2 => of_rank!(2),
        3 => of_rank!(3),
        _ => of_rank!(4),
    }
}

/// The same message with `dims`, `ints` and `floats` not packed: rten takes them only so, as ONNX's own schema has them,
/// and prost writes them the newer way.
fn unpack(message: &[u8], kind: &str) -> Vec<u8> {
    let (mut rest, mut out) = (message, Vec::new());
    while rest.has_remaining() {
        let (number, wire) = decode_key(&mut rest).unwrap();
        let length = match wire {
            WireType::Varint => {
                encode_key(number, wire, &mut out);
                encode_varint(decode_varint(&mut rest).unwrap(), &mut out);
                continue;
            }
            WireType::LengthDelimited => decode_varint(&mut rest).unwrap() as usize,
            WireType::ThirtyTwoBit => 4,
            other => panic!("{other:?}"),
        };
        let mut content = rest.copy_to_bytes(length);
        let inner = match (kind, number) {
            ("model", 7) => "graph",
            ("graph", 1) => "node",
            ("graph", 5) | ("attribute", 5) => "tensor",
            ("node", 5) => "attribute",
            ("tensor", 1) | ("attribute", 8) => {
                while content.has_remaining() {
                    encode_key(number, WireType::Varint, &mut out);
                    encode_varint(decode_varint(&mut content).unwrap(), &mut out);
                }
                continue;
            }
            ("attribute", 7) => {
                while content.has_remaining() {
                    encode_key(number, WireType::ThirtyTwoBit, &mut out);
                    out.extend(content.copy_to_bytes(4));
                }
                continue;
            }
            _ => "",
        };
        encode_key(number, wire, &mut out);
        let content = if inner.is_empty() { content.to_vec() } else { unpack(&content, inner) };
        if wire == WireType::LengthDelimited {
            encode_varint(content.len() as u64, &mut out);
        }
        out.extend(content);
    }
    out
}
