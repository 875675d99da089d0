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

/// Most bytes of a mask file.
const MAX_BYTES: u64 = 1 << 32;

impl Masks {
    /// Reads a mask file.
    ///
    /// # Errors
    ///
    /// `Io` if it can't be read, `LimitExceeded` beyond 4 GiB, else what [`Masks::from_bytes`] finds.
    pub fn read(path: &Path) -> Result<Self> {
        let io = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("can't read the masks: {error}")).in_file(path)
        };
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, "the mask file is too large")
                .in_file(path)
                .expected(format!("at most `{MAX_BYTES}` bytes"))
                .got("more"));
        }
        Self::from_bytes(&bytes).map_err(|error| error.in_file(path))
    }

    /// Reads the bytes of a mask file.
    ///
    /// # Errors
    ///
    /// `BadMask` for a file that is neither sound safetensors nor sound npz, and for an array that is neither a matrix
    /// nor a keep-list; `LimitExceeded` for an npz file that unpacks to more than 1 GiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if npz::is_npz(bytes) {
            return npz::read(bytes);
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
