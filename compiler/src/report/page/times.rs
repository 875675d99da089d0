//! Predicted time: a bar for each block, cut by operation; and every step in a table. May import: `report`, the rest of
//! `page`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::units::{bytes, millions, percent, time};
use super::Source;
use super::markup::{class, escape, legend};

pub(super) fn times(source: &Source<'_>) -> String {
    let steps = &source.report.steps;
    let all = source.report.totals.predicted_ms;
    let sum =
        |range: std::ops::Range<usize>| steps[range].iter().map(|step| step.cost.predicted_ms).sum::<f64>();
    let most = source.stages.iter().map(|stage| sum(stage.steps.clone())).fold(f64::MIN_POSITIVE, f64::max);

    let mut html = legend() + "<div class=\"scroll\"><table class=\"bars\">\n";
    for stage in &source.stages {
        let whole = sum(stage.steps.clone());
        // Writing to a string can't fail.
        let _ = write!(html, "<tr><th>{}</th><td class=\"bar\">", escape(&stage.name));
        let mut parts: BTreeMap<&str, f64> = BTreeMap::new();
        for step in &steps[stage.steps.clone()] {
            *parts.entry(class(step.op)).or_default() += step.cost.predicted_ms;
        }
        for (class, ms) in parts {
            let hint = format!("{class}: {}, {} of all", time(ms), percent(ms, all));
            let width = 100.0 * ms / most;
            let _ = write!(html, "<i class=\"{class}\" style=\"width:{width:.2}%\" title=\"{hint}\"></i>");
        }
        let _ = writeln!(html, "</td><td>{}</td><td>{}</td></tr>", time(whole), percent(whole, all));
    }
    let _ = writeln!(html, "<tr><th>all</th><td></td><td>{}</td><td></td></tr>\n</table></div>", time(all));
    html + &table(source, all)
}

fn table(source: &Source<'_>, all: f64) -> String {
    let steps = &source.report.steps;
    let mut html =
        format!("<details><summary>all {} steps</summary>\n<div class=\"scroll\"><table>\n", steps.len());
    html += "<thead><tr><th>step</th><th>module</th><th>op</th><th>weights in</th><th>out</th><th>multiply-adds</th><th>weights</th>\
             <th>predicted</th><th>share</th></tr></thead>\n";
    for (i, step) in steps.iter().enumerate() {
        let (cost, [rows, cols]) = (step.cost, step.out);
        let multiply_adds = if cost.multiply_adds > 0 { millions(cost.multiply_adds) } else { String::new() };
        let weights = if cost.weight_bytes > 0 { bytes(cost.weight_bytes) } else { String::new() };
        // Writing to a string can't fail.
        let _ = writeln!(
            html,
            "<tr><td>{i}</td><th>{}</th><th>{}</th><th>{}</th><td>{rows}×{cols}</td><td>{multiply_adds}</td><td>{weights}</td>\
             <td>{}</td><td>{}</td></tr>",
            escape(&step.name),
            step.op,
            step.precision.unwrap_or_default(),
            time(cost.predicted_ms),
            percent(cost.predicted_ms, all)
        );
    }
    html + "</table></div></details>\n"
}
