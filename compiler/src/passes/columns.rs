//! Changing the columns of a value together with everything that reads them. May import: `ir`, `matrix`, `blocks`.

use std::ops::Range;

use super::blocks::hull_of;
use super::matrix::{gather, gather_cols, map, vector, vector_or};
use crate::ir::{Graph, Linear, LinearGroup, LstmUnit, Op, ValueId};

/// The nodes that read a value, if all of them read it as the left operand of a product with constants: then its
/// columns can be dropped, permuted or scaled. `None` if there is another reader, or none at all.
pub(super) fn readers(graph: &Graph, value: ValueId) -> Option<Vec<usize>> {
    collect(graph, value, false)
}

/// Like [`readers`], but slices of rows may stand between: columns can be scaled then, no more.
pub(super) fn readers_of_rows(graph: &Graph, value: ValueId) -> Option<Vec<usize>> {
    collect(graph, value, true)
}

fn collect(graph: &Graph, value: ValueId, through_slices: bool) -> Option<Vec<usize>> {
    let mut values = vec![value];
    let mut readers = Vec::new();
    while let Some(value) = values.pop() {
        if graph.outputs.iter().any(|port| port.value == value) {
            return None;
        }
        for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.inputs.contains(&value)) {
            let is_operand = node.inputs[0] == value && !node.inputs[1..].contains(&value);
            match node.op {
                Op::Linear(_) | Op::MultiHeadLstm(_) if is_operand => readers.push(index),
                Op::SliceRows { .. } if through_slices => values.push(node.output),
                _ => return None,
            }
        }
    }
    Some(readers).filter(|readers| !readers.is_empty())
}

/// Which columns of their operand these readers multiply by something other than zero.
pub(super) fn read_columns(graph: &Graph, readers: &[usize], cols: usize) -> Vec<bool> {
    let mut read = vec![false; cols];
    for reader in readers {
        match &graph.nodes[*reader].op {
            Op::Linear(linear) => {
                for group in &linear.groups {
                    let rows = graph.weight(group.weight).data.chunks(group.output.len());
                    let nonzero = rows.map(|row| row.iter().any(|x| *x != 0.0));
                    group.input.clone().zip(nonzero).for_each(|(col, nonzero)| read[col] |= nonzero);
                }
            }
            Op::MultiHeadLstm(lstm) => {
                for unit in lstm.units.iter().filter(|unit| !unit.input.is_empty()) {
                    for row in graph.weight(unit.w).data.chunks(unit.input.len()) {
                        unit.input.clone().zip(row).for_each(|(col, x)| read[col] |= *x != 0.0);
                    }
                }
            }
            _ => unreachable!("readers are products"),
        }
    }
    read
}

/// Where a range of old columns lies among the kept ones (`keep`: old column of each new one), and for each new
/// column of that place the row or column of the constant.
fn place(input: &Range<usize>, keep: &[usize]) -> (Range<usize>, Vec<Option<usize>>) {
    let mut range = hull_of((0..keep.len()).filter(|new| input.contains(&keep[*new])));
    if range.is_empty() {
        let before = keep.iter().filter(|old| **old < input.start).count();
        range = before..before;
    }
    let picked =
        keep[range.clone()].iter().map(|old| input.contains(old).then(|| old - input.start)).collect();
    (range, picked)
}

/// Makes readers read a value whose columns are `keep` of the old ones: fewer, or in another order.
pub(super) fn select(graph: &mut Graph, readers: &[usize], keep: &[usize]) {
    for reader in readers {
        let mut op = graph.nodes[*reader].op.clone();
        match &mut op {
            Op::Linear(linear) => {
                for group in &mut linear.groups {
                    let (input, rows) = place(&group.input, keep);
                    let cols: Vec<_> = (0..group.output.len()).map(Some).collect();
                    group.input = input;
                    group.weight = gather(graph, group.weight, &rows, &cols);
                }
            }
            Op::MultiHeadLstm(lstm) => {
                for unit in &mut lstm.units {
                    let (input, cols) = place(&unit.input, keep);
                    unit.input = input;
                    unit.w = gather_cols(graph, unit.w, &cols);
                }
            }
            _ => unreachable!("readers are products"),
        }
        graph.nodes[*reader].op = op;
    }
}

