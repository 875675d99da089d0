//! Artifacts of reduced precision, through compiler and engine: how much smaller they are, what they need, and that every
//! number of threads and instruction set gives the same bits. What they cost in accuracy is in `accuracy.rs`.
#![expect(clippy::print_stdout, reason = "what was measured is worth reading")]

use far_engine::{Counted, Extent, Input, Model, Session, SessionOptions};
use far_format::cpu::Arch;
use far_format::layout::Precision;
use far_format::plan::StepOp;
use far_kernels::Kernels;
use far_models::{Blocks, Config, Form, Size, text};
use farc::error::ErrorKind;
use farc::onnx::ImportOptions;
use farc::precision::{Dtype, DtypeOptions, F16Arithmetic};
use farc::target::{self, Target};
use farc::{Compiled, Options};

fn compile(onnx: &[u8], target: &Target, dtype: DtypeOptions) -> Compiled {
    let options = Options { dtype, ..Options::default() };
    farc::compile(onnx, None, target, &options).unwrap_or_else(|e| panic!("{e} {e:?}"))
}

fn all(dtype: Dtype) -> DtypeOptions {
    DtypeOptions { dtype, ..DtypeOptions::default() }
}

fn host() -> Target {
    target::host().expect("the host is known")
}

/// A model of two blocks of which the second attends.
fn small() -> Config {
    let size =
        Size { image: 16, patch: 4, channels: 1, width: 24, heads: 3, hidden: 13, depth: 2, ..Size::TINY };
    let size = Size { mlp: 40, classes: 7, ..size };
    Config { replaced: Blocks::Only(vec![0]), form: Form::Parallel, seed: 3, ..Config::new(size) }
}

fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The output of every way to run a model of images, which must be one.
fn run_every_way(artifact: &[u8], image: &[f32]) -> Vec<f32> {
    let model = Model::from_bytes(artifact).expect("a model");
    let mut first: Option<Vec<f32>> = None;
    for isa in Kernels::available().map(|kernels| kernels.isa()) {
        for threads in 1..=4 {
            let options = SessionOptions { threads, isa: Some(isa), ..SessionOptions::default() };
            let mut session = Session::new(Counted::clone(&model), &options).expect("a session");
            let mut out = vec![f32::NAN; model.outputs()[0].elements(1, 0)];
            session.run(&[image], &mut [&mut out]).expect("a run");
            assert!(out.iter().all(|x| x.is_finite()));
            let first = first.get_or_insert_with(|| out.clone());
            let same = first.iter().zip(&out).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{threads} threads on {isa}: {first:?} or {out:?}");
        }
    }
    first.expect("scalar kernels run everywhere")
}

#[test]
fn every_way_to_run_gives_the_same_bits() {
    let onnx = far_models::generate(&small()).expect("valid").onnx;
    let image = noise(1, 16 * 16);
    let run = |dtype| run_every_way(&compile(&onnx, &host(), all(dtype)).artifact, &image);
    let expected = run(Dtype::F32);
    for (dtype, least) in [(Dtype::F16, 0.999_99), (Dtype::Int8, 0.999)] {
        let out = run(dtype);
        assert_ne!(out, expected, "{dtype} is something else");
        let cosine = cosine(&out, &expected);
        assert!(cosine >= least, "{dtype}: {cosine}");
    }
}

/// Where a sum is in half precision or in bfloat16 the order of its terms is the machine's own; but how work is cut changes
/// nothing, and the answer is near.
#[test]
fn bfloat16_is_near_where_the_machine_has_it() {
    let onnx = far_models::generate(&small()).expect("valid").onnx;
    let target = target::find("x86_64").expect("it is built in");
    let artifact = compile(&onnx, &target, all(Dtype::Bf16)).artifact;
    let read = far_format::read(&artifact).expect("sound");
    let needed = Precision::Bf16.features(target.arch).expect("x86-64 has it");
    assert!(read.header.features.contains(needed));
    let model = match Model::from_bytes(&artifact) {
        Ok(model) => model,
        Err(error) => {
            assert!(matches!(
                error,
                far_engine::Error::Features { .. } | far_engine::Error::Architecture { .. }
            ));
            return;
        }
    };
    let image = noise(1, 16 * 16);
    let expected = run_every_way(&compile(&onnx, &host(), all(Dtype::F32)).artifact, &image);
    let outputs: Vec<Vec<f32>> = (1..=4)
        .map(|threads| {
            let options = SessionOptions { threads, ..SessionOptions::default() };
            let mut session = Session::new(Counted::clone(&model), &options).expect("a session");
            let mut out = vec![f32::NAN; 7];
            session.run(&[&image], &mut [&mut out]).expect("a run");
            out
        })
        .collect();
    assert!(outputs.iter().all(|out| *out == outputs[0]));
    let cosine = cosine(&outputs[0], &expected);
    assert!(cosine >= 0.9999, "{cosine}");
}

