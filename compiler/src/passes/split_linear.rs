//! Skips blocks of zeros in a matrix: the cheapest block structure that holds all of it. May import: `ir`, `blocks`,
//! `matrix`, `cost`.
//!
//! Blocks that are there already are looked at anew, so that the same matrix comes to the same blocks wherever it is from.

use super::matrix::Dense;
use super::{Change, blocks};
use crate::cost::{CostModel, shown};
use crate::error::Result;
use crate::ir::{Graph, Linear, Op};

pub(super) fn run(graph: &mut Graph, costs: &CostModel) -> Result<Change> {
    let mut change = Change::default();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Op::Linear(linear) = &node.op else { continue };
        let (linear, depth) = (linear.clone(), graph.dims(node.inputs[0])[1]);
        let Some(dense) = Dense::of(graph, &linear, depth) else {
            change.note(format!("`{}`: as it is, too large to look at", node.name));
            continue;
        };
        let rows = graph.dims(node.output)[0];
        let ranges = blocks::ranges(costs, rows, &dense);
        let same = linear.groups.iter().map(|group| (&group.input, &group.output));
        if ranges.iter().map(|(input, output)| (input, output)).eq(same) {
            continue;
        }
        let before = costs.linear(rows, &linear.groups);
        let after = blocks::cost(costs, rows, &ranges);
        if after > before {
            continue;
        }
        let groups = blocks::groups(graph, &dense, &ranges);
        let node = &mut graph.nodes[index];
        change.count += 1;
        change.notes.push(format!(
            "`{}`: {} blocks for {}, {} for {}",
            node.name,
            groups.len(),
            linear.groups.len(),
            shown(after),
            shown(before)
        ));
        node.op = Op::Linear(Linear { groups, ..linear });
    }
    Ok(change)
}
