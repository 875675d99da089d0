//! Layer by layer: the result of each step is compared with the value of the source model that carries the same module's
//! name. May import: `verify`'s types, `taps`, `reference`, `error`; far-format.

use std::collections::HashSet;

use far_format::layout::{Activation, Precision};
use far_format::plan::{Step, StepOp};
use serde::Serialize;

use super::compare::{Comparison, Difference, difference};
use super::taps::{self, Tap};
use super::{Runner, Sample, Tolerance, feeds};
use crate::error::Result;
use crate::reference::{Fused, Keep, Model, Values};

/// A step of the artifact beside the value that it should hold.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Path of the module.
    pub name: String,
    /// Name of the value in the source model.
    pub value: String,
    /// The precision of its weights; absent where it has none.
    pub precision: Option<&'static str>,
    /// How it differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether it is beyond the tolerance.
    pub deviates: bool,
}

impl Layer {
    pub(super) fn new(tap: &Tap, value: String, difference: Difference, allowed: Tolerance) -> Self {
        let precision = tap.precision.map(Precision::name);
        Self { name: tap.name.clone(), value, precision, difference, deviates: !allowed.allows(&difference) }
    }
}

/// In reduced precision every layer differs, and the question is which ones most; in f32, where it began.
pub(super) fn sort(layers: &mut [Layer], precision: Precision) {
    if precision != Precision::F32 {
        layers.sort_by(|a, b| b.difference.relative.total_cmp(&a.difference.relative));
    }
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
    tap: Tap,
    counterpart: Counterpart,
}

/// Compares every step whose value the source model names, in order, on one sample.
pub(super) fn compare(
    judge: &Model,
    artifact: &[u8],
    sample: &Sample,
    allowed: Tolerance,
    runner: &dyn Runner,
) -> Result<Vec<Layer>> {
    let plan = taps::plan(artifact)?;
    let probes: Vec<Probe> =
        plan.steps.iter().enumerate().filter_map(|(i, step)| probe(judge, i, step)).collect();
    let results =
        taps::run(artifact, &probes.iter().map(|probe| &probe.tap).collect::<Vec<_>>(), sample, runner)?;
    let names: HashSet<String> = probes.iter().flat_map(|p| p.counterpart.names()).cloned().collect();
    let values = judge.run(&feeds(&plan.inputs, sample)?, Keep::Names(&names))?;
    let layers = probes.into_iter().zip(&results).filter_map(|(Probe { tap, counterpart }, got)| {
        let expected = match &counterpart {
            Counterpart::Value(name) => {
                let rows = got.len().checked_div(tap.result.cols as usize)?;
                matrix(&values, name, [rows, tap.result.cols as usize])?
            }
            Counterpart::HiddenUnits(names) => {
                nearest_columns(got, tap.result.cols as usize, &columns(&values, names))?
            }
        };
        let mut comparison = Comparison::default();
        comparison.add(got, &expected);
        let value = counterpart.names().join(", ");
        Some(Layer::new(&tap, value, comparison.difference(), allowed))
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
    Some(Probe { tap: Tap::new(index, step, result), counterpart })
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
