//! LSTM recurrence with the cell update fused. May import: `simd`, `lstm`, `far_format::layout`.

use far_format::layout::{PANEL, padded_hidden};

use super::Simd;
use super::math::tanh;
use crate::lstm::LstmCall;

/// `s` takes a block of 16 units, `half` one of 8; `BLOCKS` of 16 are accumulated together while there are so many.
///
/// The weights of a unit may exceed the first-level cache. So the blocks are swept forth in one step and back in the
/// next: what was read last is read first. The order of blocks changes no bit.
///
/// # Safety
/// The promises of [`LstmCall`].
#[inline(always)]
pub(crate) unsafe fn lstm<S: Simd, H: Simd, const BLOCKS: usize>(s: S, half: H, call: &LstmCall) {
    const { assert!(S::LANES == PANEL && H::LANES == PANEL / 2) };
    let padded = padded_hidden(call.hidden);
    let blocks = padded / PANEL;
    let groups = blocks / BLOCKS;
    let singles = blocks % BLOCKS;
    let halves = usize::from(!padded.is_multiple_of(PANEL));
    let jobs = groups + singles + halves;
    // SAFETY: `state` holds `2 * padded` elements, `gates` and `out` a row for each step; blocks lie one after the
    // other in `weights` and in a row of `gates`, and a block's first unit is below `hidden`.
    unsafe {
        call.state.write_bytes(0, 2 * padded);
        let c = call.state.add(padded);
        let mut h: *const f32 = call.state;
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            let gates = call.gates.add(t * call.gates_stride);
            let out = call.out.add(t * call.out_stride);
            for i in 0..jobs {
                let job = if step % 2 == 0 { i } else { jobs - 1 - i };
                if job < groups {
                    block::<S, BLOCKS>(s, call, job * BLOCKS * PANEL, gates, h, c, out);
                } else if job < groups + singles {
                    block::<S, 1>(s, call, (job - groups + groups * BLOCKS) * PANEL, gates, h, c, out);
                } else {
                    block::<H, 1>(half, call, padded - H::LANES, gates, h, c, out);
                }
            }
            h = out;
        }
    }
}

/// One step of the `N` blocks of `LANES` units that begin at unit `first`.
///
/// # Safety
/// The promises of [`LstmCall`] and what [`lstm`] says of the blocks; `h` holds `hidden`, `c` the padded hidden units.
#[inline(always)]
unsafe fn block<S: Simd, const N: usize>(
    s: S,
    call: &LstmCall,
    first: usize,
    gates: *const f32,
    h: *const f32,
    c: *mut f32,
    out: *mut f32,
) {
    let hidden = call.hidden;
    let depth_row = 4 * S::LANES;
    // SAFETY: as the caller promises; `k` stays below `hidden`.
    unsafe {
        let weights = call.weights.add(first * 4 * hidden);
        let gates = gates.add(first * 4);
        let mut acc = [[s.splat(0.0); 4]; N];
        for n in 0..N {
            for gate in 0..4 {
                acc[n][gate] = s.load(gates.add((n * 4 + gate) * S::LANES));
            }
        }
        let mut k = 0;
        while k + S::DEPTH <= hidden {
            let row = s.row(h.add(k));
            for i in 0..S::DEPTH {
                for n in 0..N {
                    let w = weights.add((n * hidden + k + i) * depth_row);
                    for gate in 0..4 {
                        acc[n][gate] = s.fma_element(row, i, s.load(w.add(gate * S::LANES)), acc[n][gate]);
                    }
                }
            }
            k += S::DEPTH;
        }
        while k < hidden {
            let row = s.splat(*h.add(k));
            for n in 0..N {
                let w = weights.add((n * hidden + k) * depth_row);
                for gate in 0..4 {
                    acc[n][gate] = s.fma(row, s.load(w.add(gate * S::LANES)), acc[n][gate]);
                }
            }
            k += 1;
        }
        for n in 0..N {
            let unit = first + n * S::LANES;
            let y = cell(s, acc[n], c.add(unit));
            s.store_up_to(out.add(unit), y, hidden - unit);
        }
    }
}

/// The new hidden states; the cell states at `c` are replaced.
///
/// # Safety
/// `LANES` elements at `c` are readable and writable.
#[inline(always)]
unsafe fn cell<S: Simd>(s: S, [i, o, f, g]: [S::V; 4], c: *mut f32) -> S::V {
    let half = s.splat(0.5);
    let i = s.fma(half, tanh(s, i), half);
    let o = s.fma(half, tanh(s, o), half);
    let f = s.fma(half, tanh(s, f), half);
    // SAFETY: as the caller promises.
    unsafe {
        let next = s.fma(f, s.load(c), s.mul(i, tanh(s, g)));
        s.store(c, next);
        s.mul(o, tanh(s, next))
    }
}
