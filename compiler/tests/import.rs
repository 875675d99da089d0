//! The importer on whole models: every form that the generator writes, evaluated in f64, against the judge's run of the
//! same file; and what the example models become.

use std::path::PathBuf;

use far_models::{Blocks, Config, Form, Gelu, Projection, Pruning, Size};
use farc::ir::{self, Direction, Graph, Op};
use farc::onnx::{ImportOptions, import, inspect};
use farc::reference::{Keep, Model, Tensor};

/// Damaged files tried of each form.
const DAMAGED: usize = 1000;

fn imported(onnx: &[u8]) -> Graph {
    let graph = import(onnx, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e:?}"));
    ir::verify(&graph).unwrap();
    graph
}

fn example(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion");
    std::fs::read(folder.join(name)).unwrap()
}

fn count(graph: &Graph, wanted: impl Fn(&Op) -> bool) -> usize {
    graph.nodes.iter().filter(|node| wanted(&node.op)).count()
}

/// Largest difference from the judge, as a part of the range of its logits.
fn difference(onnx: &[u8], graph: &Graph) -> f64 {
    let port = &graph.inputs[0];
    let pixels: usize = graph.port_dims(port).iter().product();
    let image: Vec<f32> = (0..pixels).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 250.0).collect();
    let got = ir::eval::outputs(graph, &[&image]).unwrap().remove(0);
    let tensor = Tensor::real(&graph.port_dims(port), image.into_iter().map(f64::from).collect()).unwrap();
    let values = Model::load(onnx).unwrap().run(&[(&port.name, tensor)], Keep::Outputs).unwrap();
    let expected = values[&graph.outputs[0].name].as_real().unwrap();
    assert_eq!(expected.shape(), graph.port_dims(&graph.outputs[0]));
    let (low, high) =
        expected.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    assert!(high > low);
    let differences = got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs());
    differences.fold(0.0, f64::max) / (high - low)
}

/// Small, and with no two sizes the same.
const SMALL: Size = Size {
    image: 12,
    patch: 4,
    channels: 2,
    width: 15,
    heads: 3,
    hidden: 7,
    depth: 2,
    mlp: 11,
    classes: 6,
    distilled: false,
};

#[test]
fn every_form_means_what_the_judge_says() {
    let new = || Config { seed: 5, ..Config::new(SMALL) };
    let some = Blocks::Only(vec![1]);
    let half = 0.5;
    let configs = [
        new(),
        Config { form: Form::Attention, ..new() },
        Config { form: Form::Parallel, ..new() },
        Config { form: Form::Parallel, projection: Projection::Single, ..new() },
        Config { projection: Projection::Single, ..new() },
        Config { form: Form::Parallel, replaced: some, ..new() },
        Config { pruning: Pruning::Zeros { fraction: half }, ..new() },
        Config { form: Form::Parallel, pruning: Pruning::Ragged { fraction: half }, ..new() },
        Config {
            form: Form::Parallel,
            projection: Projection::Single,
            pruning: Pruning::Ragged { fraction: half },
            ..new()
        },
        Config { size: Size { distilled: true, ..SMALL }, ..new() },
        Config { gelu: Gelu::Tanh, ..new() },
        Config { opset: 11, ..new() },
        Config { opset: 13, form: Form::Parallel, gelu: Gelu::Tanh, ..new() },
        Config { opset: 18, decomposed: true, ..new() },
        Config { opset: 20, form: Form::Attention, ..new() },
        Config { opset: 21, form: Form::Attention, gelu: Gelu::Tanh, decomposed: true, ..new() },
    ];
    for config in configs {
        let onnx = far_models::generate(&config).unwrap_or_else(|e| panic!("{config:?}: {e}")).onnx;
        let graph = imported(&onnx);
        let difference = difference(&onnx, &graph);
        assert!(difference < 1e-6, "{difference:e}: {config:?}");
        assert_eq!(count(&graph, |op| matches!(op, Op::LayerNorm { scale: Some(_), shift: Some(_), .. })), 5);
        assert_eq!(count(&graph, |op| matches!(op, Op::Activation(_))), 2);
        // Only the mean of the two answers of a distilled model is not part of another op.
        let affine = count(&graph, |op| matches!(op, Op::Affine { .. }));
        assert_eq!(affine, usize::from(config.size.distilled), "{config:?}");
    }
}

