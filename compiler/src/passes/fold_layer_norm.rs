//! Moves scale and shift of a LayerNorm into the products that follow, if nothing else reads it:
//! `W' = diag(scale)·W`, `b' = b + shift·W`, in f64 and rounded once. May import: `ir`, `columns`, `matrix`.

use super::Change;
use super::columns::{absorb, readers_of_rows};
use super::matrix::vector_or;
use crate::error::Result;
use crate::ir::{Graph, Op};

pub(super) fn run(graph: &mut Graph) -> Result<Change> {
    let mut change = Change::default();
    for index in 0..graph.nodes.len() {
        let Op::LayerNorm { eps, scale, shift } = graph.nodes[index].op else { continue };
        let output = graph.nodes[index].output;
        if scale.is_none() && shift.is_none() {
            continue;
        }
        let Some(readers) = readers_of_rows(graph, output) else {
            change.note(format!("`{}`: kept, not only products read it", graph.nodes[index].name));
            continue;
        };
        let cols = graph.dims(output)[1];
        let scale = scale.map(|_| vector_or(graph, scale, cols, 1.0));
        let shift = shift.map(|_| vector_or(graph, shift, cols, 0.0));
        absorb(graph, &readers, scale.as_deref(), shift.as_deref());
        graph.nodes[index].op = Op::LayerNorm { eps, scale: None, shift: None };
        change.count += 1;
    }
    Ok(change)
}
