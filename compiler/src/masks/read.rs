//! Mask files → masks. Memory is bounded by the size of the file, and for packed ones by a limit. May import: `error`,
//! `element`, `npz`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::element::{self, Element};
use super::{Entry, Masks, npz};
use crate::error::{Error, ErrorKind, Result};

/// What is accepted of a mask file.
#[derive(Clone, Copy, Debug)]
pub struct MaskLimits {
    /// Most bytes of the file.
    pub bytes: u64,
    /// Most bytes of the arrays in an npz file, unpacked.
    pub unpacked: u64,
}

impl Default for MaskLimits {
    fn default() -> Self {
        Self { bytes: 1 << 32, unpacked: 1 << 30 }
    }
}

impl MaskLimits {
    /// The bytes of a mask file.
    ///
    /// # Errors
    ///
    /// `Io` if it can't be read, `LimitExceeded` where it is larger.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let io = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("can't read the masks: {error}")).in_file(path)
        };
        let mut bytes = Vec::new();
        let most = self.bytes.saturating_add(1);
        File::open(path).map_err(io)?.take(most).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > self.bytes {
            return Err(Error::new(ErrorKind::LimitExceeded, "the mask file is too large")
                .in_file(path)
                .expected(format!("at most `{}` bytes", self.bytes))
                .got("more")
                .hint("`--limit mask-bytes=N` accepts more"));
        }
        Ok(bytes)
    }
}

impl Masks {
    /// Reads a mask file.
    ///
    /// # Errors
    ///
    /// `Io` if it can't be read, `LimitExceeded` beyond 4 GiB, else what [`Masks::from_bytes`] finds.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_within(path, &MaskLimits::default())
    }

    /// As [`Masks::read`], within other limits.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn read_within(path: &Path, limits: &MaskLimits) -> Result<Self> {
        let bytes = limits.read(path)?;
        Self::from_bytes_within(&bytes, limits).map_err(|error| error.in_file(path))
    }

    /// Reads the bytes of a mask file.
    ///
    /// # Errors
    ///
    /// `BadMask` for a file that is neither sound safetensors nor sound npz, and for an array that is neither a matrix
    /// nor a keep-list; `LimitExceeded` for an npz file that unpacks to more than 1 GiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_bytes_within(bytes, &MaskLimits::default())
    }

    /// As [`Masks::from_bytes`], within other limits.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn from_bytes_within(bytes: &[u8], limits: &MaskLimits) -> Result<Self> {
        if npz::is_npz(bytes) {
            return npz::read_within(bytes, limits.unpacked);
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            Error::new(ErrorKind::BadMask, format!("the mask file is not sound: {error}"))
                .hint("masks are read from safetensors and npz files")
        })?;
        let entries: Result<BTreeMap<_, _>> = tensors
            .iter()
            .map(|(name, tensor)| {
                let entry = entry(&tensor).map_err(|error| error.at_node(name))?;
                Ok((name.to_owned(), entry))
            })
            .collect();
        Ok(Self { entries: entries? })
    }
}

fn entry(tensor: &TensorView<'_>) -> Result<Entry> {
    let element = match tensor.dtype() {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Err(Error::new(ErrorKind::BadMask, "a mask of the wrong type")
                .expected(Element::EXPECTED)
                .got(format!("`{other:?}`")));
        }
    };
    element::entry(element, tensor.shape(), false, tensor.data())
}
