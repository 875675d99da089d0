//! Which elements of the arena and of the outputs have been written so far: a bit each.
//! May import: `region`, `error`.

use alloc::vec::Vec;

use crate::bytes::reserve;
use crate::error::Result;
use crate::region::{Region, Space};

/// The elements written so far.
pub(super) struct Written {
    arena: Bits,
    outputs: Vec<Bits>,
}

impl Written {
    pub(super) fn new(arena: u64, outputs: &[u64]) -> Result<Written> {
        let mut bits = Vec::new();
        reserve(&mut bits, outputs.len())?;
        for len in outputs {
            bits.push(Bits::new(*len)?);
        }
        Ok(Written { arena: Bits::new(arena)?, outputs: bits })
    }

    /// Whether every element of the region has been; inputs and weights always are.
    pub(super) fn all(&self, region: &Region) -> bool {
        let bits = match region.space {
            Space::Arena => &self.arena,
            Space::Output(n) => &self.outputs[n],
            Space::Input(_) | Space::Weights => return true,
        };
        runs(region).all(|(start, end)| bits.all(start, end))
    }

    /// From now on they are, or, with `yes` false, are not.
    pub(super) fn set(&mut self, region: &Region, yes: bool) {
        let bits = match region.space {
            Space::Arena => &mut self.arena,
            Space::Output(n) => &mut self.outputs[n],
            Space::Input(_) | Space::Weights => return,
        };
        runs(region).for_each(|(start, end)| bits.set(start, end, yes));
    }
}

/// Start and end of each row; one run where the rows follow each other without a gap.
fn runs(region: &Region) -> impl Iterator<Item = (usize, usize)> {
    let dense = region.rows == 1 || region.stride == region.cols;
    let Region { start, rows, cols, stride, .. } = *region;
    let (count, len) = if dense { (1, rows * cols) } else { (rows, cols) };
    (0..count).map(move |row| (start + row * stride, start + row * stride + len))
}

struct Bits(Vec<u64>);

impl Bits {
    fn new(len: u64) -> Result<Bits> {
        let words = len.div_ceil(64) as usize; // at most 2^30 elements: see the limits of arena and ports
        let mut bits = Vec::new();
        reserve(&mut bits, words)?;
        bits.resize(words, 0);
        Ok(Bits(bits))
    }

    /// The words that a range touches, each with the mask of its part.
    fn words(start: usize, end: usize) -> impl Iterator<Item = (usize, u64)> {
        (start / 64..end.div_ceil(64)).map(move |word| {
            let from = start.max(word * 64) - word * 64;
            let to = end.min(word * 64 + 64) - word * 64;
            (word, (u64::MAX >> (64 - (to - from))) << from)
        })
    }

    fn all(&self, start: usize, end: usize) -> bool {
        Self::words(start, end).all(|(word, mask)| self.0[word] & mask == mask)
    }

    fn set(&mut self, start: usize, end: usize, yes: bool) {
        for (word, mask) in Self::words(start, end) {
            if yes {
                self.0[word] |= mask;
            } else {
                self.0[word] &= !mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_agree_with_a_list() {
        for (start, end) in [(0, 1), (0, 64), (0, 65), (3, 7), (63, 65), (64, 128), (10, 190), (127, 128)] {
            let mut bits = Bits::new(192).unwrap();
            bits.set(start, end, true);
            for i in 0..192 {
                assert_eq!(bits.all(i, i + 1), (start..end).contains(&i), "{i} of {start}..{end}");
            }
            assert!(bits.all(start, end) && !bits.all(start, end + 1));
            bits.set(start, end, false);
            assert!(bits.0.iter().all(|word| *word == 0));
        }
    }
}
