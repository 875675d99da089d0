//! Lowers the nodes one by one. May import: the rest of `onnx`, `error`, `ir`.

mod arith;
mod attention;
mod embedding;
mod linear;
mod lstm;
mod mask;
mod matrix;
mod norm;
mod patch;
mod shape;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::ImportOptions;
use super::extent::InputSizes;
use super::fold;
use super::mask::Mask;
use super::names::{self, ModulePath};
use super::node::Node;
use super::order;
use super::proto::{Input, Model};
use super::recognise::{Partial, Tensor};
use super::tensor::{Const, elements};
use super::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{self, Dim, Dtype, Graph, Op, Origins, Port, Shape, ValueId, WeightId};

/// Elements that may be computed for each that may be stored in the file.
const BUDGET: usize = 4;

/// A model that was lowered for sizes: all rows are fixed, and ports say where the batch and the tokens are.
#[derive(Clone, Debug)]
pub(super) struct Lowered {
    pub(super) graph: Graph,
    pub(super) origins: Origins,
    /// The input that is the attention mask.
    pub(super) lengths: Option<usize>,
}

/// Lowers a model whose nodes are in order, for inputs of these sizes.
pub(super) fn lower(model: &Model, sizes: &[InputSizes], options: &ImportOptions) -> Result<Lowered> {
    let uses = order::uses(model);
    let constants = model.constants.iter();
    let mut importer = Importer {
        graph: Graph { name: model.name.clone(), ..Graph::default() },
        tensors: constants.map(|(name, c)| (name.clone(), Tensor::Const(c.clone()))).collect(),
        unread: uses.clone(),
        uses,
        opset: model.opset,
        max_nodes: options.max_nodes,
        max_elements: options.max_elements,
        budget: options.max_elements.saturating_mul(BUDGET),
        path: ModulePath { text: String::new(), guessed: true },
        guessed: HashSet::new(),
        origins: Origins::default(),
        embedded: HashSet::new(),
        lengths: None,
        elements: sizes.iter().map(InputSizes::elements).max().unwrap_or(1),
    };
    for (input, sizes) in model.inputs.iter().zip(sizes) {
        importer.input(input, sizes).map_err(|e| e.at_field(&input.name))?;
    }
    for node in &model.nodes {
        importer.node(node).map_err(|e| e.at_node(node.label()))?;
    }
    for name in &model.outputs {
        importer.output(name).map_err(|e| e.at_field(name))?;
    }
    Ok(Lowered { graph: importer.graph, origins: importer.origins, lengths: importer.lengths })
}

/// The graph that is being made, and what the tensors of the ONNX graph are in its terms.
struct Importer {
    graph: Graph,
    tensors: HashMap<String, Tensor>,
    /// How many readers each tensor has.
    uses: HashMap<String, usize>,
    /// How many of them are still to come.
    unread: HashMap<String, usize>,
    opset: i64,
    /// Most nodes of the graph.
    max_nodes: usize,
    /// Most elements of one constant.
    max_elements: usize,
    /// Elements that may still be computed; what a hostile model can cost.
    budget: usize,
    /// Where the node being lowered came from.
    path: ModulePath,
    /// Nodes of the graph whose name is only a guess.
    guessed: HashSet<ValueId>,
    /// Parameters that are laid out otherwise than in the file.
    origins: Origins,
    /// Inputs that are looked up in tables.
    embedded: HashSet<usize>,
    /// The input that is the attention mask.
    lengths: Option<usize>,
    /// Elements of the batch.
    elements: usize,
}

/// A node and the tensors that it reads.
struct Call<'a> {
    node: &'a Node,
    inputs: Vec<Option<Tensor>>,
}

