//! C programs that try hard: random calls, many cycles, many threads; under valgrind, and with sanitizers where the C compiler has
//! them. In small here; whole, and for minutes, with
//! `cargo test -p far-abi-check --test robust -- --include-ignored --show-output`.
//!
//! What watches what: valgrind's memcheck sees every access of program and library as it was built for everybody. For the
//! sanitizers of addresses and of threads libfar is built once more, instrumented, by rustc's own switch, which stable
//! Rust has but does not promise (hence RUSTC_BOOTSTRAP); its standard library is not instrumented. Helgrind is not used: it
//! knows nothing of atomics, which are all that orders the threads of a session.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "programs' figures, and what was skipped")]

mod support;

use std::path::PathBuf;
use std::process::{Child, Command, Output};

use far_abi_check::{capi, target_folder};
use support::{Bench, STRICT, SYSTEM};

const ARTIFACTS: [&str; 4] = ["fixture.far", "text.far", "wide.far", "image.far"];

/// Runs a program, and shows what it says of itself.
fn run(bench: &Bench, command: &mut Command) {
    let output = bench.run(command);
    println!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
}

/// Valgrind's memcheck, if it is there: an error or a leak is status 99.
fn memcheck(test: &str) -> Option<Command> {
    let there = Command::new("valgrind").arg("--version").output().is_ok_and(|it| it.status.success());
    if !there {
        eprintln!("SKIPPED {test}: valgrind is missing; hint: `apt-get install valgrind`");
        return None;
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
    ]);
    valgrind.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
    // Valgrind knows no AVX-512; libfar then has AVX2, as a CPU without would.
    Some(valgrind)
}

/// Builds a program and libfar with one of rustc's sanitizers. Where rustc or the C compiler can't, says so.
fn sanitized(bench: &Bench, name: &str, sanitizer: &str) -> Option<PathBuf> {
    let built = instrumented(sanitizer).and_then(|(archive, runtime)| {
        let folder = bench.path().display();
        let (object, program) = (format!("{folder}/{name}.o"), format!("{folder}/{name}-{sanitizer}"));
        let mut cc = far_abi_check::cc();
        cc.args(STRICT).arg("-I").arg(capi().join("include")).arg(format!("-fsanitize={sanitizer}"));
        if sanitizer == "address" {
            cc.args(["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]);
        }
        attempt(cc.arg("-c").arg(capi().join(format!("abi-check/c/{name}.c"))).args(["-o", &object]))?;
        let mut cc = far_abi_check::cc();
        cc.args([&object, &archive, "-Wl,--export-dynamic", "-Wl,--whole-archive", &runtime]);
        attempt(cc.args(["-Wl,--no-whole-archive", "-lrt", "-o", &program]).args(SYSTEM))?;
        Ok(PathBuf::from(program))
    });
    built.inspect_err(|why| eprintln!("SKIPPED {name} with sanitizer `{sanitizer}`: {why}")).ok()
}

/// An instrumented `libfar.a` and the sanitizer's runtime.
fn instrumented(sanitizer: &str) -> Result<(String, String), String> {
    let (libdir, host) = (said_by_rustc("target-libdir")?, said_by_rustc("host-tuple")?);
    let suffix = format!("_rt.{}.a", if sanitizer == "thread" { "tsan" } else { "asan" });
    let runtime = std::fs::read_dir(&libdir)
        .map_err(|error| format!("{libdir}: {error}"))?
        .filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_string()))
        .find(|path| path.ends_with(&suffix))
        .ok_or_else(|| format!("this Rust has no `*{suffix}` in {libdir}"))?;
    let flags = format!("-Zsanitizer={sanitizer} -Cunsafe-allow-abi-mismatch=sanitizer");
    let archive = archive(&format!("sanitize-{sanitizer}"), &host, &flags)?;
    Ok((archive, runtime))
}

