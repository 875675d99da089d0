//! How packed weights lie in memory: the part of the specification that compiler, engine and kernels share.
//! Sizes saturate instead of overflowing, so that an absurd size never passes for a small one.
//! May import: `cpu`.
//!
//! Packed weights are words of 32 bits whatever their precision, and are named `&[f32]`: what their bits are, the layout says.
//! Every panel, and every block of LSTM units, is a multiple of 16 words.

use core::fmt;

use crate::cpu::{Arch, Features};

/// Width in f32 lanes of one weight panel of a GEMM, the same on every architecture: a wider machine takes two
/// panels at once, so one artifact is fast on all of them.
pub const PANEL: usize = 16;

/// Element-wise functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Activation {
    /// The identity.
    None = 0,
    /// `x·½·(1 + erf(x/√2))`.
    Gelu = 1,
    /// `½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    GeluTanh = 2,
    /// Hyperbolic tangent.
    Tanh = 3,
    /// `max(x, 0)`.
    Relu = 4,
    /// [`Gelu`](Self::Gelu) by a short polynomial, within 2.2e-4 and 8.6e-4·|x|: for what is rounded to 8 bits, or to bfloat16, next.
    GeluShort = 5,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 6] = [
        Activation::None,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Tanh,
        Activation::Relu,
        Activation::GeluShort,
    ];

    /// What compilers let a product of that precision compute for this function: where it is off, rounding to 8 bits, or to bfloat16, hides it.
    pub const fn in_product_of(self, precision: Precision) -> Activation {
        match (self, precision) {
            (Activation::Gelu, Precision::Int8 | Precision::Bf16) => Activation::GeluShort,
            _ => self,
        }
    }
}

