//! The weights of a model: mapped from its file, in memory that stays, or copied. One of the places that hold unsafe code: the map itself and
//! the cast of bytes to f32. May import: `buffer`, `error`, `system`.
#![allow(unsafe_code)]

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::system;

/// A whole file in memory.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = system::open(path)?;
    // SAFETY: the map is read only; that nobody changes the file while it is mapped is the caller's duty, stated at
    // `Model::open`, as with every program and shared library that the system maps.
    unsafe { Mmap::map(&file) }.or_else(|source| {
        if source.kind() == ErrorKind::OutOfMemory {
            let bytes = file.metadata().map_or(0, |metadata| metadata.len());
            return Err(Error::OutOfMemory { what: "the file's map", bytes: bytes as usize });
        }
        Err(Error::Io { path: system::copy(path)?, source })
    })
}

/// Where a model's weights are.
#[derive(Debug)]
pub(crate) enum Weights {
    /// In a mapped file, in use in place.
    Mapped { file: Mmap, bytes: Range<usize> },
    /// In memory that stays, in use in place.
    Static(&'static [u8]),
    /// In memory of our own.
    Copied(Buffer),
}

impl Weights {
    /// A copy of little-endian f32 bytes.
    pub(crate) fn copy(bytes: &[u8]) -> Result<Weights> {
        let (values, rest) = bytes.as_chunks();
        assert!(rest.is_empty(), "a weights section is a whole number of f32");
        let mut buffer = Buffer::new(values.len(), "the weights")?;
        for (to, from) in buffer.as_mut_slice().iter_mut().zip(values) {
            *to = f32::from_le_bytes(*from);
        }
        Ok(Weights::Copied(buffer))
    }

    /// All of them.
    pub(crate) fn as_slice(&self) -> &[f32] {
        const { assert!(cfg!(target_endian = "little"), "artifacts are little-endian") };
        match self {
            Weights::Copied(buffer) => buffer.as_slice(),
            // A map begins on a page.
            Weights::Mapped { file, bytes } => in_place(&file[bytes.clone()]),
            Weights::Static(bytes) => in_place(bytes),
        }
    }
}

/// The bytes of a section as what they are. Its place in the artifact is a multiple of 64 KiB, the artifact's in memory one
/// of 64.
fn in_place(bytes: &[u8]) -> &[f32] {
    // SAFETY: every bit pattern is an f32, and `align_to` takes only what is aligned.
    let (before, weights, after) = unsafe { bytes.align_to::<f32>() };
    assert!(before.is_empty() && after.is_empty(), "an aligned section is a whole number of f32");
    weights
}
