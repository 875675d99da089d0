//! `cargo xtask fuzz`: the fuzz targets, built with coverage and fed by libFuzzer, one after another. The folders are laid
//! out as cargo-fuzz has them, which works there too (it wants a nightly toolchain). Here stable Rust does, by switches that it has
//! but does not promise: hence `RUSTC_BOOTSTRAP`. May import: `command`, `console`, `error`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use comfy_table::{Table, presets};

use crate::command;
use crate::console::{result, step};
use crate::error::{Error, Result};
use crate::workspace::{self, Workspace};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long each target is fed
    #[arg(long, default_value_t = 1)]
    minutes: u32,
    /// Only this target; may be repeated
    #[arg(long, value_parser = TARGETS.map(|target| target.name))]
    target: Vec<String>,
    /// Without the sanitizer of addresses: several times as many inputs in the same time
    #[arg(long)]
    no_sanitizer: bool,
}

/// A fuzz target.
struct Target {
    name: &'static str,
    /// Folder of its package.
    package: &'static str,
    /// Whether the sanitizer of addresses has something to watch: code that may use unsafe code.
    sanitize: bool,
    /// Folders with inputs to begin with, beside its corpus.
    seeds: &'static [&'static str],
}

const TARGETS: [Target; 5] = [
    Target { name: "artifact", package: "runtime/engine/fuzz", sanitize: true, seeds: &[] },
    Target { name: "onnx", package: "compiler/fuzz", sanitize: false, seeds: &[] },
    Target { name: "masks", package: "compiler/fuzz", sanitize: false, seeds: &[] },
    Target { name: "target", package: "compiler/fuzz", sanitize: false, seeds: &["targets"] },
    Target { name: "ir", package: "compiler/fuzz", sanitize: false, seeds: &[] },
];

/// Coverage as libFuzzer wants it.
const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Ccodegen-units=1",
];

/// What libFuzzer said at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    executions: u64,
    edges: u64,
    corpus: u64,
}

/// Feeds the targets and reports; an input that breaks something is an error.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let chosen =
        |target: &&Target| args.target.is_empty() || args.target.iter().any(|name| name == target.name);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["target", "executions", "edges", "corpus", "minutes", "sanitizer", "findings"]);
    let mut found = Vec::new();
    for target in TARGETS.iter().filter(chosen) {
        let sanitize = target.sanitize && !args.no_sanitizer;
        let program = build(workspace, target, sanitize)?;
        let (figures, findings) = feed(workspace, target, &program, args.minutes)?;
        table.add_row([
            target.name,
            &figures.executions.to_string(),
            &figures.edges.to_string(),
            &figures.corpus.to_string(),
            &args.minutes.to_string(),
            if sanitize { "address" } else { "none" },
            &findings.len().to_string(),
        ]);
        found.extend(findings);
    }
    result(table);
    match found.first() {
        None => Ok(()),
        Some(first) => Err(Error::Unexpected(format!(
            "{} inputs broke something, the first is `{}`: mend it, and put the input into the target's corpus",
            found.len(),
            first.display()
        ))),
    }
}

fn build(workspace: &Workspace, target: &Target, sanitize: bool) -> Result<PathBuf> {
    let kind = if sanitize { "address" } else { "plain" };
    step("fuzz", format_args!("{}: build", target.name));
    let host = host()?;
    let folder = workspace.target.join("fuzz").join(kind);
    let mut flags = COVERAGE.to_vec();
    if sanitize {
        flags.push("-Zsanitizer=address");
    }
    let mut cargo = workspace.cargo("build");
    cargo.current_dir(workspace.root.join(target.package));
    cargo.args(["--release", "--bin", target.name, "--target", &host, "--target-dir"]).arg(&folder);
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    command::run(&mut cargo)?;
    Ok(folder.join(host).join("release").join(target.name))
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    command::stdout(Command::new("rustc").args(["--print", "host-tuple"]))
}

/// Feeds a target for so long: what was done, and the inputs that broke it.
fn feed(
    workspace: &Workspace,
    target: &Target,
    program: &Path,
    minutes: u32,
) -> Result<(Figures, Vec<PathBuf>)> {
    step("fuzz", format_args!("{}: {minutes} minutes", target.name));
    let folder = workspace.target.join("fuzz");
    // What is found goes to the first of the folders; the others are only read.
    let corpus = folder.join("corpus").join(target.name);
    let findings = folder.join("findings").join(target.name);
    workspace::create_dir(&corpus)?;
    workspace::remove_dir(&findings)?;
    workspace::create_dir(&findings)?;
    let mut fuzzer = Command::new(program);
    fuzzer.arg(&corpus);
    // Where other folders have all that there is to begin with, there may be none of its own.
    let committed = workspace.root.join(target.package).join("corpus").join(target.name);
    if committed.is_dir() {
        fuzzer.arg(&committed);
    }
    fuzzer.args(target.seeds.iter().map(|seeds| workspace.root.join(seeds)));
    fuzzer.arg("-max_len=16384").arg(format!("-max_total_time={}", minutes * 60));
    fuzzer.args(["-print_final_stats=1", "-timeout=30", "-rss_limit_mb=3000"]);
    fuzzer.arg(format!("-artifact_prefix={}/", findings.display()));
    // Where memory was allocated isn't kept for every allocation: it would take most of the time.
    fuzzer.env("ASAN_OPTIONS", "malloc_context_size=0:quarantine_size_mb=16:detect_stack_use_after_return=0");
    let (status, output) = command::run_any(&mut fuzzer)?;
    let entries = std::fs::read_dir(&findings).map_err(Error::io("read", &findings))?;
    let found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    if !status.success() {
        result(Error::Failed { command: command::line(&fuzzer), status, output: output.clone() });
        if found.is_empty() {
            return Err(Error::Unexpected(format!(
                "the fuzzer of `{}` failed without an input",
                target.name
            )));
        }
    }
    Ok((figures(&output), found))
}

/// Reads them off libFuzzer's lines.
fn figures(output: &str) -> Figures {
    let after = |line: &str, key: &str| {
        let digits = line.split_once(key)?.1.trim_start();
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let mut figures = Figures::default();
    for line in output.lines() {
        figures.executions = after(line, "stat::number_of_executed_units:").unwrap_or(figures.executions);
        figures.edges = after(line, " cov: ").unwrap_or(figures.edges);
        figures.corpus = after(line, " corp: ").unwrap_or(figures.corpus);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let output = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                      #63971\tDONE   cov: 3859 ft: 7157 corp: 500/545Kb lim: 8192 exec/s: 2460 rss: 417Mb\n\
                      stat::number_of_executed_units: 63971\nstat::slowest_unit_time_sec:    0\n";
        assert_eq!(figures(output), Figures { executions: 63971, edges: 3859, corpus: 500 });
    }

    #[test]
    fn every_target_has_its_folders() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for target in &TARGETS {
            let package = root.join(target.package);
            assert!(
                package.join("fuzz_targets").join(target.name).with_extension("rs").is_file(),
                "{}",
                target.name
            );
            let corpus = package.join("corpus").join(target.name);
            assert!(corpus.is_dir() || !target.seeds.is_empty(), "{}", corpus.display());
        }
    }
}
