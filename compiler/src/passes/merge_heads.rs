//! Makes one operation of the heads of a mixer that the model keeps apart, so that the parallel forms come to what the
//! monolithic one comes to. May import: `ir`, `heads`.
//!
//! - `SliceCols` before a product or an LSTM becomes its input range.
//! - `ConcatCols` of products of one value, or of products of sibling LSTMs, becomes one block-structured product.
//! - `ConcatCols` of the units of sibling LSTMs (all reading one value) becomes one LSTM with all units.
//! - Units are put in order.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Change;
use super::heads::{Order, order};
use crate::error::Result;
use crate::ir::{Graph, Linear, LinearGroup, LstmUnit, MultiHeadLstm, Node, Op, Use, ValueId};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut change = Change { count: absorb_slices(graph), ..Change::default() };
    let mut index = 0;
    while index < graph.nodes.len() {
        if graph.nodes[index].op == Op::ConcatCols
            && let Some((note, first_changed)) = merge(graph, index)
        {
            change.count += 1;
            change.note(note);
            index = first_changed;
        } else {
            index += 1;
        }
    }
    for index in 0..graph.nodes.len() {
        match order(graph, index) {
            Order::Kept => {}
            Order::Changed => change.count += 1,
            Order::Pinned => change.note(format!("`{}`: outputs keep their order", graph.nodes[index].name)),
        }
    }
    Ok(change)
}

/// Lets products and LSTMs that read a slice of columns read the columns themselves.
fn absorb_slices(graph: &mut Graph) -> usize {
    let mut count = 0;
    let producers = graph.producers();
    for index in 0..graph.nodes.len() {
        while let Some(&operand) = graph.nodes[index].inputs.first()
            && let Some(producer) = producers[operand.0 as usize]
            && let Op::SliceCols { start, .. } = graph.nodes[producer].op
        {
            let moved = |range: &mut Range<usize>| *range = range.start + start..range.end + start;
            let source = graph.nodes[producer].inputs[0];
            let node = &mut graph.nodes[index];
            match &mut node.op {
                Op::Linear(linear) => linear.groups.iter_mut().for_each(|group| moved(&mut group.input)),
                Op::MultiHeadLstm(lstm) => lstm.units.iter_mut().for_each(|unit| moved(&mut unit.input)),
                _ => break,
            }
            node.inputs[0] = source;
            count += 1;
        }
    }
    count
}

/// Some columns of a value, in a concatenation.
struct Part {
    value: ValueId,
    cols: Range<usize>,
    /// The nodes that read the value for this concatenation only: it, or slices before it.
    readers: BTreeSet<usize>,
}

/// What a concatenation puts side by side, looking through slices; neighbours that belong together are joined.
fn parts(graph: &Graph, concat: usize) -> Vec<Part> {
    let (producers, uses) = (graph.producers(), graph.use_lists());
    let mut parts: Vec<Part> = Vec::new();
    for input in &graph.nodes[concat].inputs {
        let mut part =
            Part { value: *input, cols: 0..graph.dims(*input)[1], readers: BTreeSet::from([concat]) };
        if let Some(slice) = producers[input.0 as usize]
            && let Op::SliceCols { start, len } = graph.nodes[slice].op
            && uses[input.0 as usize].iter().all(|u| matches!(u, Use::Input { node, .. } if *node == concat))
        {
            let value = graph.nodes[slice].inputs[0];
            part = Part { value, cols: start..start + len, readers: BTreeSet::from([slice]) };
        }
        match parts.last_mut() {
            Some(last) if last.value == part.value && last.cols.end == part.cols.start => {
                last.cols.end = part.cols.end;
                last.readers.append(&mut part.readers);
            }
            _ => parts.push(part),
        }
    }
    parts
}

/// Merges what a concatenation puts side by side into the node that produces it all. Says what it did, and from which
/// node on there may be more to do.
fn merge(graph: &mut Graph, concat: usize) -> Option<(String, usize)> {
    let parts = parts(graph, concat);
    if let [part] = &parts[..]
        && part.cols == (0..graph.dims(part.value)[1])
    {
        let (from, to) = (graph.nodes[concat].output, part.value);
        let note = format!("`{}`: the columns of `{}` again", graph.value(from).name, graph.value(to).name);
        graph.replace_uses(from, to);
        graph.nodes.remove(concat);
        return Some((note, concat));
    }
    merge_linears(graph, concat, &parts).or_else(|| merge_lstms(graph, concat, &parts))
}

/// The nodes that produce the parts, if nothing but this concatenation reads them.
fn sources(graph: &Graph, parts: &[Part]) -> Option<Vec<usize>> {
    let (producers, uses) = (graph.producers(), graph.use_lists());
    let source = |part: &Part| {
        let mut readers = parts.iter().filter(|other| other.value == part.value).map(|other| &other.readers);
        let ours = |u: &Use| matches!(u, Use::Input { node, .. } if readers.clone().any(|nodes| nodes.contains(node)));
        let all_ours = uses[part.value.0 as usize].iter().all(ours);
        readers.next()?;
        producers[part.value.0 as usize].filter(|_| all_ours)
    };
    parts.iter().map(source).collect()
}

