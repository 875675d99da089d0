//! A picture of what is kept: a row for each block, a cell for each head and direction and for the MLP. SVG without
//! fonts, scripts or links of its own. May import: `report`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{Part, Report, Row};

const CELL: [usize; 2] = [38, 24];
const GAP: usize = 10;
const MARGIN: usize = 16;
const TITLE: usize = 44;
const HEADER: usize = 40;
const FOOTER: usize = 52;
/// Width of a character of the labels, roughly.
const CHARACTER: usize = 7;

/// Nothing kept, and everything.
const LIGHT: [u8; 3] = [0xf2, 0xf5, 0xf9];
const DARK: [u8; 3] = [0x08, 0x45, 0x94];

/// Columns of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Head(usize, &'static str),
    Mlp(usize),
}

/// The picture.
pub fn svg(report: &Report) -> String {
    let mut cells: BTreeMap<(usize, Column), &Row> = BTreeMap::new();
    let mut blocks: Vec<&str> = Vec::new();
    for row in &report.rows {
        if blocks.last() != Some(&row.block.as_str()) {
            blocks.push(&row.block);
        }
        let block = blocks.len() - 1;
        let column = match (row.part, row.head, row.direction) {
            (Part::Mixer, Some(head), Some(direction)) => Column::Head(head, direction),
            _ => {
                Column::Mlp(cells.keys().filter(|(b, c)| *b == block && matches!(c, Column::Mlp(_))).count())
            }
        };
        cells.insert((block, column), row);
    }
    let mut columns: Vec<Column> = cells.keys().map(|(_, column)| *column).collect();
    columns.sort_unstable();
    columns.dedup();

    let label = blocks.iter().map(|block| block.chars().count()).max().unwrap_or(0) * CHARACTER + GAP;
    let lefts = lefts(&columns, MARGIN + label);
    let (top, right) = (MARGIN + TITLE + HEADER, lefts.last().map_or(MARGIN, |left| left + CELL[0]));
    let title = format!("hidden units kept: {} of {}", report.kept, report.units);
    let work = work(report);
    let width = (right + MARGIN).max(2 * MARGIN + work.chars().count() * CHARACTER);
    let height = top + blocks.len() * CELL[1] + FOOTER;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(&mut svg, [MARGIN, MARGIN + 14], "font-size=\"15\" font-weight=\"bold\"", &title);
    text(&mut svg, [MARGIN, MARGIN + 34], "fill=\"#555\"", &work);
    header(&mut svg, &columns, &lefts, top);
    for (i, block) in blocks.iter().enumerate() {
        let at = [MARGIN + label - GAP, top + i * CELL[1] + 16];
        text(&mut svg, at, "text-anchor=\"end\"", block);
    }
    for ((block, column), row) in &cells {
        let left = columns.binary_search(column).map_or(MARGIN, |i| lefts[i]);
        cell(&mut svg, [left, top + block * CELL[1]], row);
    }
    legend(&mut svg, [MARGIN + label, top + blocks.len() * CELL[1] + 18]);
    svg + "</svg>\n"
}

/// What the model costs, in one line.
fn work(report: &Report) -> String {
    format!(
        "{}{:.2} M parameters, {:.1} M multiply-adds; before {:.2} M and {:.1} M",
        if report.model.is_empty() { String::new() } else { format!("{}: ", report.model) },
        report.after.parameters as f64 / 1e6,
        report.after.multiply_adds as f64 / 1e6,
        report.before.parameters as f64 / 1e6,
        report.before.multiply_adds as f64 / 1e6,
    )
}

/// Where each column begins: heads stand apart, and so does the MLP.
fn lefts(columns: &[Column], first: usize) -> Vec<usize> {
    let mut left = first;
    let mut lefts = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            let together =
                matches!((columns[i - 1], column), (Column::Head(a, _), Column::Head(b, _)) if a == *b);
            left += CELL[0] + if together { 0 } else { GAP };
        }
        lefts.push(left);
    }
    lefts
}

fn header(svg: &mut String, columns: &[Column], lefts: &[usize], top: usize) {
    for (column, left) in columns.iter().zip(lefts) {
        let middle = left + CELL[0] / 2;
        let centred = "text-anchor=\"middle\" fill=\"#555\"";
        match column {
            Column::Head(head, direction) => {
                let arrow = if *direction == "forward" { "→" } else { "←" };
                text(svg, [middle, top - 7], centred, arrow);
                let first = columns.iter().position(|c| matches!(c, Column::Head(h, _) if h == head));
                if first.is_some_and(|first| columns[first] == *column) {
                    text(svg, [*left, top - 23], "fill=\"#555\"", &format!("head {head}"));
                }
            }
            Column::Mlp(_) => text(svg, [middle, top - 7], centred, "MLP"),
        }
    }
}

fn cell(svg: &mut String, [x, y]: [usize; 2], row: &Row) {
    let share = row.kept as f64 / row.of.max(1) as f64;
    let part = match (row.head, row.direction) {
        (Some(head), Some(direction)) => format!("head {head}, {direction}"),
        _ => "MLP".into(),
    };
    let tip = format!("{}, {part}: {} of {} kept", row.block, row.kept, row.of);
    let ink = match (row.kept, share > 0.5) {
        (0, _) => "#b03030",
        (_, true) => "white",
        (_, false) => "#222",
    };
    let _ = writeln!(
        svg,
        "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\" stroke=\"white\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ink}\">{}</text></g>",
        escaped(&tip),
        CELL[0],
        CELL[1],
        colour(share),
        x + CELL[0] / 2,
        y + 16,
        row.kept
    );
}

fn legend(svg: &mut String, [x, y]: [usize; 2]) {
    const STEPS: usize = 10;
    for step in 0..=STEPS {
        let fill = colour(step as f64 / STEPS as f64);
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{y}\" width=\"14\" height=\"12\" fill=\"{fill}\"/>",
            x + step * 14
        );
    }
    let end = x + (STEPS + 1) * 14;
    text(svg, [x, y + 26], "fill=\"#555\" font-size=\"11\"", "none");
    text(svg, [end, y + 26], "text-anchor=\"end\" fill=\"#555\" font-size=\"11\"", "all");
    text(svg, [end + GAP, y + 11], "fill=\"#555\" font-size=\"11\"", "share of the units that are kept");
}

fn colour(share: f64) -> String {
    let mix = |light: u8, dark: u8| {
        (f64::from(light) + share.clamp(0.0, 1.0) * (f64::from(dark) - f64::from(light))).round() as u8
    };
    let [r, g, b] = [0, 1, 2].map(|i| mix(LIGHT[i], DARK[i]));
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn text(svg: &mut String, [x, y]: [usize; 2], attributes: &str, content: &str) {
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {attributes}>{}</text>", escaped(content));
}

/// Names come from the model: they must not become markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
