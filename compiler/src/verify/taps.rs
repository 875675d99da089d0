//! Results of an artifact's steps: it is written once more with a copy of each as one more output, and runs wherever it
//! runs. May import: `verify`'s types, `error`; far-format.

use far_format::ArtifactParts;
use far_format::layout::Precision;
use far_format::plan::{Batch, Dim, Dtype, Operand, Place, Plan, Port, Step, StepOp, Tensor};

use super::{Runner, Sample};
use crate::error::{Error, ErrorKind, Result};

/// A step whose result is wanted.
pub(super) struct Tap {
    /// Its index.
    pub(super) step: usize,
    /// Its name.
    pub(super) name: String,
    /// Of its weights, if it has any.
    pub(super) precision: Option<Precision>,
    /// What it writes.
    pub(super) result: Operand,
}

impl Tap {
    /// Of a step.
    pub(super) fn new(index: usize, step: &Step, result: Operand) -> Self {
        Self { step: index, name: step.name.clone(), precision: step.op.precision(), result }
    }
}

/// The plan of an artifact.
pub(super) fn plan(artifact: &[u8]) -> Result<Plan> {
    let refused = |e| Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}"));
    Ok(far_format::read(artifact).map_err(refused)?.plan.into_inner())
}

/// Runs one sample; gives what each tapped step wrote, row-major. Taps are in the order of their steps.
pub(super) fn run(
    artifact: &[u8],
    taps: &[&Tap],
    sample: &Sample,
    runner: &dyn Runner,
) -> Result<Vec<Vec<f32>>> {
    let outputs = plan(artifact)?.outputs.len();
    let ran = runner.run(&instrument(artifact, taps)?, std::slice::from_ref(sample))?;
    let mut results = ran.outputs.into_iter().next().unwrap_or_default();
    let results = results.split_off(outputs.min(results.len()));
    if results.len() == taps.len() {
        return Ok(results);
    }
    Err(Error::new(ErrorKind::Internal, "the instrumented artifact gave other outputs than asked for"))
}

/// The artifact with a copy of each tap's result as one more output.
fn instrument(artifact: &[u8], taps: &[&Tap]) -> Result<Vec<u8>> {
    let broken = |e| Error::new(ErrorKind::Internal, format!("the artifact can't be instrumented: {e}"));
    let artifact = far_format::read(artifact).map_err(broken)?;
    let mut plan = artifact.plan.into_inner();
    let index = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // From the last, so that the indices of earlier steps stay.
    for (number, tap) in taps.iter().enumerate().rev() {
        let Operand { rows, cols, .. } = tap.result;
        let place = Place::Output(index(plan.outputs.len() + number));
        let out = Operand { tensor: index(plan.tensors.len()), row: 0, col: 0, rows, cols };
        let tokens = is_tokens(&plan, &tap.result);
        plan.tensors.push(Tensor { place, rows, cols, stride: cols, tokens });
        let copy = StepOp::Copy { x: tap.result, out };
        plan.steps.insert(tap.step + 1, Step { name: tap.name.clone(), op: copy });
    }
    let batch = (plan.batch != Batch::default()).then_some(Dim::Batch);
    let port = |tap: &&Tap| {
        let Operand { rows, cols, .. } = tap.result;
        let rows = if is_tokens(&plan, &tap.result) { Dim::Tokens } else { Dim::Fixed(rows) };
        let dims = batch.into_iter().chain([rows, Dim::Fixed(cols)]).collect();
        Port { name: format!("step {}: {}", tap.step, tap.name), dtype: Dtype::F32, dims }
    };
    let ports: Vec<Port> = taps.iter().map(port).collect();
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

/// Whether a result has a row for each of the call's tokens.
fn is_tokens(plan: &Plan, result: &Operand) -> bool {
    plan.tensors.get(result.tensor as usize).is_some_and(|tensor| tensor.tokens) && result.rows == plan.tokens
}
