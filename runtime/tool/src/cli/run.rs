//! `far run`: files in, files out. May import: `far_tool`.

use far_tool::Result;
use far_tool::run::{self, Files};

use super::Reply;
use super::args::Args;

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let (mut session, load) = args.open()?;
    let files = Files { inputs: &args.inputs, images: &args.images, outputs: &args.outputs, top: args.top };
    let report = run::run(&mut session, load, &files, args.bench.size)?;
    Ok(Reply::good(if args.json { format!("{}\n", report.json()) } else { report.text() }))
}
