//! Packing of weights: at compile time for models, at run time for attention. The layouts are those of
//! `far_format::layout`. May import: `matrix`, `half`, `quantize`, `runs`, `square`, `far_format::{cpu, layout}`.
//!
//! Every function panics if a slice has the wrong length.

use far_format::cpu::Arch;
use far_format::layout::{
    INT8_BLOCK, PANEL, Precision, blocks, gemm_weight_len, int8_at, int8_header, int8_words, lstm_weight_len,
    panels_len,
};

use crate::half::{from_bf16, from_f16, to_bf16, to_f16};
use crate::matrix::Mat;
use crate::quantize::{HIDDEN_SCALE, magnitude, round, scale};
use crate::runs;
use crate::square::{SIDE, transpose};

/// The architecture whose layout the kernels of this build read.
pub const HOST: Arch = match Arch::HOST {
    Some(arch) => arch,
    None => Arch::X86_64, // scalar kernels read any
};

/// The gates of an LSTM in the order of the packed layout, which is ONNX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// i.
    Input = 0,
    /// o.
    Output = 1,
    /// f.
    Forget = 2,
    /// c (g elsewhere): the candidate for the cell state.
    Cell = 3,
}

impl Gate {
    /// All of them, in order.
    pub const ALL: [Gate; 4] = [Gate::Input, Gate::Output, Gate::Forget, Gate::Cell];
}

/// Lays out a matrix `k × n`, given by a function of row and column, and its bias (`n` elements; zeros if `None`) for the
/// [`Gemm`](crate::Gemm) kernels of that precision and architecture: weights are rounded to 16 bits, or quantised with a scale for
/// each column; the bias stays f32. `out` has `gemm_weight_len(precision, arch, k, n)` words.
pub fn gemm(
    precision: Precision,
    arch: Arch,
    k: usize,
    n: usize,
    weight: impl Fn(usize, usize) -> f32,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    assert_eq!(out.len(), gemm_weight_len(precision, arch, k, n), "packed length of {k} × {n}");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), n, "length of the bias");
    }
    let panel = gemm_weight_len(precision, arch, k, 1);
    for (panel, first) in out.chunks_exact_mut(panel).zip((0..n).step_by(PANEL)) {
        let used = PANEL.min(n - first);
        let weight = |k: usize, lane: usize| if lane < used { weight(k, first + lane) } else { 0.0 };
        let bias = |lane: usize| bias.filter(|_| lane < used).map_or(0.0, |bias| bias[first + lane]);
        let (scales, rest) = panel.split_at_mut(if precision == Precision::Int8 { PANEL } else { 0 });
        let (biases, rest) = rest.split_at_mut(PANEL);
        biases.iter_mut().enumerate().for_each(|(lane, to)| *to = bias(lane));
        if precision == Precision::Int8 {
            let (limits, rows) = rest.split_at_mut(int8_header(arch, k) - 2 * PANEL);
            quantize(arch, k, weight, scales, limits, rows);
        } else {
            lay_out(precision, k, PANEL, weight, rest);
        }
    }
}

/// Lays out the recurrent weights of an LSTM unit for the [`Lstm`](crate::Lstm) kernels of that precision and architecture. `r` is
/// `4·hidden × hidden`, row-major, gates in the order of [`Gate::ALL`], with the ½ of the sigmoid already in the rows of
/// i, o and f. `out` has `lstm_weight_len(precision, arch, hidden)` words.
pub fn lstm(precision: Precision, arch: Arch, hidden: usize, r: &[f32], out: &mut [f32]) {
    assert_eq!(r.len(), 4 * hidden * hidden, "recurrent weights of {hidden} units");
    let len = lstm_weight_len(precision, arch, hidden);
    assert_eq!(out.len(), len, "packed length of {hidden} units");
    let (mut first, mut rest) = (0, out);
    let padded = blocks(hidden).sum::<usize>();
    for width in blocks(hidden) {
        let (block, after) = rest.split_at_mut(len / padded * width);
        let weight = |k: usize, lane: usize| {
            let (gate, unit) = (lane / width, first + lane % width);
            if unit < hidden { r[(gate * hidden + unit) * hidden + k] } else { 0.0 }
        };
        if precision == Precision::Int8 {
            let (scales, block) = block.split_at_mut(4 * width);
            let (limits, rows) = block.split_at_mut((int8_words(arch) - 1) * 4 * width);
            quantize(arch, hidden, weight, scales, limits, rows);
            scales.iter_mut().for_each(|scale| *scale *= HIDDEN_SCALE);
        } else {
            lay_out(precision, hidden, 4 * width, weight, block);
        }
        (first, rest) = (first + width, after);
    }
}

/// Whether a weight can be packed in that precision: it is finite, and rounded it still is. In half precision that ends at 65,520.
pub fn fits(precision: Precision, weight: f32) -> bool {
    match precision {
        Precision::F32 | Precision::Int8 => weight.is_finite(),
        Precision::F16 | Precision::F16Arith => from_f16(to_f16(weight)).is_finite(),
        Precision::Bf16 => from_bf16(to_bf16(weight)).is_finite(),
    }
}

/// Rows of weights in f32 or 16 bits, given by depth and lane.
fn lay_out(
    precision: Precision,
    k: usize,
    lanes: usize,
    weight: impl Fn(usize, usize) -> f32,
    out: &mut [f32],
) {
    out.fill(0.0);
    for (k, lane) in places(k, lanes) {
        let w = weight(k, lane);
        match precision {
            Precision::F32 => out[k * lanes + lane] = w,
            Precision::F16 | Precision::F16Arith => put(out, k * lanes + lane, 16, to_f16(w).into()),
            Precision::Bf16 => put(out, (k / 2 * lanes + lane) * 2 + k % 2, 16, to_bf16(w).into()),
            Precision::Int8 => unreachable!("int8 weights are laid out with their scales"),
        }
    }
}

