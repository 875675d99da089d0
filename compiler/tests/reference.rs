//! The judge on whole models: against PyTorch's logits, rten and tract, and the forms of a generated model against one
//! another.

#![allow(clippy::result_large_err)] // as in farc itself

use std::fs;
use std::path::PathBuf;

use far_models::{Blocks, Config, Form, Gelu, Generated, Projection, Pruning, Size};
use farc::error::ErrorKind;
use farc::reference::{Keep, Model, Tensor};
use ndarray::{Array, Ix2, Ix4};
use ndarray_npy::read_npy;
use tract_onnx::prelude::{Datum, Framework, InferenceModelExt, IntoRunnable, tract_ndarray, tvec};

/// Most difference allowed, as a part of the outputs' range.
const TOLERANCE: f64 = 1e-4;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn judge(model: &Model, shape: &[usize], image: &[f32]) -> Vec<f64> {
    let image =
        Tensor::real(shape, image.iter().map(|&v| f64::from(v)).collect()).expect("the image's shape");
    let values = model.run(&[("image", image)], Keep::Outputs).unwrap_or_else(|e| panic!("{e} {e:?}"));
    values["logits"].as_real().expect("real numbers").iter().copied().collect()
}

fn rten(onnx: &[u8], shape: &[usize], image: &[f32]) -> Vec<f64> {
    let model = rten::Model::load(onnx.to_vec()).expect("rten loads it");
    let input = rten::Value::from_shape(shape, image.to_vec()).expect("the image's shape");
    let output = model.run_one(input.into(), None).expect("rten runs it");
    let (_, logits) = output.into_shape_vec::<f32, 2>().expect("a matrix");
    logits.into_iter().map(f64::from).collect()
}

fn tract(onnx: &[u8], shape: &[usize], image: &[f32]) -> Vec<f64> {
    let model = tract_onnx::onnx().model_for_read(&mut &*onnx).expect("tract reads it");
    let fact = tract_onnx::prelude::InferenceFact::dt_shape(f32::datum_type(), shape);
    let model = model.with_input_fact(0, fact).expect("one input");
    let model = model.into_optimized().expect("tract analyses it").into_runnable().expect("tract plans it");
    let image = tract_ndarray::ArrayD::from_shape_vec(shape, image.to_vec()).expect("the image's shape");
    let image: tract_onnx::prelude::Tensor = image.into();
    let output = model.run(tvec!(image.into())).expect("tract runs it");
    output[0].to_plain_array_view::<f32>().expect("f32").iter().map(|&v| f64::from(v)).collect()
}

/// The largest difference as a part of the range of `expected`.
fn difference(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let least = expected.iter().copied().fold(f64::INFINITY, f64::min);
    let most = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!(most > least, "outputs without a range");
    let largest = got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max);
    assert!(got.iter().all(|g| g.is_finite()));
    largest / (most - least)
}

fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    let difference = difference(got, expected);
    assert!(difference <= tolerance, "{what}: {difference:e} of the range");
}

mod far_fashion {
    use super::*;

    const SHAPE: [usize; 4] = [1, 1, 28, 28];
    const IMAGES: usize = 8;

    fn images() -> Vec<Vec<f32>> {
        let images: Array<f32, Ix4> = read_npy(example("images.npy")).expect("images");
        images.outer_iter().take(IMAGES).map(|image| image.iter().copied().collect()).collect()
    }

    fn agrees_with_pytorch(name: &str, model: &Model) {
        let expected: Array<f32, Ix2> = read_npy(example(&format!("{name}.logits.npy"))).expect("logits");
        let mut got = Vec::new();
        images().iter().for_each(|image| got.extend(judge(model, &SHAPE, image)));
        let expected: Vec<f64> = expected.iter().take(got.len()).map(|&v| f64::from(v)).collect();
        // PyTorch's own rounding is the only difference.
        assert_close(name, &got, &expected, 1e-6);
    }

    #[test]
    fn attention_and_parallel() {
        for name in ["deit", "far-parallel"] {
            let onnx = fs::read(example(&format!("{name}.onnx"))).expect("the example is there");
            let model = Model::load(&onnx).expect("a valid model");
            agrees_with_pytorch(name, &model);
            let image = &images()[0];
            let ours = judge(&model, &SHAPE, image);
            assert_close(name, &ours, &rten(&onnx, &SHAPE, image), TOLERANCE);
            assert_close(name, &ours, &tract(&onnx, &SHAPE, image), TOLERANCE);
        }
    }

