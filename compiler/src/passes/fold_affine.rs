//! Moves scales and shifts into their neighbours: the product or normalisation before, or the products after.
//! May import: `ir`, `columns`, `matrix`.

use super::Change;
use super::columns::{absorb, add_bias, readers_of_rows};
use super::matrix::{map, vector, vector_or};
use crate::error::Result;
use crate::ir::{Activation, Graph, Op, WeightId};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut change = Change::default();
    let mut index = 0;
    while index < graph.nodes.len() {
        match fold(graph, index) {
            Some(next) => {
                index = next;
                change.count += 1;
            }
            None => index += 1,
        }
    }
    let left = graph.nodes.iter().filter(|node| matches!(node.op, Op::Affine { .. }));
    change.notes = left.map(|node| format!("`{}`: kept, no neighbour can take it", node.name)).collect();
    Ok(change)
}

/// Folds node `index` into a neighbour; gives the index from which to go on.
fn fold(graph: &mut Graph, index: usize) -> Option<usize> {
    let Op::Affine { scale, shift } = graph.nodes[index].op else { return None };
    let (from, to) = (graph.nodes[index].output, graph.nodes[index].inputs[0]);
    let affine = Vectors::of(graph, scale, shift, graph.dims(from)[1]);
    if let Some(before) = fold_back(graph, index, &affine) {
        graph.nodes.remove(before);
        return Some(index - 1);
    }
    let readers = readers_of_rows(graph, from)?;
    absorb(graph, &readers, affine.scale.as_deref(), affine.shift.as_deref());
    graph.replace_uses(from, to);
    graph.nodes.remove(index);
    Some(index)
}

/// `x ⊙ scale + shift`; what is `None` is not there.
struct Vectors {
    scale: Option<Vec<f64>>,
    shift: Option<Vec<f64>>,
}

impl Vectors {
    fn of(graph: &Graph, scale: Option<WeightId>, shift: Option<WeightId>, cols: usize) -> Self {
        Self {
            scale: scale.map(|_| vector_or(graph, scale, cols, 1.0)),
            shift: shift.map(|_| vector_or(graph, shift, cols, 0.0)),
        }
    }

    /// First this, then the other, as constants.
    fn then(&self, graph: &mut Graph, after: &Self) -> (Option<WeightId>, Option<WeightId>) {
        let times = |a: &Option<Vec<f64>>, b: &Option<Vec<f64>>| match (a, b) {
            (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>()),
            (one, None) | (None, one) => one.clone(),
        };
        let scale = times(&self.scale, &after.scale);
        let moved = self.shift.as_ref().and_then(|_| times(&self.shift, &after.scale));
        let shift = match (moved, &after.shift) {
            (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>()),
            (one, None) => one,
            (None, other) => other.clone(),
        };
        let mut constant = |data: Option<Vec<f64>>| data.map(|data| vector(graph, &data));
        (constant(scale), constant(shift))
    }
}

/// Folds node `index` into the one before it, which nothing else reads; gives the index of that one, now superfluous.
fn fold_back(graph: &mut Graph, index: usize, affine: &Vectors) -> Option<usize> {
    let operand = graph.nodes[index].inputs[0];
    let before = graph.producer(operand).filter(|_| graph.uses(operand) == 1)?;
    let mut op = graph.nodes[before].op.clone();
    let cols = graph.dims(operand)[1];
    match &mut op {
        Op::Affine { scale, shift } => {
            (*scale, *shift) = Vectors::of(graph, *scale, *shift, cols).then(graph, affine);
        }
        Op::LayerNorm { scale, shift, .. } => {
            (*scale, *shift) = Vectors::of(graph, *scale, *shift, cols).then(graph, affine);
        }
        Op::Embedding { table } if reads_alone(graph, *table) => {
            let value = |vector: &Option<Vec<f64>>, col: usize, otherwise: f64| {
                vector.as_ref().map_or(otherwise, |vector| vector[col])
            };
            let moved = |_: usize, col: usize, w: f64| {
                w * value(&affine.scale, col, 1.0) + value(&affine.shift, col, 0.0)
            };
            *table = map(graph, *table, moved);
        }
        Op::PatchEmbed { weight, bias, .. } => {
            if let Some(scale) = &affine.scale {
                *weight = map(graph, *weight, |_, col, w| w * scale[col]);
            }
            *bias = Vectors::of(graph, None, *bias, cols).then(graph, affine).1;
        }
        Op::Linear(linear)
            if linear.act == Activation::None && (affine.scale.is_none() || !linear.residual) =>
        {
            if let Some(scale) = &affine.scale {
                for group in &mut linear.groups {
                    let scale = &scale[group.output.clone()];
                    group.weight = map(graph, group.weight, |_, col, w| w * scale[col]);
                    group.bias = group.bias.map(|bias| map(graph, bias, |_, col, b| b * scale[col]));
                }
            }
            if let Some(shift) = &affine.shift {
                add_bias(graph, linear, shift);
            }
        }
        _ => return None,
    }
    let (name, inputs) = (graph.nodes[before].name.clone(), graph.nodes[before].inputs.clone());
    let node = &mut graph.nodes[index];
    (node.op, node.name, node.inputs) = (op, name, inputs);
    Some(before)
}

/// Whether one node alone reads a constant: else a second copy of a table would cost more than the sum.
fn reads_alone(graph: &Graph, weight: WeightId) -> bool {
    graph.nodes.iter().flat_map(|node| node.op.weights()).filter(|id| *id == weight).count() == 1
}
