//! What is kept of each block, direction and head. May import: `ir`, `masks` (parameters), `passes` (heads), `target`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::search::Found;
use super::{Candidates, Goal, Importance, Options, lstm_unit};
use crate::ir::Direction;
use crate::masks::parameter::Model;
use crate::passes;
use crate::target::Target;

/// What pruning did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// What its cost was predicted for.
    pub target: String,
    /// What was asked for.
    pub goal: Goal,
    /// How units were compared.
    pub importance: Importance,
    /// Units of less importance are pruned; `None` if every unit that may go is.
    pub threshold: Option<f64>,
    /// Hidden units that could be pruned.
    pub units: usize,
    /// How many of them are kept.
    pub kept: usize,
    /// The compiled model without masks.
    pub before: Cost,
    /// The compiled model with these masks.
    pub after: Cost,
    /// Per block, part, head and direction.
    pub rows: Vec<Row>,
    /// LSTMs whose units can't be pruned.
    pub skipped: Vec<Skipped>,
}

/// What a compiled model costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Weights and biases, padding not counted.
    pub parameters: u64,
    /// Multiply-adds of one run, padding included.
    pub multiply_adds: u64,
    /// Predicted milliseconds of one run on one core.
    pub predicted_ms: f64,
}

/// Part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Its LSTMs.
    Mixer,
    /// Its MLP.
    Mlp,
}

/// Hidden units that stand together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The block, e.g. `blocks.3`.
    pub block: String,
    /// Part of the block.
    pub part: Part,
    /// Head, from 0; an MLP has none.
    pub head: Option<usize>,
    /// `forward` or `reverse`; an MLP has none.
    pub direction: Option<&'static str>,
    /// Units that are kept.
    pub kept: usize,
    /// Units that there were.
    pub of: usize,
    /// Mean importance of the units that there were.
    pub importance: f64,
}

/// An LSTM whose units can't be pruned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its module.
    pub node: String,
    /// Why not.
    pub why: String,
}

/// The block of a module: its path up to the first number, or all of it.
pub(super) fn block_of(path: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match path.split('.').position(is_number) {
        Some(last) => path.split('.').take(last + 1).collect::<Vec<_>>().join("."),
        None => path.to_owned(),
    }
}

pub(super) fn report(
    model: Model<'_>,
    candidates: &Candidates,
    target: &Target,
    options: &Options,
    found: Found,
) -> Report {
    let count = |keep: &[bool]| keep.iter().filter(|keep| **keep).count();
    Report {
        model: model.graph.name.clone(),
        target: target.name.clone(),
        goal: options.goal,
        importance: options.importance,
        threshold: Some(found.threshold).filter(|threshold| threshold.is_finite()),
        units: found.keep.iter().map(Vec::len).sum(),
        kept: found.keep.iter().map(|keep| count(keep)).sum(),
        before: found.before,
        after: found.after,
        rows: rows(model, candidates, &found.keep),
        skipped: candidates.skipped.clone(),
    }
}

/// Rows in the order of blocks in the model; in a block by part, head and direction.
fn rows(model: Model<'_>, candidates: &Candidates, keep: &[Vec<bool>]) -> Vec<Row> {
    let mut rows = Vec::new();
    // Heads seen so far of a block and direction.
    let mut heads: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (layer, keep) in keep.iter().enumerate() {
        let (block, part) = &candidates.groups[layer];
        let mut push = |head, direction, units: &[usize]| {
            let importance = &candidates.importance[layer];
            let sum: f64 = units.iter().map(|unit| importance[*unit]).sum();
            rows.push(Row {
                block: block.clone(),
                part: *part,
                head,
                direction,
                kept: units.iter().filter(|unit| keep[**unit]).count(),
                of: units.len(),
                importance: sum / units.len().max(1) as f64,
            });
        };
        match lstm_unit(model.graph, &candidates.layers[layer]) {
            None => push(None, None, &(0..keep.len()).collect::<Vec<_>>()),
            Some(unit) => {
                let direction = match unit.direction {
                    Direction::Forward => "forward",
                    Direction::Reverse => "reverse",
                };
                let seen = heads.entry((block, direction)).or_default();
                for units in passes::heads(model.graph, unit) {
                    push(Some(*seen), Some(direction), &units);
                    *seen += 1;
                }
            }
        }
    }
    let mut blocks: BTreeMap<&str, usize> = BTreeMap::new();
    for (block, _) in &candidates.groups {
        let next = blocks.len();
        blocks.entry(block).or_insert(next);
    }
    rows.sort_by_key(|row| (blocks[row.block.as_str()], row.part, row.head, row.direction));
    rows
}
