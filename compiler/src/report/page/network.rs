//! The network as boxes and arrows: a row for each block. May import: `report`, the rest of `page`; far-format.

use far_format::plan::{Dim, Port, StepOp};

use super::super::units::time;
use super::Source;
use super::markup::{class, clip, legend, line, rect, svg, text};
use super::stage::short;

const LABEL: f64 = 120.0;
const BOX: [f64; 2] = [118.0, 50.0];
const GAP: [f64; 2] = [18.0, 24.0];
/// What arrows end with.
const HEAD: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" \
    markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n";
/// Boxes in a row; more go on below.
const IN_A_ROW: usize = 8;

pub(super) fn network(source: &Source<'_>) -> String {
    let mut out = HEAD.to_owned();
    let width = LABEL + IN_A_ROW as f64 * (BOX[0] + GAP[0]);
    let mut y = 4.0;
    let left = |column: usize| LABEL + column as f64 * (BOX[0] + GAP[0]);
    let mut end: Option<[f64; 2]> = None; // where the arrow to the next box begins
    ports(&mut out, &source.plan.inputs, "in", &mut y, &mut end);
    for stage in &source.stages {
        text(&mut out, "label", [LABEL - 14.0, y + 30.0], &clip(&stage.name, 17));
        for (i, index) in stage.steps.clone().enumerate() {
            let column = i % IN_A_ROW;
            if i > 0 && column == 0 {
                y += BOX[1] + GAP[1];
            }
            let (x, step) = (left(column), &source.report.steps[index]);
            let [rows, cols] = step.out;
            let precision = step.precision.unwrap_or_default();
            let ms = time(step.cost.predicted_ms);
            let full = format!("{}: {} {precision}, {rows}×{cols}, {ms}", step.name, step.op);
            arrow(&mut out, end, [x, y], column > 0);
            rect(&mut out, class(step.op), [x, y, BOX[0], BOX[1]], &full);
            text(&mut out, "name", [x + 7.0, y + 15.0], &clip(short(stage, &step.name), 17));
            let residual = matches!(&source.plan.steps[index].op, StepOp::Gemm(g) if g.residual.is_some());
            let op = format!("{} {rows}×{cols}{}", step.op, if residual { " ⊕" } else { "" });
            text(&mut out, "small", [x + 7.0, y + 30.0], &clip(&op, 21));
            text(&mut out, "small", [x + 7.0, y + 43.0], format!("{ms} {precision}").trim_end());
            end = Some([x + BOX[0], y + BOX[1] / 2.0]);
        }
        y += BOX[1] + GAP[1];
    }
    ports(&mut out, &source.plan.outputs, "out", &mut y, &mut end);
    legend() + &svg(width, y, "the steps of the network", &out)
}

/// From the end of a box to the beginning of the next: straight in a row, else around.
fn arrow(out: &mut String, from: Option<[f64; 2]>, [x, y]: [f64; 2], same_row: bool) {
    let Some([from_x, from_y]) = from else { return };
    let (top, middle) = (y - GAP[1] / 2.0, x + 18.0);
    match same_row {
        true => line(out, "arrow", &[[from_x, from_y], [x, from_y]]),
        false => {
            let turn = from_x + GAP[0] / 2.0;
            line(out, "arrow", &[[from_x, from_y], [turn, from_y], [turn, top], [middle, top], [middle, y]]);
        }
    }
}

fn ports(out: &mut String, ports: &[Port], side: &str, y: &mut f64, end: &mut Option<[f64; 2]>) {
    for port in ports {
        let dims: Vec<String> = port.dims.iter().map(Dim::to_string).collect();
        let words = format!("{} {} [{}]", port.name, port.dtype, dims.join(", "));
        text(out, "label", [LABEL - 14.0, *y + 17.0], side);
        if side == "out" {
            arrow(out, *end, [LABEL, *y], false);
        }
        rect(out, "port", [LABEL, *y, 300.0, 26.0], &words);
        text(out, "name", [LABEL + 10.0, *y + 17.0], &clip(&words, 48));
        if side == "in" {
            *end = Some([LABEL + 300.0, *y + 13.0]);
        }
        *y += 26.0 + GAP[1];
    }
}
