//! Layer by layer: the artifact is written once more with a copy of each step's result as one more output, and each is
//! compared with the value of the source model that carries the same module's name. It runs wherever the artifact runs.
//! May import: `verify`'s types, `reference`, `error`; far-format.

use std::collections::HashSet;

use far_format::ArtifactParts;
use far_format::layout::Activation;
use far_format::plan::{Batch, Dim, Dtype, Operand, Place, Plan, Port, Step, StepOp};
use serde::Serialize;

use super::compare::{Comparison, Difference, difference};
use super::{Runner, Sample, feeds};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Fused, Keep, Model, Values};

/// A step of the artifact beside the value that it should hold.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Path of the module.
    pub name: String,
    /// Name of the value in the source model.
    pub value: String,
    /// How it differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether it is beyond the tolerance.
    pub deviates: bool,
}

/// What a step's result is compared with.
enum Counterpart {
    /// A value of the source model, element by element.
    Value(String),
    /// Hidden states of these LSTM nodes: the compiler may have left units out, or put them in another order, so that
    /// each column is compared with the nearest one.
    HiddenUnits(Vec<String>),
}

impl Counterpart {
    fn names(&self) -> &[String] {
        match self {
            Self::Value(name) => std::slice::from_ref(name),
            Self::HiddenUnits(names) => names,
        }
    }
}

/// A step that can be compared.
struct Probe {
    step: usize,
    name: String,
    result: Operand,
    counterpart: Counterpart,
}

/// Compares every step whose value the source model names, in order, on one sample.
pub(super) fn compare(
    judge: &Model,
    artifact: &[u8],
    sample: &Sample,
    tolerance: f64,
    runner: &dyn Runner,
) -> Result<Vec<Layer>> {
    let refused = |e| Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}"));
    let plan = far_format::read(artifact).map_err(refused)?.plan;
    let probes: Vec<Probe> =
        plan.steps.iter().enumerate().filter_map(|(i, step)| probe(judge, i, step)).collect();
    let instrumented = instrument(artifact, &probes)?;
    let ran = runner.run(&instrumented, std::slice::from_ref(sample))?;
    let results =
        ran.outputs.first().and_then(|outputs| outputs.get(plan.outputs.len()..)).unwrap_or_default();
    if results.len() != probes.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            "the instrumented artifact gave other outputs than asked for",
        ));
    }
    let names: HashSet<String> = probes.iter().flat_map(|p| p.counterpart.names()).cloned().collect();
    let values = judge.run(&feeds(&plan.inputs, sample)?, Keep::Names(&names))?;
    let layers = probes.into_iter().zip(results).filter_map(|(probe, got)| {
        let expected = match &probe.counterpart {
            Counterpart::Value(name) => {
                let rows = got.len().checked_div(probe.result.cols as usize)?;
                matrix(&values, name, [rows, probe.result.cols as usize])?
            }
            Counterpart::HiddenUnits(names) => {
                nearest_columns(got, probe.result.cols as usize, &columns(&values, names))?
            }
        };
        let mut comparison = Comparison::default();
        comparison.add(got, &expected);
        let difference = comparison.difference();
        let value = probe.counterpart.names().join(", ");
        Some(Layer { name: probe.name, value, difference, deviates: !difference.within(tolerance) })
    });
    Ok(layers.collect())
}

/// What a step can be compared with, if anything.
fn probe(judge: &Model, index: usize, step: &Step) -> Option<Probe> {
    let value =
        |fused| judge.value_of_module(&step.name, fused).map(|name| Counterpart::Value(name.to_owned()));
    let (result, counterpart) = match &step.op {
        StepOp::Gemm(gemm) => {
            let fused = Fused { activation: gemm.act != Activation::None, residual: gemm.residual.is_some() };
            (gemm.out, value(fused)?)
        }
        StepOp::Lstm(lstm) => {
            let names: Vec<String> =
                judge.hidden_states_of_module(&step.name).into_iter().map(str::to_owned).collect();
            (lstm.out, Some(names).filter(|names| !names.is_empty()).map(Counterpart::HiddenUnits)?)
        }
        // Without scale and shift it is a part of the source model's, which the next step completes.
        StepOp::LayerNorm(norm) => (norm.out, norm.affine.and(value(Fused::default()))?),
        StepOp::Attention(attention) => (attention.out, value(Fused::default())?),
        StepOp::Map { out, .. } | StepOp::MeanRows { out, .. } | StepOp::Normalize { out, .. } => {
            (*out, value(Fused::default())?)
        }
        StepOp::Add { .. } | StepOp::Copy { .. } | StepOp::Patches(_) | StepOp::Embed(_) => return None,
    };
    Some(Probe { step: index, name: step.name.clone(), result, counterpart })
}

