//! Judges an artifact against its source model: the same inputs through the artifact and through the
//! [reference](crate::reference), output by output and, where names allow, layer by layer; or against another artifact.
//! May import: `reference`, `report`, `error`; far-format, far-engine, far-tool (arrays, names of steps).

mod against;
mod compare;
mod inputs;
mod layers;
mod runner;
mod taps;
mod tolerance;

pub use far_engine::Extent;
use far_format::plan::Port;
use far_tool::npy::{self, Data};
use serde::Serialize;

pub use against::{Against, Side, against};
pub use compare::Difference;
pub(crate) use compare::{cosine, largest};
pub use layers::Layer;
pub use runner::{HostRunner, Ran, Runner};
pub use tolerance::Tolerance;

use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Keep, Model, Tensor};
use compare::Comparison;

/// Inputs of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// How large the call is.
    pub extent: Extent,
    /// Tokens that each element of the batch has; all of the call's unless a mask says less.
    pub lengths: Vec<usize>,
    /// For each input of the artifact its elements, row-major.
    pub inputs: Vec<Data>,
}

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most difference allowed, as a part of the range of an output; what goes with the artifact's precision unless said.
    pub tolerance: Option<f64>,
    /// Seed of the inputs that are not given.
    pub seed: u64,
    /// Runs: how many seeded inputs to make (4 unless said), or how many of those given to use (all unless said).
    pub samples: Option<usize>,
    /// Inputs of the user's. Either all of the model's or none; a leading dimension of more than the model's 1 gives
    /// several runs.
    pub inputs: Vec<Given>,
    /// Whether to compare layer by layer too.
    pub layers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { tolerance: None, seed: 0, samples: None, inputs: Vec::new(), layers: true }
    }
}

/// An input of the user's.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which; the next in the model's order unless named.
    pub name: Option<String>,
    /// Its elements.
    pub values: npy::Array,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Whether every output is within the tolerance.
    pub passed: bool,
    /// The least exact precision of the artifact's weights.
    pub precision: &'static str,
    /// What is allowed.
    #[serde(flatten)]
    pub allowed: Tolerance,
    /// Seed of the inputs; absent where they were given.
    pub seed: Option<u64>,
    /// Runs compared; each element of a batch is one.
    pub samples: usize,
    /// Entries of the mask file that were applied to the source model.
    pub masks: usize,
    /// Instruction set of the kernels that ran, e.g. `avx2`.
    pub isa: String,
    /// Names of the kernels that ran.
    pub kernels: Vec<String>,
    /// By output of the model.
    pub outputs: Vec<Output>,
    /// By step of the artifact, for the run that differs most; only those whose value the source model names. In order; in
    /// reduced precision the one that differs most first.
    pub layers: Vec<Layer>,
    /// The first of the layers that is not within the tolerance.
    pub first_deviating: Option<String>,
    /// How it differs from another artifact, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
}

impl Verdict {
    /// Adds how the artifact differs from another one: it passes only if it passes there too.
    pub fn with(self, against: Against) -> Self {
        Self { passed: self.passed && against.passed, against: Some(against), ..self }
    }

    /// The error of a verdict that did not pass.
    pub fn into_result(self) -> Result<Self> {
        if self.passed {
            return Ok(self);
        }
        let from_model = self.outputs.iter().any(|output| !self.allowed.allows(&output.difference));
        let (what, outputs, first, allowed) = match &self.against {
            Some(against) if !from_model => {
                ("the other artifact's", &against.outputs, &against.first_deviating, against.allowed)
            }
            _ => ("the source model's", &self.outputs, &self.first_deviating, self.allowed),
        };
        let worst = outputs.iter().find(|output| !allowed.allows(&output.difference));
        let name = worst.map_or("", |output| &output.name);
        let error = Error::new(ErrorKind::Mismatch, format!("output `{name}` differs from {what}"));
        let error = match worst.map(|output| output.difference) {
            Some(found) if found.relative <= allowed.tolerance => error
                .expected(format!("a cosine of at least {}", allowed.cosine))
                .got(format!("{:.6}", found.cosine)),
            found => error
                .expected(format!("at most {:e} of its range", allowed.tolerance))
                .got(format!("{:.3e}", found.map_or(f64::NAN, |found| found.relative))),
        };
        Err(match first {
            Some(layer) => {
                error.at_node(layer).hint("the node is the first that differs: look at what made it")
            }
            None if !from_model => error,
            None => error.hint("give `--masks` if the artifact was compiled with masks"),
        })
    }
}

