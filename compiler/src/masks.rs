//! Pruning masks: 0/1 matrices by parameter name, in PyTorch's names and layouts. May import: `ir`, `error`.
//!
//! A mask file is a safetensors file. Each tensor in it is named after a parameter of the model it was trained with and
//! has its shape; its elements are 0 (the weight is pruned) or 1, as f32, u8 or bool. Masks are applied right after the
//! import, while the graph's nodes still are the model's modules:
//!
//! | parameter | node | PyTorch's layout | IR's layout |
//! | --- | --- | --- | --- |
//! | `PATH.weight` | `Linear` named `PATH` | out × in | in × out |
//! | `PATH.weight_ih_l0` | `MultiHeadLstm` named `PATH`, first unit | 4H × D, gates i, f, g, o | 4H × D, gates i, o, f, c |
//! | `PATH.weight_hh_l0` | the same | 4H × H, gates i, f, g, o | 4H × H, gates i, o, f, c |
//! | `…_reverse` | the same, second unit | | |
//!
//! Masks zero weights; biases stay. What nobody reads any more is for the passes to find.

mod apply;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

/// The masks of a model, by parameter name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    masks: BTreeMap<String, Mask>,
}

/// One mask, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mask {
    dims: [usize; 2],
    keep: Vec<bool>,
}

/// What applying masks did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MaskReport {
    /// One entry for each mask, by parameter name.
    pub masks: Vec<Applied>,
}

/// What one mask did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Name of the parameter.
    pub parameter: String,
    /// Name of the node that it belongs to.
    pub node: String,
    /// Rows and columns, in PyTorch's layout.
    pub dims: [usize; 2],
    /// Zeros in the mask.
    pub masked: usize,
    /// Weights that were not zero before.
    pub zeroed: usize,
}
