//! The command line: one file a subcommand; each gives the text to print. May import: `far_tool`.

mod args;
mod bench;
mod doctor;
mod info;
mod run;

use std::fs;
use std::path::Path;

use far_tool::{Error, Result};
use lexopt::Parser;
use lexopt::prelude::*;

use args::{Args, usage};

const HELP: &str = "\
far: runs compiled models on this machine

Usage:
  far info MODEL.far [--json]
  far run MODEL.far --input [NAME=]FILE ... [--output [NAME=]FILE.npy ...] [--batch N] [--tokens N] [--threads N]
          [--json]
  far bench MODEL.far [--batch N] [--tokens N] [--threads N] [--runs N] [--warmup N] [--profile] [--json]
  far doctor [--json]

Input files are .npy (f32, i32 or i64, little-endian, C order) or, by any other name, bare little-endian numbers of the
input's type. Files without a NAME go to the inputs or outputs in order. An input of more elements than a call can have, or
whose leading dimension is a multiple of the model's, is run part by part, and the outputs are stacked.

  --batch N     elements of a call; by default as many as there are and the model takes, in `bench` one
  --tokens N    tokens of an element, where their number varies; by default what the inputs' shapes say, in `bench` the most
  --threads N   threads to use; 0, the default, is one on each CPU
  --runs N      timed runs (default 50)
  --warmup N    runs before the clock starts (default 5)
  --profile     the time of each step too
  --json        for programs
  --version     the version of this command
  --help        this text

Environment:
  FAR_ISA       kernels no better than these: scalar, avx2, avx512, neon or rvv; the results' bits are the same

Exit status: 0 success, 1 a problem of the arguments' files or the model, 2 usage or an internal error.
";

/// Does what the arguments say; the text to print.
pub(crate) fn run(mut parser: Parser) -> Result<String> {
    type Command = fn(&Args) -> Result<String>;
    let (command, options): (Command, &[&str]) = match parser.next().map_err(usage)? {
        Some(Value(command)) => match command.to_str() {
            Some("info") => (info::run, &["MODEL.far"]),
            Some("run") => (run::run, &["MODEL.far", "input", "output", "batch", "tokens", "threads"]),
            Some("bench") => {
                (bench::run, &["MODEL.far", "batch", "tokens", "threads", "runs", "warmup", "profile"])
            }
            Some("doctor") => (doctor::run, &[]),
            Some("help") => return Ok(HELP.into()),
            _ => {
                let message = "command: expected `info`, `run`, `bench` or `doctor`, got";
                return Err(Error::Usage(format!("{message} `{}`", command.display())));
            }
        },
        Some(Long("help") | Short('h')) => return Ok(HELP.into()),
        Some(Long("version") | Short('V')) => {
            return Ok(concat!("far ", env!("CARGO_PKG_VERSION"), "\n").into());
        }
        Some(other) => return Err(usage(other.unexpected())),
        None => {
            return Err(Error::Usage(
                "command: expected `info`, `run`, `bench` or `doctor`, got none".into(),
            ));
        }
    };
    match Args::parse(&mut parser, options)? {
        Some(args) => command(&args),
        None => Ok(HELP.into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::File { write: false, path: path.into(), source })
}
