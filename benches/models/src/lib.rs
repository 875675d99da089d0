//! Seeded DeiT, FAR-DeiT and [text encoder](text) models as ONNX, without PyTorch: for tests and benches that need a
//! full-size model.
//!
//! The graph is shaped as PyTorch's exporter shapes it: the same node names, the same chains of `Shape`, `Gather` and
//! `Expand` around an LSTM, weights of matrix products renamed to `onnx::MatMul_7`. The numbers come from a small
//! generator of random numbers and are the same on every platform. Forms of one seed are one function: the parallel
//! form holds the blocks of the monolithic one's block-diagonal matrices, and a ragged model is what is left of the
//! model with masks when its dead units are removed.
//!
//! ```
//! use far_models::{Config, Form, Pruning, Size};
//!
//! let config = Config {
//!     form: Form::Monolithic,
//!     pruning: Pruning::Masks { fraction: 0.5 },
//!     ..Config::new(Size { depth: 1, ..Size::TINY })
//! };
//! let generated = far_models::generate(&config)?;
//! assert!(generated.masks.is_some());
//! # Ok::<(), far_models::Error>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod encode;
mod graph;
mod mask;
mod mixer;
mod model;
mod onnx;
mod rng;
#[cfg(test)]
mod tests;
pub mod text;
mod weights;

use std::io::Write;
use std::path::Path;
use std::rc::Rc;

pub use config::{Blocks, Config, Error, Form, Gelu, Projection, Pruning, Size};
use graph::GraphBuilder;
use weights::Weights;

/// A model in memory.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// The mask file (safetensors), with [`Pruning::Masks`].
    pub masks: Option<Vec<u8>>,
    /// What was asked for.
    pub config: Config,
}

/// Makes a model in memory. DeiT-Base in the monolithic form takes about 700 MB; [`write()`] needs one tensor at a time.
pub fn generate(config: &Config) -> Result<Generated, Error> {
    let mut onnx = Vec::new();
    write(config, &mut onnx)?;
    let masks = match config.pruning {
        Pruning::Masks { .. } => Some(mask::serialize(&Rc::new(Weights::new(config)?))?),
        _ => None,
    };
    Ok(Generated { onnx, masks, config: config.clone() })
}

/// Writes a model's ONNX, one tensor at a time.
pub fn write(config: &Config, to: &mut impl Write) -> Result<(), Error> {
    let mut graph = GraphBuilder::new(config.opset);
    model::build(&Rc::new(Weights::new(config)?), &mut graph);
    encode::model(&graph, to).map_err(Error::Write)
}

/// Writes a model's mask file, one tensor at a time; the file appears when it is complete. Fails unless the pruning is
/// [`Pruning::Masks`].
pub fn write_masks(config: &Config, path: &Path) -> Result<(), Error> {
    match config.pruning {
        Pruning::Masks { .. } => mask::write(&Rc::new(Weights::new(config)?), path),
        _ => Err(Error::Invalid { field: "pruning", message: "only `masks` has a mask file".into() }),
    }
}
