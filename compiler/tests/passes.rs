//! What the passes do to whole models: they keep the meaning, and they bring every form of a model to the same graph.

mod common;
#[path = "common/far.rs"]
mod far;

use common::assert_same_meaning;
use far_models::{Config, Form, Projection, Pruning, Size};
use farc::cost::CostModel;
use farc::ir::text::{Detail, parse, print};
use farc::ir::{Direction, Graph, Op, verify};
use farc::masks::Masks;
use farc::onnx::{ImportOptions, Imported, import, import_parameters};
use farc::passes::{self, PASSES, PassOptions, Report};
use proptest::prelude::*;

/// The graph after all passes. Each keeps what it means, and the text form keeps what comes out.
fn passed_one_by_one(original: &Graph) -> Graph {
    verify(original).unwrap();
    let mut graph = original.clone();
    let costs = CostModel::of(&far::target());
    for pass in PASSES {
        pass.run(&mut graph, &costs).unwrap();
        assert_same_meaning(original, &graph, pass.name);
    }
    assert_eq!(parse(&print(&graph, Detail::Full)).unwrap(), graph);
    graph
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_pass_keeps_the_meaning_of_random_models(seed: u64) {
        let mut graph = passed_one_by_one(&far::random(seed));
        let again = graph.clone();
        passes::run(&mut graph, &CostModel::of(&far::target()), &PassOptions::default(), &mut Report::default()).unwrap();
        assert_same_meaning(&again, &graph, "run once more");
    }

    #[test]
    fn each_pass_keeps_the_meaning_of_random_text_encoders(seed: u64) {
        passed_one_by_one(&far::random_text(seed));
    }

    #[test]
    fn passes_do_not_depend_on_each_other(seed: u64, off in prop::collection::vec(0..PASSES.len(), 1..5)) {
        let original = far::random(seed);
        let mut graph = original.clone();
        let mut options = PassOptions::default();
        for index in off {
            options = options.without(PASSES[index].name).unwrap();
        }
        passes::run(&mut graph, &CostModel::of(&far::target()), &options, &mut Report::default()).unwrap();
        assert_same_meaning(&original, &graph, "some passes off");
    }
}

/// A graph as text in which nothing is named.
fn anonymous(graph: &Graph) -> String {
    let mut graph = graph.clone();
    graph.normalise();
    graph.name.clear();
    graph.values.iter_mut().zip(0..).for_each(|(value, i)| value.name = format!("{i}"));
    graph.nodes.iter_mut().for_each(|node| node.name.clear());
    print(&graph, Detail::Full)
}

fn after_passes(onnx: &[u8], masks: Option<&[u8]>) -> Graph {
    let Imported { mut graph, origins } = import_parameters(onnx, &ImportOptions::default()).unwrap();
    if let Some(masks) = masks {
        Masks::from_bytes(masks).unwrap().apply(&mut graph, &origins).unwrap();
    }
    passes::run(&mut graph, &CostModel::of(&far::target()), &PassOptions::default(), &mut Report::default())
        .unwrap();
    graph
}

const SMALL: Size = Size {
    image: 16,
    patch: 4,
    channels: 1,
    width: 96,
    heads: 3,
    hidden: 32,
    depth: 2,
    mlp: 40,
    classes: 5,
    distilled: false,
};

#[test]
fn all_forms_of_a_model_come_to_the_same_graph() {
    let fraction = 0.5;
    for projection in [Projection::HeadPost, Projection::Single] {
        let graph = |form, pruning| {
            let config = Config { form, projection, pruning, ..Config::new(SMALL) };
            let generated = far_models::generate(&config).unwrap();
            anonymous(&after_passes(&generated.onnx, generated.masks.as_deref()))
        };
        let whole = graph(Form::Monolithic, Pruning::None);
        assert_eq!(whole.matches("head 2 reverse").count(), SMALL.depth, "three heads in each block");
        let apart = usize::from(projection == Projection::HeadPost) * SMALL.depth;
        assert_eq!(
            whole.matches("{128..192 -> 64..96: ").count(),
            apart,
            "head_proj is in blocks where nothing is pruned"
        );
        assert!(
            whole == graph(Form::Parallel, Pruning::None),
            "{projection:?}: parallel differs from monolithic"
        );
        let pruned = graph(Form::Monolithic, Pruning::Masks { fraction });
        assert!(whole != pruned);
        for (form, pruning) in [
            (Form::Parallel, Pruning::Masks { fraction }),
            (Form::Monolithic, Pruning::Zeros { fraction }),
            (Form::Parallel, Pruning::Zeros { fraction }),
            (Form::Parallel, Pruning::Ragged { fraction }),
        ] {
            assert!(pruned == graph(form, pruning), "{projection:?}: {form:?} with {pruning:?} differs");
        }
    }
}

