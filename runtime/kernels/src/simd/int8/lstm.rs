//! Int8 LSTM recurrence with the cell update fused. May import: `simd`, `quantize`, `lstm`, `far_format::layout`.

use core::sync::atomic::{Ordering, compiler_fence};

use far_format::layout::{INT8_DEPTH, PANEL, padded_hidden};

use super::super::Simd;
use super::super::ahead::ask_for_gates;
use super::{Dot, starts, steps};
use crate::lstm::LstmCall;
use crate::quantize::{LIMIT, state_bytes};

/// `d` takes blocks of 16 units, in parts if it is narrower; `half` one of 8. `PAIRS`: two blocks are accumulated together where
/// registers allow it.
///
/// # Safety
/// The promises of [`LstmCall`].
#[inline(always)]
pub(crate) unsafe fn lstm<D: Dot, H: Dot, const PAIRS: bool>(d: D, half: H, call: &LstmCall) {
    const { assert!(D::UNSIGNED == H::UNSIGNED) };
    let padded = padded_hidden(call.hidden);
    let (blocks, has_half) = (padded / PANEL, !padded.is_multiple_of(PANEL));
    let together = if PAIRS { 2 } else { 1 };
    // SAFETY: `state` holds `padded` cell states, twice the quantised hidden states, and a word for each lane; `gates` and `out`
    // have a row for each step; the blocks of a group exist.
    unsafe {
        call.state.write_bytes(0, padded);
        let bytes = state_bytes(call.hidden);
        let mut h = call.state.add(padded).cast::<u8>();
        let mut next = h.add(bytes);
        h.write_bytes(if D::UNSIGNED { 128 } else { 0 }, 2 * bytes);
        let starts = call.state.add(padded + 2 * bytes / 4);
        for block in 0..blocks {
            lanes::<D, PANEL>(d, call, block * PANEL, starts);
        }
        if has_half {
            lanes::<H, { PANEL / 2 }>(half, call, blocks * PANEL, starts);
        }
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            ask_for_gates(call, t, padded);
            let at = Step {
                gates: call.gates.add(t * call.gates_stride),
                h,
                c: call.state,
                out: call.out.add(t * call.out_stride),
                next,
                starts,
            };
            let mut first = 0;
            while PAIRS && first + together <= blocks {
                group::<D, PANEL, 2>(d, call, first * PANEL, &at);
                first += together;
            }
            while first < blocks {
                group::<D, PANEL, 1>(d, call, first * PANEL, &at);
                first += 1;
            }
            if has_half {
                group::<H, { PANEL / 2 }, 1>(half, call, first * PANEL, &at);
            }
            (h, next) = (next, h);
        }
    }
}

/// Where a step reads and writes.
struct Step {
    gates: *const f32,
    /// The quantised hidden states of the previous step, and of this.
    h: *const u8,
    next: *mut u8,
    /// Cell states, padded.
    c: *mut f32,
    /// What [`lanes`] gave for every lane.
    starts: *const f32,
    out: *mut f32,
}

/// Words before the weights of a unit, and those of all its depths.
const fn unit_len(groups: usize) -> usize {
    4 * (1 + groups)
}

/// Where the sums of the lanes of the block at unit `first` begin; nothing if hidden states are not unsigned.
///
/// # Safety
/// The promises of [`LstmCall`]; the block exists; `to` has a word for each lane of all blocks.
#[inline(always)]
unsafe fn lanes<D: Dot, const WIDTH: usize>(d: D, call: &LstmCall, first: usize, to: *mut f32) {
    let groups = call.hidden.div_ceil(INT8_DEPTH);
    let mut lane = 0;
    while D::UNSIGNED && lane < 4 * WIDTH {
        // SAFETY: as the caller promises; the block's weights follow its scales.
        unsafe {
            let rows = call.weights.add(first * unit_len(groups) + 4 * WIDTH).cast::<i8>();
            let weights = rows.add(lane * INT8_DEPTH);
            starts(d, weights, 4 * WIDTH * INT8_DEPTH, groups, to.add(4 * first + lane));
        }
        lane += D::S::LANES;
    }
}

/// One step of the `N` blocks of `WIDTH` units that begin at unit `first`.
///
/// # Safety
/// The promises of [`LstmCall`]; `at` lies in its memory; the blocks exist.
#[inline(always)]
unsafe fn group<D: Dot, const WIDTH: usize, const N: usize>(d: D, call: &LstmCall, first: usize, at: &Step) {
    const { assert!(WIDTH.is_multiple_of(D::S::LANES)) };
    let mut part = 0;
    while part < WIDTH {
        // SAFETY: as the caller promises.
        unsafe { units::<D, WIDTH, N>(d, call, first, part, at) };
        part += D::S::LANES;
    }
}

