//! LSTM recurrence with the cell update fused. May import: `simd`, `lstm`, `far_format::layout`.

use far_format::layout::{PANEL, padded_hidden};

use super::Simd;
use super::math::tanh_fraction;
use crate::lstm::LstmCall;

/// A first-level data cache, as small as any that these kernels meet.
const FIRST_LEVEL_BYTES: usize = 32 * 1024;

/// `s` takes a block of 16 units, `half` one of 8. `PAIRS`: two blocks are accumulated together where registers allow
/// it, so that the cell updates of one hide behind the products of the other.
///
/// Weights that exceed the first-level cache are streamed: one block at a time, swept forth in one step and back in the
/// next, so that what was read last is read first. The order of blocks changes no bit.
///
/// # Safety
/// The promises of [`LstmCall`].
#[inline(always)]
pub(crate) unsafe fn lstm<S: Simd, H: Simd, const PAIRS: bool>(s: S, half: H, call: &LstmCall) {
    const { assert!(S::LANES == PANEL && H::LANES == PANEL / 2 && S::DEPTH == H::DEPTH) };
    let padded = padded_hidden(call.hidden);
    let blocks = padded / PANEL;
    let has_half = !padded.is_multiple_of(PANEL);
    let resident = call.hidden * 4 * padded * size_of::<f32>() <= FIRST_LEVEL_BYTES;
    let together = if PAIRS && resident { 2 } else { 1 };
    let groups = blocks.div_ceil(together).max(1);
    // SAFETY: `state` holds `2 * padded` elements, `gates` and `out` a row for each step; the blocks of a group exist.
    unsafe {
        call.state.write_bytes(0, 2 * padded);
        let c = call.state.add(padded);
        let mut h: *const f32 = call.state;
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            let at = Step {
                gates: call.gates.add(t * call.gates_stride),
                h,
                c,
                out: call.out.add(t * call.out_stride),
            };
            for i in 0..groups {
                let index = if step % 2 == 0 { i } else { groups - 1 - i };
                let first = index * together;
                let unit = first * PANEL;
                // The last group also takes the block of 8.
                match (together.min(blocks - first), has_half && index == groups - 1) {
                    (0, _) => group::<S, H, 0, true>(s, half, call, unit, &at),
                    (1, false) => group::<S, H, 1, false>(s, half, call, unit, &at),
                    (1, true) => group::<S, H, 1, true>(s, half, call, unit, &at),
                    (_, false) if PAIRS => group::<S, H, 2, false>(s, half, call, unit, &at),
                    (_, true) if PAIRS => group::<S, H, 2, true>(s, half, call, unit, &at),
                    _ => (), // two blocks are together in pairs only
                }
            }
            h = at.out;
        }
    }
}

/// Where a step reads and writes.
struct Step {
    gates: *const f32,
    /// `hidden` states of the previous step.
    h: *const f32,
    /// Cell states, padded.
    c: *mut f32,
    out: *mut f32,
}

