//! What each rewrite did and saved, and why. May import: `report`, `passes`, the rest of `page`.

use std::fmt::Write;

use super::super::Report;
use super::super::units::{bytes, millions, time};
use super::markup::escape;
use crate::passes::PASSES;

pub(super) fn passes(report: &Report) -> String {
    let mut html =
        "<div class=\"scroll\"><table>\n<thead><tr><th>rewrite</th><th>chosen</th><th>changes</th>\
                    <th>multiply-adds saved</th><th>weights saved</th><th>time saved</th></tr></thead>\n"
            .to_owned();
    for entry in &report.passes.passes {
        let saved = &entry.saved;
        let about = PASSES.iter().find(|pass| pass.name == entry.pass).map_or("", |pass| pass.about);
        let idle = if entry.count == 0 { " class=\"idle\"" } else { "" };
        // Writing to a string can't fail.
        let _ =
            write!(html, "<tr{idle}><th><b>{}</b><br/><small>{}</small>", escape(entry.pass), escape(about));
        if !entry.notes.is_empty() {
            let _ = write!(html, "<details><summary>{} choices</summary><ul>", entry.notes.len());
            entry.notes.iter().for_each(|note| html += &format!("<li>{}</li>", escape(note)));
            html += "</ul></details>";
        }
        let _ = writeln!(
            html,
            "</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            if entry.by_cost { "by cost" } else { "always" },
            entry.count,
            signed(saved.multiply_adds, millions),
            signed(saved.weight_bytes, bytes),
            match saved.predicted_ms {
                0.0 => "0".into(),
                ms if ms < 0.0 => format!("−{}", time(-ms)),
                ms => time(ms),
            }
        );
    }
    let scaling = report.gate_scaling;
    if scaling.multiplications > 0 {
        let _ = writeln!(
            html,
            "<tr><th><b>gate scaling</b><br/><small>multiply the halves of the logistic functions into the weights</small></th>\
             <td>always</td><td></td><td>{}</td><td>0</td><td>{}</td></tr>",
            millions(scaling.multiplications),
            time(scaling.predicted_ms)
        );
    }
    html + "</table></div>\n"
}

fn signed(n: i64, show: fn(u64) -> String) -> String {
    match n {
        0 => "0".into(),
        1.. => show(n.unsigned_abs()),
        _ => format!("−{}", show(n.unsigned_abs())),
    }
}
