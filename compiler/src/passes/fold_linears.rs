//! Multiplies two matrices in a row ahead of time, where the product takes less time than the two. May import: `cost`,
//! `ir`, `blocks`, `matrix`, `tables`.
//!
//! Blocks of zeros have been found before, in the two as in the product: both sides cost what they really would. A
//! constant for each row that the first adds goes through the second's matrix, and is added there.

use super::matrix::Dense;
use super::tables::{self, Table};
use super::{Change, blocks};
use crate::cost::{CostModel, shown};
use crate::error::Result;
use crate::ir::{Activation, Graph, Linear, Op, Use};

pub(super) fn run(graph: &mut Graph, costs: &CostModel) -> Result<Change> {
    let mut change = Change::default();
    let mut index = 0;
    while index < graph.nodes.len() {
        let pair = second(graph, index);
        match pair.map(|second| fold(graph, costs, index, second, &mut change)).transpose()?.flatten() {
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
        Op::Linear(first) if first.act == Activation::None => {
            if first.residual && tables::table(graph, node.inputs[1]).is_none() {
                return None;
            }
        }
        _ => return None,
    }
    match graph.use_lists()[node.output.0 as usize][..] {
        [Use::Input { node, slot: 0 }] => matches!(graph.nodes[node].op, Op::Linear(_)).then_some(node),
        _ => None,
    }
}

/// Folds `first` into `second` if that costs less. Says so either way.
fn fold(
    graph: &mut Graph,
    costs: &CostModel,
    first: usize,
    second: usize,
    change: &mut Change,
) -> Result<Option<()>> {
    let (Op::Linear(a), Op::Linear(b)) = (&graph.nodes[first].op, &graph.nodes[second].op) else {
        return Ok(None);
    };
    let (a, b) = (a.clone(), b.clone());
    let operand = graph.nodes[first].inputs[0];
    let [rows, depth] = graph.dims(operand);
    let names = format!("`{}` and `{}`", graph.nodes[first].name, graph.nodes[second].name);
    let table = graph.nodes[first].inputs.get(1).and_then(|id| tables::table(graph, *id));
    if table.is_some() && b.act != Activation::None {
        return Ok(None);
    }
    let matrices = Dense::of(graph, &a, depth).zip(Dense::of(graph, &b, a.cols));
    let Some((product, matrix)) = matrices.and_then(|(a, b)| Some((a.times(&b)?, b))) else {
        change.note(format!("{names}: apart, too large to look at"));
        return Ok(None);
    };
    let ranges = blocks::ranges(costs, rows, &product);
    let mut folded = blocks::cost(costs, rows, &ranges);
    let mut apart = costs.linear(rows, &a.groups) + costs.linear(rows, &b.groups) + costs.call();
    if table.is_some() {
        apart += costs.table(rows, a.cols);
        folded += tables::added_cost(graph, costs, second);
    }
    let (folded_text, apart_text) = (shown(folded), shown(apart));
    if folded >= apart {
        change.note(format!("{names}: apart, {apart_text} for {folded_text} folded"));
        return Ok(None);
    }
    change.note(format!("{names}: folded, {folded_text} for {apart_text} apart"));
    change.count += 1;
    let groups = blocks::groups(graph, &product, &ranges);
    let node = &mut graph.nodes[second];
    node.op = Op::Linear(Linear { groups, ..b });
    node.inputs[0] = operand;
    if let Some(table) = table {
        let mut sum = Table::zeros(rows, matrix.cols);
        sum.add_product(&Table::of(graph, table), &matrix);
        tables::add(graph, second, &sum)?;
    }
    Ok(Some(()))
}
