//! Memory to compute on. May import: nothing of ours.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, to which models align their weights and arena.
const LINE: usize = 64;

/// Numbers in [−0.25, 0.25) that begin at a cache line: small enough that sums of products stay ordinary numbers.
#[derive(Debug)]
pub struct Noise {
    memory: Vec<f32>,
    first: usize,
    len: usize,
}

impl Noise {
    /// So many of them, always the same.
    pub fn new(len: usize) -> Self {
        let mut memory = vec![0.0; len + LINE / size_of::<f32>()];
        let first = memory.as_ptr().align_offset(LINE);
        let mut state = 1u32;
        memory[first..][..len].fill_with(|| {
            // The linear congruential generator of Numerical Recipes.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 25) as f32 - 0.25
        });
        Self { memory, first, len }
    }
}

impl Deref for Noise {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.first..][..self.len]
    }
}

impl DerefMut for Noise {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..][..self.len]
    }
}
