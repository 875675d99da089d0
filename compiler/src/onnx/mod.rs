//! Imports ONNX models: the only place of the compiler, besides the judge, that knows protobuf.
//! May import: `error`, `ir`, `wire`.
//!
//! Data in other files are brought into the model first, where that is allowed (`external`).
//! The file is decoded within limits and its nodes are brought into order (`proto`, `order`); then each node is lowered
//! in turn. Nodes whose inputs are all constant are evaluated (`fold`). A tensor of tokens is a [view](view) of columns
//! of IR values, so that everything that only moves data costs nothing (`rearrange`). Functions that exporters spell
//! out in primitives are put together again by algebra (`recognise`). What is left becomes ops (`lower`). Sizes that the
//! model leaves open, and batches, are understood by lowering it at several (`extent`).
//!
//! Nothing is ignored: what has no counterpart in the IR is an error that names the node and a way out.

mod extent;
mod external;
mod fold;
mod info;
mod lower;
mod mask;
mod names;
mod node;
mod order;
mod partial;
mod proto;
mod rearrange;
mod recognise;
mod tensor;
#[cfg(test)]
mod tests;
mod view;

pub use external::embed_external_data;
pub use info::{ModelInfo, TensorInfo, inspect};

use crate::error::Result;
use crate::ir::{Graph, Origins};
use crate::wire;

/// Sizes that the model leaves open, and limits on what is accepted.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Most bytes of the file.
    pub max_bytes: usize,
    /// Most nodes of its graph, and of the graph that is made from it.
    pub max_nodes: usize,
    /// Most elements of all its constants together, and of any tensor that is computed from them.
    pub max_elements: usize,
    /// Deepest nesting of the file's messages.
    pub max_depth: usize,
    /// Most tokens of a call, where the model leaves their number open.
    pub max_tokens: Option<usize>,
    /// Elements of a batch: the most where the model leaves their number open, else exactly so many.
    pub batch: Option<usize>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            max_bytes: i32::MAX as usize,
            max_nodes: 1 << 16,
            max_elements: 1 << 29,
            max_depth: wire::DEPTH,
            max_tokens: None,
            batch: None,
        }
    }
}

/// Brings a model into the IR.
///
/// The graph is that of one element of the batch; a batch that the model leaves open has one unless the options say
/// more. Nodes of the graph are named by the path of the module that they came from, where the exporter tells it.
///
/// # Errors
///
/// `BrokenModel` for a file that is no sound ONNX model, `LimitExceeded` beyond `options`, `UnsupportedOp`,
/// `UnsupportedAttribute` and `ShapeMismatch` for what can't be represented; the node is named.
pub fn import(bytes: &[u8], options: &ImportOptions) -> Result<Graph> {
    import_parameters(bytes, options).map(|imported| imported.graph)
}

/// A model in the IR, and what became of its parameters.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The model.
    pub graph: Graph,
    /// Parameters that are laid out otherwise than in the file.
    pub origins: Origins,
}

/// [`import`], for those who want to find parameters again.
///
/// # Errors
///
/// The same.
pub fn import_parameters(bytes: &[u8], options: &ImportOptions) -> Result<Imported> {
    let mut model = proto::decode(bytes, options)?;
    order::sort(&mut model)?;
    extent::import(&model, options)
}