#[test]
fn a_distilled_model_keeps_two_rows() {
    let config = Config::new(Size { distilled: true, ..SMALL });
    let onnx = far_models::generate(&config).unwrap().onnx;
    let before = import(&onnx, &ImportOptions::default()).unwrap();
    let after = after_passes(&onnx, None);
    assert_same_meaning(&before, &after, "distilled");
    let scaled =
        |op: &Op| matches!(op, Op::LayerNorm { scale, shift, .. } if scale.is_some() || shift.is_some());
    assert!(!after.nodes.iter().any(|node| scaled(&node.op)), "every norm is folded");
    let last = after.nodes.iter().rfind(|node| node.name.ends_with("fc1")).unwrap();
    assert_eq!(after.dims(last.output)[0], 2);
}

fn example(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion");
    std::fs::read(folder.join(name)).unwrap()
}

/// The elements of a `.npy` file of f32.
fn npy(name: &str) -> Vec<f32> {
    let bytes = example(name);
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[header..].chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect()
}

/// Hidden units kept in the example, block by block: forward heads, then reverse ones.
const KEPT: [[usize; 6]; 4] =
    [[32, 10, 32, 31, 32, 32], [7, 16, 17, 29, 28, 31], [0, 0, 6, 15, 11, 26], [0, 10, 0, 8, 3, 8]];

#[test]
fn masks_leave_the_units_that_training_kept() {
    let graph =
        after_passes(&example("far-pruned-dense.onnx"), Some(&example("far-pruned-dense.masks.safetensors")));
    let mut kept = Vec::new();
    for node in &graph.nodes {
        let Op::MultiHeadLstm(lstm) = &node.op else { continue };
        let mut block = [0; 6];
        for unit in &lstm.units {
            let reverse = usize::from(unit.direction == Direction::Reverse);
            block[3 * reverse + unit.head] += unit.hidden;
            assert_eq!(unit.input, 32 * unit.head..32 * (unit.head + 1));
        }
        assert_eq!(lstm.units.len(), block.iter().filter(|units| **units > 0).count(), "none is empty");
        kept.push(block);
    }
    assert_eq!(kept, KEPT);

    let (images, logits) = (npy("images.npy"), npy("far-pruned-dense.logits.npy"));
    let range = logits.iter().fold(0f64, |range, x| range.max(f64::from(x.abs())));
    for (image, logits) in images.chunks(28 * 28).zip(logits.chunks(10)).take(4) {
        let got = farc::ir::eval::outputs(&graph, &[image]).unwrap().remove(0);
        for (got, expected) in got.iter().zip(logits) {
            assert!((got - f64::from(*expected)).abs() < 1e-4 * range, "{got} for {expected}");
        }
    }
}

#[test]
fn the_report_counts_what_was_saved() {
    let model = example("far-pruned-dense.onnx");
    let Imported { mut graph, origins } = import_parameters(&model, &ImportOptions::default()).unwrap();
    let masks = Masks::from_bytes(&example("far-pruned-dense.masks.safetensors")).unwrap();
    let applied = masks.apply(&mut graph, &origins).unwrap();
    assert_eq!(applied.masks.len(), masks.len());
    assert!(applied.masks.iter().all(|mask| mask.zeroed > 0 && mask.zeroed <= mask.masked));
    let mut report = Report::default();
    passes::run(&mut graph, &CostModel::of(&far::target()), &PassOptions::default(), &mut report).unwrap();
    let names: Vec<_> = report.passes.iter().map(|entry| entry.pass).collect();
    assert_eq!(names, PASSES.iter().map(|pass| pass.name).collect::<Vec<_>>());
    for pair in report.passes.windows(2) {
        assert_eq!(pair[0].after, pair[1].before);
    }
    let (first, last) = (report.passes[0].before, report.passes[names.len() - 1].after);
    assert!(last.multiply_adds * 2 < first.multiply_adds, "{first:?} {last:?}");
    assert!(last.weight_bytes * 2 < first.weight_bytes, "{first:?} {last:?}");
}

#[test]
fn an_unknown_pass_is_an_error_with_a_hint() {
    let error = PassOptions::default().without("split_head").unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `split_heads`?"));
}