/// Text encoders, whose tables are stored in the same precision: each element of a padded batch gives the bits that it gives
/// alone, at any number of tokens.
#[test]
fn text_encoders_too() {
    let size = Size { width: 24, heads: 3, hidden: 8, depth: 2, mlp: 40, ..text::Config::MINILM };
    let plain = text::Config::new(size);
    let blocks = Config { replaced: Blocks::Only(vec![0]), seed: 11, ..plain.blocks };
    let config = text::Config { blocks, vocabulary: 31, positions: 16, ..plain };
    let onnx = text::generate(&config).expect("valid").onnx;
    let lengths = [9, 4];
    let run = |dtype| {
        let import = ImportOptions { max_tokens: Some(9), batch: Some(2), ..ImportOptions::default() };
        let options = Options { dtype: all(dtype), import, ..Options::default() };
        let compiled = farc::compile(&onnx, None, &host(), &options).unwrap_or_else(|e| panic!("{e} {e:?}"));
        let model = Model::from_bytes(&compiled.artifact).expect("a model");
        let embeds = model.plan().steps.iter().filter_map(|step| match &step.op {
            StepOp::Embed(embed) => Some(embed.precision),
            _ => None,
        });
        let embeds: Vec<Precision> = embeds.collect();
        let mut session =
            Session::new(Counted::clone(&model), &SessionOptions::default()).expect("a session");
        let mut outputs = |lengths: &[usize], offset: u64, tokens: usize| {
            let extent = Extent { batch: lengths.len(), tokens };
            let of = |value: &dyn Fn(usize, usize) -> i64| -> Vec<i64> {
                let each = lengths.iter().enumerate();
                each.flat_map(|(element, len)| (0..tokens).map(move |t| (element, t, *len)))
                    .map(|(element, t, len)| if t < len { value(element, t) } else { 0 })
                    .collect()
            };
            let (ids, mask) =
                (of(&|e, t| ((e as u64 + offset) * 7 + t as u64 * 5) as i64 % 31), of(&|_, _| 1));
            let types = of(&|_, _| 0);
            let inputs: Vec<Input<'_>> = model
                .inputs()
                .iter()
                .map(|port| match port.name.as_str() {
                    "input_ids" => Input::I64(&ids),
                    "attention_mask" => Input::I64(&mask),
                    _ => Input::I64(&types),
                })
                .collect();
            let mut outputs: Vec<Vec<f32>> = model
                .outputs()
                .iter()
                .map(|port| vec![f32::NAN; port.elements(extent.batch, extent.tokens)])
                .collect();
            let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            session.run_extent(extent, &inputs, &mut slices).expect("a run");
            outputs
        };
        let both = outputs(&lengths, 0, 9).concat();
        let alone = outputs(&lengths[1..], 1, 4).concat();
        assert_eq!(both[both.len() / 2..][..alone.len()], alone, "{dtype}");
        (both, embeds)
    };
    let (expected, tables) = run(Dtype::F32);
    assert!(tables.iter().all(|precision| *precision == Precision::F32) && !tables.is_empty());
    for (dtype, precision, least) in
        [(Dtype::F16, Precision::F16, 0.999_99), (Dtype::Int8, Precision::Int8, 0.99)]
    {
        let (out, tables) = run(dtype);
        assert!(tables.iter().all(|table| *table == precision), "{tables:?}");
        let cosine = cosine(&out, &expected);
        assert!(cosine >= least, "{dtype}: {cosine}");
    }
}

