//! Weights of the graph → packed weights of the kernels.
//! May import: `weights`, `ir`, `error`; far-format (sizes) and far-kernels (packing).

use std::ops::Range;

use far_format::layout::{Precision, gemm_weight_len, lstm_weight_len, padded_hidden, table_row_len};
use far_kernels::pack::Gate;

use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Graph, LstmUnit, WeightId};

/// Factor of what feeds a gate: ½ where σ(x) = ½ + ½·tanh(x/2) is meant. Exact, being a power of two.
fn gate_scale(gate: Gate) -> f32 {
    match gate {
        Gate::Input | Gate::Output | Gate::Forget => 0.5,
        Gate::Cell => 1.0,
    }
}

/// Packs a dense block. Gives its offset.
pub(super) fn linear(
    graph: &Graph,
    precision: Precision,
    weight: WeightId,
    bias: Option<WeightId>,
    to: &mut Weights,
) -> u64 {
    let [k, n] = graph.weight(weight).dims;
    let data = &graph.weight(weight).data;
    block(precision, [k, n], |row, col| data[row * n + col], bias.map(|b| &*graph.weight(b).data), to)
}

/// Packs `n` columns that are zero whatever the input.
pub(super) fn zero_columns(precision: Precision, n: usize, to: &mut Weights) -> u64 {
    block(precision, [0, n], |_, _| 0.0, None, to)
}

/// Packs `x ⊙ scale + shift` for one column, in f32.
pub(super) fn affine_column(scale: f32, shift: f32, to: &mut Weights) -> u64 {
    block(Precision::F32, [1, 1], |_, _| scale, Some(&[shift]), to)
}

fn block(
    precision: Precision,
    [k, n]: [usize; 2],
    weight: impl Fn(usize, usize) -> f32,
    bias: Option<&[f32]>,
    to: &mut Weights,
) -> u64 {
    let mut packed = vec![0.0; gemm_weight_len(precision, to.arch, k, n)];
    far_kernels::pack::gemm(precision, to.arch, k, n, weight, bias, &mut packed);
    to.add(&packed)
}

/// Packs a table of which a step takes rows. Gives its offset.
pub(super) fn table(graph: &Graph, precision: Precision, table: WeightId, to: &mut Weights) -> Result<u64> {
    let [rows, cols] = graph.weight(table).dims;
    let row = table_row_len(precision, cols)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("a table can't be stored in {precision}")))?;
    let mut packed = vec![0.0; rows * row];
    far_kernels::pack_table(precision, cols, &graph.weight(table).data, &mut packed);
    Ok(to.add(&packed))
}

/// Units that read the same columns, and so share one block of the product for their gates.
pub(super) struct GateGroup<'a> {
    /// Columns of the input.
    pub(super) input: Range<usize>,
    /// The units, in the order of their gate columns.
    pub(super) units: Vec<&'a LstmUnit>,
}

impl GateGroup<'_> {
    /// Gate columns, padding included.
    pub(super) fn columns(&self) -> usize {
        self.units.iter().map(|u| gate_columns(u.hidden)).sum()
    }
}

/// Gate columns of one unit, padding included.
pub(super) fn gate_columns(hidden: usize) -> usize {
    Gate::ALL.len() * padded_hidden(hidden)
}

/// Groups units by what they read, in order of first appearance.
pub(super) fn gate_groups<'a>(units: impl IntoIterator<Item = &'a LstmUnit>) -> Vec<GateGroup<'a>> {
    let mut groups: Vec<GateGroup<'_>> = Vec::new();
    for unit in units {
        match groups.iter_mut().find(|g| g.input == unit.input) {
            Some(group) => group.units.push(unit),
            None => groups.push(GateGroup { input: unit.input.clone(), units: vec![unit] }),
        }
    }
    groups
}

/// Whether the unit has a bias for each token.
pub(super) fn has_table(graph: &Graph, unit: &LstmUnit) -> bool {
    graph.weight(unit.bias).dims[0] > 1
}

/// For each packed gate column of a group: its unit, the row of W that it is, and the factor; `None` for padding.
fn gate_rows<'a>(group: &GateGroup<'a>) -> Vec<Option<(&'a LstmUnit, usize, f32)>> {
    let mut columns = Vec::with_capacity(group.columns());
    for unit in &group.units {
        columns.extend(far_kernels::pack::gate_columns(unit.hidden).map(|column| {
            column.map(|(gate, hidden)| (*unit, gate as usize * unit.hidden + hidden, gate_scale(gate)))
        }));
    }
    columns
}

/// Adds the biases by token of groups whose units have them, `rows × gate columns`. Gives their offset.
pub(super) fn gate_table(graph: &Graph, groups: &[GateGroup<'_>], rows: usize, to: &mut Weights) -> u64 {
    let columns: Vec<_> = groups.iter().flat_map(gate_rows).collect();
    let mut table = Vec::with_capacity(rows * columns.len());
    for t in 0..rows {
        table.extend(columns.iter().map(|column| {
            column.map_or(0.0, |(unit, gate_row, scale)| {
                scale * graph.weight(unit.bias).data[t * 4 * unit.hidden + gate_row]
            })
        }));
    }
    to.add(&table)
}

/// Packs the input half of the gates of a group: `W` and the biases, but those by token. Gives its offset.
pub(super) fn gates(graph: &Graph, precision: Precision, group: &GateGroup<'_>, to: &mut Weights) -> u64 {
    let k = group.input.len();
    let columns = gate_rows(group);
    let weight = |row: usize, column: usize| {
        columns[column]
            .map_or(0.0, |(unit, gate_row, scale)| scale * graph.weight(unit.w).data[gate_row * k + row])
    };
    let bias: Vec<f32> = columns
        .iter()
        .map(|column| match column {
            Some((unit, gate_row, scale)) if !has_table(graph, unit) => {
                scale * graph.weight(unit.bias).data[*gate_row]
            }
            _ => 0.0,
        })
        .collect();
    block(precision, [k, columns.len()], weight, Some(&bias), to)
}

/// Packs the recurrent half of one unit: `R`. Gives its offset.
pub(super) fn recurrence(graph: &Graph, precision: Precision, unit: &LstmUnit, to: &mut Weights) -> u64 {
    let r = &graph.weight(unit.r).data;
    let gates = Gate::ALL.iter().zip(r.chunks_exact(unit.hidden * unit.hidden));
    let scaled: Vec<f32> =
        gates.flat_map(|(gate, rows)| rows.iter().map(|x| gate_scale(*gate) * x)).collect();
    let mut packed = vec![0.0; lstm_weight_len(precision, to.arch, unit.hidden)];
    far_kernels::pack::lstm(precision, to.arch, unit.hidden, &scaled, &mut packed);
    to.add(&packed)
}

/// Scales, then shifts, of a LayerNorm; the missing half is the identity. Gives their offset.
pub(super) fn layer_norm(
    graph: &Graph,
    cols: usize,
    scale: Option<WeightId>,
    shift: Option<WeightId>,
    to: &mut Weights,
) -> Option<u64> {
    if scale.is_none() && shift.is_none() {
        return None;
    }
    let mut both = vec![1.0; cols];
    both.resize(2 * cols, 0.0);
    if let Some(scale) = scale {
        both[..cols].copy_from_slice(&graph.weight(scale).data);
    }
    if let Some(shift) = shift {
        both[cols..].copy_from_slice(&graph.weight(shift).data);
    }
    Some(to.add(&both))
}
