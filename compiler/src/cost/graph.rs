//! What a graph takes: true counts for reports, and the time that its nodes will take once they are steps.
//! May import: the rest of `cost`, `ir`.

use std::collections::BTreeSet;
use std::ops::Range;

use far_format::layout::{Precision, padded_hidden};
use serde::Serialize;

use super::{CostModel, Picoseconds};
use crate::ir::{Activation, Graph, Linear, LinearGroup, MultiHeadLstm, Node, Op, WeightId};

/// The size of a graph's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    /// Multiply-adds of all products, padding not counted.
    pub multiply_adds: u64,
    /// Weights and biases that are used.
    pub parameters: u64,
    /// Their bytes; those of matrices and tables in the precision that the costs are of.
    pub weight_bytes: u64,
    /// Predicted milliseconds of one run on one core, copies not counted: where they are needed, the schedule decides.
    pub predicted_ms: f64,
}

impl Work {
    /// The work of a verified graph.
    pub fn of(graph: &Graph, model: &CostModel) -> Self {
        let [matrices, others] = weights(graph);
        let weight_bytes = matrices * model.weight_bytes() + others * 4;
        let model = model.clone().with_weights(weight_bytes);
        let time = graph.nodes.iter().map(|node| model.node(graph, node)).sum::<Picoseconds>();
        Self {
            multiply_adds: multiply_adds(graph),
            parameters: matrices + others,
            weight_bytes,
            predicted_ms: time as f64 / 1e9,
        }
    }
}

impl CostModel {
    /// The blocks of a product.
    pub fn linear(&self, rows: usize, groups: &[LinearGroup]) -> Picoseconds {
        groups.iter().map(|group| self.block(rows, group.input.len(), group.output.len())).sum()
    }

    /// What a node will take as steps.
    fn node(&self, graph: &Graph, node: &Node) -> Picoseconds {
        let [rows, cols] = graph.dims(node.output);
        let operand = || graph.dims(node.inputs[0]);
        let work = match &node.op {
            Op::PatchEmbed { weight, .. } => {
                let k = graph.weight(*weight).dims[0];
                self.patches(rows * k) + self.block(rows, k, cols) + self.call()
            }
            Op::Linear(linear) => {
                self.linear(rows, &linear.groups)
                    + self.epilogue(rows * cols, linear.act.in_product_of(self.precision), linear.residual)
            }
            Op::MultiHeadLstm(lstm) => self.gates(graph, rows, lstm) + self.recurrences(rows, lstm),
            Op::Attention { heads, .. } => self.attention(rows, cols, *heads),
            Op::LayerNorm { .. } | Op::Normalize { .. } => self.layer_norm(rows * cols),
            Op::Activation(act) if *act != Activation::None => self.map(rows * cols, *act),
            Op::Add | Op::Embedding { .. } => self.moved(rows * cols),
            // Stays in f32.
            Op::Affine { .. } => cols as u64 * self.clone().with_precision(Precision::F32).block(rows, 1, 1),
            Op::MeanRows => self.moved(operand()[0] * cols),
            Op::ReverseRows => self.moved(rows * cols) + rows.saturating_sub(1) as u64 * self.call(),
            Op::Constant(_)
            | Op::Positions(_)
            | Op::ConcatRows
            | Op::ConcatCols
            | Op::SliceRows { .. }
            | Op::SliceCols { .. }
            | Op::Activation(_) => return 0,
        };
        work + self.call()
    }

    /// The input half of the gates: one product for all units, a block for those that read the same columns.
    fn gates(&self, graph: &Graph, rows: usize, lstm: &MultiHeadLstm) -> Picoseconds {
        let mut blocks: Vec<((&Range<usize>, bool), usize)> = Vec::new();
        for unit in &lstm.units {
            let n = 4 * padded_hidden(unit.hidden);
            let kind = (&unit.input, graph.weight(unit.bias).dims[0] > 1);
            match blocks.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, cols)) => *cols += n,
                None => blocks.push((kind, n)),
            }
        }
        let block = |((input, tabled), n): &((&Range<usize>, bool), usize)| {
            self.block(rows, input.len(), *n) + if *tabled { self.table(rows, *n) } else { 0 }
        };
        blocks.iter().map(block).sum::<Picoseconds>() + self.call()
    }

    /// A bias of one LSTM unit that differs from token to token.
    pub fn unit_table(&self, rows: usize, hidden: usize) -> Picoseconds {
        self.table(rows, 4 * padded_hidden(hidden))
    }

    fn recurrences(&self, rows: usize, lstm: &MultiHeadLstm) -> Picoseconds {
        lstm.units.iter().map(|unit| self.recurrence(rows, unit.hidden)).sum()
    }
}

/// Multiply-adds of a graph, without padding.
fn multiply_adds(graph: &Graph) -> u64 {
    let count = |op: &Op, rows: usize, cols: usize| match op {
        Op::PatchEmbed { weight, .. } => product(&[rows, graph.weight(*weight).dims[0], cols]),
        Op::Linear(Linear { groups, .. }) => {
            let each = groups.iter().map(|g| product(&[rows, g.input.len(), g.output.len()]));
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

/// Elements of the constants that nodes read, each counted once: those of matrices and tables, and all others.
fn weights(graph: &Graph) -> [u64; 2] {
    let used: BTreeSet<_> = graph.nodes.iter().flat_map(|node| node.op.weights()).collect();
    let matrices: BTreeSet<_> = graph.nodes.iter().flat_map(|node| matrices(&node.op)).collect();
    let mut counts = [0; 2];
    for id in used {
        counts[usize::from(!matrices.contains(&id))] += graph.weight(id).data.len() as u64;
    }
    counts
}

/// The matrices that an operation multiplies by, or takes rows of.
fn matrices(op: &Op) -> Vec<WeightId> {
    match op {
        Op::PatchEmbed { weight, .. } => vec![*weight],
        Op::Linear(linear) => linear.groups.iter().map(|group| group.weight).collect(),
        Op::MultiHeadLstm(lstm) => lstm.units.iter().flat_map(|unit| [unit.w, unit.r]).collect(),
        Op::Embedding { table } => vec![*table],
        _ => Vec::new(),
    }
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor as u64))
}