impl Call<'_> {
    /// An input that must be there.
    fn input(&self, index: usize) -> Result<&Tensor> {
        self.inputs.get(index).and_then(Option::as_ref).ok_or_else(|| {
            Error::new(ErrorKind::BrokenModel, format!("input {index} of {} is missing", self.node.op()))
        })
    }

    /// An input that must be constant if it is there.
    fn constant(&self, index: usize, name: &str) -> Result<Option<&Const>> {
        match self.inputs.get(index).and_then(Option::as_ref) {
            None => Ok(None),
            Some(Tensor::Const(c)) => Ok(Some(c)),
            Some(_) => Err(Error::new(ErrorKind::UnsupportedOp, format!("input `{name}` is not constant"))
                .at_field(name)
                .expected("a constant")
                .got("a tensor that depends on the model's input")),
        }
    }

    /// An input that must be there and constant.
    fn required_constant(&self, index: usize, name: &str) -> Result<&Const> {
        self.input(index)?;
        self.constant(index, name)?.ok_or_else(|| Error::new(ErrorKind::Internal, "input was there"))
    }

    /// Refuses more inputs than there is use for.
    fn at_most(&self, count: usize) -> Result<()> {
        match self.inputs.iter().skip(count).any(Option::is_some) {
            true => {
                Err(Error::new(ErrorKind::BrokenModel, format!("{} has too many inputs", self.node.op()))
                    .expected(format!("at most {count}"))
                    .got(self.inputs.len().to_string()))
            }
            false => Ok(()),
        }
    }
}

impl Importer {
    fn input(&mut self, input: &Input, sizes: &InputSizes) -> Result<()> {
        let dims = &sizes.dims;
        // No product of some of them is larger.
        let all = elements(dims).map_err(|error| error.at_field(&input.name))?;
        let batch = sizes.batch.filter(|_| sizes.elements() > 1);
        let tokens = sizes.tokens.map_or_else(|| token_axes(dims, batch), |axis| axis..axis + 1);
        let rows: usize = dims[tokens.clone()].iter().product();
        let cols = all / rows / sizes.elements();
        let shape = match (sizes.image, dims.as_slice()) {
            (true, [elements, channels, height, width]) if *elements == sizes.elements() => {
                Shape::Image { channels: *channels, height: *height, width: *width }
            }
            (true, _) => {
                return Err(Error::new(ErrorKind::ShapeMismatch, "unsupported shape of an image")
                    .expected("[batch, channels, height, width]")
                    .got(format!("{dims:?}")));
            }
            (false, _) if input.dtype != Dtype::F32 => Shape::Ids { rows },
            (false, _) => Shape::Matrix { rows, cols },
        };
        super::view::check_size(rows, cols)?;
        let value = self.graph.add_value(&input.name, shape);
        let whole = View::whole(value, rows, cols, dims.clone(), tokens).with_batch(batch);
        let dims = port_dims(dims, batch, sizes.tokens);
        let tensor = match *sizes.dims {
            [elements, channels, height, width] if sizes.image => {
                Tensor::Image { value, dims: [elements, channels, height, width] }
            }
            _ if shape.is_ids() => Tensor::Ids { x: whole, input: self.graph.inputs.len() },
            _ => Tensor::Tokens(whole),
        };
        self.graph.inputs.push(Port { name: input.name.clone(), value, dims, dtype: input.dtype });
        self.tensors.insert(input.name.clone(), tensor);
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        let inputs: Vec<Option<Tensor>> =
            node.inputs().map(|name| name.and_then(|name| self.tensors.get(name).cloned())).collect();
        self.path = names::module_path(node, &inputs);
        let outputs = self.lower(&Call { node, inputs })?;
        for name in node.inputs().flatten() {
            self.read(name);
        }
        for (index, name) in node.outputs().enumerate() {
            let Some(name) = name else { continue };
            match outputs.get(index) {
                Some(tensor) => {
                    self.spend(match tensor {
                        Tensor::Const(c) => c.len(),
                        Tensor::Tokens(x)
                        | Tensor::Partial(
                            Partial::Mask(Mask { x, .. })
                            | Partial::Lengths { x, .. }
                            | Partial::Sum { x, .. },
                        ) => x.cols.len(),
                        Tensor::Image { .. } | Tensor::Ids { .. } | Tensor::Partial(_) => 0,
                    })?;
                    self.tensors.insert(name.to_owned(), tensor.clone());
                }
                None if !self.uses.contains_key(name) => {}
                None => {
                    return Err(Error::new(
                        ErrorKind::UnsupportedOp,
                        format!("output {index} of {} is not supported", node.op()),
                    )
                    .at_field(name)
                    .hint("change the model so that nothing reads this output"));
                }
            }
        }
        Ok(())
    }