/// Makes readers of `x ⊙ scale + shift` read `x`.
pub(super) fn absorb(graph: &mut Graph, readers: &[usize], scale: Option<&[f64]>, shift: Option<&[f64]>) {
    for reader in readers {
        let mut op = graph.nodes[*reader].op.clone();
        match &mut op {
            Op::Linear(linear) => {
                linear.groups.iter_mut().for_each(|group| absorb_group(graph, group, scale, shift))
            }
            Op::MultiHeadLstm(lstm) => {
                lstm.units.iter_mut().for_each(|unit| absorb_unit(graph, unit, scale, shift))
            }
            _ => unreachable!("readers are products"),
        }
        graph.nodes[*reader].op = op;
    }
}

fn absorb_group(graph: &mut Graph, group: &mut LinearGroup, scale: Option<&[f64]>, shift: Option<&[f64]>) {
    let n = group.output.len();
    if let Some(shift) = shift {
        let mut bias = vector_or(graph, group.bias, n, 0.0);
        for (row, shift) in graph.weight(group.weight).data.chunks(n).zip(&shift[group.input.clone()]) {
            bias.iter_mut().zip(row).for_each(|(b, w)| *b += shift * f64::from(*w));
        }
        group.bias = Some(vector(graph, &bias));
    }
    if let Some(scale) = scale {
        let scale = &scale[group.input.clone()];
        group.weight = map(graph, group.weight, |row, _, w| w * scale[row]);
    }
}

fn absorb_unit(graph: &mut Graph, unit: &mut LstmUnit, scale: Option<&[f64]>, shift: Option<&[f64]>) {
    if unit.input.is_empty() {
        return;
    }
    if let Some(shift) = shift {
        let shift = &shift[unit.input.clone()];
        let w = graph.weight(unit.w).clone();
        unit.bias = map(graph, unit.bias, |_, gate, b| {
            let row = &w.data[gate * shift.len()..][..shift.len()];
            b + row.iter().zip(shift).map(|(w, s)| f64::from(*w) * s).sum::<f64>()
        });
    }
    if let Some(scale) = scale {
        let scale = &scale[unit.input.clone()];
        unit.w = map(graph, unit.w, |_, col, w| w * scale[col]);
    }
}

/// A product that writes only the columns `keep`, in ascending order, of the old ones.
pub(super) fn select_outputs(graph: &mut Graph, linear: &Linear, keep: &[usize]) -> Linear {
    let mut groups = Vec::new();
    for group in &linear.groups {
        let output = hull_of((0..keep.len()).filter(|new| group.output.contains(&keep[*new])));
        if output.is_empty() {
            continue;
        }
        let cols: Vec<_> = keep[output.clone()].iter().map(|old| Some(old - group.output.start)).collect();
        let weight = gather_cols(graph, group.weight, &cols);
        let bias = group.bias.map(|bias| gather_cols(graph, bias, &cols));
        groups.push(LinearGroup { input: group.input.clone(), output, weight, bias });
    }
    Linear { cols: keep.len(), groups, ..linear.clone() }
}

/// Adds a vector to what a product writes, before its activation. Columns that no block writes get one.
pub(super) fn add_bias(graph: &mut Graph, linear: &mut Linear, shift: &[f64]) {
    let mut groups = Vec::new();
    let mut end = 0;
    for mut group in std::mem::take(&mut linear.groups) {
        fill_gap(graph, &mut groups, end..group.output.start, shift);
        end = group.output.end;
        let mut bias = vector_or(graph, group.bias, group.output.len(), 0.0);
        bias.iter_mut().zip(&shift[group.output.clone()]).for_each(|(b, s)| *b += s);
        group.bias = Some(vector(graph, &bias));
        groups.push(group);
    }
    fill_gap(graph, &mut groups, end..linear.cols, shift);
    linear.groups = groups;
}

fn fill_gap(graph: &mut Graph, groups: &mut Vec<LinearGroup>, output: Range<usize>, shift: &[f64]) {
    if shift[output.clone()].iter().all(|s| *s == 0.0) {
        return;
    }
    let weight = graph.add_weight(0, output.len(), Vec::new());
    let bias = Some(vector(graph, &shift[output.clone()]));
    groups.push(LinearGroup { input: 0..0, output, weight, bias });
}
