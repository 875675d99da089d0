//! What a plan costs on a target: multiply-adds, bytes of weights, and a prediction of the time on one core.
//! May import: `target`; far-format.
//!
//! A roofline: a step takes as long as its arithmetic at the share of the core's peak that its kind reaches, or as
//! long as its weights take from memory if they don't stay in a cache, whichever is longer. The shares are round
//! numbers measured once on a machine with 32 KiB L1 caches; a prediction ranks choices, it is no promise.

use far_format::layout::{Activation, lstm_weight_len};
use far_format::plan::{Operand, Plan, Step, StepOp};
use serde::Serialize;

use crate::target::Target;

/// Share of the peak of multiply-adds that a product reaches.
const GEMM_SHARE: f64 = 0.85;
/// The same for a recurrence whose weights stay in the first-level cache, and for one whose weights don't.
const LSTM_SHARE: f64 = 0.7;
const LSTM_SHARE_STREAMED: f64 = 0.45;
/// Work of one element, in multiply-adds at the full vector rate.
const NORM_WORK: f64 = 8.0;
const SOFTMAX_WORK: f64 = 24.0;
const CELL_WORK: f64 = 60.0;
const MOVE_WORK: f64 = 2.0;
/// What calling one kernel costs.
const CALL_MS: f64 = 0.0005;

/// What one step costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepCost {
    /// Multiply-adds of its products.
    pub multiply_adds: u64,
    /// Bytes of packed weights that it reads.
    pub weight_bytes: u64,
    /// Predicted milliseconds on one core.
    pub predicted_ms: f64,
}

/// The costs of all steps of a plan whose weights section has `weights` bytes.
pub(super) fn steps(plan: &Plan, weights: u64, target: &Target) -> Vec<StepCost> {
    let last_cache = target.cache.l3.as_ref().unwrap_or(&target.cache.l2);
    let streamed = weights > u64::from(last_cache.kib) * 1024;
    plan.steps.iter().map(|s| step(s, streamed, target)).collect()
}

fn step(step: &Step, streamed: bool, target: &Target) -> StepCost {
    let peak = target.peak_fma_per_second();
    // Multiply-adds, weight bytes, share of the peak, other work in multiply-adds.
    let (multiply_adds, weight_bytes, share, other) = match &step.op {
        StepOp::Gemm(gemm) => {
            let m = u64::from(gemm.a.rows);
            let per_row: u64 = gemm.groups.iter().map(|g| u64::from(g.k) * u64::from(g.n)).sum();
            let bytes: u64 = gemm.groups.iter().map(|g| panel_bytes(g.k, g.n)).sum();
            (m * per_row, bytes, GEMM_SHARE, elements(gemm.out) * act_work(gemm.act))
        }
        StepOp::Lstm(lstm) => {
            let t = u64::from(lstm.gates.rows);
            let bytes = |hidden: u32| lstm_weight_len(hidden as usize) as u64 * 4;
            let all: u64 = lstm.units.iter().map(|u| bytes(u.hidden)).sum();
            let largest = lstm.units.iter().map(|u| bytes(u.hidden)).max().unwrap_or(0);
            let stays = largest <= u64::from(target.cache.l1d_kib.value) * 1024;
            let share = if stays { LSTM_SHARE } else { LSTM_SHARE_STREAMED };
            (t * all / 4, all, share, elements(lstm.out) * CELL_WORK)
        }
        StepOp::Attention(a) => {
            let t = u64::from(a.q.rows);
            let scores = t * t * u64::from(a.heads);
            (2 * t * t * u64::from(a.q.cols), 0, GEMM_SHARE, scores as f64 * SOFTMAX_WORK)
        }
        StepOp::LayerNorm(norm) => (0, 0, 1.0, elements(norm.out) * NORM_WORK),
        StepOp::Normalize { out, .. } => (0, 0, 1.0, elements(*out) * NORM_WORK),
        StepOp::Embed(embed) => (0, 0, 1.0, elements(embed.out) * MOVE_WORK),
        StepOp::Map { act, out, .. } => (0, 0, 1.0, elements(*out) * (MOVE_WORK + act_work(*act))),
        StepOp::Patches(patches) => (0, 0, 1.0, elements(patches.out) * MOVE_WORK),
        StepOp::Add { out, .. } | StepOp::Copy { out, .. } => (0, 0, 1.0, elements(*out) * MOVE_WORK),
        StepOp::MeanRows { x, .. } => (0, 0, 1.0, elements(*x) * MOVE_WORK),
    };
    let compute_s = (multiply_adds as f64 / share + other) / peak;
    let memory_s = if streamed { weight_bytes as f64 / (target.memory.gb_per_s.value * 1e9) } else { 0.0 };
    StepCost { multiply_adds, weight_bytes, predicted_ms: compute_s.max(memory_s) * 1e3 + CALL_MS }
}

fn panel_bytes(k: u32, n: u32) -> u64 {
    far_format::layout::gemm_weight_len(k as usize, n as usize) as u64 * 4
}

fn elements(operand: Operand) -> f64 {
    f64::from(operand.rows) * f64::from(operand.cols)
}

fn act_work(act: Activation) -> f64 {
    match act {
        Activation::None => 0.0,
        Activation::Relu => 1.0,
        Activation::Tanh => 12.0,
        Activation::Gelu | Activation::GeluTanh => 18.0,
    }
}
