//! Text encoders, and batches of image models, through compiler and engine: against the judge at every length that
//! matters, and each element of a padded batch against itself alone, bit for bit.

mod common;
#[path = "common/far.rs"]
mod far;

use far_engine::{Counted, Extent, Input, Model, Session};
use far_models::text::{self, Ids, Mask, Pooling, PositionIds, Types};
use far_models::{Blocks, Config, Form, Gelu, Projection, Pruning, Size};
use farc::cost::CostModel;
use farc::error::{Error, ErrorKind};
use farc::onnx::ImportOptions;
use farc::passes::{self, PassOptions, Report};
use farc::precision::DtypeOptions;
use farc::reference::{self, Keep, Tensor};
use farc::{emit, schedule, target};

/// Most tokens.
const MOST: usize = 9;
/// Most elements of a batch.
const BATCH: usize = 3;

fn size() -> Size {
    Size { width: 24, heads: 3, hidden: 8, depth: 2, mlp: 40, ..text::Config::MINILM }
}

/// Two blocks, the first with an LSTM in the place of its attention.
fn small() -> text::Config {
    let plain = text::Config::new(size());
    let blocks = Config { replaced: Blocks::Only(vec![0]), seed: 11, ..plain.blocks };
    text::Config { blocks, vocabulary: 31, positions: 16, ..plain }
}

fn options(max_tokens: Option<usize>, batch: Option<usize>) -> farc::Options {
    farc::Options { import: ImportOptions { max_tokens, batch, ..Default::default() }, ..Default::default() }
}

fn artifact(onnx: &[u8], options: &farc::Options) -> Vec<u8> {
    let target = target::host().expect("the host is known");
    farc::compile(onnx, None, &target, options).unwrap_or_else(|e| panic!("{e} {e:?}")).artifact
}

fn refused(onnx: &[u8], options: &farc::Options) -> Error {
    farc::compile(onnx, None, &target::host().expect("the host is known"), options).expect_err("refused")
}

/// One call's ids, mask and types, as the model's inputs in order.
struct Call {
    extent: Extent,
    lengths: Vec<usize>,
    ids: Vec<i64>,
    types: Vec<i64>,
}

impl Call {
    /// Of elements of these lengths, padded to so many tokens; what pads is no id that counts.
    fn new(lengths: &[usize], tokens: usize) -> Self {
        let mut noise = 17u64;
        let mut below = |n: u64| {
            noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((noise >> 33) % n) as i64
        };
        let mut call = Self {
            extent: Extent { batch: lengths.len(), tokens },
            lengths: lengths.to_vec(),
            ids: Vec::new(),
            types: Vec::new(),
        };
        for length in lengths {
            for at in 0..tokens {
                call.ids.push(if at < *length { below(31) } else { 30 });
                call.types.push(if at < *length { below(2) } else { 0 });
            }
        }
        call
    }

    /// One element, as the sequence of its own tokens.
    fn alone(&self, element: usize) -> Self {
        let tokens = self.lengths[element];
        let part = |values: &[i64]| values[element * self.extent.tokens..][..tokens].to_vec();
        Self {
            extent: Extent { batch: 1, tokens },
            lengths: vec![tokens],
            ids: part(&self.ids),
            types: part(&self.types),
        }
    }

    fn mask(&self) -> Vec<i64> {
        let row =
            |length: &usize| (0..self.extent.tokens).map(|at| i64::from(at < *length)).collect::<Vec<_>>();
        self.lengths.iter().flat_map(row).collect()
    }

    /// By the names of the model's inputs.
    fn input(&self, name: &str) -> Vec<i64> {
        match name {
            "attention_mask" => self.mask(),
            "token_type_ids" => self.types.clone(),
            _ => self.ids.clone(),
        }
    }
}

