//! Tables: constants with a row for each token, which products add to what they compute. May import: `cost`, `ir`,
//! `matrix`.

use super::matrix::Dense;
use crate::cost::{CostModel, Picoseconds};
use crate::error::Result;
use crate::ir::{Graph, Op, ValueId, WeightId};

/// A table in f64.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// `rows × cols`.
    pub(super) data: Vec<f64>,
}

impl Table {
    pub(super) fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// The elements of a constant.
    pub(super) fn of(graph: &Graph, weight: WeightId) -> Self {
        let weight = graph.weight(weight);
        let [rows, cols] = weight.dims;
        Self { rows, cols, data: weight.data.iter().map(|x| f64::from(*x)).collect() }
    }

    /// Adds `factor · matrix`.
    pub(super) fn add_product(&mut self, factor: &Table, matrix: &Dense) {
        let rows = factor.data.chunks(factor.cols.max(1));
        for (sum, row) in self.data.chunks_mut(self.cols.max(1)).zip(rows) {
            for (x, weights) in row.iter().zip(matrix.data.chunks(matrix.cols)) {
                sum.iter_mut().zip(weights).for_each(|(s, w)| *s += x * f64::from(*w));
            }
        }
    }

    /// Whether adding it changes nothing.
    pub(super) fn is_zero(&self) -> bool {
        self.data.iter().all(|x| *x == 0.0)
    }

    /// As a constant, rounded once.
    pub(super) fn constant(&self, graph: &mut Graph) -> WeightId {
        let data: Vec<f32> = self.data.iter().map(|x| *x as f32).collect();
        graph.add_weight(self.rows, self.cols, data)
    }
}

/// The constant that a value is.
pub(super) fn constant(graph: &Graph, value: ValueId) -> Option<WeightId> {
    match graph.nodes[graph.producer(value)?].op {
        Op::Constant(weight) => Some(weight),
        _ => None,
    }
}

/// The table that a value is.
pub(super) fn table(graph: &Graph, value: ValueId) -> Option<WeightId> {
    match graph.nodes[graph.producer(value)?].op {
        Op::Constant(weight) | Op::Positions(weight) => Some(weight),
        _ => None,
    }
}

/// What it takes to add a table to what product `node` computes.
pub(super) fn added_cost(graph: &Graph, costs: &CostModel, node: usize) -> Picoseconds {
    let [rows, cols] = graph.dims(graph.nodes[node].output);
    match graph.nodes[node].inputs.get(1) {
        Some(residual) if table(graph, *residual).is_some() => 0,
        Some(_) => costs.moved(rows * cols) + costs.call(),
        None => costs.table(rows, cols),
    }
}

/// Adds a table to what product `node`, which has no activation, computes: as its residual, or to that before. Nodes
/// that this needs are put before it, so that its index moves.
pub(super) fn add(graph: &mut Graph, node: usize, added: &Table) -> Result<()> {
    if added.is_zero() {
        return Ok(());
    }
    let (path, name) = (graph.nodes[node].name.clone(), graph.value(graph.nodes[node].output).name.clone());
    let residual = graph.nodes[node].inputs.get(1).copied();
    let mut at = node;
    let mut insert = |graph: &mut Graph, suffix: &str, op: Op, inputs: Vec<ValueId>| -> Result<ValueId> {
        let value = graph.insert_node(at, &path, &format!("{name}.{suffix}"), op, inputs)?;
        at += 1;
        Ok(value)
    };
    let sum = match residual.and_then(|residual| table(graph, residual)) {
        Some(other) => {
            let mut sum = Table::of(graph, other);
            sum.data.iter_mut().zip(&added.data).for_each(|(sum, x)| *sum += x);
            sum.constant(graph)
        }
        None => added.constant(graph),
    };
    let varies = graph.value(graph.nodes[node].output).shape.varies();
    let op = if varies { Op::Positions(sum) } else { Op::Constant(sum) };
    let mut added = insert(graph, "table", op, Vec::new())?;
    if let Some(residual) = residual.filter(|residual| table(graph, *residual).is_none()) {
        added = insert(graph, "residual", Op::Add, vec![residual, added])?;
    }
    let node = &mut graph.nodes[at];
    node.inputs.truncate(1);
    node.inputs.push(added);
    if let Op::Linear(linear) = &mut node.op {
        linear.residual = true;
    }
    Ok(())
}
