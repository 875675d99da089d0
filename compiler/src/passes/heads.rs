//! Units of a `MultiHeadLstm`: parts of one, and the order in which they stand: head by head, forward before reverse,
//! outputs in the same order. Heads are counted by the first input column that they read.
//! May import: `ir`, `blocks`, `columns`, `matrix`.

use std::collections::BTreeMap;
use std::ops::Range;

use super::blocks::hull;
use super::columns::{readers, select};
use super::matrix::{gather, gather_cols};
use crate::ir::{Direction, Graph, LstmUnit, MultiHeadLstm, Op};

/// What [`order`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Units and outputs stood in order already.
    Kept,
    /// They have been moved.
    Changed,
    /// Outputs stand in another order, and something other than a product with constants reads them.
    Pinned,
}

/// Puts the units of node `index` in order. The units' `head` need only tell heads apart; it is counted anew.
pub(super) fn order(graph: &mut Graph, index: usize) -> Order {
    let node = &graph.nodes[index];
    let Op::MultiHeadLstm(lstm) = &node.op else { return Order::Kept };
    let mut units = lstm.units.clone();
    count_heads(&mut units);
    units
        .sort_by_key(|unit| (unit.head, unit.direction == Direction::Reverse, unit.input.start, unit.output));
    let columns: Vec<usize> = units.iter().flat_map(|unit| unit.output..unit.output + unit.hidden).collect();
    let mut result = Order::Kept;
    if columns.is_sorted() {
        units.sort_by_key(|unit| unit.output);
    } else if let Some(readers) = readers(graph, node.output) {
        select(graph, &readers, &columns);
        let mut output = 0;
        for unit in &mut units {
            unit.output = output;
            output += unit.hidden;
        }
        result = Order::Changed;
    } else {
        units.sort_by_key(|unit| unit.output);
        result = Order::Pinned;
    }
    graph.nodes[index].op = Op::MultiHeadLstm(MultiHeadLstm { units });
    result
}

/// One head: what it was called, and what its units read.
struct Head {
    names: Vec<usize>,
    input: Range<usize>,
    directions: Vec<Direction>,
}

/// Numbers heads from 0, by first input column and then by what they were called. Two that read the same columns, one in
/// each direction, are halves of one head.
fn count_heads(units: &mut [LstmUnit]) {
    let mut by_name: BTreeMap<usize, Head> = BTreeMap::new();
    for unit in units.iter() {
        let new = || Head { names: vec![unit.head], input: unit.input.clone(), directions: Vec::new() };
        let head = by_name.entry(unit.head).or_insert_with(new);
        head.input = hull(&head.input, &unit.input);
        head.directions.push(unit.direction);
    }
    let mut sorted: Vec<Head> = by_name.into_values().collect();
    sorted.sort_by_key(|head| head.input.start);
    let mut heads: Vec<Head> = Vec::new();
    for mut head in sorted {
        let other_half = |other: &&mut Head| {
            other.input == head.input
                && other.directions.iter().all(|direction| !head.directions.contains(direction))
        };
        match heads.iter_mut().find(other_half) {
            Some(half) => {
                half.names.append(&mut head.names);
                half.directions.append(&mut head.directions);
            }
            None => heads.push(head),
        }
    }
    for unit in units {
        unit.head = heads.iter().position(|head| head.names.contains(&unit.head)).unwrap_or_default();
    }
}

/// Some of the hidden units of one unit, in the order given, with `input` inside its input range. What the others
/// contributed is lost: they must not feed these.
pub(super) fn part(graph: &mut Graph, unit: &LstmUnit, hidden: &[usize], input: Range<usize>) -> LstmUnit {
    let columns: Vec<_> = hidden.iter().copied().map(Some).collect();
    let gates: Vec<_> = (0..4).flat_map(|g| hidden.iter().map(move |j| Some(g * unit.hidden + j))).collect();
    let inputs: Vec<_> = input.clone().map(|column| Some(column - unit.input.start)).collect();
    LstmUnit {
        input,
        hidden: hidden.len(),
        w: gather(graph, unit.w, &gates, &inputs),
        r: gather(graph, unit.r, &gates, &columns),
        bias: gather_cols(graph, unit.bias, &gates),
        ..unit.clone()
    }
}
