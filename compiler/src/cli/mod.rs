//! The command line: one file a subcommand, each gives what to print. The only place that prints or exits.
//! May import: all of `farc`; far-tool (files, runs and timing, shared with the board's own command).
//!
//! Data goes to standard output, everything else to standard error. Exit status: 0 success, 1 a problem of the user or
//! the model, 2 usage or a bug.

mod bench;
mod calibrate;
mod compile;
mod foreign;
mod inspect;
mod keygen;
mod model;
mod profile;
mod progress;
mod prune;
mod render;
mod run;
mod show;
mod sign;
mod summary;
mod targets;
mod verify;
mod why;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use farc::error::{Error, ErrorKind, Result};

#[derive(Parser)]
#[command(name = "farc", version, about = "Compiles FAR models from ONNX for small boards, and runs them", long_about = None)]
struct Cli {
    /// Data and errors as JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compile(compile::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Run(run::Args),
    Bench(bench::Args),
    Prune(prune::Args),
    Targets(targets::Args),
    Keygen(keygen::Args),
    Sign(sign::Args),
}

/// What a command has to say.
enum Reply {
    /// To be printed on standard output.
    Text(String),
    /// The same, and then the error that it shows.
    Both(String, Option<Error>),
    /// Another program has said it all, and ended with this status.
    Exit(u8),
}

/// Does what the arguments say.
pub(crate) fn main() -> ExitCode {
    let command = compile::with_pass_options(Cli::command());
    let parsed = command.try_get_matches().and_then(|m| Ok((Cli::from_arg_matches(&m)?, m)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let json = cli.json;
    let reply = match cli.command {
        Command::Compile(args) => compile::run(args, matches.subcommand_matches("compile"), json),
        Command::Inspect(args) => inspect::run(&args, json),
        Command::Verify(args) => verify::run(&args, json),
        Command::Run(args) => run::run(&args, json),
        Command::Bench(args) => bench::run(&args, json),
        Command::Prune(args) => prune::run(&args, json),
        Command::Targets(args) => targets::run(&args, json),
        Command::Keygen(args) => keygen::run(&args, json),
        Command::Sign(args) => sign::run(&args, json),
    };
    match reply {
        Ok(Reply::Exit(status)) => ExitCode::from(status),
        Ok(Reply::Text(text)) => print(&text),
        Ok(Reply::Both(text, error)) => {
            let printed = print(&text);
            error.map_or(printed, |error| fail(&error, json))
        }
        Err(error) => fail(&error, json),
    }
}

fn print(text: &str) -> ExitCode {
    match anstream::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

fn fail(error: &Error, json: bool) -> ExitCode {
    let text = if json { render::json(error) } else { render::text(error) };
    // Nobody is left to tell if this fails.
    let _ = anstream::stderr().write_all(text.as_bytes());
    ExitCode::from(if error.kind == ErrorKind::Internal { 2 } else { 1 })
}

/// Reads a file of the user's.
fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| unreadable(path, what, &e))
}

/// The error of a file that can't be read.
fn unreadable(path: &Path, what: &str, e: &io::Error) -> Error {
    let error = Error::new(ErrorKind::Io, format!("the {what} can't be read: {e}")).in_file(path);
    match e.kind() {
        io::ErrorKind::NotFound => error.hint("check the path; it is relative to the current folder"),
        _ => error,
    }
}

/// An error of what the board's command shares with this one.
fn tool_error(error: far_tool::Error) -> Error {
    use far_tool::Error as Tool;
    let hint = error.hint();
    let text = error.to_string();
    let kind = match &error {
        Tool::File { .. } => ErrorKind::Io,
        Tool::Usage(_) | Tool::Array { .. } | Tool::Shape { .. } | Tool::Inputs { .. } | Tool::NoImage => {
            ErrorKind::BadInput
        }
        Tool::OutOfMemory { .. } => ErrorKind::LimitExceeded,
        Tool::Model { .. } => ErrorKind::BadArtifact,
        Tool::Run(e) if e.kind() == far_engine::ErrorKind::Internal => ErrorKind::Internal,
        Tool::Run(_) => ErrorKind::BadInput,
        _ => ErrorKind::Internal,
    };
    let ours = Error::new(kind, text);
    let ours = match error {
        Tool::File { path, .. } | Tool::Array { path, .. } | Tool::Model { path, .. } => ours.in_file(path),
        _ => ours,
    };
    match hint {
        Some(hint) => ours.hint(hint),
        None => ours,
    }
}
