//! Cuts an LSTM unit whose matrices are block diagonal into one unit per block: its heads. May import: `ir`, `blocks`,
//! `columns`, `heads`, `cost`.
//!
//! Two hidden units belong together if one feeds the other through R, or if both read the same input channel through W.
//! Each block reads the smallest range that holds its channels. Blocks stay together where that takes less than two thirds
//! of the time: apart, they can run on several cores.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Change;
use super::blocks::{Piece, Sets, cheapest_cut, hull, hull_of};
use super::columns::{readers, select};
use super::heads::{Order, order, part};
use crate::cost::{CostModel, Picoseconds, shown};
use crate::error::Result;
use crate::ir::{Graph, LstmUnit, MultiHeadLstm, Op};

pub(super) fn run(graph: &mut Graph, costs: &CostModel) -> Result<Change> {
    let mut change = Change::default();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Op::MultiHeadLstm(lstm) = &node.op else { continue };
        let (lstm, output, name) = (lstm.clone(), node.output, node.name.clone());
        let rows = graph.dims(output)[0];
        let blocks: Vec<Vec<Block>> =
            lstm.units.iter().map(|unit| blocks(graph, costs, rows, unit)).collect();
        let count: usize = blocks.iter().map(Vec::len).sum();
        if count == lstm.units.len() {
            continue;
        }
        let before: Picoseconds =
            lstm.units.iter().map(|unit| costs.unit(rows, unit.input.len(), unit.hidden)).sum();
        let after: Picoseconds = blocks
            .iter()
            .flatten()
            .map(|block| costs.unit(rows, block.input.len(), block.hidden.len()))
            .sum();
        let columns: Vec<usize> = lstm
            .units
            .iter()
            .zip(&blocks)
            .flat_map(|(unit, blocks)| blocks.iter().flat_map(|b| b.hidden.iter().map(|j| unit.output + j)))
            .collect();
        if !columns.is_sorted() {
            let Some(readers) = readers(graph, output) else {
                change.note(format!(
                    "`{name}`: not split, its blocks are interleaved and its outputs can't be moved"
                ));
                continue;
            };
            select(graph, &readers, &columns);
        }
        let mut units: Vec<LstmUnit> = Vec::with_capacity(count);
        for (unit, blocks) in lstm.units.iter().zip(&blocks) {
            for block in blocks {
                let output = units.last().map_or(0, |last| last.output + last.hidden);
                units.push(LstmUnit { output, ..part(graph, unit, &block.hidden, block.input.clone()) });
            }
        }
        name_heads(&mut units);
        graph.nodes[index].op = Op::MultiHeadLstm(MultiHeadLstm { units });
        let pinned = if order(graph, index) == Order::Pinned { ", outputs keep their order" } else { "" };
        change.count += 1;
        change.note(format!(
            "`{name}`: {} units cut into {count}, {} for {}{pinned}",
            lstm.units.len(),
            shown(after),
            shown(before)
        ));
    }
    Ok(change)
}

/// The hidden units of each head of one LSTM unit, ascending; heads by first channel.
pub(crate) fn heads(graph: &Graph, unit: &LstmUnit) -> Vec<Vec<usize>> {
    components(graph, unit).into_iter().map(|block| block.hidden).collect()
}

/// Hidden units that belong together, ascending, and the inputs that they read.
struct Block {
    hidden: Vec<usize>,
    input: Range<usize>,
}

/// The cheapest blocks of one unit.
fn blocks(graph: &Graph, costs: &CostModel, rows: usize, unit: &LstmUnit) -> Vec<Block> {
    let components = components(graph, unit);
    let piece = |block: &Block| Piece { input: block.input.clone(), width: block.hidden.len() };
    let pieces: Vec<_> = components.iter().map(piece).collect();
    let join = |run: Range<usize>| {
        let mut hidden: Vec<_> =
            components[run.clone()].iter().flat_map(|block| block.hidden.iter().copied()).collect();
        hidden.sort_unstable();
        Block { hidden, input: components[run].iter().fold(0..0, |range, block| hull(&range, &block.input)) }
    };
    let cost = |count: usize, k: usize, hidden: usize| {
        let together = costs.unit(rows, k, hidden);
        if count > 1 { together.saturating_add(together / 2) } else { together }
    };
    let runs = cheapest_cut(&pieces, cost);
    if let [run] = &runs[..] {
        // One block is the unit as it is: its inputs are not trimmed here.
        return vec![Block { input: unit.input.clone(), ..join(run.clone()) }];
    }
    runs.into_iter().map(join).collect()
}

/// The connected components, by first channel. A hidden unit that neither reads a channel nor is connected to one that
/// does stays with the hidden unit before it.
fn components(graph: &Graph, unit: &LstmUnit) -> Vec<Block> {
    let (hidden, inputs) = (unit.hidden, unit.input.len());
    let mut sets = Sets::new(hidden + inputs);
    let mut join = |id, len: usize, first: usize| {
        for (row, weights) in graph.weight(id).data.chunks(len.max(1)).enumerate() {
            for (col, _) in weights.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                sets.join(row % hidden, first + col);
            }
        }
    };
    join(unit.r, hidden, 0);
    join(unit.w, inputs, hidden);
    let mut reads = vec![false; hidden + inputs];
    for channel in hidden..hidden + inputs {
        // A set's root is its smallest member: a hidden unit, unless nobody reads the channel.
        reads[sets.find(channel)] = true;
    }
    let first = (0..hidden).find(|j| reads[sets.find(*j)]).unwrap_or(0);
    for j in 0..hidden {
        if !reads[sets.find(j)] {
            sets.join(j, if j == 0 { first } else { j - 1 });
            let root = sets.find(j);
            reads[root] = true;
        }
    }
    let mut blocks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for i in 0..hidden + inputs {
        blocks.entry(sets.find(i)).or_default().push(i);
    }
    let mut blocks: Vec<Block> = blocks
        .into_values()
        .filter(|members| members[0] < hidden)
        .map(|members| {
            let channels = members.iter().filter(|i| **i >= hidden);
            let input = hull_of(channels.map(|i| i - hidden + unit.input.start));
            Block { hidden: members.into_iter().filter(|i| *i < hidden).collect(), input }
        })
        .collect();
    blocks.sort_by_key(|block| (block.input.start, block.hidden[0]));
    blocks
}

/// Gives units of one head the same number: they had the same before, and their inputs overlap.
fn name_heads(units: &mut [LstmUnit]) {
    let mut sorted: Vec<usize> = (0..units.len()).collect();
    sorted.sort_by_key(|i| (units[*i].head, units[*i].input.start));
    let mut head = 0;
    let mut last: Option<(usize, Range<usize>)> = None;
    for i in sorted {
        let (old, input) = (units[i].head, units[i].input.clone());
        let end = match &last {
            Some((other, range)) if *other == old && input.start < range.end.max(range.start + 1) => {
                input.end.max(range.end)
            }
            _ => {
                head += usize::from(last.is_some());
                input.end
            }
        };
        units[i].head = head;
        last = Some((old, input.start..end));
    }
}
