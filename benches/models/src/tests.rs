//! What the files hold. That the forms are one function is tested where there is something to run them: in farc.

use std::collections::HashSet;

use prost::Message;
use safetensors::SafeTensors;

use crate::onnx::{Graph, Model, Node};
use crate::{Blocks, Config, Error, Form, Projection, Pruning, Size, generate};

fn small() -> Config {
    Config {
        seed: 5,
        ..Config::new(Size {
            image: 12,
            patch: 4,
            channels: 2,
            width: 12,
            heads: 3,
            hidden: 8,
            depth: 2,
            mlp: 20,
            classes: 7,
            distilled: false,
        })
    }
}

fn graph(config: &Config) -> Graph {
    let onnx = generate(config).expect("a valid configuration").onnx;
    Model::decode(&onnx[..]).expect("a valid file").graph.expect("a graph")
}

fn lstms(graph: &Graph) -> Vec<(&Node, String)> {
    let direction = |node: &Node| {
        let attribute = node.attribute.iter().find(|a| a.name == "direction");
        String::from_utf8(attribute.and_then(|a| a.s.clone()).expect("a direction")).expect("text")
    };
    graph.node.iter().filter(|n| n.op_type == "LSTM").map(|n| (n, direction(n))).collect()
}

/// Every configuration that is another path through the code.
fn every_kind() -> Vec<Config> {
    let mut all = Vec::new();
    for opset in [11, 17, 21] {
        for form in [Form::Attention, Form::Monolithic, Form::Parallel] {
            for projection in [Projection::HeadPost, Projection::Single] {
                all.push(Config { opset, form, projection, ..small() });
            }
        }
        let size = Size { distilled: true, ..small().size };
        let pruning = Pruning::Ragged { fraction: 0.5 };
        all.push(Config { opset, size, form: Form::Parallel, pruning, ..small() });
        all.push(Config { opset, decomposed: true, replaced: Blocks::Only(vec![1]), ..small() });
    }
    all
}

#[test]
fn graphs_are_well_formed() {
    for config in every_kind() {
        let graph = graph(&config);
        let mut known: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
        for tensor in &graph.initializer {
            assert!(known.insert(&tensor.name), "`{}` twice in {config:?}", tensor.name);
            let bytes = 4 * tensor.dims.iter().product::<i64>();
            assert_eq!(
                tensor.raw_data.as_ref().map(Vec::len),
                usize::try_from(bytes).ok(),
                "`{}`",
                tensor.name
            );
        }
        let mut names = HashSet::new();
        for node in &graph.node {
            assert!(names.insert(&node.name), "node `{}` twice in {config:?}", node.name);
            for input in node.input.iter().filter(|i| !i.is_empty()) {
                assert!(known.contains(input.as_str()), "`{}` reads `{input}` in {config:?}", node.name);
            }
            for output in &node.output {
                assert!(known.insert(output), "`{output}` twice in {config:?}");
            }
        }
        assert!(known.contains("logits"));
        let read: HashSet<&str> = graph.node.iter().flat_map(|n| &n.input).map(String::as_str).collect();
        for tensor in &graph.initializer {
            assert!(read.contains(tensor.name.as_str()), "nobody reads `{}` in {config:?}", tensor.name);
        }
    }
}

#[test]
fn same_seed_same_bytes_on_every_platform() {
    let bytes = generate(&small()).expect("valid").onnx;
    assert!(bytes == generate(&small()).expect("valid").onnx);
    assert!(bytes != generate(&Config { seed: 6, ..small() }).expect("valid").onnx);
    let weights = graph(&small()).initializer.into_iter().flat_map(|t| t.raw_data.unwrap_or_default());
    let fnv = weights.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    assert_eq!(
        fnv, 0xcf79_2c97_7184_d57b,
        "{fnv:#x}: other numbers make every recorded measurement another model's"
    );
}

#[test]
fn forms_have_their_nodes() {
    let monolithic = graph(&small());
    let nodes = lstms(&monolithic);
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[0].0.name, "/blocks.0/attn/lstm/LSTM");
    assert!(nodes.iter().all(|(_, direction)| direction == "bidirectional"));

    let parallel = graph(&Config { form: Form::Parallel, ..small() });
    assert_eq!(lstms(&parallel).len(), 2 * 3);

    let ragged = Config { form: Form::Parallel, pruning: Pruning::Ragged { fraction: 0.5 }, ..small() };
    let ragged = graph(&ragged);
    let directions: HashSet<String> = lstms(&ragged).into_iter().map(|(_, direction)| direction).collect();
    assert!(["forward", "reverse"].iter().all(|d| directions.contains(*d)), "{directions:?}");

    let hybrid = graph(&Config { replaced: Blocks::Only(vec![1]), ..small() });
    assert_eq!(lstms(&hybrid).len(), 1);
    assert_eq!(hybrid.node.iter().filter(|n| n.op_type == "Softmax").count(), 1);
    assert!(lstms(&graph(&Config { form: Form::Attention, ..small() })).is_empty());
}

