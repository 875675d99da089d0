//! A small plan that has every step, and tools to damage its file.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use far_format::cpu::{Arch, Features};
use far_format::layout::{Activation, Precision};
use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Info, Labels, Meta, Normalization, Resize};
use far_format::plan::{
    Attention, Batch, Dim, Dtype, Embed, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Operand, Patches, Place,
    Plan, Port, Step, StepOp, Tensor,
};
use far_format::{ArtifactParts, write};

pub const WEIGHTS_BYTES: usize = 1216;

/// Indices of the tensors of [`plan`].
pub const IMAGE: u32 = 0;
pub const X: u32 = 1;
pub const Y: u32 = 2;
pub const GATES: u32 = 3;
pub const H: u32 = 4;
pub const OUT: u32 = 5;
pub const POSITION: u32 = 6;

pub fn operand(tensor: u32, row: u32, col: u32, rows: u32, cols: u32) -> Operand {
    Operand { tensor, row, col, rows, cols }
}

/// Two tokens of width four.
pub fn plan() -> Plan {
    let tensor = |place, rows, cols| Tensor { place, rows, cols, stride: cols, tokens: false };
    let whole = |t| operand(t, 0, 0, 2, 4);
    let group = |k, n, weights| GemmGroup { a_col: 0, k, out_col: 0, n, weights };
    let ops = vec![
        StepOp::Patches(Patches {
            image: whole(IMAGE),
            channels: 1,
            patch_height: 2,
            patch_width: 2,
            out: whole(X),
        }),
        StepOp::Add { a: whole(X), b: whole(POSITION), out: whole(X) },
        StepOp::LayerNorm(LayerNorm { x: whole(X), out: whole(Y), eps: 1e-6, affine: Some(64) }),
        StepOp::Gemm(Gemm {
            a: whole(Y),
            out: operand(GATES, 0, 0, 2, 32),
            residual: None,
            act: Activation::None,
            precision: Precision::F32,
            groups: vec![group(4, 32, 128)],
        }),
        StepOp::Lstm(Lstm {
            gates: operand(GATES, 0, 0, 2, 32),
            out: operand(H, 0, 0, 2, 1),
            precision: Precision::F32,
            units: vec![LstmUnit { gate_col: 0, hidden: 1, out_col: 0, reverse: true, weights: 768 }],
        }),
        StepOp::Copy { x: operand(Y, 0, 0, 2, 3), out: operand(H, 0, 1, 2, 3) },
        StepOp::Attention(Attention {
            q: whole(H),
            k: whole(H),
            v: whole(H),
            out: whole(Y),
            heads: 2,
            scale: 0.5,
            work: 448,
        }),
        StepOp::Map { act: Activation::GeluTanh, x: whole(Y), out: whole(Y) },
        StepOp::Gemm(Gemm {
            a: whole(H),
            out: whole(Y),
            residual: Some(whole(Y)),
            act: Activation::Relu,
            precision: Precision::F32,
            groups: vec![group(4, 4, 896)],
        }),
        StepOp::MeanRows { x: whole(Y), out: operand(OUT, 0, 0, 1, 4) },
    ];
    Plan {
        model: "tiny".into(),
        tensors: vec![
            tensor(Place::Input(0), 2, 4),
            tensor(Place::Arena(0), 2, 4),
            tensor(Place::Arena(64), 2, 4),
            tensor(Place::Arena(128), 2, 32),
            tensor(Place::Arena(384), 2, 4),
            tensor(Place::Output(0), 1, 4),
            tensor(Place::Weights(0), 2, 4),
        ],
        inputs: vec![port("image", &[1, 1, 2, 4])],
        outputs: vec![port("logits", &[1, 4])],
        steps: ops.into_iter().enumerate().map(|(i, op)| Step { name: format!("blocks.{i}"), op }).collect(),
        arena_bytes: 1216,
        ..Plan::default()
    }
}

/// [`plan`] with all that can be said of it.
pub fn described() -> Plan {
    let info = |key: &str, value: &str| Info { key: key.into(), value: value.into() };
    let meta = Meta {
        description: "Für Tests".into(),
        info: vec![info("author", ""), info("licence", "MIT")],
        labels: Some(Labels { output: 0, names: ["cat", "dog", "crane", "crane"].map(String::from).into() }),
        image: Some(Image {
            input: 0,
            layout: ImageLayout::Nchw,
            color: ImageColor::Gray,
            resize: Resize::Crop { shorter: 5 },
            filter: Filter::Bicubic,
            scale: 0.5,
            channels: vec![Normalization { mean: 0.25, std: 2.0 }],
        }),
    };
    Plan { meta, ..plan() }
}

