//! Calibration: layers that cost accuracy stay in a higher precision, as few as the budget allows, the same ones every time.
#![allow(clippy::result_large_err)] // as in the crate itself

use std::fs;
use std::path::{Path, PathBuf};

use farc::calibrate::{Budget, Calibration, Data, Layer, calibrate};
use farc::error::{Error, ErrorKind};
use farc::precision::{Dtype, DtypeOptions};
use farc::target::{self, Target};
use farc::{Options, compile};
use ndarray::{Array, Array1, Array4, s};
use ndarray_npy::{read_npy, write_npy};

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn model() -> Vec<u8> {
    fs::read(example("far-parallel.onnx")).expect("the example is there")
}

fn options(dtype: Dtype, dtype_for: &[(&str, Dtype)]) -> Options {
    let dtype_for = dtype_for.iter().map(|(pattern, dtype)| ((*pattern).to_owned(), *dtype)).collect();
    Options { dtype: DtypeOptions { dtype, dtype_for, ..DtypeOptions::default() }, ..Options::default() }
}

/// A folder with the first images and their labels.
fn images(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images: Array4<f32> = read_npy(example("images.npy")).unwrap();
    let labels: Array1<i64> = read_npy(example("labels.npy")).unwrap();
    write_npy(folder.path().join("image.npy"), &images.slice(s![..count, .., .., ..]).to_owned()).unwrap();
    write_npy(folder.path().join("labels.npy"), &labels.slice(s![..count]).to_owned()).unwrap();
    folder
}

fn run(
    data: &Path,
    target: &Target,
    options: &Options,
    budget: Budget,
) -> Result<(DtypeOptions, Calibration), Error> {
    calibrate(&model(), None, target, options, &Data::read(data)?, &budget, &mut |_| {})
}

fn error(max_error: f64) -> Budget {
    Budget { max_error: Some(max_error), max_drop: None }
}

#[test]
fn the_worst_layers_are_kept_higher() {
    let (folder, host) = (images(24), target::host().unwrap());
    let int8 = options(Dtype::Int8, &[]);
    let (_, plain) = run(folder.path(), &host, &int8, error(2.0)).unwrap();
    assert!(plain.dtype_for.is_empty() && plain.asked == plain.kept);
    assert!(plain.layers.iter().all(|layer| layer.kept_as == "int8" && layer.bytes > 0));
    assert!(plain.layers.is_sorted_by(|a, b| a.error_alone >= b.error_alone));
    assert!(plain.layers[0].error_alone > 0.0 && plain.asked.error > plain.layers[0].error_alone);
    assert!(
        plain.f32_accuracy.unwrap() > 70.0 && plain.asked.accuracy.is_some() && plain.asked.drop.is_some()
    );

    let half = plain.asked.error / 2.0;
    let (dtype, kept) = run(folder.path(), &host, &int8, error(half)).unwrap();
    assert!(kept.kept.error <= half && kept.asked == plain.asked);
    let higher = kept.layers.iter().take_while(|layer| layer.kept_as == "f16").count();
    assert!(higher > 0 && higher < kept.layers.len());
    assert!(
        kept.layers[higher..].iter().all(|layer| layer.kept_as == "int8"),
        "the most harmful ones, no others"
    );

    // Without the last of them it is not enough.
    let last = &kept.layers[higher - 1].name;
    let mut fewer = dtype.clone();
    fewer.dtype_for.retain(|(pattern, _)| pattern != last);
    let fewer = Options { dtype: fewer, ..Options::default() };
    assert!(run(folder.path(), &host, &fewer, error(2.0)).unwrap().1.asked.error > half);

    // The same again, and the same without data.
    let (again, report) = run(folder.path(), &host, &int8, error(half)).unwrap();
    assert_eq!((&again, report.layers.len()), (&dtype, kept.layers.len()));
    let chosen = Options { dtype, ..Options::default() };
    let compiled = compile(&model(), None, &host, &chosen).unwrap();
    let bytes: u64 = kept.layers.iter().map(|layer| layer.bytes).sum();
    let steps = compiled.report.steps.iter().filter(|step| step.precision.is_some_and(|p| p != "f32"));
    assert_eq!(steps.map(|step| step.cost.weight_bytes).sum::<u64>(), bytes);
}

#[test]
fn without_a_budget_all_is_f32() {
    let (folder, host) = (images(4), target::host().unwrap());
    for dtype in [Dtype::Int8, Dtype::F16] {
        let (_, found) = run(folder.path(), &host, &options(dtype, &[]), error(0.0)).unwrap();
        // The example's matrices are numbers of f16: where no pass changed them, f16 costs nothing.
        let free = |layer: &Layer| layer.kept_as == "f16" && layer.error_alone == 0.0;
        assert!(
            found.kept.error < 1e-12
                && found.layers.iter().all(|layer| layer.kept_as == "f32" || free(layer))
                && found.layers.iter().any(|layer| layer.kept_as == "f32"),
            "{found:?}"
        );
    }
}