/// One output of the model over all runs.
#[derive(Clone, Debug, Serialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// How it differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// Runs in which the largest element is the same one; absent for an output of one element.
    pub top1: Option<usize>,
}

/// Compares an artifact with the ONNX model (and masks) that it was compiled from. The artifact runs wherever `runner`
/// runs it. A difference is a [`Verdict`], not an error.
pub fn run(
    onnx: &[u8],
    masks: Option<&[u8]>,
    artifact: &[u8],
    options: &Options,
    runner: &dyn Runner,
) -> Result<Verdict> {
    let mut judge = Model::load(onnx)?;
    let masks = masks.map(|masks| judge.apply_masks(masks)).transpose()?.unwrap_or(0);
    let plan = far_format::read(artifact)
        .map_err(|e| Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}")))?
        .plan;
    let samples = inputs::samples(&plan, inputs::Open::of(&judge), options)?;
    let ran = runner.run(artifact, &samples)?;
    check_outputs(&ran, &samples, &plan.outputs)?;

    let mut comparisons: Vec<Comparison> = plan.outputs.iter().map(|_| Comparison::default()).collect();
    // Data that were run alone, in the order of the comparisons.
    let mut parts = Vec::new();
    for (sample, outputs) in samples.iter().zip(&ran.outputs) {
        for part in sample.parts(&plan, !plan.batch.fixed) {
            let values = judge.run(&feeds(&plan.inputs, &part.sample)?, Keep::Outputs)?;
            for ((port, got), comparison) in plan.outputs.iter().zip(outputs).zip(&mut comparisons) {
                let got = part.of(port, got, sample.extent);
                let expected = expected(&values, port, part.sample.extent)?;
                // Rows past an element's own are zeros.
                comparison.add(got, &padded(expected, got.len()));
            }
            parts.push(part.sample);
        }
    }
    let outputs = compared(&plan.outputs, &comparisons);
    let precision = tolerance::least(&[&plan]);
    let allowed = Tolerance::asked(options.tolerance, precision);
    let mut layers = match parts.get(worst(&comparisons)) {
        Some(sample) if options.layers && sample.extent.batch == 1 => {
            layers::compare(&judge, artifact, sample, allowed, runner)?
        }
        _ => Vec::new(),
    };
    let first_deviating = layers.iter().find(|layer| layer.deviates).map(|layer| layer.name.clone());
    layers::sort(&mut layers, precision);
    Ok(Verdict {
        passed: outputs.iter().all(|output| allowed.allows(&output.difference)),
        precision: precision.name(),
        allowed,
        seed: options.inputs.is_empty().then_some(options.seed),
        samples: parts.len(),
        masks,
        isa: ran.isa,
        kernels: ran.kernels,
        outputs,
        first_deviating,
        layers,
        against: None,
    })
}

/// Inputs of the user's as runs.
pub(crate) fn given(plan: &far_format::plan::Plan, inputs: &[Given]) -> Result<Vec<Sample>> {
    inputs::given(plan, inputs)
}

/// What the judge runs at a time: an element of a batch, as the sequence of its own tokens, or the whole of a batch that
/// has no other size.
struct Part {
    sample: Sample,
    element: Option<usize>,
}

impl Part {
    /// The part of an output of the whole call.
    fn of<'a>(&self, port: &Port, output: &'a [f32], extent: Extent) -> &'a [f32] {
        let Some(element) = self.element else { return output };
        let len = port.elements(1, extent.tokens);
        output.get(element * len..(element + 1) * len).unwrap_or_default()
    }
}

