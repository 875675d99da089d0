//! Which elements of the arena and of the outputs have been written so far: a bit each, and another for elements that
//! were written as part of a token, which a run of fewer tokens may not have. May import: `region`, `error`.

use alloc::vec::Vec;
use core::ops::{Deref, Range};

use super::Sizes;
use super::ports::PortSize;
use crate::bytes::reserve;
use crate::error::Result;
use crate::region::{Region, Space};

/// A region and the tensor that it is part of.
#[derive(Clone, Copy)]
pub(super) struct Area {
    region: Region,
    tensor: Region,
}

impl Area {
    pub(super) fn new(region: Region, tensor: Region) -> Area {
        Area { region, tensor }
    }

    /// A region of no tensor.
    pub(super) fn run(space: Space, start: usize, len: usize) -> Area {
        let region = Region::run(space, start, len);
        Area { region, tensor: region }
    }

    /// All of an output.
    pub(super) fn output(n: usize, size: &PortSize, tokens: u32) -> Area {
        let whole = Region::run(Space::Output(n), 0, size.len as usize);
        if !size.tokens || tokens < 2 {
            return Area { region: whole, tensor: whole };
        }
        let (rows, cols) = (tokens as usize, whole.cols / tokens as usize);
        let region = Region { rows, cols, stride: cols, tokens: true, ..whole };
        Area { region, tensor: region }
    }

    /// All its columns, as one range.
    pub(super) fn all_columns(&self) -> [Range<usize>; 1] {
        [Range { start: 0, end: self.region.cols }]
    }

    /// A range of its columns.
    fn columns(&self, columns: &Range<usize>) -> Region {
        self.region.columns(columns.start, columns.len())
    }
}

impl Deref for Area {
    type Target = Region;
    fn deref(&self) -> &Region {
        &self.region
    }
}

/// The elements written so far.
pub(super) struct Written {
    arena: Layers,
    outputs: Vec<Layers>,
    /// Tensors whose tokens the second layers hold: of any two that meet, only the one that was written last.
    tensors: Vec<Region>,
}

/// The bits of one memory.
struct Layers {
    /// Written in every run.
    always: Bits,
    /// Written by the runs that have the token. Empty where the number of tokens is fixed.
    tokens: Bits,
}

impl Written {
    pub(super) fn new(sizes: &Sizes) -> Result<Written> {
        let layers = |len: u64| {
            let tokens = Bits::new(if sizes.tokens > 1 { len } else { 0 })?;
            Ok(Layers { always: Bits::new(len)?, tokens })
        };
        let mut outputs = Vec::new();
        reserve(&mut outputs, sizes.outputs.len())?;
        for output in &sizes.outputs {
            outputs.push(layers(output.len)?);
        }
        Ok(Written { arena: layers(sizes.arena)?, outputs, tensors: Vec::new() })
    }

    /// The first of an area's ranges of columns of which some run has not written every element that it has; inputs and weights
    /// always are.
    pub(super) fn missing(&self, area: &Area, columns: &[Range<usize>]) -> Option<Region> {
        let layers = match area.space {
            Space::Arena => &self.arena,
            Space::Output(n) => &self.outputs[n],
            Space::Input(_) | Space::Weights => return None,
        };
        let cut = area.tokens && self.tensors.iter().any(|tensor| is_same_grid(tensor, &area.tensor));
        let is_written = |region: &Region| match cut {
            true => runs(region).all(|(start, end)| layers.always.all_or(&layers.tokens, start, end)),
            false => runs(region).all(|(start, end)| layers.always.all(start, end)),
        };
        columns.iter().map(|columns| area.columns(columns)).find(|region| !is_written(region))
    }

    /// From now on every run has written these ranges of the area's columns.
    pub(super) fn write(&mut self, area: &Area, columns: &[Range<usize>]) -> Result<()> {
        if area.tokens {
            self.claim(&area.tensor)?;
        }
        let layers = self.layers(area.space);
        for region in columns.iter().map(|columns| area.columns(columns)) {
            let written = if region.tokens {
                // Every run has the first token.
                layers.always.set(region.start, region.start + region.cols, true);
                &mut layers.tokens
            } else {
                &mut layers.always
            };
            runs(&region).for_each(|(start, end)| written.set(start, end, true));
        }
        Ok(())
    }

    /// From now on they are not.
    pub(super) fn forget(&mut self, area: &Area) {
        let layers = self.layers(area.space);
        let Layers { always, tokens } = layers;
        for bits in [always, tokens].into_iter().filter(|bits| !bits.0.is_empty()) {
            runs(area).for_each(|(start, end)| bits.set(start, end, false));
        }
    }

