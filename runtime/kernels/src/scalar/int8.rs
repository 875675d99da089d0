//! Product and recurrence in int8, in plain loops: the definition. May import: `gemm`, `lstm`, `pack`, `quantize`,
//! `scalar::{lstm, math}`, `far_format::layout`.

use far_format::layout::{
    PANEL, Precision, blocks, gemm_weight_len, int8_at, int8_header, int8_words, lstm_weight_len,
    padded_hidden,
};

use super::lstm::cell;
use super::math::activate;
use crate::gemm::GemmCall;
use crate::lstm::LstmCall;
use crate::pack::HOST;
use crate::quantize::{LIMIT, inverse, magnitude, round, row_bytes, rows_at, scale, state_bytes};

/// # Safety
/// The promises of [`GemmCall`].
pub(crate) unsafe fn gemm(call: &GemmCall) {
    // SAFETY: `scratch` holds a scale and a quantised row for each row of `a`; panel `col / PANEL` exists because
    // `col < n`; rows of `a`, `residual` and `out` are below `m`, columns below `n`.
    unsafe {
        let rows: *mut i8 = call.scratch.add(rows_at(call.m)).cast();
        for row in 0..call.m {
            let a = core::slice::from_raw_parts(call.a.add(row * call.a_stride), call.k);
            *call.scratch.add(row) = quantize_row(a, rows.add(row * row_bytes(call.k)));
        }
        let panel_len = gemm_weight_len(Precision::Int8, HOST, call.k, PANEL);
        for col in 0..call.n {
            let panel = call.weights.add(col / PANEL * panel_len);
            let (weights, lane) = (panel.add(int8_header(HOST, call.k)).cast(), col % PANEL);
            for row in 0..call.m {
                let sum = products(call.k, rows.add(row * row_bytes(call.k)), weights, PANEL, lane);
                let scale = *call.scratch.add(row) * *panel.add(lane);
                let mut y = activate(call.act, (sum as f32).mul_add(scale, *panel.add(PANEL + lane)));
                if !call.residual.is_null() {
                    y += *call.residual.add(row * call.residual_stride + col);
                }
                *call.out.add(row * call.out_stride + col) = y;
            }
        }
    }
}

/// Writes the integers of a row to `to`. Gives its scale.
///
/// # Safety
/// As many bytes as elements are writable at `to`.
unsafe fn quantize_row(a: &[f32], to: *mut i8) -> f32 {
    let largest = a.iter().map(|x| magnitude(*x)).max().unwrap_or(0);
    let inverse = inverse(largest);
    for (i, x) in a.iter().enumerate() {
        // SAFETY: as the caller promises.
        unsafe { *to.add(i) = round(x * inverse) };
    }
    scale(largest)
}

/// The sum of the products of `k` integers with the weights of one lane.
///
/// # Safety
/// At `x` lie `k` integers, at `weights` the weights of `k` depths and `lanes` lanes.
unsafe fn products(k: usize, x: *const i8, weights: *const i8, lanes: usize, lane: usize) -> i32 {
    // SAFETY: as the caller promises.
    let product =
        |k| unsafe { i32::from(*x.add(k)) * i32::from(*weights.add(int8_at(HOST, lanes, k, lane))) };
    (0..k).map(product).sum()
}

/// # Safety
/// The promises of [`LstmCall`].
pub(crate) unsafe fn lstm(call: &LstmCall) {
    let padded = padded_hidden(call.hidden);
    let unit_len = lstm_weight_len(Precision::Int8, HOST, call.hidden) / padded.max(1);
    // SAFETY: `state` holds `padded` cell states and twice the quantised hidden states; `gates` and `out` have a row for each
    // step; a block's header, weights and gates lie one after the other.
    unsafe {
        let c = call.state;
        c.write_bytes(0, padded);
        let mut h: *mut i8 = c.add(padded).cast();
        let mut next = h.add(state_bytes(call.hidden));
        h.write_bytes(0, call.hidden);
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            let mut gates = call.gates.add(t * call.gates_stride);
            let out = call.out.add(t * call.out_stride);
            let mut weights = call.weights;
            let mut first = 0;
            for width in blocks(call.hidden) {
                let lanes = 4 * width;
                let rows = weights.add(int8_words(HOST) * lanes).cast();
                for unit in first..(first + width).min(call.hidden) {
                    let pre = [0, 1, 2, 3].map(|gate| {
                        let lane = gate * width + unit - first;
                        let sum = products(call.hidden, h, rows, lanes, lane);
                        (sum as f32).mul_add(*weights.add(lane), *gates.add(lane))
                    });
                    let y = cell(pre, &mut *c.add(unit));
                    *out.add(unit) = y;
                    *next.add(unit) = round(y * LIMIT);
                }
                first += width;
                gates = gates.add(lanes);
                weights = weights.add(unit_len * width);
            }
            (h, next) = (next, h);
        }
    }
}
