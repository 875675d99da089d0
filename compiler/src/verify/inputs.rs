//! Where a verification's inputs come from: a seed, or the user. May import: `verify`'s types, `reference`, `error`.

mod given;

use far_engine::Extent;
use far_format::plan::{Dim, Dtype, Plan, Port, StepOp};
use far_tool::npy::Data;

use super::{Given, Options, Sample};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Model;

/// Seeded runs unless the options say how many.
const SAMPLES: usize = 4;

/// Which sizes the source model leaves open: the judge runs it at no others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    batch: bool,
    tokens: bool,
}

impl Open {
    /// Those of a model: an axis is open if it is for every input that has it.
    pub(super) fn of(judge: &Model) -> Self {
        let open = |axis: usize| {
            let dims = judge.inputs().iter().filter_map(|port| port.dims.as_ref()?.get(axis).copied());
            let mut dims = dims.peekable();
            dims.peek().is_some() && dims.all(|dim| dim.is_none())
        };
        Self { batch: open(0), tokens: open(1) }
    }

    /// Those of an artifact.
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let tokens = plan.inputs.iter().any(|port| port.dims.contains(&Dim::Tokens));
        Self { batch: !plan.batch.fixed, tokens }
    }
}

/// At least one sample.
pub(super) fn samples(plan: &Plan, open: Open, options: &Options) -> Result<Vec<Sample>> {
    let samples = if options.inputs.is_empty() {
        seeded(plan, open, options.seed, options.samples.unwrap_or(SAMPLES))
    } else {
        given::samples(plan, &options.inputs, options.samples.unwrap_or(usize::MAX))?
    };
    if samples.is_empty() {
        return Err(Error::new(ErrorKind::BadInput, "nothing to compare")
            .expected("1 sample or more")
            .got("none"));
    }
    Ok(samples)
}

/// Those of the user's.
pub(super) fn given(plan: &Plan, inputs: &[Given]) -> Result<Vec<Sample>> {
    given::samples(plan, inputs, usize::MAX)
}

/// The largest call first; then, where sizes vary, smaller ones, batches, and elements of different lengths in one.
fn seeded(plan: &Plan, open: Open, seed: u64, count: usize) -> Vec<Sample> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let most = plan.tokens as usize;
    let tokens: Vec<usize> = match open.tokens && most > 1 {
        true => [most, 1, most.div_ceil(2), most - 1].into(),
        false => vec![most],
    };
    let batch = plan.batch.most as usize;
    let batches: Vec<usize> = if plan.batch.fixed || !open.batch { vec![batch] } else { vec![1, batch] };
    (0..count)
        .map(|i| {
            let extent = Extent { batch: batches[i % batches.len()], tokens: tokens[i % tokens.len()] };
            // A mask that cuts needs a judge that runs shorter sequences.
            let alone = !plan.batch.fixed || batch == 1;
            let cuts = plan.lengths.is_some() && open.tokens && alone && i % 2 == 1;
            let length =
                |rng: &mut fastrand::Rng| if cuts { rng.usize(1..=extent.tokens) } else { extent.tokens };
            let lengths: Vec<usize> = (0..extent.batch).map(|_| length(&mut rng)).collect();
            let inputs =
                (0..plan.inputs.len()).map(|input| noise(plan, input, extent, &lengths, &mut rng)).collect();
            Sample { extent, lengths, inputs }
        })
        .collect()
}

/// Data of an input: a mask of these lengths, rows of a table, or numbers close to normal.
fn noise(plan: &Plan, input: usize, extent: Extent, lengths: &[usize], rng: &mut fastrand::Rng) -> Data {
    let port: &Port = &plan.inputs[input];
    let count = port.elements(extent.batch, extent.tokens);
    let vocabulary = vocabulary(plan, input);
    let mut integer = |i: usize| match plan.lengths {
        Some(mask) if mask as usize == input => {
            let (element, at) = (i / extent.tokens.max(1), i % extent.tokens.max(1));
            i64::from(lengths.get(element).is_some_and(|length| at < *length))
        }
        _ => rng.i64(0..i64::from(vocabulary)),
    };
    match port.dtype {
        Dtype::I64 => Data::I64((0..count).map(integer).collect()),
        Dtype::I32 => Data::I32((0..count).map(|i| i32::try_from(integer(i)).unwrap_or(0)).collect()),
        // Twelve uniforms: mean 6, variance 1, close to normal.
        Dtype::F32 => Data::F32((0..count).map(|_| (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0).collect()),
    }
}

/// Rows of the smallest table that an input names rows of; 2 where it names none.
fn vocabulary(plan: &Plan, input: usize) -> u32 {
    let tables = plan.steps.iter().filter_map(|step| match &step.op {
        StepOp::Embed(embed) if embed.input as usize == input => Some(embed.vocab),
        _ => None,
    });
    tables.min().unwrap_or(2)
}

#[cfg(test)]
mod tests;
