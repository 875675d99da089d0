//! What an artifact says, decoded: tensors, ports, steps. Plain data, no behaviour beyond sizes.
//! May import: `cpu`, `layout`, `meta`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::cpu::{Arch, Features};
use crate::layout::{Activation, Precision};
use crate::meta::Meta;

/// The work of one inference: a list of steps over tensors that live in the arena, in the
/// weights section, or in the caller's memory.
///
/// It is written for one element of the batch and for the most tokens. A call states how many elements it has, and how
/// many tokens where their number varies; the steps run once for each element, on the rows that it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Name of the model, for people.
    pub model: String,
    /// What else is said for its users.
    pub meta: Meta,
    /// Every tensor that a step may name.
    pub tensors: Vec<Tensor>,
    /// What the caller supplies, in order.
    pub inputs: Vec<Port>,
    /// What the caller receives, in order.
    pub outputs: Vec<Port>,
    /// What is done, in order; a step may rely on all earlier ones.
    pub steps: Vec<Step>,
    /// Bytes of the arena; every arena tensor and work area lies inside.
    pub arena_bytes: u64,
    /// Most tokens of a call, where their number varies; 0 where it is fixed.
    pub tokens: u32,
    /// How many elements a call has.
    pub batch: Batch,
    /// The input that is the attention mask: for each element of the batch a row of ones, then zeros. The ones are the
    /// element's own tokens, at least one: it is computed as a sequence of just these.
    pub lengths: Option<u32>,
}

impl Plan {
    /// What a CPU must have for the precisions of the steps. One that the architecture has not needs nothing here: a plan
    /// with it is refused.
    pub fn features(&self, arch: Arch) -> Features {
        let needed = self.steps.iter().filter_map(|step| step.op.precision()?.features(arch));
        needed.fold(Features::NONE, Features::with)
    }
}

impl StepOp {
    /// How the weights of a product or the rows of a table are stored; `None` for steps that have neither.
    pub fn precision(&self) -> Option<Precision> {
        match self {
            StepOp::Gemm(gemm) => Some(gemm.precision),
            StepOp::Lstm(lstm) => Some(lstm.precision),
            StepOp::Embed(embed) => Some(embed.precision),
            _ => None,
        }
    }
}

/// How many elements the calls of a plan have. An element is computed by itself: its bits don't depend on the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Most elements of a call, at least 1.
    pub most: u32,
    /// Whether every call has exactly that many.
    pub fixed: bool,
}

impl Default for Batch {
    /// One element.
    fn default() -> Batch {
        Batch { most: 1, fixed: true }
    }
}

/// A row-major f32 matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Where it lives.
    pub place: Place,
    /// Rows: tokens, or whatever the first axes of an image flatten to.
    pub rows: u32,
    /// Columns: the model's width at this point.
    pub cols: u32,
    /// Elements from one row to the next, at least `cols`.
    pub stride: u32,
    /// Whether its rows are the call's tokens; `rows` then are [`Plan::tokens`], of which a run has the first.
    pub tokens: bool,
}

/// Where a tensor's first element is. Offsets are in bytes, multiples of 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the session's arena.
    Arena(u64),
    /// In the weights section, read only.
    Weights(u64),
    /// The memory of input `n`, read only.
    Input(u32),
    /// The memory of output `n`.
    Output(u32),
}

/// One input or output of the model as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name it had in the source model.
    pub name: String,
    /// What its elements are.
    pub dtype: Dtype,
    /// Its dimensions there, e.g. `[1, 3, 224, 224]` or `[batch, tokens]`, outermost first.
    pub dims: Vec<Dim>,
}

/// Type of the elements of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// Signed integers of 32 bits.
    I32,
    /// Signed integers of 64 bits.
    I64,
}

/// One dimension of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always the same.
    Fixed(u32),
    /// The call's number of elements.
    Batch,
    /// The call's number of tokens.
    Tokens,
}

