//! `farc bench`: how long an artifact takes. May import: `profile`; far-engine, far-tool.

use std::ffi::OsString;
use std::path::PathBuf;

use far_engine::SessionOptions;
use far_tool::bench::{self, Options, Report};
use farc::error::{Error, ErrorKind, Result};

use super::profile::Profile;
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
    /// CPUs to keep the threads on, one each: 0,2 or 4-7
    #[arg(long, value_name = "LIST")]
    cpu: Option<OsString>,
    /// Where the time goes too, step by step, beside what was predicted
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
        if let Some(cpus) = &args.cpu {
            arguments.extend(["--cpu".into(), cpus.clone()]);
        }
        for (option, wanted) in [("--profile", args.profile), ("--json", json)] {
            arguments.extend(wanted.then(|| option.into()));
        }
        return foreign::run(&header, &arguments).map(Reply::Exit);
    }
    let cpus = args.cpu.as_deref().map_or(Ok(Vec::new()), bench::cpus).map_err(tool_error)?;
    bench::keep_caller(&cpus).map_err(tool_error)?;
    let (threads, profile) = (args.session.threads, args.profile);
    let session = SessionOptions { threads, profile, cpus: cpus.clone(), ..SessionOptions::default() };
    let (mut session, load) = open(&args.artifact, &session)?;
    let options = Options { runs: args.runs, warmup: args.warmup, size: args.size.size(), cpus };
    let times = bench::run(&mut session, &options).map_err(tool_error)?;
    let mut report = Report::new(&session, &options, times, load);
    let profile = args.profile.then(|| Profile::new(&session, &report)).flatten();
    if json {
        return Ok(Reply::Text(with_profile(&report.json().to_string(), profile.as_ref())?));
    }
    let Some(profile) = profile else { return Ok(Reply::Text(report.text())) };
    // The table says the same, and more.
    report.steps.clear();
    Ok(Reply::Text(format!("{}\n{}", report.text(), profile.text())))
}

/// The report with one more member, `profile`, where there is one.
fn with_profile(report: &str, profile: Option<&Profile>) -> Result<String> {
    let Some(profile) = profile else { return Ok(format!("{report}\n")) };
    let json =
        |error: serde_json::Error| Error::new(ErrorKind::Internal, format!("a report is not JSON: {error}"));
    let mut report: serde_json::Value = serde_json::from_str(report).map_err(json)?;
    report["profile"] = serde_json::to_value(profile).map_err(json)?;
    Ok(format!("{report}\n"))
}
