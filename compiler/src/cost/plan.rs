//! What the steps of a plan take. May import: the rest of `cost`, `target`; far-format.

use far_format::cpu::Arch;
use far_format::layout::{gemm_weight_len, lstm_weight_len, padded_hidden};
use far_format::plan::{Operand, Plan, Step, StepOp};
use serde::Serialize;

use super::{CostModel, Picoseconds};
use crate::target::Target;

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
pub fn steps(plan: &Plan, weights: u64, target: &Target) -> Vec<StepCost> {
    let model = CostModel::of(target).with_weights(weights);
    let of = |s: &Step| model.clone().with_precision(s.op.precision().unwrap_or_default());
    plan.steps.iter().map(|s| step(s, target.arch, &of(s))).collect()
}

fn step(step: &Step, arch: Arch, model: &CostModel) -> StepCost {
    let (multiply_adds, weights, time) = match &step.op {
        StepOp::Gemm(gemm) => {
            let rows = gemm.a.rows as usize;
            let groups = || gemm.groups.iter().map(|g| (g.k as usize, g.n as usize));
            let blocks = groups().map(|(k, n)| model.block(rows, k, n)).sum::<Picoseconds>();
            let epilogue = model.epilogue(elements(gemm.out), gemm.act, gemm.residual.is_some());
            let multiply_adds = groups().map(|(k, n)| rows as u64 * k as u64 * n as u64).sum();
            let weights = groups().map(|(k, n)| gemm_weight_len(gemm.precision, arch, k, n)).sum();
            (multiply_adds, weights, blocks + epilogue)
        }
        StepOp::Lstm(lstm) => {
            let rows = lstm.gates.rows as usize;
            let hidden = || lstm.units.iter().map(|unit| unit.hidden as usize);
            let weights = hidden().map(|h| lstm_weight_len(lstm.precision, arch, h)).sum();
            let each: usize = hidden().map(|h| h * 4 * padded_hidden(h)).sum();
            (rows as u64 * each as u64, weights, hidden().map(|h| model.recurrence(rows, h)).sum())
        }
        StepOp::Attention(a) => {
            let (rows, cols) = (a.q.rows as usize, a.q.cols as usize);
            let multiply_adds = 2 * rows as u64 * rows as u64 * cols as u64;
            (multiply_adds, 0, model.attention(rows, cols, a.heads as usize))
        }
        StepOp::Normalize { out, .. } => (0, 0, model.layer_norm(elements(*out))),
        StepOp::Embed(embed) => (0, 0, model.moved(elements(embed.out))),
        StepOp::LayerNorm(norm) => (0, 0, model.layer_norm(elements(norm.out))),
        StepOp::Map { act, out, .. } => (0, 0, model.map(elements(*out), *act)),
        StepOp::Patches(patches) => (0, 0, model.patches(elements(patches.out))),
        StepOp::Add { out, .. } | StepOp::Copy { out, .. } => (0, 0, model.moved(elements(*out))),
        StepOp::MeanRows { x, .. } => (0, 0, model.moved(elements(*x))),
    };
    StepCost {
        multiply_adds,
        weight_bytes: weights as u64 * 4,
        predicted_ms: (time + model.call()) as f64 / 1e9,
    }
}

fn elements(operand: Operand) -> usize {
    operand.rows as usize * operand.cols as usize
}
