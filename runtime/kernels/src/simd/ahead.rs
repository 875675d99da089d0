//! Weights and gates on their way to the caches while others are computed. May import: `lstm`.

use crate::lstm::LstmCall;

/// Memory that is read after some tiles: they ask for it to come into the second-level cache, each for a share, bit by bit while it
/// computes, since a core waits where it is asked for more at a time than it has room to keep in flight. Four places are read side
/// by side, which lets the core's own prefetching follow each of them.
pub(crate) struct Ahead {
    /// In the first place.
    next: *const u8,
    /// How often there is something left to ask for.
    left: usize,
    /// Bytes from the first to the second place, and from these two to the others.
    second: usize,
    others: usize,
    /// How often a tile asks.
    turns: usize,
}

impl Ahead {
    const LINE: usize = 64;
    /// Lines of each place to ask for at a time.
    const LINES: usize = 2;
    /// Tiles of fewer rows don't ask: they take no longer than their own weights take to come, one after the other.
    const FEWEST_ROWS: usize = 4;

    /// Nothing.
    pub(super) fn nothing() -> Self {
        Self { next: core::ptr::null(), left: 0, second: 0, others: 0, turns: 1 }
    }

    /// `words` from `base` on, for so many tiles.
    pub(super) fn of(base: *const f32, words: usize, tiles: usize) -> Self {
        Self::of_two(base, words / 2, words / 2, tiles)
    }

    /// `words` from `base` on, and as many `apart` words further.
    pub(super) fn of_two(base: *const f32, words: usize, apart: usize, tiles: usize) -> Self {
        let second = words * size_of::<f32>() / 2;
        let left = second.div_ceil(Self::LINES * Self::LINE);
        let turns = left.div_ceil(tiles.max(1)).max(1);
        Self { next: base.cast(), left, second, others: apart * size_of::<f32>(), turns }
    }

    /// Of the `steps` of a tile of so many rows, how many to compute between one [`ask`](Self::ask) and the next.
    #[inline(always)]
    pub(crate) fn steps<const ROWS: usize>(&self, steps: usize) -> usize {
        if ROWS < Self::FEWEST_ROWS { steps } else { steps.div_ceil(self.turns) }
    }

    /// Asks for what comes next of what is left; no more than a hint.
    #[inline(always)]
    pub(crate) fn ask<const ROWS: usize>(&mut self) {
        if ROWS >= Self::FEWEST_ROWS && self.left > 0 {
            self.left -= 1;
            for line in 0..Self::LINES {
                let first = self.next.wrapping_add(line * Self::LINE);
                let other = first.wrapping_add(self.others);
                prefetch(first);
                prefetch(first.wrapping_add(self.second));
                prefetch(other);
                prefetch(other.wrapping_add(self.second));
            }
            self.next = self.next.wrapping_add(Self::LINES * Self::LINE);
        }
    }
}

/// Asks for the gates of a unit of `padded` hidden units two steps after that of row `t`. Rows lie too far apart for a core to foresee the next, and another
/// core may have computed them; of the architectures here x86-64 is the one where that was seen to take time.
#[inline(never)]
pub(super) fn ask_for_gates(call: &LstmCall, t: usize, padded: usize) {
    const STEPS: usize = 2;
    if cfg!(target_arch = "x86_64") {
        let rows = STEPS * call.gates_stride;
        let here = call.gates.wrapping_add(t * call.gates_stride);
        let next = if call.reverse { here.wrapping_sub(rows) } else { here.wrapping_add(rows) };
        for line in 0..(4 * padded * size_of::<f32>()).div_ceil(Ahead::LINE) {
            prefetch(next.cast::<u8>().wrapping_add(line * Ahead::LINE));
        }
    }
}

/// Asks for a line.
#[inline(always)]
fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: part of the base architecture, and never faults.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(line.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: part of the base architecture, and never faults.
    unsafe {
        core::arch::asm!("prfm pldl2keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly));
    }
}
