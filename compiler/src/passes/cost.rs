//! What work costs: true counts for reports, padded ones for decisions. May import: `ir`, far-format (`layout`).

use std::collections::BTreeSet;

use far_format::layout::{PANEL, padded_hidden};

use crate::ir::{Graph, LinearGroup, Op};

/// What one more block costs per token however small it is, in multiply-adds: rewrites that save less are not worth it.
const BLOCK_OVERHEAD: u64 = 256;

/// Cost per token of a block of `k × n` of a matrix product: whole panels, as the kernels compute it.
pub(super) fn block(k: usize, n: usize) -> u64 {
    product(&[k, n.next_multiple_of(PANEL)]) + BLOCK_OVERHEAD
}

/// Cost per token of a block-structured product.
pub(super) fn linear(groups: &[LinearGroup]) -> u64 {
    groups.iter().map(|group| block(group.input.len(), group.output.len())).sum()
}

/// Cost per token of an LSTM unit with `k` inputs.
pub(super) fn unit(k: usize, hidden: usize) -> u64 {
    product(&[4, padded_hidden(hidden), k + hidden]) + BLOCK_OVERHEAD
}

/// Multiply-adds of a graph, without padding.
pub(super) fn multiply_adds(graph: &Graph) -> u64 {
    let count = |op: &Op, rows: usize, cols: usize| match op {
        Op::PatchEmbed { weight, .. } => product(&[rows, graph.weight(*weight).dims[0], cols]),
        Op::Linear(linear) => {
            let each = linear.groups.iter().map(|g| product(&[rows, g.input.len(), g.output.len()]));
            each.fold(0, u64::saturating_add)
        }
        Op::MultiHeadLstm(lstm) => {
            let each = lstm.units.iter().map(|u| product(&[rows, 4 * u.hidden, u.input.len() + u.hidden]));
            each.fold(0, u64::saturating_add)
        }
        Op::Attention { .. } => product(&[2, rows, rows, cols]),
        _ => 0,
    };
    let each = graph.nodes.iter().map(|node| {
        let [rows, cols] = graph.dims(node.output);
        count(&node.op, rows, cols)
    });
    each.fold(0, u64::saturating_add)
}

/// Bytes of the constants that nodes read, each counted once.
pub(super) fn weight_bytes(graph: &Graph) -> u64 {
    let used: BTreeSet<_> = graph.nodes.iter().flat_map(|node| node.op.weights()).collect();
    used.into_iter().map(|id| 4 * graph.weight(id).data.len() as u64).sum()
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor as u64))
}