#[test]
fn the_monolithic_example_has_one_lstm_a_block() {
    let onnx = example("far-pruned-dense.onnx");
    let graph = imported(&onnx);
    let lstms: Vec<_> = graph.nodes.iter().filter(|node| matches!(node.op, Op::MultiHeadLstm(_))).collect();
    let names: Vec<&str> = lstms.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, [0, 1, 2, 3].map(|block| format!("blocks.{block}.attn.lstm")));
    for node in lstms {
        let Op::MultiHeadLstm(lstm) = &node.op else { unreachable!("filtered") };
        let units: Vec<_> =
            lstm.units.iter().map(|u| (u.direction, u.input.clone(), u.output, u.hidden)).collect();
        assert_eq!(units, [(Direction::Forward, 0..96, 0, 96), (Direction::Reverse, 0..96, 96, 96)]);
    }
    assert!(difference(&onnx, &graph) < 1e-6);
}

#[test]
fn the_parallel_example_has_one_lstm_a_head() {
    let onnx = example("far-parallel.onnx");
    let graph = imported(&onnx);
    assert_eq!(count(&graph, |op| matches!(op, Op::MultiHeadLstm(_))), 12);
    // No head's input is copied: they read ranges of what `pre_proj` makes.
    assert_eq!(count(&graph, |op| matches!(op, Op::SliceCols { .. })), 0);
    for head in 0..3 {
        let name = format!("blocks.2.attn.l.{head}");
        let node = graph.nodes.iter().find(|node| node.name == name).unwrap();
        let Op::MultiHeadLstm(lstm) = &node.op else { panic!("{node:?}") };
        assert_eq!(lstm.units[1].input, head * 32..(head + 1) * 32);
        assert_eq!(graph.nodes[graph.producer(node.inputs[0]).unwrap()].name, "blocks.2.attn.pre_proj");
        assert!(graph.nodes.iter().any(|node| node.name == format!("blocks.2.attn.hp.{head}")));
    }
    assert!(difference(&onnx, &graph) < 1e-6);
}

#[test]
fn the_teacher_keeps_its_attention() {
    let onnx = example("deit.onnx");
    let graph = imported(&onnx);
    assert_eq!(count(&graph, |op| matches!(op, Op::Attention { heads: 3, .. })), 4);
    assert!(difference(&onnx, &graph) < 1e-6);
}

/// Whatever becomes of the file, it is refused or it is a sound graph.
#[test]
fn damaged_models_do_no_harm() {
    for form in [Form::Monolithic, Form::Parallel, Form::Attention] {
        let config = Config { form, size: Size { depth: 1, ..SMALL }, ..Config::new(SMALL) };
        let onnx = far_models::generate(&config).unwrap().onnx;
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        for _ in 0..DAMAGED {
            let mut damaged = onnx.clone();
            for _ in 0..1 + random(3) {
                // Nodes stand first in the file, and are where most harm can be done.
                let part = if random(4) > 0 { 4 } else { 1 };
                let at = random(damaged.len() / part);
                match random(3) {
                    0 => damaged[at] = random(256) as u8,
                    1 => damaged[at] ^= 1 << random(8),
                    _ => drop(damaged.drain(at..(at + random(40)).min(damaged.len()))),
                }
            }
            if let Ok(graph) = import(&damaged, &ImportOptions::default()) {
                ir::verify(&graph).unwrap();
            }
        }
    }
}

#[test]
fn inspection_of_an_example() {
    let info = inspect(&example("deit.onnx"), &ImportOptions::default()).unwrap();
    assert_eq!(
        (info.producer.as_str(), info.opsets["ai.onnx"], info.parameters),
        ("pytorch 2.15.0", 17, 455_050)
    );
    assert_eq!(
        (info.ops["Softmax"], info.inputs[0].name.as_str(), info.outputs[0].dims.len()),
        (4, "image", 2)
    );
}
