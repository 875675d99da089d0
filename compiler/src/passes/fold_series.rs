//! Evaluates hidden units ahead whose values no input changes, and removes them where that takes less time.
//! May import: `cost`, `ir`, `columns`, `heads`, `tables`.
//!
//! A hidden unit whose rows of W are zero, and whose rows of R read only such units, is a series in time that is the same
//! for every input: masks zero weights, and biases stay. Where it is read, its part of
//!
//! - the products that follow is a constant for each token, added to them;
//! - the gates of other hidden units, through R, is a constant for each token and gate, which takes the place of their
//!   bias.
//!
//! Series are evaluated in f64 and rounded once, where they are added: as every constant that passes compute, closer to
//! the exact value than what a kernel gives, and the same for every target.
//!
//! Adding a table takes time too, so that a unit goes only where the target's cost model says that it pays; one that stays
//! is computed at run time, as exactly. Where the number of tokens varies, units in reverse stay.

use super::Change;
use super::columns::{read_columns, readers, select};
use super::heads::part;
use super::tables::{self, Table};
use crate::cost::{CostModel, Picoseconds, shown};
use crate::error::Result;
use crate::ir::{Activation, Direction, Graph, LstmUnit, MultiHeadLstm, Op, ValueId};

/// Multiply-adds beyond which series are left to be evaluated at run time, and elements of a table.
const MAX_WORK: usize = 1 << 33;
const MAX_TABLE: usize = 1 << 26;

pub(super) fn run(graph: &mut Graph, costs: &CostModel) -> Result<Change> {
    let mut change = Change::default();
    let outputs: Vec<ValueId> = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::MultiHeadLstm(_)))
        .map(|node| node.output)
        .collect();
    for output in outputs {
        if let Some(index) = graph.producer(output) {
            fold(graph, costs, index, &mut change)?;
        }
    }
    Ok(change)
}

/// The hidden units of one unit that no input changes, ascending.
fn constant_units(graph: &Graph, unit: &LstmUnit) -> Vec<usize> {
    let hidden = unit.hidden;
    let mut varies = vec![false; hidden];
    for (row, weights) in graph.weight(unit.w).data.chunks(unit.input.len().max(1)).enumerate() {
        varies[row % hidden] |= weights.iter().any(|x| *x != 0.0);
    }
    // By hidden unit, those that read it.
    let mut readers = vec![Vec::new(); hidden];
    for (row, weights) in graph.weight(unit.r).data.chunks(hidden).enumerate() {
        for (j, _) in weights.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            readers[j].push(row % hidden);
        }
    }
    let mut stack: Vec<usize> = (0..hidden).filter(|j| varies[*j]).collect();
    while let Some(j) = stack.pop() {
        for reader in std::mem::take(&mut readers[j]) {
            if !std::mem::replace(&mut varies[reader], true) {
                stack.push(reader);
            }
        }
    }
    (0..hidden).filter(|j| !varies[*j]).collect()
}

/// One unit whose constant hidden units may go.
struct Candidate {
    /// Index of the unit.
    unit: usize,
    /// Its constant hidden units.
    constant: Vec<usize>,
    /// The others.
    live: Vec<usize>,
    /// Whether constant ones feed others.
    feeds: bool,
    /// Picoseconds that it saves, what is added to readers not counted.
    gain: i128,
}

