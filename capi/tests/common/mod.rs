//! A small artifact to test with, built by hand, and how to hand memory to the C interface.
#![allow(dead_code, unsafe_code, reason = "each test file uses a part; text() reads a C string")]

use std::ffi::{CStr, c_char};
use std::ptr::null;

use far::{
    FAR_DTYPE_F32, FAR_DTYPE_I32, FAR_DTYPE_I64, FAR_ISA_BEST, far_input, far_last_error, far_output,
    far_session_options,
};
use far_format::ArtifactParts;
use far_format::cpu::{Arch, Features};
use far_format::layout::{Activation, Precision, panels_len};
use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Info, Labels, Meta, Normalization, Resize};
use far_format::plan::{
    Batch, Dim, Dtype, Embed, Gemm, GemmGroup, Operand, Place, Plan, Port, Step, StepOp, Tensor,
};
use far_kernels::pack::HOST;

pub(crate) const ROWS: usize = 2;
pub(crate) const COLS: usize = 4;
pub(crate) const FEATURES: usize = 3;

/// Elements of `a`, of `b` and of `sum`.
pub(crate) const WIDE: usize = ROWS * COLS;
/// Elements of `features`.
pub(crate) const NARROW: usize = ROWS * FEATURES;

pub(crate) const A: [f32; WIDE] = [1.0, -2.0, 3.0, -4.0, -5.0, 6.0, -7.0, 8.0];
pub(crate) const B: [f32; WIDE] = [0.5, 0.5, 0.5, 0.5, 10.0, 20.0, 30.0, 40.0];

fn weight(k: usize, n: usize) -> f32 {
    (k * FEATURES + n) as f32
}

const BIAS: [f32; FEATURES] = [100.0, 200.0, 300.0];

/// `sum = a + b`.
pub(crate) fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// `features = relu(a) · W + bias`.
pub(crate) fn features(a: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    for row in a.chunks(COLS) {
        for (n, bias) in BIAS.iter().enumerate() {
            out.push(row.iter().enumerate().fold(*bias, |acc, (k, x)| acc + x.max(0.0) * weight(k, n)));
        }
    }
    out
}

/// Inputs `a` [1, 2, 4] and `b` [2, 4]; outputs `sum` [2, 4] and `features` [2, 3]; model `fixture`.
pub(crate) fn artifact_for(arch: Arch, needs: Features) -> Vec<u8> {
    let matrix = |place, cols: usize| Tensor {
        place,
        rows: ROWS as u32,
        cols: cols as u32,
        stride: cols as u32,
        tokens: false,
    };
    let whole =
        |tensor, cols: usize| Operand { tensor, row: 0, col: 0, rows: ROWS as u32, cols: cols as u32 };
    let [a, b, relu, sum, features] =
        [whole(0, COLS), whole(1, COLS), whole(2, COLS), whole(3, COLS), whole(4, FEATURES)];
    let port = |name: &str, dims: &[u32]| Port {
        name: name.to_string(),
        dtype: Dtype::F32,
        dims: dims.iter().copied().map(Dim::Fixed).collect(),
    };
    let step = |name: &str, op| Step { name: name.to_string(), op };
    let group = GemmGroup { a_col: 0, k: COLS as u32, out_col: 0, n: FEATURES as u32, weights: 0 };
    let plan = Plan {
        model: "fixture".to_string(),
        tensors: vec![
            matrix(Place::Input(0), COLS),
            matrix(Place::Input(1), COLS),
            matrix(Place::Arena(0), COLS),
            matrix(Place::Output(0), COLS),
            matrix(Place::Output(1), FEATURES),
        ],
        inputs: vec![port("a", &[1, ROWS as u32, COLS as u32]), port("b", &[ROWS as u32, COLS as u32])],
        outputs: vec![
            port("sum", &[ROWS as u32, COLS as u32]),
            port("features", &[ROWS as u32, FEATURES as u32]),
        ],
        steps: vec![
            step("add", StepOp::Add { a, b, out: sum }),
            step("relu", StepOp::Map { act: Activation::Relu, x: a, out: relu }),
            step(
                "linear",
                StepOp::Gemm(Gemm {
                    a: relu,
                    out: features,
                    residual: None,
                    act: Activation::None,
                    precision: Precision::F32,
                    groups: vec![group],
                }),
            ),
        ],
        arena_bytes: 64,
        ..Plan::default()
    };
    let mut weights = vec![0.0; panels_len(COLS, FEATURES)];
    far_kernels::pack::gemm(Precision::F32, HOST, COLS, FEATURES, weight, Some(&BIAS), &mut weights);
    let weights: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    far_format::write(&ArtifactParts {
        arch,
        features: needs,
        target: "test",
        plan: &plan,
        weights: &weights,
    })
    .expect("the fixture keeps the rules of the format")
}

