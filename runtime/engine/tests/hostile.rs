//! Artifacts that someone tampered with and made the checksums of right again: refused, or run without harm.

mod common;

use std::sync::Arc;

use common::{Text, everything, noise};
use far_engine::{Dtype, Error, Extent, Input, Model, Session, SessionOptions};
use proptest::prelude::*;

/// One with every step, and one whose batches and tokens vary.
fn originals() -> [Vec<u8>; 2] {
    [everything().artifact(), Text::varying(8, Some(Dtype::I64)).plan().artifact()]
}

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

/// Runs it if it is accepted and small, on a large call and a small one; whether it was.
fn run_if_accepted(file: &[u8], threads: usize) -> bool {
    let Ok(model) = Model::from_bytes(file) else { return false };
    let most = model.most();
    let least = if model.plan().batch.fixed { most.batch } else { 1 };
    let calls = [
        Extent { batch: least.max(most.batch.min(2)), tokens: most.tokens },
        Extent { batch: least, tokens: most.tokens.div_ceil(3) },
    ];
    let ports = || model.inputs().iter().chain(model.outputs());
    let elements: usize = ports().map(|port| port.elements(calls[0].batch, calls[0].tokens)).sum();
    if model.plan().arena_bytes > 1 << 20 || elements > 1 << 20 {
        return false;
    }
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = Session::new(Arc::clone(&model), &options).unwrap();
    for extent in calls {
        // Every number is in a table, and a mask of ones is one.
        let lens: Vec<usize> =
            model.inputs().iter().map(|port| port.elements(extent.batch, extent.tokens)).collect();
        let is_mask = |i: usize| model.plan().lengths == Some(i as u32);
        let floats: Vec<Vec<f32>> = lens.iter().map(|len| noise(4, *len)).collect();
        let ints: Vec<Vec<i32>> =
            lens.iter().enumerate().map(|(i, len)| vec![i32::from(is_mask(i)); *len]).collect();
        let longs: Vec<Vec<i64>> =
            ints.iter().map(|ints| ints.iter().map(|i| i64::from(*i)).collect()).collect();
        let inputs: Vec<Input<'_>> = (0..lens.len())
            .map(|i| match model.inputs()[i].dtype {
                Dtype::F32 => Input::F32(&floats[i]),
                Dtype::I32 => Input::I32(&ints[i]),
                Dtype::I64 => Input::I64(&longs[i]),
            })
            .collect();
        let lens = model.outputs().iter().map(|port| port.elements(extent.batch, extent.tokens));
        let mut outputs: Vec<Vec<f32>> = lens.map(|len| vec![f32::NAN; len]).collect();
        let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        match session.run_extent(extent, &inputs, &mut slices) {
            // A port may be both the mask and ids of a table of one row.
            Ok(()) | Err(Error::TokenId { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    true
}

#[test]
fn flipped_bits() {
    for original in originals() {
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
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overwritten_bytes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..=66), 1..4),
        threads in 1usize..3,
        mut file in prop::sample::select(originals().to_vec()),
    ) {
        let (plan, len) = plan_section(&file);
        for (at, byte) in changes {
            file[plan + at.index(len)] = byte;
        }
        repair(&mut file);
        run_if_accepted(&file, threads);
    }
}
