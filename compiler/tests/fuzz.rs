//! What the fuzzers of farc (`fuzz/`) do, without their instruments: their corpora replayed, past crashes among them, and mutated
//! for some seconds by the same code. `FAR_FUZZ_SECONDS` says for how long.
#![allow(clippy::print_stdout, reason = "figures")]

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub)] // the fuzzers use the rest
mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most bytes of an input.
const MOST: usize = 16384;

struct Fuzzer {
    check: fn(&[u8]) -> bool,
    mutate: fn(&[u8], usize, u64) -> Vec<u8>,
    corpus: Vec<Vec<u8>>,
}

/// The files of folders beside this crate's manifest, and of folders in them.
fn files(folders: &[&str]) -> Vec<Vec<u8>> {
    let mut left: Vec<PathBuf> =
        folders.iter().map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).collect();
    let mut paths = Vec::new();
    while let Some(folder) = left.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let (folders, files): (Vec<_>, Vec<_>) =
            entries.map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
        left.extend(folders);
        paths.extend(files);
    }
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

impl Fuzzer {
    fn onnx() -> Fuzzer {
        Fuzzer { check: fuzz::onnx::check, mutate: fuzz::onnx::mutate, corpus: files(&["fuzz/corpus/onnx"]) }
    }

    fn masks() -> Fuzzer {
        Fuzzer {
            check: fuzz::masks::check,
            mutate: fuzz::masks::mutate,
            corpus: files(&["fuzz/corpus/masks"]),
        }
    }

    fn target() -> Fuzzer {
        let corpus = files(&["../targets"]);
        Fuzzer { check: fuzz::target::check, mutate: fuzz::target::mutate, corpus }
    }

    fn ir() -> Fuzzer {
        let corpus = files(&["fuzz/corpus/ir"]);
        Fuzzer { check: fuzz::ir::check, mutate: fuzz::ir::mutate, corpus }
    }

    /// Replays the corpus, then mutates it.
    fn run(mut self, what: &str) {
        let accepted = self.corpus.iter().filter(|case| (self.check)(case)).count();
        println!("{what}: {} inputs, {accepted} of them accepted", self.corpus.len());
        assert!(accepted >= 5, "{accepted} accepted: too few to show anything");

        let seconds = std::env::var("FAR_FUZZ_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
        let end = Instant::now() + Duration::from_secs(seconds);
        let (mut cases, mut accepted) = (0, 0);
        while Instant::now() < end {
            let at = cases as usize % self.corpus.len();
            let case = (self.mutate)(&self.corpus[at], MOST, cases);
            cases += 1;
            // What is accepted is mutated further, now and then, in the place of what it came from.
            if (self.check)(&case) {
                accepted += 1;
                if cases % 4 == 0 {
                    self.corpus[at] = case;
                }
            }
        }
        println!("{what}: {cases} mutated inputs, {accepted} of them accepted");
        assert!(
            seconds == 0 || accepted > cases / 200,
            "{accepted} of {cases} accepted: too few to show anything"
        );
    }
}

#[test]
fn onnx() {
    Fuzzer::onnx().run("onnx");
}

#[test]
fn masks() {
    Fuzzer::masks().run("masks");
}

#[test]
fn target() {
    Fuzzer::target().run("target");
}

#[test]
fn ir() {
    Fuzzer::ir().run("ir");
}
