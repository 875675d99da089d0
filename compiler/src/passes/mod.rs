//! Rewrites of the graph that keep its meaning: the ordered list, and what runs it. One file per pass; `docs/passes.md`
//! says why this order. May import: `ir`, `cost`, `error`.
//!
//! A pass changes the graph in place and says what it did. After each one the verifier runs; an error names the pass.

mod blocks;
mod columns;
mod fold_affine;
mod fold_constants;
mod fold_layer_norm;
mod fold_linears;
mod fold_series;
mod fuse_epilogue;
mod heads;
mod matrix;
mod merge_heads;
mod remove_dead_code;
mod remove_dead_units;
mod split_heads;
mod split_linear;
mod tables;
mod trim_rows;

use std::collections::BTreeSet;

use serde::Serialize;
pub(crate) use split_heads::heads;

use crate::cost::{CostModel, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Graph, verify};

/// One rewrite.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Its name: the file, the option that switches it off, the golden files.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    /// Less work on every target, or none at all.
    Always(fn(&mut Graph) -> Result<Change>),
    /// What is done, and where, is the cheapest by the target's cost model.
    Costed(fn(&mut Graph, &CostModel) -> Result<Change>),
}

/// All passes, in the order in which they run.
pub const PASSES: &[Pass] = &[
    pass("remove_dead_code", "drop what no output needs, and what changes nothing", remove_dead_code::run),
    pass("fold_constants", "compute ahead what depends on constants only", fold_constants::run),
    pass("fuse_epilogue", "let activations and sums ride on the product before them", fuse_epilogue::run),
    pass("merge_heads", "make one operation of the heads of a mixer", merge_heads::run),
    pass("remove_dead_units", "remove hidden units that nobody reads", remove_dead_units::run),
    costed("fold_series", "evaluate ahead hidden units whose values no input changes", fold_series::run),
    pass("fold_constants", "compute ahead what depends on constants only", fold_constants::run),
    costed("split_heads", "cut a block-diagonal LSTM into its heads", split_heads::run),
    costed("trim_rows", "compute only the tokens that are needed", trim_rows::run),
    pass("remove_dead_code", "drop what no output needs, and what changes nothing", remove_dead_code::run),
    pass("fold_layer_norm", "move scale and shift of a LayerNorm into what follows", fold_layer_norm::run),
    pass("fold_affine", "move scales and shifts into their neighbours", fold_affine::run),
    costed("split_linear", "skip blocks of zeros in a matrix", split_linear::run),
    costed(
        "fold_linears",
        "multiply matrices in a row ahead of time where that costs less",
        fold_linears::run,
    ),
    pass("remove_dead_code", "drop what no output needs, and what changes nothing", remove_dead_code::run),
];

const fn pass(name: &'static str, about: &'static str, run: fn(&mut Graph) -> Result<Change>) -> Pass {
    Pass { name, about, run: Run::Always(run) }
}

const fn costed(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Graph, &CostModel) -> Result<Change>,
) -> Pass {
    Pass { name, about, run: Run::Costed(run) }
}

/// What one run of a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Change {
    /// Number of changes, in the pass's own unit.
    count: usize,
    /// What was chosen and why, for people.
    notes: Vec<String>,
}

impl Change {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// Which passes run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassOptions {
    without: BTreeSet<&'static str>,
}

impl PassOptions {
    /// Switches a pass off. An unknown name is an error with the nearest one as a hint.
    pub fn without(mut self, name: &str) -> Result<Self> {
        self.without.insert(find(name)?.name);
        Ok(self)
    }
}

/// What the passes did, for reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One entry for each pass that ran, in order.
    pub passes: Vec<Entry>,
}

/// What one pass did.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Name of the pass.
    pub pass: &'static str,
    /// Whether the target's cost model chose.
    pub by_cost: bool,
    /// Number of changes; 0 where it found nothing to do.
    pub count: usize,
    /// What was chosen and why.
    pub notes: Vec<String>,
    /// Work before it ran.
    pub before: Work,
    /// Work after it ran.
    pub after: Work,
    /// What it saved: before less after.
    pub saved: Saved,
}

/// A difference of work; negative where there is more than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Saved {
    /// Multiply-adds of all products, padding not counted.
    pub multiply_adds: i64,
    /// Bytes of the constants that are used.
    pub weight_bytes: i64,
    /// Predicted milliseconds of one run on one core.
    pub predicted_ms: f64,
}

impl Saved {
    /// Before less after.
    pub fn between(before: &Work, after: &Work) -> Self {
        let less = |before: u64, after: u64| {
            let size = i64::try_from(before.abs_diff(after)).unwrap_or(i64::MAX);
            if before >= after { size } else { -size }
        };
        Self {
            multiply_adds: less(before.multiply_adds, after.multiply_adds),
            weight_bytes: less(before.weight_bytes, after.weight_bytes),
            predicted_ms: before.predicted_ms - after.predicted_ms,
        }
    }
}

/// The pass of that name.
pub fn find(name: &str) -> Result<&'static Pass> {
    PASSES.iter().find(|pass| pass.name == name).ok_or_else(|| {
        let error = Error::new(ErrorKind::InvalidIr, format!("no such pass `{name}`"));
        let near = PASSES.iter().max_by(|a, b| {
            let likeness = |pass: &Pass| strsim::jaro_winkler(pass.name, name);
            likeness(a).total_cmp(&likeness(b))
        });
        near.map_or(error.clone(), |near| error.hint(format!("did you mean `{}`?", near.name)))
    })
}

impl Pass {
    /// Runs this pass alone on a verified graph, and the verifier after it.
    pub fn run(&self, graph: &mut Graph, costs: &CostModel) -> Result<Entry> {
        let in_pass = |error: Error| Error { what: format!("pass `{}`: {}", self.name, error.what), ..error };
        let before = Work::of(graph, costs);
        let change = match self.run {
            Run::Always(run) => run(graph),
            Run::Costed(run) => run(graph, costs),
        };
        let change = change.and_then(|change| verify(graph).map(|()| change)).map_err(in_pass)?;
        let after = Work::of(graph, costs);
        Ok(Entry {
            pass: self.name,
            by_cost: matches!(self.run, Run::Costed(_)),
            count: change.count,
            notes: change.notes,
            before,
            after,
            saved: Saved::between(&before, &after),
        })
    }
}

/// Verifies the graph, then runs all passes but those switched off, which choose by a target's costs.
pub fn run(graph: &mut Graph, costs: &CostModel, options: &PassOptions, report: &mut Report) -> Result<()> {
    verify(graph)?;
    for pass in PASSES.iter().filter(|pass| !options.without.contains(pass.name)) {
        report.passes.push(pass.run(graph, costs)?);
    }
    Ok(())
}