/// FAR-DeiT-Tiny, whose recurrent matrices are only 64 deep, and DeiT-Tiny: beside int8 weights each column has a scale and a
/// bias. On RISC-V there are limits of runs besides, which a call can't take anew: they come of a search.
#[test]
fn artifacts_are_a_half_and_about_a_quarter() {
    for (form, targets) in
        [(Form::Parallel, &["x86_64", "aarch64", "riscv64-v"][..]), (Form::Attention, &["aarch64"])]
    {
        let onnx = far_models::generate(&Config { form, ..Config::new(Size::TINY) }).expect("valid").onnx;
        for target in targets.iter().map(|name| target::find(name).expect("it is built in")) {
            let size = |dtype| compile(&onnx, &target, all(dtype)).artifact.len() as f64;
            let f32 = size(Dtype::F32);
            let (f16, int8) = (size(Dtype::F16) / f32, size(Dtype::Int8) / f32);
            println!("{form:?} on {}: f16 {f16:.4}, int8 {int8:.4} of {f32}", target.name);
            assert!(f16 <= 0.51, "{form:?} on {}: {f16}", target.name);
            let most = if target.arch == Arch::Riscv64 { 0.275 } else { 0.27 };
            assert!(int8 <= most, "{form:?} on {}: {int8}", target.name);
        }
    }
}

#[test]
fn modules_may_be_excepted() {
    let onnx = far_models::generate(&small()).expect("valid").onnx;
    let except = |dtype_for: &[(&str, Dtype)]| DtypeOptions {
        dtype_for: dtype_for.iter().map(|(pattern, dtype)| ((*pattern).to_owned(), *dtype)).collect(),
        ..all(Dtype::Int8)
    };
    let options = except(&[("blocks.*.mlp.fc1", Dtype::F32), ("blocks.0.attn", Dtype::F16)]);
    let compiled = compile(&onnx, &host(), options);
    for step in &compiled.report.steps {
        let expected = match (step.name.as_str(), step.op) {
            (name, _) if name.ends_with("mlp.fc1") => "f32",
            (name, "gemm" | "lstm") if name.starts_with("blocks.0.attn.") => "f16",
            (_, "gemm") => "int8",
            _ => continue,
        };
        assert_eq!(step.precision, Some(expected), "{}", step.name);
    }
    let names: Vec<&str> = compiled.report.totals.precisions.iter().map(|p| p.precision).collect();
    assert_eq!(names, ["f32", "f16", "int8"]);

    let dtype = except(&[("blocks.0.mlp.fc3", Dtype::F32)]);
    let options = Options { dtype, ..Options::default() };
    let error = farc::compile(&onnx, None, &host(), &options).expect_err("no such module");
    assert_eq!(error.kind, ErrorKind::BadOption);
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("`blocks.0.mlp.fc1`")), "{error:?}");
}

/// Where the target computes in half precision the artifact says so, and a machine without it refuses the file by name.
#[test]
fn what_a_machine_must_have_is_in_the_header() {
    let onnx = far_models::generate(&small()).expect("valid").onnx;
    let features = |target: &str, dtype: DtypeOptions| {
        let artifact = compile(&onnx, &target::find(target).expect("it is built in"), dtype).artifact;
        far_format::read(&artifact).expect("sound").header.features.to_string()
    };
    assert_eq!(features("raspberry-pi-5", all(Dtype::F16)), "fp16");
    let stored = DtypeOptions { f16_arithmetic: F16Arithmetic::Never, ..all(Dtype::F16) };
    assert_eq!(features("raspberry-pi-5", stored), "none");
    for target in ["aarch64", "raspberry-pi-4", "riscv64", "x86_64"] {
        assert_eq!(features(target, all(Dtype::F16)), "none", "{target}");
        assert_eq!(features(target, all(Dtype::Int8)), "none", "{target}");
    }
    assert_eq!(features("riscv64-v", all(Dtype::Int8)), "v");
    assert_eq!(features("x86_64", all(Dtype::Bf16)), "avx512bf16");
}
