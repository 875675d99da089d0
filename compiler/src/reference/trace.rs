//! Finds the value of the source model that a compiled step should hold, by the module's path: the exporter names a
//! node after its module. May import: the model's nodes.

use std::collections::HashSet;

use tract_onnx::pb::NodeProto;

use super::Model;

/// What a compiled step does to its module's value before it stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fused {
    /// Applies the activation that follows.
    pub activation: bool,
    /// Adds the residual that follows.
    pub residual: bool,
}

/// Path of the module that a node belongs to: `blocks.0.attn.lstm` of `/blocks.0/attn/lstm/LSTM`.
pub(super) fn module_of(node: &NodeProto) -> String {
    let path = node.name.trim_start_matches('/').rsplit_once('/').map_or("", |(path, _)| path);
    path.replace('/', ".")
}

impl Model {
    /// Name of the last value that a module produces, or of what follows it where a step did more. `None` where the
    /// model's node names don't say.
    pub fn value_of_module(&self, module: &str, fused: Fused) -> Option<&str> {
        let last = self.nodes.iter().rev().find(|node| module_of(node) == module)?;
        let mut value = only_output(last)?;
        if fused.activation {
            value = self.pointwise_end(value)?;
        }
        if fused.residual {
            value = self.sum_with_other(value)?;
        }
        Some(value)
    }

    /// Names of the hidden states, `Y`, of every LSTM of a module and of the modules inside it.
    pub fn hidden_states_of_module(&self, module: &str) -> Vec<&str> {
        let inside = |node: &&NodeProto| {
            let path = module_of(node);
            node.op_type == "LSTM"
                && path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let y = self.nodes.iter().filter(inside).filter_map(|node| node.output.first());
        y.map(String::as_str).filter(|name| !name.is_empty()).collect()
    }

    /// The one value at the end of the elementwise nodes that depend on `start` and constants only: an activation, in
    /// however many nodes.
    fn pointwise_end<'a>(&'a self, start: &'a str) -> Option<&'a str> {
        let constants = self.constant_names();
        let mut region: HashSet<&str> = [start].into();
        let mut read_outside: HashSet<&str> = self.outputs.iter().map(|port| port.name.as_str()).collect();
        for node in &self.nodes {
            let inside = |input: &String| region.contains(input.as_str());
            if !node.input.iter().any(inside) {
                continue;
            }
            let closed = node.input.iter().all(|i| inside(i) || constants.contains(i.as_str()));
            match only_output(node).filter(|_| closed && is_elementwise(&node.op_type)) {
                Some(output) => drop(region.insert(output)),
                None => read_outside.extend(node.input.iter().map(String::as_str)),
            }
        }
        let mut ends = region.into_iter().filter(|value| *value != start && read_outside.contains(value));
        ends.next().filter(|_| ends.next().is_none())
    }

    /// The output of the one `Add` of `value` and something that is not constant.
    fn sum_with_other(&self, value: &str) -> Option<&str> {
        let constants = self.constant_names();
        let adds = |node: &&NodeProto| {
            node.op_type == "Add"
                && node.input.iter().any(|i| i == value)
                && node.input.iter().any(|i| i != value && !constants.contains(i.as_str()))
        };
        let mut sums = self.nodes.iter().filter(adds);
        let sum = sums.next().filter(|_| sums.next().is_none())?;
        only_output(sum)
    }

    /// Initializers and what is computed from nothing else.
    fn constant_names(&self) -> HashSet<&str> {
        let mut names: HashSet<&str> = self.constants.keys().map(String::as_str).collect();
        for node in &self.nodes {
            if node.input.iter().all(|i| names.contains(i.as_str())) {
                names.extend(node.output.iter().map(String::as_str));
            }
        }
        names
    }
}

fn only_output(node: &NodeProto) -> Option<&str> {
    match &node.output[..] {
        [output] if !output.is_empty() => Some(output),
        _ => None,
    }
}

fn is_elementwise(op: &str) -> bool {
    matches!(
        op,
        "Add"
            | "Sub"
            | "Mul"
            | "Div"
            | "Pow"
            | "Sqrt"
            | "Reciprocal"
            | "Neg"
            | "Exp"
            | "Erf"
            | "Tanh"
            | "Sigmoid"
            | "Relu"
            | "Gelu"
            | "Min"
            | "Max"
            | "Identity"
    )
}
