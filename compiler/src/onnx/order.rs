//! Which nodes are needed, and in which order. May import: `error`, `node`, `proto`.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::node::Node;
use super::proto::{Model, duplicate};
use crate::error::{Error, ErrorKind, Result};

/// The nodes that the outputs need, every producer before its readers, else as in the file.
pub(super) fn sort(model: &mut Model) -> Result<()> {
    let given = model
        .constants
        .keys()
        .chain(model.inputs.iter().map(|input| &input.name))
        .map(String::as_str)
        .collect();
    let producers = producers(model, &given)?;
    let live = live(model, &given, &producers)?;
    let order = order(model, &producers, &live)?;
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut model.nodes).into_iter().map(Some).collect();
    model.nodes = order.into_iter().filter_map(|index| nodes[index].take()).collect();
    Ok(())
}

/// How many node inputs and model outputs read each tensor.
pub(super) fn uses(model: &Model) -> HashMap<String, usize> {
    let mut uses = HashMap::new();
    let read = model.nodes.iter().flat_map(|node| node.inputs().flatten());
    for name in read.chain(model.outputs.iter().map(String::as_str)) {
        *uses.entry(name.to_owned()).or_default() += 1;
    }
    uses
}

/// Who produces what: tensor name to node index.
fn producers(model: &Model, given: &HashSet<&str>) -> Result<HashMap<String, usize>> {
    let mut producers = HashMap::new();
    for (index, node) in model.nodes.iter().enumerate() {
        for name in node.outputs().flatten() {
            if given.contains(name) || producers.insert(name.to_owned(), index).is_some() {
                return Err(duplicate(name).at_node(node.label()));
            }
        }
    }
    Ok(producers)
}

/// Which nodes the outputs need. Every tensor that they read exists.
fn live(model: &Model, given: &HashSet<&str>, producers: &HashMap<String, usize>) -> Result<Vec<bool>> {
    let mut live = vec![false; model.nodes.len()];
    let mut pending: Vec<usize> = Vec::new();
    for name in &model.outputs {
        match producers.get(name) {
            Some(index) => pending.push(*index),
            None if given.contains(name.as_str()) => {}
            None => return Err(missing(name)),
        }
    }
    while let Some(index) = pending.pop() {
        if std::mem::replace(&mut live[index], true) {
            continue;
        }
        let node = &model.nodes[index];
        for name in node.inputs().flatten() {
            match producers.get(name) {
                Some(producer) => pending.push(*producer),
                None if given.contains(name) => {}
                None => return Err(missing(name).at_node(node.label())),
            }
        }
    }
    Ok(live)
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::BrokenModel, format!("nothing produces the tensor `{name}`"))
        .at_field(name)
        .hint("check the model with `onnx.checker.check_model`")
}

/// Kahn's algorithm; of the nodes that are ready, the first in the file goes first.
fn order(model: &Model, producers: &HashMap<String, usize>, live: &[bool]) -> Result<Vec<usize>> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); live.len()];
    let mut waits_for = vec![0usize; live.len()];
    for (index, node) in model.nodes.iter().enumerate().filter(|(index, _)| live[*index]) {
        for producer in node.inputs().flatten().filter_map(|name| producers.get(name)) {
            readers[*producer].push(index);
            waits_for[index] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = (0..live.len()).filter(|i| live[*i] && waits_for[*i] == 0).collect();
    let mut order = Vec::new();
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for reader in &readers[index] {
            waits_for[*reader] -= 1;
            if waits_for[*reader] == 0 {
                ready.insert(*reader);
            }
        }
    }
    match (0..live.len()).find(|index| live[*index] && waits_for[*index] > 0) {
        Some(stuck) => {
            Err(Error::new(ErrorKind::BrokenModel, "the graph has a cycle")
                .at_node(model.nodes[stuck].label()))
        }
        None => Ok(order),
    }
}