/// Whether a result has a row for each of the call's tokens.
fn is_tokens(plan: &Plan, result: &Operand) -> bool {
    plan.tensors.get(result.tensor as usize).is_some_and(|tensor| tensor.tokens) && result.rows == plan.tokens
}

/// The artifact with a copy of each probe's result as one more output.
fn instrument(artifact: &[u8], probes: &[Probe]) -> Result<Vec<u8>> {
    let broken = |e| Error::new(ErrorKind::Internal, format!("the artifact can't be instrumented: {e}"));
    let artifact = far_format::read(artifact).map_err(broken)?;
    let mut plan = artifact.plan.into_inner();
    let index = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // From the last, so that the indices of earlier steps stay.
    for (number, probe) in probes.iter().enumerate().rev() {
        let Operand { rows, cols, .. } = probe.result;
        let place = Place::Output(index(plan.outputs.len() + number));
        let out = Operand { tensor: index(plan.tensors.len()), row: 0, col: 0, rows, cols };
        let tokens = is_tokens(&plan, &probe.result);
        plan.tensors.push(far_format::plan::Tensor { place, rows, cols, stride: cols, tokens });
        let copy = StepOp::Copy { x: probe.result, out };
        plan.steps.insert(probe.step + 1, Step { name: probe.name.clone(), op: copy });
    }
    let batch = (plan.batch != Batch::default()).then_some(Dim::Batch);
    let ports: Vec<Port> = probes
        .iter()
        .map(|probe| {
            let Operand { rows, cols, .. } = probe.result;
            let rows = if is_tokens(&plan, &probe.result) { Dim::Tokens } else { Dim::Fixed(rows) };
            let dims = batch.into_iter().chain([rows, Dim::Fixed(cols)]).collect();
            Port { name: format!("step {}: {}", probe.step, probe.name), dtype: Dtype::F32, dims }
        })
        .collect();
    plan.outputs.extend(ports);
    let parts = ArtifactParts {
        arch: artifact.header.arch,
        features: artifact.header.features,
        target: &artifact.header.target,
        plan: &plan,
        weights: artifact.weights,
    };
    far_format::write(&parts).map_err(broken)
}

/// A value of the source model as the step's matrix; `None` if it is of another shape.
fn matrix(values: &Values, name: &str, [wanted, width]: [usize; 2]) -> Option<Vec<f64>> {
    let value = values.get(name)?.as_real().ok()?;
    let (cols, rows) = value.shape().split_last()?;
    let fits = *cols == width && rows.iter().product::<usize>() == wanted;
    fits.then(|| value.iter().copied().collect())
}

/// Each hidden unit of the LSTM nodes over time.
fn columns(values: &Values, names: &[String]) -> Vec<Vec<f64>> {
    let mut columns = Vec::new();
    for y in names.iter().filter_map(|name| values.get(name)?.as_real().ok()) {
        // Steps first: all else together names a unit.
        let units = y.len().checked_div(y.shape().first().copied().unwrap_or(0)).unwrap_or(0);
        let elements: Vec<f64> = y.iter().copied().collect();
        columns.extend((0..units).map(|unit| elements.iter().skip(unit).step_by(units).copied().collect()));
    }
    columns
}

/// For each column of `got`, the candidate nearest to it; `None` if they are of another length.
fn nearest_columns(got: &[f32], cols: usize, candidates: &[Vec<f64>]) -> Option<Vec<f64>> {
    let rows = got.len().checked_div(cols)?;
    let mut expected = vec![0.0; got.len()];
    for col in 0..cols {
        let column = || got.iter().skip(col).step_by(cols).map(|&v| f64::from(v));
        let farthest =
            |candidate: &[f64]| column().zip(candidate).map(|(g, &e)| difference(g, e)).fold(0.0, f64::max);
        let fitting = candidates.iter().filter(|candidate| candidate.len() == rows);
        let nearest = fitting.min_by(|a, b| farthest(a).total_cmp(&farthest(b)))?;
        for (row, value) in nearest.iter().enumerate() {
            expected[row * cols + col] = *value;
        }
    }
    Some(expected)
}
