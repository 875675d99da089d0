//! Which layers need a higher precision than asked for: each is tried alone, and the most harmful ones are kept higher until
//! the model as a whole answers as it should. May import: `ir`, `onnx`, `masks`, `passes`, `cost`, `schedule`, `emit`,
//! `precision`, `target`, `verify` (samples, what runs them), `error`; far-format, far-tool (arrays, names of steps).
//!
//! All runs are on this machine, whatever the target: f32, int8 and weights in half precision give the same bits everywhere.
//! `docs/precision.md` has the reasons.

mod choice;
mod data;
mod measure;

use far_format::cpu::Arch;
use serde::Serialize;

pub use data::Data;
pub use measure::Score;

use crate::cost::CostModel;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Graph;
use crate::masks::Masks;
use crate::precision::{Dtype, DtypeOptions, F16Arithmetic};
use crate::target::{self, Target};
use crate::{Options, onnx, passes, schedule};
use choice::Choice;
use measure::{Measure, Variant};

/// Runs by which layers are ranked: more would hardly change the order.
const RANKED: usize = 16;

/// How much worse than in f32 the answers may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Most that 1 − cosine between the outputs may be, on average.
    pub max_error: Option<f64>,
    /// Most points (parts of a hundred) of runs whose largest output may be another one.
    pub max_drop: Option<f64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_error: Some(1e-3), max_drop: None }
    }
}

impl Budget {
    fn is_met(&self, score: &Score) -> bool {
        let within = |value: f64, most: Option<f64>| most.is_none_or(|most| value <= most);
        within(score.error, self.max_error) && within(score.drop.unwrap_or(0.0), self.max_drop)
    }
}

/// What calibration found and chose.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// Data that the model was run on.
    pub samples: usize,
    /// What was asked for.
    pub budget: Budget,
    /// Top-1 accuracy in f32, in percent, where labels are known.
    pub f32_accuracy: Option<f64>,
    /// With every layer as asked for.
    pub asked: Score,
    /// With the layers below kept higher.
    pub kept: Score,
    /// What was chosen as exceptions, `PATTERN=DTYPE`: with them a compilation without data gives the same artifact.
    pub dtype_for: Vec<String>,
    /// All layers that the search was free to change, the most harmful first.
    pub layers: Vec<Layer>,
}

/// A layer of the model: all steps of one name that have weights.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// 1 − cosine between the model's outputs and those of f32 where this layer alone is as asked for.
    pub error_alone: f64,
    /// The dtype that it gets.
    pub kept_as: &'static str,
    /// Bytes of its packed weights.
    pub bytes: u64,
}

/// How far a calibration is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Variants of the model that have run.
    pub done: usize,
    /// Variants that will run at most.
    pub of: usize,
    /// What is tried.
    pub what: &'a str,
}

/// Chooses the dtype of every layer of a model for a target. `options` says what is asked for; its exceptions stay.
///
/// # Errors
///
/// Those of a compilation; `BadOption` where nothing is to be chosen; `BadInput` for data that don't fit the model.
pub fn calibrate(
    model: &[u8],
    masks: Option<&Masks>,
    target: &Target,
    options: &Options,
    data: &Data,
    budget: &Budget,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(DtypeOptions, Calibration)> {
    let onnx::Imported { mut graph, origins } = onnx::import_parameters(model, &options.import)?;
    if let Some(masks) = masks {
        masks.apply(&mut graph, &origins)?;
    }
    let costs = CostModel::of(target).with_precision(options.dtype.default_precision(target)?);
    passes::run(&mut graph, &costs, &options.passes, &mut passes::Report::default())?;
    let host = on_host(target)?;
    let choice = Choice::new(&graph, &host, &options.dtype)?;
    let measure = Measure::new(&graph, &host, &choice, data, budget)?;
    let found = search(choice, &measure, budget, progress)?;
    let dtype = DtypeOptions { f16_arithmetic: options.dtype.f16_arithmetic, ..found.variant.options() };
    let chosen = dtype.dtype_for.len() - options.dtype.dtype_for.len();
    let calibration = Calibration {
        dtype_for: dtype.dtype_for[..chosen]
            .iter()
            .map(|(pattern, dtype)| format!("{pattern}={dtype}"))
            .collect(),
        samples: measure.elements(),
        budget: *budget,
        f32_accuracy: measure.exact().accuracy,
        asked: found.asked,
        kept: found.kept,
        layers: found.choice.report(&found.variant, &schedule::plan(&graph, target, &dtype)?),
    };
    Ok((dtype, calibration))
}

/// The target's figures, so that the same is chosen as for it, on the instruction set of this machine.
fn on_host(target: &Target) -> Result<Target> {
    let host = target::host()?;
    let arch = Arch::HOST.unwrap_or(host.arch);
    Ok(Target { arch, triple: host.triple, features: host.features, ..target.clone() })
}

/// What the search ends with.
struct Found {
    choice: Choice,
    variant: Variant,
    asked: Score,
    kept: Score,
}

fn search(
    mut choice: Choice,
    measure: &Measure<'_>,
    budget: &Budget,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Found> {
    let layers = choice.layers.len();
    let states = choice.states();
    let of = layers + 2 + states.ilog2() as usize;
    let mut done = 0;
    let mut tell = |what: &str| {
        progress(Progress { done, of, what });
        done += 1;
    };
    for layer in 0..layers {
        tell(&choice.layers[layer].name);
        choice.layers[layer].error_alone = measure.ranking(&choice.alone(layer))?.error;
    }
    choice.rank();

    // Of the states, from all as asked for to all in f32, the first that is within the budget. More layers kept higher can
    // make an answer worse by chance, but hardly: a search by halves finds one that is within, next to one that is not.
    tell("all layers as asked for");
    let asked = measure.all(&choice.state(0))?;
    let (mut within, mut kept) = (0, asked);
    if !budget.is_met(&asked) {
        let mut beyond = 0;
        (within, kept) = (states - 1, measure.exact());
        while within - beyond > 1 {
            let middle = beyond + (within - beyond) / 2;
            tell("the most harmful layers kept higher");
            let score = measure.all(&choice.state(middle))?;
            match budget.is_met(&score) {
                true => (within, kept) = (middle, score),
                false => beyond = middle,
            }
        }
    }
    Ok(Found { variant: choice.state(within), choice, asked, kept })
}

fn bad_option(what: &str) -> Error {
    Error::new(ErrorKind::BadOption, what)
}