impl Sample {
    /// The parts that the judge runs, each element by itself if they can be.
    fn parts(&self, plan: &far_format::plan::Plan, apart: bool) -> Vec<Part> {
        if !apart && self.extent.batch > 1 {
            return vec![Part { sample: self.clone(), element: None }];
        }
        let part = |element: usize| {
            let tokens = self.lengths.get(element).copied().unwrap_or(self.extent.tokens);
            let cut = |(port, values): (&Port, &Data)| {
                let whole = port.elements(1, self.extent.tokens);
                range(values, element * whole..element * whole + port.elements(1, tokens))
            };
            let sample = Sample {
                extent: Extent { batch: 1, tokens },
                lengths: vec![tokens],
                inputs: plan.inputs.iter().zip(&self.inputs).map(cut).collect(),
            };
            Part { sample, element: Some(element) }
        };
        (0..self.extent.batch).map(part).collect()
    }
}

/// Some of the elements; none where there are fewer.
fn range(data: &Data, range: std::ops::Range<usize>) -> Data {
    match data {
        Data::F32(values) => Data::F32(values.get(range).unwrap_or_default().to_vec()),
        Data::I32(values) => Data::I32(values.get(range).unwrap_or_default().to_vec()),
        Data::I64(values) => Data::I64(values.get(range).unwrap_or_default().to_vec()),
    }
}

/// What the comparisons of the outputs came to.
fn compared(ports: &[Port], comparisons: &[Comparison]) -> Vec<Output> {
    let output = |(port, c): (&Port, &Comparison)| Output {
        name: port.name.clone(),
        difference: c.difference(),
        top1: c.top1(),
    };
    ports.iter().zip(comparisons).map(output).collect()
}

/// The run that differs most.
fn worst(comparisons: &[Comparison]) -> usize {
    comparisons.iter().max_by(|a, b| a.worst().1.total_cmp(&b.worst().1)).map_or(0, |c| c.worst().0)
}

/// A sample as the reference takes it.
fn feeds<'a>(ports: &'a [Port], sample: &Sample) -> Result<Vec<(&'a str, Tensor)>> {
    let feed = |(port, values): (&'a Port, &Data)| {
        let shape = shape(port, sample.extent);
        let tensor = match values {
            Data::F32(values) => Tensor::real(&shape, values.iter().map(|&v| f64::from(v)).collect())?,
            Data::I32(values) => Tensor::int(&shape, values.iter().map(|&v| i64::from(v)).collect())?,
            Data::I64(values) => Tensor::int(&shape, values.clone())?,
        };
        Ok((port.name.as_str(), tensor))
    };
    ports.iter().zip(&sample.inputs).map(feed).collect()
}

/// A port's dimensions in a call.
fn shape(port: &Port, extent: Extent) -> Vec<usize> {
    port.dims.iter().map(|dim| dim.of(extent.batch, extent.tokens)).collect()
}

/// The reference's numbers for an output of the artifact.
fn expected(values: &crate::reference::Values, port: &Port, extent: Extent) -> Result<Vec<f64>> {
    let value = values.get(&port.name).ok_or_else(|| {
        Error::new(ErrorKind::BadArtifact, format!("the source model has no output `{}`", port.name))
            .hint("the artifact may have been compiled from another model")
    })?;
    let dims = shape(port, extent);
    if value.shape() != dims {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!("output `{}` has another shape", port.name),
        )
        .expected(format!("{:?}", value.shape()))
        .got(format!("{dims:?}")));
    }
    Ok(value.as_real()?.iter().copied().collect())
}

fn padded(mut numbers: Vec<f64>, len: usize) -> Vec<f64> {
    numbers.resize(len, 0.0);
    numbers
}

/// What a runner of someone else's gave back.
fn check_outputs(ran: &Ran, samples: &[Sample], ports: &[Port]) -> Result<()> {
    let fits = |(outputs, sample): (&Vec<Vec<f32>>, &Sample)| {
        let Extent { batch, tokens } = sample.extent;
        let len = |(output, port): (&Vec<f32>, &Port)| output.len() == port.elements(batch, tokens);
        outputs.len() == ports.len() && outputs.iter().zip(ports).all(len)
    };
    if ran.outputs.len() == samples.len() && ran.outputs.iter().zip(samples).all(fits) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Internal, "the artifact's outputs are not those of its ports"))
}
