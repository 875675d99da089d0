//! Tables and JSON. May import: `count`, `error`, `goals`, `mca`.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::count::Counts;
use super::goals::Goal;
use super::mca::Prediction;
use crate::error::{Error, Result};

/// What an image of a model costs in a place.
pub(crate) struct Image {
    pub(crate) model: String,
    pub(crate) place: String,
    pub(crate) counts: Counts,
    pub(crate) goal: Option<&'static Goal>,
    pub(crate) loops: Vec<Loop>,
}

/// A loop in which instructions are spent.
#[derive(serde::Serialize)]
pub(crate) struct Loop {
    pub(crate) function: String,
    /// Of the image's instructions.
    pub(crate) share: f64,
    pub(crate) insns: usize,
    pub(crate) multiply_adds: usize,
    pub(crate) vector_loads: usize,
    /// The rest, by name and number.
    pub(crate) others: BTreeMap<String, usize>,
    pub(crate) cores: Vec<Prediction>,
}

/// Functions with less than this part of the instructions are not shown.
const LEAST_SHARE: f64 = 0.005;

/// For people.
pub(crate) fn tables(images: &[Image]) -> String {
    let header = ["model", "cpu", "instructions, M", "onnxruntime, M", "times fewer", "goal", "where"];
    let mut counted = new(&header, &[2, 3, 4, 5]);
    for image in images {
        let mut functions: Vec<_> = by_kernel(&image.counts.functions).into_iter().collect();
        functions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let share = |count: u64| count as f64 / image.counts.total as f64;
        let parts = functions.iter().filter(|(_, count)| share(*count) >= LEAST_SHARE);
        let parts: Vec<_> =
            parts.map(|(name, count)| format!("{name} {:.1} %", 100.0 * share(*count))).collect();
        counted.add_row([
            image.model.clone(),
            image.place.clone(),
            format!("{:.1}", image.millions()),
            shown(image.goal, |goal| Some(goal.onnxruntime.to_string())),
            shown(image.goal, |goal| Some(format!("{:.2}", goal.onnxruntime as f64 / image.millions()))),
            shown(image.goal, |goal| goal.times_fewer.map(|times| times.to_string())),
            parts.join(", "),
        ]);
    }
    let mut predicted = new(
        &["loop", "core", "of the image", "multiply-adds", "loads", "others", "cycles", "of limit"],
        &[2, 3, 4, 6, 7],
    );
    let mut seen = Vec::new();
    for image in images {
        for found in &image.loops {
            for core in &found.cores {
                let row = [
                    found.function.clone(),
                    core.core.to_owned(),
                    found.multiply_adds.to_string(),
                    found.vector_loads.to_string(),
                    others(found),
                    format!("{:.1}", core.cycles),
                    format!("{:.0} %", 100.0 * core.of_limit()),
                ];
                // The same loop serves many models: it is shown where it is met first.
                if !seen.contains(&row) {
                    let [function, name, rest @ ..] = row.clone();
                    let share = format!("{:.1} %", 100.0 * found.share);
                    predicted.add_row([function, name, share].into_iter().chain(rest));
                    seen.push(row);
                }
            }
        }
    }
    format!(
        "Counted under QEMU, instructions of one image:\n\n{counted}\n\nPredicted by llvm-mca, the loops where they are \
         spent, an iteration each:\n\n{predicted}"
    )
}

impl Image {
    fn millions(&self) -> f64 {
        self.counts.total as f64 / 1e6
    }
}

/// Something of a goal, where there is one.
fn shown(goal: Option<&Goal>, text: impl Fn(&Goal) -> Option<String>) -> String {
    goal.and_then(text).unwrap_or_else(|| "–".to_owned())
}

/// `7 add, b.ls, cmp`.
fn others(found: &Loop) -> String {
    let parts = found.others.iter().map(|(name, count)| match count {
        1 => name.clone(),
        _ => format!("{count} {name}"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// For programs.
pub(crate) fn json(target: &str, dtype: &str, images: &[Image]) -> Result<String> {
    let image = |image: &Image| {
        serde_json::json!({
            "model": image.model,
            "cpu": image.place,
            "instructions": image.counts.total,
            "goal": image.goal,
            "functions": by_kernel(&image.counts.functions),
            "loops": image.loops,
        })
    };
    let value = serde_json::json!({ "target": target, "dtype": dtype, "images": images.iter().map(image).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&value).map_err(|error| Error::Unexpected(error.to_string()))
}

fn new(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header.iter().copied());
    for (i, column) in table.column_iter_mut().enumerate() {
        if numbers.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Sums over the functions of a kernel: those of one last name, as far as symbols tell.
fn by_kernel(functions: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (symbol, count) in functions {
        *sums.entry(last_name(symbol)).or_default() += count;
    }
    sums
}

/// `_ZN11far_kernels4neon4lstm17h088390fa47f392a3E.llvm.9` → `lstm`; anything else as it is.
fn last_name(symbol: &str) -> String {
    let Some(mut rest) = symbol.strip_prefix("_ZN") else { return symbol.to_owned() };
    let mut last = symbol;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(len) = rest[..digits].parse::<usize>() else { break };
        let Some(name) = rest.get(digits..digits + len) else { break };
        if len == 17 && name.starts_with('h') {
            break;
        }
        last = name;
        rest = &rest[digits + len..];
    }
    last.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_shortened() {
        assert_eq!(last_name("_ZN11far_kernels4neon4lstm17h088390fa47f392a3E.llvm.9865"), "lstm");
        assert_eq!(last_name("far_rvv_gemm_m4"), "far_rvv_gemm_m4");
        assert_eq!(last_name("_ZN4odd"), "_ZN4odd");
    }
}