/// A port of f32 and fixed dimensions.
pub fn port(name: &str, dims: &[u32]) -> Port {
    Port { name: name.into(), dtype: Dtype::F32, dims: dims.iter().copied().map(Dim::Fixed).collect() }
}

/// Indices of the tensors of [`text`].
pub const E: u32 = 0;
pub const TABLE: u32 = 1;
pub const STATES: u32 = 2;
pub const POOLED: u32 = 3;
pub const CLS: u32 = 4;

/// Up to six tokens of width four, in batches of up to three, with an attention mask: embeddings and positions, copied
/// to an output; the mean, normalised in place; the first token.
pub fn text() -> Plan {
    let tensor = |place, rows, tokens| Tensor { place, rows, cols: 4, stride: 4, tokens };
    let all = |t| operand(t, 0, 0, 6, 4);
    let row = |t| operand(t, 0, 0, 1, 4);
    let ops = vec![
        StepOp::Embed(Embed { input: 0, table: 128, vocab: 10, precision: Precision::F32, out: all(E) }),
        StepOp::Add { a: all(E), b: all(TABLE), out: all(E) },
        StepOp::Copy { x: all(E), out: all(STATES) },
        StepOp::MeanRows { x: all(E), out: row(POOLED) },
        StepOp::Normalize { x: row(POOLED), out: row(POOLED), eps: 1e-12 },
        StepOp::Copy { x: row(E), out: row(CLS) },
    ];
    let numbers = |name: &str, dtype| Port { name: name.into(), dtype, dims: vec![Dim::Batch, Dim::Tokens] };
    let floats = |name: &str, dims: &[Dim]| Port { name: name.into(), dtype: Dtype::F32, dims: dims.into() };
    Plan {
        model: "text".into(),
        tensors: vec![
            tensor(Place::Arena(0), 6, true),
            tensor(Place::Weights(0), 6, true),
            tensor(Place::Output(0), 6, true),
            tensor(Place::Output(1), 1, false),
            tensor(Place::Output(2), 1, false),
        ],
        inputs: vec![numbers("ids", Dtype::I64), numbers("mask", Dtype::I32)],
        outputs: vec![
            floats("states", &[Dim::Batch, Dim::Tokens, Dim::Fixed(4)]),
            floats("pooled", &[Dim::Batch, Dim::Fixed(4)]),
            floats("cls", &[Dim::Batch, Dim::Fixed(1), Dim::Fixed(4)]),
        ],
        steps: ops.into_iter().enumerate().map(|(i, op)| Step { name: format!("step.{i}"), op }).collect(),
        arena_bytes: 192,
        tokens: 6,
        batch: Batch { most: 3, fixed: false },
        lengths: Some(1),
        ..Plan::default()
    }
}

pub fn weights() -> Vec<u8> {
    (0..WEIGHTS_BYTES / 4).flat_map(|i| ((i as f32).sin() / 4.0).to_le_bytes()).collect()
}

pub fn parts<'a>(plan: &'a Plan, weights: &'a [u8]) -> ArtifactParts<'a> {
    ArtifactParts { arch: Arch::Aarch64, features: Features::NEON, target: "raspberry-pi-5", plan, weights }
}

pub fn file() -> Vec<u8> {
    write(&parts(&plan(), &weights())).expect("the plan keeps the rules")
}

/// Where the section table has (offset, length) of section `i`.
pub fn section(file: &[u8], i: usize) -> (usize, usize) {
    let entry = 32 + 24 * i;
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    (number(entry + 8), number(entry + 16))
}

/// Makes the checksums right again, as far as the table can be followed.
pub fn repair(file: &mut [u8]) {
    for i in 0..3 {
        let (offset, len) = section(file, i);
        if let Some(content) = offset.checked_add(len).and_then(|end| file.get(offset..end)) {
            let sum = crc32fast::hash(content);
            file[32 + 24 * i + 4..][..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let sum = crc32fast::hash(&file[..104]);
    file[104..108].copy_from_slice(&sum.to_le_bytes());
}
