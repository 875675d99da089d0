//! The project's own commands: `cargo xtask COMMAND`.

mod bench;
mod command;
mod console;
mod coverage;
mod cross;
mod demo;
mod error;
mod fuzz;
mod platform;
mod sanitize;
mod sdk;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use workspace::Workspace;

/// The project's own commands
#[derive(clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Cli {
    /// Count what an image costs on a board, under QEMU, and predict it by llvm-mca
    Bench(bench::Args),
    /// Say which lines of the runtime its tests run
    Coverage(coverage::Args),
    /// Set up cross builds for aarch64 and riscv64, and show that they work
    Cross(cross::Args),
    /// Compile a real model for several targets, run it there from C, and compare
    Demo(demo::Args),
    /// Feed mutated files to every reader, guided by coverage, and report
    Fuzz(fuzz::Args),
    /// Run the runtime's tests with the sanitizer of addresses
    Sanitize(sanitize::Args),
    /// Make the SDK: farc, libfar and the command `far` for all platforms, in one folder and one archive
    Sdk(sdk::Args),
    /// Run all tests, on the host and under QEMU
    Test(test::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let run = || {
        let workspace = Workspace::find()?;
        match cli {
            Cli::Bench(args) => bench::run(&workspace, &args),
            Cli::Coverage(args) => coverage::run(&workspace, &args),
            Cli::Cross(args) => cross::run(&workspace, &args),
            Cli::Demo(args) => demo::run(&workspace, &args),
            Cli::Fuzz(args) => fuzz::run(&workspace, &args),
            Cli::Sanitize(args) => sanitize::run(&workspace, &args),
            Cli::Sdk(args) => sdk::run(&workspace, &args),
            Cli::Test(args) => test::run(&workspace, &args),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::error(&error);
            ExitCode::FAILURE
        }
    }
}
