//! Verification finds right artifacts right, and says where wrong ones go wrong.

use std::fs;
use std::path::PathBuf;

use far_format::ArtifactParts;
use far_format::plan::{Step, StepOp};
use far_models::{Blocks, Config, Form, Gelu, Projection, Pruning, Size, text};
use farc::error::ErrorKind;
use farc::masks::Masks;
use farc::target::Target;
use farc::verify::{Given, HostRunner, Options, Side, Verdict, against, run};

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn compile(onnx: &[u8], masks: Option<&[u8]>) -> Vec<u8> {
    let target = Target::resolve("host").expect("the host is known");
    let masks = masks.map(|masks| Masks::from_bytes(masks).expect("valid masks"));
    let options = farc::Options::default();
    farc::compile(onnx, masks.as_ref(), &target, &options).unwrap_or_else(|e| panic!("{e} {e:?}")).artifact
}

fn verify(onnx: &[u8], artifact: &[u8]) -> Verdict {
    let options = Options { samples: Some(2), ..Options::default() };
    run(onnx, None, artifact, &options, &HostRunner::default()).unwrap_or_else(|e| panic!("{e} {e:?}"))
}

fn assert_right(what: &str, verdict: &Verdict, layers: usize) {
    assert!(verdict.passed, "{what}: {:?}", verdict.outputs);
    let deviating: Vec<_> = verdict.layers.iter().filter(|l| l.deviates).collect();
    assert!(deviating.is_empty(), "{what}: {deviating:#?}");
    let names: Vec<_> = verdict.layers.iter().map(|l| l.name.as_str()).collect();
    assert!(names.len() >= layers, "{what}: {names:?}");
    assert!(!verdict.kernels.is_empty());
}

/// Four blocks of which each has at least an LSTM or an attention, two residuals and an MLP to compare.
#[test]
fn examples_are_right() {
    let values = far_tool::npy::read(&fs::read(example("images.npy")).expect("images")).expect("an array");
    for name in ["deit", "far-parallel"] {
        let onnx = fs::read(example(&format!("{name}.onnx"))).expect("the example is there");
        let artifact = compile(&onnx, None);
        assert_right(name, &verify(&onnx, &artifact), 4 * 4 - 3);
        let given = vec![Given { name: Some("image".into()), values: values.clone() }];
        let options = Options { inputs: given, samples: Some(3), layers: false, ..Options::default() };
        let verdict = run(&onnx, None, &artifact, &options, &HostRunner::default()).expect("a run");
        assert!(verdict.passed && verdict.seed.is_none() && verdict.layers.is_empty());
        assert_eq!((verdict.samples, verdict.outputs[0].top1), (3, Some(3)));
        assert!(verdict.outputs[0].difference.cosine > 0.999_999);
    }
}

fn small() -> Config {
    Config {
        seed: 3,
        ..Config::new(Size {
            image: 12,
            patch: 4,
            channels: 2,
            width: 24,
            heads: 3,
            hidden: 9,
            depth: 2,
            mlp: 40,
            classes: 7,
            distilled: false,
        })
    }
}

fn generated(config: &Config) -> Vec<u8> {
    far_models::generate(config).unwrap_or_else(|e| panic!("{e}")).onnx
}

#[test]
fn forms_are_right() {
    let fraction = 0.5;
    for config in [
        Config { form: Form::Attention, ..small() },
        small(),
        Config { projection: Projection::Single, ..small() },
        Config { form: Form::Parallel, ..small() },
        Config { form: Form::Parallel, projection: Projection::Single, ..small() },
        Config { pruning: Pruning::Zeros { fraction }, ..small() },
        Config { form: Form::Parallel, pruning: Pruning::Ragged { fraction }, ..small() },
        Config { replaced: Blocks::Only(vec![0]), gelu: Gelu::Tanh, opset: 13, ..small() },
        Config { opset: 20, size: Size { distilled: true, ..small().size }, ..small() },
    ] {
        let onnx = generated(&config);
        assert_right(&format!("{config:?}"), &verify(&onnx, &compile(&onnx, None)), 5);
    }
}

/// The artifact with one bit pattern written over the weights that `offset` finds in a step.
fn damaged(artifact: &[u8], offset: impl Fn(&Step) -> Option<u64>) -> (Vec<u8>, String) {
    let artifact = far_format::read(artifact).expect("a sound artifact");
    let found = artifact.plan.steps.iter().find_map(|step| Some((offset(step)?, step.name.clone())));
    let (offset, name) = found.expect("such a step");
    let mut weights = artifact.weights.to_vec();
    let at = usize::try_from(offset).expect("small");
    for weight in weights[at..at + 256].chunks_exact_mut(4) {
        weight.copy_from_slice(&0.75f32.to_le_bytes());
    }
    let parts = ArtifactParts {
        arch: artifact.header.arch,
        features: artifact.header.features,
        target: &artifact.header.target,
        plan: &artifact.plan,
        weights: &weights,
    };
    (far_format::write(&parts).expect("a sound artifact"), name)
}

