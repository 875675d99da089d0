//! Artifacts that were damaged, or that someone tampered with and made the checksums of right again: refused, or run without harm.
//! Among them the golden ones of every precision. Where the CPU has their features they are run; each bit of them is tried on the
//! developer's machine, some under QEMU.
#![allow(clippy::print_stdout, reason = "figures")]

mod common;
#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub)] // the fuzzer uses the rest
mod fuzz;

use std::fs;
use std::path::Path;

use common::{Text, everything};
use far_engine::{Dtype, ErrorKind, Model};
use fuzz::artifact::{Came, load_and_run};
use fuzz::random::Random;
use proptest::prelude::*;

/// One of so many bits is tried.
const SPARSE: usize = if cfg!(target_arch = "x86_64") { 1 } else { 61 };

/// One with every step, and one whose batches and tokens vary.
fn originals() -> [Vec<u8>; 2] {
    [everything().artifact(), Text::varying(8, Some(Dtype::I64)).plan().artifact()]
}

/// An artifact of every precision of this architecture, and one of all mixed, by name.
fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/data/golden");
    let ending = format!("-{}.far", common::host());
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = paths.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(&ending)?.to_string();
        Some((name, fs::read(&path).unwrap()))
    });
    let mut files: Vec<_> = named.collect();
    files.sort();
    assert!(files.len() >= 4, "{} golden artifacts for this architecture", files.len());
    files
}

fn number(file: &[u8], at: usize) -> Option<usize> {
    file.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()) as usize)
}

/// Offset and length of a section, as SPEC.md has them.
fn section(file: &[u8], i: usize) -> (usize, usize) {
    let entry = 32 + 24 * i;
    (number(file, entry + 8).unwrap(), number(file, entry + 16).unwrap())
}

/// Makes the checksums right again, as far as the table can be followed.
fn repair(file: &mut [u8]) {
    for i in 0..3 {
        let (offset, len) = section(file, i);
        if let Some(content) = offset.checked_add(len).and_then(|end| file.get(offset..end)) {
            let sum = crc32fast::hash(content);
            file[32 + 24 * i + 4..][..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let sum = crc32fast::hash(&file[..104]);
    file[104..108].copy_from_slice(&sum.to_le_bytes());
}

fn refused(file: &[u8]) -> ErrorKind {
    Model::from_bytes(file).expect_err("it was damaged").kind()
}

#[test]
fn cut_anywhere() {
    for (name, original) in golden() {
        for len in (0..original.len()).step_by(SPARSE) {
            let expected = if len < 8 { ErrorKind::NotAnArtifact } else { ErrorKind::Corrupt };
            assert_eq!(refused(&original[..len]), expected, "{name}, cut at {len}");
            // And where it says that it is no longer than that.
            if len >= 128 && len % 7 == 0 {
                let mut file = original[..len].to_vec();
                file[24..32].copy_from_slice(&(len as u64).to_le_bytes());
                repair(&mut file);
                refused(&file);
            }
        }
    }
}

#[test]
fn every_bit_of_header_tables_and_plan() {
    for (name, original) in golden() {
        let (plan, len) = section(&original, 1);
        let mut came = [Came::Refused, Came::Proved, Came::Ran].map(|came| (came, 0));
        // Everything before the weights but the last of the zeros between.
        for bit in (0..(plan + len + 64) * 8).step_by(SPARSE) {
            let mut file = original.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            refused(&file);
            repair(&mut file);
            // The least call and the largest, on one thread.
            let how = load_and_run(&file, if bit % 2 == 0 { 0 } else { 0xff_0207 });
            came.iter_mut().for_each(|(this, count)| *count += usize::from(*this == how));
        }
        println!("{name}: {came:?}");
        assert!(came[0].1 > 1000 / SPARSE, "{name}: {came:?}");
    }
}

#[test]
fn a_thousand_flipped_weights_are_all_caught() {
    for (name, original) in golden() {
        let (weights, len) = section(&original, 2);
        let mut random = Random::new(5);
        let mut file = original.clone();
        for _ in 0..1000 {
            let bit = random.below(len * 8);
            file[weights + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(refused(&file), ErrorKind::Corrupt, "{name}, bit {bit} of the weights");
            file[weights + bit / 8] ^= 1 << (bit % 8);
        }
        assert!(file == original);
    }
}

#[test]
fn every_bit_of_a_small_plan() {
    for original in originals() {
        assert_eq!(load_and_run(&original, 0), Came::Ran);
        let (plan, len) = section(&original, 1);
        let mut accepted = 0;
        for bit in (plan * 8..(plan + len) * 8).step_by(SPARSE) {
            let mut file = original.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            repair(&mut file);
            accepted += usize::from(load_and_run(&file, bit as u32 * 0x100) == Came::Ran);
        }
        assert!(accepted > 100 / SPARSE, "{accepted} accepted: too few to show anything");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overwritten_bytes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..=66), 1..4),
        call in any::<u32>(),
        mut file in prop::sample::select(originals().to_vec()),
    ) {
        let (plan, len) = section(&file, 1);
        for (at, byte) in changes {
            file[plan + at.index(len)] = byte;
        }
        repair(&mut file);
        load_and_run(&file, call);
    }
}