    /// Makes a tensor the only one of those that meet it whose tokens are known.
    fn claim(&mut self, tensor: &Region) -> Result<()> {
        let Written { arena, outputs, tensors } = self;
        let mut known = false;
        tensors.retain(|other| {
            let same = is_same_grid(other, tensor);
            known |= same;
            let meets =
                other.space == tensor.space && other.start < tensor.end() && tensor.start < other.end();
            if meets && !same {
                let layers = match other.space {
                    Space::Output(n) => &mut outputs[n],
                    _ => &mut *arena,
                };
                layers.tokens.set(other.start, other.end(), false);
            }
            same || !meets
        });
        if !known {
            reserve(tensors, 1)?;
            tensors.push(*tensor);
        }
        Ok(())
    }

    /// The bits of a memory that may be written.
    fn layers(&mut self, space: Space) -> &mut Layers {
        match space {
            Space::Output(n) => &mut self.outputs[n],
            _ => &mut self.arena,
        }
    }
}

/// Whether both have the same rows at the same places: where one has the first tokens, the other has them too.
fn is_same_grid(a: &Region, b: &Region) -> bool {
    a.space == b.space && a.start == b.start && a.stride == b.stride && a.end() == b.end()
}

/// Start and end of each row; one run where the rows follow each other without a gap.
fn runs(region: &Region) -> impl Iterator<Item = (usize, usize)> + use<> {
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

    /// Whether each is in the set.
    fn all(&self, start: usize, end: usize) -> bool {
        let parts = Parts::of(start, end);
        parts.ends().all(|(word, mask)| self.0[word] & mask == mask)
            && self.0[parts.whole()].iter().all(|word| *word == u64::MAX)
    }

    /// Whether each is in one of the two; `other` is of the same memory.
    fn all_or(&self, other: &Bits, start: usize, end: usize) -> bool {
        let parts = Parts::of(start, end);
        parts.ends().all(|(word, mask)| (self.0[word] | other.0[word]) & mask == mask)
            && self.0[parts.whole()].iter().zip(&other.0[parts.whole()]).all(|(a, b)| a | b == u64::MAX)
    }

    fn set(&mut self, start: usize, end: usize, yes: bool) {
        let parts = Parts::of(start, end);
        for (word, mask) in parts.ends() {
            if yes {
                self.0[word] |= mask;
            } else {
                self.0[word] &= !mask;
            }
        }
        self.0[parts.whole()].fill(if yes { u64::MAX } else { 0 });
    }
}

/// The words of a range of bits: whole ones between two that it may have only parts of. What a load takes is mostly these sets, so
/// that whole words are compared and filled as slices.
struct Parts {
    /// Words and the masks of their parts; a mask of nothing where there is no such word.
    ends: [(usize, u64); 2],
    whole: Range<usize>,
}

impl Parts {
    fn of(start: usize, end: usize) -> Parts {
        let (first, last) = (start / 64, end / 64);
        let (from, below) = (u64::MAX << (start % 64), !(u64::MAX << (end % 64)));
        if start >= end {
            Parts { ends: [(0, 0); 2], whole: 0..0 }
        } else if first == last {
            Parts { ends: [(first, from & below), (0, 0)], whole: 0..0 }
        } else {
            Parts { ends: [(first, from), (last, below)], whole: first + 1..last }
        }
    }

    fn ends(&self) -> impl Iterator<Item = (usize, u64)> + use<> {
        self.ends.into_iter().filter(|(_, mask)| *mask != 0)
    }

    fn whole(&self) -> Range<usize> {
        self.whole.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_agree_with_a_list() {
        // Miri is slow.
        let ends: &[usize] = match cfg!(miri) {
            true => &[0, 1, 63, 64, 129, 192],
            false => &[0, 1, 3, 7, 10, 63, 64, 65, 127, 128, 129, 190, 191, 192],
        };
        let none = Bits::new(192).unwrap();
        for (start, end) in ends.iter().flat_map(|start| ends.iter().map(|end| (*start, *end))) {
            let mut bits = Bits::new(192).unwrap();
            bits.set(start, end, true);
            for i in 0..192 {
                assert_eq!(bits.all(i, i + 1), (start..end).contains(&i), "{i} of {start}..{end}");
            }
            for (from, to) in ends.iter().flat_map(|from| ends.iter().map(|to| (*from, *to))) {
                let inside = from >= to || (start <= from && to <= end);
                assert_eq!(bits.all(from, to), inside, "{from}..{to} of {start}..{end}");
                assert_eq!(none.all_or(&bits, from, to), inside, "{from}..{to} of none or {start}..{end}");
            }
            bits.set(0, 192, true);
            bits.set(start, end, false);
            let left = (0..192).filter(|i| bits.all(*i, *i + 1)).count();
            assert_eq!(left, 192 - end.saturating_sub(start), "all but {start}..{end}");
        }
    }
}
