//! What several test programs share: a seeded source of numbers, and comparing what graphs mean.
#![allow(dead_code, unreachable_pub)] // each test program uses a part of it

use farc::ir::{Graph, eval};

/// Largest difference allowed, relative to the largest value: constants are rounded to f32 once.
const TOLERANCE: f64 = 1e-5;

/// A small generator of numbers: the same seed, the same numbers.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// In `-scale..scale`.
    pub fn real(&mut self, scale: f32) -> f32 {
        ((self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    }

    pub fn reals(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.real(scale)).collect()
    }
}

/// Runs both graphs on the same inputs.
#[track_caller]
pub fn assert_same_meaning(a: &Graph, b: &Graph, name: &str) {
    let mut numbers = Numbers::new(7);
    let inputs: Vec<Vec<f32>> = a
        .inputs
        .iter()
        .map(|port| {
            let [rows, cols] = a.dims(port.value);
            numbers.reals(rows * cols, 1.5)
        })
        .collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let (a, b) = (eval::outputs(a, &inputs).unwrap(), eval::outputs(b, &inputs).unwrap());
    assert_eq!(a.len(), b.len(), "{name}: number of outputs");
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.len(), b.len(), "{name}: size of an output");
        let largest = a.iter().fold(1e-3, |largest: f64, x| largest.max(x.abs()));
        let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(difference <= TOLERANCE * largest, "{name}: differs by {difference:e} of {largest:e}");
        assert!(a.iter().chain(b).all(|x| x.is_finite()), "{name}: not finite");
    }
}
