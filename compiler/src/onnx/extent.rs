//! Batches, and sizes that the model leaves open. May import: the rest of `onnx`, `error`, `ir`.
//!
//! A model is lowered for sizes, not for symbols: exporters compute shapes from shapes, and numbers fold where symbols
//! would need an algebra. So a model whose number of tokens is open is lowered at several lengths. What each gives must
//! be one and the same graph, in which whole values have a row for each token and the first rows of constants are used;
//! anything else that depends on the length is refused, with the node's name. A batch is lowered with more than one
//! element, and every step must keep its axis apart: the graph is that of one element.

use std::collections::HashSet;

use super::lower::{self, Lowered};
use super::proto::{Input, Model};
use super::view::MAX_SIZE;
use super::{ImportOptions, Imported};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{self, Batch, Dim, Dtype, Graph, Op, Shape, ValueId, output_shape};

/// Fewest tokens at which a model is lowered: axes of size 1 and of a few could be taken for others.
const LEAST_TOKENS: usize = 5;
/// Elements of an open batch for which a model is lowered: as many as no other axis is likely to have.
const ELEMENTS: [usize; 2] = [5, 7];
/// Most elements of a batch.
const MAX_BATCH: usize = 1 << 20;

/// The sizes of one input for which a model is lowered.
#[derive(Clone, Debug)]
pub(super) struct InputSizes {
    pub(super) dims: Vec<usize>,
    /// The axis of the batch, if it has one.
    pub(super) batch: Option<usize>,
    /// The axis of the tokens, where it is known.
    pub(super) tokens: Option<usize>,
    /// Whether a convolution reads it.
    pub(super) image: bool,
}

impl InputSizes {
    /// Elements of the batch.
    pub(super) fn elements(&self) -> usize {
        self.batch.map_or(1, |axis| self.dims[axis])
    }
}

/// Imports a model whose nodes are in order.
pub(super) fn import(model: &Model, options: &ImportOptions) -> Result<Imported> {
    let axes = axes(model, options)?;
    let batch = batch(model, &axes, options)?;
    let most = tokens(model, &axes, options)?;
    let elements = if batch.fixed { batch.most } else { ELEMENTS[0] };
    let at = most.map_or(1, |most| most.max(LEAST_TOKENS));
    let mut base = graph(model, &axes, [elements, at], options)?;
    if most.is_some() {
        for length in [at - 1, at.div_ceil(2).max(LEAST_TOKENS - 2)] {
            compare(&base, &graph(model, &axes, [elements, length], options)?, "number of tokens")?;
        }
    }
    if !batch.fixed {
        let other = graph(model, &axes, [ELEMENTS[1], at], options)?;
        compare(&base, &other, "number of elements in the batch")?;
    }
    base.graph.batch = batch;
    if let Some(most) = most {
        cut(&mut base.graph, most);
    }
    Ok(Imported { graph: base.graph, origins: base.origins })
}

/// Which axes of an input are the batch's and the tokens'.
struct Axes {
    batch: Option<usize>,
    tokens: Option<usize>,
    image: bool,
}

fn axes(model: &Model, options: &ImportOptions) -> Result<Vec<Axes>> {
    let convs = model.nodes.iter().filter(|node| node.op() == "Conv");
    let images: HashSet<&str> = convs.filter_map(|node| node.inputs().next()?).collect();
    model.inputs.iter().map(|input| of_input(input, images.contains(input.name.as_str()), options)).collect()
}