    /// Notes that a tensor has been read, and forgets it after the last time.
    fn read(&mut self, name: &str) {
        let left = self.unread.get_mut(name);
        if left.is_some_and(|left| {
            *left -= 1;
            *left == 0
        }) {
            self.tensors.remove(name);
        }
    }

    fn lower(&mut self, call: &Call<'_>) -> Result<Vec<Tensor>> {
        let node = call.node;
        if !node.domain().is_empty() {
            return Err(unknown_op(node));
        }
        let constants: Vec<Option<&Const>> =
            call.inputs.iter().map(|input| input.as_ref().and_then(Tensor::constant)).collect();
        if call.inputs.iter().flatten().all(|input| input.constant().is_some())
            && let Some(folded) = fold::fold(node, self.opset, &constants, self.max_elements)?
        {
            return Ok(folded.into_iter().map(Tensor::Const).collect());
        }
        if let Some(tensor) = self.mask(call)? {
            return Ok(vec![tensor]);
        }
        let tensor = match node.op() {
            "LSTM" => return self.lstm(call),
            "Attention" => self.attention_op(call)?,
            "Gather" if matches!(call.inputs.get(1), Some(Some(Tensor::Ids { .. }))) => {
                self.embedding(call)?
            }
            "Conv" => self.conv(call)?,
            "MatMul" => self.matmul(call)?,
            "Gemm" => self.gemm(call)?,
            "LayerNormalization" => self.layer_normalization(call)?,
            "Gelu" => self.gelu(call)?,
            "Softmax" => self.softmax(call)?,
            "ReduceMean" => self.reduce_mean(call)?,
            "ReduceSum" => self.reduce_sum(call)?,
            "ReduceL2" => self.reduce_l2(call)?,
            "LpNormalization" => self.lp_normalization(call)?,
            "Clip" | "Max" => self.at_least(call)?,
            "Where" => self.choice(call)?,
            "Add" | "Sub" | "Mul" | "Div" | "Pow" => self.binary(call)?,
            "Sum" => self.sum(call)?,
            "Neg" | "Sqrt" | "Reciprocal" | "Erf" | "Tanh" | "Relu" | "Abs" | "IsNaN" => self.unary(call)?,
            "Shape" => Tensor::Const(fold::shape_of(node, &call.input(0)?.dims())?),
            "Cast" | "CastLike" => self.cast(call)?,
            "Concat" => self.concat(call)?,
            _ => return self.rearrange(call),
        };
        Ok(vec![tensor])
    }

    /// Makes the tensor an output of the graph.
    fn output(&mut self, name: &str) -> Result<()> {
        let tensor = self.tensors.get(name).cloned();
        let tensor =
            tensor.ok_or_else(|| Error::new(ErrorKind::Internal, format!("`{name}` was never made")))?;
        if tensor.dims().contains(&0) {
            return Err(Error::new(ErrorKind::ShapeMismatch, format!("output `{name}` is empty"))
                .at_field(name)
                .expected("an element or more")
                .got(format!("{:?}", tensor.dims()))
                .hint("a slice before it takes nothing"));
        }
        self.path = ModulePath { text: name.to_owned(), guessed: true };
        let (value, dims) = match tensor {
            Tensor::Const(_) if self.elements > 1 => {
                return Err(Error::new(ErrorKind::UnsupportedOp, format!("output `{name}` is constant"))
                    .expected("an output for each element of the batch")
                    .got("the same whatever the inputs"));
            }
            Tensor::Const(c) => {
                let value = self.constant(1, c.len(), c.floats()?)?;
                (value, port_dims(c.dims(), None, None))
            }
            other => {
                let view = self.tokens(&other)?;
                if !view.is_row_major() {
                    return Err(Error::new(
                        ErrorKind::UnsupportedOp,
                        format!("output `{name}` has its channels before its tokens"),
                    )
                    .expected("tokens by channels")
                    .got(format!("{:?}", view.dims))
                    .hint("leave out the transposition at the end of the model"));
                }
                let view = self.upright(&view)?;
                let tokens = view.tokens.clone().find(|axis| view.rows > 1 && view.dims[*axis] == view.rows);
                (self.matrix(&view)?, port_dims(&view.dims, view.batch, tokens))
            }
        };
        self.graph.outputs.push(Port { name: name.to_owned(), value, dims, dtype: Dtype::F32 });
        self.read(name);
        Ok(())
    }