impl Port {
    /// Its number of elements in a call of so many elements and tokens: the product of the dimensions, saturating.
    pub fn elements(&self, batch: usize, tokens: usize) -> usize {
        self.dims.iter().fold(1, |product, dim| product.saturating_mul(dim.of(batch, tokens)))
    }

    /// Whether one of its dimensions is the number of tokens.
    pub fn has_tokens(&self) -> bool {
        self.dims.contains(&Dim::Tokens)
    }
}

impl Dtype {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// Its name, e.g. `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::I32 => "i32",
            Dtype::I64 => "i64",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Dim {
    /// Its length in a call of so many elements and tokens.
    pub fn of(self, batch: usize, tokens: usize) -> usize {
        match self {
            Dim::Fixed(len) => len as usize,
            Dim::Batch => batch,
            Dim::Tokens => tokens,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(len) => write!(f, "{len}"),
            Dim::Batch => f.write_str("batch"),
            Dim::Tokens => f.write_str("tokens"),
        }
    }
}

/// A rectangle of a tensor. Of a tensor whose rows are tokens it has all rows, and then as many as the run has, or the
/// first row, which every run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Index into [`Plan::tensors`].
    pub tensor: u32,
    /// First row.
    pub row: u32,
    /// First column.
    pub col: u32,
    /// Number of rows.
    pub rows: u32,
    /// Number of columns.
    pub cols: u32,
}

/// One step: what is computed, and the module of the source model it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Path of the module, e.g. `blocks.0.attn.pre_proj`.
    pub name: String,
    /// The computation.
    pub op: StepOp,
}

/// The computations that a runtime knows.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOp {
    /// `out = act(a · W + b) + residual`, group by group. Columns of `out` that no group writes stay as they are.
    Gemm(Gemm),
    /// The recurrent half of LSTM units; the input half is a [`StepOp::Gemm`] before it.
    Lstm(Lstm),
    /// `out = (x - mean) / sqrt(var + eps)`, times scale plus shift where given, row by row.
    LayerNorm(LayerNorm),
    /// Scaled dot-product attention over all rows.
    Attention(Attention),
    /// Cuts an image into patches, one patch a row, channel-major inside: the `a` of a patch embedding's GEMM.
    Patches(Patches),
    /// `out = act(x)`.
    Map {
        /// The function.
        act: Activation,
        /// Input.
        x: Operand,
        /// Output, same shape; may be exactly `x`'s own memory.
        out: Operand,
    },
    /// `out = a + b`.
    Add {
        /// First term.
        a: Operand,
        /// Second term, same shape.
        b: Operand,
        /// Output, same shape; may be exactly the memory of `a` or `b`.
        out: Operand,
    },
    /// `out = x`.
    Copy {
        /// Input.
        x: Operand,
        /// Output, same shape.
        out: Operand,
    },
    /// The mean over the rows of `x`, summed in order of row.
    MeanRows {
        /// Input, `rows × cols`.
        x: Operand,
        /// Output, `1 × cols`.
        out: Operand,
    },
    /// Rows of a table, by number.
    Embed(Embed),
    /// `out = x / max(‖x‖₂, eps)`, row by row. The squares are summed over 16 lanes (lane l takes the elements l,
    /// l + 16, …), which are then added as a tree: 16 → 8 → 4 → 2 → 1.
    Normalize {
        /// Input.
        x: Operand,
        /// Output, same shape; may be exactly `x`'s own memory.
        out: Operand,
        /// Least norm that is divided by; finite and positive.
        eps: f32,
    },
}

/// Matrix product with its epilogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Left operand, `rows × K`; a group reads `k` of its columns.
    pub a: Operand,
    /// Result, same rows as `a`; must not overlap `a`.
    pub out: Operand,
    /// Added last; same shape as `out`. It may be exactly `out`'s own memory, else must not overlap it.
    pub residual: Option<Operand>,
    /// Applied before the residual is added.
    pub act: Activation,
    /// How all groups' weights are stored and multiplied. Bias, activation and residual are f32.
    pub precision: Precision,
    /// At least one; their output columns don't overlap.
    pub groups: Vec<GemmGroup>,
}

