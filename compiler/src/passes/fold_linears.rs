//! Multiplies two matrices in a row ahead of time, where the product costs less than the two. May import: `ir`,
//! `blocks`, `matrix`, `cost`.
//!
//! Blocks of zeros have been found before, in the two as in the product: both sides cost what they really would.

use super::matrix::Dense;
use super::{Change, blocks, cost};
use crate::error::Result;
use crate::ir::{Activation, Graph, Linear, Op, Use};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut change = Change::default();
    let mut index = 0;
    while index < graph.nodes.len() {
        match second(graph, index).and_then(|second| fold(graph, index, second, &mut change)) {
            // The second has taken the place of both; it may be the first of another pair.
            Some(()) => {
                graph.nodes.remove(index);
            }
            None => index += 1,
        }
    }
    Ok(change)
}

/// The one product that reads product `index`, if they can be folded.
fn second(graph: &Graph, index: usize) -> Option<usize> {
    let node = &graph.nodes[index];
    match &node.op {
        Op::Linear(first) if first.act == Activation::None && !first.residual => {}
        _ => return None,
    }
    match graph.use_lists()[node.output.0 as usize][..] {
        [Use::Input { node, slot: 0 }] => matches!(graph.nodes[node].op, Op::Linear(_)).then_some(node),
        _ => None,
    }
}

/// Folds `first` into `second` if that costs less. Says so either way.
fn fold(graph: &mut Graph, first: usize, second: usize, change: &mut Change) -> Option<()> {
    let (Op::Linear(a), Op::Linear(b)) = (&graph.nodes[first].op, &graph.nodes[second].op) else {
        return None;
    };
    let (a, b) = (a.clone(), b.clone());
    let operand = graph.nodes[first].inputs[0];
    let names = format!("`{}` and `{}`", graph.nodes[first].name, graph.nodes[second].name);
    let matrices = Dense::of(graph, &a, graph.dims(operand)[1]).zip(Dense::of(graph, &b, a.cols));
    let Some(product) = matrices.and_then(|(a, b)| a.times(&b)) else {
        change.note(format!("{names}: apart, too large to look at"));
        return None;
    };
    let ranges = blocks::ranges(&product);
    let folded: u64 = ranges.iter().map(|(input, output)| cost::block(input.len(), output.len())).sum();
    let apart = cost::linear(&a.groups) + cost::linear(&b.groups);
    if folded >= apart {
        change.note(format!("{names}: apart, {apart} multiply-adds a token against {folded} folded"));
        return None;
    }
    change.note(format!("{names}: folded, {folded} multiply-adds a token against {apart} apart"));
    change.count += 1;
    let groups = blocks::groups(graph, &product, &ranges);
    let node = &mut graph.nodes[second];
    node.op = Op::Linear(Linear { groups, ..b });
    node.inputs[0] = operand;
    Some(())
}
