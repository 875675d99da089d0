//! Measures a protobuf file before it is decoded: two bytes of it can become a message of several hundred, so the number
//! of messages, not of bytes, decides how much memory decoding takes. It knows which fields nest, and nothing of what they
//! mean, so the importer and the judge may share it. May import: `error`.

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

    /// Whether a length-delimited field holds numbers of a byte or more each.
    fn packs_varints(self, number: u64) -> bool {
        matches!(
            (self, number),
            (Self::Tensor, 1 | 5 | 7 | 11) | (Self::SparseTensor, 3) | (Self::Attribute, 8)
        )
    }
}

/// Deepest nesting of messages, unless the caller says otherwise: a graph in a node's attribute is refused later, with a better
/// error.
pub(crate) const DEPTH: usize = 24;

/// What a file may be made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most texts and messages.
    pub(crate) parts: usize,
    /// Most numbers that the decoder widens: a byte of the file can become eight of memory.
    pub(crate) numbers: usize,
    /// Deepest nesting of messages.
    pub(crate) depth: usize,
}

/// Refuses a file that exceeds the limits. One that is broken is left to the decoder.
pub(crate) fn check(bytes: &[u8], limits: Limits) -> Result<()> {
    let mut left = limits;
    let mut pending = vec![(Message::Model, 0, bytes)];
    while let Some((message, depth, mut rest)) = pending.pop() {
        while let Some(Field { number, content }) = next_field(&mut rest) {
            let content = match content {
                Content::Group => return Err(group()),
                Content::Number => {
                    take(&mut left.numbers, 1, limits.numbers, "numbers")?;
                    continue;
                }
                Content::Bytes(content) => content,
            };
            take(&mut left.parts, 1, limits.parts, "names, attributes and values")?;
            if message.packs_varints(number) {
                let numbers = content.iter().filter(|byte| **byte & 0x80 == 0).count();
                take(&mut left.numbers, numbers, limits.numbers, "numbers")?;
            }
            if let Some(inner) = message.field(number) {
                if depth >= limits.depth {
                    return Err(Error::new(ErrorKind::LimitExceeded, "the model is nested too deeply")
                        .expected(format!("at most {} levels", limits.depth))
                        .got("more")
                        .hint("`--limit depth=N` accepts more"));
                }
                pending.push((inner, depth + 1, content));
            }
        }
    }
    Ok(())
}

fn take(left: &mut usize, count: usize, max: usize, what: &str) -> Result<()> {
    *left = left.checked_sub(count).ok_or_else(|| {
        Error::new(ErrorKind::LimitExceeded, "the model is made of too many parts")
            .expected(format!("at most {max} {what}"))
            .got("more")
            .hint("`--limit nodes=N` accepts more: the parts of a model are limited in proportion")
    })?;
    Ok(())
}

/// What stands between the two ends of a group would not be measured, but the decoder skips it and reads on.
fn group() -> Error {
    Error::new(ErrorKind::BrokenModel, "not a readable ONNX model: it has a protobuf group")
        .expected("the fields of an ONNX file")
        .got("a field of the deprecated wire type 3")
        .hint("check that the file is a complete `.onnx` file")
}

struct Field<'a> {
    number: u64,
    content: Content<'a>,
}

enum Content<'a> {
    /// A message, a text or packed numbers.
    Bytes(&'a [u8]),
    Number,
    /// The start of a group.
    Group,
}

/// The next field. `None` at the end, or where the file is broken.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let key = varint(rest)?;
    let number = key >> 3;
    let length = match key & 7 {
        0 => varint(rest).map(|_| 0)?,
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        3 => return Some(Field { number, content: Content::Group }),
        5 => 4,
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Field { number, content: if key & 7 == 2 { Content::Bytes(content) } else { Content::Number } })
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
    use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

    use super::*;

    fn model(graph: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    const LIMITS: Limits = Limits { parts: 1 << 16, numbers: 1 << 16, depth: DEPTH };

    fn limited(bytes: &[u8], limits: Limits) -> Error {
        let error = check(bytes, limits).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        error
    }

    #[test]
    fn parts_are_counted() {
        let node = || NodeProto { input: vec!["x".into()], ..Default::default() };
        let bytes = model(GraphProto { node: vec![node(), node()], ..Default::default() });
        // The graph, two nodes, two names.
        assert!(check(&bytes, Limits { parts: 5, ..LIMITS }).is_ok());
        let error = limited(&bytes, Limits { parts: 4, ..LIMITS });
        assert_eq!(error.expected.unwrap(), "at most 4 names, attributes and values");
    }

    #[test]
    fn numbers_are_counted() {
        let tensor = TensorProto { dims: vec![2], int64_data: vec![1, 1 << 40], ..Default::default() };
        let bytes = model(GraphProto { initializer: vec![tensor], ..Default::default() });
        assert!(check(&bytes, Limits { numbers: 3, ..LIMITS }).is_ok());
        assert_eq!(limited(&bytes, Limits { numbers: 2, ..LIMITS }).expected.unwrap(), "at most 2 numbers");
        // Not packed, each with a key of its own.
        let dims = [0x08, 0x01].repeat(9);
        let tensor = [&[0x3a, 20, 0x2a, 18][..], &dims].concat();
        assert!(check(&tensor, Limits { numbers: 9, ..LIMITS }).is_ok());
        limited(&tensor, Limits { numbers: 8, ..LIMITS });
    }

    #[test]
    fn empty_nodes_by_the_million_are_refused() {
        let node = [0x0a, 0x00].repeat(1 << 20);
        let mut bytes = vec![0x3a, 0x80, 0x80, 0x80, 0x01];
        bytes.extend(node);
        limited(&bytes, LIMITS);
    }

    #[test]
    fn nesting_is_limited() {
        let mut graph = GraphProto::default();
        for _ in 0..20 {
            let attribute = AttributeProto { g: Some(graph), ..Default::default() };
            let node = NodeProto { attribute: vec![attribute], ..Default::default() };
            graph = GraphProto { node: vec![node], ..Default::default() };
        }
        assert_eq!(limited(&model(graph), LIMITS).what, "the model is nested too deeply");
    }

    #[test]
    fn nothing_hides_behind_a_group() {
        // The decoder skips a group of a field that it does not know, and goes on with what stands behind it.
        let skipped = [0xa3, 0x06, 0xa4, 0x06];
        let bytes = [&skipped[..], &model(GraphProto::default())].concat();
        assert!(ModelProto::decode(&bytes[..]).is_ok());
        let error = check(&bytes, LIMITS).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BrokenModel);
        assert!(error.what.contains("protobuf group"), "{error}");
    }

    #[test]
    fn broken_files_are_left_to_the_decoder() {
        for bytes in [&[0x3a][..], &[0x3a, 0xff, 0x01], &[0xff; 12], &[0x07], b"not protobuf at all"] {
            assert!(check(bytes, LIMITS).is_ok());
        }
    }
}
