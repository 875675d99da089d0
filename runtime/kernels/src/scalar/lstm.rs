//! LSTM recurrence, four units with their four gates at a time. May import: `lstm`, `scalar::math`.

use far_format::layout::{blocks, padded_hidden};

use super::math::tanh_fraction;
use crate::lstm::LstmCall;

/// Units whose gates are accumulated together.
pub(super) const UNITS: usize = 4;

/// How a recurrence multiplies hidden states by weights.
pub(super) trait Products {
    /// Words that hold so many hidden states as the products take them; as many rows of words hold their weights.
    fn depth(hidden: usize) -> usize;

    /// Adds to the gates of the `UNITS` units from `unit` on in a block of `width`.
    ///
    /// # Safety
    /// At `h` lie `depth` words of hidden states, at `weights` the block's weights.
    unsafe fn add(
        acc: &mut [[f32; 4]; UNITS],
        depth: usize,
        h: *const f32,
        weights: *const f32,
        width: usize,
        unit: usize,
    );

    /// Where the products of the next step find the `n` hidden states that lie at `out`: there, or in `state` as halves.
    ///
    /// # Safety
    /// `n` elements at `out` are readable, and `n` halves at `state` writable.
    unsafe fn keep(out: *const f32, n: usize, state: *mut f32) -> *const f32;
}

/// f32, by fused multiply-add in order of `k`.
pub(super) struct Fused;

impl Products for Fused {
    fn depth(hidden: usize) -> usize {
        hidden
    }

    unsafe fn add(
        acc: &mut [[f32; 4]; UNITS],
        depth: usize,
        h: *const f32,
        weights: *const f32,
        width: usize,
        unit: usize,
    ) {
        // SAFETY: as the caller promises.
        unsafe {
            for k in 0..depth {
                let h = *h.add(k);
                let row = weights.add(k * 4 * width + unit);
                for (u, acc) in acc.iter_mut().enumerate() {
                    for (gate, acc) in acc.iter_mut().enumerate() {
                        *acc = h.mul_add(*row.add(gate * width + u), *acc);
                    }
                }
            }
        }
    }

    unsafe fn keep(out: *const f32, _: usize, _: *mut f32) -> *const f32 {
        out
    }
}

/// # Safety
/// The promises of [`LstmCall`], whose weights are such.
pub(super) unsafe fn lstm<P: Products>(call: &LstmCall) {
    let (padded, depth) = (padded_hidden(call.hidden), P::depth(call.hidden));
    // SAFETY: `state` holds `2 * padded` words, hidden states as halves take no more than the first `padded`; `gates` and
    // `out` hold a row for each step; a block's weights and gates lie one after the other, and its width is a multiple of
    // `UNITS`.
    unsafe {
        call.state.write_bytes(0, 2 * padded);
        let c = call.state.add(padded);
        let mut h: *const f32 = call.state;
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            let gates = call.gates.add(t * call.gates_stride);
            let out = call.out.add(t * call.out_stride);
            let mut first = 0;
            for width in blocks(call.hidden) {
                let (gates, weights) = (gates.add(4 * first), call.weights.add(4 * first * depth));
                for unit in (0..width).step_by(UNITS) {
                    let mut acc = [[0.0; 4]; UNITS];
                    for (u, acc) in acc.iter_mut().enumerate() {
                        for (gate, acc) in acc.iter_mut().enumerate() {
                            *acc = *gates.add(gate * width + unit + u);
                        }
                    }
                    P::add(&mut acc, depth, h, weights, width, unit);
                    for (u, acc) in acc.iter().enumerate() {
                        let unit = first + unit + u;
                        let y = cell(*acc, &mut *c.add(unit));
                        if unit < call.hidden {
                            *out.add(unit) = y;
                        }
                    }
                }
                first += width;
            }
            h = P::keep(out, call.hidden, call.state);
        }
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
