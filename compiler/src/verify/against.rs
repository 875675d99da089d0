//! One artifact against another: the same inputs through both, output by output, and step by step where names match.
//! Each runs wherever its runner runs it. May import: the rest of `verify`, `error`; far-format, far-tool (names of steps).

use std::collections::HashMap;

use far_format::plan::Plan;
use serde::Serialize;

use super::compare::Comparison;
use super::taps::{self, Tap};
use super::{
    Layer, Options, Output, Runner, Sample, Tolerance, check_outputs, compared, inputs, layers, tolerance,
    worst,
};
use crate::error::{Error, ErrorKind, Result};
use crate::report;

/// An artifact, and what runs it.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The bytes of the artifact.
    pub artifact: &'a [u8],
    /// Where it runs.
    pub runner: &'a dyn Runner,
}

/// How an artifact differs from another.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// Whether every output is within what is allowed.
    pub passed: bool,
    /// What is allowed: what goes with the less exact of the two.
    #[serde(flatten)]
    pub allowed: Tolerance,
    /// The other's target.
    pub target: String,
    /// Instruction set of the other's kernels.
    pub isa: String,
    /// Names of the other's kernels.
    pub kernels: Vec<String>,
    /// By output.
    pub outputs: Vec<Output>,
    /// By step that both have, in order, for the run that differs most.
    pub layers: Vec<Layer>,
    /// The first of the layers that is not within the tolerance.
    pub first_deviating: Option<String>,
    /// Steps of the artifact that the other has not, or in another shape.
    pub unmatched: usize,
}

/// Compares an artifact with another one, whose numbers are the reference.
///
/// # Errors
///
/// `Mismatch` if they have other inputs or outputs; those of the runners.
pub fn against(side: Side<'_>, other: Side<'_>, options: &Options) -> Result<Against> {
    let (plan, other_plan) = (taps::plan(side.artifact)?, taps::plan(other.artifact)?);
    same_ports(&plan, &other_plan)?;
    let samples = inputs::samples(&plan, inputs::Open::of_plan(&plan), options)?;
    let run = |side: Side<'_>| -> Result<super::Ran> {
        let ran = side.runner.run(side.artifact, &samples)?;
        check_outputs(&ran, &samples, &plan.outputs)?;
        Ok(ran)
    };
    let (ran, other_ran) = (run(side)?, run(other)?);
    let mut comparisons: Vec<Comparison> = plan.outputs.iter().map(|_| Comparison::default()).collect();
    for (got, expected) in ran.outputs.iter().zip(&other_ran.outputs) {
        for ((got, expected), comparison) in got.iter().zip(expected).zip(&mut comparisons) {
            comparison.add(got, &wide(expected));
        }
    }
    let precision = tolerance::least(&[&plan, &other_plan]);
    let allowed = Tolerance::asked(options.tolerance, precision);
    let (mut layers, mut unmatched) = (Vec::new(), 0);
    if let Some(sample) = samples.get(worst(&comparisons)).filter(|_| options.layers) {
        let pairs = pairs(&plan, &other_plan);
        unmatched = plan.steps.len() - pairs.len();
        layers = compare_layers((side, other), &pairs, sample, allowed)?;
    }
    let outputs = compared(&plan.outputs, &comparisons);
    let first_deviating = layers.iter().find(|layer| layer.deviates).map(|layer| layer.name.clone());
    layers::sort(&mut layers, precision);
    let header = far_format::read(other.artifact).map(|artifact| artifact.header.target);
    Ok(Against {
        passed: outputs.iter().all(|output| allowed.allows(&output.difference)),
        allowed,
        target: header.unwrap_or_default(),
        isa: other_ran.isa,
        kernels: other_ran.kernels,
        outputs,
        first_deviating,
        layers,
        unmatched,
    })
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

fn same_ports(plan: &Plan, other: &Plan) -> Result<()> {
    let sizes = |plan: &Plan| (plan.tokens, plan.batch);
    if plan.inputs == other.inputs && plan.outputs == other.outputs && sizes(plan) == sizes(other) {
        return Ok(());
    }
    let show = |plan: &Plan| {
        let ports = plan.inputs.iter().chain(&plan.outputs);
        ports.map(|port| format!("`{}` {:?}", port.name, port.dims)).collect::<Vec<_>>().join(", ")
    };
    Err(Error::new(ErrorKind::Mismatch, "the artifacts have different inputs or outputs")
        .expected(show(other))
        .got(show(plan))
        .hint("both must be compiled from the same model"))
}

/// The steps of both that have the same name, operation and shape, by order among those of a name.
fn pairs(plan: &Plan, other: &Plan) -> Vec<(Tap, Tap)> {
    let mut theirs = taps_by_key(other);
    let ours = taps_by_key(plan).into_iter().filter_map(|(key, tap)| Some((tap, theirs.remove(&key)?)));
    let mut pairs: Vec<(Tap, Tap)> =
        ours.filter(|(a, b)| (a.result.rows, a.result.cols) == (b.result.rows, b.result.cols)).collect();
    pairs.sort_by_key(|(tap, _)| tap.step);
    pairs
}

/// By name, operation, and number of steps before with the same.
fn taps_by_key(plan: &Plan) -> HashMap<(String, &'static str, usize), Tap> {
    let mut seen: HashMap<(&str, &'static str), usize> = HashMap::new();
    let mut taps = HashMap::new();
    for (step, s) in plan.steps.iter().enumerate() {
        let op = far_tool::info::op_name(&s.op);
        let count = seen.entry((&s.name, op)).or_default();
        let tap = Tap::new(step, s, report::output(&s.op));
        taps.insert((s.name.clone(), op, *count), tap);
        *count += 1;
    }
    taps
}

fn compare_layers(
    (side, other): (Side<'_>, Side<'_>),
    pairs: &[(Tap, Tap)],
    sample: &Sample,
    allowed: Tolerance,
) -> Result<Vec<Layer>> {
    let ours: Vec<&Tap> = pairs.iter().map(|(tap, _)| tap).collect();
    let got = taps::run(side.artifact, &ours, sample, side.runner)?;
    // The other may have them in another order.
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|i| pairs[*i].1.step);
    let theirs: Vec<&Tap> = order.iter().map(|i| &pairs[*i].1).collect();
    let mut expected = vec![Vec::new(); pairs.len()];
    for (i, result) in order.iter().zip(taps::run(other.artifact, &theirs, sample, other.runner)?) {
        expected[*i] = result;
    }
    let layers = pairs.iter().zip(got).zip(expected).map(|(((tap, theirs), got), expected)| {
        let mut comparison = Comparison::default();
        comparison.add(&got, &wide(&expected));
        Layer::new(tap, theirs.name.clone(), comparison.difference(), allowed)
    });
    Ok(layers.collect())
}
