//! Where every value lives: a rectangle of a tensor. Decided from the last node to the first, so that a producer is
//! told where its consumer wants the result.
//! May import: the rest of `schedule`, `ir`, `error`.
//!
//! - A model's output is written by its producer straight into the caller's memory.
//! - The inputs of a concatenation are written straight into its parts.
//! - A slice is a part of its source.
//! - A residual sum, a LayerNorm, an activation or an addition overwrites what it reads when nobody reads that later.
//!
//! Where that is impossible (an input of the model in a concatenation, a value wanted in two places), the value lives
//! by itself and `lower` copies it.

use far_format::plan::Operand;

use super::number;
use crate::error::Result;
use crate::ir::{Activation, Graph, Node, Op, ValueId};

/// What memory a tensor lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Arena,
    /// At this offset of the weights section.
    Weights(u64),
    Input(u32),
    Output(u32),
}

/// A tensor before it has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TensorSpec {
    pub(super) memory: Memory,
    pub(super) rows: u32,
    pub(super) cols: u32,
    /// Whether its rows are the call's tokens.
    pub(super) tokens: bool,
}

/// Strides of a multiple of this many elements put all rows of a column into few sets of the first-level cache.
const ALIAS: u32 = 512;

impl TensorSpec {
    /// Elements from one row to the next: a cache line more where rows would displace each other.
    pub(super) fn stride(&self) -> u32 {
        let aliases = self.memory == Memory::Arena && self.cols > 0 && self.cols.is_multiple_of(ALIAS);
        if aliases { self.cols.saturating_add(16) } else { self.cols }
    }

    /// From the first row to the end of the last one's stride.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.stride()) * 4
    }
}

/// The homes of all values.
#[derive(Debug)]
pub(super) struct Homes {
    pub(super) tensors: Vec<TensorSpec>,
    /// By value; `None` for constants and slices, whose homes follow from others', and for values that nobody makes.
    pub(super) homes: Vec<Option<Operand>>,
    /// By output of the model: its own memory, still to be filled by a copy.
    pub(super) copied_outputs: Vec<Option<Operand>>,
}

/// Gives homes to all values of a verified graph.
pub(super) fn place(graph: &Graph) -> Result<Homes> {
    let mut placer = Placer {
        graph,
        last_read: last_reads(graph),
        overwritten: vec![usize::MAX; graph.values.len()],
        producer: producers(graph),
        tensors: Vec::new(),
        homes: vec![None; graph.values.len()],
    };
    for (i, input) in graph.inputs.iter().enumerate() {
        if graph.value(input.value).shape.is_ids() {
            // A step names the port itself.
            continue;
        }
        let home = placer.tensor(Memory::Input(number(i, "the number of inputs")?), input.value)?;
        placer.homes[input.value.0 as usize] = Some(home);
    }
    let mut copied_outputs = Vec::new();
    for (i, output) in graph.outputs.iter().enumerate() {
        let home = placer.tensor(Memory::Output(number(i, "the number of outputs")?), output.value)?;
        copied_outputs.push(if placer.is_free(output.value) {
            placer.homes[output.value.0 as usize] = Some(home);
            None
        } else {
            Some(home)
        });
    }
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        placer.node(i, node)?;
    }
    Ok(Homes { tensors: placer.tensors, homes: placer.homes, copied_outputs })
}

/// By value: index of the last node that reads it, itself or through slices; the number of nodes for outputs.
fn last_reads(graph: &Graph) -> Vec<usize> {
    let mut last = vec![0; graph.values.len()];
    for output in &graph.outputs {
        last[output.value.0 as usize] = graph.nodes.len();
    }
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        let read = if is_view(&node.op) { i.max(last[node.output.0 as usize]) } else { i };
        for input in &node.inputs {
            let last = &mut last[input.0 as usize];
            *last = read.max(*last);
        }
    }
    last
}

fn producers(graph: &Graph) -> Vec<Option<usize>> {
    let mut producers = vec![None; graph.values.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        producers[node.output.0 as usize] = Some(i);
    }
    producers
}

/// Whether the output is a part of the first input, and no work at all.
pub(super) fn is_view(op: &Op) -> bool {
    matches!(op, Op::SliceRows { .. } | Op::SliceCols { .. } | Op::Activation(Activation::None))
}

/// Whether the output is in the weights section.
pub(super) fn is_constant(op: &Op) -> bool {
    matches!(op, Op::Constant(_) | Op::Positions(_))
}

