//! Small models by hand, and sessions of every kind to run them.
#![allow(dead_code, unreachable_pub, unused_imports)] // each test file uses its part

mod text;

use far_engine::{Counted, Isa, Model, Session, SessionOptions};
use far_format::cpu::{Arch, Features};
use far_format::layout::{Activation, Precision, attention_work_bytes, lstm_weight_len, panels_len};
use far_format::plan::{
    Attention, Dim, Dtype, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Operand, Patches, Place, Plan, Port,
    Step, StepOp, Tensor,
};
use far_format::{ArtifactParts, write};
use far_kernels::Kernels;
use far_kernels::pack::HOST;

pub use text::{COLS, Call, Text, VOCAB};

/// A plan under construction.
#[derive(Default)]
pub struct Builder {
    pub plan: Plan,
    weights: Vec<f32>,
}

impl Builder {
    pub fn new() -> Builder {
        Builder::default()
    }

    pub fn tensor(&mut self, place: Place, rows: usize, cols: usize, stride: usize) -> Operand {
        let tensor = self.plan.tensors.len() as u32;
        let (rows, cols) = (rows as u32, cols as u32);
        self.plan.tensors.push(Tensor { place, rows, cols, stride: stride as u32, tokens: false });
        Operand { tensor, row: 0, col: 0, rows, cols }
    }

    pub fn input(&mut self, rows: usize, cols: usize) -> Operand {
        let n = self.plan.inputs.len();
        self.plan.inputs.push(port(format!("in{n}"), rows, cols));
        self.tensor(Place::Input(n as u32), rows, cols, cols)
    }

    pub fn output(&mut self, rows: usize, cols: usize) -> Operand {
        let n = self.plan.outputs.len();
        self.plan.outputs.push(port(format!("out{n}"), rows, cols));
        self.tensor(Place::Output(n as u32), rows, cols, cols)
    }

    /// In the arena, with a stride three longer than the columns.
    pub fn arena(&mut self, rows: usize, cols: usize) -> Operand {
        let place = Place::Arena(self.work(4 * rows * (cols + 3)));
        self.tensor(place, rows, cols, cols + 3)
    }

    /// Bytes of the arena.
    pub fn work(&mut self, bytes: usize) -> u64 {
        let offset = self.plan.arena_bytes;
        self.plan.arena_bytes = (offset + bytes as u64).next_multiple_of(64);
        offset
    }

    /// The offset of a copy in the weights section.
    pub fn weights(&mut self, values: &[f32]) -> u64 {
        let offset = self.weights.len() * 4;
        self.weights.extend_from_slice(values);
        self.weights.resize(self.weights.len().next_multiple_of(16), 0.0);
        offset as u64
    }

    /// A constant tensor.
    pub fn constant(&mut self, rows: usize, cols: usize, values: &[f32]) -> Operand {
        let offset = self.weights(values);
        self.tensor(Place::Weights(offset), rows, cols, cols)
    }

    pub fn step(&mut self, op: StepOp) {
        let name = format!("step.{}", self.plan.steps.len());
        self.plan.steps.push(Step { name, op });
    }

    pub fn artifact(&self) -> Vec<u8> {
        self.artifact_for(host(), Features::NONE)
    }

    pub fn artifact_for(&self, arch: Arch, features: Features) -> Vec<u8> {
        let weights: Vec<u8> = self.weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        write(&ArtifactParts { arch, features, target: "test", plan: &self.plan, weights: &weights }).unwrap()
    }

    pub fn model(&self) -> Counted<Model> {
        Model::from_bytes(&self.artifact()).unwrap()
    }
}

fn port(name: String, rows: usize, cols: usize) -> Port {
    Port { name, dtype: Dtype::F32, dims: vec![Dim::Fixed(rows as u32), Dim::Fixed(cols as u32)] }
}