/// What the artifact gives for a call, by output.
fn run(model: &Counted<Model>, call: &Call, threads: usize) -> Vec<Vec<f32>> {
    let options = far_engine::SessionOptions { threads, ..Default::default() };
    let mut session = Session::new(Counted::clone(model), &options).expect("a session");
    let wide: Vec<Vec<i64>> = model.inputs().iter().map(|port| call.input(&port.name)).collect();
    let narrow: Vec<Vec<i32>> = wide.iter().map(|v| v.iter().map(|x| *x as i32).collect()).collect();
    let view = |i: usize| match model.inputs()[i].dtype {
        far_engine::Dtype::I32 => Input::I32(&narrow[i]),
        _ => Input::I64(&wide[i]),
    };
    let inputs: Vec<Input<'_>> = (0..wide.len()).map(view).collect();
    let Extent { batch, tokens } = call.extent;
    let mut outputs: Vec<Vec<f32>> =
        model.outputs().iter().map(|port| vec![f32::NAN; port.elements(batch, tokens)]).collect();
    let mut views: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    session.run_extent(call.extent, &inputs, &mut views).unwrap_or_else(|e| panic!("{e}"));
    outputs
}

fn judged(onnx: &[u8], model: &Model, call: &Call) -> Vec<Vec<f64>> {
    let judge = reference::Model::load(onnx).expect("a model");
    let shape = [call.extent.batch, call.extent.tokens];
    let feeds: Vec<(&str, Tensor)> = model
        .inputs()
        .iter()
        .map(|port| (port.name.as_str(), Tensor::int(&shape, call.input(&port.name)).expect("fits")))
        .collect();
    let values = judge.run(&feeds, Keep::Outputs).unwrap_or_else(|e| panic!("{e} {e:?}"));
    let output =
        |port: &far_engine::Port| values[&port.name].as_real().expect("numbers").iter().copied().collect();
    model.outputs().iter().map(output).collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}: elements");
    let range = expected.iter().fold(1e-3f64, |most, x| most.max(x.abs()));
    for (got, expected) in got.iter().zip(expected) {
        let error = (f64::from(*got) - expected).abs();
        assert!(error <= 2e-5 * range, "{what}: {got} for {expected}, of {range}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Lengths 1, 2, all but one, all; then a padded batch, each element of which is what it is alone.
fn assert_right(what: &str, config: &text::Config) {
    let onnx = text::generate(config).unwrap_or_else(|e| panic!("{what}: {e}")).onnx;
    let artifact = artifact(&onnx, &options(Some(MOST), Some(BATCH)));
    let model = Model::from_bytes(&artifact).unwrap_or_else(|e| panic!("{what}: {e}"));
    for tokens in [1, 2, MOST - 1, MOST] {
        let call = Call::new(&[tokens], tokens);
        let got = run(&model, &call, 1);
        for (got, expected) in got.iter().zip(judged(&onnx, &model, &call)) {
            assert_close(&format!("{what}, {tokens} tokens"), got, &expected);
        }
        assert_eq!(got.concat().len(), run(&model, &call, 3).concat().len());
        assert_eq!(bits(&got.concat()), bits(&run(&model, &call, 3).concat()), "{what}: threads");
    }
    let lengths = if config.mask.is_some() { [7, 1, 4] } else { [7, 7, 7] };
    let call = Call::new(&lengths, 7);
    let together = run(&model, &call, 2);
    for element in 0..lengths.len() {
        let alone = call.alone(element);
        let apart = run(&model, &alone, 1);
        for (port, (all, own)) in model.outputs().iter().zip(together.iter().zip(&apart)) {
            let row = &all[element * port.elements(1, 7)..][..port.elements(1, 7)];
            assert_eq!(bits(&row[..own.len()]), bits(own), "{what}: element {element} of `{}`", port.name);
            assert!(row[own.len()..].iter().all(|x| x.to_bits() == 0), "{what}: padding of `{}`", port.name);
        }
        for (own, expected) in apart.iter().zip(judged(&onnx, &model, &alone)) {
            assert_close(&format!("{what}, element {element}"), own, &expected);
        }
    }
}

#[test]
fn embeddings_in_every_spelling() {
    for types in [Types::None, Types::Input, Types::Zeros] {
        for position_ids in [PositionIds::Buffer, PositionIds::Range] {
            for ids in [Ids::I64, Ids::I32] {
                let what = format!("{types:?}, {position_ids:?}, {ids:?}");
                assert_right(&what, &text::Config { types, position_ids, ids, ..small() });
            }
        }
    }
}

#[test]
fn masks_in_every_spelling() {
    for mask in [Mask::Additive, Mask::Filled, Mask::Chosen] {
        for lengths in [true, false] {
            assert_right(
                &format!("{mask:?}, {lengths}"),
                &text::Config { mask: Some(mask), lengths, ..small() },
            );
        }
    }
    assert_right("no mask", &text::Config { mask: None, lengths: false, ..small() });
}

#[test]
fn poolings_and_outputs() {
    for pooling in [Pooling::None, Pooling::Mean, Pooling::Class, Pooling::Pooler] {
        for (normalized, features) in [(true, false), (false, true)] {
            let what = format!("{pooling:?}, {normalized}, {features}");
            assert_right(&what, &text::Config { pooling, normalized, features, ..small() });
        }
    }
}

#[test]
fn blocks_in_every_form() {
    let fraction = 0.5;
    let replaced = Config { replaced: Blocks::All, ..small().blocks };
    for blocks in [
        replaced.clone(),
        Config { form: Form::Attention, ..small().blocks },
        Config { form: Form::Parallel, ..replaced.clone() },
        Config { projection: Projection::Single, form: Form::Parallel, ..replaced.clone() },
        Config { pruning: Pruning::Zeros { fraction }, ..replaced.clone() },
        Config { pruning: Pruning::Ragged { fraction }, form: Form::Parallel, ..replaced.clone() },
        Config { opset: 11, gelu: Gelu::Tanh, ..small().blocks },
        Config { opset: 20, decomposed: true, ..small().blocks },
    ] {
        assert_right(&format!("{blocks:?}"), &text::Config { blocks, ..small() });
    }
}

/// Random graphs through passes, schedule and engine, at every length, against what they mean.
#[test]
fn random_encoders_compute_what_they_mean() {
    let target = target::host().expect("the host is known");
    for seed in 0..60 {
        let graph = far::random_text(seed);
        let mut compiled = graph.clone();
        passes::run(&mut compiled, &CostModel::of(&target), &PassOptions::default(), &mut Report::default())
            .unwrap();
        for graph in [&graph, &compiled] {
            let scheduled = schedule::plan(graph, &target, &DtypeOptions::default())
                .unwrap_or_else(|e| panic!("{seed}: {e}"));
            let bytes = emit::artifact(&scheduled, &target).unwrap_or_else(|e| panic!("{seed}: {e}"));
            let model = Model::from_bytes(&bytes).unwrap();
            let mut session = Session::new(Counted::clone(&model), &Default::default()).unwrap();
            for tokens in 1..=graph.tokens {
                let mut inputs = common::inputs(graph, tokens, &mut common::Numbers::new(seed));
                if let Some(mask) = graph.lengths {
                    inputs[mask] = vec![1.0; tokens];
                }
                let views: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
                let expected = farc::ir::eval::outputs(graph, &views).unwrap();
                let ids: Vec<Vec<i64>> =
                    inputs.iter().map(|v| v.iter().map(|x| *x as i64).collect()).collect();
                let ids: Vec<Input<'_>> = ids.iter().map(|v| Input::I64(v)).collect();
                let mut outputs: Vec<Vec<f32>> = expected.iter().map(|y| vec![f32::NAN; y.len()]).collect();
                let mut views: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
                session.run_extent(Extent { batch: 1, tokens }, &ids, &mut views).unwrap();
                for (got, expected) in outputs.iter().zip(&expected) {
                    let range = expected.iter().fold(1e-3f64, |most, x| most.max(x.abs()));
                    for (got, expected) in got.iter().zip(expected) {
                        let error = (f64::from(*got) - expected).abs();
                        // A LayerNorm of nearly equal numbers amplifies rounding.
                        assert!(error <= 2e-3 * range, "{seed}, {tokens} tokens: {got} for {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn fewer_tokens_are_less_work() {
    let onnx = text::generate(&small()).unwrap().onnx;
    let adds = |most| {
        let target = target::host().unwrap();
        farc::compile(&onnx, None, &target, &options(Some(most), None)).unwrap().report.totals.multiply_adds
    };
    assert!(adds(4) * 2 < adds(10));
}

#[test]
fn batches_of_images_are_single_runs() {
    let image = Size {
        image: 12,
        patch: 4,
        channels: 2,
        width: 24,
        heads: 3,
        hidden: 8,
        depth: 2,
        mlp: 40,
        ..Size::TINY
    };
    let image = Size { classes: 5, ..image };
    for (form, distilled) in [(Form::Monolithic, false), (Form::Attention, true)] {
        let config = Config { form, size: Size { distilled, ..image.clone() }, ..Config::new(image.clone()) };
        let fixed = far_models::generate(&config).unwrap().onnx;
        let single = Model::from_bytes(&artifact(&fixed, &options(None, None))).unwrap();
        let of = |batch| far_models::generate(&Config { batch, ..config.clone() }).unwrap().onnx;
        let model = Model::from_bytes(&artifact(&of(None), &options(None, Some(4)))).unwrap();
        let three = Model::from_bytes(&artifact(&of(Some(3)), &options(None, None))).unwrap();
        let pixels = 2 * 12 * 12;
        let data: Vec<f32> = (0..4 * pixels).map(|i| (i as f32 * 0.37).sin()).collect();
        let call = |model: &Counted<Model>, data: &[f32]| {
            let mut session = Session::new(Counted::clone(model), &Default::default()).unwrap();
            let batch = data.len() / pixels;
            let mut logits = vec![f32::NAN; 5 * batch];
            let extent = Extent { batch, tokens: 0 };
            session.run_extent(extent, &[Input::F32(data)], &mut [&mut logits]).unwrap();
            logits
        };
        for batch in 1..=4 {
            let together = call(&model, &data[..batch * pixels]);
            for (element, logits) in together.chunks(5).enumerate() {
                let alone = call(&single, &data[element * pixels..][..pixels]);
                assert_eq!(bits(logits), bits(&alone), "{form:?}: element {element} of {batch}");
            }
        }
        let data = &data[..3 * pixels];
        assert_eq!(bits(&call(&three, data)), bits(&call(&model, data)), "{form:?}: a fixed batch");
    }
}

#[test]
fn fixed_sizes_are_kept() {
    let config = text::Config { batch: Some(2), tokens: Some(6), ..small() };
    let onnx = text::generate(&config).unwrap().onnx;
    let model = Model::from_bytes(&artifact(&onnx, &options(None, None))).unwrap();
    let call = Call::new(&[6, 6], 6);
    for (got, expected) in run(&model, &call, 1).iter().zip(judged(&onnx, &model, &call)) {
        assert_close("fixed", got, &expected);
    }
    for (wrong, field) in [(options(None, Some(3)), "batch"), (options(Some(7), None), "max-tokens")] {
        let error = refused(&onnx, &wrong);
        assert_eq!(
            (error.kind, error.place.field.as_deref()),
            (ErrorKind::ShapeMismatch, Some(field)),
            "{error:?}"
        );
    }
}

#[test]
fn sizes_that_are_not_said_are_asked_for() {
    let onnx = text::generate(&small()).unwrap().onnx;
    let error = refused(&onnx, &options(None, None));
    assert_eq!(error.kind, ErrorKind::ShapeMismatch);
    assert!(error.hint.as_deref().unwrap_or_default().contains("--max-tokens"), "{error:?}");
    for (wrong, field) in [
        (options(Some(1), None), "max-tokens"),
        (options(Some(0), None), "max-tokens"),
        (options(Some(8), Some(0)), "batch"),
    ] {
        let error = refused(&onnx, &wrong);
        assert_eq!(
            (error.kind, error.place.field.as_deref()),
            (ErrorKind::ShapeMismatch, Some(field)),
            "{error:?}"
        );
    }
    // The table of positions has 16 rows.
    let error = refused(&onnx, &options(Some(17), None));
    assert_eq!(error.kind, ErrorKind::ShapeMismatch, "{error:?}");
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let onnx = text::generate(&small()).unwrap().onnx;
    let options = options(Some(MOST), Some(BATCH));
    assert!(artifact(&onnx, &options) == artifact(&onnx, &options));
}
