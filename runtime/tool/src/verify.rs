//! Whether an artifact is sound, and whether it answers what it should. May import: `batch`, `json`, `npy`, `error`.

use far_engine::Session;
use far_engine::signature::PublicKey;
use far_format::Artifact;

use crate::batch::{self, Size};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::npy::{Array, text};

/// Largest difference from a reference that passes, of the reference's range.
pub const TOLERANCE: f64 = 1e-4;

/// What was checked of the file: reading it proved all of it.
#[derive(Clone, Debug)]
pub struct Sound {
    /// Its size.
    pub bytes: usize,
    /// Steps proved.
    pub steps: usize,
    /// Tensors proved.
    pub tensors: usize,
}

/// An output beside its reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The output's name.
    pub output: String,
    /// Numbers compared.
    pub numbers: usize,
    /// Numbers whose bits are the same; a NaN equals a NaN.
    pub same: usize,
    /// Largest difference; infinite where one is no number and the other is.
    pub difference: f64,
    /// Largest minus smallest number of the reference.
    pub range: f64,
}

/// All that `far verify` found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who signed the file, where that was demanded.
    pub signed: Option<PublicKey>,
    /// Of the file.
    pub sound: Sound,
    /// Of its outputs, where there is a reference.
    pub comparisons: Vec<Comparison>,
    /// Largest difference that passes, of the range.
    pub tolerance: f64,
}

impl Sound {
    /// Of an artifact that was read.
    pub fn of(artifact: &Artifact<'_>, bytes: usize) -> Sound {
        Sound { bytes, steps: artifact.plan.steps.len(), tensors: artifact.plan.tensors.len() }
    }
}

/// Runs the inputs and compares the outputs with references, in order; an output without one is not compared.
///
/// # Errors
/// Inputs that don't fit, a run that fails, a reference of another size.
pub fn golden(session: &mut Session, inputs: Vec<Array>, golden: &[Array]) -> Result<Vec<Comparison>> {
    let model = session.model().clone();
    if golden.len() > model.outputs().len() {
        let most = model.outputs().len();
        return Err(Error::Usage(format!(
            "`--golden`: expected at most `{most}` outputs, got `{}`",
            golden.len()
        )));
    }
    let (outputs, _) = batch::run(session, inputs, Size::default())?;
    let pairs = model.outputs().iter().zip(outputs).zip(golden);
    pairs
        .map(|((port, output), golden)| {
            let wrong = |message| Error::Element { port: port.name.clone(), message };
            if output.data.len() != golden.data.len() {
                let (expected, found) = (text(&golden.shape), text(&output.shape));
                return Err(wrong(format!("the reference has shape `{expected}`, the output `{found}`")));
            }
            let found = output.data.into_f32().map_err(wrong)?;
            let expected = golden.data.clone().into_f32().map_err(wrong)?;
            Ok(compare(&port.name, &found, &expected))
        })
        .collect()
}

fn compare(output: &str, found: &[f32], expected: &[f32]) -> Comparison {
    let same = |(a, b): &(&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    let difference = found.iter().zip(expected).filter(|pair| !same(pair)).map(|(a, b)| {
        let difference = (f64::from(*a) - f64::from(*b)).abs();
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    let numbers = expected.iter().map(|x| f64::from(*x)).filter(|x| x.is_finite());
    let (low, high) =
        numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    Comparison {
        output: output.into(),
        numbers: expected.len(),
        same: found.iter().zip(expected).filter(same).count(),
        difference: difference.fold(0.0, f64::max),
        range: (high - low).max(0.0),
    }
}

impl Comparison {
    /// Whether the difference is within that part of the range.
    pub fn passes(&self, tolerance: f64) -> bool {
        self.difference <= tolerance * self.range.max(f64::MIN_POSITIVE)
    }
}

impl Report {
    /// Whether all comparisons pass.
    pub fn passed(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.passes(self.tolerance))
    }

    /// For programs.
    pub fn json(&self) -> Json {
        let comparisons = self.comparisons.iter().map(|comparison| {
            Json::Object(vec![
                ("output", comparison.output.as_str().into()),
                ("numbers", comparison.numbers.into()),
                ("same_bits", comparison.same.into()),
                ("max_difference", comparison.difference.into()),
                ("range", comparison.range.into()),
                ("passed", comparison.passes(self.tolerance).into()),
            ])
        });
        Json::Object(vec![
            ("signed_by", self.signed.map_or(Json::Null, |key| Json::Text(key.to_string()))),
            ("sound", true.into()),
            ("bytes", self.sound.bytes.into()),
            ("steps", self.sound.steps.into()),
            ("tensors", self.sound.tensors.into()),
            ("tolerance", self.tolerance.into()),
            ("outputs", Json::List(comparisons.collect())),
            ("passed", self.passed().into()),
        ])
    }

    /// For people.
    pub fn text(&self) -> String {
        let Sound { bytes, steps, tensors } = self.sound;
        let mut text = match self.signed {
            Some(key) => format!("signed   by {key}: every byte\n"),
            None => String::new(),
        };
        text += &format!(
            "sound    {bytes} bytes, all checksums match; {steps} steps over {tensors} tensors keep every rule of the format\n"
        );
        for comparison in &self.comparisons {
            let Comparison { output, numbers, same, difference, range } = comparison;
            let verdict = if comparison.passes(self.tolerance) { "passed" } else { "FAILED" };
            text += &match numbers == same {
                true => format!("{verdict}   {output}: all {numbers} numbers have the same bits\n"),
                false => format!(
                    "{verdict}   {output}: {same} of {numbers} numbers have the same bits; largest difference {difference:.3e}, \
                     {:.1e} of the range, at most {:.0e} passes\n",
                    difference / range.max(f64::MIN_POSITIVE),
                    self.tolerance
                ),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_of_the_range() {
        let expected = [0.0, 4.0, f32::NAN, -4.0];
        let same = compare("y", &expected, &expected);
        assert_eq!((same.same, same.difference, same.range), (4, 0.0, 8.0));
        let near = compare("y", &[0.0, 4.0, f32::NAN, -4.0004], &expected);
        assert!(near.same == 3 && near.passes(1e-4) && !near.passes(1e-5), "{near:?}");
        let lost = compare("y", &[0.0, f32::NAN, f32::NAN, -4.0], &expected);
        assert!(lost.difference.is_infinite() && !lost.passes(1.0));
        // Of a constant every difference counts, but none is none.
        assert!(compare("y", &[1.0], &[1.0]).passes(0.0) && !compare("y", &[1.1], &[1.0]).passes(1e-4));
    }
}
