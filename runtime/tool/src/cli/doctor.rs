//! `far doctor`: what this machine is, and whether a model will run on it. May import: `far_tool`.

use far_tool::Result;
use far_tool::doctor::Findings;

use super::Reply;
use super::args::Args;

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let findings = Findings::new()?;
    let verdict = match args.given() {
        Some(path) => Some(findings.judge(path, &super::read(path)?)),
        None => None,
    };
    let text = match args.json {
        true => format!("{}\n", findings.json(verdict.as_ref())),
        false => findings.text(verdict.as_ref()),
    };
    Ok(Reply { text, good: verdict.is_none_or(|verdict| verdict.reasons.is_empty()) })
}
