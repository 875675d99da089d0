//! Judges an artifact against its source model: the same inputs through the artifact and through the
//! [reference](crate::reference), output by output and, where names allow, layer by layer. May import: `reference`,
//! `error`; far-format, far-engine.

mod compare;
mod inputs;
mod layers;
mod runner;

use far_format::plan::Port;
use ndarray::ArrayD;
use serde::Serialize;

pub use compare::Difference;
pub use layers::Layer;
pub use runner::{HostRunner, Ran, Runner};

use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Keep, Model, Tensor};
use compare::Comparison;

/// Inputs of one run: for each input of the artifact its numbers, row-major.
pub type Sample = Vec<Vec<f32>>;

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most difference allowed, as a part of the range of an output.
    pub tolerance: f64,
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
        Self { tolerance: 1e-4, seed: 0, samples: None, inputs: Vec::new(), layers: true }
    }
}

/// An input of the user's.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which; the next in the model's order unless named.
    pub name: Option<String>,
    /// Its numbers.
    pub values: ArrayD<f32>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Whether every output is within the tolerance.
    pub passed: bool,
    /// Most difference allowed, as a part of the range of an output.
    pub tolerance: f64,
    /// Seed of the inputs; absent where they were given.
    pub seed: Option<u64>,
    /// Runs compared.
    pub samples: usize,
    /// Entries of the mask file that were applied to the source model.
    pub masks: usize,
    /// Instruction set of the kernels that ran, e.g. `avx2`.
    pub isa: String,
    /// Names of the kernels that ran.
    pub kernels: Vec<String>,
    /// By output of the model.
    pub outputs: Vec<Output>,
    /// By step of the artifact, in order, for the run that differs most; only those whose value the source model names.
    pub layers: Vec<Layer>,
    /// The first of the layers that is not within the tolerance.
    pub first_deviating: Option<String>,
}

impl Verdict {
    /// The error of a verdict that did not pass.
    pub fn into_result(self) -> Result<Self> {
        if self.passed {
            return Ok(self);
        }
        let worst = self.outputs.iter().find(|output| !output.difference.within(self.tolerance));
        let name = worst.map_or("", |output| &output.name);
        let got = worst.map_or(f64::NAN, |output| output.difference.relative);
        let error =
            Error::new(ErrorKind::Mismatch, format!("output `{name}` differs from the source model's"))
                .expected(format!("at most {:e} of its range", self.tolerance))
                .got(format!("{got:.3e}"));
        Err(match self.first_deviating {
            Some(layer) => {
                error.at_node(layer).hint("the node is the first that differs: look at what made it")
            }
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
    let samples = inputs::samples(&plan.inputs, options)?;
    let ran = runner.run(artifact, &samples)?;
    check_outputs(&ran, samples.len(), &plan.outputs)?;

    let mut comparisons: Vec<Comparison> = plan.outputs.iter().map(|_| Comparison::default()).collect();
    for (sample, outputs) in samples.iter().zip(&ran.outputs) {
        let values = judge.run(&feeds(&plan.inputs, sample)?, Keep::Outputs)?;
        for ((port, got), comparison) in plan.outputs.iter().zip(outputs).zip(&mut comparisons) {
            comparison.add(got, &expected(&values, port)?);
        }
    }
    let outputs: Vec<Output> = plan
        .outputs
        .iter()
        .zip(&comparisons)
        .map(|(port, c)| Output { name: port.name.clone(), difference: c.difference(), top1: c.top1() })
        .collect();
    let worst =
        comparisons.iter().max_by(|a, b| a.worst().1.total_cmp(&b.worst().1)).map_or(0, |c| c.worst().0);
    let layers = match samples.get(worst) {
        Some(sample) if options.layers => {
            layers::compare(&judge, artifact, sample, options.tolerance, runner)?
        }
        _ => Vec::new(),
    };
    Ok(Verdict {
        passed: outputs.iter().all(|output| output.difference.within(options.tolerance)),
        tolerance: options.tolerance,
        seed: options.inputs.is_empty().then_some(options.seed),
        samples: samples.len(),
        masks,
        isa: ran.isa,
        kernels: ran.kernels,
        outputs,
        first_deviating: layers.iter().find(|layer| layer.deviates).map(|layer| layer.name.clone()),
        layers,
    })
}

/// A sample as the reference takes it.
fn feeds<'a>(ports: &'a [Port], sample: &[Vec<f32>]) -> Result<Vec<(&'a str, Tensor)>> {
    let feed = |(port, values): (&'a Port, &Vec<f32>)| {
        let shape: Vec<usize> = port.dims.iter().map(|d| d.of(1, 0)).collect();
        let values = values.iter().map(|&v| f64::from(v)).collect();
        Ok((port.name.as_str(), Tensor::real(&shape, values)?))
    };
    ports.iter().zip(sample).map(feed).collect()
}

/// The reference's numbers for an output of the artifact.
fn expected(values: &crate::reference::Values, port: &Port) -> Result<Vec<f64>> {
    let value = values.get(&port.name).ok_or_else(|| {
        Error::new(ErrorKind::BadArtifact, format!("the source model has no output `{}`", port.name))
            .hint("the artifact may have been compiled from another model")
    })?;
    let dims: Vec<usize> = port.dims.iter().map(|d| d.of(1, 0)).collect();
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

/// What a runner of someone else's gave back.
fn check_outputs(ran: &Ran, samples: usize, ports: &[Port]) -> Result<()> {
    let fits = |outputs: &Vec<Vec<f32>>| {
        outputs.len() == ports.len() && outputs.iter().zip(ports).all(|(o, p)| o.len() == p.elements(1, 0))
    };
    if ran.outputs.len() == samples && ran.outputs.iter().all(fits) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Internal, "the artifact's outputs are not those of its ports"))
}
