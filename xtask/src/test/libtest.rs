//! What a run of `cargo test` says in its output: counts, and the lines by which the kernels' tests prove where they ran.
//! May import: nothing of ours.

use std::collections::BTreeSet;

/// Sums over all test programs of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; …`.
pub(crate) fn counts(output: &str) -> Counts {
    let mut sum = Counts::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        let number = |what: &str| {
            let before = line.split(&format!(" {what}")).next()?;
            before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
        };
        sum.passed += number("passed").unwrap_or(0);
        sum.failed += number("failed").unwrap_or(0);
    }
    sum
}

/// Where kernels were tested, by the lines `tested kernel: lstm_f32_rvv on riscv64` that their tests print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Architectures that the test programs were compiled for.
    pub(crate) archs: BTreeSet<String>,
    /// Instruction sets of the kernels that ran: what follows the last `_` of their names.
    pub(crate) isas: BTreeSet<String>,
}

/// Collects those lines.
pub(crate) fn proof(output: &str) -> Proof {
    let mut proof = Proof::default();
    for line in output.lines() {
        let tested = line.strip_prefix("tested kernel: ").and_then(|rest| rest.split_once(" on "));
        if let Some((kernel, arch)) = tested {
            proof.archs.insert(arch.trim().to_owned());
            proof.isas.extend(kernel.rsplit_once('_').map(|(_, isa)| isa.to_owned()));
        }
    }
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed() {
        let output = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                      noise\ntest result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(counts(output), Counts { passed: 13, failed: 2 });
    }

    #[test]
    fn nothing_run_counts_nothing() {
        assert_eq!(counts("error[E0425]: cannot find value"), Counts::default());
    }

    #[test]
    fn proof_is_found_among_other_output() {
        let output = "---- x stdout ----\ntested kernel: gemm_f32_14x16_rvv on riscv64\n\
                      tested kernel: lstm_f32_scalar on riscv64\nok\n";
        let proof = proof(output);
        assert_eq!(proof.archs, BTreeSet::from(["riscv64".to_owned()]));
        assert_eq!(proof.isas, BTreeSet::from(["rvv".to_owned(), "scalar".to_owned()]));
    }

    #[test]
    fn no_kernels_prove_nothing() {
        assert_eq!(proof("running 0 tests\n"), Proof::default());
    }
}
