//! Masks × graph. May import: `ir`, `error`.

use std::collections::BTreeMap;

use super::{Applied, Mask, MaskReport, Masks};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Graph, Linear, LstmUnit, MultiHeadLstm, Op, WeightId};

/// For each of PyTorch's gates i, f, g, o, which of the IR's (i, o, f, c) it is.
const GATES: [usize; 4] = [0, 2, 3, 1];

/// A place where a mask of that name can go.
#[derive(Clone, Debug)]
struct Parameter {
    node: usize,
    kind: Kind,
    /// PyTorch's rows and columns.
    dims: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    /// W of the unit with this index.
    Input(usize),
    /// R of the unit with this index.
    Recurrent(usize),
}

impl Masks {
    /// Zeroes what the masks prune. The graph is as the importer made it: passes that split or merge heads come later.
    ///
    /// # Errors
    ///
    /// `BadMask` if a mask fits no parameter (the hint says which name is near), fits several, or has another shape;
    /// the graph is unchanged then.
    pub fn apply(&self, graph: &mut Graph) -> Result<MaskReport> {
        let parameters = parameters(graph);
        let mut matched = Vec::with_capacity(self.masks.len());
        for (name, mask) in &self.masks {
            matched.push((name, mask, find(&parameters, name, mask)?));
        }
        let mut report = MaskReport::default();
        for (name, mask, parameter) in matched {
            report.masks.push(Applied {
                parameter: name.clone(),
                node: graph.nodes[parameter.node].name.clone(),
                dims: mask.dims,
                masked: mask.keep.iter().filter(|keep| !**keep).count(),
                zeroed: zero(graph, parameter, mask),
            });
        }
        Ok(report)
    }
}

/// Every weight matrix that a mask could be for, by PyTorch's name.
fn parameters(graph: &Graph) -> BTreeMap<String, Vec<Parameter>> {
    let mut parameters: BTreeMap<String, Vec<Parameter>> = BTreeMap::new();
    for (node, n) in graph.nodes.iter().enumerate() {
        let mut add = |name: &str, kind, dims| {
            let name = format!("{}.{name}", n.name);
            parameters.entry(name).or_default().push(Parameter { node, kind, dims });
        };
        match &n.op {
            Op::Linear(linear) => {
                add("weight", Kind::Linear, linear_dims(linear, graph.dims(n.inputs[0])[1]))
            }
            Op::MultiHeadLstm(lstm) => {
                // The first direction of the module, not of time: the module may run over reversed rows.
                for ((i, unit), suffix) in lstm.units.iter().enumerate().zip(["", "_reverse"]) {
                    let gates = 4 * unit.hidden;
                    add(&format!("weight_ih_l0{suffix}"), Kind::Input(i), [gates, unit.input.len()]);
                    add(&format!("weight_hh_l0{suffix}"), Kind::Recurrent(i), [gates, unit.hidden]);
                }
            }
            _ => {}
        }
    }
    parameters
}

/// PyTorch's rows and columns of a product with `depth` inputs: of the one block if there is one, or if all are the
/// same constant (a module that runs on each part of its input); else of the whole matrix.
fn linear_dims(linear: &Linear, depth: usize) -> [usize; 2] {
    match &linear.groups[..] {
        [first, rest @ ..] if rest.iter().all(|group| group.weight == first.weight) => {
            [first.output.len(), first.input.len()]
        }
        _ => [linear.cols, depth],
    }
}

fn find<'a>(
    parameters: &'a BTreeMap<String, Vec<Parameter>>,
    name: &str,
    mask: &Mask,
) -> Result<&'a Parameter> {
    let bad = |what: String| Error::new(ErrorKind::BadMask, what).at_node(name);
    let parameter = match parameters.get(name).map(Vec::as_slice) {
        Some([parameter]) => parameter,
        Some(several) => {
            return Err(bad(format!("a mask fits several parameters of the name `{name}`"))
                .expected("`1`")
                .got(format!("`{}`", several.len()))
                .hint("modules that run more than once can't be pruned by name"));
        }
        None => {
            let likeness = |known: &&String| strsim::normalized_levenshtein(known, name);
            let near = parameters.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let error = bad(format!("a mask fits no parameter: the model has no `{name}`"));
            return Err(match near {
                Some(near) => error.hint(format!("the nearest name is `{near}`")),
                None => error.hint("the model has no parameters that can be masked"),
            });
        }
    };
    if mask.dims != parameter.dims {
        let show = |dims: [usize; 2]| format!("`{}x{}`", dims[0], dims[1]);
        return Err(bad("a mask of the wrong shape".into())
            .expected(show(parameter.dims))
            .got(show(mask.dims))
            .hint("masks have the shape of the parameter in PyTorch"));
    }
    Ok(parameter)
}

/// Zeroes one parameter's pruned weights; gives the number of those that were not zero.
fn zero(graph: &mut Graph, parameter: &Parameter, mask: &Mask) -> usize {
    let keeps = |row: usize, col: usize| mask.keep[row * mask.dims[1] + col];
    let mut op = graph.nodes[parameter.node].op.clone();
    let count = match (&mut op, parameter.kind) {
        (Op::Linear(linear), Kind::Linear) => {
            let mut count = 0;
            let shared = linear.groups.iter().all(|group| group.weight == linear.groups[0].weight);
            for group in &mut linear.groups {
                let (k, n) = if shared { (0, 0) } else { (group.input.start, group.output.start) };
                count += retain(graph, &mut group.weight, |row, col| keeps(n + col, k + row));
            }
            count
        }
        (Op::MultiHeadLstm(lstm), Kind::Input(unit)) => {
            retain_gates(graph, lstm, unit, |unit| &mut unit.w, keeps)
        }
        (Op::MultiHeadLstm(lstm), Kind::Recurrent(unit)) => {
            retain_gates(graph, lstm, unit, |unit| &mut unit.r, keeps)
        }
        _ => 0,
    };
    graph.nodes[parameter.node].op = op;
    count
}

fn retain_gates(
    graph: &mut Graph,
    lstm: &mut MultiHeadLstm,
    unit: usize,
    weight: impl Fn(&mut LstmUnit) -> &mut WeightId,
    keeps: impl Fn(usize, usize) -> bool,
) -> usize {
    let unit = &mut lstm.units[unit];
    let hidden = unit.hidden;
    let torch_gate = |gate: usize| GATES.iter().position(|ours| *ours == gate).unwrap_or_default();
    retain(graph, weight(unit), |row, col| keeps(torch_gate(row / hidden) * hidden + row % hidden, col))
}

/// Replaces a constant by one with zeros where `keep(row, column)` says no; gives the number of new zeros. Other nodes
/// that share the constant keep theirs.
fn retain(graph: &mut Graph, id: &mut WeightId, keep: impl Fn(usize, usize) -> bool) -> usize {
    let weight = graph.weight(*id);
    let [rows, cols] = weight.dims;
    let mut count = 0;
    let elements = weight.data.iter().enumerate().map(|(i, x)| {
        let kept = keep(i / cols, i % cols);
        count += usize::from(!kept && *x != 0.0);
        if kept { *x } else { 0.0 }
    });
    let data: Vec<f32> = elements.collect();
    *id = graph.add_weight(rows, cols, data);
    count
}
