//! Artifacts that someone tampered with and made the checksums of right again: refused, or run without harm.

mod common;

use std::sync::Arc;

use common::{everything, noise};
use far_engine::{Model, Session, SessionOptions};
use proptest::prelude::*;

fn number(file: &[u8], at: usize) -> usize {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize
}

/// Offset and length of the plan, as SPEC.md has them.
fn plan_section(file: &[u8]) -> (usize, usize) {
    (number(file, 64), number(file, 72))
}

fn repair(file: &mut [u8]) {
    let (offset, len) = plan_section(file);
    let sum = crc32fast::hash(&file[offset..offset + len]);
    file[60..64].copy_from_slice(&sum.to_le_bytes());
    let sum = crc32fast::hash(&file[..104]);
    file[104..108].copy_from_slice(&sum.to_le_bytes());
}

/// Runs it if it is accepted and small; whether it was.
fn run_if_accepted(file: &[u8], threads: usize) -> bool {
    let Ok(model) = Model::from_bytes(file) else { return false };
    let ports: usize = model.inputs().iter().chain(model.outputs()).map(|port| port.elements()).sum();
    if model.plan().arena_bytes > 1 << 20 || ports > 1 << 20 {
        return false;
    }
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = Session::new(Arc::clone(&model), &options).unwrap();
    let inputs: Vec<Vec<f32>> = model.inputs().iter().map(|port| noise(4, port.elements())).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    common::run(&mut session, &inputs);
    true
}

#[test]
fn flipped_bits() {
    let original = everything().artifact();
    assert!(run_if_accepted(&original, 1));
    let (plan, len) = plan_section(&original);
    let mut accepted = 0;
    for bit in plan * 8..(plan + len) * 8 {
        let mut file = original.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        repair(&mut file);
        accepted += usize::from(run_if_accepted(&file, 1));
    }
    assert!(accepted > 100, "{accepted} accepted: too few to show anything");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overwritten_bytes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..=66), 1..4),
        threads in 1usize..3,
    ) {
        let mut file = everything().artifact();
        let (plan, len) = plan_section(&file);
        for (at, byte) in changes {
            file[plan + at.index(len)] = byte;
        }
        repair(&mut file);
        run_if_accepted(&file, threads);
    }
}
