//! Weight matrices as PyTorch has them: names, shapes, and where their elements stand in the IR. May import: `ir`.

use std::collections::BTreeMap;

use crate::ir::{Direction, Graph, LinearGroup, MultiHeadLstm, Node, Op, Origins, WeightId};

/// For each of PyTorch's gates i, f, g, o, which of the IR's (i, o, f, c) it is.
const GATES: [usize; 4] = [0, 2, 3, 1];

/// A weight matrix of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Parameter {
    /// Index of the node that reads it.
    pub(crate) node: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The matrix of a `Linear`.
    Linear,
    /// W of the LSTM unit with this index.
    Input(usize),
    /// R of the LSTM unit with this index.
    Recurrent(usize),
}

/// Rows and columns that are kept; where either is not, the weight is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cross {
    pub(crate) rows: Vec<bool>,
    pub(crate) cols: Vec<bool>,
}

/// A graph that is fresh from the import, and how its parameters lie in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) origins: &'a Origins,
}

impl Model<'_> {
    /// All parameters, in the order of the nodes.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let kinds = |node: &Node| match &node.op {
            Op::Linear(_) => vec![Kind::Linear],
            Op::MultiHeadLstm(lstm) => {
                (0..lstm.units.len()).flat_map(|unit| [Kind::Input(unit), Kind::Recurrent(unit)]).collect()
            }
            _ => Vec::new(),
        };
        let nodes = self.graph.nodes.iter().enumerate();
        nodes.flat_map(|(node, n)| kinds(n).into_iter().map(move |kind| Parameter { node, kind })).collect()
    }

    pub(crate) fn node(&self, parameter: Parameter) -> &Node {
        &self.graph.nodes[parameter.node]
    }

    /// Its name behind the module's path.
    pub(crate) fn leaf(&self, parameter: Parameter) -> &'static str {
        let node = self.node(parameter);
        let (unit, names) = match parameter.kind {
            Kind::Linear => return "weight",
            Kind::Input(unit) => (unit, ["weight_ih_l0", "weight_ih_l0_reverse"]),
            Kind::Recurrent(unit) => (unit, ["weight_hh_l0", "weight_hh_l0_reverse"]),
        };
        let reverse = units(&node.op).is_some_and(|lstm| lstm.units[unit].direction == Direction::Reverse);
        names[usize::from(reverse != self.is_flipped(parameter))]
    }

    /// Whether its LSTM runs over reversed tokens, so that PyTorch's direction is the opposite of the graph's.
    fn is_flipped(&self, parameter: Parameter) -> bool {
        self.origins.get(self.node(parameter).output).is_some_and(|origin| origin.flipped)
    }

    /// Its full name.
    pub(crate) fn name(&self, parameter: Parameter) -> String {
        format!("{}.{}", self.node(parameter).name, self.leaf(parameter))
    }

    /// Rows and columns.
    pub(crate) fn dims(&self, parameter: Parameter) -> [usize; 2] {
        let node = self.node(parameter);
        let own = self.origins.get(node.output).and_then(|origin| origin.columns.as_ref()).map(Vec::len);
        if let Some(group) = self.repeated(parameter) {
            return [group.output.len(), group.input.len()];
        }
        match (&node.op, parameter.kind) {
            (Op::Linear(linear), Kind::Linear) => [linear.cols, own.unwrap_or(self.columns(parameter).1)],
            (Op::MultiHeadLstm(lstm), Kind::Input(unit)) => {
                [4 * lstm.units[unit].hidden, own.unwrap_or(lstm.units[unit].input.len())]
            }
            (Op::MultiHeadLstm(lstm), Kind::Recurrent(unit)) => {
                [4 * lstm.units[unit].hidden, lstm.units[unit].hidden]
            }
            _ => [0, 0],
        }
    }

    /// One of the blocks of a `Linear` that multiplies several groups of channels by the same matrix: one for all heads.
    pub(crate) fn repeated(&self, parameter: Parameter) -> Option<&LinearGroup> {
        match (&self.node(parameter).op, parameter.kind) {
            (Op::Linear(linear), Kind::Linear) => match &linear.groups[..] {
                [first, rest @ ..] if !rest.is_empty() => {
                    rest.iter().all(|group| group.weight == first.weight).then_some(first)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether two nodes read the same parameter of the framework: the exporter gave both the same constant.
    pub(crate) fn is_shared(&self, a: Parameter, b: Parameter) -> bool {
        let initializer =
            |p: Parameter| self.origins.get(self.node(p).output).and_then(|o| o.initializer.as_deref());
        a.kind == Kind::Linear
            && b.kind == Kind::Linear
            && initializer(a).is_some_and(|name| initializer(b) == Some(name))
            && self.dims(a) == self.dims(b)
            && self.elements(a) == self.elements(b)
    }

    fn elements(&self, parameter: Parameter) -> Vec<f32> {
        let [rows, cols] = self.dims(parameter);
        let mut elements = vec![0.0; rows * cols];
        self.visit(parameter, |row, col, x| elements[row * cols + col] = x);
        elements
    }

    /// First column of the operand that it reads, and how many.
    fn columns(&self, parameter: Parameter) -> (usize, usize) {
        let node = self.node(parameter);
        match (&node.op, parameter.kind) {
            (Op::Linear(linear), Kind::Linear) => match &linear.groups[..] {
                [group] => (group.input.start, group.input.len()),
                _ => (0, self.graph.dims(node.inputs[0])[1]),
            },
            (Op::MultiHeadLstm(lstm), Kind::Input(unit)) => {
                (lstm.units[unit].input.start, lstm.units[unit].input.len())
            }
            _ => (0, self.dims(parameter)[1]),
        }
    }

    /// For each column of the operand, the parameter's column that it is multiplied by. Two of the parameter's columns
    /// never share one: `None` then, for the whole.
    pub(crate) fn operand_columns(&self, parameter: Parameter) -> Option<Vec<Option<usize>>> {
        if let Kind::Recurrent(_) = parameter.kind {
            // Its operand is the hidden state, which nothing moves.
            return Some((0..self.dims(parameter)[1]).map(Some).collect());
        }
        let node = self.node(parameter);
        let (first, count) = self.columns(parameter);
        let mut columns = vec![None; self.graph.dims(node.inputs[0])[1]];
        if let (Op::Linear(linear), Some(_)) = (&node.op, self.repeated(parameter)) {
            for (column, place) in linear.groups.iter().flat_map(|group| group.input.clone().enumerate()) {
                if columns[place].replace(column).is_some_and(|other| other != column) {
                    return None;
                }
            }
            return Some(columns);
        }
        let moved = self.origins.get(node.output).and_then(|origin| origin.columns.as_deref());
        for column in 0..moved.map_or(count, <[usize]>::len) {
            let place = &mut columns[first + moved.map_or(column, |moved| moved[column])];
            if place.replace(column).is_some() {
                return None;
            }
        }
        Some(columns)
    }

    /// The constants that hold the parameter, in an op of the kind of its node's, and how they lie.
    fn pieces<'b>(&self, parameter: Parameter, op: &'b mut Op) -> Vec<(&'b mut WeightId, Layout)> {
        let (first, _) = self.columns(parameter);
        let columns = self.operand_columns(parameter);
        let columns = columns.unwrap_or_else(|| (0..self.dims(parameter)[1]).map(Some).collect());
        let repeated = self.repeated(parameter).is_some();
        match (op, parameter.kind) {
            (Op::Linear(linear), Kind::Linear) => {
                let groups = linear.groups.iter_mut();
                groups
                    .map(|group| {
                        let columns = columns[group.input.clone()].to_vec();
                        let row = if repeated { 0 } else { group.output.start };
                        (&mut group.weight, Layout::Transposed { row, columns })
                    })
                    .collect()
            }
            (Op::MultiHeadLstm(lstm), Kind::Input(unit)) => {
                let unit = &mut lstm.units[unit];
                let columns = columns[first..first + unit.input.len()].to_vec();
                vec![(&mut unit.w, Layout::Gates { hidden: unit.hidden, columns })]
            }
            (Op::MultiHeadLstm(lstm), Kind::Recurrent(unit)) => {
                let unit = &mut lstm.units[unit];
                vec![(&mut unit.r, Layout::Gates { hidden: unit.hidden, columns })]
            }
            _ => Vec::new(),
        }
    }

    /// Visits every element with its row and column; those of a constant that several blocks share once.
    pub(crate) fn visit(&self, parameter: Parameter, mut visit: impl FnMut(usize, usize, f32)) {
        let mut op = self.node(parameter).op.clone();
        let mut seen = Vec::new();
        for (id, layout) in self.pieces(parameter, &mut op) {
            if seen.contains(id) {
                continue;
            }
            seen.push(*id);
            let weight = self.graph.weight(*id);
            for (i, x) in weight.data.iter().enumerate() {
                if let Some((row, col)) = layout.place(i / weight.dims[1], i % weight.dims[1]) {
                    visit(row, col, *x);
                }
            }
        }
    }
}

/// How a constant of the IR lies in the parameter.
enum Layout {
    /// Its columns are the parameter's rows from `row` on; `columns` are its rows' columns.
    Transposed { row: usize, columns: Vec<Option<usize>> },
    /// Gates in the IR's order.
    Gates { hidden: usize, columns: Vec<Option<usize>> },
}

impl Layout {
    /// Row and column in the parameter of an element of the constant.
    fn place(&self, row: usize, col: usize) -> Option<(usize, usize)> {
        match self {
            Layout::Transposed { row: first, columns } => Some((first + col, columns[row]?)),
            Layout::Gates { hidden, columns } => {
                let gate = GATES.iter().position(|ours| *ours == row / hidden)?;
                Some((gate * hidden + row % hidden, columns[col]?))
            }
        }
    }
}

fn units(op: &Op) -> Option<&MultiHeadLstm> {
    match op {
        Op::MultiHeadLstm(lstm) => Some(lstm),
        _ => None,
    }
}

/// Zeroes the elements of a parameter where `keep(row, column)` says no, in all nodes that read it; gives the number of
/// new zeros.
pub(crate) fn zero(
    graph: &mut Graph,
    origins: &Origins,
    parameter: Parameter,
    keep: impl Fn(usize, usize) -> bool,
) -> usize {
    let model = Model { graph, origins };
    let others = model.parameters().into_iter().filter(|other| *other != parameter);
    let shared: Vec<Parameter> = others.filter(|other| model.is_shared(parameter, *other)).collect();
    let count = zero_one(graph, origins, parameter, &keep);
    for other in shared {
        zero_one(graph, origins, other, &keep);
    }
    count
}

fn zero_one(
    graph: &mut Graph,
    origins: &Origins,
    parameter: Parameter,
    keep: impl Fn(usize, usize) -> bool,
) -> usize {
    let mut op = graph.nodes[parameter.node].op.clone();
    let mut count = 0;
    // The new constant for each old one: blocks that share one go on sharing it.
    let mut masked: BTreeMap<WeightId, WeightId> = BTreeMap::new();
    let pieces: Vec<(WeightId, Layout)> = (Model { graph, origins })
        .pieces(parameter, &mut op)
        .into_iter()
        .map(|(id, layout)| (*id, layout))
        .collect();
    for (id, layout) in pieces {
        if masked.contains_key(&id) {
            continue;
        }
        let weight = graph.weight(id);
        let [rows, cols] = weight.dims;
        let elements = weight.data.iter().enumerate().map(|(i, x)| {
            let kept = layout.place(i / cols, i % cols).is_none_or(|(row, col)| keep(row, col));
            count += usize::from(!kept && *x != 0.0);
            if kept { *x } else { 0.0 }
        });
        let data: Vec<f32> = elements.collect();
        masked.insert(id, graph.add_weight(rows, cols, data));
    }
    for (id, _) in (Model { graph, origins }).pieces(parameter, &mut op) {
        *id = masked[id];
    }
    graph.nodes[parameter.node].op = op;
    count
}
