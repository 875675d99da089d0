//! farc: ONNX and pruning masks in, `model.far` out.
//!
//! ```text
//! model.onnx (+ masks) ──► Graph ──passes──► Graph ──schedule(target)──► Plan + packed weights ──► model.far
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err)] // an error ends the run: its size costs nothing

pub mod calibrate;
pub mod cost;
pub mod emit;
pub mod error;
pub mod ir;
pub mod masks;
pub mod meta;
pub mod onnx;
pub mod passes;
pub mod precision;
pub mod prune;
pub mod reference;
pub mod report;
pub mod schedule;
pub mod sign;
pub mod target;
pub mod verify;
mod wire;

use cost::CostModel;
use error::Result;
use masks::Masks;
use meta::Description;
use report::Report;
use target::Target;

/// What may be chosen beside model, masks and target.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Limits on the model.
    pub import: onnx::ImportOptions,
    /// Which passes run.
    pub passes: passes::PassOptions,
    /// How weights are stored and multiplied.
    pub dtype: precision::DtypeOptions,
    /// What the artifact says for the model's users.
    pub meta: Option<Description>,
}

/// A compiled model.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The bytes of `model.far`.
    pub artifact: Vec<u8>,
    /// What was found, chosen and saved.
    pub report: Report,
}

/// Compiles an ONNX model, pruned by masks if there are any, for a target. The same input gives the same bytes.
pub fn compile(model: &[u8], masks: Option<&Masks>, target: &Target, options: &Options) -> Result<Compiled> {
    let onnx::Imported { mut graph, origins } = onnx::import_parameters(model, &options.import)?;
    let mut report = Report::new(&graph, target);
    report.masks = masks.map(|masks| masks.apply(&mut graph, &origins)).transpose()?;
    let costs = CostModel::of(target).with_precision(options.dtype.default_precision(target)?);
    passes::run(&mut graph, &costs, &options.passes, &mut report.passes)?;
    let mut scheduled = schedule::plan(&graph, target, &options.dtype)?;
    if let Some(meta) = &options.meta {
        scheduled.plan.meta = meta.resolve(&scheduled.plan.inputs, &scheduled.plan.outputs)?;
    }
    let artifact = emit::artifact(&scheduled, target)?;
    report.finish(&graph, target, &scheduled, artifact.len());
    Ok(Compiled { artifact, report })
}
