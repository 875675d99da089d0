//! How much an artifact may differ, by the precision of its weights. May import: `verify`'s types; far-format.

use far_format::layout::Precision;
use far_format::plan::Plan;
use serde::Serialize;

use super::Difference;

/// What is allowed of an output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// Most difference, as a part of the range of the output.
    pub tolerance: f64,
    /// Least cosine between the two; 0 where it isn't judged.
    pub cosine: f64,
}

impl Tolerance {
    /// Of an artifact with weights of that precision, where nothing else was asked for.
    pub fn of(precision: Precision) -> Self {
        let (tolerance, cosine) = match precision {
            Precision::F32 => (1e-4, 0.0),
            Precision::F16 => (1e-2, 0.9999),
            Precision::F16Arith => (3e-2, 0.999),
            Precision::Bf16 => (5e-2, 0.999),
            Precision::Int8 => (1e-1, 0.99),
        };
        Self { tolerance, cosine }
    }

    /// What was asked for, or else what goes with a precision.
    pub(super) fn asked(tolerance: Option<f64>, precision: Precision) -> Self {
        tolerance.map_or(Self::of(precision), |tolerance| Self { tolerance, cosine: 0.0 })
    }

    /// Whether a difference is allowed.
    pub fn allows(&self, difference: &Difference) -> bool {
        difference.relative <= self.tolerance && difference.cosine >= self.cosine
    }
}

/// The least exact precision of the steps of plans.
pub(super) fn least(plans: &[&Plan]) -> Precision {
    let rank = |precision: &Precision| Tolerance::of(*precision).tolerance;
    let all = plans.iter().flat_map(|plan| &plan.steps).filter_map(|step| step.op.precision());
    all.max_by(|a, b| rank(a).total_cmp(&rank(b))).unwrap_or_default()
}
