//! What reduced precision costs in accuracy: real models on a whole test set, and generated ones by the angle between their
//! logits and those of f32. All of it runs on this machine; in f32, int8 and with weights in half precision
//! the bits are those of every board.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what was measured is worth reading")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::Numbers;
use far_engine::{Model, Session};
use far_models::{Config, Form, Pruning, Size};
use farc::masks::Masks;
use farc::precision::{Dtype, DtypeOptions};
use farc::target::Target;
use farc::{Options, compile};

const PIXELS: usize = 28 * 28;
const CLASSES: usize = 10;
/// Mean and standard deviation by which the examples' images are normalised.
const NORMAL: (f32, f32) = (0.2860, 0.3530);
/// Where Debian's package `dataset-fashion-mnist` puts its files.
const DATASET: &str = "/usr/share/datasets/fashion-mnist";

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn session(onnx: &[u8], masks: Option<&Masks>, dtype: Dtype) -> Session {
    let target = Target::resolve("host").expect("the host is known");
    let dtype = DtypeOptions { dtype, ..DtypeOptions::default() };
    let options = Options { dtype, ..Options::default() };
    let artifact = compile(onnx, masks, &target, &options).unwrap_or_else(|e| panic!("{e}")).artifact;
    Session::new(Model::from_bytes(&artifact).expect("a model"), &Default::default()).expect("a session")
}

/// What a model answers to one input.
fn answer(session: &mut Session, input: &[f32], len: usize) -> Vec<f32> {
    let mut output = vec![f32::NAN; len];
    session.run(&[input], &mut [&mut output]).expect("a run");
    output
}

/// Images one after another, and what they show.
struct Images {
    pixels: Vec<f32>,
    labels: Vec<usize>,
}

/// The whole test set, where it is installed.
fn whole() -> Option<Images> {
    let read = |name: &str, header: usize| {
        let path = Path::new(DATASET).join(name);
        let output = path.exists().then(|| Command::new("gzip").arg("-dc").arg(path).output())?;
        Some(output.ok()?.stdout.get(header..)?.to_vec())
    };
    let normal = |pixel: u8| (f32::from(pixel) / 255.0 - NORMAL.0) / NORMAL.1;
    Some(Images {
        pixels: read("t10k-images-idx3-ubyte.gz", 16)?.into_iter().map(normal).collect(),
        labels: read("t10k-labels-idx1-ubyte.gz", 8)?.into_iter().map(usize::from).collect(),
    })
}

/// Top-1 in percent.
fn accuracy(session: &mut Session, images: &Images) -> f64 {
    let right = |(image, label): (&[f32], &usize)| {
        let logits = answer(session, image, CLASSES);
        usize::from((0..CLASSES).max_by(|a, b| logits[*a].total_cmp(&logits[*b])) == Some(*label))
    };
    let right: usize = images.pixels.chunks_exact(PIXELS).zip(&images.labels).map(right).sum();
    100.0 * right as f64 / images.labels.len() as f64
}

/// Every example keeps its accuracy: so many points below f32 at most.
fn keeps_accuracy(images: &Images, [int8, f16]: [f64; 2]) {
    let masks = Masks::read(&example("far-pruned-dense.masks.safetensors")).expect("the example is there");
    for (name, masks) in [("deit", None), ("far-parallel", None), ("far-pruned-dense", Some(&masks))] {
        let onnx = std::fs::read(example(&format!("{name}.onnx"))).expect("the example is there");
        let of = |dtype| accuracy(&mut session(&onnx, masks, dtype), images);
        let exact = of(Dtype::F32);
        assert!(exact > 75.0, "{name}: {exact} %");
        for (dtype, points) in [(Dtype::Int8, int8), (Dtype::F16, f16)] {
            let reduced = of(dtype);
            println!("{name}: f32 {exact:.2} %, {dtype} {reduced:.2} %");
            assert!(exact - reduced <= points + 1e-9, "{name}: {exact} % in f32, {reduced} % in {dtype}");
        }
    }
}

#[test]
#[ignore = "10,000 images through nine artifacts take minutes in a debug build"]
fn the_whole_test_set_keeps_its_classes() {
    match whole() {
        Some(images) => {
            assert_eq!(images.labels.len(), 10_000);
            keeps_accuracy(&images, [0.3, 0.05]);
        }
        None => eprintln!("SKIPPED: {DATASET} is missing: install Debian's package `dataset-fashion-mnist`"),
    }
}

/// How near a generated model's logits are to those of f32, by their cosine: on average, and the least, which may be further off by a factor.
fn logits_keep_their_direction(size: Size, forms: &[(Form, Pruning)], inputs: usize, factor: f64) {
    for (form, pruning) in forms {
        let config = Config { form: *form, pruning: *pruning, ..Config::new(size.clone()) };
        let onnx = far_models::generate(&config).expect("a model").onnx;
        let mut numbers = Numbers::new(17);
        let len = size.channels * size.image * size.image;
        let images: Vec<Vec<f32>> = (0..inputs).map(|_| numbers.reals(len, 2.0)).collect();
        let logits = |dtype| {
            let mut session = session(&onnx, None, dtype);
            images.iter().map(|image| answer(&mut session, image, size.classes)).collect::<Vec<_>>()
        };
        let exact = logits(Dtype::F32);
        for (dtype, goal) in [(Dtype::Int8, 0.999), (Dtype::F16, 0.99999)] {
            let cosines = logits(dtype).iter().zip(&exact).map(|(a, b)| cosine(a, b)).collect::<Vec<_>>();
            let worst = cosines.iter().copied().fold(1.0, f64::min);
            let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
            println!("{form:?} {pruning:?}: {dtype} {worst:.7}, mean {mean:.7}");
            let least = 1.0 - factor * (1.0 - goal);
            assert!(mean >= goal && worst >= least, "{form:?} {pruning:?} {dtype}: {cosines:?}");
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

const FORMS: [(Form, Pruning); 4] = [
    (Form::Attention, Pruning::None),
    (Form::Monolithic, Pruning::None),
    (Form::Parallel, Pruning::None),
    (Form::Parallel, Pruning::Ragged { fraction: 0.5 }),
];

#[test]
fn models_like_deit_keep_their_logits() {
    let small = Size { image: 64, width: 96, hidden: 32, mlp: 384, classes: 100, ..Size::TINY };
    // What rounding adds averages less where rows are short: one input in 24 lies beyond, with every GELU.
    logits_keep_their_direction(small, &FORMS, 24, 1.5);
}

#[test]
#[ignore = "twelve full-size models take minutes in a debug build"]
fn deit_tiny_and_small_keep_their_logits() {
    logits_keep_their_direction(Size::TINY, &FORMS, 4, 1.0);
    logits_keep_their_direction(Size::SMALL, &FORMS, 2, 1.0);
}