/// A `libfar.a` of other flags, in a target folder of its own.
fn archive(folder: &str, host: &str, flags: &str) -> Result<String, String> {
    let target = target_folder().join(folder);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(capi()).args(["rustc", "--package", "libfar", "--lib", "--crate-type", "staticlib"]);
    // Incremental builds and sanitizers leave symbols undefined.
    cargo.args(["--target", host, "--target-dir"]).arg(&target).env("CARGO_INCREMENTAL", "0");
    if flags.starts_with("-Z") {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    attempt(cargo.env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    let archive = target.join(host).join("debug/libfar.a");
    Ok(archive.to_str().ok_or("a path that is not UTF-8")?.to_string())
}

/// What rustc says of itself.
fn said_by_rustc(argument: &str) -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = attempt(Command::new(rustc).args(["--print", argument]))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Runs a command; where it fails, its last line.
fn attempt(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().rev().find(|line| !line.is_empty()).unwrap_or("no message");
    Err(format!("`{}` failed: {last}", command.get_program().display()))
}

fn fuzz(seeds: std::ops::Range<u32>, calls: u32) {
    let bench = Bench::new();
    let program = bench.build_static("fuzz", &[]);
    for seed in seeds {
        run(&bench, Command::new(&program).args([seed.to_string(), calls.to_string()]).args(ARTIFACTS));
    }
}

fn fuzz_under_valgrind(calls: u32) {
    let Some(mut valgrind) = memcheck("fuzz under valgrind") else { return };
    let bench = Bench::new();
    let program = bench.build_static("fuzz", &[]);
    run(&bench, valgrind.arg(program).args(["1".to_string(), calls.to_string()]).args(ARTIFACTS));
}

fn fuzz_with_sanitizers(seeds: std::ops::Range<u32>, calls: u32) {
    let bench = Bench::new();
    let Some(program) = sanitized(&bench, "fuzz", "address") else { return };
    for seed in seeds {
        run(&bench, Command::new(&program).args([seed.to_string(), calls.to_string()]).args(ARTIFACTS));
    }
}

fn cycles(count: u32) {
    let bench = Bench::new();
    let program = bench.build_static("cycles", &[]);
    run(&bench, Command::new(program).args([&count.to_string(), "wide.far"]));
}

fn cycles_under_valgrind(count: u32) {
    let Some(mut valgrind) = memcheck("cycles under valgrind") else { return };
    let bench = Bench::new();
    let program = bench.build_static("cycles", &[]);
    run(&bench, valgrind.arg(program).args([&count.to_string(), "wide.far"]));
}

fn threads(rounds: u32) {
    let bench = Bench::new();
    let program = bench.build_static("threads", &[]);
    run(&bench, Command::new(program).args([&rounds.to_string(), "wide.far"]));
}

fn threads_with_a_sanitizer(rounds: u32) {
    let bench = Bench::new();
    let Some(program) = sanitized(&bench, "threads", "thread") else { return };
    let rounds = rounds.to_string();
    run(&bench, Command::new(&program).args([&rounds, "wide.far"]));
    // It has to see what is wrong, or it proves nothing.
    let output =
        Command::new(&program).args([&rounds, "wide.far", "race"]).current_dir(bench.path()).output();
    let text = String::from_utf8_lossy(&output.expect("it ran before").stderr).into_owned();
    assert!(text.contains("WARNING: ThreadSanitizer: data race"), "no race was seen: {text}");
}

fn threads_under_valgrind(rounds: u32) {
    let Some(mut valgrind) = memcheck("threads under valgrind") else { return };
    let bench = Bench::new();
    let program = bench.build_static("threads", &[]);
    run(&bench, valgrind.arg("--fair-sched=yes").arg(program).args([&rounds.to_string(), "wide.far"]));
}

/// With every function that allocates wrapped by the program's own.
const WRAPPED: [&str; 5] = [
    "-Wl,--wrap=malloc",
    "-Wl,--wrap=calloc",
    "-Wl,--wrap=realloc",
    "-Wl,--wrap=posix_memalign",
    "-Wl,--wrap=free",
];

#[test]
fn every_allocation_may_fail() {
    let bench = Bench::new();
    let program = bench.build_static("memory", &[&["-std=c11"][..], &WRAPPED].concat());
    run(&bench, Command::new(program).args(["text.far", "wide.far", "maker.pub"]));
}

#[test]
fn panics_are_statuses() {
    let bench = Bench::new();
    let archive = said_by_rustc("host-tuple")
        .and_then(|host| archive("provoke", &host, "--cfg far_provoke"))
        .expect("libfar can be built with panics on demand");
    let program = bench.build("panic", &[&[archive.as_str()], SYSTEM].concat());
    let output = bench.run(Command::new(&program).arg("wide.far"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "the library printed");
    let Some(mut valgrind) = memcheck("panics under valgrind") else { return };
    bench.run(valgrind.arg(program).arg("wide.far"));
}

#[test]
fn files_that_change_while_they_are_open() {
    let bench = Bench::new();
    let program = bench.build_static("files", &[]);
    bench.run(Command::new(program).arg("wide.far"));
}

#[test]
fn random_calls() {
    fuzz(1..5, 20_000);
}

#[test]
fn random_calls_with_sanitizers() {
    fuzz_with_sanitizers(5..6, 10_000);
}

#[test]
fn random_calls_under_valgrind() {
    fuzz_under_valgrind(1500);
}

#[test]
fn ten_thousand_cycles() {
    cycles(10_000);
}

#[test]
fn cycles_leak_nothing() {
    cycles_under_valgrind(12);
}

#[test]
fn many_threads() {
    threads(50);
}

#[test]
fn many_threads_with_a_sanitizer() {
    threads_with_a_sanitizer(20);
}

/// A process that takes a CPU, until this is dropped.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        // It runs until it is ended; nothing to do where it can't be.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Many runs of one session while another process takes a CPU; the histogram goes to the target folder.
fn long_runs(count: u32) {
    let bench = Bench::new();
    let program = bench.build_static("long", &[]);
    let _load = Load(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell"));
    let histogram = target_folder().join("latency.svg");
    run(&bench, Command::new(program).args([&count.to_string(), "wide.far"]).arg(&histogram));
    println!("{}", histogram.display());
}

#[test]
fn ten_thousand_runs() {
    long_runs(10_000);
}

#[test]
#[ignore = "minutes: a million runs, a hundred thousand cycles"]
fn long() {
    long_runs(1_000_000);
    cycles(100_000);
}

#[test]
#[ignore = "minutes: a million random calls"]
fn many_random_calls() {
    fuzz(100..120, 50_000);
    fuzz_with_sanitizers(200..204, 50_000);
}

#[test]
#[ignore = "minutes: many calls under valgrind"]
fn much_under_valgrind() {
    fuzz_under_valgrind(20_000);
    threads_with_a_sanitizer(500);
    cycles_under_valgrind(300);
    threads_under_valgrind(5);
}