/// One step of the `N` blocks of 16 units that begin at unit `first`, and of the 8 after them if `HALF`.
///
/// # Safety
/// The promises of [`LstmCall`]; `at` lies in its memory; the blocks exist.
#[inline(always)]
unsafe fn group<S: Simd, H: Simd, const N: usize, const HALF: bool>(
    s: S,
    half: H,
    call: &LstmCall,
    first: usize,
    at: &Step,
) {
    let hidden = call.hidden;
    // SAFETY: as the caller promises; `k` stays below `hidden`.
    unsafe {
        let weights = call.weights.add(first * 4 * hidden);
        let gates = at.gates.add(first * 4);
        let half_weights = weights.wrapping_add(N * PANEL * 4 * hidden);
        let half_gates = gates.wrapping_add(N * PANEL * 4);
        let mut acc = [[s.splat(0.0); 4]; N];
        let mut half_acc = [[half.splat(0.0); 4]];
        for n in 0..N {
            for gate in 0..4 {
                acc[n][gate] = s.load(gates.add((n * 4 + gate) * PANEL));
            }
        }
        if HALF {
            for gate in 0..4 {
                half_acc[0][gate] = half.load(half_gates.add(gate * H::LANES));
            }
        }
        let mut k = 0;
        while S::DEPTH > 1 && k + S::DEPTH <= hidden {
            const { assert!(S::DEPTH == 1 || S::DEPTH == 4) };
            let row = s.row(at.h.add(k));
            multiply::<S, N, 0>(s, row, weights, hidden, k, &mut acc);
            multiply::<S, N, 1>(s, row, weights, hidden, k, &mut acc);
            multiply::<S, N, 2>(s, row, weights, hidden, k, &mut acc);
            multiply::<S, N, 3>(s, row, weights, hidden, k, &mut acc);
            if HALF {
                let row = half.row(at.h.add(k));
                multiply::<H, 1, 0>(half, row, half_weights, hidden, k, &mut half_acc);
                multiply::<H, 1, 1>(half, row, half_weights, hidden, k, &mut half_acc);
                multiply::<H, 1, 2>(half, row, half_weights, hidden, k, &mut half_acc);
                multiply::<H, 1, 3>(half, row, half_weights, hidden, k, &mut half_acc);
            }
            k += S::DEPTH;
        }
        while k < hidden {
            let x = *at.h.add(k);
            multiply_by(s, s.splat(x), weights, hidden, k, &mut acc);
            if HALF {
                multiply_by(half, half.splat(x), half_weights, hidden, k, &mut half_acc);
            }
            k += 1;
        }
        for n in 0..N {
            let unit = first + n * PANEL;
            let y = cell(s, acc[n], at.c.add(unit));
            s.store_up_to(at.out.add(unit), y, hidden - unit);
        }
        if HALF {
            let unit = first + N * PANEL;
            let y = cell(half, half_acc[0], at.c.add(unit));
            half.store_up_to(at.out.add(unit), y, hidden - unit);
        }
    }
}

/// Adds the products of depth `k + I` in `N` blocks of `LANES` units; `row` holds the hidden states from `k` on.
///
/// # Safety
/// At `weights` lie `N` blocks of `hidden × 4 × LANES`; `k + I` is below `hidden`.
#[inline(always)]
unsafe fn multiply<S: Simd, const N: usize, const I: usize>(
    s: S,
    row: S::Row,
    weights: *const f32,
    hidden: usize,
    k: usize,
    acc: &mut [[S::V; 4]; N],
) {
    for n in 0..N {
        for gate in 0..4 {
            // SAFETY: as the caller promises.
            let w = unsafe { s.load(weights.add(((n * hidden + k + I) * 4 + gate) * S::LANES)) };
            acc[n][gate] = s.fma_element::<I>(row, w, acc[n][gate]);
        }
    }
}

/// Adds the products of depth `k`, whose hidden state is `x`.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn multiply_by<S: Simd, const N: usize>(
    s: S,
    x: S::V,
    weights: *const f32,
    hidden: usize,
    k: usize,
    acc: &mut [[S::V; 4]; N],
) {
    for n in 0..N {
        for gate in 0..4 {
            // SAFETY: as the caller promises.
            let w = unsafe { s.load(weights.add(((n * hidden + k) * 4 + gate) * S::LANES)) };
            acc[n][gate] = s.fma(x, w, acc[n][gate]);
        }
    }
}

/// The new hidden states; the cell states at `c` are replaced.
///
/// # Safety
/// `LANES` elements at `c` are readable and writable.
#[inline(always)]
pub(super) unsafe fn cell<S: Simd>(s: S, [i, o, f, g]: [S::V; 4], c: *mut f32) -> S::V {
    let ((pi, qi), (po, qo), (pf, qf), (pg, qg)) =
        (tanh_fraction(s, i), tanh_fraction(s, o), tanh_fraction(s, f), tanh_fraction(s, g));
    let taken = s.mul(s.add(qi, pi), pg);
    let taken_q = s.mul(qi, qg);
    // SAFETY: as the caller promises.
    let kept = s.mul(s.add(qf, pf), unsafe { s.load(c) });
    let q = s.mul(qf, taken_q);
    let next = s.div(s.fma(kept, taken_q, s.mul(taken, qf)), s.add(q, q));
    // SAFETY: as the caller promises.
    unsafe { s.store(c, next) };
    let (pc, qc) = tanh_fraction(s, next);
    let q = s.mul(qo, qc);
    s.div(s.mul(s.add(qo, po), pc), s.add(q, q))
}
