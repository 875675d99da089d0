//! Computes only the tokens that are needed: behind the last mixer, a classifier on the class token needs one row.
//! May import: `cost`, `ir`, `matrix`, `blocks`.
//!
//! Backwards through the graph, each value gets the smallest range of rows that holds what its readers need; then each
//! operation that works row by row is cut down to that range. A recurrence in one direction needs nothing that comes later.
//! Where the number of tokens varies, the range is all of them or the first.

use std::collections::HashMap;
use std::ops::Range;

use super::Change;
use super::blocks::hull;
use super::matrix::gather;
use crate::cost::{CostModel, Picoseconds, Work, shown};
use crate::error::Result;
use crate::ir::{Direction, Graph, Node, Op, Shape, ValueId, WeightId};

pub(super) fn run(graph: &mut Graph, costs: &CostModel) -> Result<Change> {
    let mut trimmed = graph.clone();
    let mut change = trim(&mut trimmed);
    if change.count > 0 {
        let time = |graph: &Graph| shown((Work::of(graph, costs).predicted_ms * 1e9) as Picoseconds);
        change.note(format!("{} values cut down, {} for {}", change.count, time(&trimmed), time(graph)));
    }
    *graph = trimmed;
    Ok(change)
}

fn trim(graph: &mut Graph) -> Change {
    let mut change = Change::default();
    let needed = needed_rows(graph);
    let mut trim = Trim::of(graph);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    let wanted: Vec<Vec<Range<usize>>> = graph
        .nodes
        .iter()
        .map(|node| {
            let rows = &needed[node.output.0 as usize];
            (0..node.inputs.len()).map(|slot| operand_rows(graph, node, slot, rows)).collect()
        })
        .collect();
    for (node, wanted) in std::mem::take(&mut graph.nodes).into_iter().zip(wanted) {
        let rows = needed[node.output.0 as usize].clone();
        if rows.is_empty() {
            continue;
        }
        change.count += usize::from(rows != all(graph, node.output));
        trim.node(graph, &mut nodes, node, rows, &wanted);
    }
    graph.nodes = nodes;
    change
}

fn all(graph: &Graph, value: ValueId) -> Range<usize> {
    0..graph.dims(value)[0]
}

/// For each value, the rows that are to be computed; empty for none.
fn needed_rows(graph: &Graph) -> Vec<Range<usize>> {
    let mut needed = vec![0..0; graph.values.len()];
    for port in &graph.outputs {
        needed[port.value.0 as usize] = all(graph, port.value);
    }
    for node in graph.nodes.iter().rev() {
        let output = needed[node.output.0 as usize].clone();
        if output.is_empty() {
            continue;
        }
        let output = computable(graph, node, output);
        needed[node.output.0 as usize] = output.clone();
        for (slot, id) in node.inputs.iter().enumerate() {
            let rows = operand_rows(graph, node, slot, &output);
            let input = &mut needed[id.0 as usize];
            *input = hull(input, &rows);
        }
    }
    needed
}

/// The smallest range of rows that holds `rows` and can be computed alone.
fn computable(graph: &Graph, node: &Node, rows: Range<usize>) -> Range<usize> {
    match &node.op {
        Op::MultiHeadLstm(lstm) => {
            let every = all(graph, node.output);
            let runs = |direction| lstm.units.iter().any(|unit| unit.direction == direction);
            let start = if runs(Direction::Forward) { every.start } else { rows.start };
            let end = if runs(Direction::Reverse) { every.end } else { rows.end };
            start..end
        }
        Op::ReverseRows if graph.value(node.output).shape.varies() => all(graph, node.output),
        // Ids can't be cut.
        Op::PatchEmbed { .. } | Op::Attention { .. } | Op::MeanRows | Op::Embedding { .. } => {
            all(graph, node.output)
        }
        _ => rows,
    }
}

