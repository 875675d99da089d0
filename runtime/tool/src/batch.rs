//! Runs a model over as many inputs as its caller's arrays hold. May import: `error`, `npy`.

use far_engine::{Port, Session};

use crate::error::{Error, Result};
use crate::npy::{Array, text};

/// Runs the session once for each part of the inputs' leading dimension and stacks the outputs likewise.
///
/// An input fits its port if the shapes are equal but for a leading dimension that is a multiple of the port's, or if it
/// is one dimension of a multiple of the port's elements. All multiples must be the same, except that an input of
/// exactly one port's size serves every run.
///
/// Returns the outputs and the number of runs.
///
/// # Errors
/// Not an array for each input, an array that doesn't fit, or a run that fails.
pub fn run(session: &mut Session, inputs: &[Array]) -> Result<(Vec<Array>, usize)> {
    let model = session.model().clone();
    let missing = model.inputs().iter().skip(inputs.len()).map(|port| port.name.clone()).collect::<Vec<_>>();
    if !missing.is_empty() {
        return Err(Error::Inputs { missing });
    }
    let mut runs = 1;
    for (port, array) in model.inputs().iter().zip(inputs) {
        let count = runs_of(port, array)?;
        if count != 1 && runs != 1 && count != runs {
            return Err(Error::Runs { port: port.name.clone(), expected: runs, found: count });
        }
        runs = runs.max(count);
        if count == 0 {
            let expected = "1 or more in the leading dimension".into();
            return Err(Error::Shape { port: port.name.clone(), expected, found: text(&array.shape) });
        }
    }

    let mut outputs = Vec::new();
    for port in model.outputs() {
        outputs.push(stacked(port, runs)?);
    }
    let mut parts: Vec<&[f32]> = Vec::with_capacity(inputs.len());
    for run in 0..runs {
        parts.clear();
        for (port, array) in model.inputs().iter().zip(inputs) {
            let len = port.elements(1, 0);
            let start = if array.data.len() == len { 0 } else { run * len };
            parts.push(&array.data[start..start + len]);
        }
        let lens = model.outputs().iter().map(|port| port.elements(1, 0));
        let mut out: Vec<&mut [f32]> =
            outputs.iter_mut().zip(lens).map(|(array, len)| &mut array.data[run * len..][..len]).collect();
        session.run(&parts, &mut out)?;
    }
    Ok((outputs, runs))
}

/// How many times a port an array holds.
fn runs_of(port: &Port, array: &Array) -> Result<usize> {
    let dims: Vec<usize> = port.dims.iter().map(|dim| dim.of(1, 0)).collect();
    let fits = match (dims.split_first(), array.shape.split_first()) {
        (Some((first, tail)), Some((leading, rest))) => rest == tail && leading.is_multiple_of(*first),
        (None, None) => true,
        _ => false,
    };
    let flat = array.shape.len() == 1 && array.data.len().is_multiple_of(port.elements(1, 0));
    if fits || flat {
        return Ok(array.data.len() / port.elements(1, 0));
    }
    let expected = format!("{}, or a multiple of its leading dimension", text(&dims));
    Err(Error::Shape { port: port.name.clone(), expected, found: text(&array.shape) })
}

/// Room for an output of that many runs.
fn stacked(port: &Port, runs: usize) -> Result<Array> {
    let mut shape: Vec<usize> = port.dims.iter().map(|dim| dim.of(1, 0)).collect();
    match shape.first_mut() {
        Some(first) => *first = first.saturating_mul(runs),
        None if runs > 1 => shape.push(runs),
        None => {}
    }
    let len = port.elements(1, 0).saturating_mul(runs);
    let mut data = Vec::new();
    data.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes: len.saturating_mul(4) })?;
    data.resize(len, 0.0);
    Ok(Array { shape, data })
}
