//! How packed weights lie in memory: the part of the specification that compiler, engine and kernels share.
//! Sizes saturate instead of overflowing, so that an absurd size never passes for a small one.
//! May import: nothing of ours.

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

/// f32 elements of the packed weights of one [`GemmGroup`](crate::plan::GemmGroup).
pub fn gemm_weight_len(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL).saturating_mul(k.saturating_add(1)).saturating_mul(PANEL)
}

/// f32 elements of the packed recurrent weights of one [`LstmUnit`](crate::plan::LstmUnit).
pub fn lstm_weight_len(hidden: usize) -> usize {
    hidden.saturating_mul(4).saturating_mul(padded_hidden(hidden))
}

/// Bytes of [`Attention::work`](crate::plan::Attention::work): per head, the keys as panels over tokens and the values as panels over `d`.
pub fn attention_work_bytes(tokens: usize, heads: usize, d: usize) -> usize {
    let head = gemm_weight_len(d, tokens).saturating_add(gemm_weight_len(tokens, d));
    heads.saturating_mul(head).saturating_mul(4)
}
