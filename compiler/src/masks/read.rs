//! Safetensors → masks. Memory is bounded by the size of the file. May import: `error`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Mask, Masks};
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
    /// `BadMask` for broken safetensors, and for a tensor that is not a matrix of 0 and 1 in f32, u8 or bool.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            Error::new(ErrorKind::BadMask, format!("the mask file is not sound: {error}"))
                .hint("masks are read from safetensors files")
        })?;
        let masks: Result<BTreeMap<_, _>> = tensors
            .iter()
            .map(|(name, tensor)| {
                let mask = mask(&tensor).map_err(|error| error.at_node(name))?;
                Ok((name.to_owned(), mask))
            })
            .collect();
        Ok(Self { masks: masks? })
    }

    /// Number of masks.
    pub fn len(&self) -> usize {
        self.masks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }
}

fn mask(tensor: &TensorView<'_>) -> Result<Mask> {
    let &[rows, cols] = tensor.shape() else {
        return Err(Error::new(ErrorKind::BadMask, "a mask is a matrix")
            .expected("two dimensions")
            .got(format!("`{:?}`", tensor.shape()))
            .hint("only weight matrices are masked; biases stay"));
    };
    let keep: Result<Vec<bool>> = match tensor.dtype() {
        Dtype::F32 => {
            let elements =
                tensor.data().chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
            elements.enumerate().map(|(i, x)| bit(i, cols, x, x == 1.0, x == 0.0)).collect()
        }
        Dtype::U8 | Dtype::BOOL => {
            let elements = tensor.data().iter().enumerate();
            elements.map(|(i, x)| bit(i, cols, x, *x == 1, *x == 0)).collect()
        }
        other => {
            return Err(Error::new(ErrorKind::BadMask, "a mask of the wrong type")
                .expected("`F32`, `U8` or `BOOL`")
                .got(format!("`{other:?}`")));
        }
    };
    Ok(Mask { dims: [rows, cols], keep: keep? })
}

fn bit(index: usize, cols: usize, x: impl std::fmt::Display, one: bool, zero: bool) -> Result<bool> {
    if one || zero {
        return Ok(one);
    }
    Err(Error::new(ErrorKind::BadMask, "an element of a mask is neither 0 nor 1")
        .at_field(format!("row {}, column {}", index / cols, index % cols))
        .expected("`0` or `1`")
        .got(format!("`{x}`"))
        .hint("scores have to be compared with their threshold first"))
}
