//! Proves every invariant of a graph. May import: the rest of `ir`.

use std::collections::HashSet;

use super::shape::{invalid, output_shape, show};
use super::{Batch, Dim, Dtype, Graph, Port, Shape, ValueId};
use crate::error::{Error, Result};

/// Checks that
///
/// - every id is in range, every name of a value or port unique, no dimension zero;
/// - each value is produced at most once, and before it is read;
/// - each operation finds the inputs, constants and numbers that it demands and yields the shape its output declares
///   (see [`output_shape`]);
/// - there is an output, and each one is produced;
/// - ports have the batch in front where there is one, the tokens where the value has them, and the value's type;
/// - values whose rows vary are there only if the graph says how many tokens a call has at most;
/// - the attention mask is an input of one integer for each of the call's tokens, and no node reads it.
pub fn verify(graph: &Graph) -> Result<()> {
    values(graph)?;
    extents(graph)?;
    weights(graph)?;
    let mut ready = vec![false; graph.values.len()];
    ports(graph, &graph.inputs, "input", |id| {
        if std::mem::replace(&mut ready[id.0 as usize], true) {
            return Err(invalid(format!("two inputs are the same value `{}`", graph.value(id).name)));
        }
        Ok(())
    })?;
    for node in &graph.nodes {
        let at = |error: Error| {
            error.at_node(if node.name.is_empty() { output_name(graph, node.output) } else { &node.name })
        };
        for (slot, id) in node.inputs.iter().enumerate() {
            let at = |error: Error| at(error.at_field(format!("input {slot}")));
            known(graph, *id).map_err(at)?;
            if !ready[id.0 as usize] {
                return Err(at(invalid(format!(
                    "value `{}` is read before it is produced",
                    graph.value(*id).name
                ))));
            }
        }
        known(graph, node.output).map_err(at)?;
        let output = graph.value(node.output);
        if std::mem::replace(&mut ready[node.output.0 as usize], true) {
            return Err(at(invalid(format!("value `{}` is produced twice", output.name))));
        }
        let shape = output_shape(graph, &node.op, &node.inputs).map_err(at)?;
        if shape != output.shape {
            return Err(at(invalid("output of the wrong shape")
                .at_field("output")
                .expected(format!("`{}`", show(shape)))
                .got(format!("`{}`", show(output.shape)))));
        }
    }
    if graph.outputs.is_empty() {
        return Err(invalid("the graph has no output").expected("at least `1`").got("`0`"));
    }
    ports(graph, &graph.outputs, "output", |id| {
        if ready[id.0 as usize] {
            return Ok(());
        }
        Err(invalid(format!("value `{}` is never produced", graph.value(id).name)))
    })
}

fn output_name(graph: &Graph, id: ValueId) -> &str {
    graph.values.get(id.0 as usize).map_or("", |value| &value.name)
}

fn known(graph: &Graph, id: ValueId) -> Result<()> {
    if (id.0 as usize) < graph.values.len() {
        return Ok(());
    }
    Err(invalid("no such value")
        .expected(format!("less than `{}`", graph.values.len()))
        .got(format!("`{}`", id.0)))
}

fn elements(graph: &Graph, shape: Shape) -> Option<usize> {
    let size = match shape {
        Shape::Matrix { rows, cols } => rows.checked_mul(cols),
        Shape::Image { channels, height, width } => channels.checked_mul(height)?.checked_mul(width),
        Shape::Tokens { cols } => graph.tokens.checked_mul(cols),
        Shape::Ids { rows } => Some(rows),
        Shape::TokenIds => Some(graph.tokens),
    };
    size.filter(|size| *size > 0)
}