fn fold(graph: &mut Graph, costs: &CostModel, index: usize, change: &mut Change) -> Result<()> {
    let Op::MultiHeadLstm(lstm) = &graph.nodes[index].op else { return Ok(()) };
    let (lstm, output) = (lstm.clone(), graph.nodes[index].output);
    let (name, [rows, width]) = (graph.nodes[index].name.clone(), graph.dims(output));
    // Where the number of tokens varies, a series from the last one on is another one in each call.
    let varies = graph.value(output).shape.varies();
    let is_fixed = |unit: &&LstmUnit| !varies || unit.direction == Direction::Forward;
    let constants: Vec<Vec<usize>> = lstm
        .units
        .iter()
        .map(|unit| Some(unit).filter(is_fixed).map_or_else(Vec::new, |unit| constant_units(graph, unit)))
        .collect();
    let count: usize = constants.iter().map(Vec::len).sum();
    if count == 0 {
        return Ok(());
    }
    let of_unit = |unit: &Vec<usize>| rows.saturating_mul(4 * unit.len()).saturating_mul(unit.len());
    let work = constants.iter().map(of_unit).fold(0, usize::saturating_add);
    if work > MAX_WORK || rows.saturating_mul(4 * width) > MAX_TABLE {
        change.note(format!("`{name}`: {count} constant hidden units stay, too many to evaluate ahead"));
        return Ok(());
    }
    let takes_table = |reader: &usize| match &graph.nodes[*reader].op {
        Op::Linear(linear) => linear.act == Activation::None,
        _ => true,
    };
    let Some(readers) = readers(graph, output).filter(|readers| readers.iter().all(takes_table)) else {
        change
            .note(format!("`{name}`: {count} constant hidden units stay, what reads them can't add a table"));
        return Ok(());
    };
    let mut chosen: Vec<Candidate> = Vec::new();
    for (unit, constant) in constants.into_iter().enumerate().filter(|(_, constant)| !constant.is_empty()) {
        chosen.push(candidate(graph, costs, &readers, &lstm.units[unit], rows, (unit, constant)));
    }
    let best = chosen.iter().map(|candidate| candidate.gain).max().unwrap_or_default();
    // Where no unit gains by itself, what all of them would cost is worth saying.
    if best > 0 {
        chosen.retain(|candidate| candidate.gain > 0);
    }
    let read = read_columns(graph, &readers, width);
    let is_read = |c: &Candidate| c.constant.iter().any(|j| read[lstm.units[c.unit].output + j]);
    let added: Picoseconds = match chosen.iter().any(is_read) {
        true => readers.iter().map(|reader| reader_cost(graph, costs, *reader)).sum(),
        false => 0,
    };
    let gain = chosen.iter().map(|candidate| candidate.gain).sum::<i128>() - i128::from(added);
    let size = shown(u64::try_from(gain.unsigned_abs()).unwrap_or(u64::MAX));
    if gain <= 0 {
        change.note(format!(
            "`{name}`: {count} constant hidden units stay, evaluating them ahead costs {size} more"
        ));
        return Ok(());
    }
    let removed: usize = chosen.iter().map(|candidate| candidate.constant.len()).sum();
    apply(graph, index, &lstm, &readers, &chosen)?;
    change.count += removed;
    change.note(format!(
        "`{name}`: {removed} of {count} constant hidden units evaluated ahead, which saves {size}"
    ));
    Ok(())
}

fn candidate(
    graph: &Graph,
    costs: &CostModel,
    readers: &[usize],
    of: &LstmUnit,
    rows: usize,
    (unit, constant): (usize, Vec<usize>),
) -> Candidate {
    let live: Vec<usize> = (0..of.hidden).filter(|j| !constant.contains(j)).collect();
    let r = &graph.weight(of.r).data;
    let fed = |j: &usize| {
        let rows = (0..4).map(|gate| &r[(gate * of.hidden + j) * of.hidden..][..of.hidden]);
        rows.into_iter().any(|row| constant.iter().any(|c| row[*c] != 0.0))
    };
    let feeds = live.iter().any(fed);
    let before = costs.unit(rows, of.input.len(), of.hidden);
    let after = if live.is_empty() { 0 } else { costs.unit(rows, of.input.len(), live.len()) };
    let table = if feeds { costs.unit_table(rows, live.len()) } else { 0 };
    let of_readers: Picoseconds = readers
        .iter()
        .map(|reader| {
            let n = graph.dims(graph.nodes[*reader].output)[1];
            costs.block(rows, constant.len(), n).saturating_sub(costs.block(rows, 0, n))
        })
        .sum();
    let gain = i128::from(before) + i128::from(of_readers) - i128::from(after) - i128::from(table);
    Candidate { unit, constant, live, feeds, gain }
}

