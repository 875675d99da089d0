//! The compiler's own graph: about twenty operations at the level of the model.
//! May import: `error`.
//!
//! A value is a matrix of `rows` tokens by `cols` channels, or an image. A node has any number of inputs and one
//! output; nodes stand in an order in which every input is there before it is used. Weights are f32 constants that
//! several nodes may share.

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
    /// Dimensions in the source model; their product is the size of the value.
    pub dims: Vec<usize>,
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

    /// Rows and columns of a value; an image has `channels·height` rows of `width`.
    pub fn dims(&self, id: ValueId) -> [usize; 2] {
        match self.value(id).shape {
            Shape::Matrix { rows, cols } => [rows, cols],
            Shape::Image { channels, height, width } => [channels * height, width],
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
