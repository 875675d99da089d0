//! What the algorithms do with a word of a row, a vector of words of weights, and sums. May import: `simd`, `lstm`.

use super::Simd;
use super::lstm::{Recurrence, Sources, accumulate_in_order};

/// Products of words: numbers in f32, or pairs of halves.
pub(crate) trait Product<S: Simd>: Copy {
    /// `x·w + acc`, lane by lane.
    fn multiply(self, s: S, x: S::V, w: S::V, acc: S::V) -> S::V;
    /// `row[I]·w + acc` for `I < S::DEPTH`.
    fn multiply_element<const I: usize>(self, s: S, row: S::Row, w: S::V, acc: S::V) -> S::V;
}

/// Words are f32; a product and its sum round once.
#[derive(Clone, Copy)]
pub(crate) struct Fused;

impl<S: Simd> Product<S> for Fused {
    #[inline(always)]
    fn multiply(self, s: S, x: S::V, w: S::V, acc: S::V) -> S::V {
        s.fma(x, w, acc)
    }
    #[inline(always)]
    fn multiply_element<const I: usize>(self, s: S, row: S::Row, w: S::V, acc: S::V) -> S::V {
        s.fma_element::<I>(row, w, acc)
    }
}

impl<S: Simd, H: Simd> Recurrence<S, H> for Fused {
    #[inline(always)]
    fn depth(hidden: usize) -> usize {
        hidden
    }
    #[inline(always)]
    unsafe fn accumulate<const N: usize, const HALF: bool>(
        self,
        s: S,
        half: H,
        from: &Sources,
        acc: &mut [[S::V; 4]; N],
        half_acc: &mut [[H::V; 4]; 1],
    ) {
        // SAFETY: as the caller promises.
        unsafe { accumulate_in_order::<S, H, _, N, HALF>(s, half, self, from, acc, half_acc) }
    }
    #[inline(always)]
    unsafe fn keep(self, out: *const f32, _: usize, _: *mut f32) -> *const f32 {
        out
    }
}
