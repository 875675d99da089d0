//! The operations. Shapes are those of the inputs in order, then of the output; `T` is a number of tokens.
//! May import: the rest of `ir`.

use std::ops::Range;

pub use far_format::layout::Activation;

use super::WeightId;

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution whose stride is its kernel: image → `patches × D`.
    PatchEmbed {
        /// Height and width of a patch.
        patch: [usize; 2],
        /// `channels·patch_height·patch_width × D`.
        weight: WeightId,
        /// `1 × D`.
        bias: Option<WeightId>,
    },
    /// No input → `rows × cols`.
    Constant(WeightId),
    /// No input → `T × cols`, where `T` varies: the first rows of a constant that has the most.
    Positions(WeightId),
    /// The row of a table that each id names: `T` ids → `T × cols`.
    Embedding {
        /// `vocabulary × cols`.
        table: WeightId,
    },
    /// Any number of `T_i × D` → `ΣT_i × D`.
    ConcatRows,
    /// Any number of `T × D_i` → `T × ΣD_i`.
    ConcatCols,
    /// `T × D` → `len × D`.
    SliceRows {
        /// First row.
        start: usize,
        /// Number of rows.
        len: usize,
    },
    /// `T × D` → `T × len`.
    SliceCols {
        /// First column.
        start: usize,
        /// Number of columns.
        len: usize,
    },
    /// `T × D` → `T × D`, the last row first.
    ReverseRows,
    /// `act(x · W + b) (+ residual)`: `T × K` (, `T × N`) → `T × N`.
    Linear(Linear),
    /// Heads of LSTMs over the tokens: `T × D` → `T × Σ hidden`.
    MultiHeadLstm(MultiHeadLstm),
    /// Scaled dot-product attention: q, k, v, each `T × n·d` → `T × n·d`.
    Attention {
        /// Number of heads, `n`.
        heads: usize,
        /// Multiplies the products of queries and keys.
        scale: f32,
    },
    /// Normalises each row: `T × D` → `T × D`.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
        /// `1 × D`, multiplied after normalising.
        scale: Option<WeightId>,
        /// `1 × D`, added last.
        shift: Option<WeightId>,
    },
    /// `x / max(‖x‖₂, eps)` row by row: `T × D` → `T × D`.
    Normalize {
        /// Least norm that is divided by; above 0.
        eps: f32,
    },
    /// Element by element: `T × D` → `T × D`.
    Activation(Activation),
    /// `a + b`: twice `T × D` → `T × D`.
    Add,
    /// `x ⊙ scale + shift`, the same for every row: `T × D` → `T × D`.
    Affine {
        /// `1 × D`.
        scale: Option<WeightId>,
        /// `1 × D`.
        shift: Option<WeightId>,
    },
    /// Mean over the tokens: `T × D` → `1 × D`.
    MeanRows,
}

/// A block-structured matrix product with its epilogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Columns of the output, `N`. Those that no group writes are zero.
    pub cols: usize,
    /// The blocks, by first output column; outputs don't overlap. A dense product is one block.
    pub groups: Vec<LinearGroup>,
    /// Applied after the bias.
    pub act: Activation,
    /// Whether a second input is added last.
    pub residual: bool,
}

/// One block.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGroup {
    /// Columns of the input that it reads. May be empty: the output is the bias.
    pub input: Range<usize>,
    /// Columns of the output that it writes; not empty.
    pub output: Range<usize>,
    /// `input.len() × output.len()`.
    pub weight: WeightId,
    /// `1 × output.len()`.
    pub bias: Option<WeightId>,
}

/// LSTM units over one input. Initial states are zero.
///
/// For each unit and time step, in ONNX's symbols, `x_t` restricted to `input` and `σ` the logistic function:
///
/// ```text
/// i = σ(Wi·x_t + Ri·h + bi)    o = σ(Wo·x_t + Ro·h + bo)    f = σ(Wf·x_t + Rf·h + bf)
/// c = f ⊙ c + i ⊙ tanh(Wc·x_t + Rc·h + bc)                  h = o ⊙ tanh(c)
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MultiHeadLstm {
    /// By first output column; outputs don't overlap and cover all columns.
    pub units: Vec<LstmUnit>,
}

/// One head in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmUnit {
    /// Which head of the module, from 0.
    pub head: usize,
    /// Which way time runs.
    pub direction: Direction,
    /// Columns of the input that it reads. May be empty.
    pub input: Range<usize>,
    /// First column of the output that it writes; `hidden` columns.
    pub output: usize,
    /// Hidden units, `H`, at least 1.
    pub hidden: usize,
    /// `4H × input.len()`; gates in the order i, o, f, c.
    pub w: WeightId,
    /// `4H × H`.
    pub r: WeightId,
    /// `1 × 4H`: ONNX's input bias and recurrent bias added.
    pub bias: WeightId,
}

/// Which way time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the first row to the last.
    Forward,
    /// From the last row to the first; the output of time `t` stands in row `t` all the same.
    Reverse,
}
