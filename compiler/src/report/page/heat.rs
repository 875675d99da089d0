//! Hidden units left, as a map of colours: a row for each block, a column for each head and direction.
//! May import: `report`, the rest of `page`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::super::Report;
use super::markup::escape;

pub(super) fn heat(report: &Report) -> String {
    let mut nodes: Vec<&str> = Vec::new();
    let mut cells: BTreeMap<(usize, usize, &str), usize> = BTreeMap::new();
    for kept in &report.kept {
        // Units of a node follow each other.
        if nodes.last() != Some(&kept.node.as_str()) {
            nodes.push(&kept.node);
        }
        *cells.entry((nodes.len() - 1, kept.head, kept.direction)).or_default() += kept.hidden;
    }
    let columns: BTreeSet<(usize, &str)> =
        cells.keys().map(|(_, head, direction)| (*head, *direction)).collect();
    let heads: BTreeSet<usize> = columns.iter().map(|(head, _)| *head).collect();
    // What each had on average before: exporters may hide the heads inside of one large LSTM.
    let before = report.imported.hidden_units.div_ceil(report.compiled.recurrences.max(1));
    let most = before.max(cells.values().copied().max().unwrap_or(0)).max(1);

    let mut html = "<div class=\"scroll\"><table class=\"heat\">\n<thead><tr><th></th>".to_owned();
    for head in heads {
        let span = columns.iter().filter(|(other, _)| *other == head).count();
        // Writing to a string can't fail.
        let _ = write!(html, "<th colspan=\"{span}\">head {head}</th>");
    }
    html += "<th>sum</th></tr>\n<tr><th></th>";
    for (_, direction) in &columns {
        html += if *direction == "forward" { "<th>→</th>" } else { "<th>←</th>" };
    }
    html += "<th></th></tr></thead>\n<tbody>\n";
    for (row, node) in nodes.iter().enumerate() {
        let _ = write!(html, "<tr><th>{}</th>", escape(node));
        let mut sum = 0;
        for (head, direction) in &columns {
            let hidden = cells.get(&(row, *head, direction)).copied().unwrap_or(0);
            sum += hidden;
            // Whole percents, so that the page doesn't depend on how floats are printed.
            let (part, dark) = (100 * hidden / most, if 2 * hidden > most { " class=\"dark\"" } else { "" });
            let _ = write!(
                html,
                "<td{dark} style=\"--part:{part}%\" title=\"{}, head {head}, {direction}: {hidden} of {most}\">{hidden}</td>",
                escape(node)
            );
        }
        let _ = writeln!(html, "<td class=\"sum\">{sum}</td></tr>");
    }
    let _ = writeln!(
        html,
        "</tbody>\n</table></div>\n<p class=\"about\">full colour: {most} units, what each had before pruning; → forward in time, ← backward</p>"
    );
    html
}