    #[test]
    fn monolithic_with_masks() {
        let name = "far-pruned-dense";
        let onnx = fs::read(example(&format!("{name}.onnx"))).expect("the example is there");
        let mut model = Model::load(&onnx).expect("a valid model");
        let image = &images()[0];
        let dense = judge(&model, &SHAPE, image);
        assert_close(name, &dense, &rten(&onnx, &SHAPE, image), TOLERANCE);
        let masks = fs::read(example(&format!("{name}.masks.safetensors"))).expect("the example is there");
        assert_eq!(model.apply_masks(&masks).expect("masks that fit"), 20);
        assert!(difference(&judge(&model, &SHAPE, image), &dense) > TOLERANCE);
        agrees_with_pytorch(name, &model);
    }

    #[test]
    fn masks_that_fit_nothing_are_errors() {
        let model = Model::load(&fs::read(example("far-pruned-dense.onnx")).expect("there")).expect("valid");
        let mask = |name: &str, shape: Vec<usize>, value: f32| {
            let data: Vec<u8> =
                vec![value; shape.iter().product()].into_iter().flat_map(f32::to_le_bytes).collect();
            let view =
                safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &data).expect("fits");
            safetensors::serialize([(name.to_owned(), view)], None).expect("a valid file")
        };
        let lstm = "blocks.0.attn.lstm.weight_ih_l0";
        for (name, shape, value) in [
            ("blocks.9.attn.lstm.weight_ih_l0", vec![384, 96], 1.0),
            ("blocks.0.attn.lstm.weight_ih_l1", vec![384, 96], 1.0),
            ("blocks.0.attn.weight", vec![96, 96], 1.0),
            ("nothing", vec![1], 1.0),
            (lstm, vec![96, 384], 1.0),
            (lstm, vec![384, 95], 1.0),
            (lstm, vec![0], 1.0),
            (lstm, vec![384, 96], 0.5),
            ("blocks.0.attn.head_proj.weight", vec![192, 96], 1.0),
            ("blocks.0.norm1.weight", vec![97], 1.0),
        ] {
            let error = model.clone().apply_masks(&mask(name, shape.clone(), value)).expect_err(name);
            assert_eq!(error.kind, ErrorKind::BadMask, "{name}: {error}");
            assert_eq!(error.place.node.as_deref(), Some(name));
        }
        assert!(model.clone().apply_masks(b"no safetensors").is_err());
    }
}

mod generated {
    use super::*;

    /// As small as shows everything: sizes that differ from one another, odd numbers of units.
    fn small() -> Config {
        Config {
            seed: 5,
            ..Config::new(Size {
                image: 12,
                patch: 4,
                channels: 2,
                width: 12,
                heads: 3,
                hidden: 5,
                depth: 2,
                mlp: 20,
                classes: 7,
                distilled: false,
            })
        }
    }

    fn image(config: &Config) -> (Vec<usize>, Vec<f32>) {
        let shape = vec![1, config.size.channels, config.size.image, config.size.image];
        let len: usize = shape.iter().product();
        (shape, (0..len).map(|i| (1.7 * i as f32).sin() * 1.5).collect())
    }

    fn generate(config: &Config) -> Generated {
        far_models::generate(config).unwrap_or_else(|e| panic!("{e}"))
    }

    fn logits(config: &Config) -> Vec<f64> {
        let generated = generate(config);
        let mut model = Model::load(&generated.onnx).expect("a valid model");
        if let Some(masks) = &generated.masks {
            model.apply_masks(masks).unwrap_or_else(|e| panic!("{e} {e:?}"));
        }
        let (shape, image) = image(config);
        judge(&model, &shape, &image)
    }

    #[test]
    fn forms_are_one_function() {
        for projection in [Projection::HeadPost, Projection::Single] {
            let monolithic = Config { projection, ..small() };
            let parallel = Config { form: Form::Parallel, ..monolithic.clone() };
            let expected = logits(&monolithic);
            assert_close("parallel", &logits(&parallel), &expected, 1e-12);
            let fraction = 0.5;
            let masked = logits(&Config { pruning: Pruning::Masks { fraction }, ..monolithic.clone() });
            assert!(difference(&masked, &expected) > 0.01, "pruning that changes nothing");
            for pruned in [
                Config { pruning: Pruning::Zeros { fraction }, ..monolithic.clone() },
                Config { pruning: Pruning::Masks { fraction }, ..parallel.clone() },
                Config { pruning: Pruning::Zeros { fraction }, ..parallel.clone() },
                Config { pruning: Pruning::Ragged { fraction }, ..parallel.clone() },
            ] {
                assert_close(&format!("{pruned:?}"), &logits(&pruned), &masked, 1e-12);
            }
        }
    }

