//! `farc bench`: how long an artifact takes. May import: far-engine, far-tool.

use std::path::PathBuf;

use far_engine::SessionOptions;
use far_tool::bench::{self, Options, Report};
use farc::error::Result;

use super::run::{SessionArgs, SizeArgs, open};
use super::{Reply, foreign, tool_error};

/// Time an artifact; under QEMU if it is for another architecture, where times mean nothing
#[derive(clap::Args)]
pub(super) struct Args {
    /// The artifact
    #[arg(value_name = "ARTIFACT.far")]
    artifact: PathBuf,
    #[command(flatten)]
    size: SizeArgs,
    #[command(flatten)]
    session: SessionArgs,
    /// Timed runs
    #[arg(long, value_name = "N", default_value_t = Options::default().runs)]
    runs: usize,
    /// Runs before the clock starts
    #[arg(long, value_name = "N", default_value_t = Options::default().warmup)]
    warmup: usize,
    /// The time of each step too
    #[arg(long)]
    profile: bool,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let header = foreign::header(&args.artifact)?;
    if foreign::is_foreign(&header) {
        let mut arguments = vec!["bench".into(), args.artifact.clone().into()];
        for (option, n) in
            [("--threads", args.session.threads), ("--runs", args.runs), ("--warmup", args.warmup)]
        {
            arguments.extend([option.into(), n.to_string().into()]);
        }
        arguments.extend(args.size.arguments());
        for (option, wanted) in [("--profile", args.profile), ("--json", json)] {
            arguments.extend(wanted.then(|| option.into()));
        }
        return foreign::run(&header, &arguments).map(Reply::Exit);
    }
    let threads = args.session.threads;
    let session = SessionOptions { threads, profile: args.profile, ..SessionOptions::default() };
    let (mut session, load) = open(&args.artifact, &session)?;
    let options = Options { runs: args.runs, warmup: args.warmup, size: args.size.size() };
    let times = bench::run(&mut session, options).map_err(tool_error)?;
    let report = Report::new(&session, options, times, load);
    Ok(Reply::Text(if json { format!("{}\n", report.json()) } else { report.text() }))
}
