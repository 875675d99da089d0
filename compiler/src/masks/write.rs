//! Masks → safetensors. May import: `error`.

use std::borrow::Cow;

use safetensors::{Dtype, View, serialize};

use super::{Entry, Masks};
use crate::error::{Error, ErrorKind, Result};

impl Masks {
    /// The bytes of a safetensors file: matrices and 0/1 lists as bool, lists of indices as i64.
    ///
    /// # Errors
    ///
    /// `LimitExceeded` if the names are more than the format can hold.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let tensors = self.entries.iter().map(|(name, entry)| (name, Tensor::of(entry)));
        serialize(tensors, None)
            .map_err(|e| Error::new(ErrorKind::LimitExceeded, format!("the masks can't be written: {e}")))
    }
}

struct Tensor<'a> {
    shape: Vec<usize>,
    data: Data<'a>,
}

enum Data<'a> {
    Bits(&'a [bool]),
    Indices(&'a [usize]),
}

impl<'a> Tensor<'a> {
    fn of(entry: &'a Entry) -> Self {
        match entry {
            Entry::Matrix(mask) => Self { shape: mask.dims.to_vec(), data: Data::Bits(&mask.keep) },
            Entry::Bits(keep) => Self { shape: vec![keep.len()], data: Data::Bits(keep) },
            Entry::Indices(kept) => Self { shape: vec![kept.len()], data: Data::Indices(kept) },
        }
    }
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.data {
            Data::Bits(_) => Dtype::BOOL,
            Data::Indices(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self.data {
            Data::Bits(bits) => bits.iter().map(|bit| u8::from(*bit)).collect(),
            Data::Indices(kept) => kept.iter().flat_map(|unit| (*unit as u64).to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        match self.data {
            Data::Bits(bits) => bits.len(),
            Data::Indices(kept) => 8 * kept.len(),
        }
    }
}