fn extents(graph: &Graph) -> Result<()> {
    if graph.batch.most == 0 {
        return Err(invalid("impossible batch").expected("at least `1` element").got("`0`"));
    }
    let Some(index) = graph.lengths else { return Ok(()) };
    let port = graph.inputs.get(index).ok_or_else(|| {
        invalid("the attention mask is no input")
            .expected(format!("less than `{}`", graph.inputs.len()))
            .got(format!("`{index}`"))
    })?;
    known(graph, port.value)?;
    let shape = graph.value(port.value).shape;
    if shape != Shape::TokenIds {
        return Err(invalid("an attention mask of another shape")
            .at_node(&port.name)
            .expected(format!("`{}`", show(Shape::TokenIds)))
            .got(format!("`{}`", show(shape))));
    }
    if graph.uses(port.value) > 0 {
        return Err(invalid("the attention mask is read").at_node(&port.name).expected("no reader"));
    }
    Ok(())
}

/// Whether a port's dimensions and type are those of a value of this shape.
fn form(graph: &Graph, port: &Port) -> Result<()> {
    let shape = graph.value(port.value).shape;
    let count = |wanted: Dim| port.dims.iter().filter(|dim| **dim == wanted).count();
    let batched = graph.batch != Batch::ONE;
    let before = port.dims.iter().take_while(|dim| **dim != Dim::Batch);
    let in_front = count(Dim::Batch) == 1 && before.into_iter().all(|dim| *dim == Dim::Fixed(1));
    if if batched { !in_front } else { count(Dim::Batch) > 0 } {
        return Err(invalid("the batch is not the outermost dimension")
            .expected(if batched { "the batch in front" } else { "no batch" })
            .got(format!("`{:?}`", port.dims)));
    }
    if count(Dim::Tokens) != usize::from(shape.varies()) {
        return Err(invalid("dimensions that vary otherwise than the value")
            .expected(format!("those of `{}`", show(shape)))
            .got(format!("`{:?}`", port.dims)));
    }
    if (port.dtype == Dtype::F32) == shape.is_ids() {
        return Err(invalid("elements of another type than the value's")
            .expected(format!("those of `{}`", show(shape)))
            .got(format!("`{:?}`", port.dtype)));
    }
    Ok(())
}

fn values(graph: &Graph) -> Result<()> {
    let mut names = HashSet::new();
    for value in &graph.values {
        if !names.insert(value.name.as_str()) {
            return Err(invalid(format!("two values have the same name `{}`", value.name)));
        }
        if elements(graph, value.shape).is_none() {
            return Err(invalid("impossible shape")
                .at_node(&value.name)
                .expected("no dimension zero, and a size that fits the machine")
                .got(format!("`{}`", show(value.shape))));
        }
    }
    Ok(())
}

fn weights(graph: &Graph) -> Result<()> {
    for (i, weight) in graph.weights.iter().enumerate() {
        if weight.dims[0].checked_mul(weight.dims[1]) != Some(weight.data.len()) {
            return Err(invalid("constant whose size is not its shape")
                .at_field(format!("constant {i}"))
                .expected(format!("`{}x{}` elements", weight.dims[0], weight.dims[1]))
                .got(format!("`{}`", weight.data.len())));
        }
    }
    Ok(())
}

fn ports(
    graph: &Graph,
    ports: &[Port],
    kind: &str,
    mut check: impl FnMut(ValueId) -> Result<()>,
) -> Result<()> {
    let mut names = HashSet::new();
    for port in ports {
        let at = |error: Error| error.at_node(&port.name).at_field(kind);
        known(graph, port.value).map_err(at)?;
        if !names.insert(port.name.as_str()) {
            return Err(at(invalid(format!("two {kind}s have the same name"))));
        }
        let size = elements(graph, graph.value(port.value).shape);
        let dims = port.dims.iter().try_fold(1usize, |size, dim| size.checked_mul(graph.extent(*dim)));
        if dims != size {
            return Err(at(invalid("dimensions that don't make the size of the value")
                .expected(format!("`{}` elements", size.unwrap_or_default()))
                .got(format!("`{:?}`", port.dims))));
        }
        form(graph, port).map_err(at)?;
        check(port.value).map_err(at)?;
    }
    Ok(())
}
