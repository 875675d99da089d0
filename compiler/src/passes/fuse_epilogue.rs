//! Lets an activation and an addition ride on the product that they follow. May import: `ir`.

use super::Change;
use crate::error::Result;
use crate::ir::{Activation, Graph, Op, ValueId};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut change = Change::default();
    let mut index = 0;
    while index < graph.nodes.len() {
        let fused = match graph.nodes[index].op {
            Op::Activation(act) => fuse_activation(graph, index, act),
            Op::Add => fuse_add(graph, index),
            _ => None,
        };
        match fused {
            // The product now stands at `index`, one node is gone before it.
            Some(product) => {
                graph.nodes.remove(product);
                change.count += 1;
            }
            None => index += 1,
        }
    }
    Ok(change)
}

/// The node that produces a value which is read once.
fn producer_for_one(graph: &Graph, value: ValueId) -> Option<usize> {
    graph.producer(value).filter(|_| graph.uses(value) == 1)
}

fn fuse_activation(graph: &mut Graph, index: usize, act: Activation) -> Option<usize> {
    let product = producer_for_one(graph, graph.nodes[index].inputs[0])?;
    let node = &graph.nodes[product];
    let Op::Linear(linear) = &node.op else { return None };
    if linear.act != Activation::None || linear.residual {
        return None;
    }
    let mut linear = linear.clone();
    linear.act = act;
    let (name, inputs) = (node.name.clone(), node.inputs.clone());
    let node = &mut graph.nodes[index];
    (node.op, node.name, node.inputs) = (Op::Linear(linear), name, inputs);
    Some(product)
}

/// Of two products the later one takes the other as its residual.
fn fuse_add(graph: &mut Graph, index: usize) -> Option<usize> {
    let terms = &graph.nodes[index].inputs;
    let candidate = |term: usize| {
        let product = producer_for_one(graph, terms[term])?;
        matches!(&graph.nodes[product].op, Op::Linear(linear) if !linear.residual).then_some((product, term))
    };
    let (product, term) = candidate(0).max(candidate(1))?;
    let residual = terms[1 - term];
    let node = &graph.nodes[product];
    let Op::Linear(linear) = &node.op else { return None };
    let mut linear = linear.clone();
    linear.residual = true;
    let (name, inputs) = (node.name.clone(), vec![node.inputs[0], residual]);
    let node = &mut graph.nodes[index];
    (node.op, node.name, node.inputs) = (Op::Linear(linear), name, inputs);
    Some(product)
}
