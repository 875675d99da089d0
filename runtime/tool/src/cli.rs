//! The command line: one file a subcommand; each gives what to print. May import: `far_tool`.

mod args;
mod bench;
mod doctor;
mod info;
mod install;
mod run;
mod verify;

use std::fs;
use std::path::Path;

use far_tool::{Error, Result};
use lexopt::Parser;
use lexopt::prelude::*;

use args::{Args, usage};

const HELP: &str = "\
far: runs compiled models on this machine

Usage:
  far info MODEL.far [--limit NAME=N] [--json]
  far run MODEL.far --image FILE ... [--top N] [--output [NAME=]FILE.npy ...] [--batch N] [--threads N]
          [--key FILE.pub] [--limit NAME=N] [--json]
  far run MODEL.far --input [NAME=]FILE ... [--output [NAME=]FILE.npy ...] [--batch N] [--tokens N] [--threads N]
          [--key FILE.pub] [--limit NAME=N] [--json]
  far bench MODEL.far [--batch N] [--tokens N] [--threads N] [--cpu LIST] [--runs N] [--warmup N] [--profile]
          [--key FILE.pub] [--limit NAME=N] [--json]
  far verify MODEL.far [--golden INPUT.npy ... OUTPUT.npy ...] [--tolerance N] [--threads N]
          [--key FILE.pub] [--limit NAME=N] [--json]
  far doctor [MODEL.far] [--json]
  far install MODEL.far TARGET [--key FILE.pub] [--limit NAME=N] [--json]

Images are JPEG, PNG, PGM or PPM files, each an element of a batch; the model's metadata say which input they are for and how
they become numbers. Other input files are .npy (f32, i32 or i64, little-endian, C order) or, by any other name, bare little-endian numbers of the
input's type. Files without a NAME go to the inputs or outputs in order. An input of more elements than a call can have, or
whose leading dimension is a multiple of the model's, is run part by part, and the outputs are stacked.

  --image FILE  a picture, resized and normalised as the model asks; several make a batch
  --top N       how many of a picture's likeliest classes are told (default 5)
  --batch N     elements of a call; by default as many as there are and the model takes, in `bench` one
  --tokens N    tokens of an element, where their number varies; by default what the inputs' shapes say, in `bench` the most
  --threads N   threads to use; 0, the default, is one on each CPU
  --runs N      timed runs (default 50)
  --warmup N    runs before the clock starts (default 5)
  --cpu LIST    CPUs to keep the threads on, one each: 0,2 or 4-7
  --profile     the time of each step too
  --golden ...  the model's inputs in order, then what its outputs must be; without it only the file is checked
  --tolerance N largest difference that passes, as a part of the reference's range (default 1e-4); 0: the same numbers
  --key FILE    the public key of who must have signed the model; its signatures are in MODEL.far.sig (`farc sign`)
  --limit NAME=N refuse a model of more than N: file-size and arena-size (bytes), tensors, steps, tokens, batch; may be
                repeated
  --json        for programs
  --version     the version of this command
  --help        this text

Environment:
  FAR_ISA       kernels no better than these: scalar, avx2, avx512, neon or rvv; the results' bits are the same

Exit status: 0 success, 1 a problem of the arguments' files or the model, 2 usage or an internal error.
";

const COMMANDS: &str = "command: expected `info`, `run`, `bench`, `verify`, `doctor` or `install`";

/// What a command has to say.
pub(crate) struct Reply {
    /// For standard output.
    pub(crate) text: String,
    /// Whether all is as it should be, which the exit status tells.
    pub(crate) good: bool,
}

impl Reply {
    fn good(text: String) -> Reply {
        Reply { text, good: true }
    }
}

/// Does what the arguments say.
pub(crate) fn run(mut parser: Parser) -> Result<Reply> {
    type Command = fn(&Args) -> Result<Reply>;
    let (command, options): (Command, &[&str]) = match parser.next().map_err(usage)? {
        Some(Value(command)) => match command.to_str() {
            Some("info") => (info::run, &["MODEL.far", "limit"]),
            Some("run") => (
                run::run,
                &[
                    "MODEL.far",
                    "input",
                    "image",
                    "top",
                    "output",
                    "batch",
                    "tokens",
                    "threads",
                    "key",
                    "limit",
                ],
            ),
            Some("bench") => (
                bench::run,
                &[
                    "MODEL.far",
                    "batch",
                    "tokens",
                    "threads",
                    "cpu",
                    "runs",
                    "warmup",
                    "profile",
                    "key",
                    "limit",
                ],
            ),
            Some("verify") => (verify::run, &["MODEL.far", "golden", "tolerance", "threads", "key", "limit"]),
            Some("doctor") => (doctor::run, &["MODEL.far", "optional"]),
            Some("install") => (install::run, &["MODEL.far", "TARGET", "key", "limit"]),
            Some("help") => return Ok(Reply::good(HELP.into())),
            _ => {
                return Err(Error::Usage(format!("{COMMANDS}, got `{}`", command.display())));
            }
        },
        Some(Long("help") | Short('h')) => return Ok(Reply::good(HELP.into())),
        Some(Long("version") | Short('V')) => {
            return Ok(Reply::good(concat!("far ", env!("CARGO_PKG_VERSION"), "\n").into()));
        }
        Some(other) => return Err(usage(other.unexpected())),
        None => {
            return Err(Error::Usage(format!("{COMMANDS}, got none")));
        }
    };
    match Args::parse(&mut parser, options)? {
        Some(args) => command(&args),
        None => Ok(Reply::good(HELP.into())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::File { write: false, path: path.into(), source })
}
