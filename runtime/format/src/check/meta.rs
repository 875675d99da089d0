//! The rules of what is said for users: names for as many elements as there are, an image port that an image fits.
//! May import: `meta`, `plan`, `error`.

use crate::error::{Error, Problem, Result, Subject};
use crate::meta::{Image, Labels, MAX_SIDE, Meta, Resize};
use crate::plan::{Dim, Dtype, Plan, Port};

pub(super) fn check(plan: &Plan) -> Result<()> {
    let Meta { info, labels, image, .. } = &plan.meta;
    let fail = |(field, problem)| Error::Plan { subject: Subject::Meta, field, problem };
    for (i, entry) in info.iter().enumerate() {
        if entry.key.is_empty() || i > 0 && info[i - 1].key >= entry.key {
            let expected = "keys that aren't empty, differ and ascend";
            return Err(fail(("info.key", Problem::Value { expected, found: i as u64 })));
        }
    }
    labels.as_ref().map_or(Ok(()), |labels| self::labels(labels, &plan.outputs)).map_err(fail)?;
    image.as_ref().map_or(Ok(()), |image| self::image(image, &plan.inputs)).map_err(fail)
}

fn port(n: u32, ports: &[Port]) -> Result<&Port, Problem> {
    ports.get(n as usize).ok_or(Problem::Index { count: ports.len() as u64, found: u64::from(n) })
}

fn labels(labels: &Labels, outputs: &[Port]) -> Result<(), (&'static str, Problem)> {
    let port = port(labels.output, outputs).map_err(|problem| ("labels.output", problem))?;
    let found = labels.names.len() as u64;
    match port.dims.last() {
        Some(Dim::Fixed(classes)) if u64::from(*classes) == found => Ok(()),
        _ => {
            let expected = "one for each element of the output's last dimension, which is fixed";
            Err(("labels.names", Problem::Value { expected, found }))
        }
    }
}

fn image(image: &Image, inputs: &[Port]) -> Result<(), (&'static str, Problem)> {
    let port = port(image.input, inputs).map_err(|problem| ("image.input", problem))?;
    if port.dtype != Dtype::F32 {
        return Err(("image.input", Problem::Dtype { expected: "f32", found: port.dtype }));
    }
    let (outer, last) = port.dims.split_at(port.dims.len().saturating_sub(3));
    let outer = outer.iter().all(|dim| matches!(dim, Dim::Batch | Dim::Fixed(1)));
    let &[Dim::Fixed(a), Dim::Fixed(b), Dim::Fixed(c)] = last else {
        let (expected, found) = ("three fixed dimensions at the end", port.dims.len() as u64);
        return Err(("image.input", Problem::Value { expected, found }));
    };
    let [channels, height, width] = image.layout.chw([a, b, c]);
    if !outer || channels as usize != image.color.channels() {
        let expected = "as many channels as its colours have, after the batch";
        return Err(("image.color", Problem::Value { expected, found: u64::from(channels) }));
    }
    if height.max(width) > MAX_SIDE {
        let expected = "a height and width of at most 16384";
        return Err(("image.input", Problem::Value { expected, found: u64::from(height.max(width)) }));
    }
    if let Resize::Crop { shorter } = image.resize
        && !(height.max(width)..=MAX_SIDE).contains(&shorter)
    {
        let expected = "at least height and width of the input, at most 16384";
        return Err(("image.resize.shorter", Problem::Value { expected, found: u64::from(shorter) }));
    }
    if image.channels.len() != channels as usize {
        let (expected, found) = ("one for each channel", image.channels.len() as u64);
        return Err(("image.channels", Problem::Value { expected, found }));
    }
    positive("image.scale", image.scale)?;
    for channel in &image.channels {
        positive("image.channels.std", channel.std)?;
        if !channel.mean.is_finite() {
            let (expected, found) = ("finite", channel.mean);
            return Err(("image.channels.mean", Problem::Float { expected, found }));
        }
    }
    Ok(())
}

fn positive(field: &'static str, found: f32) -> Result<(), (&'static str, Problem)> {
    let expected = "finite and above 0";
    if found.is_finite() && found > 0.0 { Ok(()) } else { Err((field, Problem::Float { expected, found })) }
}
