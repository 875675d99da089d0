//! Files whose bytes would become many times as much memory, or take for ever. Each is given to the command in a process that
//! may not have more than [`MEMORY`], and must be refused before [`PATIENCE`] is over.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};

/// Address space of the process, in KiB: code, stacks and what the file becomes.
const MEMORY: u64 = 3 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn model(graph: GraphProto) -> Vec<u8> {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// A model of one node that has a graph in an attribute.
fn subgraph(op: &str, graph: GraphProto) -> GraphProto {
    let attribute = AttributeProto {
        name: "body".into(),
        r#type: AttributeType::Graph as i32,
        g: Some(graph),
        ..Default::default()
    };
    let node = NodeProto {
        name: "outer".into(),
        op_type: op.into(),
        output: vec!["y".into()],
        attribute: vec![attribute],
        ..Default::default()
    };
    let output = vec![ValueInfoProto { name: "y".into(), ..Default::default() }];
    GraphProto { node: vec![node], output, ..Default::default() }
}

/// The bytes of some artifact, for the judge to get as far as the model.
fn artifact() -> &'static [u8] {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    ARTIFACT.get_or_init(|| {
        let target = farc::target::host().expect("the host is known");
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/far-fashion/deit.onnx");
        let model = fs::read(example).expect("the example is there");
        farc::compile(&model, None, &target, &Default::default()).expect("a sound model").artifact
    })
}

/// Each command that reads a model refuses it, and says all of `parts`; the judge may say it in other words.
#[track_caller]
fn refused(onnx: &[u8], parts: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("bomb.onnx"), onnx).expect("a file");
    fs::write(folder.path().join("some.far"), artifact()).expect("a file");
    let commands: [(&[&str], &[&str]); 4] = [
        (&["inspect", "bomb.onnx", "--ir"], parts),
        (&["compile", "bomb.onnx", "--target", "host", "-o", "x.far"], parts),
        (&["compile", "bomb.onnx", "--allow-external-data", "--target", "host", "-o", "x.far"], parts),
        (&["verify", "bomb.onnx", "some.far", "--samples", "1"], &["in file   bomb.onnx"]),
    ];
    for (arguments, parts) in commands {
        let start = Instant::now();
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).env("NO_COLOR", "1").timeout(PATIENCE);
        command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_farc")]);
        let output = command.args(arguments).assert().code(1).get_output().clone();
        let error = String::from_utf8(output.stderr).expect("text");
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: no `{part}` in:\n{error}");
        }
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn empty_messages_by_the_million() {
    for inner in [
        [0x0a, 0x00].repeat(16 << 20),                       // nodes
        [0x2a, 0x00].repeat(16 << 20),                       // initializers
        [0x5a, 0x00].repeat(16 << 20),                       // inputs
        field(1, &[0x0a, 0x00].repeat(16 << 20)),            // names of inputs of a node
        field(1, &[0x2a, 0x00].repeat(16 << 20)),            // attributes of a node
        field(1, &field(5, &[0x4a, 0x00].repeat(16 << 20))), // texts of an attribute
    ] {
        refused(&field(7, &inner), &["error: limit-exceeded", "made of too many parts"]);
    }
}

#[test]
fn numbers_of_one_byte_each() {
    // Packed, and each with a key of its own: eight bytes of memory a number.
    let packed = field(5, &field(7, &vec![1; 160 << 20]));
    refused(&field(7, &packed), &["error: limit-exceeded", "numbers"]);
    let keyed = field(5, &[0x38, 0x01].repeat(140 << 20));
    refused(&field(7, &keyed), &["error: limit-exceeded", "numbers"]);
}

#[test]
fn messages_in_messages() {
    let mut graph = vec![];
    for _ in 0..4000 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    refused(&field(7, &graph), &["error: limit-exceeded", "nested too deeply"]);
}

#[test]
fn a_bomb_behind_a_group() {
    // The decoder skips a group that it does not know; what follows must be measured all the same.
    let bomb = field(7, &[0x0a, 0x00].repeat(16 << 20));
    refused(&[&[0xa3, 0x06, 0xa4, 0x06][..], &bomb].concat(), &["error: broken-model", "protobuf group"]);
}

#[test]
fn graphs_in_nodes() {
    let inner = GraphProto {
        node: vec![NodeProto { op_type: "Relu".into(), ..Default::default() }],
        ..Default::default()
    };
    for op in ["If", "Loop", "Scan"] {
        let parts = ["error: unsupported-op", &format!("`{op}`"), "outer", "control flow"];
        refused(&model(subgraph(op, inner.clone())), &parts);
    }
    // An operator that is known has no graph.
    let graph = subgraph("Constant", inner.clone());
    refused(&model(graph), &["error: unsupported-attribute", "`body`"]);
    let mut deep = inner;
    for _ in 0..5 {
        deep = subgraph("If", deep);
    }
    refused(&model(deep), &["error: unsupported-op", "`If`", "outer"]);
}

#[test]
fn shapes_that_lie() {
    let tensor = |dims: &[i64]| TensorProto {
        name: "w".into(),
        data_type: 1,
        dims: dims.to_vec(),
        ..Default::default()
    };
    let output = vec![ValueInfoProto { name: "w".into(), ..Default::default() }];
    let graph = |dims: &[i64]| GraphProto {
        initializer: vec![tensor(dims)],
        output: output.clone(),
        ..Default::default()
    };
    refused(&model(graph(&[1 << 28])), &["error: broken-model", "wrong amount of data"]);
    refused(&model(graph(&[1 << 40])), &["error: limit-exceeded", "too many parameters"]);
    refused(&model(graph(&[1 << 62, 1 << 62])), &["error: limit-exceeded", "too large to be addressed"]);
    refused(&model(graph(&[0, i64::MAX, i64::MAX])), &["error: limit-exceeded"]);
    refused(&model(graph(&[1; 4000])), &["error: limit-exceeded", "too many axes"]);
    refused(&model(graph(&[-1])), &["error: broken-model", "impossible dimensions"]);
}
