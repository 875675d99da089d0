//! The compiler's own graph: about twenty operations at the level of the model.
//! May import: `error`; far-format (element types, activation functions).
//!
//! A value is a matrix of `rows` tokens by `cols` channels, an image, or token ids. A node has any number of inputs and
//! one output; nodes stand in an order in which every input is there before it is used. Weights are f32 constants that
//! several nodes may share.
//!
//! A graph is written for one element of a batch. Where the number of tokens varies from call to call, values that have
//! a row for each of the call's tokens are [`Shape::Tokens`]; all others are the same size in every call.

mod edit;
pub mod eval;
mod op;
mod origin;
mod shape;
#[cfg(test)]
mod tests;
pub mod text;
mod verify;

use std::sync::Arc;

pub use edit::Use;
pub use far_format::plan::Dtype;
pub use op::{Activation, Direction, Linear, LinearGroup, LstmUnit, MultiHeadLstm, Op};
pub use origin::{Origin, Origins};
pub use shape::output_shape;
pub use verify::verify;

/// Index of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Index of a constant in [`Graph::weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub u32);

/// Shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Tokens by channels.
    Matrix {
        /// Tokens.
        rows: usize,
        /// Channels.
        cols: usize,
    },
    /// One image, channel-major.
    Image {
        /// Channels.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// The call's tokens, at most [`Graph::tokens`], by channels.
    Tokens {
        /// Channels.
        cols: usize,
    },
    /// One integer a token.
    Ids {
        /// Tokens.
        rows: usize,
    },
    /// One integer for each of the call's tokens.
    TokenIds,
}

impl Shape {
    /// Whether there is a row for each of the call's tokens, whose number varies.
    pub fn varies(self) -> bool {
        matches!(self, Self::Tokens { .. } | Self::TokenIds)
    }

    /// Whether it holds integers.
    pub fn is_ids(self) -> bool {
        matches!(self, Self::Ids { .. } | Self::TokenIds)
    }

    /// As many rows with another number of channels; anything but a matrix stays as it is.
    #[must_use]
    pub fn with_cols(self, cols: usize) -> Self {
        match self {
            Self::Matrix { rows, .. } => Self::Matrix { rows, cols },
            Self::Tokens { .. } => Self::Tokens { cols },
            other => other,
        }
    }
}

/// What a node or an input of the graph produces.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Unique, for people and the text form.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
}

/// A constant, row-major. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Rows and columns; a vector is one row.
    pub dims: [usize; 2],
    /// `dims[0] * dims[1]` elements.
    pub data: Arc<[f32]>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Path of the module it came from, e.g. `blocks.0.attn.lstm`. Masks are matched by it; it need not be unique.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads, in the order that [`Op`] says.
    pub inputs: Vec<ValueId>,
    /// What it produces.
    pub output: ValueId,
}

/// An input or output of the model as its user sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Name in the source model.
    pub name: String,
    /// The value.
    pub value: ValueId,
    /// Dimensions in the source model. For one element of the batch and the most tokens, their product is the size of
    /// the value.
    pub dims: Vec<Dim>,
    /// Type of its elements.
    pub dtype: Dtype,
}

impl Port {
    /// A port of f32 whose dimensions are all fixed.
    pub fn new(name: impl Into<String>, value: ValueId, dims: &[usize]) -> Self {
        let dims = dims.iter().map(|dim| Dim::Fixed(*dim)).collect();
        Self { name: name.into(), value, dims, dtype: Dtype::F32 }
    }
}

/// One dimension of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// The same in every call.
    Fixed(usize),
    /// Elements of the batch.
    Batch,
    /// Tokens of the call.
    Tokens,
}

/// How many elements a call may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The most, at least 1.
    pub most: usize,
    /// Whether it is always so many.
    pub fixed: bool,
}

impl Batch {
    /// One element in every call; ports then have no [`Dim::Batch`].
    pub const ONE: Self = Self { most: 1, fixed: true };
}

impl Default for Batch {
    fn default() -> Self {
        Self::ONE
    }
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Name of the model, for people.
    pub name: String,
    /// All values; some may be unused after a pass.
    pub values: Vec<Value>,
    /// All constants; some may be unused after a pass.
    pub weights: Vec<Weight>,
    /// What the caller supplies.
    pub inputs: Vec<Port>,
    /// Operations in order.
    pub nodes: Vec<Node>,
    /// What the caller receives.
    pub outputs: Vec<Port>,
    /// Most tokens of a call; 0 where their number doesn't vary.
    pub tokens: usize,
    /// Elements of a call, each of which the graph computes by itself.
    pub batch: Batch,
    /// The input that is the attention mask, if there is one: its leading ones count the tokens that each element has,
    /// and the graph computes those alone. No node reads it.
    pub lengths: Option<usize>,
}

impl Graph {
    /// Adds a value. A taken name gets a number behind it.
    pub fn add_value(&mut self, name: impl Into<String>, shape: Shape) -> ValueId {
        let wanted = name.into();
        let mut name = wanted.clone();
        let mut n = 1;
        while self.values.iter().any(|v| v.name == name) {
            n += 1;
            name = format!("{wanted}.{n}");
        }
        self.values.push(Value { name, shape });
        ValueId(u32::try_from(self.values.len() - 1).expect("fewer than 2^32 values"))
    }

    /// Adds a constant of `rows × cols`. Panics if the data has another size.
    pub fn add_weight(&mut self, rows: usize, cols: usize, data: impl Into<Arc<[f32]>>) -> WeightId {
        let data = data.into();
        assert_eq!(rows.checked_mul(cols), Some(data.len()), "constant of {rows}×{cols}");
        self.weights.push(Weight { dims: [rows, cols], data });
        WeightId(u32::try_from(self.weights.len() - 1).expect("fewer than 2^32 weights"))
    }

    /// The value behind an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The constant behind an id.
    pub fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.0 as usize]
    }

    /// Rows, at most, and columns of a value; an image has `channels·height` rows of `width`.
    pub fn dims(&self, id: ValueId) -> [usize; 2] {
        match self.value(id).shape {
            Shape::Matrix { rows, cols } => [rows, cols],
            Shape::Image { channels, height, width } => [channels * height, width],
            Shape::Tokens { cols } => [self.tokens, cols],
            Shape::Ids { rows } => [rows, 1],
            Shape::TokenIds => [self.tokens, 1],
        }
    }

    /// A port's dimensions for one element of the batch and the most tokens.
    pub fn port_dims(&self, port: &Port) -> Vec<usize> {
        port.dims.iter().map(|dim| self.extent(*dim)).collect()
    }

    /// One dimension of a port for one element of the batch and the most tokens.
    pub fn extent(&self, dim: Dim) -> usize {
        match dim {
            Dim::Fixed(size) => size,
            Dim::Batch => 1,
            Dim::Tokens => self.tokens,
        }
    }

    /// Index of the node that produces a value; `None` for inputs.
    pub fn producer(&self, id: ValueId) -> Option<usize> {
        self.nodes.iter().position(|n| n.output == id)
    }

    /// How many node inputs and model outputs read a value.
    pub fn uses(&self, id: ValueId) -> usize {
        self.nodes.iter().flat_map(|n| &n.inputs).filter(|v| **v == id).count()
            + self.outputs.iter().filter(|p| p.value == id).count()
    }
}
