//! `cargo xtask test`: all tests, on the host and under QEMU. A cross run counts only if the output of its tests
//! names the architecture and the kernels that were expected.
//! May import: `command`, `console`, `cross`, `error`, `platform`, `sdk`, `workspace`.

pub(crate) mod libtest;
mod sdk;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use comfy_table::{Table, presets};

use crate::command;
use crate::console::{result, step};
use crate::cross::{self, CRT_STATIC, Cross};
use crate::error::{Error, Result};
use crate::platform::{CROSS, Cpu, Platform};
use crate::workspace::Workspace;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the tests of the host
    #[arg(long)]
    host_only: bool,
    /// Only the tests under QEMU
    #[arg(long, conflicts_with = "host_only")]
    cross_only: bool,
    /// Only the SDK: made, unpacked, linked in every way, run here and under QEMU
    #[arg(long, conflicts_with_all = ["host_only", "cross_only"])]
    sdk_only: bool,
    /// Also the slow tests, and the kernels at more vector lengths
    #[arg(long)]
    slow: bool,
}

/// What reaches a board: these packages are tested on every platform.
const RUNTIME: [&str; 5] = ["far-format", "far-kernels", "far-engine", "far-tool", "libfar"];

/// One line of the final table.
struct Row {
    target: &'static str,
    cpu: &'static str,
    proof: libtest::Proof,
    counts: libtest::Counts,
    seconds: u64,
}

/// Runs them and reports.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    if !args.cross_only && !args.sdk_only {
        rows.push(test_host(workspace, args)?);
    }
    if !args.host_only {
        let cross = Cross::set_up(workspace, None)?;
        for platform in CROSS.into_iter().filter(|_| !args.sdk_only) {
            for cpu in platform.cpus {
                rows.push(test_cross(workspace, &cross, platform, cpu, &RUNTIME, args)?);
            }
            for cpu in platform.slow_cpus.iter().filter(|_| args.slow) {
                rows.push(test_cross(workspace, &cross, platform, cpu, &["far-kernels"], args)?);
            }
        }
        if !args.cross_only {
            rows.push(test_sdk(workspace, &cross)?);
        }
    }
    report(&rows)
}

fn test_host(workspace: &Workspace, args: &Args) -> Result<Row> {
    let clang = cross::install_for_host()?;
    if args.slow {
        cross::install_for_slow_suites()?;
    }
    let mut cargo = workspace.cargo("test");
    cargo.arg("--workspace");
    if let Some(dir) = clang.libclang_dir().filter(|_| std::env::var_os("LIBCLANG_PATH").is_none()) {
        cargo.env("LIBCLANG_PATH", dir);
    }
    test(cargo, args, "host", std::env::consts::ARCH, None)
}

fn test_sdk(workspace: &Workspace, cross: &Cross) -> Result<Row> {
    cross::install_for_sdk()?;
    let begin = Instant::now();
    let counts = sdk::run(workspace, cross)?;
    step("test", format_args!("sdk: {} passed, {} failed", counts.passed, counts.failed));
    let seconds = begin.elapsed().as_secs();
    Ok(Row { target: "sdk", cpu: "all", proof: libtest::Proof::default(), counts, seconds })
}

fn test_cross(
    workspace: &Workspace,
    cross: &Cross,
    platform: &Platform,
    cpu: &'static Cpu,
    packages: &[&str],
    args: &Args,
) -> Result<Row> {
    let mut cargo = cross.cargo(workspace, platform, "test", CRT_STATIC);
    cargo.env(platform.cargo_variable("RUNNER"), cross::runner(platform, cpu));
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    // Fuzzers' code is run there, not fuzzed.
    cargo.env("FAR_FUZZ_SECONDS", "1");
    // Examples in documentation are the host's to test.
    cargo.args(["--lib", "--bins", "--tests"]);
    test(cargo, args, cpu.name, platform.arch, Some(cpu))
}

