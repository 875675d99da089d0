//! Drops what no output needs, nodes that change nothing, and second copies of a node. Constants that nothing reads
//! any more go with them. May import: `ir`.

use std::collections::{BTreeSet, HashMap};

use super::Change;
use crate::error::Result;
use crate::ir::{Activation, Graph, Op, ValueId};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let count = skip_slices_of_slices(graph) + replace(graph) + sweep(graph);
    graph.normalise();
    Ok(Change { count, ..Change::default() })
}

/// A slice of a slice reads the first one's operand; what is reversed twice is itself.
fn skip_slices_of_slices(graph: &mut Graph) -> usize {
    let producers = graph.producers();
    let mut count = 0;
    for index in 0..graph.nodes.len() {
        let Some(operand) = graph.nodes[index].inputs.first() else { continue };
        let Some(before) = producers[operand.0 as usize] else { continue };
        let op = match (&graph.nodes[index].op, &graph.nodes[before].op) {
            (Op::SliceRows { start, len }, Op::SliceRows { start: first, .. }) => {
                Op::SliceRows { start: start + first, len: *len }
            }
            (Op::SliceCols { start, len }, Op::SliceCols { start: first, .. }) => {
                Op::SliceCols { start: start + first, len: *len }
            }
            (Op::ReverseRows, Op::ReverseRows) => Op::Activation(Activation::None),
            _ => continue,
        };
        graph.nodes[index].op = op;
        graph.nodes[index].inputs = graph.nodes[before].inputs.clone();
        count += 1;
    }
    count
}

/// Lets readers of a node that changes nothing, or that an earlier node equals, read the other value.
fn replace(graph: &mut Graph) -> usize {
    let mut same: Vec<ValueId> = (0..).map(ValueId).take(graph.values.len()).collect();
    let mut seen: HashMap<Vec<ValueId>, Vec<usize>> = HashMap::new();
    let mut dead = BTreeSet::new();
    for index in 0..graph.nodes.len() {
        graph.nodes[index].inputs.iter_mut().for_each(|id| *id = same[id.0 as usize]);
        let node = &graph.nodes[index];
        let earlier = seen.entry(node.inputs.clone()).or_default();
        let other = if is_identity(graph, index) {
            Some(node.inputs[0])
        } else {
            earlier
                .iter()
                .map(|other| &graph.nodes[*other])
                .find(|other| other.op == node.op)
                .map(|n| n.output)
        };
        match other {
            Some(other) => {
                same[node.output.0 as usize] = other;
                dead.insert(index);
            }
            None => earlier.push(index),
        }
    }
    graph.outputs.iter_mut().for_each(|port| port.value = same[port.value.0 as usize]);
    graph.remove_nodes(&dead);
    dead.len()
}

fn is_identity(graph: &Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    match node.op {
        Op::SliceRows { .. } | Op::SliceCols { .. } => {
            graph.value(node.inputs[0]).shape == graph.value(node.output).shape
        }
        Op::ConcatRows | Op::ConcatCols => node.inputs.len() == 1,
        Op::Activation(act) => act == Activation::None,
        Op::Affine { scale, shift } => scale.is_none() && shift.is_none(),
        _ => false,
    }
}

/// Removes nodes whose result no output needs.
fn sweep(graph: &mut Graph) -> usize {
    let mut needed = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|port| needed[port.value.0 as usize] = true);
    let mut dead = BTreeSet::new();
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if needed[node.output.0 as usize] {
            node.inputs.iter().for_each(|id| needed[id.0 as usize] = true);
        } else {
            dead.insert(index);
        }
    }
    graph.remove_nodes(&dead);
    dead.len()
}
