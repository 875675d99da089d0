//! `far-peak`: what the core under it can do at most, and how near the kernels come.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use std::process::ExitCode;

use clap::Parser;
use far_bench::kernels::{Case, Work, cases};
use far_bench::machine::{Limits, Peak, least_seconds, part_of};
use far_kernels::{Isa, Kernels};
use serde::Serialize;

/// Measure the limits of the core that this runs on: multiply-adds from registers, bytes from each level of memory.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Measure the kernels too, each against its limit
    #[arg(long)]
    kernels: bool,
    /// Only kernels whose name contains this
    #[arg(long, value_name = "TEXT", requires = "kernels", default_value = "")]
    filter: String,
    /// Kernels of this instruction set rather than of all but scalar
    #[arg(long, requires = "kernels")]
    isa: Option<Isa>,
    /// JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    limits: Limits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    kernel: String,
    microseconds: f64,
    /// 10⁹ multiply-adds or elements per second.
    g_per_s: f64,
    /// Part of the core's peak, measured in turns with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_limit: Option<f64>,
}

fn rows(cli: &Cli) -> Vec<Row> {
    let wanted = |kernels: &Kernels| match cli.isa {
        Some(isa) => kernels.isa() == isa,
        None => kernels.isa() != Isa::Scalar,
    };
    let mut rows = Vec::new();
    for kernels in Kernels::available().filter(wanted) {
        rows.extend(cases(kernels).filter(|case| case.name.contains(&cli.filter)).map(row));
    }
    rows
}

fn row(mut case: Case) -> Row {
    let seconds = least_seconds(|| case.run());
    let (amount, of_limit) = match case.work {
        Work::MultiplyAdds(n, variant) => {
            let part =
                |peak: Peak| part_of((peak.multiply_adds() as f64, || peak.run()), (n as f64, || case.run()));
            (n, Peak::of(variant).map(part))
        }
        Work::Elements(n) => (n, None),
    };
    Row { kernel: case.name, microseconds: seconds * 1e6, g_per_s: amount as f64 / seconds / 1e9, of_limit }
}

fn text(report: &Report) -> String {
    let mut lines = vec![report.limits.cpu.clone()];
    for a in &report.limits.arithmetic {
        let rates = [("f32", Some(a.fma_g_per_s)), ("int8", a.int8_g_per_s), ("bf16", a.bf16_g_per_s)];
        let rates = rates.iter().filter_map(|(name, rate)| Some(format!("{name} {:.1}", (*rate)?)));
        let rates = rates.collect::<Vec<_>>().join(", ");
        lines.push(format!("{:8} {rates} G multiply-adds/s", a.isa));
    }
    for level in &report.limits.read {
        lines.push(format!("{:8} {:.1} GB/s reading {} KiB", level.level, level.gb_per_s, level.read_kib));
    }
    for row in &report.kernels {
        let of_limit = row.of_limit.map_or(String::new(), |share| format!("{:6.1} %", 100.0 * share));
        lines.push(format!(
            "{:44} {:9.1} µs {:7.2} G/s {of_limit}",
            row.kernel, row.microseconds, row.g_per_s
        ));
    }
    lines.join("\n")
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let kernels = if cli.kernels { rows(&cli) } else { Vec::new() };
    let report = Report { limits: Limits::measure(), kernels };
    if !cli.json {
        println!("{}", text(&report));
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string_pretty(&report) {
        Ok(json) => println!("{json}"),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
