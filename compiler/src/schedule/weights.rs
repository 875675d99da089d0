//! The weights section while it grows: aligned, and each content once. May import: far-format
//! (architectures).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use far_format::cpu::Arch;

/// Every offset is a multiple of this many bytes.
const ALIGN: usize = 64;

/// The section.
#[derive(Debug)]
pub(super) struct Weights {
    /// Whose layout packed weights have.
    pub(super) arch: Arch,
    bytes: Vec<u8>,
    /// Hash of a content → offset and length of those that have it.
    known: HashMap<u64, Vec<(usize, usize)>>,
}

impl Weights {
    pub(super) fn new(arch: Arch) -> Self {
        Self { arch, bytes: Vec::new(), known: HashMap::new() }
    }

    /// Adds numbers, unless the very same ones are there already. Gives their offset in bytes.
    pub(super) fn add(&mut self, data: &[f32]) -> u64 {
        let mut hasher = DefaultHasher::new();
        data.iter().for_each(|x| x.to_bits().hash(&mut hasher));
        let same = self.known.entry(hasher.finish()).or_default();
        let len = data.len() * 4;
        let found = same.iter().find(|(at, n)| *n == len && is_same(&self.bytes[*at..at + n], data));
        if let Some((at, _)) = found {
            return *at as u64;
        }
        let at = self.bytes.len().next_multiple_of(ALIGN);
        same.push((at, len));
        self.bytes.resize(at, 0);
        self.bytes.reserve(len);
        for x in data {
            self.bytes.extend_from_slice(&x.to_le_bytes());
        }
        at as u64
    }

    /// The finished section.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn is_same(bytes: &[u8], data: &[f32]) -> bool {
    bytes.chunks_exact(4).zip(data).all(|(b, x)| b == x.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_stored_once() {
        let mut weights = Weights::new(Arch::X86_64);
        assert_eq!(weights.add(&[1.0, 2.0]), 0);
        assert_eq!(weights.add(&[1.0]), 64);
        assert_eq!(weights.add(&[1.0, 2.0]), 0);
        assert_eq!(weights.add(&[0.0, -0.0]), 128);
        assert_eq!(weights.add(&[0.0, 0.0]), 192, "signs of zero differ");
        assert_eq!(weights.into_bytes().len(), 200);
    }
}
