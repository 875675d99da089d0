//! What a person wants to know after a compilation. May import: `farc::{emit, report, target}`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use farc::emit::Output;
use farc::report::{Calls, KeptUnits, Report};
use farc::target::Target;

use super::show;

/// The table that `farc compile` ends with.
pub(super) fn text(
    report: &Report,
    target: &Target,
    output: &Output,
    page: Option<&Path>,
    time: Duration,
) -> String {
    let (before, after, totals) = (report.imported, report.compiled, &report.totals);
    let mut lines = Vec::new();
    let mut line = |title: &str, text: String| lines.push(format!("{title:10} {text}\n"));
    let name = if report.model.is_empty() { "the model" } else { &report.model };
    line("compiled", format!("{name} for {} ({}) in {:.2} s", target.name, target.arch, time.as_secs_f64()));
    if report.calls.tokens > 0 || report.calls.batch > 1 {
        line("calls", extents(&report.calls));
    }
    line("found", found(report));
    if before.hidden_units > 0 {
        let share = show::percent(after.hidden_units as f64, before.hidden_units as f64);
        let each = spread(&report.kept).map_or(String::new(), |each| format!(", {each} in each"));
        line(
            "pruned",
            format!(
                "{} of {} hidden units are left ({share}){each}",
                after.hidden_units, before.hidden_units
            ),
        );
    }
    if let Some(chosen) = chosen(report) {
        line("chosen", chosen);
    }
    line(
        "work",
        format!(
            "{} multiply-adds as imported, {} as compiled",
            show::millions(totals.imported_multiply_adds),
            show::millions(totals.multiply_adds)
        ),
    );
    line(
        "artifact",
        format!(
            "{}, of which weights {}",
            show::bytes(totals.artifact_bytes),
            show::bytes(totals.weight_bytes)
        ),
    );
    let precisions = totals.precisions.iter();
    let precisions = precisions.map(|p| {
        let steps = if p.steps == 1 { "step" } else { "steps" };
        format!("{} in {} of {} {steps}", show::bytes(p.bytes), p.precision, p.steps)
    });
    line("weights", precisions.collect::<Vec<_>>().join(", "));
    line("memory", format!("{} of arena for each session", show::bytes(totals.arena_bytes)));
    line("predicted", format!("{} a run on one core ({})", show::time(totals.predicted_ms), target.cpu.core));
    line("", shares(report));
    line(
        "wrote",
        match output {
            Output::File(path) => path.display().to_string(),
            Output::Object(path, _) | Output::C(path, _) => {
                format!("{}, {}", path.display(), path.with_extension("h").display())
            }
            Output::Folder(path) => {
                let lib = format!("lib/{}/", target.triple);
                format!("{}: model.far, include/, {lib}, report.json", path.display())
            }
        },
    );
    lines.extend(page.map(|page| format!("{:10} {}\n", "", page.display())));
    lines.concat()
}

/// How large calls may be.
fn extents(calls: &Calls) -> String {
    let batch = match (calls.batch, calls.batch_fixed) {
        (1, _) => "1 element".to_owned(),
        (most, true) => format!("{most} elements"),
        (most, false) => format!("1 to {most} elements"),
    };
    let each = if calls.masked { ", in each as many as its mask has ones" } else { "" };
    match calls.tokens {
        0 => batch,
        most => format!("{batch} of 1 to {most} tokens{each}"),
    }
}

fn found(report: &Report) -> String {
    let (before, after) = (report.imported, report.compiled);
    let recurrent = format!(
        "{} recurrent blocks, {} heads × directions, {} hidden units",
        after.layers, after.recurrences, before.hidden_units
    );
    match (before.hidden_units, after.attentions) {
        (0, attentions) => format!("no recurrent blocks, {attentions} attention blocks"),
        (_, 0) => recurrent,
        (_, attentions) => format!("{recurrent}; {attentions} attention blocks"),
    }
}

/// Fewest and most units of a head in a direction.
fn spread(kept: &[KeptUnits]) -> Option<String> {
    let hidden = || kept.iter().map(|unit| unit.hidden);
    let (least, most) = (hidden().min()?, hidden().max()?);
    Some(if least == most { format!("{most}") } else { format!("{least} to {most}") })
}

/// The rewrites that the cost model chose, the one that saved most first.
fn chosen(report: &Report) -> Option<String> {
    let entries = || report.passes.passes.iter().filter(|entry| entry.by_cost && entry.count > 0);
    let mut saved: BTreeMap<&str, f64> = BTreeMap::new();
    for entry in entries() {
        *saved.entry(entry.pass).or_default() += entry.saved.predicted_ms;
    }
    let mut saved: Vec<(&str, f64)> = saved.into_iter().collect();
    saved.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let each = saved.iter().map(|(pass, ms)| match *ms {
        ms if ms > 0.0 => format!("{pass} (−{})", show::time(ms)),
        _ => (*pass).to_owned(),
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| each.join(", "))
}

/// Which operations the predicted time goes to.
fn shares(report: &Report) -> String {
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    for step in &report.steps {
        let kind = match step.op {
            "gemm" => "products",
            "lstm" => "recurrences",
            "attention" => "attention",
            "layer_norm" | "normalize" => "normalisation",
            _ => "others",
        };
        *kinds.entry(kind).or_default() += step.cost.predicted_ms;
    }
    let mut kinds: Vec<(&str, f64)> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let each =
        kinds.iter().map(|(kind, ms)| format!("{kind} {}", show::percent(*ms, report.totals.predicted_ms)));
    each.collect::<Vec<_>>().join(", ")
}
