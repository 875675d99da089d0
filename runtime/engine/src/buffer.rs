//! f32 memory that begins on a cache line. May import: `error`.

use crate::error::{Error, Result};

/// Bytes of a cache line, and of the widest vector.
const ALIGNMENT: usize = 64;

/// Zeroed f32 memory, aligned to 64 bytes; it never moves.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Longer than `len` by what alignment may cost.
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros. `what` is for the error.
    pub(crate) fn new(len: usize, what: &'static str) -> Result<Buffer> {
        let spare = ALIGNMENT / size_of::<f32>() - 1;
        let short = || Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<f32>()) };
        let whole = len.checked_add(spare).ok_or_else(short)?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(whole).map_err(|_| short())?;
        memory.resize(whole, 0.0);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        assert!(start <= spare, "an f32 pointer reaches a cache line within {spare} elements");
        Ok(Buffer { memory, start, len })
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_and_zero() {
        for len in [0, 1, 16, 1001] {
            let buffer = Buffer::new(len, "a test").unwrap();
            assert_eq!(buffer.as_slice(), vec![0.0; len]);
            assert!(buffer.as_slice().as_ptr().cast::<[u8; 64]>().addr().is_multiple_of(64));
        }
    }

    #[test]
    fn too_much_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4] {
            assert!(matches!(Buffer::new(len, "a test"), Err(Error::OutOfMemory { what: "a test", .. })));
        }
    }
}