/// The artifact for the machine that the test runs on.
pub(crate) fn artifact() -> Vec<u8> {
    artifact_for(Arch::HOST.expect("libfar is built for a known architecture"), Features::NONE)
}

/// Rows and columns of what [`wide_artifact`] multiplies.
pub(crate) const SIDE: usize = 64;

/// Input `x` [64, 64], output `y` [64, 64], which is `x` times a matrix three times over, and each time worth several
/// threads; model `wide`.
pub(crate) fn wide_artifact() -> Vec<u8> {
    let side = SIDE as u32;
    let tensor = |place| Tensor { place, rows: side, cols: side, stride: side, tokens: false };
    let whole = |tensor| Operand { tensor, row: 0, col: 0, rows: side, cols: side };
    let port = |name: &str| Port {
        name: name.to_string(),
        dtype: Dtype::F32,
        dims: vec![Dim::Fixed(side), Dim::Fixed(side)],
    };
    let step = |name: &str, a, out| {
        let groups = vec![GemmGroup { a_col: 0, k: side, out_col: 0, n: side, weights: 0 }];
        let gemm = Gemm { a, out, residual: None, act: Activation::Tanh, precision: Precision::F32, groups };
        Step { name: name.to_string(), op: StepOp::Gemm(gemm) }
    };
    let bytes = (SIDE * SIDE * size_of::<f32>()) as u64;
    let places = [Place::Input(0), Place::Arena(0), Place::Arena(bytes), Place::Output(0)];
    let [x, a, b, y] = [0, 1, 2, 3].map(whole);
    let plan = Plan {
        model: "wide".to_string(),
        tensors: places.map(tensor).to_vec(),
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        steps: vec![step("first", x, a), step("second", a, b), step("third", b, y)],
        arena_bytes: 2 * bytes,
        ..Plan::default()
    };
    let mut weights = vec![0.0; panels_len(SIDE, SIDE)];
    let weight = |k, n| if k == n { 1.0 } else { ((k * 7 + n * 3) % 11) as f32 / 100.0 - 0.05 };
    far_kernels::pack::gemm(Precision::F32, HOST, SIDE, SIDE, weight, None, &mut weights);
    let weights: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let arch = Arch::HOST.expect("libfar is built for a known architecture");
    let (features, target) = (Features::NONE, "test");
    far_format::write(&ArtifactParts { arch, features, target, plan: &plan, weights: &weights })
        .expect("the fixture keeps the rules of the format")
}

/// Input `image` [1, 3, 2, 2], output `logits` [1, 4], the mean of its channels; with metadata of every kind; model `image`.
pub(crate) fn image_artifact() -> Vec<u8> {
    let channel = |mean, std| Normalization { mean, std };
    let image = Image {
        input: 0,
        layout: ImageLayout::Nchw,
        color: ImageColor::Rgb,
        resize: Resize::Crop { shorter: 3 },
        filter: Filter::Bicubic,
        scale: 1.0 / 255.0,
        channels: vec![channel(0.5, 0.25), channel(0.25, 0.5), channel(0.0, 1.0)],
    };
    artifact_of_image([1, 3, 2, 2], image)
}

/// The same with another image, of 12 values.
pub(crate) fn artifact_of_image(dims: [u32; 4], image: Image) -> Vec<u8> {
    let tensor = |place, rows| Tensor { place, rows, cols: 4, stride: 4, tokens: false };
    let whole = |tensor, rows| Operand { tensor, row: 0, col: 0, rows, cols: 4 };
    let port = |name: &str, dims: &[u32]| Port {
        name: name.to_string(),
        dtype: Dtype::F32,
        dims: dims.iter().copied().map(Dim::Fixed).collect(),
    };
    let info = |key: &str, value: &str| Info { key: key.to_string(), value: value.to_string() };
    let plan = Plan {
        model: "image".to_string(),
        meta: Meta {
            description: "tells colours".to_string(),
            info: vec![info("author", "nobody"), info("license", "MIT")],
            labels: Some(Labels {
                output: 0,
                names: ["red", "green", "blue", "grün"].map(String::from).to_vec(),
            }),
            image: Some(image),
        },
        tensors: vec![tensor(Place::Input(0), 3), tensor(Place::Output(0), 1)],
        inputs: vec![port("image", &dims)],
        outputs: vec![port("logits", &[1, 4])],
        steps: vec![Step {
            name: "mean".to_string(),
            op: StepOp::MeanRows { x: whole(0, 3), out: whole(1, 1) },
        }],
        ..Plan::default()
    };
    let arch = Arch::HOST.expect("libfar is built for a known architecture");
    let (features, target) = (Features::NONE, "test");
    far_format::write(&ArtifactParts { arch, features, target, plan: &plan, weights: &[] })
        .expect("the fixture keeps the rules of the format")
}

