//! Every form in which exporters write FAR models: small models made by `examples/export/matrix.py`, compiled, run, and
//! compared with what PyTorch answered and with the judge. Forms of the same weights must come to the same work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use far_engine::{Extent, Input};
use farc::reference::{Keep, Model, Tensor};
use farc::report::Recurrences;
use farc::target::Target;
use farc::{Options, compile};
use serde::Deserialize;

/// Largest difference allowed, as a part of the range of an output.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Cases with the same text have the same weights and compute the same function.
    weights: String,
    exporter: String,
    opset: i64,
    dynamic_batch: bool,
    input: Array,
    /// PyTorch's.
    outputs: BTreeMap<String, Array>,
}

#[derive(Deserialize)]
struct Array {
    dims: Vec<usize>,
    data: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms")
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(folder().join("forms.json")).expect("the matrix is there");
    serde_json::from_str(&text).expect("the matrix is well formed")
}

/// The case's file, with the weights that it may have beside it.
fn onnx(case: &Case) -> Vec<u8> {
    let bytes = fs::read(folder().join(format!("{}.onnx", case.name))).expect("each case has its file");
    farc::onnx::embed_external_data(bytes, &folder(), &Default::default()).expect("data that fit")
}

/// The artifact's outputs by name, with their dimensions.
fn run(artifact: &[u8], input: &Array) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let plan = far_format::read(artifact).expect("a sound artifact").plan;
    let model = far_engine::Model::from_bytes(artifact).expect("a model");
    let mut session = far_engine::Session::new(model, &Default::default()).expect("a session");
    let dims: Vec<Vec<usize>> =
        plan.outputs.iter().map(|port| port.dims.iter().map(|d| d.of(1, 0)).collect()).collect();
    let mut outputs: Vec<Vec<f32>> = dims.iter().map(|d| vec![f32::NAN; d.iter().product()]).collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let extent = Extent { batch: 1, tokens: 0 };
    session.run_extent(extent, &[Input::F32(&input.data)], &mut slices).expect("a run");
    let names = plan.outputs.iter().map(|port| port.name.clone());
    names.zip(dims.into_iter().zip(outputs)).collect()
}

/// Largest difference, as a part of the range of what is right.
fn difference(got: &[f32], right: &[f64]) -> f64 {
    assert_eq!(got.len(), right.len());
    let (low, high) = right.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
    let largest = got
        .iter()
        .zip(right)
        .map(|(g, r)| (f64::from(*g) - r).abs())
        .fold(0.0, |m, d| if d.is_nan() { f64::NAN } else { f64::max(m, d) });
    largest / (high - low)
}

fn check(case: &Case) {
    let (name, onnx) = (&case.name, onnx(case));
    let target = Target::resolve("host").expect("the host is known");
    let compiled = compile(&onnx, None, &target, &Options::default());
    let compiled = compiled.unwrap_or_else(|e| panic!("{name}: {e} {e:?}"));
    let got = run(&compiled.artifact, &case.input);
    assert!(got.keys().eq(case.outputs.keys()), "{name}: outputs {:?}", got.keys());

    let judge = Model::load(&onnx).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let image = case.input.data.iter().map(|v| f64::from(*v)).collect();
    let image = Tensor::real(&case.input.dims, image).expect("as many numbers as its dimensions say");
    let judged = judge.run(&[("image", image)], Keep::Outputs).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    for (output, right) in &case.outputs {
        let (dims, values) = &got[output];
        assert_eq!(dims, &right.dims, "{name}: {output}");
        let torch: Vec<f64> = right.data.iter().map(|v| f64::from(*v)).collect();
        let from_torch = difference(values, &torch);
        assert!(from_torch < TOLERANCE, "{name}: {output} differs from PyTorch's by {from_torch:e}");
        let judged: Vec<f64> = judged[output].as_real().expect("real").iter().copied().collect();
        let from_judge = difference(values, &judged);
        assert!(from_judge < TOLERANCE, "{name}: {output} differs from the judge's by {from_judge:e}");
    }
}

/// What a form comes to on one board, whatever machine the tests run on.
fn work(case: &Case) -> (u64, Recurrences) {
    let target = Target::resolve("raspberry-pi-5").expect("a known board");
    let compiled = compile(&onnx(case), None, &target, &Options::default());
    let report = compiled.unwrap_or_else(|e| panic!("{}: {e:?}", case.name)).report;
    (report.totals.multiply_adds, report.compiled)
}

#[test]
fn every_form_means_what_pytorch_says() {
    cases().iter().for_each(check);
}

#[test]
fn forms_of_the_same_weights_come_to_the_same_work() {
    let mut first: BTreeMap<String, (String, (u64, Recurrences))> = BTreeMap::new();
    for case in cases() {
        let (macs, found) = work(&case);
        let (like, (its_macs, has)) =
            first.entry(case.weights.clone()).or_insert_with(|| (case.name.clone(), (macs, found)));
        assert_eq!(macs, *its_macs, "multiply-adds of `{}` and `{like}`", case.name);
        // Where a head is smaller than a vector, running two by themselves takes no less.
        if case.weights.ends_with("wide") {
            assert_eq!((found, found.recurrences), (*has, 4), "recurrences of `{}` and `{like}`", case.name);
        }
    }
}

/// The matrix is what it says it is, and nothing lies beside it.
#[test]
fn the_matrix_is_complete() {
    let cases = cases();
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("a folder")
        .filter_map(|entry| {
            entry.expect("an entry").file_name().into_string().ok()?.strip_suffix(".onnx").map(str::to_owned)
        })
        .collect();
    assert!(files.iter().eq(cases.iter().map(|c| &c.name).collect::<BTreeSet<_>>()), "{files:?}");
    let mut covered = BTreeSet::new();
    for case in &cases {
        let info = farc::onnx::inspect(&onnx(case), &Default::default()).expect("a readable file");
        assert_eq!(info.opsets["ai.onnx"], case.opset, "{}", case.name);
        let batch = info.inputs[0].dims[0].parse::<u64>();
        assert_eq!(batch.is_err(), case.dynamic_batch, "{}: {batch:?}", case.name);
        covered.insert((case.exporter.as_str(), case.opset));
    }
    let torchscript = (11..=20).map(|opset| ("torchscript", opset));
    let dynamo = (18..=23).map(|opset| ("dynamo", opset));
    for exporter in torchscript.chain(dynamo) {
        assert!(covered.contains(&exporter), "{exporter:?} is not in the matrix");
    }
}
