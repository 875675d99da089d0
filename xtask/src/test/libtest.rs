//! What a run of `cargo test` says in its output: counts, and the line by which the kernels' tests prove where they ran.
//! May import: nothing of ours.

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

/// `far-kernels: arch=riscv64 isa=rvv,scalar features=v`, printed by the kernels' tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Architecture of the program.
    pub(crate) arch: String,
    /// Instruction sets whose kernels were tested, best first.
    pub(crate) isas: Vec<String>,
}

/// Finds that line.
pub(crate) fn proof(output: &str) -> Option<Proof> {
    let line = output.lines().find_map(|line| line.split_once("far-kernels: ").map(|(_, rest)| rest))?;
    let value =
        |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let isas = value("isa")?.split(',').map(str::to_owned).collect();
    Some(Proof { arch: value("arch")?.to_owned(), isas })
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
        let output = "---- x stdout ----\nfar-kernels: arch=riscv64 isa=rvv,scalar features=v\nok\n";
        let proof = proof(output).unwrap();
        assert_eq!(proof.arch, "riscv64");
        assert_eq!(proof.isas, ["rvv", "scalar"]);
    }

    #[test]
    fn incomplete_proof_is_none() {
        assert_eq!(proof("far-kernels: arch=riscv64"), None);
        assert_eq!(proof(""), None);
    }
}