/// What it takes to add a table to what a reader computes.
fn reader_cost(graph: &Graph, costs: &CostModel, reader: usize) -> Picoseconds {
    let rows = graph.dims(graph.nodes[reader].output)[0];
    match &graph.nodes[reader].op {
        Op::MultiHeadLstm(lstm) => lstm.units.iter().map(|unit| costs.unit_table(rows, unit.hidden)).sum(),
        _ => tables::added_cost(graph, costs, reader),
    }
}

/// Removes the constant units of the candidates from node `index`.
fn apply(
    graph: &mut Graph,
    index: usize,
    lstm: &MultiHeadLstm,
    readers: &[usize],
    chosen: &[Candidate],
) -> Result<()> {
    let (operand, output) = (graph.nodes[index].inputs[0], graph.nodes[index].output);
    let [rows, width] = graph.dims(output);
    // What is removed, as a table over the columns of the LSTM.
    let mut removed = Table::zeros(rows, width);
    let mut keep = Vec::with_capacity(width);
    let mut units = Vec::with_capacity(lstm.units.len());
    for (i, unit) in lstm.units.iter().enumerate() {
        let Some(candidate) = chosen.iter().find(|candidate| candidate.unit == i) else {
            units.push(LstmUnit { output: keep.len(), ..unit.clone() });
            keep.extend(unit.output..unit.output + unit.hidden);
            continue;
        };
        let series = series(graph, unit, &candidate.constant, rows);
        for (to, from) in removed.data.chunks_mut(width).zip(series.data.chunks(series.cols)) {
            candidate.constant.iter().zip(from).for_each(|(j, h)| to[unit.output + j] = *h);
        }
        if candidate.live.is_empty() {
            continue;
        }
        let mut left = part(graph, unit, &candidate.live, unit.input.clone());
        if candidate.feeds {
            left.bias = fed_bias(graph, unit, candidate, &series).constant(graph);
        }
        units.push(LstmUnit { output: keep.len(), ..left });
        keep.extend(candidate.live.iter().map(|j| unit.output + j));
    }
    let additions: Vec<(ValueId, Vec<Table>)> = readers
        .iter()
        .map(|reader| (graph.nodes[*reader].output, additions(graph, *reader, &removed)))
        .collect();
    select(graph, readers, &keep);
    if units.is_empty() {
        for reader in readers {
            graph.nodes[*reader].inputs[0] = operand;
        }
        graph.nodes.remove(index);
    } else {
        graph.nodes[index].op = Op::MultiHeadLstm(MultiHeadLstm { units });
        let shape = &mut graph.values[output.0 as usize].shape;
        *shape = shape.with_cols(keep.len());
    }
    for (output, tables) in additions {
        // Indices move with every node that is put in.
        let Some(reader) = graph.producer(output) else { continue };
        add(graph, reader, &tables)?;
    }
    Ok(())
}

/// The values of the constant units by token, a column for each.
fn series(graph: &Graph, unit: &LstmUnit, constant: &[usize], rows: usize) -> Table {
    let hidden = unit.hidden;
    let (r, bias) = (&graph.weight(unit.r).data, graph.weight(unit.bias));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut series = Table::zeros(rows, constant.len());
    let (mut h, mut c) = (vec![0.0; constant.len()], vec![0.0; constant.len()]);
    for step in 0..rows {
        let t = token(unit.direction, rows, step);
        let bias = &bias.data[t.min(bias.dims[0] - 1) * 4 * hidden..];
        let gate = |gate: usize, j: usize| {
            let row = &r[(gate * hidden + j) * hidden..][..hidden];
            let sum: f64 = constant.iter().zip(&h).map(|(i, h)| f64::from(row[*i]) * h).sum();
            sum + f64::from(bias[gate * hidden + j])
        };
        let gates: Vec<[f64; 4]> = constant.iter().map(|j| [0, 1, 2, 3].map(|g| gate(g, *j))).collect();
        for (i, [input, output, forget, cell]) in gates.into_iter().enumerate() {
            c[i] = sigmoid(forget) * c[i] + sigmoid(input) * cell.tanh();
            h[i] = sigmoid(output) * c[i].tanh();
        }
        series.data[t * series.cols..][..series.cols].copy_from_slice(&h);
    }
    series
}

