//! `far bench`: how long a model takes. May import: `far_tool`.

use far_tool::Result;
use far_tool::bench::{self, Report};

use super::Reply;
use super::args::Args;

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let (mut session, load) = args.open()?;
    let times = bench::run(&mut session, &args.bench)?;
    let report = Report::new(&session, &args.bench, times, load);
    Ok(Reply::good(if args.json { format!("{}\n", report.json()) } else { report.text() }))
}