    /// Adds a node to the graph.
    fn emit(&mut self, op: Op, inputs: Vec<ValueId>, rows: usize, cols: usize) -> Result<ValueId> {
        if self.graph.nodes.len() >= self.max_nodes {
            return Err(Error::new(ErrorKind::LimitExceeded, "the model becomes too many operations")
                .expected(format!("at most {}", self.max_nodes))
                .got("more")
                .hint("`--limit nodes=N` accepts more"));
        }
        let output = self.graph.add_value(&self.path.text, Shape::Matrix { rows, cols });
        self.graph.nodes.push(ir::Node { name: self.path.text.clone(), op, inputs, output });
        if self.path.guessed {
            self.guessed.insert(output);
        }
        Ok(output)
    }

    /// A matrix that is known.
    fn constant(&mut self, rows: usize, cols: usize, data: Vec<f32>) -> Result<ValueId> {
        let weight = self.weight(rows, cols, data)?;
        self.emit(Op::Constant(weight), Vec::new(), rows, cols)
    }

    /// A constant of the graph.
    fn weight(&mut self, rows: usize, cols: usize, data: Vec<f32>) -> Result<WeightId> {
        self.spend(data.len())?;
        Ok(self.graph.add_weight(rows, cols, data))
    }

    /// A constant of one row.
    fn vector(&mut self, data: Vec<f32>) -> Result<WeightId> {
        self.weight(1, data.len(), data)
    }

    /// Takes elements off the budget; before they are allocated where they are many.
    fn spend(&mut self, elements: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(elements).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, "the constants that the model computes are too large")
                .expected(format!("at most {} elements", self.max_elements.saturating_mul(BUDGET)))
                .got("more")
                .hint("`--limit elements=N` accepts more")
        })?;
        Ok(())
    }

    /// Whether the tensor at an input of the node was made for this node alone.
    fn is_sole_reader(&self, call: &Call<'_>, index: usize) -> bool {
        let name = call.node.inputs().nth(index).flatten();
        name.is_some_and(|name| self.uses.get(name) == Some(&1))
            && matches!(call.inputs[index], Some(Tensor::Tokens(View { fresh: true, .. })))
    }
}

/// Which axis of an input runs over the tokens: the first longer than 1 that is neither the batch's nor the last.
fn token_axes(dims: &[usize], batch: Option<usize>) -> Range<usize> {
    let front = 0..dims.len().saturating_sub(1);
    let mut candidates = front.filter(|axis| batch != Some(*axis));
    let last = candidates.clone().next_back();
    match candidates.find(|axis| dims[*axis] > 1).or(last) {
        Some(axis) => axis..axis + 1,
        None => 0..0,
    }
}

/// The dimensions of a port.
fn port_dims(dims: &[usize], batch: Option<usize>, tokens: Option<usize>) -> Vec<Dim> {
    let dim = |(axis, size): (usize, &usize)| match axis {
        _ if batch == Some(axis) => Dim::Batch,
        _ if tokens == Some(axis) => Dim::Tokens,
        _ => Dim::Fixed(*size),
    };
    dims.iter().enumerate().map(dim).collect()
}

/// An operator that has no counterpart.
fn unknown_op(node: &Node) -> Error {
    let name = if node.domain().is_empty() {
        node.op().to_owned()
    } else {
        format!("{}::{}", node.domain(), node.op())
    };
    let hint = match node.op() {
        "Erf" => "only GELU is known of the functions made of it",
        _ if !node.domain().is_empty() => "export the model without fused operators of one runtime",
        "If" | "Loop" | "Scan" => "export the model with control flow resolved (traced with fixed shapes)",
        "GRU" | "RNN" => "the recurrent layers must be LSTMs",
        _ => "see the list of supported operators in the documentation",
    };
    Error::new(ErrorKind::UnsupportedOp, format!("unsupported operator `{name}`")).hint(hint)
}
