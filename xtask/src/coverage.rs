//! `cargo xtask coverage`: which lines of the runtime its tests run. Rust's own instruments, and LLVM's tools to read what they wrote:
//! those of the version that rustc was built with, or newer. May import: `command`, `console`, `cross`, `error`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use comfy_table::{Table, presets};

use crate::command;
use crate::console::{result, step};
use crate::cross;
use crate::error::{Error, Result};
use crate::workspace::{self, Workspace};

/// Options of `cargo xtask coverage`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also list the lines that no test runs
    #[arg(long)]
    lines: bool,
}

/// What is measured: packages, and the folders of their sources.
const MEASURED: [(&str, &str); 3] =
    [("far-format", "runtime/format/src"), ("far-engine", "runtime/engine/src"), ("libfar", "capi/src")];

/// The least part of a package's lines that its tests run, in percent.
const LEAST: f64 = 95.0;

/// Lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lines {
    file: String,
    all: usize,
    /// Numbers of those that never ran.
    missed: Vec<usize>,
}

/// Runs the tests and reports; too little is an error.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let (profdata, cov) = (cross::llvm_tool("llvm-profdata")?, cross::llvm_tool("llvm-cov")?);
    let folder = workspace.target.join("coverage");
    let profiles = folder.join("profiles");
    workspace::remove_dir(&profiles)?;
    workspace::create_dir(&profiles)?;
    step("coverage", "run the tests");
    let programs = programs(workspace, &folder)?;
    let mut tests = cargo(workspace, &folder);
    tests.env("LLVM_PROFILE_FILE", profiles.join("%m-%p.profraw")).env("FAR_FUZZ_SECONDS", "2");
    command::run(&mut tests)?;
    let entries = std::fs::read_dir(&profiles).map_err(Error::io("read", &profiles))?;
    let raw: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let merged = folder.join("merged.profdata");
    command::run(Command::new(profdata).args(["merge", "--sparse", "-o"]).arg(&merged).args(&raw))?;
    let mut export = Command::new(cov);
    export.args(["export", "--format=lcov", "--instr-profile"]).arg(&merged);
    for (i, program) in programs.iter().enumerate() {
        export.args(if i == 0 { None } else { Some("--object") }).arg(program);
    }
    let files = files(&command::stdout(&mut export)?, &workspace.root, |file| {
        std::fs::read_to_string(workspace.root.join(file)).map_or(usize::MAX, |text| tests_at(&text))
    });
    report(&files, args.lines)
}

fn cargo(workspace: &Workspace, folder: &Path) -> Command {
    let mut cargo = workspace.cargo("test");
    cargo.args(MEASURED.iter().flat_map(|(package, _)| ["--package", package]));
    cargo.args(["--lib", "--tests", "--target-dir"]).arg(folder);
    cargo.env("RUSTFLAGS", "-Cinstrument-coverage").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // What builds run while they build writes profiles too.
    cargo.env("LLVM_PROFILE_FILE", folder.join("build.profraw"));
    cargo
}

/// The tests' programs.
fn programs(workspace: &Workspace, folder: &Path) -> Result<Vec<PathBuf>> {
    #[derive(serde::Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let mut build = cargo(workspace, folder);
    let text = command::stdout(build.args(["--no-run", "--message-format=json"]))?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    Ok(messages.filter_map(|message| message.executable).collect())
}

/// The line at which a file's own tests begin; past all lines where it has none.
fn tests_at(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let begin = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1] == "mod tests {";
    lines.windows(2).position(begin).map_or(usize::MAX, |at| at + 1)
}

/// Reads LLVM's list: the measured files, with paths from the root, up to the line that `end` says.
fn files(lcov: &str, root: &Path, end: impl Fn(&str) -> usize) -> Vec<Lines> {
    let mut files = Vec::new();
    let (mut current, mut last) = (Lines::default(), usize::MAX);
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let path = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
            current = Lines { file: path.display().to_string(), ..Lines::default() };
            last = if is_measured(&current.file) { end(&current.file) } else { 0 };
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(|rest| rest.split_once(',')) {
            let Some(number) = number.parse().ok().filter(|number| *number < last) else { continue };
            current.all += 1;
            if count == "0" {
                current.missed.push(number);
            }
        } else if line == "end_of_record" && is_measured(&current.file) {
            files.push(std::mem::take(&mut current));
        }
    }
    files.sort_by(|a, b| a.file.cmp(&b.file));
    files
}

/// Whether a file is the product's: no test's.
fn is_measured(file: &str) -> bool {
    let folder = MEASURED.iter().any(|(_, folder)| file.starts_with(folder));
    folder && !file.ends_with("/tests.rs") && !file.contains("/tests/")
}

fn report(files: &[Lines], lines: bool) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["package", "lines", "not run", "run"]);
    let mut short = Vec::new();
    for (package, folder) in MEASURED {
        let of = || files.iter().filter(|lines| lines.file.starts_with(folder));
        let (all, missed): (usize, usize) =
            of().fold((0, 0), |(all, missed), lines| (all + lines.all, missed + lines.missed.len()));
        let part = 100.0 * (all - missed) as f64 / all.max(1) as f64;
        table.add_row([package, &all.to_string(), &missed.to_string(), &format!("{part:.1} %")]);
        if part < LEAST {
            short.push(package);
        }
    }
    result(table);
    for Lines { file, missed, .. } in files.iter().filter(|lines_of| lines && !lines_of.missed.is_empty()) {
        result(format_args!("{file}: {}", missed.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")));
    }
    match short[..] {
        [] => Ok(()),
        _ => Err(Error::Unexpected(format!(
            "less than {LEAST} % of the lines of {} were run",
            short.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_product_are_counted() {
        let lcov = "SF:/far/runtime/engine/src/model.rs\nDA:1,5\nDA:2,0\nDA:7,0\nDA:90,0\nend_of_record\n\
                    SF:/far/runtime/engine/src/team/tests.rs\nDA:1,5\nend_of_record\n\
                    SF:/home/someone/.cargo/registry/src/x/lib.rs\nDA:1,0\nend_of_record\n";
        let expected = Lines { file: "runtime/engine/src/model.rs".into(), all: 3, missed: vec![2, 7] };
        assert_eq!(files(lcov, Path::new("/far"), |_| 90), [expected]);
        assert_eq!(tests_at("fn f() {}\n\n#[cfg(test)]\nmod tests {\n"), 3);
        assert_eq!(tests_at("#[cfg(test)]\nmod test;\n"), usize::MAX);
    }
}