/// The token of a step.
fn token(direction: Direction, rows: usize, step: usize) -> usize {
    match direction {
        Direction::Forward => step,
        Direction::Reverse => rows - 1 - step,
    }
}

/// The bias of the units that stay, with what constant units feed them, by token: each step reads the step before.
fn fed_bias(graph: &Graph, unit: &LstmUnit, candidate: &Candidate, series: &Table) -> Table {
    let (hidden, live) = (unit.hidden, &candidate.live);
    let (r, bias) = (&graph.weight(unit.r).data, graph.weight(unit.bias));
    let mut table = Table::zeros(series.rows, 4 * live.len());
    for step in 0..series.rows {
        let t = token(unit.direction, series.rows, step);
        let before = step.checked_sub(1).map(|before| token(unit.direction, series.rows, before));
        let h = before.map(|t| &series.data[t * series.cols..][..series.cols]);
        let bias = &bias.data[t.min(bias.dims[0] - 1) * 4 * hidden..];
        for (i, (gate, j)) in (0..4).flat_map(|gate| live.iter().map(move |j| (gate, *j))).enumerate() {
            let row = &r[(gate * hidden + j) * hidden..][..hidden];
            let fed =
                candidate.constant.iter().zip(h.unwrap_or_default()).map(|(c, h)| f64::from(row[*c]) * h);
            table.data[t * table.cols + i] = f64::from(bias[gate * hidden + j]) + fed.sum::<f64>();
        }
    }
    table
}

/// What removed columns contribute to a reader: to a product, or to the gates of each unit of an LSTM.
fn additions(graph: &Graph, reader: usize, removed: &Table) -> Vec<Table> {
    match &graph.nodes[reader].op {
        Op::Linear(linear) => {
            let mut sum = Table::zeros(removed.rows, linear.cols);
            for group in &linear.groups {
                let weight = graph.weight(group.weight);
                for t in 0..removed.rows {
                    let x = &removed.data[t * removed.cols..][group.input.clone()];
                    let sum = &mut sum.data[t * linear.cols..][group.output.clone()];
                    for (x, row) in
                        x.iter().zip(weight.data.chunks(weight.dims[1])).filter(|(x, _)| **x != 0.0)
                    {
                        sum.iter_mut().zip(row).for_each(|(s, w)| *s += x * f64::from(*w));
                    }
                }
            }
            vec![sum]
        }
        Op::MultiHeadLstm(lstm) => {
            lstm.units.iter().map(|unit| gate_additions(graph, unit, removed)).collect()
        }
        _ => Vec::new(),
    }
}

fn gate_additions(graph: &Graph, unit: &LstmUnit, removed: &Table) -> Table {
    let mut sum = Table::zeros(removed.rows, 4 * unit.hidden);
    let w = graph.weight(unit.w);
    for t in 0..removed.rows {
        let x = &removed.data[t * removed.cols..][unit.input.clone()];
        for (s, row) in sum.data[t * sum.cols..][..sum.cols].iter_mut().zip(w.data.chunks(w.dims[1].max(1))) {
            *s = x.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum();
        }
    }
    sum
}

/// Adds to what a reader computes what [`additions`] found.
fn add(graph: &mut Graph, reader: usize, sums: &[Table]) -> Result<()> {
    let Op::MultiHeadLstm(lstm) = &graph.nodes[reader].op else {
        return sums.iter().try_for_each(|sum| tables::add(graph, reader, sum));
    };
    let mut units = lstm.units.clone();
    for (unit, sum) in units.iter_mut().zip(sums).filter(|(_, sum)| !sum.is_zero()) {
        let bias = graph.weight(unit.bias).clone();
        let mut table = sum.clone();
        for (t, row) in table.data.chunks_mut(sum.cols).enumerate() {
            let bias = &bias.data[t.min(bias.dims[0] - 1) * sum.cols..];
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += f64::from(*b));
        }
        unit.bias = table.constant(graph);
    }
    graph.nodes[reader].op = Op::MultiHeadLstm(MultiHeadLstm { units });
    Ok(())
}