/// Runs `cargo test` and reads its output. A failure is shown whole, and the run goes on to the next.
fn test(
    mut cargo: Command,
    args: &Args,
    name: &'static str,
    arch: &'static str,
    cpu: Option<&Cpu>,
) -> Result<Row> {
    cargo.args(["--no-fail-fast", "--", "--show-output"]);
    if args.slow && cpu.is_none() {
        cargo.arg("--include-ignored");
    }
    let at = if cpu.is_some() { "under QEMU, cpu " } else { "" };
    step("test", format_args!("{arch}: {at}{name}"));
    let begin = Instant::now();
    let (status, output) = command::run_any(&mut cargo)?;
    let mut counts = libtest::counts(&output);
    let proof = libtest::proof(&output);
    if !status.success() {
        result(Error::Failed { command: command::line(&cargo), status, output });
        // A build that failed or a program that crashed gave no count.
        counts.failed = counts.failed.max(1);
    } else if let Err(error) = judge(&proof, arch, cpu) {
        result(error);
        counts.failed += 1;
    }
    step("test", format_args!("{arch}: {at}{name}: {} passed, {} failed", counts.passed, counts.failed));
    let target = cpu.map_or("host", |_| arch);
    Ok(Row { target, cpu: name, proof, counts, seconds: begin.elapsed().as_secs() })
}

/// Whether the tests ran where, and with the kernels that, they had to.
fn judge(proof: &libtest::Proof, arch: &str, cpu: Option<&Cpu>) -> Result<()> {
    let (arch_seen, kernels_seen) = (list(&proof.archs), list(&proof.isas));
    if arch_seen != arch {
        return Err(Error::Unexpected(format!(
            "kernels were tested on `{arch_seen}`, expected `{arch}`: tests say so by lines `tested kernel: NAME on ARCH`"
        )));
    }
    let Some(cpu) = cpu else { return Ok(()) };
    let expected = ["scalar", cpu.isa].into_iter().chain(cpu.variants.iter().copied());
    let expected = list(&expected.map(str::to_owned).collect());
    if kernels_seen != expected {
        return Err(Error::Unexpected(format!(
            "kernels `{kernels_seen}` were tested on `{}`, expected `{expected}`",
            cpu.name
        )));
    }
    Ok(())
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn report(rows: &[Row]) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["target", "cpu", "arch seen", "kernels seen", "passed", "failed", "seconds"]);
    for row in rows {
        table.add_row([
            row.target,
            row.cpu,
            &list(&row.proof.archs),
            &list(&row.proof.isas),
            &row.counts.passed.to_string(),
            &row.counts.failed.to_string(),
            &row.seconds.to_string(),
        ]);
    }
    result(table);
    let passed: u64 = rows.iter().map(|row| row.counts.passed).sum();
    let failed: u64 = rows.iter().map(|row| row.counts.failed).sum();
    result(format_args!("{passed} passed, {failed} failed"));
    if failed > 0 { Err(Error::Unexpected(format!("{failed} tests failed"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{VLEN_128, WITHOUT_V};

    fn proof(arch: &str, isas: &[&str]) -> libtest::Proof {
        let isas = isas.iter().map(|isa| (*isa).to_owned()).collect();
        libtest::Proof { archs: BTreeSet::from([arch.to_owned()]), isas }
    }

    #[test]
    fn cross_run_must_name_its_architecture_and_kernels() {
        let (vector, plain) = (&VLEN_128, &WITHOUT_V);
        let rvv = proof("riscv64", &["rvv", "scalar", "zvfh"]);
        let scalar = proof("riscv64", &["scalar"]);
        assert!(judge(&rvv, "riscv64", Some(vector)).is_ok());
        assert!(judge(&scalar, "riscv64", Some(plain)).is_ok());
        assert!(judge(&scalar, "riscv64", Some(vector)).is_err());
        assert!(judge(&rvv, "riscv64", Some(plain)).is_err());
        assert!(judge(&proof("x86_64", &["rvv", "scalar", "zvfh"]), "riscv64", Some(vector)).is_err());
        assert!(judge(&libtest::Proof::default(), "riscv64", Some(vector)).is_err());
    }
}
