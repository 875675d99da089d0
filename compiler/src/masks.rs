//! Pruning masks: which weights of a model are zero, by PyTorch's names and in its layouts. May import: `ir`, `error`;
//! far-tool (headers of arrays).
//!
//! A mask file is a safetensors or npz file; `docs/masks.md` describes its entries. Most are 0/1 matrices named after a
//! parameter and of its shape. They are applied right after the import, while the graph's nodes still are the model's
//! modules:
//!
//! | parameter | node | PyTorch's layout | IR's layout |
//! | --- | --- | --- | --- |
//! | `PATH.weight` | `Linear` named `PATH` | out × in | in × out |
//! | `PATH.weight_ih_l0` | `MultiHeadLstm` named `PATH`, forward | 4H × D, gates i, f, g, o | 4H × D, gates i, o, f, c |
//! | `PATH.weight_hh_l0` | the same | 4H × H, gates i, f, g, o | 4H × H, gates i, o, f, c |
//! | `….._reverse` | the same, reverse | | |
//!
//! A keep-list says the same of hidden units: of an LSTM as `PATH.keep_l0` and `PATH.keep_l0_reverse`, of an MLP as
//! `PATH.keep`. A unit that is not kept loses its rows in the matrices that make it, and its column in those that read it.
//!
//! Masks zero weights; biases stay. What nobody reads any more is for the passes to find.

pub(crate) mod apply;
mod element;
mod find;
mod npz;
pub(crate) mod parameter;
mod read;
#[cfg(test)]
mod tests;
pub(crate) mod units;
mod write;

use std::collections::BTreeMap;

use serde::Serialize;

pub use read::MaskLimits;

/// The masks of a model, by the names in their file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    entries: BTreeMap<String, Entry>,
}

/// What a file says under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// One element for each weight.
    Matrix(Mask),
    /// One element for each hidden unit.
    Bits(Vec<bool>),
    /// The hidden units that are kept, ascending.
    Indices(Vec<usize>),
}

/// One mask, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mask {
    dims: [usize; 2],
    keep: Vec<bool>,
}

impl Masks {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether all entries are matrices.
    pub fn is_full(&self) -> bool {
        self.entries.values().all(|entry| matches!(entry, Entry::Matrix(_)))
    }
}

/// What applying masks did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MaskReport {
    /// One element for each entry of the file, by name.
    pub masks: Vec<Applied>,
}

/// What one entry did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Its name in the file.
    pub parameter: String,
    /// Name of the node that it belongs to.
    pub node: String,
    /// How that was found.
    pub matched: Match,
    /// Rows and columns in PyTorch's layout, or the number of hidden units.
    pub dims: Vec<usize>,
    /// Zeros in the mask, or hidden units that are not kept.
    pub masked: usize,
    /// Weights that were not zero before.
    pub zeroed: usize,
}

/// How an entry was matched to its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// The module's path is that of a node.
    Path,
    /// One of the two paths is the end of the other: a wrapper was around the model when it was trained or exported.
    PathEnd,
    /// The export lost the path of an LSTM; it is the only one between modules with the same parent.
    Neighbours,
}

impl Match {
    /// As people read it.
    pub fn describe(self) -> &'static str {
        match self {
            Match::Path => "path",
            Match::PathEnd => "end of path",
            Match::Neighbours => "neighbours",
        }
    }
}