/// Rows of int8 weights, given by depth and lane, for each lane the scale, and on RISC-V what limits runs of sums.
fn quantize(
    arch: Arch,
    k: usize,
    weight: impl Fn(usize, usize) -> f32,
    scales: &mut [f32],
    limits: &mut [f32],
    out: &mut [f32],
) {
    let lanes = scales.len();
    out.fill(0.0);
    limits.fill(0.0);
    for (lane, to) in scales.iter_mut().enumerate() {
        *to = scale((0..k).map(|k| magnitude(weight(k, lane))).max().unwrap_or(0));
        for k in 0..k {
            let q = if *to == 0.0 { 0 } else { round(weight(k, lane) / *to) };
            put(out, int8_at(arch, lanes, k, lane), 8, u32::from(q.cast_unsigned()));
        }
    }
    if arch == Arch::Riscv64 {
        for (block, to) in limits.iter_mut().enumerate().take(k.div_ceil(INT8_BLOCK)) {
            let weight = |k: usize, lane: usize| {
                let at = int8_at(arch, lanes, block * INT8_BLOCK + k, lane);
                out[at / 4].to_bits().to_le_bytes()[at % 4].cast_signed()
            };
            *to = f32::from_bits(u32::from_le_bytes(runs::limits(lanes, weight)));
        }
    }
}

/// Every depth and lane.
fn places(k: usize, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..k).flat_map(move |k| (0..lanes).map(move |lane| (k, lane)))
}

/// Sets number `at` of `width` bits, which was zero.
fn put(out: &mut [f32], at: usize, width: usize, bits: u32) {
    let each = 32 / width;
    let word = &mut out[at / each];
    *word = f32::from_bits(word.to_bits() | bits << (at % each * width));
}

/// Gate and unit of each of the `4·padded_hidden(hidden)` columns of [`LstmArgs::gates`](crate::LstmArgs::gates);
/// `None` is padding, which must be zero.
pub fn gate_columns(hidden: usize) -> impl Iterator<Item = Option<(Gate, usize)>> {
    blocks(hidden)
        .scan(0, |next, width| {
            let first = *next;
            *next += width;
            Some((first, width))
        })
        .flat_map(move |(first, width)| {
            Gate::ALL.into_iter().flat_map(move |gate| {
                (first..first + width).map(move |unit| (unit < hidden).then_some((gate, unit)))
            })
        })
}

/// Lays out `b`, `k × n`, for a [`Gemm`](crate::Gemm) in f32 with a bias of zero. `out` has `panels_len(k, n)`
/// elements.
pub fn panels(b: Mat<'_>, out: &mut [f32]) {
    let (k, n) = (b.rows(), b.cols());
    assert_eq!(out.len(), panels_len(k, n), "packed length of {k} × {n}");
    let (out, _) = out.as_chunks_mut::<PANEL>();
    for bias in out.iter_mut().step_by(k + 1) {
        bias.fill(0.0);
    }
    // Row by row, as they lie in memory.
    for row in 0..k {
        // SAFETY: `row` is below `b.rows()` and has `b.cols()` elements, as the view promises.
        let from = unsafe { core::slice::from_raw_parts(b.as_ptr().add(row * b.stride()), n) };
        let (whole, rest) = from.as_chunks::<PANEL>();
        let mut lanes = out.iter_mut().skip(1 + row).step_by(k + 1);
        for (from, to) in whole.iter().zip(&mut lanes) {
            *to = *from;
        }
        if let (false, Some(to)) = (rest.is_empty(), lanes.next()) {
            to[..rest.len()].copy_from_slice(rest);
            to[rest.len()..].fill(0.0);
        }
    }
}

/// Lays out the transpose of `b`, `n × k`, for a [`Gemm`](crate::Gemm) in f32 with a bias of zero. `out` has
/// `panels_len(k, n)` elements.
pub fn panels_transposed(b: Mat<'_>, out: &mut [f32]) {
    let (k, n) = (b.cols(), b.rows());
    assert_eq!(out.len(), panels_len(k, n), "packed length of {k} × {n}");
    for (panel, first) in out.chunks_exact_mut((k + 1) * PANEL).zip((0..n).step_by(PANEL)) {
        let (bias, rows) = panel.split_at_mut(PANEL);
        bias.fill(0.0);
        for lane in (0..PANEL).step_by(SIDE) {
            let columns: [&[f32]; SIDE] = core::array::from_fn(|i| match first + lane + i {
                // SAFETY: the row is below `b.rows()` and has `b.cols()` elements, as the view promises.
                row if row < n => unsafe { core::slice::from_raw_parts(b.as_ptr().add(row * b.stride()), k) },
                _ => &[],
            });
            // What is past the last row is zeros.
            let squares = columns.map(|column| column.as_chunks::<SIDE>().0);
            let whole = if squares.iter().all(|column| column.len() == k / SIDE) { k / SIDE } else { 0 };
            for (at, square) in rows.chunks_exact_mut(SIDE * PANEL).enumerate().take(whole) {
                let turned = transpose(squares.map(|column| column[at]));
                for (row, to) in turned.iter().zip(square.as_chunks_mut::<PANEL>().0) {
                    to[lane..lane + SIDE].copy_from_slice(row);
                }
            }
            for (depth, to) in rows.chunks_exact_mut(PANEL).enumerate().skip(whole * SIDE) {
                for (column, to) in columns.iter().zip(&mut to[lane..lane + SIDE]) {
                    *to = column.get(depth).copied().unwrap_or(0.0);
                }
            }
        }
    }
}
