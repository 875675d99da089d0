//! `farc run`: an artifact on files of numbers, here or under QEMU. May import: far-engine, far-tool.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use far_engine::{Model, Session, SessionOptions};
use far_tool::batch::Size;
use farc::error::Result;

use super::{Reply, foreign, tool_error};

/// Run an artifact on .npy files, under QEMU if it is for another architecture
#[derive(clap::Args)]
pub(super) struct Args {
    /// The artifact
    #[arg(value_name = "ARTIFACT.far")]
    artifact: PathBuf,
    /// An input: .npy (f32), or bare little-endian f32 under any other name; without NAME in order of the model's
    /// inputs. A leading dimension that is a multiple of the model's is run part by part
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    input: Vec<OsString>,
    /// Where an output goes, as .npy; outputs without a file are not written
    #[arg(long, value_name = "[NAME=]FILE")]
    output: Vec<OsString>,
    #[command(flatten)]
    session: SessionArgs,
}

/// How a session runs.
#[derive(clap::Args)]
pub(super) struct SessionArgs {
    /// Threads to use; 0 is one on each CPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) threads: usize,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let header = foreign::header(&args.artifact)?;
    if foreign::is_foreign(&header) {
        let mut arguments = vec!["run".into(), args.artifact.clone().into()];
        for input in &args.input {
            arguments.extend(["--input".into(), input.clone()]);
        }
        for output in &args.output {
            arguments.extend(["--output".into(), output.clone()]);
        }
        arguments.extend(["--threads".into(), args.session.threads.to_string().into()]);
        if json {
            arguments.push("--json".into());
        }
        return foreign::run(&header, &arguments).map(Reply::Exit);
    }
    let options = SessionOptions { threads: args.session.threads, ..SessionOptions::default() };
    let (mut session, load) = open(&args.artifact, &options)?;
    let report = far_tool::run::run(&mut session, load, &args.input, &args.output, Size::default())
        .map_err(tool_error)?;
    Ok(Reply::Text(if json { format!("{}\n", report.json()) } else { report.text() }))
}

/// Opens an artifact for this machine; and how long that and its session took.
pub(super) fn open(path: &std::path::Path, options: &SessionOptions) -> Result<(Session, Duration)> {
    let start = Instant::now();
    let session = Model::open(path)
        .and_then(|model| Session::new(model, options))
        .map_err(|e| tool_error(far_tool::Error::Model { path: path.into(), source: Box::new(e) }))?;
    Ok((session, start.elapsed()))
}
