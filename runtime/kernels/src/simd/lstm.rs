//! LSTM recurrence with the cell update fused. May import: `simd`, `lstm`, `cpu`, `far_format::layout`.

use far_format::layout::{PANEL, padded_hidden};

use super::ahead::ask_for_gates;
use super::{Product, Simd, Tanh};
use crate::cpu;
use crate::lstm::LstmCall;

/// How a recurrence multiplies hidden states by weights: `S` takes blocks of 16 units, `H` one of 8.
pub(crate) trait Recurrence<S: Simd, H: Simd>: Copy {
    /// Words that hold so many hidden states as the products take them; as many rows of words hold their weights.
    fn depth(hidden: usize) -> usize;

    /// Adds the products of a step to what `acc` and, where `HALF`, `half_acc` hold.
    ///
    /// # Safety
    /// `from` holds `N` blocks of 16 units, and one of 8 if `HALF`.
    unsafe fn accumulate<const N: usize, const HALF: bool>(
        self,
        s: S,
        half: H,
        from: &Sources,
        acc: &mut [[S::V; 4]; N],
        half_acc: &mut [[H::V; 4]; 1],
    );

    /// Where the products of the next step find the `n` hidden states that lie at `out`: there, or in `state` as halves.
    ///
    /// # Safety
    /// `n` elements at `out` are readable, and `n` halves at `state` writable.
    unsafe fn keep(self, out: *const f32, n: usize, state: *mut f32) -> *const f32;
}

/// What a step of some blocks multiplies.
pub(crate) struct Sources {
    /// Hidden states of the previous step, `depth` words.
    pub(crate) h: *const f32,
    pub(crate) depth: usize,
    /// The blocks of 16 units, `depth × 4 × 16` words each.
    pub(crate) weights: *const f32,
    /// The block of 8 units after them, `depth × 4 × 8` words.
    pub(crate) half_weights: *const f32,
}

/// `s` takes a block of 16 units, `half` one of 8. `PAIRS`: two blocks are accumulated together where registers allow
/// it, so that the cell updates of one hide behind the products of the other.
///
/// Weights that exceed the first-level cache are streamed, swept forth in one step and back in the next, so that what was read
/// last is read first: one block at a time, or two where two thirds of the cache hold them. The order of blocks changes no bit.
///
/// # Safety
/// The promises of [`LstmCall`].
#[inline(always)]
pub(crate) unsafe fn lstm<S: Simd, H: Simd, R: Recurrence<S, H>, const PAIRS: bool>(
    s: S,
    half: H,
    recurrence: R,
    call: &LstmCall,
) {
    const { assert!(S::LANES == PANEL && H::LANES == PANEL / 2 && S::DEPTH == H::DEPTH) };
    let padded = padded_hidden(call.hidden);
    let blocks = padded / PANEL;
    let has_half = !padded.is_multiple_of(PANEL);
    let bytes = |units: usize| R::depth(call.hidden) * 4 * units * size_of::<f32>();
    let cache = cpu::first_level_bytes();
    let stay = bytes(padded) <= cache || 3 * bytes(2 * PANEL) <= 2 * cache;
    let together = if PAIRS && stay { 2 } else { 1 };
    let groups = blocks.div_ceil(together).max(1);
    // SAFETY: `state` holds `2 * padded` words, hidden states as halves take no more than the first `padded`; `gates`
    // and `out` hold a row for each step; the blocks of a group exist.
    unsafe {
        call.state.write_bytes(0, 2 * padded);
        let c = call.state.add(padded);
        let mut h: *const f32 = call.state;
        for step in 0..call.steps {
            let t = if call.reverse { call.steps - 1 - step } else { step };
            ask_for_gates(call, t, padded);
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
                    (0, _) => group::<S, H, R, 0, true>(s, half, recurrence, call, unit, &at),
                    (1, false) => group::<S, H, R, 1, false>(s, half, recurrence, call, unit, &at),
                    (1, true) => group::<S, H, R, 1, true>(s, half, recurrence, call, unit, &at),
                    (_, false) if PAIRS => group::<S, H, R, 2, false>(s, half, recurrence, call, unit, &at),
                    (_, true) if PAIRS => group::<S, H, R, 2, true>(s, half, recurrence, call, unit, &at),
                    _ => (), // two blocks are together in pairs only
                }
            }
            h = recurrence.keep(at.out, call.hidden, call.state);
        }
    }
}

