//! Mask files, mutated: read and applied, or refused.
#![no_main]

use farc_fuzz::masks::{check, mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| {
    check(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutated = mutate(&data[..size], max_size, u64::from(seed));
    data[..mutated.len()].copy_from_slice(&mutated);
    mutated.len()
});