/// One block of a block-structured matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmGroup {
    /// First column of `a`, relative to the operand.
    pub a_col: u32,
    /// Columns of `a` read: the depth of the product. May be 0 (the result is the bias).
    pub k: u32,
    /// First column of `out`, relative to the operand.
    pub out_col: u32,
    /// Columns written.
    pub n: u32,
    /// Byte offset in the weights section of `ceil(n / PANEL)` panels, which [`layout`](crate::layout) describes:
    /// [`gemm_weight_len`](crate::layout::gemm_weight_len) words.
    pub weights: u64,
}

/// The recurrence of several LSTM units (one head in one direction each), independent of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Pre-activations `W·x + b` of all units, `tokens × Σ 4·padded_hidden`.
    pub gates: Operand,
    /// Hidden states, same rows.
    pub out: Operand,
    /// How all units' recurrent weights are stored and multiplied. Gates, cell and hidden states are f32.
    pub precision: Precision,
    /// At least one; output columns don't overlap.
    pub units: Vec<LstmUnit>,
}

/// One head in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmUnit {
    /// First column of `gates`, relative to the operand; `4 * padded_hidden(hidden)` columns are read.
    pub gate_col: u32,
    /// Hidden units, at least 1.
    pub hidden: u32,
    /// First column of `out`, relative to the operand; `hidden` columns are written.
    pub out_col: u32,
    /// Whether time runs from the last row to the first.
    pub reverse: bool,
    /// Byte offset in the weights section of the recurrent weights: for each block of units (see [`blocks`](crate::layout::blocks))
    /// of width `w`, `hidden × 4 × w` f32, gates in the order i, o, f, c. Rows i, o and f of everything that
    /// feeds the gates are scaled by ½ (sigmoid(x) = ½ + ½·tanh(x/2)). The columns of `gates` are ordered the
    /// same way: block by block, in a block gate by gate.
    pub weights: u64,
}

/// Row-wise normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Input.
    pub x: Operand,
    /// Output, same shape; may be exactly `x`'s own memory.
    pub out: Operand,
    /// Added to the variance; finite and positive.
    pub eps: f32,
    /// Byte offset in the weights section of `cols` scales, then `cols` shifts.
    pub affine: Option<u64>,
}

/// Scaled dot-product attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Queries, `tokens × heads·d`.
    pub q: Operand,
    /// Keys, same shape.
    pub k: Operand,
    /// Values, same shape.
    pub v: Operand,
    /// Output, same shape; overlaps none of them.
    pub out: Operand,
    /// Heads; divides the columns.
    pub heads: u32,
    /// Multiplies the products of queries and keys.
    pub scale: f32,
    /// Byte offset in the arena of the packed keys and values, [`attention_work_bytes`](crate::layout::attention_work_bytes) long.
    pub work: u64,
}

/// Geometry of a patch embedding with stride = kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    /// The image, `channels·height × width`.
    pub image: Operand,
    /// Channels of the image; divides its rows.
    pub channels: u32,
    /// Rows of a patch; divides the height.
    pub patch_height: u32,
    /// Columns of a patch; divides the width.
    pub patch_width: u32,
    /// `patches × channels·patch_height·patch_width`.
    pub out: Operand,
}

/// `out[t] = table[input[t]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embed {
    /// The input port of the numbers: integers, for each element of the batch one a row of `out`. A number that is no
    /// row of the table is an error of the run.
    pub input: u32,
    /// Byte offset in the weights section of `vocab` rows of [`table_row_len`](crate::layout::table_row_len) words.
    pub table: u64,
    /// Rows of the table.
    pub vocab: u32,
    /// How the table's numbers are stored: f32, f16 or int8.
    pub precision: Precision,
    /// Output, `rows × cols`.
    pub out: Operand,
}
