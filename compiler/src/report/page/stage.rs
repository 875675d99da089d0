//! Steps that belong together: those of a block. May import: `report`.

use std::ops::Range;

use super::super::Report;

/// Steps in a row of one block, or of one module outside of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Path of the block.
    pub(super) name: String,
    /// Which steps.
    pub(super) steps: Range<usize>,
}

/// All steps of the report.
pub(super) fn stages(report: &Report) -> Vec<Stage> {
    of(report.steps.iter().map(|step| step.name.as_str()))
}

fn of<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (i, name) in names.enumerate() {
        let name = block(name);
        match stages.last_mut() {
            Some(last) if last.name == name => last.steps.end = i + 1,
            _ => stages.push(Stage { name: name.to_owned(), steps: i..i + 1 }),
        }
    }
    stages
}

/// The path up to its first number, else its first part.
fn block(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        let number = part.parse::<u32>().is_ok();
        end += part.len() + usize::from(end > 0);
        if number {
            return &name[..end];
        }
    }
    name.split('.').next().unwrap_or(name)
}

/// What is left of a step's name inside its stage.
pub(super) fn short<'a>(stage: &Stage, name: &'a str) -> &'a str {
    name.strip_prefix(&stage.name)
        .map(|rest| rest.trim_start_matches('.'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_block_are_together() {
        let names =
            ["patch.patches", "patch", "blocks.0.norm1", "blocks.0.mlp.fc1", "blocks.1.norm1", ".x", "h"];
        let stages = of(names.into_iter());
        let found: Vec<_> = stages.iter().map(|stage| (stage.name.as_str(), stage.steps.len())).collect();
        assert_eq!(found, [("patch", 2), ("blocks.0", 2), ("blocks.1", 1), ("", 1), ("h", 1)]);
        assert_eq!([short(&stages[1], names[3]), short(&stages[0], names[1])], ["mlp.fc1", "patch"]);
    }
}
