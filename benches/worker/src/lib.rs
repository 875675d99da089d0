//! One runtime in one process that does what it is told on its standard input: so that several runtimes are timed in
//! turns, each in a process of its own, and none is timed by another's clock. The protocol is in `benches/README.md`.
//!
//! May import: nothing of ours (the binary `far-bench-worker` is libfar's worker; other runtimes' are in
//! `benches/peers`).
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the answers of the protocol, and what ended it"
)]

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// What a worker returns.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A runtime that has a model loaded.
pub trait Runtime: Sized {
    /// Its version.
    fn version() -> String;

    /// Loads a model and does all that needs doing once.
    ///
    /// # Errors
    /// The runtime's own.
    fn load(model: &Path, threads: usize) -> Result<Self>;

    /// Runs it once and keeps the answer.
    ///
    /// # Errors
    /// The runtime's own.
    fn run(&mut self, input: &[f32]) -> Result<()>;

    /// The first output of the last run.
    fn answer(&self) -> &[f32];

    /// What this runtime alone can say, as members of a JSON object: `"isa":"avx2","arena":4096`. Empty for none.
    fn facts(&self) -> String {
        String::new()
    }

    /// Name and mean milliseconds of each step over some runs, where the runtime can tell.
    ///
    /// # Errors
    /// The runtime's own.
    fn profile(&mut self, _input: &[f32], _runs: usize) -> Result<Vec<(String, f64)>> {
        Err("this runtime has no profile".into())
    }
}

/// A worker's whole program: serves its arguments, and says on standard error what ended it.
pub fn run<R: Runtime>() -> ExitCode {
    match serve::<R>(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the program's arguments, `MODEL INPUT THREADS`, until standard input ends.
///
/// # Errors
/// Wrong arguments or commands, files that can't be read, and the runtime's own.
fn serve<R: Runtime>(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    let [model, input, threads] = arguments.as_slice() else {
        return Err("expected arguments MODEL INPUT THREADS".into());
    };
    let model = PathBuf::from(model);
    let threads: usize = threads.to_str().unwrap_or("").parse().map_err(|_| "THREADS is a number")?;
    let input = numbers(&std::fs::read(input)?);
    let start = Instant::now();
    let mut runtime = R::load(&model, threads)?;
    let load_ms = ms(start);
    runtime.run(&input)?;
    let facts = runtime.facts();
    let comma = if facts.is_empty() { "" } else { "," };
    answer(&format!("{{\"version\":\"{}\",\"load_ms\":{load_ms}{comma}{facts}}}", R::version()))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "run" => {
                let times = times(count(argument)?, || runtime.run(&input))?;
                answer(&format!("{{\"ms\":{times}}}"))?;
            }
            "load" => {
                let times = times(count(argument)?, || R::load(&model, threads).map(drop))?;
                answer(&format!("{{\"ms\":{times}}}"))?;
            }
            "answer" => {
                let bytes: Vec<u8> = runtime.answer().iter().flat_map(|x| x.to_le_bytes()).collect();
                std::fs::write(argument, bytes)?;
                answer("{}")?;
            }
            "memory" => answer(&format!("{{\"peak_rss\":{}}}", peak_rss()?))?,
            "profile" => answer(&profile(&runtime.profile(&input, count(argument)?)?)?)?,
            _ => return Err(format!("unknown command `{command}`").into()),
        }
    }
    Ok(())
}

fn answer(json: &str) -> Result<()> {
    println!("{json}");
    Ok(io::stdout().flush()?)
}

fn count(argument: &str) -> Result<usize> {
    argument.parse().map_err(|_| format!("expected a number, got `{argument}`").into())
}

/// Milliseconds of each of `count` calls, as a JSON list.
fn times(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<String> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        call()?;
        times.push(ms(start));
    }
    Ok(format!("{times:?}"))
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn profile(steps: &[(String, f64)]) -> Result<String> {
    let mut json = String::from("{\"steps\":[");
    for (i, (name, ms)) in steps.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        write!(json, "{comma}{{\"name\":\"{name}\",\"ms\":{ms}}}")?;
    }
    json.push_str("]}");
    Ok(json)
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Most memory that this process has held, in bytes; Linux only.
fn peak_rss() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