/// Every step once, with room around operands so that changed numbers can still be legal.
pub fn everything() -> Builder {
    let mut b = Builder::new();
    let (image, out) = (b.input(8, 8), b.output(1, 8));
    let (x, y, z) = (b.arena(8, 8), b.arena(8, 8), b.arena(8, 8));
    let (gates, position) = (b.arena(8, 64), b.constant(8, 8, &noise(1, 64)));
    let work = b.work(attention_work_bytes(8, 2, 4));
    let weights = b.weights(&noise(2, panels_len(8, 64)));
    let recurrent = b.weights(&noise(3, lstm_weight_len(Precision::F32, HOST, 8)));
    let group = |n, out_col| GemmGroup { a_col: 0, k: 8, out_col, n, weights };
    b.step(StepOp::Patches(Patches { image, channels: 2, patch_height: 2, patch_width: 2, out: x }));
    b.step(StepOp::Add { a: x, b: position, out: x });
    b.step(StepOp::LayerNorm(LayerNorm { x, out: y, eps: 1e-5, affine: Some(0) }));
    let (act, groups) = (Activation::None, vec![group(32, 0), group(32, 32)]);
    b.step(StepOp::Gemm(Gemm { a: y, out: gates, residual: None, act, precision: Precision::F32, groups }));
    let unit = LstmUnit { gate_col: 0, hidden: 8, out_col: 0, reverse: true, weights: recurrent };
    b.step(StepOp::Lstm(Lstm { gates, out: z, precision: Precision::F32, units: vec![unit] }));
    b.step(StepOp::Attention(Attention { q: z, k: y, v: z, out: x, heads: 2, scale: 0.5, work }));
    b.step(StepOp::Map { act: Activation::Gelu, x, out: x });
    let (act, groups) = (Activation::Tanh, vec![group(8, 0)]);
    b.step(StepOp::Gemm(Gemm { a: z, out: x, residual: Some(x), act, precision: Precision::F32, groups }));
    b.step(StepOp::Copy { x, out: z });
    b.step(StepOp::MeanRows { x: z, out });
    b
}

pub fn host() -> Arch {
    Arch::HOST.expect("tests run on a supported architecture")
}

/// Part of an operand.
pub fn part(o: Operand, row: usize, col: usize, rows: usize, cols: usize) -> Operand {
    Operand {
        tensor: o.tensor,
        row: o.row + row as u32,
        col: o.col + col as u32,
        rows: rows as u32,
        cols: cols as u32,
    }
}

/// Numbers in (-1, 1) that look random, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Runs once with new buffers.
pub fn run(session: &mut Session, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let lens: Vec<usize> = session.model().outputs().iter().map(|port| port.elements(1, 0)).collect();
    let mut outputs: Vec<Vec<f32>> = lens.iter().map(|len| vec![f32::NAN; *len]).collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    session.run(inputs, &mut slices).unwrap();
    outputs
}

/// Runs with every ISA that this CPU has and several numbers of threads, twice each, and asserts that all agree bit for
/// bit. The outputs, one after another.
pub fn run_every_way(model: &Counted<Model>, inputs: &[&[f32]]) -> Vec<f32> {
    let mut first: Option<Vec<Vec<f32>>> = None;
    for isa in Kernels::available().map(|kernels| kernels.isa()) {
        for threads in [1, 2, 3, 8] {
            let options = SessionOptions { threads, isa: Some(isa), ..SessionOptions::default() };
            let mut session = Session::new(Counted::clone(model), &options).unwrap();
            assert_eq!(session.isa(), isa);
            for _ in 0..2 {
                let outputs = run(&mut session, inputs);
                let first = first.get_or_insert_with(|| outputs.clone());
                assert_same_bits(first, &outputs, isa, threads);
            }
        }
    }
    first.unwrap().concat()
}

fn assert_same_bits(expected: &[Vec<f32>], found: &[Vec<f32>], isa: Isa, threads: usize) {
    for (n, (expected, found)) in expected.iter().zip(found).enumerate() {
        for (i, (e, f)) in expected.iter().zip(found).enumerate() {
            assert_eq!(
                e.to_bits(),
                f.to_bits(),
                "output {n}, element {i}: {e} or {f} ({isa}, {threads} threads)"
            );
        }
    }
}

/// Largest difference, relative to the largest expected value.
pub fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let range = expected.iter().fold(1e-30, |max: f64, e| max.max(e.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*f) - e).abs() / range;
        assert!(difference <= tolerance, "element {i}: {f} instead of {e}, {difference} of the range");
    }
}
