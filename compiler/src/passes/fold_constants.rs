//! Computes ahead what depends on constants only. May import: `ir`, `matrix`, `tables`.
//!
//! Where constant rows are put before computed ones (a class token before the patches) and a constant is added to all
//! (the position embedding), the addition moves into the parts: the constant rows become one constant.

use super::Change;
use super::matrix::gather;
use super::tables::constant;
use crate::error::Result;
use crate::ir::{Graph, Linear, Op, WeightId, eval};

/// Elements beyond which a result is left to be computed at run time.
const MAX_ELEMENTS: usize = 1 << 24;

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut change = Change::default();
    let mut index = 0;
    while index < graph.nodes.len() {
        if let Some(first_changed) = fold(graph, index)
            .or_else(|| constant_term(graph, index))
            .or_else(|| join_rows(graph, index))
            .map_or_else(|| distribute(graph, index), |()| Ok(Some(index)))?
        {
            change.count += 1;
            index = first_changed;
        } else {
            index += 1;
        }
    }
    Ok(change)
}

/// Replaces a node all of whose inputs are constants, or not read at all, by its result.
fn fold(graph: &mut Graph, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    let [rows, cols] = graph.dims(node.output);
    if node.inputs.is_empty() || rows * cols > MAX_ELEMENTS {
        return None;
    }
    // Without a residual, such a product stays: what it adds is the same for every token.
    let reads_nothing = matches!(&node.op, Op::Linear(linear) if linear.residual && linear.groups.iter().all(|group| group.input.is_empty()));
    let inputs: Vec<eval::Matrix> = node
        .inputs
        .iter()
        .enumerate()
        .map(|(slot, value)| match constant(graph, *value) {
            Some(weight) => {
                let weight = graph.weight(weight);
                let [rows, cols] = weight.dims;
                Some(eval::Matrix { rows, cols, data: weight.data.iter().map(|x| f64::from(*x)).collect() })
            }
            None if slot == 0 && reads_nothing => {
                let [rows, cols] = graph.dims(*value);
                Some(eval::Matrix::from_fn(rows, cols, |_, _| 0.0))
            }
            None => None,
        })
        .collect::<Option<_>>()?;
    let result = eval::node(graph, node, &inputs.iter().collect::<Vec<_>>());
    let data: Vec<f32> = result.data.iter().map(|x| *x as f32).collect();
    let weight = graph.add_weight(rows, cols, data);
    let node = &mut graph.nodes[index];
    node.op = Op::Constant(weight);
    node.inputs.clear();
    Some(())
}

/// A product of a constant that is added to something: the sum of that and a constant.
fn constant_term(graph: &mut Graph, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    let [rows, cols] = graph.dims(node.output);
    let Op::Linear(linear) = &node.op else { return None };
    if !linear.residual || rows * cols > MAX_ELEMENTS {
        return None;
    }
    constant(graph, node.inputs[0])?;
    let (product, residual) = (Linear { residual: false, ..linear.clone() }, node.inputs[1]);
    let (path, name) = (node.name.clone(), format!("{}.table", graph.value(node.output).name));
    let term = graph.insert_node(index, &path, &name, Op::Linear(product), vec![node.inputs[0]]).ok()?;
    fold(graph, index)?;
    let node = &mut graph.nodes[index + 1];
    (node.op, node.inputs) = (Op::Add, vec![residual, term]);
    Some(())
}

/// Makes one constant of two that stand next to each other in a concatenation of rows.
fn join_rows(graph: &mut Graph, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    if node.op != Op::ConcatRows || node.inputs.len() < 3 {
        return None;
    }
    let inputs = node.inputs.clone();
    let (first, a, b) = inputs.windows(2).zip(0..).find_map(|(pair, i)| {
        let a = constant(graph, pair[0])?;
        Some((i, a, constant(graph, pair[1])?))
    })?;
    let [a, b] = [a, b].map(|id| graph.weight(id).clone());
    let rows = a.dims[0] + b.dims[0];
    let data: Vec<f32> = a.data.iter().chain(b.data.iter()).copied().collect();
    let weight = graph.add_weight(rows, a.dims[1], data);
    let (path, name) = (graph.nodes[index].name.clone(), format!("{}.rows", graph.value(inputs[first]).name));
    let joined = graph.insert_node(index, &path, &name, Op::Constant(weight), Vec::new()).ok()?;
    graph.nodes[index + 1].inputs.splice(first..first + 2, [joined]);
    Some(())
}

/// Moves a shift of concatenated rows, some of them constant, into the parts.
fn distribute(graph: &mut Graph, index: usize) -> Result<Option<usize>> {
    let Some((concat, shift)) = shifted_rows(graph, index) else { return Ok(None) };
    let (path, name) = (graph.nodes[index].name.clone(), graph.value(graph.nodes[index].output).name.clone());
    let parts = graph.nodes[concat].inputs.clone();
    let (mut at, mut row) = (index, 0);
    let mut moved = Vec::with_capacity(parts.len());
    for part in parts {
        let [rows, cols] = graph.dims(part);
        let (op, inputs) = match shift {
            Shift::Add(weight) => {
                let picked: Vec<_> = (row..row + rows).map(Some).collect();
                let every: Vec<_> = (0..cols).map(Some).collect();
                let weight = gather(graph, weight, &picked, &every);
                let rows = graph.insert_node(
                    at,
                    &path,
                    &format!("{name}.shift"),
                    Op::Constant(weight),
                    Vec::new(),
                )?;
                at += 1;
                (Op::Add, vec![part, rows])
            }
            Shift::Affine(scale, shift) => (Op::Affine { scale, shift }, vec![part]),
        };
        moved.push(graph.insert_node(at, &path, &format!("{name}.part"), op, inputs)?);
        at += 1;
        row += rows;
    }
    let node = &mut graph.nodes[at];
    node.op = Op::ConcatRows;
    node.inputs = moved;
    graph.nodes.remove(concat);
    Ok(Some(index - 1))
}

enum Shift {
    /// The constant added.
    Add(WeightId),
    /// Scale and shift.
    Affine(Option<WeightId>, Option<WeightId>),
}

/// Whether node `index` shifts concatenated rows, some of them constant, that nothing else reads: the concatenation
/// and the shift.
fn shifted_rows(graph: &Graph, index: usize) -> Option<(usize, Shift)> {
    let node = &graph.nodes[index];
    let (rows, shift) = match (&node.op, &node.inputs[..]) {
        (Op::Add, &[a, b]) => match (constant(graph, a), constant(graph, b)) {
            (Some(weight), None) => (b, Shift::Add(weight)),
            (None, Some(weight)) => (a, Shift::Add(weight)),
            _ => return None,
        },
        (Op::Affine { scale, shift }, &[x]) => (x, Shift::Affine(*scale, *shift)),
        _ => return None,
    };
    let concat = graph.producer(rows).filter(|_| graph.uses(rows) == 1)?;
    let concatenates = graph.nodes[concat].op == Op::ConcatRows;
    let some_constant = graph.nodes[concat].inputs.iter().any(|part| constant(graph, *part).is_some());
    (concatenates && some_constant).then_some((concat, shift))
}
