//! Removes hidden units whose value nobody reads, exactly, until none is left. May import: `ir`,
//! `blocks`, `columns`, `heads`, `matrix`.
//!
//! Masks zero weights, never biases: a dead unit still computes something, so what counts is who reads it.
//!
//! - An LSTM's hidden unit goes if the products that follow and all hidden units that stay multiply it by zero.
//! - A column of a product goes if all that follow multiply it by zero, or if its own weights are all zero: then it is
//!   the constant `act(bias)`, which moves into the biases of what follows. This covers MLPs.
//! - A product without any inputs left is a constant row: the sum it takes part in becomes a shift.
//!
//! A hidden unit that is read but depends on nothing except its bias is a series in time; it stays.

use std::collections::BTreeMap;

use super::Change;
use super::blocks::hull_of;
use super::columns::{absorb, add_bias, read_columns, readers, select, select_outputs};
use super::heads::part;
use super::matrix::{vector, vector_or};
use crate::error::Result;
use crate::ir::eval::activation;
use crate::ir::{Graph, Linear, LstmUnit, MultiHeadLstm, Op, Use, ValueId};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut removed: BTreeMap<ValueId, Removed> = BTreeMap::new();
    let mut change = Change::default();
    loop {
        let mut progress = 0;
        // From the end, so that what is not read further down is gone already.
        for index in (0..graph.nodes.len()).rev() {
            let node = graph.nodes[index].clone();
            let of = graph.dims(node.output)[1];
            let count = match &node.op {
                Op::MultiHeadLstm(lstm) => {
                    progress += unread_inputs(graph, index, lstm);
                    dead_hidden(graph, index)
                }
                Op::Linear(linear) if linear.groups.iter().all(|group| group.input.is_empty()) => {
                    progress += constant_row(graph, index, linear);
                    dead_columns(graph, index, linear)
                }
                Op::Linear(linear) => dead_columns(graph, index, linear),
                _ => 0,
            };
            if count > 0 {
                let entry = removed.entry(node.output).or_insert(Removed { name: node.name, count: 0, of });
                entry.count += count;
                progress += count;
            }
        }
        if progress == 0 {
            break;
        }
        change.count += progress;
    }
    change.notes = removed.values().map(|r| format!("`{}`: {} of {} units", r.name, r.count, r.of)).collect();
    let series = graph.nodes.iter().map(|node| constant_series(graph, &node.op)).sum::<usize>();
    if series > 0 {
        change.note(format!("{series} hidden units that depend on their bias alone are read, and stay"));
    }
    Ok(change)
}

struct Removed {
    name: String,
    count: usize,
    of: usize,
}

/// Narrows the input ranges of an LSTM to what its hidden units read; gives the number of columns left out.
fn unread_inputs(graph: &mut Graph, index: usize, lstm: &MultiHeadLstm) -> usize {
    let mut count = 0;
    let mut units = lstm.units.clone();
    for unit in &mut units {
        let mut read = vec![false; unit.input.len()];
        for row in graph.weight(unit.w).data.chunks(unit.input.len().max(1)) {
            read.iter_mut().zip(row).for_each(|(read, x)| *read |= *x != 0.0);
        }
        let (start, every) = (unit.input.start, (0..unit.hidden).collect::<Vec<_>>());
        let inside = hull_of((0..read.len()).filter(|i| read[*i]));
        count += read.len() - inside.len();
        *unit = part(graph, unit, &every, inside.start + start..inside.end + start);
    }
    graph.nodes[index].op = Op::MultiHeadLstm(MultiHeadLstm { units });
    count
}

/// Removes hidden units of node `index` that nobody reads; gives their number.
fn dead_hidden(graph: &mut Graph, index: usize) -> usize {
    let Op::MultiHeadLstm(lstm) = &graph.nodes[index].op else { return 0 };
    let (lstm, output) = (lstm.clone(), graph.nodes[index].output);
    let before = graph.dims(output)[1];
    let Some(readers) = readers(graph, output) else { return 0 };
    let read = read_columns(graph, &readers, before);
    let mut keep = Vec::new();
    let mut units = Vec::new();
    for unit in &lstm.units {
        let live = live(graph, unit, &read[unit.output..unit.output + unit.hidden]);
        if !live.is_empty() {
            units.push(LstmUnit { output: keep.len(), ..part(graph, unit, &live, unit.input.clone()) });
            keep.extend(live.iter().map(|j| unit.output + j));
        }
    }
    if keep.len() < before {
        select(graph, &readers, &keep);
        if units.is_empty() {
            bypass(graph, index, &readers);
        } else {
            set_cols(graph, output, keep.len());
            graph.nodes[index].op = Op::MultiHeadLstm(MultiHeadLstm { units });
        }
    }
    before - keep.len()
}