/// The rows of an operand that `rows` of the result depend on.
fn operand_rows(graph: &Graph, node: &Node, slot: usize, rows: &Range<usize>) -> Range<usize> {
    let operand = node.inputs[slot];
    match &node.op {
        Op::SliceRows { start, .. } => start + rows.start..start + rows.end,
        // Which token is the last differs from call to call.
        Op::ReverseRows if graph.value(operand).shape.varies() => all(graph, operand),
        Op::ReverseRows => {
            let count = all(graph, operand).end;
            count - rows.end..count - rows.start
        }
        Op::ConcatRows => {
            let first: usize = node.inputs[..slot].iter().map(|id| all(graph, *id).end).sum();
            let inside = rows.start.max(first)..rows.end.min(first + all(graph, operand).end);
            if inside.is_empty() { 0..0 } else { inside.start - first..inside.end - first }
        }
        Op::PatchEmbed { .. } | Op::Attention { .. } | Op::MeanRows | Op::Embedding { .. } => {
            all(graph, operand)
        }
        _ => rows.clone(),
    }
}

/// These rows of a constant that has one for each token.
fn pick_rows(graph: &mut Graph, weight: WeightId, rows: &Range<usize>) -> WeightId {
    let [_, cols] = graph.weight(weight).dims;
    let picked: Vec<_> = rows.clone().map(Some).collect();
    gather(graph, weight, &picked, &(0..cols).map(Some).collect::<Vec<_>>())
}

struct Trim {
    /// For each value, the old rows that it still has.
    kept: Vec<Range<usize>>,
    /// Slices made so far.
    slices: HashMap<(ValueId, Range<usize>), ValueId>,
}

impl Trim {
    fn of(graph: &Graph) -> Self {
        let ids = (0..).map(ValueId).take(graph.values.len());
        Self { kept: ids.map(|id| all(graph, id)).collect(), slices: HashMap::new() }
    }

    /// Adds a node, cut down to `rows` of its result, behind the slices that it needs. `wanted`: rows of its operands.
    fn node(
        &mut self,
        graph: &mut Graph,
        nodes: &mut Vec<Node>,
        mut node: Node,
        rows: Range<usize>,
        wanted: &[Range<usize>],
    ) {
        match &mut node.op {
            Op::SliceRows { start, len } => {
                *start = wanted[0].start - self.kept[node.inputs[0].0 as usize].start;
                *len = rows.len();
            }
            Op::Constant(weight) => *weight = pick_rows(graph, *weight, &rows),
            Op::Positions(weight) if rows.len() < graph.tokens => {
                node.op = Op::Constant(pick_rows(graph, *weight, &rows));
            }
            op => {
                if let Op::MultiHeadLstm(lstm) = op {
                    for unit in &mut lstm.units {
                        if graph.weight(unit.bias).dims[0] > 1 {
                            unit.bias = pick_rows(graph, unit.bias, &rows);
                        }
                    }
                }
                let operands = node.inputs.iter().zip(wanted).filter(|(_, rows)| !rows.is_empty());
                node.inputs = operands.map(|(id, rows)| self.slice(graph, nodes, *id, rows)).collect();
            }
        }
        if rows != all(graph, node.output) {
            let [_, cols] = graph.dims(node.output);
            graph.values[node.output.0 as usize].shape = Shape::Matrix { rows: rows.len(), cols };
        }
        self.kept[node.output.0 as usize] = rows;
        nodes.push(node);
    }

    /// These old rows of a value.
    fn slice(
        &mut self,
        graph: &mut Graph,
        nodes: &mut Vec<Node>,
        value: ValueId,
        rows: &Range<usize>,
    ) -> ValueId {
        let kept = &self.kept[value.0 as usize];
        if rows == kept {
            return value;
        }
        let start = rows.start - kept.start;
        *self.slices.entry((value, rows.clone())).or_insert_with(|| {
            let [_, cols] = graph.dims(value);
            let name = format!("{}.rows", graph.value(value).name);
            let output = graph.add_value(&name, Shape::Matrix { rows: rows.len(), cols });
            self.kept.push(rows.clone());
            nodes.push(Node {
                name,
                op: Op::SliceRows { start, len: rows.len() },
                inputs: vec![value],
                output,
            });
            output
        })
    }
}
