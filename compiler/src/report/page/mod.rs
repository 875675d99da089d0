//! The report as one page for a browser: no scripts, nothing from elsewhere, light and dark. The same report gives the
//! same bytes, and whatever a model calls itself is only text. May import: `report`; far-format (plans).

mod heat;
mod markup;
mod memory;
mod network;
mod passes;
mod stage;
mod times;

use std::fmt::Write;

use far_format::plan::Plan;

use self::markup::escape;
use super::units::{bytes, millions, percent, time};
use super::{Calls, Report};

const STYLE: &str = include_str!("page.css");

/// What every part of the page looks at.
struct Source<'a> {
    report: &'a Report,
    plan: &'a Plan,
    stages: Vec<stage::Stage>,
}

/// The page of a report; `plan` is what was written, `core` the target's core.
pub fn page(report: &Report, plan: &Plan, core: &str) -> String {
    let source = Source { report, plan, stages: stage::stages(report) };
    let model = if report.model.is_empty() { "the model" } else { &report.model };
    let title = format!("{model} for {}", report.target.name);
    let mut html = String::new();
    html += "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n";
    html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
    // Writing to a string can't fail.
    let _ = writeln!(
        html,
        "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
        escape(&title)
    );
    let _ = writeln!(
        html,
        "<header>\n<h1>{}</h1>\n<p>compiled for <b>{}</b> ({}, {}){}</p>\n</header>",
        escape(model),
        escape(&report.target.name),
        escape(core),
        escape(report.target.arch),
        calls(report.calls)
    );
    html += &tiles(report);
    section(
        &mut html,
        "The network",
        "Every step that runs, from input to output; a row for each block. Times are predicted for one core. ⊕ adds the \
         residual.",
        &network::network(&source),
    );
    if !report.kept.is_empty() {
        section(
            &mut html,
            "Hidden units kept",
            "Of each recurrence: a block, a head, a direction in time. The stronger the colour, the more is left.",
            &heat::heat(report),
        );
    }
    section(
        &mut html,
        "Where the time goes",
        "Predicted for one core, block by block.",
        &times::times(&source),
    );
    section(
        &mut html,
        "Memory over time",
        "The arena: across, the steps from first to last; upwards, its bytes. Each rectangle is a value, from the step that \
         writes it to the last one that reads it; what never lives together shares memory.",
        &memory::memory(&source),
    );
    section(
        &mut html,
        "What the passes chose",
        "Rewrites in the order in which they ran. Those by cost compare predicted times on the target.",
        &passes::passes(report),
    );
    let _ = writeln!(
        html,
        "<footer>farc {}; a prediction ranks choices, and is no measurement</footer>\n</main>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    );
    html
}

fn section(html: &mut String, title: &str, about: &str, body: &str) {
    let _ = writeln!(html, "<section>\n<h2>{title}</h2>\n<p class=\"about\">{about}</p>\n{body}</section>");
}

fn calls(calls: Calls) -> String {
    let mut text = String::new();
    if calls.batch > 1 {
        let _ = write!(text, "; batches of {}{}", if calls.batch_fixed { "" } else { "up to " }, calls.batch);
    }
    if calls.tokens > 0 {
        let _ = write!(text, "; up to {} tokens, for which all figures are", calls.tokens);
    }
    text
}

/// How much is stored in which numbers.
fn weights(report: &Report) -> String {
    let each = report.totals.precisions.iter().map(|p| format!("{} {}", bytes(p.bytes), p.precision));
    each.collect::<Vec<_>>().join(", ")
}

/// The figures that one looks for first.
fn tiles(report: &Report) -> String {
    let totals = &report.totals;
    let (before, after) = (report.imported, report.compiled);
    let mut tiles = vec![
        ("predicted", time(totals.predicted_ms), "a run on one core".to_owned()),
        ("artifact", bytes(totals.artifact_bytes), format!("weights: {}", weights(report))),
        ("memory", bytes(totals.arena_bytes), "of arena for each session".into()),
        (
            "multiply-adds",
            millions(totals.multiply_adds),
            format!("of {} as imported", millions(totals.imported_multiply_adds)),
        ),
    ];
    if before.hidden_units > 0 {
        let kept = percent(after.hidden_units as f64, before.hidden_units as f64);
        let of = format!("{} of {} are left", after.hidden_units, before.hidden_units);
        tiles.push(("hidden units", kept, of));
    }
    let mut html = "<div class=\"tiles\">\n".to_owned();
    for (name, figure, about) in tiles {
        let _ = writeln!(html, "<div><span>{name}</span><b>{figure}</b><span>{about}</span></div>");
    }
    html + "</div>\n"
}
