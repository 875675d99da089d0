//! The command `farc`.
#![allow(clippy::result_large_err)] // an error ends the run: its size costs nothing

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