/// `rows × cols` elements of `whole` from (`row`, `col`) on.
pub(super) fn part(whole: Operand, row: u32, col: u32, rows: u32, cols: u32) -> Operand {
    Operand { tensor: whole.tensor, row: whole.row + row, col: whole.col + col, rows, cols }
}

struct Placer<'a> {
    graph: &'a Graph,
    last_read: Vec<usize>,
    /// By value: the node that overwrites its home, if one does.
    overwritten: Vec<usize>,
    producer: Vec<Option<usize>>,
    tensors: Vec<TensorSpec>,
    homes: Vec<Option<Operand>>,
}

impl Placer<'_> {
    /// Memory for a value.
    fn tensor(&mut self, memory: Memory, value: ValueId) -> Result<Operand> {
        let [rows, cols] = self.graph.dims(value);
        let (rows, cols) = (number(rows, "a number of rows")?, number(cols, "a number of columns")?);
        let tokens = self.graph.value(value).shape.varies();
        self.tensors.push(TensorSpec { memory, rows, cols, tokens });
        Ok(Operand {
            tensor: number(self.tensors.len() - 1, "the number of tensors")?,
            row: 0,
            col: 0,
            rows,
            cols,
        })
    }

    /// Whether the value has no home yet and its producer can write wherever it is told to.
    fn is_free(&self, value: ValueId) -> bool {
        let writes = |i: usize| {
            let op = &self.graph.nodes[i].op;
            !is_view(op) && !is_constant(op)
        };
        self.homes[value.0 as usize].is_none() && self.producer[value.0 as usize].is_some_and(writes)
    }

    fn node(&mut self, index: usize, node: &Node) -> Result<()> {
        if is_view(&node.op) || is_constant(&node.op) {
            return Ok(());
        }
        let home = match self.homes[node.output.0 as usize] {
            Some(home) => home,
            None => self.tensor(Memory::Arena, node.output)?,
        };
        self.homes[node.output.0 as usize] = Some(home);
        match &node.op {
            Op::ConcatRows | Op::ConcatCols => self.join(node, home),
            Op::LayerNorm { .. } | Op::Normalize { .. } | Op::Activation(_) => {
                self.in_place(index, node, node.inputs[0], home);
            }
            Op::Linear(linear) if linear.residual => {
                self.in_place(index, node, node.inputs[1], home);
            }
            Op::Add => {
                let _done = self.in_place(index, node, node.inputs[0], home)
                    || self.in_place(index, node, node.inputs[1], home);
            }
            _ => {}
        }
        Ok(())
    }

    /// Places the inputs of a concatenation inside its output.
    fn join(&mut self, node: &Node, home: Operand) {
        let overwritten = self.overwritten[node.output.0 as usize];
        for (input, part) in parts(self.graph, node, home) {
            let id = input.0 as usize;
            if self.is_free(input) && self.last_read[id] < overwritten {
                self.homes[id] = Some(part);
                self.overwritten[id] = overwritten;
            }
        }
    }

    /// Lets the node write over `input`, if it is the last to read it and reads it once. Says whether it does.
    fn in_place(&mut self, index: usize, node: &Node, input: ValueId, home: Operand) -> bool {
        let reads = node.inputs.iter().filter(|i| self.source(**i) == input).count();
        let possible = reads == 1 && self.is_free(input) && self.last_read[input.0 as usize] == index;
        if possible {
            self.homes[input.0 as usize] = Some(home);
            self.overwritten[input.0 as usize] = index;
        }
        possible
    }

    /// The value that a slice, or a slice of a slice, is a part of.
    fn source(&self, mut value: ValueId) -> ValueId {
        while let Some(i) = self.producer[value.0 as usize] {
            let node = &self.graph.nodes[i];
            if !is_view(&node.op) {
                break;
            }
            value = node.inputs[0];
        }
        value
    }
}

/// The inputs of a concatenation and the parts of its output that they fill.
pub(super) fn parts(graph: &Graph, node: &Node, home: Operand) -> Vec<(ValueId, Operand)> {
    let by_rows = matches!(node.op, Op::ConcatRows);
    let mut at = 0;
    let mut parts = Vec::with_capacity(node.inputs.len());
    for input in &node.inputs {
        let [rows, cols] = graph.dims(*input);
        // The whole fits, so its parts do.
        let (rows, cols) = (rows as u32, cols as u32);
        let (row, col) = if by_rows { (at, 0) } else { (0, at) };
        parts.push((*input, part(home, row, col, rows, cols)));
        at += if by_rows { rows } else { cols };
    }
    parts
}
