//! `cargo xtask sanitize`: the tests of format, kernels, engine and libfar, all compiled with the sanitizer of addresses, by a switch
//! that stable Rust has but does not promise (hence `RUSTC_BOOTSTRAP`). May import: `command`, `console`, `error`, `fuzz`,
//! `workspace`.

use crate::command;
use crate::console::{result, step};
use crate::error::{Error, Result};
use crate::fuzz::host;
use crate::test::libtest;
use crate::workspace::Workspace;

/// Options of `cargo xtask sanitize`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also the slow tests
    #[arg(long)]
    slow: bool,
}

/// What has unsafe code, and what its proofs rest on.
const PACKAGES: [&str; 4] = ["far-format", "far-kernels", "far-engine", "libfar"];

/// Runs them.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    step("sanitize", PACKAGES.join(", "));
    let mut cargo = workspace.cargo("test");
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    cargo.args(["--lib", "--tests", "--no-fail-fast", "--target", &host()?, "--target-dir"]);
    cargo.arg(workspace.target.join("sanitize"));
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Some tests lend memory for ever or forget a panic's payload, on purpose. That nothing is left behind is `c/memory.c`'s to show.
    cargo.env("ASAN_OPTIONS", "detect_leaks=0");
    if args.slow {
        cargo.args(["--", "--include-ignored"]);
    }
    let (status, output) = command::run_any(&mut cargo)?;
    let counts = libtest::counts(&output);
    if !status.success() || counts.passed == 0 {
        return Err(Error::Failed { command: command::line(&cargo), status, output });
    }
    result(format_args!(
        "{} passed with the sanitizer of addresses, {} failed",
        counts.passed, counts.failed
    ));
    Ok(())
}