    #[test]
    fn operator_sets_are_one_function() {
        let base = Config { replaced: Blocks::Only(vec![1]), ..small() };
        for gelu in [Gelu::Erf, Gelu::Tanh] {
            let expected = logits(&Config { gelu, ..base.clone() });
            for (opset, decomposed) in
                [(11, false), (13, false), (17, true), (18, true), (20, false), (21, true)]
            {
                let got = logits(&Config { gelu, opset, decomposed, ..base.clone() });
                // √2 and the like are f32 in the file.
                assert_close(&format!("operator set {opset}"), &got, &expected, 1e-6);
            }
        }
    }

    /// rten's and tract's answers, within the tolerance of the judge's.
    fn peers_agree(config: &Config) {
        let onnx = generate(config).onnx;
        let (shape, image) = image(config);
        let ours = judge(&Model::load(&onnx).expect("a valid model"), &shape, &image);
        assert_close("rten", &rten(&onnx, &shape, &image), &ours, TOLERANCE);
        assert_close("tract", &tract(&onnx, &shape, &image), &ours, TOLERANCE);
    }

    #[test]
    fn peers_agree_on_each_form() {
        let attention = Config { form: Form::Attention, ..small() };
        peers_agree(&attention);
        peers_agree(&Config { size: Size { distilled: true, ..small().size }, ..attention });
        for form in [Form::Monolithic, Form::Parallel] {
            for projection in [Projection::HeadPost, Projection::Single] {
                peers_agree(&Config { form, projection, ..small() });
            }
        }
        peers_agree(&Config { opset: 13, gelu: Gelu::Tanh, replaced: Blocks::Only(vec![0]), ..small() });
        peers_agree(&Config { pruning: Pruning::Zeros { fraction: 0.6 }, ..small() });
    }

    /// tract 0.23.9 takes `direction=reverse` for forward: why it can't be the judge.
    #[test]
    fn ragged_agrees_with_rten() {
        let config = Config { form: Form::Parallel, pruning: Pruning::Ragged { fraction: 0.5 }, ..small() };
        let onnx = generate(&config).onnx;
        let (shape, image) = image(&config);
        let ours = judge(&Model::load(&onnx).expect("a valid model"), &shape, &image);
        assert_close("rten", &rten(&onnx, &shape, &image), &ours, TOLERANCE);
    }

    /// As of single operators in `operators`, of a whole model: names, order and shapes that don't fit.
    #[test]
    fn damaged_files_are_survived() {
        let config = small();
        let bytes = generate(&config).onnx;
        // The nodes stand before the weights; damage to those would only change numbers.
        let nodes = bytes.len() / 4;
        let (shape, image) = image(&config);
        let image = Tensor::real(&shape, image.into_iter().map(f64::from).collect()).expect("fits");
        let mut rng = fastrand::Rng::with_seed(2);
        let mut refused = 0;
        for _ in 0..300 {
            let mut bytes = bytes.clone();
            for _ in 0..rng.usize(1..4) {
                bytes[rng.usize(..nodes)] ^= 1 << rng.u8(..8);
            }
            let run =
                Model::load(&bytes).and_then(|model| model.run(&[("image", image.clone())], Keep::Outputs));
            refused += usize::from(run.is_err());
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn intermediates_are_kept_on_demand() {
        let config = small();
        let model = Model::load(&generate(&config).onnx).expect("a valid model");
        let (shape, image) = image(&config);
        let image = Tensor::real(&shape, image.into_iter().map(f64::from).collect()).expect("fits");
        let inputs = [("image", image)];
        let name = "/blocks.0/attn/lstm/LSTM_output_0";
        let names = [name.to_owned()].into();
        let all = model.run(&inputs, Keep::All).expect("a run");
        let some = model.run(&inputs, Keep::Names(&names)).expect("a run");
        assert_eq!(some.len(), 2);
        assert_eq!(some[name], all[name]);
        assert_eq!(some[name].shape(), [config.size.tokens(), 2, 1, 15]);
        let produced =
            model.node_outputs().flat_map(|(_, outputs)| outputs).filter(|o| !o.is_empty()).count();
        assert!(all.len() >= produced);
    }
}
