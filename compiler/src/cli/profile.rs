//! Where an artifact's time went, beside what the cost model predicted. May import: `farc::cost`, `farc::target`; far-engine,
//! far-tool.

use std::collections::BTreeMap;

use far_engine::Session;
use far_format::layout::Precision;
use far_format::plan::StepOp;
use far_tool::bench::Report;
use farc::cost::{self, StepCost};
use farc::target::Target;
use serde::Serialize;

use super::show;

/// The steps of one kind: `blocks.3.mlp.fc1` and its like in the other blocks.
#[derive(Debug, Serialize)]
struct Kind {
    /// The module's path, without numbers.
    name: String,
    op: &'static str,
    /// How its weights are stored and multiplied; empty where it has none.
    precision: &'static str,
    /// Steps of this kind.
    count: usize,
    /// Measured milliseconds of a run.
    ms: f64,
    /// Of the whole run.
    share: f64,
    /// Billions of multiplications and additions in a second; 0 for steps without products.
    gflop_per_s: f64,
    /// The time that its multiply-adds take at the target's peak, divided by the measured one.
    of_limit: f64,
    /// What the cost model says for one core.
    predicted_ms: f64,
}

/// Name and precision of an operation.
type Op = (&'static str, &'static str);

/// A profile with its predictions.
#[derive(Debug, Serialize)]
pub(super) struct Profile {
    /// The slowest kind first.
    kinds: Vec<Kind>,
    measured_ms: f64,
    predicted_ms: f64,
    /// By how much predictions are off, weighted by the measured time: 0.1 is a tenth.
    mean_error: f64,
}

impl Profile {
    /// Of a session that kept a profile. `None` where the target is not known here, or the call was not of the size that
    /// predictions are for: one element, the most tokens.
    pub(super) fn new(session: &Session, report: &Report) -> Option<Self> {
        let model = session.model();
        let plan = model.plan();
        let full = report.batch == 1 && report.tokens.is_none_or(|tokens| tokens == plan.tokens as usize);
        let target = Target::resolve(&report.target).ok().filter(|_| full)?;
        let costs = cost::steps(plan, model.weight_bytes() as u64, &target);
        let precision = |op: &StepOp| op.precision().map_or("", Precision::name);
        let steps = plan.steps.iter().zip(&costs).zip(&report.steps);
        let steps = steps
            .map(|((step, cost), time)| (time.name.as_str(), (time.op, precision(&step.op)), *cost, time.ms));
        Some(Self::of(steps, target.peak_fma_per_second() * report.threads as f64))
    }

    /// From name, operation and precision, cost and measured milliseconds of each step, and the multiply-adds of a second at the peak.
    fn of<'a>(steps: impl Iterator<Item = (&'a str, Op, StepCost, f64)>, peak: f64) -> Self {
        let mut kinds: BTreeMap<(String, Op), (usize, f64, StepCost)> = BTreeMap::new();
        for (name, op, cost, ms) in steps {
            let parts = name.split('.').filter(|part| part.parse::<u32>().is_err());
            let name = parts.collect::<Vec<_>>().join(".");
            let (count, sum, costs) = kinds.entry((name, op)).or_default();
            *count += 1;
            *sum += ms;
            costs.multiply_adds += cost.multiply_adds;
            costs.predicted_ms += cost.predicted_ms;
        }
        let measured_ms: f64 = kinds.values().map(|(_, ms, _)| ms).sum();
        let predicted_ms = kinds.values().map(|(_, _, cost)| cost.predicted_ms).sum();
        let off: f64 = kinds.values().map(|(_, ms, cost)| (cost.predicted_ms - ms).abs()).sum();
        let mut kinds: Vec<Kind> = kinds
            .into_iter()
            .map(|((name, (op, precision)), (count, ms, cost))| Kind {
                name,
                op,
                precision,
                count,
                ms,
                share: ms / measured_ms,
                gflop_per_s: 2.0 * cost.multiply_adds as f64 / ms / 1e6,
                of_limit: cost.multiply_adds as f64 / peak * 1e3 / ms,
                predicted_ms: cost.predicted_ms,
            })
            .collect();
        kinds.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        Self { kinds, measured_ms, predicted_ms, mean_error: off / measured_ms }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let header = ["step", "op", "weights", "count", "ms", "share", "GFLOP/s", "of limit", "predicted ms"];
        let rows = self.kinds.iter().map(|kind| {
            let product = |text: String| if kind.gflop_per_s > 0.0 { text } else { String::new() };
            vec![
                kind.name.clone(),
                kind.op.into(),
                kind.precision.into(),
                kind.count.to_string(),
                format!("{:.3}", kind.ms),
                format!("{:.1} %", 100.0 * kind.share),
                product(format!("{:.1}", kind.gflop_per_s)),
                product(format!("{:.0} %", 100.0 * kind.of_limit)),
                format!("{:.3}", kind.predicted_ms),
            ]
        });
        let table = show::table(&header, &[3, 4, 5, 6, 7, 8], rows);
        format!(
            "{table}\nmeasured {:.3} ms, predicted {:.3} ms for one core; step by step the prediction is off by {:.0} %\n",
            self.measured_ms,
            self.predicted_ms,
            100.0 * self.mean_error
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_kind_are_added_up() {
        let cost = |multiply_adds, predicted_ms| StepCost { multiply_adds, weight_bytes: 0, predicted_ms };
        let steps = [
            ("blocks.0.fc", ("gemm", "f32"), cost(1_000_000, 1.0), 2.0),
            ("blocks.1.fc", ("gemm", "f32"), cost(1_000_000, 2.0), 2.0),
            ("norm", ("layer_norm", ""), cost(0, 0.5), 1.0),
        ];
        let profile = Profile::of(steps.into_iter(), 1e9);
        let [fc, norm] = &profile.kinds[..] else { panic!("{:?}", profile.kinds) };
        assert_eq!((fc.name.as_str(), fc.count, fc.ms, fc.share), ("blocks.fc", 2, 4.0, 0.8));
        // Two million multiply-adds take two of four milliseconds at the peak.
        assert_eq!((fc.gflop_per_s, fc.of_limit, fc.predicted_ms), (1.0, 0.5, 3.0));
        assert_eq!((norm.gflop_per_s, norm.of_limit), (0.0, 0.0));
        assert_eq!((profile.measured_ms, profile.predicted_ms, profile.mean_error), (5.0, 3.5, 0.3));
        assert!(profile.text().contains("off by 30 %"), "{}", profile.text());
    }
}
