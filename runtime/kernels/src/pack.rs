//! Packing of weights: at compile time for models, at run time for attention. The layouts are those of
//! `far_format::layout`. May import: `matrix`, `far_format::layout`.
//!
//! Every function panics if a slice has the wrong length.

use far_format::layout::{PANEL, blocks, gemm_weight_len, lstm_weight_len};

use crate::matrix::Mat;

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

/// Lays out a matrix `k × n`, given by a function of row and column, and its bias (`n` elements; zeros if `None`) for
/// [`GemmF32`](crate::GemmF32). `out` has `gemm_weight_len(k, n)` elements.
pub fn gemm(k: usize, n: usize, weight: impl Fn(usize, usize) -> f32, bias: Option<&[f32]>, out: &mut [f32]) {
    assert_eq!(out.len(), gemm_weight_len(k, n), "packed length of {k} × {n}");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), n, "length of the bias");
    }
    for (panel, first) in out.chunks_exact_mut((k + 1) * PANEL).zip((0..n).step_by(PANEL)) {
        let used = PANEL.min(n - first);
        for (row, lanes) in panel.chunks_exact_mut(PANEL).enumerate() {
            for (lane, w) in lanes.iter_mut().enumerate() {
                let col = first + lane;
                *w = match row.checked_sub(1) {
                    _ if lane >= used => 0.0,
                    None => bias.map_or(0.0, |bias| bias[col]),
                    Some(depth) => weight(depth, col),
                };
            }
        }
    }
}

/// Lays out the recurrent weights of an LSTM unit for [`LstmF32`](crate::LstmF32). `r` is `4·hidden × hidden`,
/// row-major, gates in the order of [`Gate::ALL`], with the ½ of the sigmoid already in the rows of i, o and f. `out`
/// has `lstm_weight_len(hidden)` elements.
pub fn lstm(hidden: usize, r: &[f32], out: &mut [f32]) {
    assert_eq!(r.len(), 4 * hidden * hidden, "recurrent weights of {hidden} units");
    assert_eq!(out.len(), lstm_weight_len(hidden), "packed length of {hidden} units");
    let mut out = out.iter_mut();
    let mut first = 0;
    for width in blocks(hidden) {
        for k in 0..hidden {
            for gate in 0..Gate::ALL.len() {
                for unit in first..first + width {
                    let w = if unit < hidden { r[(gate * hidden + unit) * hidden + k] } else { 0.0 };
                    *out.next().expect("blocks add up to the packed length") = w;
                }
            }
        }
        first += width;
    }
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

/// Lays out `b`, `k × n`, for [`GemmF32`](crate::GemmF32) with a bias of zero. `out` has `gemm_weight_len(k, n)`
/// elements.
pub fn panels(b: Mat<'_>, out: &mut [f32]) {
    let (k, n) = (b.rows(), b.cols());
    assert_eq!(out.len(), gemm_weight_len(k, n), "packed length of {k} × {n}");
    for (panel, first) in out.chunks_exact_mut((k + 1) * PANEL).zip((0..n).step_by(PANEL)) {
        let used = PANEL.min(n - first);
        let (bias, rows) = panel.split_at_mut(PANEL);
        bias.fill(0.0);
        for (row, lanes) in rows.chunks_exact_mut(PANEL).enumerate() {
            // SAFETY: `row` is below `b.rows()`, and `first + used` columns are within `b.cols()`, as the view promises.
            let from = unsafe { core::slice::from_raw_parts(b.as_ptr().add(row * b.stride() + first), used) };
            lanes[..used].copy_from_slice(from);
            lanes[used..].fill(0.0);
        }
    }
}

/// Lays out the transpose of `b`, `n × k`, for [`GemmF32`](crate::GemmF32) with a bias of zero. `out` has
/// `gemm_weight_len(k, n)` elements.
pub fn panels_transposed(b: Mat<'_>, out: &mut [f32]) {
    let (k, n) = (b.cols(), b.rows());
    assert_eq!(out.len(), gemm_weight_len(k, n), "packed length of {k} × {n}");
    for (panel, first) in out.chunks_exact_mut((k + 1) * PANEL).zip((0..n).step_by(PANEL)) {
        let (bias, rows) = panel.split_at_mut(PANEL);
        bias.fill(0.0);
        for lane in 0..PANEL {
            let column = rows.iter_mut().skip(lane).step_by(PANEL);
            if first + lane < n {
                // SAFETY: the row is below `b.rows()` and has `b.cols()` elements, as the view promises.
                let from =
                    unsafe { core::slice::from_raw_parts(b.as_ptr().add((first + lane) * b.stride()), k) };
                column.zip(from).for_each(|(to, from)| *to = *from);
            } else {
                column.for_each(|to| *to = 0.0);
            }
        }
    }
}
