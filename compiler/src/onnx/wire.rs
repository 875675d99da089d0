//! Measures a protobuf file before it is decoded: two bytes of it can become a message of several hundred, so the number
//! of messages, not of bytes, decides how much memory decoding takes. May import: `error`.

use crate::error::{Error, ErrorKind, Result};

/// The messages of an ONNX file that contain others.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Declaration,
    Function,
    Training,
    Type,
    Shape,
    Leaf,
}

impl Message {
    /// What a length-delimited field holds; `None` for texts, numbers and fields that decoding skips.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Training, 3 | 4) | (Self::Shape, 1) => {
                Self::Leaf
            }
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 15) => Self::SparseTensor,
            (Self::Graph, 11..=13) => Self::Declaration,
            (Self::Graph, 14) | (Self::Function, 9) => Self::Leaf,
            (Self::Training, 1 | 2) => Self::Graph,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Attribute, 15) | (Self::Declaration, 2) => Self::Type,
            (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Type, 1) => Self::Type,
            (Self::Type, 2) => Self::Shape,
            _ => return None,
        })
    }
}

/// Deepest nesting of messages: a graph in a node's attribute is refused later, with a better error.
const MAX_DEPTH: usize = 24;

/// Refuses a file with more than `max` texts and messages. A file that is broken is left to the decoder.
pub(super) fn check(bytes: &[u8], max: usize) -> Result<()> {
    let mut left = max;
    let mut pending = vec![(Message::Model, 0, bytes)];
    while let Some((message, depth, mut rest)) = pending.pop() {
        while let Some((number, content)) = next_field(&mut rest) {
            let Some(content) = content else { continue };
            left = left.checked_sub(1).ok_or_else(|| {
                Error::new(ErrorKind::LimitExceeded, "the model is made of too many parts")
                    .expected(format!("at most {max} names, attributes and values"))
                    .got("more")
            })?;
            if let Some(inner) = message.field(number) {
                if depth == MAX_DEPTH {
                    return Err(Error::new(ErrorKind::LimitExceeded, "the model is nested too deeply")
                        .expected(format!("at most {MAX_DEPTH} levels"))
                        .got("more"));
                }
                pending.push((inner, depth + 1, content));
            }
        }
    }
    Ok(())
}

/// The next field's number, and its content if it is length-delimited. `None` at the end, or where the file is broken.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(rest)?;
    let length = match key & 7 {
        0 => varint(rest).map(|_| 0)?,
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((key >> 3, (key & 7 == 2).then_some(content)))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

    use super::*;

    fn model(graph: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn parts_are_counted() {
        let node = || NodeProto { input: vec!["x".into()], ..Default::default() };
        let bytes = model(GraphProto { node: vec![node(), node()], ..Default::default() });
        // The graph, two nodes, two names.
        assert!(check(&bytes, 5).is_ok());
        assert_eq!(check(&bytes, 4).unwrap_err().kind, ErrorKind::LimitExceeded);
    }

    #[test]
    fn empty_nodes_by_the_million_are_refused() {
        let node = [0x0a, 0x00].repeat(1 << 20);
        let mut bytes = vec![0x3a, 0x80, 0x80, 0x80, 0x01];
        bytes.extend(node);
        assert_eq!(check(&bytes, 1 << 16).unwrap_err().kind, ErrorKind::LimitExceeded);
    }

    #[test]
    fn nesting_is_limited() {
        let mut graph = GraphProto::default();
        for _ in 0..20 {
            let attribute = AttributeProto { g: Some(graph), ..Default::default() };
            let node = NodeProto { attribute: vec![attribute], ..Default::default() };
            graph = GraphProto { node: vec![node], ..Default::default() };
        }
        assert_eq!(check(&model(graph), 1 << 16).unwrap_err().kind, ErrorKind::LimitExceeded);
    }

    #[test]
    fn broken_files_are_left_to_the_decoder() {
        for bytes in [&[0x3a][..], &[0x3a, 0xff, 0x01], &[0xff; 12], &[0x07], b"not protobuf at all"] {
            assert!(check(bytes, 10).is_ok());
        }
    }
}
