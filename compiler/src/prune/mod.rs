//! Makes pruning masks: which hidden units of a model matter least, until a goal is met. May import: `ir`, `onnx`,
//! `masks`, `passes`, `precision`, `schedule`, `target`, `error`.
//!
//! Structured and global: a hidden unit is kept or goes with all its weights, and one threshold holds for the whole
//! model. [`importance`] says what a unit counts, [`search`] finds the threshold; what is left is judged by compiling it.
//! `docs/prune.md` has the reasons.

mod heatmap;
mod importance;
mod report;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use heatmap::svg;
pub use report::{Cost, Part, Report, Row, Skipped};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Graph, LstmUnit, Op};
use crate::masks::Masks;
use crate::masks::parameter::{Cross, Kind, Model, Parameter};
use crate::masks::units::Layer;
use crate::onnx::{self, ImportOptions, Imported};
use crate::precision::Dtype;
use crate::target::Target;

/// When enough is pruned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// This part of all hidden units, 0 to 1.
    Sparsity(f64),
    /// At most so many weights and biases in the compiled model.
    Parameters(u64),
    /// At most so many multiply-adds in one run, padding included.
    MultiplyAdds(u64),
    /// At most so many predicted milliseconds of one run on one core of the target.
    LatencyMs(f64),
}

/// How units are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// By norm, with the other units of their block: for models that were trained without a thought of pruning.
    #[default]
    Relative,
    /// By norm, with all units of the model: for models trained with a regulariser over these norms, which makes them small where it can.
    Absolute,
}

/// What to prune, and how far.
#[derive(Clone, Debug)]
pub struct Options {
    /// When enough is pruned.
    pub goal: Goal,
    /// How units are compared.
    pub importance: Importance,
    /// Whether hidden units of MLPs are pruned too.
    pub mlp: bool,
    /// What the cost is predicted in.
    pub dtype: Dtype,
    /// Limits on the model.
    pub import: ImportOptions,
}

/// What was pruned.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// A 0/1 matrix for each parameter that has units to prune.
    pub masks: Masks,
    /// What is kept.
    pub report: Report,
}

/// Hidden units that can be pruned, with what they count.
struct Candidates {
    layers: Vec<Layer>,
    /// For each layer, which block and part it belongs to.
    groups: Vec<(String, Part)>,
    /// For each layer and unit.
    importance: Vec<Vec<f64>>,
    /// Layers that can't be pruned.
    skipped: Vec<Skipped>,
}

/// Finds masks for an ONNX model that meet the goal on a target.
///
/// Each block keeps at least its most important unit, and its MLP one too; heads and directions may vanish.
///
/// # Errors
///
/// Those of the import and of a compilation; `OutOfReach` if all that may be pruned is not enough, and for a model
/// without hidden units that can be pruned; `BadMask` if the model's parameters can't be told apart by name.
pub fn prune(model: &[u8], target: &Target, options: &Options) -> Result<Pruned> {
    let Imported { graph, origins } = onnx::import_parameters(model, &options.import)?;
    let model = Model { graph: &graph, origins: &origins };
    let candidates = candidates(model, options);
    if candidates.layers.is_empty() {
        return Err(Error::new(ErrorKind::OutOfReach, "the model has no hidden units that can be pruned")
            .expected("LSTMs (or MLPs with `--mlp`) that only products with constants read")
            .got(match candidates.skipped.first() {
                Some(skipped) => format!("`{}`, and {}", skipped.node, skipped.why),
                None => "none".into(),
            }));
    }
    let found = search::search(model, &candidates, target, options)?;
    let masks = Masks::of_crosses(model, &crosses(model, &candidates.layers, &found.keep))?;
    let report = report::report(model, &candidates, target, options, found);
    Ok(Pruned { masks, report })
}

/// All layers of a model that can be pruned.
fn candidates(model: Model<'_>, options: &Options) -> Candidates {
    let mut layers = Vec::new();
    let mut groups = Vec::new();
    let mut skipped = Vec::new();
    for parameter in model.parameters() {
        let part = match parameter.kind {
            Kind::Input(_) => Part::Mixer,
            Kind::Linear if options.mlp => Part::Mlp,
            _ => continue,
        };
        let name = &model.node(parameter).name;
        match Layer::of(model, parameter) {
            // Without readers, the units are dead already; without an activation, a product makes no hidden units.
            Ok(layer) if layer.readers.is_empty() || (part == Part::Mlp && !layer.activated) => {}
            Ok(layer) => {
                layers.push(layer);
                groups.push((report::block_of(name), part));
            }
            Err(error) if part == Part::Mixer => {
                let why = error.got.unwrap_or(error.what);
                skipped.push(Skipped { node: name.clone(), why });
            }
            Err(_) => {}
        }
    }
    let importance = importance::of(model, &layers, &groups, options.importance);
    Candidates { layers, groups, importance, skipped }
}

/// What is kept of each parameter if these units of each layer are.
fn crosses(model: Model<'_>, layers: &[Layer], keep: &[Vec<bool>]) -> BTreeMap<Parameter, Cross> {
    let mut crosses = BTreeMap::new();
    layers.iter().zip(keep).for_each(|(layer, keep)| layer.prune(model, keep, &mut crosses));
    crosses
}

/// The LSTM whose units a layer has.
fn lstm_unit<'a>(graph: &'a Graph, layer: &Layer) -> Option<&'a LstmUnit> {
    match (&graph.nodes[layer.own.node].op, layer.own.kind) {
        (Op::MultiHeadLstm(lstm), Kind::Input(unit)) => Some(&lstm.units[unit]),
        _ => None,
    }
}
