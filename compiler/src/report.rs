//! What a compilation found, chose and saved: `report.json`, and the same as a page ([`page`]). The same input gives the
//! same report. May import: `cost`, `ir`, `masks`, `passes`, `schedule`, `target`; far-format (plans), far-tool (names of
//! steps).

mod page;
pub mod units;

use far_format::layout::Precision;
use far_format::plan::{Operand, StepOp};
use far_tool::info::Stored;
pub use page::page;
use serde::Serialize;

use crate::calibrate::Calibration;
use crate::cost::{CostModel, StepCost, Work};
use crate::ir::{Direction, Graph, MultiHeadLstm, Op};
use crate::masks::MaskReport;
use crate::passes;
use crate::schedule::Scheduled;
use crate::target::Target;

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// What it was compiled for.
    pub target: TargetSummary,
    /// How large a call may be. All figures are those of one element of the most tokens.
    pub calls: Calls,
    /// The recurrences as they were imported.
    pub imported: Recurrences,
    /// What the masks did, if there were any.
    pub masks: Option<MaskReport>,
    /// What each pass did.
    pub passes: passes::Report,
    /// What packing the gates' weights saves.
    pub gate_scaling: GateScaling,
    /// The recurrences as they are in the artifact.
    pub compiled: Recurrences,
    /// Hidden units left of each head and direction.
    pub kept: Vec<KeptUnits>,
    /// Which layers are kept in a higher precision than asked for, if data were given to find out.
    pub calibration: Option<Calibration>,
    /// Every step with its predicted cost.
    pub steps: Vec<StepSummary>,
    /// Sums.
    pub totals: Totals,
}

/// The target, in short.
#[derive(Clone, Debug, Serialize)]
pub struct TargetSummary {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub arch: &'static str,
    /// CPU features that the artifact can't run without.
    pub requires: Vec<&'static str>,
}

/// How large the calls of a model may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Most tokens; 0 where their number is fixed.
    pub tokens: usize,
    /// Most elements of the batch.
    pub batch: usize,
    /// Whether a call has always as many elements.
    pub batch_fixed: bool,
    /// Whether an attention mask tells how many tokens each element has.
    pub masked: bool,
}

/// How much of a model is recurrent, and how much attends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recurrences {
    /// Groups of LSTMs that run side by side: one for each FAR block.
    pub layers: usize,
    /// Independent recurrences: heads times directions.
    pub recurrences: usize,
    /// Hidden units of all of them.
    pub hidden_units: usize,
    /// Blocks with ordinary attention.
    pub attentions: usize,
}

/// The factors of the logistic functions that are multiplied into weights and biases ahead of time, because
/// `σ(x) = ½ + ½·tanh(x/2)`. The kernels demand it, on every target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct GateScaling {
    /// Multiplications that one run is spared.
    pub multiplications: u64,
    /// Predicted milliseconds that they would take on one core.
    pub predicted_ms: f64,
}

/// Hidden units left of one head in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptUnits {
    /// The module.
    pub node: String,
    /// Which head of it.
    pub head: usize,
    /// Which direction of it.
    pub direction: &'static str,
    /// How many units.
    pub hidden: usize,
}

/// One step of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct StepSummary {
    /// The module that it came from.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// How its weights are stored and multiplied; nothing for steps that have none.
    pub precision: Option<&'static str>,
    /// Rows and columns of what it writes.
    pub out: [u32; 2],
    /// What it costs.
    #[serde(flatten)]
    pub cost: StepCost,
}

/// Sums over the whole artifact.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Multiply-adds as imported.
    pub imported_multiply_adds: u64,
    /// Multiply-adds of the plan, padding included.
    pub multiply_adds: u64,
    /// Bytes of the artifact.
    pub artifact_bytes: u64,
    /// Bytes of its packed weights.
    pub weight_bytes: u64,
    /// Of these the weights of products, recurrences and tables, by precision; constants and norms are f32 beside them.
    pub precisions: Vec<PrecisionBytes>,
    /// Bytes of memory that a session needs for values.
    pub arena_bytes: u64,
    /// Predicted milliseconds of one run on one core.
    pub predicted_ms: f64,
}

/// Packed weights of one precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PrecisionBytes {
    /// Its name.
    pub precision: &'static str,
    /// Steps whose weights are of it.
    pub steps: usize,
    /// Bytes of these weights, each counted once.
    pub bytes: u64,
}

impl PrecisionBytes {
    fn of(stored: &Stored) -> Self {
        Self { precision: stored.precision.name(), steps: stored.steps, bytes: stored.bytes }
    }
}