#[test]
fn masks_have_the_parameters_shapes() {
    let pruning = Pruning::Masks { fraction: 0.5 };
    let generated = generate(&Config { pruning, ..small() }).expect("valid");
    let masks = generated.masks.expect("asked for");
    let masks = SafeTensors::deserialize(&masks).expect("a valid file");
    assert_eq!(masks.len(), 2 * 5);
    let shape = |name: &str| masks.tensor(name).expect("there").shape().to_vec();
    assert_eq!(shape("blocks.1.attn.lstm.weight_ih_l0_reverse"), [4 * 24, 12]);
    assert_eq!(shape("blocks.1.attn.lstm.weight_hh_l0"), [4 * 24, 24]);
    assert_eq!(shape("blocks.0.attn.head_proj.weight"), [24, 48]);

    let parallel = Config { pruning, form: Form::Parallel, projection: Projection::Single, ..small() };
    let masks = generate(&parallel).expect("valid").masks.expect("asked for");
    let masks = SafeTensors::deserialize(&masks).expect("a valid file");
    assert_eq!(masks.tensor("blocks.0.attn.l.2.weight_hh_l0").expect("there").shape(), [4 * 8, 8]);
    assert_eq!(masks.tensor("blocks.0.attn.proj.weight").expect("there").shape(), [12, 48]);
}

#[test]
fn kept_units_lie_in_the_stated_range() {
    let config = Config { pruning: Pruning::Masks { fraction: 0.5 }, ..Config::new(Size::TINY) };
    let weights = crate::weights::Weights::new(&config).expect("valid");
    let mut counts = HashSet::new();
    for block in 0..12 {
        for head in 0..3 {
            for direction in crate::weights::Direction::BOTH {
                counts.insert(weights.live(block, head, direction).len());
            }
        }
    }
    assert!(counts.iter().all(|n| (24..=40).contains(n)), "{counts:?}");
    assert!(counts.len() > 8, "{counts:?}");
}

#[test]
fn nonsense_is_refused() {
    let field = |config: Config| match generate(&config) {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{:?}", other.map(|g| g.config)),
    };
    let size = |change: fn(&mut Size)| {
        let mut config = small();
        change(&mut config.size);
        config
    };
    assert_eq!(field(size(|s| s.patch = 5)), "patch");
    assert_eq!(field(size(|s| s.heads = 5)), "heads");
    assert_eq!(field(size(|s| s.width = 0)), "width");
    assert_eq!(field(size(|s| s.image = usize::MAX)), "image");
    assert_eq!(field(Config { opset: 9, ..small() }), "opset");
    assert_eq!(field(Config { replaced: Blocks::Only(vec![2]), ..small() }), "replaced");
    assert_eq!(field(Config { pruning: Pruning::Zeros { fraction: f64::NAN }, ..small() }), "pruning");
    assert_eq!(field(Config { pruning: Pruning::Ragged { fraction: 0.5 }, ..small() }), "pruning");
    let ragged = Config { form: Form::Parallel, pruning: Pruning::Ragged { fraction: 1.0 }, ..small() };
    assert_eq!(field(ragged), "pruning");
    let pruned = Pruning::Masks { fraction: 0.5 };
    assert_eq!(field(Config { form: Form::Attention, pruning: pruned, ..small() }), "pruning");
}

#[test]
fn text_encoders_are_well_formed_and_repeat() {
    use crate::text;
    let size = Size { width: 12, heads: 3, hidden: 4, depth: 2, mlp: 20, ..text::Config::MINILM };
    let plain = text::Config { vocabulary: 9, positions: 8, ..text::Config::new(size) };
    let blocks = Config { replaced: Blocks::Only(vec![1]), ..plain.blocks.clone() };
    for config in [
        plain.clone(),
        text::Config { blocks, mask: Some(text::Mask::Filled), types: text::Types::Zeros, ..plain.clone() },
        text::Config { pooling: text::Pooling::Pooler, features: true, ids: text::Ids::I32, ..plain.clone() },
        text::Config { mask: None, lengths: false, position_ids: text::PositionIds::Range, ..plain.clone() },
    ] {
        let onnx = text::generate(&config).expect("valid").onnx;
        assert!(onnx == text::generate(&config).expect("valid").onnx);
        let graph = Model::decode(&onnx[..]).expect("a valid file").graph.expect("a graph");
        let mut known: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
        known.extend(graph.initializer.iter().map(|t| t.name.as_str()));
        for node in &graph.node {
            for input in node.input.iter().filter(|i| !i.is_empty()) {
                assert!(known.contains(input.as_str()), "`{}` reads `{input}` in {config:?}", node.name);
            }
            for output in &node.output {
                assert!(known.insert(output), "`{output}` twice in {config:?}");
            }
        }
        assert!(graph.output.iter().all(|output| known.contains(output.name.as_str())));
    }
    for wrong in [
        text::Config { vocabulary: 0, ..plain.clone() },
        text::Config { tokens: Some(9), ..plain.clone() },
        text::Config { mask: None, ..plain },
    ] {
        assert!(matches!(text::generate(&wrong), Err(Error::Invalid { .. })), "{wrong:?}");
    }
}
