//! Changing a graph: who reads what, replacing values, order, tidying up. May import: the rest of `ir`.
//!
//! All of it relies on a verified graph; ids out of range panic.

use std::collections::{BTreeSet, HashMap};

use super::shape::output_shape;
use super::{Graph, Node, Op, ValueId, WeightId};
use crate::error::{Error, ErrorKind, Result};

/// One place where a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// An input of a node.
    Input {
        /// Index of the node.
        node: usize,
        /// Which of its inputs.
        slot: usize,
    },
    /// An output of the model.
    Output(usize),
}

impl Op {
    /// The constants that it reads; one may appear twice.
    pub fn weights(&self) -> Vec<WeightId> {
        let mut ids = Vec::new();
        // The visitor is written once, for changing; a clone of an op is ids and ranges only.
        self.clone().for_each_weight(|id| ids.push(*id));
        ids
    }

    /// Visits the constants that it reads, in a fixed order.
    pub fn for_each_weight(&mut self, mut visit: impl FnMut(&mut WeightId)) {
        match self {
            Op::PatchEmbed { weight, bias, .. } => {
                visit(weight);
                bias.iter_mut().for_each(visit);
            }
            Op::Constant(weight) | Op::Positions(weight) | Op::Embedding { table: weight } => visit(weight),
            Op::Linear(linear) => {
                for group in &mut linear.groups {
                    visit(&mut group.weight);
                    group.bias.iter_mut().for_each(&mut visit);
                }
            }
            Op::MultiHeadLstm(lstm) => {
                for unit in &mut lstm.units {
                    [&mut unit.w, &mut unit.r, &mut unit.bias].into_iter().for_each(&mut visit);
                }
            }
            Op::LayerNorm { scale, shift, .. } | Op::Affine { scale, shift } => {
                scale.iter_mut().chain(shift).for_each(visit);
            }
            Op::ConcatRows
            | Op::ConcatCols
            | Op::SliceRows { .. }
            | Op::SliceCols { .. }
            | Op::ReverseRows
            | Op::Attention { .. }
            | Op::Normalize { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::MeanRows => {}
        }
    }
}

impl Graph {
    /// For each value, where it is read.
    pub fn use_lists(&self) -> Vec<Vec<Use>> {
        let mut lists = vec![Vec::new(); self.values.len()];
        for (node, n) in self.nodes.iter().enumerate() {
            for (slot, id) in n.inputs.iter().enumerate() {
                lists[id.0 as usize].push(Use::Input { node, slot });
            }
        }
        for (i, port) in self.outputs.iter().enumerate() {
            lists[port.value.0 as usize].push(Use::Output(i));
        }
        lists
    }

    /// For each value, the index of the node that produces it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            producers[node.output.0 as usize] = Some(i);
        }
        producers
    }

    /// Lets everything that reads `from` read `to`.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        let inputs = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        for id in inputs.chain(self.outputs.iter_mut().map(|port| &mut port.value)).filter(|id| **id == from)
        {
            *id = to;
        }
    }

    /// Adds a node of module `path` before node `at`, with a new value `name` for its result.
    pub fn insert_node(
        &mut self,
        at: usize,
        path: &str,
        name: &str,
        op: Op,
        inputs: Vec<ValueId>,
    ) -> Result<ValueId> {
        let shape = output_shape(self, &op, &inputs).map_err(|error| error.at_node(name))?;
        let output = self.add_value(name, shape);
        self.nodes.insert(at, Node { name: path.to_owned(), op, inputs, output });
        Ok(output)
    }

    /// Removes the nodes at these indices.
    pub fn remove_nodes(&mut self, dead: &BTreeSet<usize>) {
        let mut index = 0;
        self.nodes.retain(|_| {
            index += 1;
            !dead.contains(&(index - 1))
        });
    }

    /// Puts the nodes in an order in which every value is produced before it is read. Nodes stay where they are as far
    /// as that allows: each is preceded by what it needs.
    pub fn sort(&mut self) -> Result<()> {
        let producers = self.producers();
        let mut state = vec![Visit::New; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        for root in 0..self.nodes.len() {
            let mut stack = vec![root];
            while let Some(&node) = stack.last() {
                match state[node] {
                    Visit::Done => {
                        stack.pop();
                    }
                    Visit::Open => {
                        state[node] = Visit::Done;
                        order.push(node);
                        stack.pop();
                    }
                    Visit::New => {
                        state[node] = Visit::Open;
                        let needed =
                            self.nodes[node].inputs.iter().rev().filter_map(|id| producers[id.0 as usize]);
                        for other in needed.filter(|other| state[*other] != Visit::Done) {
                            if state[other] == Visit::Open {
                                return Err(Error::new(ErrorKind::InvalidIr, "a node needs its own result")
                                    .at_node(&self.nodes[other].name));
                            }
                            stack.push(other);
                        }
                    }
                }
            }
        }
        let mut nodes: Vec<_> = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order.into_iter().filter_map(|node| nodes[node].take()).collect();
        Ok(())
    }

    /// Drops values and constants that nothing names and numbers the rest in the order in which inputs, nodes and
    /// outputs name them: two graphs that differ in numbering only become equal.
    pub fn normalise(&mut self) {
        let mut values = Renumber::default();
        let mut weights = Renumber::default();
        for port in &mut self.inputs {
            values.rename(&mut port.value.0);
        }
        for node in &mut self.nodes {
            node.inputs.iter_mut().for_each(|id| values.rename(&mut id.0));
            values.rename(&mut node.output.0);
            node.op.for_each_weight(|id| weights.rename(&mut id.0));
        }
        for port in &mut self.outputs {
            values.rename(&mut port.value.0);
        }
        self.values = values.order.iter().map(|old| self.values[*old as usize].clone()).collect();
        self.weights = weights.order.iter().map(|old| self.weights[*old as usize].clone()).collect();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

#[derive(Default)]
struct Renumber {
    new: HashMap<u32, u32>,
    order: Vec<u32>,
}

impl Renumber {
    fn rename(&mut self, id: &mut u32) {
        let next = u32::try_from(self.order.len()).expect("no more ids than before");
        *id = *self.new.entry(*id).or_insert_with(|| {
            self.order.push(*id);
            next
        });
    }
}