/// As many units as there are lanes, from unit `part` of each block on.
///
/// # Safety
/// As [`group`].
#[inline(always)]
unsafe fn units<D: Dot, const WIDTH: usize, const N: usize>(
    d: D,
    call: &LstmCall,
    first: usize,
    part: usize,
    at: &Step,
) {
    let s = d.simd();
    let groups = call.hidden.div_ceil(INT8_DEPTH);
    let block_len = WIDTH * unit_len(groups);
    // SAFETY: as the caller promises; groups of depths stay below `groups`, and hidden states may be read up to a multiple
    // of 64.
    unsafe {
        let block = call.weights.add(first * unit_len(groups)).add(part);
        let weights = Weights::<WIDTH> { first: block.add(4 * WIDTH).cast(), block: 4 * block_len, groups };
        let starts = at.starts.add(4 * first + part);
        let mut acc = [[d.start(starts); 4]; N];
        for n in 0..N {
            for gate in 0..4 {
                acc[n][gate] = d.start(starts.add((4 * n + gate) * WIDTH));
            }
        }
        let mut g = 0;
        while g + D::GROUPS <= groups {
            let x = d.elements(at.h.add(g * INT8_DEPTH));
            multiply::<D, WIDTH, N, 0>(d, x, &weights, g, &mut acc);
            if const { steps::<D>() == 4 } {
                multiply::<D, WIDTH, N, 1>(d, x, &weights, g, &mut acc);
                multiply::<D, WIDTH, N, 2>(d, x, &weights, g, &mut acc);
                multiply::<D, WIDTH, N, 3>(d, x, &weights, g, &mut acc);
            }
            g += D::GROUPS;
        }
        if g < groups {
            let x = d.elements(at.h.add(g * INT8_DEPTH));
            multiply::<D, WIDTH, N, 0>(d, x, &weights, g, &mut acc);
            if g + D::STEP < groups {
                multiply::<D, WIDTH, N, 1>(d, x, &weights, g, &mut acc);
            }
            if g + 2 * D::STEP < groups {
                multiply::<D, WIDTH, N, 2>(d, x, &weights, g, &mut acc);
            }
        }
        for n in 0..N {
            let unit = first + n * WIDTH + part;
            if unit >= call.hidden {
                break; // a part of nothing but padding
            }
            let gates = at.gates.add(4 * (first + n * WIDTH) + part);
            let mut pre = [s.splat(0.0); 4];
            for gate in 0..4 {
                let scale = s.load(block.add(n * block_len + gate * WIDTH));
                pre[gate] = s.fma(d.to_float(acc[n][gate]), scale, s.load(gates.add(gate * WIDTH)));
                // Loads of one gate at a time: there are no registers for more.
                compiler_fence(Ordering::SeqCst);
            }
            let y = d.cell(pre, at.c.add(unit));
            s.store_up_to(at.out.add(unit), y, call.hidden - unit);
            d.store(at.next.add(unit), [d.round_or_zero(s.mul(y, s.splat(LIMIT)))]);
        }
    }
}

/// The weights of blocks.
struct Weights<const WIDTH: usize> {
    first: *const i8,
    /// Bytes from one block to the next.
    block: usize,
    groups: usize,
}

/// Adds the products of step `G` from group `g` of depths on in `N` blocks; `x` holds the hidden states from group `g` on.
///
/// # Safety
/// The weights are there.
#[inline(always)]
unsafe fn multiply<D: Dot, const WIDTH: usize, const N: usize, const G: usize>(
    d: D,
    x: D::X,
    weights: &Weights<WIDTH>,
    g: usize,
    acc: &mut [[D::Sum; 4]; N],
) {
    let g = g + G * D::STEP;
    let one = g + D::STEP > weights.groups;
    for n in 0..N {
        for gate in 0..4 {
            // SAFETY: as the caller promises.
            let w = unsafe {
                let at = weights.first.add(n * weights.block + (g * 4 + gate) * WIDTH * INT8_DEPTH);
                d.weights(at, 4 * WIDTH * INT8_DEPTH, one)
            };
            acc[n][gate] = d.dot::<G>(acc[n][gate], w, x);
        }
    }
}
