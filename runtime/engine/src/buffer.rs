//! f32 memory that begins on a cache line. May import: `error`.

use crate::error::{Error, Result};

/// Bytes of a cache line, and of the widest vector.
const ALIGNMENT: usize = 64;

/// f32 elements of a cache line.
const LINE: usize = ALIGNMENT / size_of::<f32>();

/// Zeroed f32 memory, aligned to 64 bytes; it never moves.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Memory,
    start: usize,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    /// Longer than the buffer by what alignment may cost.
    Own(Vec<f32>),
    Lent(&'static mut [f32]),
}

impl Buffer {
    /// `len` zeros. `what` is for the error.
    pub(crate) fn new(len: usize, what: &'static str) -> Result<Buffer> {
        let spare = LINE - 1;
        let short = || Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<f32>()) };
        let whole = len.checked_add(spare).ok_or_else(short)?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(whole).map_err(|_| short())?;
        memory.resize(whole, 0.0);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        assert!(start <= spare, "an f32 pointer reaches a cache line within {spare} elements");
        Ok(Buffer { memory: Memory::Own(memory), start, len })
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        let memory: &[f32] = match &self.memory {
            Memory::Own(memory) => memory,
            Memory::Lent(memory) => memory,
        };
        &memory[self.start..][..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        let memory: &mut [f32] = match &mut self.memory {
            Memory::Own(memory) => memory,
            Memory::Lent(memory) => memory,
        };
        &mut memory[self.start..][..self.len]
    }
}

/// Where buffers come from: the allocator, or one piece of memory that a caller lends.
#[derive(Debug)]
pub(crate) struct Supply(Option<&'static mut [f32]>);

impl Supply {
    pub(crate) fn allocator() -> Supply {
        Supply(None)
    }

    /// `needed` f32 elements, as [`padded`] ones sum up, of memory that begins on a cache line.
    pub(crate) fn lent(memory: &'static mut [f32], needed: usize) -> Result<Supply> {
        let address = memory.as_ptr().addr();
        if !address.is_multiple_of(ALIGNMENT) {
            let (what, found) = ("a session's memory", address % ALIGNMENT);
            return Err(Error::Alignment { what, expected: ALIGNMENT, found });
        }
        if memory.len() < needed {
            let bytes = |len: usize| len.saturating_mul(size_of::<f32>());
            return Err(Error::MemorySize { expected: bytes(needed), found: bytes(memory.len()) });
        }
        Ok(Supply(Some(memory)))
    }

    /// A buffer of `len` zeros. `what` is for the error.
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<Buffer> {
        let Some(memory) = self.0.take() else { return Buffer::new(len, what) };
        let bytes = len.saturating_mul(size_of::<f32>());
        let (memory, rest) =
            memory.split_at_mut_checked(padded(len)).ok_or(Error::OutOfMemory { what, bytes })?;
        self.0 = Some(rest);
        memory.fill(0.0);
        Ok(Buffer { memory: Memory::Lent(memory), start: 0, len })
    }
}

/// f32 elements that a buffer takes of a caller's memory, so that the next one begins on a cache line.
pub(crate) fn padded(len: usize) -> usize {
    len.checked_next_multiple_of(LINE).unwrap_or(usize::MAX)
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
    fn lent_memory_is_cut_at_cache_lines() {
        #[repr(align(64))]
        struct Lines([f32; 64]);
        let lines: &'static mut Lines = Box::leak(Box::new(Lines([1.0; 64])));
        let end = lines.0.as_ptr_range().end;
        let mut supply = Supply::lent(&mut lines.0, padded(3) + padded(40)).unwrap();
        let (mut a, b) = (supply.take(3, "a").unwrap(), supply.take(40, "b").unwrap());
        a.as_mut_slice().fill(2.0);
        assert_eq!((a.as_slice(), b.as_slice()), (&[2.0; 3][..], &[0.0; 40][..]));
        assert_eq!(b.as_slice().as_ptr().addr() + 48 * 4, end.addr());
        assert!(matches!(supply.take(1, "c"), Err(Error::OutOfMemory { what: "c", bytes: 4 })));
    }

    #[test]
    fn memory_that_does_not_fit_is_refused() {
        let memory: &'static mut [f32] = Box::leak(vec![0.0; 48].into_boxed_slice());
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        let (_, aligned) = memory.split_at_mut(start);
        let (small, aligned) = aligned.split_at_mut(16);
        let error = Supply::lent(small, 17).unwrap_err();
        assert!(matches!(error, Error::MemorySize { expected: 68, found: 64 }), "{error}");
        let error = Supply::lent(&mut aligned[1..], 1).unwrap_err();
        assert!(matches!(error, Error::Alignment { expected: 64, found: 4, .. }), "{error}");
    }

    #[test]
    fn too_much_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4] {
            assert!(matches!(Buffer::new(len, "a test"), Err(Error::OutOfMemory { what: "a test", .. })));
        }
    }
}