#[test]
fn damage_is_found_where_it_is() {
    let onnx = generated(&small());
    let artifact = compile(&onnx, None);
    let linear = |module: &'static str| {
        move |step: &Step| match &step.op {
            StepOp::Gemm(gemm) if step.name == module => Some(gemm.groups[0].weights),
            _ => None,
        }
    };
    let recurrence = |step: &Step| match &step.op {
        StepOp::Lstm(lstm) => Some(lstm.units[0].weights),
        _ => None,
    };
    for (bad, name) in [
        damaged(&artifact, linear("blocks.0.attn.pre_proj")),
        damaged(&artifact, linear("blocks.0.attn.post_proj")),
        damaged(&artifact, linear("blocks.0.mlp.fc1")),
        damaged(&artifact, linear("blocks.0.mlp.fc2")),
        damaged(&artifact, linear("head")),
        damaged(&artifact, recurrence),
    ] {
        let verdict = verify(&onnx, &bad);
        assert!(!verdict.passed, "{name}: {:?}", verdict.outputs);
        assert_eq!(verdict.first_deviating.as_ref(), Some(&name), "{:#?}", verdict.layers);
        let error = verdict.into_result().expect_err("it did not pass");
        assert_eq!(error.kind, ErrorKind::Mismatch);
        assert_eq!(error.place.node, Some(name));
    }
}

#[test]
fn masks_matter() {
    let onnx = fs::read(example("far-pruned-dense.onnx")).expect("the example is there");
    let masks = fs::read(example("far-pruned-dense.masks.safetensors")).expect("the example is there");
    for form in [Form::Monolithic, Form::Parallel] {
        let config = Config { form, pruning: Pruning::Masks { fraction: 0.5 }, ..small() };
        let generated = far_models::generate(&config).expect("valid");
        masks_matter_to(&generated.onnx, &generated.masks.expect("asked for"));
    }
    masks_matter_to(&onnx, &masks);
}

fn masks_matter_to(onnx: &[u8], masks: &[u8]) {
    let artifact = compile(onnx, Some(masks));
    let (options, runner) = (Options::default(), HostRunner::default());
    let with = run(onnx, Some(masks), &artifact, &options, &runner).expect("a run");
    assert_right("with masks", &with, 5);
    assert!(with.masks >= 2 * 5);
    let without = run(onnx, None, &artifact, &options, &runner).expect("a run");
    assert!(!without.passed);
}

#[test]
fn what_does_not_belong_together_is_an_error() {
    let onnx = generated(&small());
    let other = generated(&Config { size: Size { classes: 8, ..small().size }, ..small() });
    let runner = HostRunner::default();
    let mixed =
        run(&other, None, &compile(&onnx, None), &Options::default(), &runner).expect_err("another model");
    assert_eq!(mixed.kind, ErrorKind::ShapeMismatch);
    let none = run(&onnx, None, b"nothing", &Options::default(), &runner).expect_err("no artifact");
    assert_eq!(none.kind, ErrorKind::BadArtifact);
    let options = Options { samples: Some(0), ..Options::default() };
    let empty = run(&onnx, None, &compile(&onnx, None), &options, &runner).expect_err("no samples");
    assert_eq!(empty.kind, ErrorKind::BadInput);
}

#[test]
fn an_artifact_is_compared_with_another() {
    let onnx = generated(&small());
    let artifact = compile(&onnx, None);
    let (damaged, name) = damaged(&artifact, |step| match &step.op {
        StepOp::Gemm(gemm) if step.name == "blocks.1.mlp.fc1" => Some(gemm.groups[0].weights),
        _ => None,
    });
    let runner = HostRunner::default();
    let side = |artifact| Side { artifact, runner: &runner };
    let options = Options { samples: Some(2), tolerance: Some(0.0), ..Options::default() };
    let same = against(side(&artifact), side(&artifact), &options).expect("a run");
    assert!(same.passed && same.unmatched == 0 && same.first_deviating.is_none(), "{same:?}");
    let steps = far_format::read(&artifact).expect("an artifact").plan.steps.len();
    assert_eq!(same.layers.len(), steps, "every step is compared");
    assert!(same.outputs.iter().all(|output| output.difference.max_ulp == 0 && output.top1 == Some(2)));

    let other = against(side(&damaged), side(&artifact), &options).expect("a run");
    assert!(!other.passed);
    assert_eq!(other.first_deviating.as_deref(), Some(name.as_str()));
    let first = other.layers.iter().find(|layer| layer.deviates).expect("one deviates");
    assert!(first.difference.max_abs > 0.0 && first.difference.max_ulp > 0 && first.difference.cosine < 1.0);
    let verdict = run(&onnx, None, &artifact, &Options { layers: false, ..Options::default() }, &runner);
    let verdict =
        verdict.expect("a run").with(against(side(&artifact), side(&damaged), &options).expect("a run"));
    let error = verdict.into_result().expect_err("the other differs");
    assert!(error.what.contains("the other artifact's"), "{error}");
    assert_eq!(error.place.node.as_deref(), Some(name.as_str()));
}

