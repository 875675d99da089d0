//! What the fuzzer of artifacts (`fuzz/`) does, without its instruments: its corpus replayed, past crashes among it, and mutated for
//! some seconds by the same code. `FAR_FUZZ_SECONDS` says for how long.
#![allow(clippy::print_stdout, reason = "figures")]

mod common;
#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub)] // the fuzzer uses the rest
mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Text, everything};
use far_engine::Dtype;
use fuzz::artifact::{Came, case_of, check, mutate};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// All files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn corpus_and_past_crashes_are_replayed() {
    let corpus = files(&folder("corpus/artifact"));
    let mut came = [Came::Refused, Came::Proved, Came::Ran].map(|came| (came, 0));
    for (_, case) in &corpus {
        let how = check(case);
        came.iter_mut().for_each(|(this, count)| *count += usize::from(*this == how));
    }
    println!("corpus of artifacts: {came:?}");
    // Elsewhere weights are laid out in other sizes, which the proof refuses.
    let least = if cfg!(target_arch = "x86_64") { 50 } else { 1 };
    assert!(came[2].1 >= least && came[0].1 >= least, "{came:?}: too few to show anything");
}

#[test]
fn mutated_for_some_seconds() {
    let seconds = std::env::var("FAR_FUZZ_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
    let mut corpus: Vec<Vec<u8>> =
        files(&folder("corpus/artifact")).into_iter().map(|(_, case)| case).collect();
    let (mut ran, mut cases) = (0u64, 0u64);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        for _ in 0..100 {
            let at = cases as usize % corpus.len();
            let case = mutate(&corpus[at], 8192, cases);
            let came = check(&case);
            cases += 1;
            // What is accepted is mutated further, in the place of what it came from.
            if came == Came::Ran {
                ran += 1;
                if cases % 4 == 0 {
                    corpus[at] = case;
                }
            }
        }
    }
    println!("{cases} mutated artifacts, {ran} of them ran");
    assert!(seconds == 0 || ran > cases / 200, "{ran} of {cases} ran: too few to show anything");
}

#[test]
#[ignore = "writes the corpus's first files"]
fn seeds_are_written() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/data/golden");
    let mut seeds = vec![
        ("everything".to_string(), everything().artifact()),
        ("text".to_string(), Text::varying(8, Some(Dtype::I64)).plan().artifact()),
    ];
    let host = format!("-{}.far", std::env::consts::ARCH);
    seeds.extend(files(&golden).into_iter().filter(|(name, _)| name.ends_with(&host)));
    for (name, file) in seeds {
        let name = name.strip_suffix(".far").unwrap_or(&name);
        fs::write(folder("corpus/artifact").join(name), case_of(&file)).unwrap();
    }
}
