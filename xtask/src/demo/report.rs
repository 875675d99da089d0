//! What the C program says, the table of it, and the judgement. May import: `console`, `error`.

use std::collections::BTreeSet;

use comfy_table::{Table, presets};

use crate::console::result;
use crate::error::{Error, Result};

/// Largest difference from the reference logits that passes, as a part of their range.
const TOLERANCE: f64 = 1e-4;

/// The JSON that `classify --json` prints.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Answer {
    arch: String,
    kernels: Vec<String>,
    images: u64,
    top1: f64,
    /// `None`: not a number.
    max_abs_diff: Option<f64>,
    logits_range: Option<f64>,
    arena_bytes: u64,
    logits_fnv1a64: String,
}

impl Answer {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::Unexpected(format!("cannot read the answer of classify: {error}\n{text}"))
        })
    }

    /// Whether it ran where, and with the kernels that, it should.
    pub(crate) fn check_place(&self, arch: &str, isa: Option<&str>) -> Result<()> {
        if self.arch != arch {
            return Err(Error::Unexpected(format!("classify ran on `{}`, expected `{arch}`", self.arch)));
        }
        let of_isa = |isa: &str| self.kernels.iter().all(|kernel| kernel.rsplit('_').next() == Some(isa));
        match isa {
            Some(isa) if self.kernels.is_empty() || !of_isa(isa) => Err(Error::Unexpected(format!(
                "classify ran the kernels `{}`, expected those of `{isa}`",
                self.kernels.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    /// Largest difference from the reference logits as a part of their range; infinite where there is no number.
    fn relative_diff(&self) -> f64 {
        match (self.max_abs_diff, self.logits_range) {
            (Some(diff), Some(range)) if range > 0.0 => diff / range,
            _ => f64::INFINITY,
        }
    }
}

/// One line of the table.
pub(crate) struct Line {
    pub(crate) target: &'static str,
    pub(crate) cpu: &'static str,
    pub(crate) artifact_bytes: u64,
    pub(crate) answer: Answer,
}

/// Prints the table and what it means; an error where an answer is too far off, or the bits differ.
pub(crate) fn print_and_judge(lines: &[Line]) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "target",
        "cpu",
        "kernels",
        "images",
        "top-1",
        "max |Δ| / range",
        "artifact KiB",
        "arena KiB",
        "bits of the logits",
    ]);
    for Line { target, cpu, artifact_bytes, answer } in lines {
        table.add_row([
            (*target).to_owned(),
            (*cpu).to_owned(),
            answer.kernels.join("\n"),
            answer.images.to_string(),
            format!("{:.1} %", answer.top1 * 100.0),
            format!("{:.1e}", answer.relative_diff()),
            artifact_bytes.div_ceil(1024).to_string(),
            answer.arena_bytes.div_ceil(1024).to_string(),
            answer.logits_fnv1a64.clone(),
        ]);
    }
    result(table);
    judge(lines)?;
    result(format_args!(
        "all {} runs gave the same bits, within {TOLERANCE:e} of the reference's range",
        lines.len()
    ));
    Ok(())
}

fn judge(lines: &[Line]) -> Result<()> {
    for Line { target, cpu, answer, .. } in lines {
        let diff = answer.relative_diff();
        if diff > TOLERANCE {
            return Err(Error::Unexpected(format!(
                "{target} on {cpu} is {diff:.1e} of the range off the reference logits, allowed are {TOLERANCE:e}"
            )));
        }
    }
    let bits: BTreeSet<_> = lines.iter().map(|line| line.answer.logits_fnv1a64.as_str()).collect();
    if bits.len() > 1 {
        let bits: Vec<_> = bits.into_iter().collect();
        return Err(Error::Unexpected(format!("the logits' bits differ: {}", bits.join(", "))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"arch":"riscv64","kernels":["gemm_f32_7x16_rvv","lstm_f32_rvv"],"images":8,"top1":0.875,
        "max_abs_diff":1e-6,"logits_range":20.0,"arena_bytes":4096,"logits_fnv1a64":"00ff"}"#;

    fn line(change: impl Fn(&mut Answer)) -> Line {
        let mut answer = Answer::parse(TEXT).unwrap();
        change(&mut answer);
        Line { target: "riscv64-v", cpu: "vlen 128", artifact_bytes: 1, answer }
    }

    #[test]
    fn equal_and_close_passes() {
        assert!(judge(&[line(|_| ()), line(|_| ())]).is_ok());
    }

    #[test]
    fn far_from_the_reference_fails() {
        for diff in [Some(0.0021), None] {
            let error = judge(&[line(|answer| answer.max_abs_diff = diff)]).unwrap_err().to_string();
            assert!(error.contains("riscv64-v on vlen 128"), "{error}");
        }
    }

    #[test]
    fn other_bits_fail() {
        let error = judge(&[line(|_| ()), line(|answer| answer.logits_fnv1a64 = "0100".to_owned())]);
        assert!(error.unwrap_err().to_string().contains("00ff, 0100"));
    }

    #[test]
    fn wrong_place_fails() {
        let answer = Answer::parse(TEXT).unwrap();
        assert!(answer.check_place("riscv64", Some("rvv")).is_ok());
        assert!(answer.check_place("aarch64", Some("rvv")).is_err());
        assert!(answer.check_place("riscv64", Some("scalar")).is_err());
    }
}
