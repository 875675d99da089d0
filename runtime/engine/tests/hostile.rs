//! Artifacts that someone tampered with and made the checksums of right again: refused, or run without harm.

mod common;

use std::sync::Arc;

use common::{Builder, noise};
use far_engine::{Model, Session, SessionOptions};
use far_format::layout::{Activation, attention_work_bytes, gemm_weight_len, lstm_weight_len};
use far_format::plan::{Attention, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Patches, StepOp};
use proptest::prelude::*;

/// Every step once, with room around operands so that changed numbers can still be legal.
fn everything() -> Vec<u8> {
    let mut b = Builder::new();
    let (image, out) = (b.input(8, 8), b.output(1, 8));
    let (x, y, z) = (b.arena(8, 8), b.arena(8, 8), b.arena(8, 8));
    let (gates, position) = (b.arena(8, 64), b.constant(8, 8, &noise(1, 64)));
    let work = b.work(attention_work_bytes(8, 2, 4));
    let weights = b.weights(&noise(2, gemm_weight_len(8, 64)));
    let recurrent = b.weights(&noise(3, lstm_weight_len(8)));
    let group = |n, out_col| GemmGroup { a_col: 0, k: 8, out_col, n, weights };
    b.step(StepOp::Patches(Patches { image, channels: 2, patch_height: 2, patch_width: 2, out: x }));
    b.step(StepOp::Add { a: x, b: position, out: x });
    b.step(StepOp::LayerNorm(LayerNorm { x, out: y, eps: 1e-5, affine: Some(0) }));
    let (act, groups) = (Activation::None, vec![group(32, 0), group(32, 32)]);
    b.step(StepOp::Gemm(Gemm { a: y, out: gates, residual: None, act, groups }));
    let unit = LstmUnit { gate_col: 0, hidden: 8, out_col: 0, reverse: true, weights: recurrent };
    b.step(StepOp::Lstm(Lstm { gates, out: z, units: vec![unit] }));
    b.step(StepOp::Attention(Attention { q: z, k: y, v: z, out: x, heads: 2, scale: 0.5, work }));
    b.step(StepOp::Map { act: Activation::Gelu, x, out: x });
    let (act, groups) = (Activation::Tanh, vec![group(8, 0)]);
    b.step(StepOp::Gemm(Gemm { a: z, out: x, residual: Some(x), act, groups }));
    b.step(StepOp::Copy { x, out: z });
    b.step(StepOp::MeanRows { x: z, out });
    b.artifact()
}

fn number(file: &[u8], at: usize) -> usize {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize
}

/// Offset and length of the plan, as SPEC.md has them.
fn plan_section(file: &[u8]) -> (usize, usize) {
    (number(file, 64), number(file, 72))
}

fn repair(file: &mut [u8]) {
    let (offset, len) = plan_section(file);
    let sum = crc32fast::hash(&file[offset..offset + len]);
    file[60..64].copy_from_slice(&sum.to_le_bytes());
    let sum = crc32fast::hash(&file[..104]);
    file[104..108].copy_from_slice(&sum.to_le_bytes());
}

/// Runs it if it is accepted and small; whether it was.
fn run_if_accepted(file: &[u8], threads: usize) -> bool {
    let Ok(model) = Model::from_bytes(file) else { return false };
    let ports: usize = model.inputs().iter().chain(model.outputs()).map(|port| port.elements()).sum();
    if model.plan().arena_bytes > 1 << 20 || ports > 1 << 20 {
        return false;
    }
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = Session::new(Arc::clone(&model), &options).unwrap();
    let inputs: Vec<Vec<f32>> = model.inputs().iter().map(|port| noise(4, port.elements())).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    common::run(&mut session, &inputs);
    true
}

#[test]
fn flipped_bits() {
    let original = everything();
    assert!(run_if_accepted(&original, 1));
    let (plan, len) = plan_section(&original);
    let mut accepted = 0;
    for bit in plan * 8..(plan + len) * 8 {
        let mut file = original.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        repair(&mut file);
        accepted += usize::from(run_if_accepted(&file, 1));
    }
    assert!(accepted > 100, "{accepted} accepted: too few to show anything");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overwritten_bytes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..=66), 1..4),
        threads in 1usize..3,
    ) {
        let mut file = everything();
        let (plan, len) = plan_section(&file);
        for (at, byte) in changes {
            file[plan + at.index(len)] = byte;
        }
        repair(&mut file);
        run_if_accepted(&file, threads);
    }
}
