//! The weights of a model: mapped from its file, read from it, in memory that stays, or copied. One of the places that hold unsafe code: the map itself and
//! the cast of bytes to f32. May import: `buffer`, `error`, `system`.
#![allow(unsafe_code)]

use std::io::{ErrorKind, Read as _};
use std::ops::Range;
use std::path::Path;

use far_format::Limits;
use memmap2::Mmap;

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::system;

/// A whole file in memory, within limits.
pub(crate) fn map(path: &Path, limits: &Limits) -> Result<Mmap> {
    let file = system::open(path)?;
    limits.check_file(file.metadata().map_or(0, |metadata| metadata.len()))?;
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

/// A whole file within limits, read into memory of our own.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Whole> {
    let mut file = system::open(path)?;
    let error = |source| Ok::<_, Error>(Error::Io { path: system::copy(path)?, source });
    let len = match file.metadata() {
        Ok(metadata) => usize::try_from(metadata.len()).unwrap_or(usize::MAX),
        Err(source) => return Err(error(source)?),
    };
    limits.check_file(len as u64)?;
    let mut memory = Buffer::new(len.div_ceil(size_of::<f32>()), "the file")?;
    match file.read_exact(&mut as_bytes_mut(memory.as_mut_slice())[..len]) {
        Ok(()) => Ok(Whole { memory, len }),
        Err(source) => Err(error(source)?), // shortened meanwhile, for example
    }
}

/// The first `N` bytes of a file, and how many there are.
pub(crate) fn read_first<const N: usize>(path: &Path) -> Result<([u8; N], usize)> {
    let mut file = system::open(path)?;
    let (mut bytes, mut len) = ([0; N], 0);
    while len < N {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { path: system::copy(path)?, source }),
        }
    }
    Ok((bytes, len))
}

/// A file in memory of our own.
#[derive(Debug)]
pub(crate) struct Whole {
    memory: Buffer,
    len: usize,
}

impl Whole {
    pub(crate) fn bytes(&self) -> &[u8] {
        let words = self.memory.as_slice();
        // SAFETY: f32 are bytes without any between; as many as there are.
        let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) };
        &bytes[..self.len]
    }
}

fn as_bytes_mut(words: &mut [f32]) -> &mut [u8] {
    // SAFETY: f32 are bytes without any between, as many as there are, and any bytes are f32.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

/// Where a model's weights are.
#[derive(Debug)]
pub(crate) enum Weights {
    /// In a mapped file, in use in place.
    Mapped { file: Mmap, bytes: Range<usize> },
    /// In a file that was read, in use in place.
    Read { file: Whole, bytes: Range<usize> },
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
            // Our memory begins on a cache line.
            Weights::Read { file, bytes } => in_place(&file.bytes()[bytes.clone()]),
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