fn of_input(input: &Input, image: bool, options: &ImportOptions) -> Result<Axes> {
    let ids = input.dtype != Dtype::F32;
    if ids && input.dims.len() != 2 {
        return Err(Error::new(ErrorKind::ShapeMismatch, "unsupported shape of an input of integers")
            .at_field(&input.name)
            .expected("[batch, tokens]")
            .got(show(&input.dims)));
    }
    // An axis in front that is neither open nor of an image or ids runs over tokens, unless a batch is asked for.
    let first = input.dims.first().copied();
    let asked = input.dims.len() > 2 && first.flatten().is_some_and(|size| options.batch == Some(size));
    // One without axes has no batch; who takes it for an image refuses it.
    let batch = (first.is_some() && (image || ids || first == Some(None) || asked)).then_some(0);
    let mut open = (0..input.dims.len()).filter(|axis| batch != Some(*axis) && input.dims[*axis].is_none());
    let tokens = open.next();
    if let Some(axis) = open.next().or(tokens.filter(|axis| image || *axis + 1 == input.dims.len() && !ids)) {
        return Err(no_size(input, axis).hint("export the model with fixed shapes"));
    }
    Ok(Axes { batch, tokens: if ids { Some(1) } else { tokens }, image })
}

fn no_size(input: &Input, axis: usize) -> Error {
    let name = &input.name;
    Error::new(ErrorKind::ShapeMismatch, format!("axis {axis} of input `{name}` has no fixed size"))
        .at_field(name)
        .expected("a number above 0")
        .got(show(&input.dims))
}