/// Where a step reads and writes.
struct Step {
    gates: *const f32,
    /// Hidden states of the previous step, as the products take them.
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
unsafe fn group<S: Simd, H: Simd, R: Recurrence<S, H>, const N: usize, const HALF: bool>(
    s: S,
    half: H,
    recurrence: R,
    call: &LstmCall,
    first: usize,
    at: &Step,
) {
    let hidden = call.hidden;
    let depth = R::depth(hidden);
    // SAFETY: as the caller promises.
    unsafe {
        let weights = call.weights.add(first * 4 * depth);
        let half_weights = weights.wrapping_add(N * PANEL * 4 * depth);
        let gates = at.gates.add(first * 4);
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
        let from = Sources { h: at.h, depth, weights, half_weights };
        recurrence.accumulate::<N, HALF>(s, half, &from, &mut acc, &mut half_acc);
        for n in 0..N {
            let unit = first + n * PANEL;
            let y = cell(s, s, acc[n], at.c.add(unit));
            s.store_up_to(at.out.add(unit), y, hidden - unit);
        }
        if HALF {
            let unit = first + N * PANEL;
            let y = cell(half, half, half_acc[0], at.c.add(unit));
            half.store_up_to(at.out.add(unit), y, hidden - unit);
        }
    }
}

/// [`Recurrence::accumulate`] word by word of `h`, in order. Where a register holds 16 lanes, it takes two gates of the block of 8 units.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn accumulate_in_order<S: Simd, H: Simd, P, const N: usize, const HALF: bool>(
    s: S,
    half: H,
    p: P,
    from: &Sources,
    acc: &mut [[S::V; 4]; N],
    half_acc: &mut [[H::V; 4]; 1],
) where
    P: Product<S> + Product<H>,
{
    let &Sources { h, depth, weights, half_weights } = from;
    let mut k = 0;
    // SAFETY: as the caller promises; `k` stays below `depth`.
    unsafe {
        while S::DEPTH > 1 && k + S::DEPTH <= depth {
            const { assert!(S::DEPTH == 1 || S::DEPTH == 4) };
            let row = s.row(h.add(k));
            multiply_element::<S, P, N, 0>(s, p, row, weights, depth, k, acc);
            multiply_element::<S, P, N, 1>(s, p, row, weights, depth, k, acc);
            multiply_element::<S, P, N, 2>(s, p, row, weights, depth, k, acc);
            multiply_element::<S, P, N, 3>(s, p, row, weights, depth, k, acc);
            if HALF {
                let row = half.row(h.add(k));
                multiply_element::<H, P, 1, 0>(half, p, row, half_weights, depth, k, half_acc);
                multiply_element::<H, P, 1, 1>(half, p, row, half_weights, depth, k, half_acc);
                multiply_element::<H, P, 1, 2>(half, p, row, half_weights, depth, k, half_acc);
                multiply_element::<H, P, 1, 3>(half, p, row, half_weights, depth, k, half_acc);
            }
            k += S::DEPTH;
        }
        let joined = const { HALF && S::REGISTERS == 1 && S::LANES == 2 * H::LANES };
        let mut of_two = [s.splat(0.0); 2];
        if joined {
            let mut lanes = [0.0; 2 * PANEL];
            for gate in 0..4 {
                half.store(lanes.as_mut_ptr().add(gate * H::LANES), half_acc[0][gate]);
            }
            of_two = [s.load(lanes.as_ptr()), s.load(lanes.as_ptr().add(S::LANES))];
        }
        while k < depth {
            let x = *h.add(k);
            let splat = s.splat(x);
            multiply_word(s, p, splat, weights, depth, k, acc);
            if joined {
                for i in 0..2 {
                    let w = s.load(half_weights.add((2 * k + i) * S::LANES));
                    of_two[i] = p.multiply(s, splat, w, of_two[i]);
                }
            } else if HALF {
                multiply_word(half, p, half.splat(x), half_weights, depth, k, half_acc);
            }
            k += 1;
        }
        if joined {
            let mut lanes = [0.0; 2 * PANEL];
            s.store(lanes.as_mut_ptr(), of_two[0]);
            s.store(lanes.as_mut_ptr().add(S::LANES), of_two[1]);
            for gate in 0..4 {
                half_acc[0][gate] = half.load(lanes.as_ptr().add(gate * H::LANES));
            }
        }
    }
}

/// Adds the products of word `k + I` in `N` blocks of `LANES` units; `row` holds the words from `k` on.
///
/// # Safety
/// At `weights` lie `N` blocks of `depth × 4 × LANES`; `k + I` is below `depth`.
#[inline(always)]
unsafe fn multiply_element<S: Simd, P: Product<S>, const N: usize, const I: usize>(
    s: S,
    p: P,
    row: S::Row,
    weights: *const f32,
    depth: usize,
    k: usize,
    acc: &mut [[S::V; 4]; N],
) {
    for n in 0..N {
        for gate in 0..4 {
            // SAFETY: as the caller promises.
            let w = unsafe { s.load(weights.add(((n * depth + k + I) * 4 + gate) * S::LANES)) };
            acc[n][gate] = p.multiply_element::<I>(s, row, w, acc[n][gate]);
        }
    }
}

/// Adds the products of word `k`, which is `x`.
///
/// # Safety
/// As [`multiply_element`].
#[inline(always)]
unsafe fn multiply_word<S: Simd, P: Product<S>, const N: usize>(
    s: S,
    p: P,
    x: S::V,
    weights: *const f32,
    depth: usize,
    k: usize,
    acc: &mut [[S::V; 4]; N],
) {
    for n in 0..N {
        for gate in 0..4 {
            // SAFETY: as the caller promises.
            let w = unsafe { s.load(weights.add(((n * depth + k) * 4 + gate) * S::LANES)) };
            acc[n][gate] = p.multiply(s, x, w, acc[n][gate]);
        }
    }
}

/// The new hidden states; the cell states at `c` are replaced. `tanh` makes the tangents.
///
/// # Safety
/// `LANES` elements at `c` are readable and writable.
#[inline(always)]
pub(crate) unsafe fn cell<S: Simd, T: Tanh<S>>(s: S, tanh: T, [i, o, f, g]: [S::V; 4], c: *mut f32) -> S::V {
    let [(pi, qi), (pg, qg)] = tanh.two_fractions(i, g);
    let [(po, qo), (pf, qf)] = tanh.two_fractions(o, f);
    let taken = s.mul(s.add(qi, pi), pg);
    let taken_q = s.mul(qi, qg);
    // SAFETY: as the caller promises.
    let kept = s.mul(s.add(qf, pf), unsafe { s.load(c) });
    let q = s.mul(qf, taken_q);
    let next = s.div(s.fma(kept, taken_q, s.mul(taken, qf)), s.add(q, q));
    // SAFETY: as the caller promises.
    unsafe { s.store(c, next) };
    let (pc, qc) = tanh.fraction(next);
    let q = s.mul(qo, qc);
    s.div(s.mul(s.add(qo, po), pc), s.add(q, q))
}
