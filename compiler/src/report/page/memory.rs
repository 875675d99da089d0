//! The arena over time: a rectangle for each value, from the step that writes it to the last one that reads it.
//! May import: `report`, the rest of `page`, `schedule`; far-format.

use far_format::layout::attention_work_bytes;
use far_format::plan::{Place, StepOp};

use super::super::units::bytes;
use super::Source;
use super::markup::{class, clip, line, rect, svg, text};
use crate::schedule::operands;

const LEFT: f64 = 84.0;
const WIDTH: f64 = 1060.0;
const HEIGHT: f64 = 260.0;

/// A value in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    offset: u64,
    bytes: u64,
    /// First and last step that touch it.
    live: (usize, usize),
}

pub(super) fn memory(source: &Source<'_>) -> String {
    let (plan, steps) = (source.plan, source.plan.steps.len().max(1));
    if plan.arena_bytes == 0 {
        return "<p>This model needs no arena.</p>\n".into();
    }
    let areas = areas(source);
    let across = |step: usize| LEFT + (WIDTH - LEFT) * step as f64 / steps as f64;
    let up = |byte: u64| HEIGHT - (HEIGHT - 10.0) * byte as f64 / plan.arena_bytes as f64;
    let mut out = String::new();
    for quarter in 0..=4 {
        let (byte, [left, right]) = (plan.arena_bytes * quarter / 4, [LEFT, WIDTH]);
        line(&mut out, "grid", &[[left, up(byte)], [right, up(byte)]]);
        text(&mut out, "axis", [LEFT - 8.0, up(byte) + 4.0], &bytes(byte));
    }
    for area in &areas {
        let (first, last) = area.live;
        let step = &source.report.steps[first];
        let size = [across(first), up(area.offset + area.bytes), across(last + 1), up(area.offset)];
        let hint = format!(
            "{}: {} at byte {}, steps {first} to {last} ({})",
            step.name,
            bytes(area.bytes),
            area.offset,
            source.report.steps[last].name
        );
        let [x, y, right, bottom] = size;
        rect(&mut out, class(step.op), [x, y, right - x, bottom - y], &hint);
        // A name where there is room for some of it.
        let room = ((right - x - 8.0) / 6.2) as usize;
        if room >= 6 && bottom - y >= 16.0 {
            let name = step.name.rsplit('.').next().unwrap_or(&step.name);
            text(&mut out, "small", [x + 4.0, y + 12.0], &clip(name, room));
        }
    }
    for stage in &source.stages {
        let x = across(stage.steps.start);
        line(&mut out, "grid", &[[x, HEIGHT], [x, HEIGHT + 6.0]]);
        // Names where there is room for them.
        if across(stage.steps.end) - x > 7.0 * stage.name.chars().count() as f64 {
            text(&mut out, "small", [x + 3.0, HEIGHT + 16.0], &stage.name);
        }
    }
    let busiest = (0..steps).map(|step| live_bytes(&areas, step)).max().unwrap_or(0);
    svg(WIDTH, HEIGHT + 24.0, "the arena over time", &out)
        + &format!(
            "<p class=\"about\">{} of arena; at most {} of values live at once</p>\n",
            bytes(plan.arena_bytes),
            bytes(busiest)
        )
}

/// Bytes of the arena that values take during a step, each byte once.
fn live_bytes(areas: &[Area], step: usize) -> u64 {
    let live = areas.iter().filter(|area| (area.live.0..=area.live.1).contains(&step));
    let mut spans: Vec<(u64, u64)> = live.map(|area| (area.offset, area.offset + area.bytes)).collect();
    spans.sort_unstable();
    let (mut sum, mut end) = (0, 0);
    for (from, to) in spans {
        sum += to.saturating_sub(end.max(from));
        end = end.max(to);
    }
    sum
}

fn areas(source: &Source<'_>) -> Vec<Area> {
    let plan = source.plan;
    let mut live: Vec<Option<(usize, usize)>> = vec![None; plan.tensors.len()];
    let mut areas = Vec::new();
    for (i, step) in plan.steps.iter().enumerate() {
        for operand in operands(&step.op) {
            let slot = &mut live[operand.tensor as usize];
            *slot = Some((slot.map_or(i, |(first, _)| first), i));
        }
        if let StepOp::Attention(attention) = &step.op {
            let (rows, cols) = (attention.q.rows as usize, attention.q.cols as usize);
            let heads = attention.heads as usize;
            let bytes = attention_work_bytes(rows, heads, cols / heads.max(1)) as u64;
            areas.push(Area { offset: attention.work, bytes, live: (i, i) });
        }
    }
    for (tensor, live) in plan.tensors.iter().zip(live) {
        if let (Place::Arena(offset), Some(live)) = (tensor.place, live) {
            let elements = u64::from(tensor.rows - 1) * u64::from(tensor.stride) + u64::from(tensor.cols);
            areas.push(Area { offset, bytes: 4 * elements, live });
        }
    }
    // The largest first, so that what is drawn later stays visible.
    areas.sort_by_key(|area| (std::cmp::Reverse(area.bytes), area.offset, area.live));
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_two_values_share_count_once() {
        let area = |offset, bytes, first, last| Area { offset, bytes, live: (first, last) };
        let areas = [area(0, 128, 0, 1), area(64, 128, 1, 2), area(512, 64, 2, 2)];
        assert_eq!([0, 1, 2, 3].map(|step| live_bytes(&areas, step)), [128, 192, 192, 0]);
    }
}
