//! Inputs of the user's, cut into runs. May import: `verify`'s types, `error`.

use std::ops::Range;

use far_engine::Extent;
use far_format::plan::{Dim, Plan, Port};
use far_tool::npy::{Array, Data};

use super::super::{Given, Sample, range};
use crate::error::{Error, ErrorKind, Result};

/// One sample for each part of the leading dimensions that makes a call.
pub(super) fn samples(plan: &Plan, inputs: &[Given], most: usize) -> Result<Vec<Sample>> {
    let ports = &plan.inputs;
    let mut by_port: Vec<Option<&Array>> = vec![None; ports.len()];
    for input in inputs {
        let index = match &input.name {
            Some(name) => ports.iter().position(|port| port.name == *name),
            None => by_port.iter().position(Option::is_none),
        };
        let index = index.ok_or_else(|| no_such_input(ports, input))?;
        if by_port[index].replace(&input.values).is_some() {
            return Err(bad(format!("input `{}` is given twice", ports[index].name)));
        }
    }
    let mut arrays = Vec::with_capacity(ports.len());
    for (port, array) in ports.iter().zip(by_port) {
        let array = array.ok_or_else(|| {
            bad(format!("input `{}` is missing", port.name)).hint("give all inputs, or none for seeded ones")
        })?;
        if array.data.dtype() != port.dtype {
            return Err(bad(format!("input `{}` is of another type", port.name))
                .expected(port.dtype.to_string())
                .got(array.data.dtype().to_string()));
        }
        arrays.push(array);
    }
    let tokens = tokens(ports, &arrays)?;
    let elements = elements(plan, &arrays, tokens)?;
    let each =
        if plan.batch.fixed { plan.batch.most as usize } else { (plan.batch.most as usize).min(elements) };
    if each == 0 || elements % each != 0 && plan.batch.fixed {
        return Err(bad("inputs are no whole number of batches".into())
            .expected(format!("a multiple of {each}"))
            .got(elements.to_string()));
    }
    let starts = (0..elements).step_by(each).take(most);
    Ok(starts.map(|start| sample(plan, &arrays, tokens, start..(start + each).min(elements))).collect())
}

/// Some elements of all.
fn sample(plan: &Plan, arrays: &[&Array], tokens: usize, elements: Range<usize>) -> Sample {
    let cut = |(port, array): (&Port, &&Array)| {
        let one = port.elements(1, tokens);
        range(&array.data, elements.start * one..elements.end * one)
    };
    let inputs: Vec<Data> = plan.inputs.iter().zip(arrays).map(cut).collect();
    let length = |element: usize| {
        let ones =
            |values: &mut dyn Iterator<Item = i64>| values.take(tokens).take_while(|v| *v == 1).count();
        match plan.lengths.and_then(|input| inputs.get(input as usize)) {
            Some(Data::I64(mask)) => ones(&mut mask.iter().skip(element * tokens).copied()),
            Some(Data::I32(mask)) => ones(&mut mask.iter().skip(element * tokens).map(|v| i64::from(*v))),
            _ => tokens,
        }
    };
    let lengths = (0..elements.len()).map(length).collect();
    Sample { extent: Extent { batch: elements.len(), tokens }, lengths, inputs }
}

/// Tokens of the call, where their number varies.
fn tokens(ports: &[Port], arrays: &[&Array]) -> Result<usize> {
    let mut found: Option<usize> = None;
    for (port, array) in ports.iter().zip(arrays) {
        let Some(axis) = port.dims.iter().position(|dim| *dim == Dim::Tokens) else { continue };
        let size = array.shape.get(axis).copied().ok_or_else(|| misfit(port, array))?;
        if found.is_some_and(|found| found != size) {
            return Err(bad("inputs have different numbers of tokens".into())
                .expected(found.unwrap_or(0).to_string())
                .got(size.to_string()));
        }
        found = Some(size);
    }
    Ok(found.unwrap_or(0))
}

/// Data of the batch in all, the same in every input. A port whose leading dimension is 1 takes any number.
fn elements(plan: &Plan, arrays: &[&Array], tokens: usize) -> Result<usize> {
    let mut count: Option<usize> = None;
    for (port, array) in plan.inputs.iter().zip(arrays) {
        let dims: Vec<usize> = port.dims.iter().map(|dim| dim.of(1, tokens)).collect();
        let shape = &array.shape[..];
        let fits = shape == dims
            || (dims.first() == Some(&1) && shape.len() == dims.len() && shape[1..] == dims[1..]);
        if !fits {
            return Err(misfit(port, array));
        }
        let elements = array.data.len() / dims.iter().product::<usize>().max(1);
        if count.is_some_and(|count| count != elements) {
            return Err(bad(format!("input `{}` holds another number of runs", port.name))
                .expected(count.unwrap_or(0).to_string())
                .got(elements.to_string()));
        }
        count = Some(elements);
    }
    Ok(count.unwrap_or(0))
}

fn bad(what: String) -> Error {
    Error::new(ErrorKind::BadInput, what)
}

fn misfit(port: &Port, array: &Array) -> Error {
    let dims: Vec<String> = port.dims.iter().map(ToString::to_string).collect();
    bad(format!("input `{}` has another shape", port.name))
        .expected(format!("[{}]", dims.join(", ")))
        .got(format!("{:?}", array.shape))
}

fn no_such_input(ports: &[Port], input: &Given) -> Error {
    let names: Vec<_> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
    match &input.name {
        Some(name) => {
            bad(format!("no such input `{name}`")).expected(names.join(", ")).got(format!("`{name}`"))
        }
        None => bad("more inputs than the model has".into()).expected(ports.len().to_string()).got("more"),
    }
}
