//! What llvm-mca says of a loop on a core. May import: `board`, `code`, `command`, `error`.

use std::process::Command;

use super::board::Core;
use super::code::{InnerLoop, Insn};
use crate::command;
use crate::error::{Error, Result};

/// One loop on one core. Loads hit the first-level cache.
#[derive(serde::Serialize)]
pub(crate) struct Prediction {
    /// The core's name at LLVM.
    pub(crate) core: &'static str,
    /// Of an iteration.
    pub(crate) cycles: f64,
    /// The least that its multiply-adds need of the core's units.
    pub(crate) multiply_add_cycles: f64,
    /// The least that its loads need.
    pub(crate) load_cycles: f64,
}

impl Prediction {
    /// Which part of the rate is reached that the core allows for the loop's multiply-adds or loads, whichever binds.
    pub(crate) fn of_limit(&self) -> f64 {
        self.multiply_add_cycles.max(self.load_cycles) / self.cycles
    }
}

/// Puts the loop to llvm-mca, as a whole and in parts.
pub(crate) fn predict(mca: &str, core: &'static Core, found: &InnerLoop) -> Result<Prediction> {
    let of = |keep: &dyn Fn(&Insn) -> bool| {
        let kept = |insn: &&Insn| keep(insn) || insn.is_configuration();
        let insns: Vec<_> = found.insns.iter().filter(kept).map(assembly).collect();
        summary(mca, core, found.vector_type.as_deref(), &insns)
    };
    let whole = of(&|_| true)?;
    Ok(Prediction {
        core: core.mca,
        cycles: whole.cycles / whole.iterations,
        multiply_add_cycles: of(&Insn::is_multiply_add)?.throughput,
        load_cycles: of(&Insn::is_load)?.throughput,
    })
}

/// The instruction as an assembler reads it: a branch goes to the label at the loop's head.
fn assembly(insn: &Insn) -> String {
    if !insn.is_branch() {
        return insn.text.clone();
    }
    let text = insn.text.split('<').next().unwrap_or("").trim();
    let operands = text.rfind([' ', ',']).map_or(text, |at| &text[..=at]);
    format!("{operands}head")
}

/// From llvm-mca's JSON.
#[derive(serde::Deserialize)]
struct Summary {
    #[serde(rename = "Iterations")]
    iterations: f64,
    #[serde(rename = "TotalCycles")]
    cycles: f64,
    #[serde(rename = "BlockRThroughput")]
    throughput: f64,
}

fn summary(mca: &str, core: &Core, vector_type: Option<&str>, insns: &[String]) -> Result<Summary> {
    let mut source = String::new();
    // How long a vector operation takes depends on the configuration, which is set before the loop.
    for comment in vector_type.map(instruments).unwrap_or_default() {
        source += &format!("# LLVM-MCA-{comment}\n");
    }
    source += "head:\n";
    for insn in insns {
        source += &format!("{insn}\n");
        // It may change in the loop.
        for comment in insn.starts_with("vset").then(|| instruments(insn)).into_iter().flatten() {
            source += &format!("# LLVM-MCA-{comment}\n");
        }
    }
    let mut command = Command::new(mca);
    command.args(["-json", "-iterations=200", "-mtriple", core.triple, "-mcpu", core.mca]);
    if core.triple.starts_with("riscv") {
        command.arg("-mattr=+v,+zvfh");
    }
    let text = command::stdout_of(&mut command, &source).map_err(|error| match error {
        Error::Failed { command, status, output } => {
            Error::Failed { command, status, output: format!("{output}\n{source}") }
        }
        other => other,
    })?;
    let unreadable = |why: &str| {
        let line = command::line(&command);
        Error::Unexpected(format!("cannot read the output of `{line}`: {why}\n{source}\n{text}"))
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| unreadable(&error.to_string()))?;
    let summary =
        value.pointer("/CodeRegions/0/SummaryView").cloned().ok_or_else(|| unreadable("no summary"))?;
    serde_json::from_value(summary).map_err(|error| unreadable(&error.to_string()))
}

/// llvm-mca's comments for a `vset…` instruction such as `vsetivli zero, 16, e32, m4, ta, ma`.
fn instruments(vset: &str) -> Vec<String> {
    let word = |prefix: &str| {
        let mut words = vset.split([' ', ',']).filter(|word| !word.is_empty());
        words.find(|word| {
            word.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('f').parse::<u32>().is_ok())
        })
    };
    let lmul = word("m").map(|word| format!("RISCV-LMUL {}", word.to_uppercase()));
    let sew = word("e").map(|word| format!("RISCV-SEW {}", word.to_uppercase()));
    lmul.into_iter().chain(sew).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_becomes_comments() {
        assert_eq!(instruments("vsetivli zero, 16, e32, m4, ta, ma"), ["RISCV-LMUL M4", "RISCV-SEW E32"]);
        assert_eq!(instruments("vsetvli a0, a1, e32, mf2, ta, ma"), ["RISCV-LMUL MF2", "RISCV-SEW E32"]);
        assert!(instruments("vsetvl a0, a1, a2").is_empty());
    }

    #[test]
    fn branches_go_to_the_head() {
        let insn = |text: &str| Insn { address: 0, text: text.to_owned() };
        assert_eq!(assembly(&insn("b.ne 0x1004 <tile+0x4>")), "b.ne head");
        assert_eq!(assembly(&insn("bne a0, a1, 0x1004 <tile+0x4>")), "bne a0, a1, head");
        assert_eq!(assembly(&insn("flw fa0, 0(a0)")), "flw fa0, 0(a0)");
    }
}
