//! LSTM recurrence, four units with their four gates at a time. May import: `lstm`, `scalar::{math, weights}`.

use far_format::layout::{blocks, padded_hidden};

use super::math::tanh_fraction;
use super::weights::Weights;
use crate::lstm::LstmCall;

/// Units whose gates are accumulated together.
const UNITS: usize = 4;

/// # Safety
/// The promises of [`LstmCall`], whose weights are such.
pub(super) unsafe fn lstm<W: Weights>(call: &LstmCall) {
    let padded = padded_hidden(call.hidden);
    // SAFETY: `state` holds `2 * padded` elements, `gates` and `out` a row for each step; a block's weights and gates
    // lie one after the other, and its width is a multiple of `UNITS`.
    unsafe {
        call.state.write_bytes(0, 2 * padded);
        let c = call.state.add(padded);
        let mut h: *const f32 = call.state;
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            let gates = call.gates.add(t * call.gates_stride);
            let out = call.out.add(t * call.out_stride);
            let mut first = 0;
            let mut weights = call.weights;
            for width in blocks(call.hidden) {
                for unit in (first..first + width).step_by(UNITS) {
                    let at = unit - first;
                    let acc = products::<W>(call.hidden, width, gates.add(4 * first + at), weights, at, h);
                    for (u, acc) in acc.iter().enumerate() {
                        let y = cell(*acc, &mut *c.add(unit + u));
                        if unit + u < call.hidden {
                            *out.add(unit + u) = y;
                        }
                    }
                }
                first += width;
                weights = weights.add(W::words(call.hidden, 4 * width));
            }
            h = out;
        }
    }
}

/// Pre-activations of `UNITS` units: the input half plus R·h, by unit and gate.
///
/// # Safety
/// At `gates` lie 4 gates, `width` apart; at `weights` the rows of their block, the units from `at` on in it; at `h` the
/// `hidden` hidden states.
unsafe fn products<W: Weights>(
    hidden: usize,
    width: usize,
    gates: *const f32,
    weights: *const f32,
    at: usize,
    h: *const f32,
) -> [[f32; 4]; UNITS] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut acc = [[0.0; 4]; UNITS];
        for (u, acc) in acc.iter_mut().enumerate() {
            for (gate, acc) in acc.iter_mut().enumerate() {
                *acc = *gates.add(gate * width + u);
            }
        }
        for k in 0..hidden {
            let h = *h.add(k);
            for gate in 0..4 {
                let row: [f32; UNITS] = W::row(weights, 4 * width, k, gate * width + at);
                for (acc, w) in acc.iter_mut().zip(row) {
                    acc[gate] = h.mul_add(w, acc[gate]);
                }
            }
        }
        acc
    }
}

/// The new hidden state; `c` becomes the new cell state.
pub(super) fn cell([i, o, f, g]: [f32; 4], c: &mut f32) -> f32 {
    let ((pi, qi), (po, qo), (pf, qf), (pg, qg)) =
        (tanh_fraction(i), tanh_fraction(o), tanh_fraction(f), tanh_fraction(g));
    let taken = (qi + pi) * pg;
    let taken_q = qi * qg;
    let kept = (qf + pf) * *c;
    let q = qf * taken_q;
    *c = kept.mul_add(taken_q, taken * qf) / (q + q);
    let (pc, qc) = tanh_fraction(*c);
    let q = qo * qc;
    ((qo + po) * pc) / (q + q)
}