/// With other passes the artifacts have other steps: those that both have are compared, the rest is counted.
#[test]
fn artifacts_of_other_passes_are_compared_where_they_have_the_same_steps() {
    let onnx = generated(&Config { projection: Projection::HeadPost, ..small() });
    let target = Target::resolve("host").expect("the host is known");
    let passes = farc::passes::PassOptions::default().without("trim_rows").expect("a pass");
    let options = farc::Options { passes, ..farc::Options::default() };
    let whole = farc::compile(&onnx, None, &target, &options).expect("a model").artifact;
    let trimmed = compile(&onnx, None);
    let runner = HostRunner::default();
    let side = |artifact| Side { artifact, runner: &runner };
    let found = against(side(&trimmed), side(&whole), &Options::default()).expect("a run");
    assert!(found.passed && found.unmatched > 0 && found.layers.len() > 5, "{found:?}");
    let other = generated(&Config { size: Size { classes: 8, ..small().size }, ..small() });
    let error = against(side(&trimmed), side(&compile(&other, None)), &Options::default());
    assert_eq!(error.expect_err("other outputs").kind, ErrorKind::Mismatch);
}

fn encoder() -> text::Config {
    let size = Size { width: 24, heads: 3, hidden: 8, depth: 2, mlp: 40, ..text::Config::MINILM };
    let plain = text::Config::new(size);
    let blocks = Config { replaced: Blocks::Only(vec![1]), seed: 5, ..plain.blocks };
    text::Config { blocks, vocabulary: 40, positions: 16, features: true, ..plain }
}

fn compiled_text(onnx: &[u8], max_tokens: Option<usize>, batch: Option<usize>) -> Vec<u8> {
    let target = Target::resolve("host").expect("the host is known");
    let import = farc::onnx::ImportOptions { max_tokens, batch, ..Default::default() };
    let options = farc::Options { import, ..Default::default() };
    farc::compile(onnx, None, &target, &options).unwrap_or_else(|e| panic!("{e} {e:?}")).artifact
}

#[test]
fn text_encoders_are_right_at_every_size() {
    for (config, batch) in [
        (encoder(), Some(3)),
        (encoder(), None),
        (text::Config { mask: None, lengths: false, ..encoder() }, Some(2)),
        (text::Config { tokens: Some(9), ..encoder() }, None),
        (text::Config { batch: Some(2), ..encoder() }, None),
    ] {
        let onnx = text::generate(&config).expect("valid").onnx;
        let artifact = compiled_text(&onnx, config.tokens.is_none().then_some(9), batch);
        let options = Options { samples: Some(6), ..Options::default() };
        let verdict = run(&onnx, None, &artifact, &options, &HostRunner::default())
            .unwrap_or_else(|e| panic!("{e} {e:?}"));
        let layers = if config.batch.is_some() { 0 } else { 6 };
        assert_right(&format!("{config:?}"), &verdict, layers);
        let elements = if batch.is_some() { 6 + 3 * (batch.unwrap_or(1) - 1) } else { 6 };
        assert!(config.batch.is_some() || verdict.samples == elements, "{} of {elements}", verdict.samples);
    }
}

#[test]
fn damage_to_a_table_is_found() {
    let onnx = text::generate(&encoder()).expect("valid").onnx;
    let table = |step: &Step| match &step.op {
        StepOp::Embed(embed) => Some(embed.table),
        _ => None,
    };
    let (bad, _) = damaged(&compiled_text(&onnx, Some(9), Some(2)), table);
    // A few ids in forty are damaged: some call has one.
    let options = Options { samples: Some(8), ..Options::default() };
    let verdict = run(&onnx, None, &bad, &options, &HostRunner::default()).expect("a run");
    assert!(!verdict.passed, "{:?}", verdict.outputs);
}
