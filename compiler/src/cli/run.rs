//! `farc run`: an artifact on files of numbers, here or under QEMU. May import: far-engine, far-tool.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use far_engine::{Model, Session, SessionOptions};
use far_tool::batch::Size;
use far_tool::run::Files;
use farc::error::Result;

use super::{Reply, foreign, tool_error};

/// Run an artifact on pictures or .npy files, under QEMU if it is for another architecture
#[derive(clap::Args)]
pub(super) struct Args {
    /// The artifact
    #[arg(value_name = "ARTIFACT.far")]
    artifact: PathBuf,
    /// An input: .npy (f32, i32 or i64), or bare little-endian elements under any other name; without NAME in order of the
    /// model's inputs. A leading dimension that is a multiple of the model's is run part by part
    #[arg(long, value_name = "[NAME=]FILE", required_unless_present = "image")]
    input: Vec<OsString>,
    /// A picture (JPEG, PNG, PGM, PPM) for the input that the model's metadata name; may be given several times
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// How many of a picture's likeliest classes are told
    #[arg(long, value_name = "N", default_value_t = Files::default().top)]
    top: usize,
    /// Where an output goes, as .npy; outputs without a file are not written
    #[arg(long, value_name = "[NAME=]FILE")]
    output: Vec<OsString>,
    #[command(flatten)]
    size: SizeArgs,
    #[command(flatten)]
    session: SessionArgs,
}

/// How large a call is, where that varies.
#[derive(clap::Args)]
pub(super) struct SizeArgs {
    /// Elements of a call; by default as many as there are and the model takes, to time it one
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Tokens of an element, where their number varies; by default what the inputs' shapes say, to time it the most
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
}

impl SizeArgs {
    pub(super) fn size(&self) -> Size {
        Size { batch: self.batch, tokens: self.tokens }
    }

    /// As the board's command takes them.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let options = [("--batch", self.batch), ("--tokens", self.tokens)];
        let given = options.into_iter().filter_map(|(option, n)| Some([option.to_owned(), n?.to_string()]));
        given.flatten().map(OsString::from).collect()
    }
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
        for image in &args.image {
            arguments.extend(["--image".into(), image.clone().into()]);
        }
        arguments.extend(["--top".into(), args.top.to_string().into()]);
        for output in &args.output {
            arguments.extend(["--output".into(), output.clone()]);
        }
        arguments.extend(args.size.arguments());
        arguments.extend(["--threads".into(), args.session.threads.to_string().into()]);
        if json {
            arguments.push("--json".into());
        }
        return foreign::run(&header, &arguments).map(Reply::Exit);
    }
    let options = SessionOptions { threads: args.session.threads, ..SessionOptions::default() };
    let (mut session, load) = open(&args.artifact, &options)?;
    let files = Files { inputs: &args.input, images: &args.image, outputs: &args.output, top: args.top };
    let report = far_tool::run::run(&mut session, load, &files, args.size.size()).map_err(tool_error)?;
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
