//! The example models compiled for this machine and run by the engine, against the logits that PyTorch gave.

use std::fs;
use std::path::PathBuf;

use farc::masks::Masks;
use farc::report::Report;
use farc::target::Target;
use farc::{Compiled, Options, compile};
use ndarray::Array;
use ndarray_npy::read_npy;

const IMAGES: usize = 50;
const PIXELS: usize = 28 * 28;
const CLASSES: usize = 10;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn compiled(name: &str, masks: Option<&Masks>) -> Compiled {
    let model = fs::read(example(&format!("{name}.onnx"))).expect("the example is there");
    let target = Target::resolve("host").expect("the host is known");
    compile(&model, masks, &target, &Options::default()).unwrap_or_else(|e| panic!("{name}: {e} {e:?}"))
}

/// The largest difference from the shipped logits, as a part of their range.
fn difference(name: &str, artifact: &[u8]) -> f64 {
    let images: Array<f32, ndarray::Ix4> = read_npy(example("images.npy")).expect("images");
    let expected: Array<f32, ndarray::Ix2> =
        read_npy(example(&format!("{name}.logits.npy"))).expect("logits");
    let images = images.as_slice().expect("standard layout");
    let model = far_engine::Model::from_bytes(artifact).expect("a model");
    let mut session = far_engine::Session::new(model, &Default::default()).expect("a session");
    let mut largest: f64 = 0.0;
    for (image, expected) in images.chunks_exact(PIXELS).zip(expected.rows()).take(IMAGES) {
        let mut logits = [f32::NAN; CLASSES];
        session.run(&[image], &mut [&mut logits]).expect("a run");
        for (got, expected) in logits.iter().zip(expected) {
            let difference = f64::from((got - expected).abs());
            assert!(difference.is_finite(), "{got}");
            largest = largest.max(difference);
        }
    }
    let (least, most) = expected.iter().fold((f32::MAX, f32::MIN), |(l, m), x| (l.min(*x), m.max(*x)));
    largest / f64::from(most - least)
}

fn agrees(name: &str, masks: Option<&Masks>) -> Report {
    let first = compiled(name, masks);
    let difference = difference(name, &first.artifact);
    assert!(difference < 1e-4, "{name}: {difference:e}");
    let second = compiled(name, masks);
    assert!(first.artifact == second.artifact, "{name}: the same input gave other bytes");
    assert_eq!(first.report.to_json(), second.report.to_json());
    first.report
}

#[test]
fn the_teacher_with_plain_attention() {
    let report = agrees("deit", None);
    assert_eq!((report.compiled.layers, report.compiled.attentions), (0, 4));
}

#[test]
fn the_parallel_form() {
    let report = agrees("far-parallel", None);
    let found = report.compiled;
    assert_eq!((found.layers, found.recurrences, found.hidden_units, found.attentions), (4, 24, 768, 0));
}

#[test]
fn the_monolithic_form_with_masks() {
    let masks = Masks::read(&example("far-pruned-dense.masks.safetensors")).expect("the example is there");
    let report = agrees("far-pruned-dense", Some(&masks));
    let found = report.compiled;
    // Of 24 four are pruned whole.
    assert_eq!((found.layers, found.recurrences, found.attentions), (4, 20, 0));
    assert_eq!(found.hidden_units, 384, "half of 768 are pruned: {:#?}", report.kept);
    assert!(report.totals.multiply_adds < report.totals.imported_multiply_adds / 2, "{:?}", report.totals);
}