/// Options of a session that ask for nothing.
pub(crate) fn session_options() -> far_session_options {
    far_session_options {
        struct_size: size_of::<far_session_options>(),
        threads: 0,
        isa: FAR_ISA_BEST,
        flags: 0,
        cpu_count: 0,
        cpus: null(),
        pool: null(),
        logger: null(),
    }
}

/// Rows of the table of [`text_artifact`].
pub(crate) const VOCAB: usize = 10;
/// Most tokens of its calls.
pub(crate) const TOKENS: usize = 6;

/// Word `id`'s column `col`.
pub(crate) fn word(id: i64, col: usize) -> f32 {
    (id * 10) as f32 + col as f32
}

/// Inputs `words` i64 and `mask` i32, both [batch, tokens]; outputs `states` [batch, tokens, 4], a [`word`] a token, and
/// `mean` [batch, 4]; batches of up to three, up to [`TOKENS`] tokens; model `text`.
pub(crate) fn text_artifact() -> Vec<u8> {
    let (tokens, cols) = (TOKENS as u32, COLS as u32);
    let tensor = |place, rows, varies| Tensor { place, rows, cols, stride: cols, tokens: varies };
    let whole = |tensor, rows| Operand { tensor, row: 0, col: 0, rows, cols };
    let port = |name: &str, dtype, dims: &[Dim]| Port { name: name.to_string(), dtype, dims: dims.to_vec() };
    let step = |name: &str, op| Step { name: name.to_string(), op };
    let (states, mean) = (whole(0, tokens), whole(1, 1));
    let plan = Plan {
        model: "text".to_string(),
        tensors: vec![tensor(Place::Output(0), tokens, true), tensor(Place::Output(1), 1, false)],
        inputs: vec![
            port("words", Dtype::I64, &[Dim::Batch, Dim::Tokens]),
            port("mask", Dtype::I32, &[Dim::Batch, Dim::Tokens]),
        ],
        outputs: vec![
            port("states", Dtype::F32, &[Dim::Batch, Dim::Tokens, Dim::Fixed(cols)]),
            port("mean", Dtype::F32, &[Dim::Batch, Dim::Fixed(cols)]),
        ],
        steps: vec![
            step(
                "embed",
                StepOp::Embed(Embed {
                    input: 0,
                    table: 0,
                    vocab: VOCAB as u32,
                    precision: Precision::F32,
                    out: states,
                }),
            ),
            step("mean", StepOp::MeanRows { x: states, out: mean }),
        ],
        tokens,
        batch: Batch { most: 3, fixed: false },
        lengths: Some(1),
        ..Plan::default()
    };
    let table = (0..VOCAB as i64).flat_map(|id| (0..COLS).map(move |col| word(id, col)));
    let weights: Vec<u8> = table.flat_map(|w| w.to_le_bytes()).collect();
    let arch = Arch::HOST.expect("libfar is built for a known architecture");
    far_format::write(&ArtifactParts {
        arch,
        features: Features::NONE,
        target: "test",
        plan: &plan,
        weights: &weights,
    })
    .expect("the fixture keeps the rules of the format")
}

/// An input of integers of 64 bits by position, with its dimensions.
pub(crate) fn words(data: &[i64], dims: &[u64]) -> far_input {
    far_input {
        data: data.as_ptr().cast(),
        size: size_of_val(data),
        dtype: FAR_DTYPE_I64,
        rank: dims.len() as u32,
        dims: dims.as_ptr(),
        ..input(&[])
    }
}

/// An input of integers of 32 bits by position, with its dimensions.
pub(crate) fn mask(data: &[i32], dims: &[u64]) -> far_input {
    far_input {
        data: data.as_ptr().cast(),
        size: size_of_val(data),
        dtype: FAR_DTYPE_I32,
        rank: dims.len() as u32,
        dims: dims.as_ptr(),
        ..input(&[])
    }
}

/// An input by position.
pub(crate) fn input(data: &[f32]) -> far_input {
    far_input {
        struct_size: size_of::<far_input>(),
        name: null(),
        data: data.as_ptr().cast(),
        size: size_of_val(data),
        dtype: FAR_DTYPE_F32,
        rank: 0,
        dims: null(),
    }
}

/// An output by position.
pub(crate) fn output(data: &mut [f32]) -> far_output {
    far_output {
        struct_size: size_of::<far_output>(),
        name: null(),
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        dtype: FAR_DTYPE_F32,
        rank: 0,
        dims: null(),
    }
}

/// A string of the library.
pub(crate) fn text(pointer: *const c_char) -> String {
    assert!(!pointer.is_null());
    // SAFETY: strings of the library end with NUL and live long enough for a copy.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_string()
}

pub(crate) fn last_error() -> String {
    text(far_last_error())
}