/// In what numbers a product or a recurrence holds its weights and multiplies.
///
/// [`F32`](Self::F32), [`F16`](Self::F16) and [`Int8`](Self::Int8) give the same bits on every machine; the others are as the
/// machine's own instructions have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32 = 0,
    /// Weights stored in half precision, widened when they are loaded; products and sums in f32, in order of `k`.
    F16 = 1,
    /// Weights stored in bfloat16, products of pairs by x86's dot-product instruction, sums in f32.
    Bf16 = 2,
    /// Weights of 8 bits with a scale a column, rows quantised to 8 bits when they are read, exact sums in 32 bits.
    Int8 = 3,
    /// Weights, products and short sums in half precision, f32 across blocks of `k`.
    F16Arith = 4,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 5] =
        [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8, Precision::F16Arith];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
            Precision::F16Arith => "f16-arith",
        }
    }

    /// From its number in an artifact.
    pub fn from_u8(n: u8) -> Option<Precision> {
        Precision::ALL.into_iter().find(|p| *p as u8 == n)
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Precision> {
        Precision::ALL.into_iter().find(|p| p.name() == name)
    }

    /// What a CPU of that architecture must have so that a model may ask for it; `None` where no CPU of it has such
    /// arithmetic. Those that give the same bits everywhere need nothing.
    pub const fn features(self, arch: Arch) -> Option<Features> {
        match (self, arch) {
            (Precision::F32 | Precision::F16 | Precision::Int8, _) => Some(Features::NONE),
            (Precision::Bf16, Arch::X86_64) => Some(Features::AVX512_BF16),
            (Precision::F16Arith, Arch::Aarch64) => Some(Features::FP16),
            (Precision::F16Arith, Arch::Riscv64) => Some(Features::ZVFH),
            (Precision::Bf16 | Precision::F16Arith, _) => None,
        }
    }

    /// Whether its results have the same bits on every machine.
    pub const fn is_exact(self) -> bool {
        matches!(self, Precision::F32 | Precision::F16 | Precision::Int8)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The widths of the blocks into which `hidden` LSTM units are cut: sixteen as often as it goes, then one of
/// eight or sixteen for the rest. Units past `hidden` are padding with zero weights.
pub fn blocks(hidden: usize) -> impl Iterator<Item = usize> {
    let full = hidden / PANEL;
    let tail = match hidden % PANEL {
        0 => None,
        1..=8 => Some(8),
        _ => Some(PANEL),
    };
    core::iter::repeat_n(PANEL, full).chain(tail)
}

/// Units including padding: the sum of [`blocks`].
pub fn padded_hidden(hidden: usize) -> usize {
    hidden.div_ceil(8).saturating_mul(8)
}

/// Elements of f32 panels of `k × n`: for each panel a row with the bias, then one for each `k`.
pub fn panels_len(k: usize, n: usize) -> usize {
    panels(n, k.saturating_add(1).saturating_mul(PANEL))
}

/// Words of the packed weights of one [`GemmGroup`](crate::plan::GemmGroup).
///
/// - f32: [`panels_len`];
/// - 16 bits: each panel is a row with the bias in f32, then for each `k` a row of 16 numbers, then zeros up to an even `k`;
///   in bfloat16 each two `k` are one row, in which a lane's two numbers are side by side;
/// - int8: each panel is a header of [`int8_header`] words, then the weights, each at [`int8_at`].
pub fn gemm_weight_len(precision: Precision, arch: Arch, k: usize, n: usize) -> usize {
    match precision {
        Precision::F32 => panels_len(k, n),
        Precision::F16 | Precision::Bf16 | Precision::F16Arith => {
            panels(n, k.div_ceil(2).saturating_add(1).saturating_mul(PANEL))
        }
        Precision::Int8 => panels(n, (int8_bytes(arch, k, PANEL) / 4).saturating_add(int8_header(arch, k))),
    }
}

fn panels(n: usize, panel: usize) -> usize {
    n.div_ceil(PANEL).saturating_mul(panel)
}

/// Words of the packed recurrent weights of one [`LstmUnit`](crate::plan::LstmUnit), block by block (see [`blocks`]).
///
/// - f32: for each `k` a row of the four gates' units;
/// - 16 bits: the same, then zeros up to an even `k`; in bfloat16 each two `k` are one row, in which a lane's two numbers are
///   side by side;
/// - int8: for the units of each gate the scales, as in a product's header; then the weights, each at [`int8_at`] with the
///   units of all gates as lanes. On RISC-V what limits runs of sums comes before the weights, as many words as there are
///   scales, of as many blocks of depths as there is room for.
pub fn lstm_weight_len(precision: Precision, arch: Arch, hidden: usize) -> usize {
    let lanes = padded_hidden(hidden).saturating_mul(4);
    match precision {
        Precision::F32 => hidden.saturating_mul(lanes),
        Precision::F16 | Precision::Bf16 | Precision::F16Arith => hidden.div_ceil(2).saturating_mul(lanes),
        Precision::Int8 => {
            (int8_bytes(arch, hidden, lanes) / 4).saturating_add(lanes.saturating_mul(int8_words(arch)))
        }
    }
}

/// Words for each lane before the weights of a block of LSTM units in int8: its scale, and on RISC-V room for limits.
pub const fn int8_words(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 | Arch::Aarch64 => 1,
        Arch::Riscv64 => 2,
    }
}

/// [`int8_header`] on x86-64 and AArch64, whatever the depth.
pub const INT8_HEADER: usize = 2 * PANEL;

/// Words of the header of an int8 panel: a scale for each of the 16 columns and a bias, both f32; then on RISC-V 4 bytes for each
/// [`INT8_BLOCK`] depths, up to a multiple of 16 words: how large the norm of a row may be over so many depths, over 8, over 4, for
/// sums of as many products to fit into 16 bits, in units of 2 and rounded down; and a zero.
pub const fn int8_header(arch: Arch, k: usize) -> usize {
    match arch {
        Arch::X86_64 | Arch::Aarch64 => INT8_HEADER,
        Arch::Riscv64 => PANEL * (2 + k.div_ceil(INT8_BLOCK).div_ceil(PANEL)),
    }
}

/// Depths for which RISC-V's kernels choose how long sums in 16 bits are; their int8 weights are padded to a multiple of it.
pub const INT8_BLOCK: usize = 16;

/// Depths whose int8 weights for one lane are side by side, on x86-64 and AArch64.
pub const INT8_DEPTH: usize = 4;

/// Where the int8 weight of a depth and a lane is among those of a panel or block of so many lanes, in bytes. On x86-64 and
/// AArch64 a row takes four depths, lane by lane; on RISC-V one.
pub const fn int8_at(arch: Arch, lanes: usize, k: usize, lane: usize) -> usize {
    match arch {
        Arch::X86_64 | Arch::Aarch64 => (k / INT8_DEPTH * lanes + lane) * INT8_DEPTH + k % INT8_DEPTH,
        Arch::Riscv64 => k * lanes + lane,
    }
}

/// Bytes of so many lanes of int8 weights, a multiple of 64 where `lanes` is one of 16; what no weight is at is zero.
fn int8_bytes(arch: Arch, k: usize, lanes: usize) -> usize {
    match arch {
        Arch::X86_64 | Arch::Aarch64 => {
            k.div_ceil(INT8_DEPTH).saturating_mul(lanes).saturating_mul(INT8_DEPTH)
        }
        Arch::Riscv64 => k.div_ceil(INT8_BLOCK).saturating_mul(INT8_BLOCK).saturating_mul(lanes),
    }
}

/// Most products of a sum in int8: more might not fit 32 bits.
pub const MAX_INT8_DEPTH: usize = 1 << 17;

/// Words of one row of a table (see [`Embed`](crate::plan::Embed)), padded with zeros to a whole word; `None` where tables
/// can't be stored so.
///
/// - f32: the numbers;
/// - f16: two a word, the first in the lower half;
/// - int8: the row's scale, f32, then four integers a word, the first in the lowest byte; each times the scale is the number.
pub fn table_row_len(precision: Precision, cols: usize) -> Option<usize> {
    match precision {
        Precision::F32 => Some(cols),
        Precision::F16 => Some(cols.div_ceil(2)),
        Precision::Int8 => Some(cols.div_ceil(4) + 1),
        Precision::Bf16 | Precision::F16Arith => None,
    }
}

/// Bytes of [`Attention::work`](crate::plan::Attention::work): per head, the keys as panels over tokens and the values as panels over `d`.
pub fn attention_work_bytes(tokens: usize, heads: usize, d: usize) -> usize {
    let head = panels_len(d, tokens).saturating_add(panels_len(tokens, d));
    heads.saturating_mul(head).saturating_mul(4)
}