fn merge_linears(graph: &mut Graph, concat: usize, parts: &[Part]) -> Option<(String, usize)> {
    let sources = sources(graph, parts)?;
    let mut linears: Vec<&Linear> = Vec::with_capacity(sources.len());
    let mut operands: Vec<ValueId> = Vec::new();
    for (part, source) in parts.iter().zip(&sources) {
        let node = &graph.nodes[*source];
        match &node.op {
            Op::Linear(linear) if !linear.residual && part.cols == (0..linear.cols) => linears.push(linear),
            _ => return None,
        }
        if !operands.contains(&node.inputs[0]) {
            operands.push(node.inputs[0]);
        }
    }
    let act = linears[0].act;
    let distinct = sources.iter().collect::<BTreeSet<_>>().len() == sources.len();
    if !distinct || linears.iter().any(|linear| linear.act != act) {
        return None;
    }
    if operands.len() > 1 && !are_sibling_lstms(graph, &operands) {
        return None;
    }
    let mut groups: Vec<LinearGroup> = Vec::new();
    let mut cols = 0;
    for (linear, source) in linears.iter().zip(&sources) {
        let before = operands.iter().take_while(|operand| **operand != graph.nodes[*source].inputs[0]);
        let depth: usize = before.map(|operand| graph.dims(*operand)[1]).sum();
        for group in &linear.groups {
            let input = group.input.start + depth..group.input.end + depth;
            let output = group.output.start + cols..group.output.end + cols;
            groups.push(LinearGroup { input, output, ..group.clone() });
        }
        cols += linear.cols;
    }
    let name = common_path(sources.iter().map(|source| graph.nodes[*source].name.as_str()));
    let note = format!("`{name}`: one product of {} heads", sources.len());
    let node = &mut graph.nodes[concat];
    node.op = Op::Linear(Linear { cols, groups, act, residual: false });
    node.name = name;
    if let [operand] = operands[..] {
        node.inputs = vec![operand];
    } else {
        let depth = operands.iter().map(|operand| graph.dims(*operand)[1]).sum();
        let name = format!("{}.heads", graph.nodes[concat].name);
        let output = graph.add_value(&name, graph.value(operands[0]).shape.with_cols(depth));
        graph.nodes[concat].inputs = vec![output];
        graph.nodes.insert(concat, Node { name, op: Op::ConcatCols, inputs: operands, output });
    }
    let first_changed = concat - sources.len();
    graph.remove_nodes(&sources.into_iter().collect());
    Some((note, first_changed))
}

/// Whether these values are LSTMs over the same value, each read by one node only.
fn are_sibling_lstms(graph: &Graph, values: &[ValueId]) -> bool {
    let (producers, uses) = (graph.producers(), graph.use_lists());
    let input = |value: &ValueId| {
        let node = &graph.nodes[producers[value.0 as usize]?];
        let once = uses[value.0 as usize].len() == 1;
        (matches!(node.op, Op::MultiHeadLstm(_)) && once).then_some(node.inputs[0])
    };
    let first = input(&values[0]);
    first.is_some() && values.iter().all(|value| input(value) == first)
}

fn merge_lstms(graph: &mut Graph, concat: usize, parts: &[Part]) -> Option<(String, usize)> {
    let sources = sources(graph, parts)?;
    let input = graph.nodes[*sources.first()?].inputs.first().copied()?;
    let nodes: BTreeSet<usize> = sources.iter().copied().collect();
    let mut units: Vec<LstmUnit> = Vec::new();
    // Node and head, and node and output column: what tells heads and units apart.
    let (mut heads, mut seen) = (Vec::new(), BTreeSet::new());
    let mut output = 0;
    for (part, source) in parts.iter().zip(&sources) {
        let node = &graph.nodes[*source];
        let Op::MultiHeadLstm(lstm) = &node.op else { return None };
        if node.inputs[0] != input {
            return None;
        }
        let before = output;
        for unit in &lstm.units {
            if unit.output < part.cols.start || unit.output + unit.hidden > part.cols.end {
                continue;
            }
            if !seen.insert((*source, unit.output)) {
                return None;
            }
            heads.push((*source, unit.head));
            units.push(LstmUnit { output, ..unit.clone() });
            output += unit.hidden;
        }
        if output - before != part.cols.len() {
            return None;
        }
    }
    let all: usize = nodes.iter().map(|node| graph.dims(graph.nodes[*node].output)[1]).sum();
    if all != output {
        return None;
    }
    let names: BTreeSet<_> = heads.iter().copied().collect();
    for (unit, head) in units.iter_mut().zip(&heads) {
        unit.head = names.range(..*head).count();
    }
    let name = common_path(nodes.iter().map(|node| graph.nodes[*node].name.as_str()));
    let note = format!("`{name}`: one LSTM of {} units", units.len());
    let node = &mut graph.nodes[concat];
    node.op = Op::MultiHeadLstm(MultiHeadLstm { units });
    node.name = name;
    node.inputs = vec![input];
    let dead: BTreeSet<usize> = nodes
        .into_iter()
        .chain(parts.iter().flat_map(|part| part.readers.iter().copied()))
        .filter(|n| *n != concat)
        .collect();
    let before = dead.range(..concat).count();
    graph.remove_nodes(&dead);
    Some((note, concat - before))
}

/// The longest path of modules that all these names begin with.
fn common_path<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut common: Vec<&str> = names.next().unwrap_or_default().split('.').collect();
    for name in names {
        let same = common.iter().zip(name.split('.')).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    common.join(".")
}