fn show(dims: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        dims.iter().map(|d| d.map_or_else(|| "?".to_owned(), |d| d.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

/// How many elements a call may have.
fn batch(model: &Model, axes: &[Axes], options: &ImportOptions) -> Result<Batch> {
    let sizes: Vec<Option<usize>> = model
        .inputs
        .iter()
        .zip(axes)
        .filter_map(|(input, axes)| axes.batch.map(|axis| input.dims[axis]))
        .collect();
    let fixed: HashSet<usize> = sizes.iter().copied().flatten().collect();
    let wrong = |what: &str| Error::new(ErrorKind::ShapeMismatch, what).at_field("batch");
    let batch = match (fixed.len(), options.batch) {
        (0, wanted) if !sizes.is_empty() => match wanted.unwrap_or(1) {
            most @ 2..=MAX_BATCH => Batch { most, fixed: false },
            1 => Batch::ONE,
            other => {
                return Err(wrong("impossible batch")
                    .expected(format!("1 to {MAX_BATCH}"))
                    .got(other.to_string()));
            }
        },
        (0 | 1, wanted) => {
            let most = fixed.iter().next().copied().unwrap_or(1);
            if wanted.is_some_and(|wanted| wanted != most) {
                return Err(wrong("the model's batch is fixed")
                    .expected(most.to_string())
                    .got(wanted.map_or(String::new(), |wanted| wanted.to_string()))
                    .hint("export the model with a batch axis that is left open (`dynamic_axes`)"));
            }
            Batch { most, fixed: true }
        }
        _ => {
            let mut sizes: Vec<usize> = fixed.into_iter().collect();
            sizes.sort_unstable();
            return Err(wrong("inputs have different batches")
                .expected("one size")
                .got(format!("{sizes:?}")));
        }
    };
    if batch != Batch::ONE
        && let Some((input, _)) = model.inputs.iter().zip(axes).find(|(_, axes)| axes.batch.is_none())
    {
        return Err(wrong("an input has no axis for the batch")
            .at_node(&input.name)
            .expected("the batch in front")
            .got(show(&input.dims)));
    }
    Ok(batch)
}

/// Most tokens of a call, where the model leaves their number open.
fn tokens(model: &Model, axes: &[Axes], options: &ImportOptions) -> Result<Option<usize>> {
    let sized = || model.inputs.iter().zip(axes).filter_map(|(input, axes)| Some((input, axes.tokens?)));
    let Some((input, axis)) = sized().find(|(input, axis)| input.dims[*axis].is_none()) else {
        let fixed = sized().find_map(|(input, axis)| input.dims[axis]);
        return match options.max_tokens {
            Some(wanted) if fixed != Some(wanted) => {
                Err(Error::new(ErrorKind::ShapeMismatch, "the model's number of tokens is fixed")
                    .at_field("max-tokens")
                    .expected(fixed.map_or_else(|| "no such option".to_owned(), |fixed| fixed.to_string()))
                    .got(wanted.to_string())
                    .hint("export the model with a sequence axis that is left open (`dynamic_axes`)"))
            }
            _ => Ok(None),
        };
    };
    if let Some((other, size)) = sized().find_map(|(input, axis)| Some((input, input.dims[axis]?))) {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            "some inputs leave the number of tokens open, others don't",
        )
        .at_field(&other.name)
        .expected("a sequence axis that is left open")
        .got(size.to_string()));
    }
    match options.max_tokens {
        Some(most @ 2..=MAX_SIZE) => Ok(Some(most)),
        Some(other) => Err(Error::new(ErrorKind::ShapeMismatch, "impossible number of tokens")
            .at_field("max-tokens")
            .expected(format!("2 to {MAX_SIZE}"))
            .got(other.to_string())),
        None => Err(no_size(input, axis).hint("say how many tokens a call has at most: `--max-tokens N`")),
    }
}

/// The model lowered for so many elements and tokens, with the values that have a row for each token marked.
fn graph(
    model: &Model,
    axes: &[Axes],
    [elements, tokens]: [usize; 2],
    options: &ImportOptions,
) -> Result<Lowered> {
    let sizes = model.inputs.iter().zip(axes).map(|(input, axes)| {
        let size = |(axis, size): (usize, &Option<usize>)| {
            size.unwrap_or(if axes.batch == Some(axis) { elements } else { tokens })
        };
        let dims: Vec<usize> = input.dims.iter().enumerate().map(size).collect();
        InputSizes { dims, batch: axes.batch, tokens: axes.tokens, image: axes.image }
    });
    let sizes: Vec<InputSizes> = sizes.collect();
    let mut lowered = lower::lower(model, &sizes, options)?;
    let open =
        model.inputs.iter().zip(axes).map(|(input, axes)| axes.tokens.filter(|a| input.dims[*a].is_none()));
    let open: Vec<bool> = open.map(|axis| axis.is_some()).collect();
    // With a mask every element has as many tokens as that counts, even if the model's own number is fixed.
    let masked = lowered.lengths.and_then(|input| Some(sizes[input].dims[axes[input].tokens?]));
    let varying: Vec<bool> = match (open.contains(&true), masked) {
        (true, _) => open,
        (false, Some(length)) => {
            let same = |sizes: &InputSizes| sizes.tokens.is_some_and(|axis| sizes.dims[axis] == length);
            sizes.iter().map(same).collect()
        }
        (false, None) => vec![false; sizes.len()],
    };
    if varying.contains(&true) {
        let rows = masked.unwrap_or(tokens);
        vary(&mut lowered.graph, rows, &varying)?;
    }
    lowered.graph.lengths = lowered.lengths;
    fix_ports(&mut lowered.graph);
    Ok(lowered)
}

/// Lets the rows of these inputs, and of all that is made of them row by row, vary.
fn vary(graph: &mut Graph, rows: usize, varying: &[bool]) -> Result<()> {
    graph.tokens = rows;
    for (port, _) in graph.inputs.iter().zip(varying).filter(|(_, varies)| **varies) {
        let shape = &mut graph.values[port.value.0 as usize].shape;
        *shape = match *shape {
            Shape::Matrix { cols, .. } => Shape::Tokens { cols },
            Shape::Ids { .. } => Shape::TokenIds,
            other => other,
        };
    }
    for index in 0..graph.nodes.len() {
        let inputs = graph.nodes[index].inputs.clone();
        if matches!(graph.nodes[index].op, Op::Add | Op::ConcatCols)
            && inputs.iter().any(|value| graph.value(*value).shape.varies())
        {
            inputs.iter().for_each(|value| positions(graph, *value));
        }
        let node = &graph.nodes[index];
        let shape = output_shape(graph, &node.op, &inputs).map_err(|e| {
            let what = format!("where the number of tokens varies, {}", e.what);
            let hint = "what is computed must be the same for every number of tokens";
            Error { kind: ErrorKind::UnsupportedOp, what, ..e }.at_node(&node.name).hint(hint)
        })?;
        let output = node.output;
        graph.values[output.0 as usize].shape = shape;
    }
    Ok(())
}

/// Makes a constant with a row for each token one whose first rows are used.
fn positions(graph: &mut Graph, value: ValueId) {
    let [rows, cols] = graph.dims(value);
    let Some(index) = graph.producer(value).filter(|_| rows == graph.tokens && graph.uses(value) == 1) else {
        return;
    };
    if let Op::Constant(weight) = graph.nodes[index].op {
        graph.nodes[index].op = Op::Positions(weight);
        graph.values[value.0 as usize].shape = Shape::Tokens { cols };
    }
}

/// Ports whose rows turned out not to vary have fixed dimensions.
fn fix_ports(graph: &mut Graph) {
    let Graph { inputs, outputs, values, .. } = graph;
    for port in inputs.iter_mut().chain(outputs) {
        let rows = match values[port.value.0 as usize].shape {
            Shape::Matrix { rows, .. } | Shape::Ids { rows } => rows,
            Shape::Tokens { .. } | Shape::TokenIds | Shape::Image { .. } => continue,
        };
        port.dims.iter_mut().filter(|dim| **dim == Dim::Tokens).for_each(|dim| *dim = Dim::Fixed(rows));
    }
}

/// Refuses two graphs, made of one model at different sizes, that are not the same.
fn compare(base: &Lowered, other: &Lowered, what: &str) -> Result<()> {
    let differs = |node: &str, field: &str, [a, b]: [String; 2]| {
        Error::new(ErrorKind::UnsupportedOp, format!("the model computes something else for another {what}"))
            .at_node(node)
            .at_field(field)
            .expected(a)
            .got(b)
            .hint(format!("what is computed must be the same for every {what}, but for its rows"))
    };
    let (a, b) = (&base.graph, &other.graph);
    for (x, y) in a.nodes.iter().zip(&b.nodes) {
        if (&x.name, &x.inputs, &x.op) != (&y.name, &y.inputs, &y.op) {
            return Err(differs(&x.name, "operation", [format!("{:?}", x.op), format!("{:?}", y.op)]));
        }
        if a.value(x.output).shape != b.value(y.output).shape {
            let shapes = [format!("{:?}", a.dims(x.output)), format!("{:?}", b.dims(y.output))];
            return Err(differs(&x.name, "shape", shapes));
        }
        let prefix = matches!(x.op, Op::Positions(_));
        for (v, w) in x.op.weights().into_iter().zip(y.op.weights()) {
            let (v, w) = (a.weight(v), b.weight(w));
            let len = if prefix { v.data.len().min(w.data.len()) } else { v.data.len() };
            let same = |v: &[f32], w: &[f32]| v.iter().map(|x| x.to_bits()).eq(w.iter().map(|x| x.to_bits()));
            if !(prefix || v.dims == w.dims) || !same(&v.data[..len], &w.data[..len.min(w.data.len())]) {
                let sizes = [format!("a constant of {:?}", v.dims), format!("another one of {:?}", w.dims)];
                return Err(differs(&x.name, "constant", sizes));
            }
        }
    }
    let counts = |lowered: &Lowered| (lowered.graph.nodes.len(), lowered.lengths);
    let ports =
        |graph: &Graph| -> Vec<ir::Port> { graph.inputs.iter().chain(&graph.outputs).cloned().collect() };
    if counts(base) != counts(other) || ports(a) != ports(b) || base.origins != other.origins {
        let sizes = [a, b].map(|graph| format!("{} operations", graph.nodes.len()));
        return Err(differs("", "graph", sizes));
    }
    Ok(())
}

/// Gives the graph as many tokens at most as are asked for.
fn cut(graph: &mut Graph, most: usize) {
    graph.tokens = most;
    for index in 0..graph.nodes.len() {
        if let Op::Positions(weight) = graph.nodes[index].op {
            let whole = graph.weight(weight).clone();
            if whole.dims[0] > most {
                let cols = whole.dims[1];
                graph.nodes[index].op =
                    Op::Positions(graph.add_weight(most, cols, &whole.data[..most * cols]));
            }
        }
    }
}