#[test]
fn exceptions_of_the_user_stay() {
    let (folder, host) = (images(4), target::host().unwrap());
    let exceptions = [("blocks.0", Dtype::F32), ("blocks.1.mlp", Dtype::F16)];
    let (dtype, found) = run(folder.path(), &host, &options(Dtype::Int8, &exceptions), error(1e-9)).unwrap();
    assert!(found.layers.iter().all(|layer| !layer.name.starts_with("blocks.0")), "{found:?}");
    assert!(found.layers.iter().all(|layer| !layer.name.starts_with("blocks.1.mlp")), "{found:?}");
    let own: Vec<_> = exceptions.map(|(pattern, dtype)| (pattern.to_owned(), dtype)).into();
    assert!(dtype.dtype_for.ends_with(&own) && dtype.dtype_for.len() > own.len());
}

#[test]
fn a_board_gets_what_was_measured_here() {
    let folder = images(8);
    let of = |name: &str| {
        let target = target::find(name).unwrap();
        run(folder.path(), &target, &options(Dtype::Int8, &[]), error(1e-5)).unwrap()
    };
    let (dtype, found) = of("raspberry-pi-4");
    assert!(!found.dtype_for.is_empty());
    let options = Options { dtype, ..Options::default() };
    compile(&model(), None, &target::find("raspberry-pi-4").unwrap(), &options).unwrap();
}

#[test]
fn classes_have_a_budget_of_their_own() {
    let (folder, host) = (images(100), target::host().unwrap());
    let budget = Budget { max_error: None, max_drop: Some(0.0) };
    let (_, found) = run(folder.path(), &host, &options(Dtype::Int8, &[]), budget).unwrap();
    assert_eq!(found.kept.drop, Some(0.0));
    assert_eq!(found.samples, 100);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (folder, host) = (images(3), target::host().unwrap());
    let refused = |prepare: &dyn Fn(&Path), int8: &Options, kind: ErrorKind, parts: &[&str]| {
        let folder = images(3);
        prepare(folder.path());
        let error = run(folder.path(), &host, int8, error(0.1)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert_eq!(error.kind, kind, "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "no `{part}` in {text}"));
    };
    let int8 = options(Dtype::Int8, &[]);
    let bad = ErrorKind::BadInput;
    refused(&|_| {}, &options(Dtype::F32, &[]), ErrorKind::BadOption, &["nothing to calibrate"]);
    refused(
        &|_| {},
        &options(Dtype::Int8, &[("*", Dtype::F32)]),
        ErrorKind::BadOption,
        &["nothing to calibrate"],
    );
    let remove = |path: &Path| fs::remove_file(path.join("image.npy")).unwrap();
    refused(&remove, &int8, bad, &["one or more `.npy` files"]);
    let shape =
        |path: &Path| write_npy(path.join("image.npy"), &Array4::<f32>::zeros((3, 1, 28, 27))).unwrap();
    refused(&shape, &int8, bad, &["another shape", "[3, 1, 28, 27]", "image.npy"]);
    let nan = |path: &Path| {
        let mut images = Array4::<f32>::zeros((3, 1, 28, 28));
        images[[2, 0, 0, 1]] = f32::NAN;
        write_npy(path.join("image.npy"), &images).unwrap();
    };
    refused(&nan, &int8, bad, &["not finite", "element 1569", "image.npy"]);
    let integers =
        |path: &Path| write_npy(path.join("image.npy"), &Array4::<i64>::zeros((3, 1, 28, 28))).unwrap();
    refused(&integers, &int8, bad, &["another type", "image.npy"]);
    let none =
        |path: &Path| write_npy(path.join("image.npy"), &Array4::<f32>::zeros((0, 1, 28, 28))).unwrap();
    refused(&none, &int8, bad, &["image.npy"]);
    let few = |path: &Path| write_npy(path.join("labels.npy"), &Array1::<i64>::zeros(2)).unwrap();
    refused(&few, &int8, bad, &["a label for each", "labels.npy"]);
    let unknown = |path: &Path| write_npy(path.join("labels.npy"), &Array::from(vec![0i64, 10, 0])).unwrap();
    refused(&unknown, &int8, bad, &["no class", "`10`"]);
    let text = |path: &Path| fs::write(path.join("image.npy"), "images").unwrap();
    refused(&text, &int8, bad, &["signature", "image.npy"]);

    let missing = Data::read(&folder.path().join("nothing.npy")).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Io);
}