impl Report {
    /// Begins with what was imported.
    pub(crate) fn new(graph: &Graph, target: &Target) -> Self {
        Self {
            model: graph.name.clone(),
            target: TargetSummary {
                name: target.name.clone(),
                arch: target.arch.name(),
                requires: target.requires().names().collect(),
            },
            calls: Calls {
                tokens: graph.tokens,
                batch: graph.batch.most,
                batch_fixed: graph.batch.fixed,
                masked: graph.lengths.is_some(),
            },
            imported: Recurrences::of(graph),
            masks: None,
            passes: passes::Report::default(),
            gate_scaling: GateScaling::default(),
            compiled: Recurrences::default(),
            kept: Vec::new(),
            calibration: None,
            steps: Vec::new(),
            totals: Totals {
                imported_multiply_adds: Work::of(graph, &CostModel::of(target)).multiply_adds,
                ..Totals::default()
            },
        }
    }

    /// Ends with what is in the artifact.
    pub(crate) fn finish(
        &mut self,
        graph: &Graph,
        target: &Target,
        scheduled: &Scheduled,
        artifact_bytes: usize,
    ) {
        self.compiled = Recurrences::of(graph);
        self.kept = lstms(graph).flat_map(|(node, lstm)| kept(node, lstm)).collect();
        self.gate_scaling = GateScaling::of(graph, &CostModel::of(target));
        self.steps = scheduled.plan.steps.iter().zip(&scheduled.costs).map(summary).collect();
        let totals = &mut self.totals;
        totals.multiply_adds = scheduled.costs.iter().map(|c| c.multiply_adds).sum();
        totals.predicted_ms = scheduled.costs.iter().map(|c| c.predicted_ms).sum();
        totals.artifact_bytes = artifact_bytes as u64;
        totals.weight_bytes = scheduled.weights.len() as u64;
        let stored = far_tool::info::stored(&scheduled.plan, target.arch);
        totals.precisions = stored.iter().map(PrecisionBytes::of).collect();
        self.target.requires = scheduled.features(target).names().collect();
        totals.arena_bytes = scheduled.plan.arena_bytes;
    }

    /// The text of `report.json`.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists only: nothing that JSON can't say.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl GateScaling {
    fn of(graph: &Graph, costs: &CostModel) -> Self {
        let each = graph.nodes.iter().map(|node| match &node.op {
            Op::MultiHeadLstm(_) => 3 * graph.dims(node.output).iter().product::<usize>(),
            _ => 0,
        });
        let multiplications: usize = each.sum();
        Self {
            multiplications: multiplications as u64,
            predicted_ms: costs.operations(multiplications) as f64 / 1e9,
        }
    }
}

impl Recurrences {
    /// Counts them.
    pub fn of(graph: &Graph) -> Self {
        let units = || lstms(graph).flat_map(|(_, lstm)| &lstm.units);
        Self {
            layers: lstms(graph).count(),
            recurrences: units().count(),
            hidden_units: units().map(|u| u.hidden).sum(),
            attentions: graph.nodes.iter().filter(|n| matches!(n.op, Op::Attention { .. })).count(),
        }
    }
}

fn lstms(graph: &Graph) -> impl Iterator<Item = (&str, &MultiHeadLstm)> {
    graph.nodes.iter().filter_map(|node| match &node.op {
        Op::MultiHeadLstm(lstm) => Some((node.name.as_str(), lstm)),
        _ => None,
    })
}

fn kept<'a>(node: &'a str, lstm: &'a MultiHeadLstm) -> impl Iterator<Item = KeptUnits> + 'a {
    lstm.units.iter().map(move |unit| KeptUnits {
        node: node.into(),
        head: unit.head,
        direction: match unit.direction {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
        },
        hidden: unit.hidden,
    })
}

fn summary((step, cost): (&far_format::plan::Step, &StepCost)) -> StepSummary {
    let out = output(&step.op);
    StepSummary {
        name: step.name.clone(),
        op: far_tool::info::op_name(&step.op),
        precision: step.op.precision().map(Precision::name),
        out: [out.rows, out.cols],
        cost: *cost,
    }
}

/// What a step writes.
pub fn output(op: &StepOp) -> Operand {
    match op {
        StepOp::Gemm(gemm) => gemm.out,
        StepOp::Lstm(lstm) => lstm.out,
        StepOp::LayerNorm(norm) => norm.out,
        StepOp::Attention(attention) => attention.out,
        StepOp::Patches(patches) => patches.out,
        StepOp::Map { out, .. }
        | StepOp::Add { out, .. }
        | StepOp::Copy { out, .. }
        | StepOp::MeanRows { out, .. }
        | StepOp::Normalize { out, .. } => *out,
        StepOp::Embed(embed) => embed.out,
    }
}
