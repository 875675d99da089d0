//! The threshold that meets the goal: the fewest units pruned, least important first, so that what is left costs no more.
//! May import: `cost`, `ir`, `masks`, `passes`, `precision`, `schedule`, `target`, `error`.

use std::collections::BTreeMap;

use super::{Candidates, Cost, Goal, Options, Part, crosses};
use crate::cost::{CostModel, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::masks::apply::zero_cross;
use crate::masks::parameter::Model;
use crate::passes::{self, PassOptions};
use crate::precision::DtypeOptions;
use crate::schedule;
use crate::target::Target;

/// A choice that meets the goal.
pub(super) struct Found {
    /// For each layer and unit.
    pub(super) keep: Vec<Vec<bool>>,
    /// Units of less importance are pruned.
    pub(super) threshold: f64,
    pub(super) before: Cost,
    pub(super) after: Cost,
}

/// A unit that may go.
struct Unit {
    layer: usize,
    index: usize,
    importance: f64,
}

pub(super) fn search(
    model: Model<'_>,
    candidates: &Candidates,
    target: &Target,
    options: &Options,
) -> Result<Found> {
    let goal = options.goal;
    let order = order(candidates);
    let all: usize = candidates.layers.iter().map(|layer| layer.len).sum();
    let choice = |count: usize| -> Vec<Vec<bool>> {
        let mut keep: Vec<_> = candidates.layers.iter().map(|layer| vec![true; layer.len]).collect();
        order[..count].iter().for_each(|unit| keep[unit.layer][unit.index] = false);
        keep
    };
    let cost = |count: usize| cost(model, candidates, &choice(count), target, options);
    let before = cost(0)?;
    let (count, after) = match goal {
        Goal::Sparsity(part) => {
            let count = sparsity_count(part, all)?;
            if count > order.len() {
                return Err(out_of_reach(options, format!("`{:.4}`", order.len() as f64 / all as f64)));
            }
            (count, cost(count)?)
        }
        _ if goal.is_met(&before) => (0, before),
        _ => {
            let mut enough = (order.len(), cost(order.len())?);
            if !goal.is_met(&enough.1) {
                return Err(out_of_reach(options, goal.shown(&enough.1)));
            }
            let mut too_few = 0;
            while enough.0 - too_few > 1 {
                let middle = too_few + (enough.0 - too_few) / 2;
                let tried = cost(middle)?;
                if goal.is_met(&tried) {
                    enough = (middle, tried);
                } else {
                    too_few = middle;
                }
            }
            enough
        }
    };
    let threshold = order.get(count).map_or(f64::INFINITY, |unit| unit.importance);
    Ok(Found { keep: choice(count), threshold, before, after })
}

/// All units that may go, the least important first. The most important one of each block and part stays.
fn order(candidates: &Candidates) -> Vec<Unit> {
    let mut order = Vec::new();
    let mut best: BTreeMap<&(String, Part), (f64, usize)> = BTreeMap::new();
    for (layer, importance) in candidates.importance.iter().enumerate() {
        for (index, &importance) in importance.iter().enumerate() {
            let best = best.entry(&candidates.groups[layer]).or_insert((importance, order.len()));
            if importance > best.0 {
                *best = (importance, order.len());
            }
            order.push(Unit { layer, index, importance });
        }
    }
    let mut stay: Vec<usize> = best.into_values().map(|(_, unit)| unit).collect();
    stay.sort_unstable_by(|a, b| b.cmp(a));
    for unit in stay {
        order.remove(unit);
    }
    // Stable: of equals, the one that stands first in the model.
    order.sort_by(|a, b| a.importance.total_cmp(&b.importance));
    order
}

fn sparsity_count(part: f64, all: usize) -> Result<usize> {
    if !(0.0..=1.0).contains(&part) {
        return Err(Error::new(ErrorKind::OutOfReach, "a sparsity that can't be")
            .expected("`0` to `1`")
            .got(format!("`{part}`")));
    }
    Ok((part * all as f64).round() as usize)
}

/// Compiles what is left, without packing it into an artifact.
fn cost(
    model: Model<'_>,
    candidates: &Candidates,
    keep: &[Vec<bool>],
    target: &Target,
    options: &Options,
) -> Result<Cost> {
    let mut graph = model.graph.clone();
    for (parameter, cross) in crosses(model, &candidates.layers, keep) {
        zero_cross(&mut graph, model.origins, parameter, &cross);
    }
    let dtype = DtypeOptions { dtype: options.dtype, ..DtypeOptions::default() };
    let costs = CostModel::of(target).with_precision(dtype.default_precision(target)?);
    passes::run(&mut graph, &costs, &PassOptions::default(), &mut passes::Report::default())?;
    let scheduled = schedule::plan(&graph, target, &dtype)?;
    Ok(Cost {
        parameters: Work::of(&graph, &costs).parameters,
        multiply_adds: scheduled.costs.iter().map(|cost| cost.multiply_adds).sum(),
        predicted_ms: scheduled.costs.iter().map(|cost| cost.predicted_ms).sum(),
    })
}

impl Goal {
    fn is_met(self, cost: &Cost) -> bool {
        match self {
            Goal::Sparsity(_) => true,
            Goal::Parameters(most) => cost.parameters <= most,
            Goal::MultiplyAdds(most) => cost.multiply_adds <= most,
            Goal::LatencyMs(most) => cost.predicted_ms <= most,
        }
    }

    /// What a cost is in the goal's terms.
    fn shown(self, cost: &Cost) -> String {
        match self {
            Goal::Sparsity(_) => String::new(),
            Goal::Parameters(_) => format!("`{}`", cost.parameters),
            Goal::MultiplyAdds(_) => format!("`{}`", cost.multiply_adds),
            Goal::LatencyMs(_) => format!("`{:.3}` ms", cost.predicted_ms),
        }
    }
}

fn out_of_reach(options: &Options, got: String) -> Error {
    let expected = match options.goal {
        Goal::Sparsity(part) => format!("a sparsity of `{part}`"),
        Goal::Parameters(most) => format!("at most `{most}` parameters"),
        Goal::MultiplyAdds(most) => format!("at most `{most}` multiply-adds"),
        Goal::LatencyMs(most) => format!("at most `{most}` ms"),
    };
    Error::new(ErrorKind::OutOfReach, "pruning all that may go is not enough")
        .expected(expected)
        .got(got)
        .hint(match options.mlp {
            true => "each block keeps one unit of its mixer and one of its MLP",
            false => "`--mlp` prunes hidden units of the MLPs too; each block keeps one unit",
        })
}
