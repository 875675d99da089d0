//! `far run`: files in, files out. May import: `far_tool`.

use far_tool::{Result, run};

use super::args::Args;

pub(crate) fn run(args: &Args) -> Result<String> {
    let (mut session, load) = args.open()?;
    let report = run::run(&mut session, load, &args.inputs, &args.outputs, args.bench.size)?;
    Ok(if args.json { format!("{}\n", report.json()) } else { report.text() })
}