/// The hidden units of one unit that are read outside, or feed one that is.
fn live(graph: &Graph, unit: &LstmUnit, read: &[bool]) -> Vec<usize> {
    let r = &graph.weight(unit.r).data;
    let mut live = read.to_vec();
    let mut stack: Vec<usize> = (0..unit.hidden).filter(|j| live[*j]).collect();
    while let Some(reader) = stack.pop() {
        for gate in 0..4 {
            let row = &r[(gate * unit.hidden + reader) * unit.hidden..][..unit.hidden];
            for (j, _) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                if !std::mem::replace(&mut live[j], true) {
                    stack.push(j);
                }
            }
        }
    }
    (0..unit.hidden).filter(|j| live[*j]).collect()
}

/// Removes columns of node `index` that are not read, or are constant.
fn dead_columns(graph: &mut Graph, index: usize, linear: &Linear) -> usize {
    let output = graph.nodes[index].output;
    let Some(readers) = readers(graph, output).filter(|_| !linear.residual) else { return 0 };
    let read = read_columns(graph, &readers, linear.cols);
    let varies = varying(graph, linear);
    let keep: Vec<usize> = (0..linear.cols).filter(|n| read[*n] && varies[*n]).collect();
    if keep.len() == linear.cols {
        return 0;
    }
    let mut constants = constant_values(graph, linear);
    constants.iter_mut().zip(&varies).filter(|(_, varies)| **varies).for_each(|(c, _)| *c = 0.0);
    if constants.iter().any(|c| *c != 0.0) {
        absorb(graph, &readers, None, Some(&constants));
    }
    select(graph, &readers, &keep);
    if keep.is_empty() {
        bypass(graph, index, &readers);
    } else {
        graph.nodes[index].op = Op::Linear(select_outputs(graph, linear, &keep));
        set_cols(graph, output, keep.len());
    }
    linear.cols - keep.len()
}

/// Which columns depend on the input at all.
fn varying(graph: &Graph, linear: &Linear) -> Vec<bool> {
    let mut varies = vec![false; linear.cols];
    for group in &linear.groups {
        for row in graph.weight(group.weight).data.chunks(group.output.len()) {
            varies[group.output.clone()].iter_mut().zip(row).for_each(|(varies, x)| *varies |= *x != 0.0);
        }
    }
    varies
}

/// What each column is when its weights are zero.
fn constant_values(graph: &Graph, linear: &Linear) -> Vec<f64> {
    let mut values = vec![0.0; linear.cols];
    for group in &linear.groups {
        let bias = vector_or(graph, group.bias, group.output.len(), 0.0);
        values[group.output.clone()].iter_mut().zip(bias).for_each(|(v, b)| *v = activation(linear.act, b));
    }
    values
}

/// Node `index` has no inputs left: moves what it adds to a sum into a shift. Counts the places.
fn constant_row(graph: &mut Graph, index: usize, linear: &Linear) -> usize {
    let values = constant_values(graph, linear);
    let output = graph.nodes[index].output;
    if linear.residual {
        let shift = Some(vector(graph, &values));
        let node = &mut graph.nodes[index];
        node.op = Op::Affine { scale: None, shift };
        node.inputs.remove(0);
        return 1;
    }
    let mut count = 0;
    for usage in graph.use_lists().swap_remove(output.0 as usize) {
        let Use::Input { node, slot } = usage else { continue };
        let mut op = graph.nodes[node].op.clone();
        match &mut op {
            Op::Add if graph.nodes[node].inputs[1 - slot] != output => {
                op = Op::Affine { scale: None, shift: Some(vector(graph, &values)) };
            }
            Op::Linear(reader) if slot == 1 && reader.act == crate::ir::Activation::None => {
                add_bias(graph, reader, &values);
                reader.residual = false;
            }
            _ => continue,
        }
        graph.nodes[node].inputs.remove(slot);
        graph.nodes[node].op = op;
        count += 1;
    }
    count
}

/// Removes node `index`, whose readers have no use for it any more: they still need an operand with as many rows.
fn bypass(graph: &mut Graph, index: usize, readers: &[usize]) {
    let operand = graph.nodes[index].inputs[0];
    for reader in readers {
        graph.nodes[*reader].inputs[0] = operand;
    }
    graph.nodes.remove(index);
}

fn set_cols(graph: &mut Graph, value: ValueId, cols: usize) {
    let shape = &mut graph.values[value.0 as usize].shape;
    *shape = shape.with_cols(cols);
}

/// Hidden units whose gates depend on neither input nor hidden state.
fn constant_series(graph: &Graph, op: &Op) -> usize {
    let Op::MultiHeadLstm(lstm) = op else { return 0 };
    let zero =
        |id, row: usize, len: usize| graph.weight(id).data[row * len..][..len].iter().all(|x| *x == 0.0);
    let count = |unit: &LstmUnit| {
        let constant = |j: &usize| {
            (0..4).all(|gate| {
                let row = gate * unit.hidden + j;
                zero(unit.w, row, unit.input.len()) && zero(unit.r, row, unit.hidden)
            })
        };
        (0..unit.hidden).filter(constant).count()
    };
    lstm.units.iter().map(count).sum()
}
