//! Rows of f32 → integers and their scales, in the scratch of a product. May import: `simd`, `quantize`, `gemm`.

use super::super::Simd;
use super::Dot;
use crate::gemm::GemmCall;
use crate::quantize::{inverse, row_bytes, rows_at, scale};

/// Vectors that are rounded and stored together; no more than a cache line, which rows in the scratch are multiples of.
const TOGETHER: usize = 4;

/// How many rows the search for the largest magnitude is ahead of the rounding: what is found becomes a scale by a long chain of
/// operations, which run beside those of the rows between. So rows also come into the first-level cache while others are rounded.
const AHEAD: usize = 2;

/// # Safety
/// The promises of [`GemmCall`].
#[inline(always)]
pub(crate) unsafe fn rows<D: Dot>(d: D, call: &GemmCall) {
    const { assert!(TOGETHER * D::S::LANES <= 64) };
    let (m, k) = (call.m, call.k);
    if m == 0 {
        return;
    }
    // SAFETY: `scratch` holds a scale for each row, then the rows.
    unsafe {
        let row = |row: usize| call.a.add(row.min(m - 1) * call.a_stride);
        let mut to = call.scratch.add(rows_at(m)).cast::<u8>();
        let mut found = [0; AHEAD];
        for r in 0..AHEAD {
            found[r] = largest(d, row(r), k);
        }
        for r in 0..m {
            let [this, next] = found;
            *call.scratch.add(r) = scale(this);
            let ahead = integers(d, row(r), row(r + AHEAD), k, d.simd().splat(inverse(this)), to);
            found = [next, ahead];
            to = to.add(row_bytes(k));
        }
    }
}

/// The bits of the largest magnitude.
///
/// # Safety
/// At `a` lie `k` elements.
#[inline(always)]
unsafe fn largest<D: Dot>(d: D, a: *const f32, k: usize) -> u32 {
    let (lanes, mut at) = (D::S::LANES, 0);
    let mut max = [d.zero(); TOGETHER];
    // SAFETY: `at` and the vectors from there on stay below `k`.
    unsafe {
        while at + TOGETHER * lanes <= k {
            larger(d, a.add(at), &mut max);
            at += TOGETHER * lanes;
        }
        largest_of(d, a, at, k, max)
    }
}

/// Takes up the elements of some vectors.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn larger<D: Dot>(d: D, a: *const f32, max: &mut [D::I; TOGETHER]) {
    for i in 0..TOGETHER {
        // SAFETY: as the caller promises.
        max[i] = d.largest(max[i], unsafe { d.simd().load(a.add(i * D::S::LANES)) });
    }
}

/// The bits of the largest magnitude, where those before `at` are taken up already.
///
/// # Safety
/// At `a` lie `k` elements.
#[inline(always)]
unsafe fn largest_of<D: Dot>(d: D, a: *const f32, mut at: usize, k: usize, mut max: [D::I; TOGETHER]) -> u32 {
    while at < k {
        // SAFETY: of the last vector only what is there is read.
        max[0] = d.largest(max[0], unsafe { d.simd().load_up_to(a.add(at), k - at) });
        at += D::S::LANES;
    }
    // Bits of magnitudes are in the order of magnitudes; those of NaNs stay the largest.
    d.largest_lane(d.larger(d.larger(max[0], max[1]), d.larger(max[2], max[3])))
}

/// Rounds and stores a row, and gives the bits of the largest magnitude of another one.
///
/// # Safety
/// At `a` and at `ahead` lie `k` elements; at `to` a row of `row_bytes(k)` is writable.
#[inline(always)]
unsafe fn integers<D: Dot>(
    d: D,
    a: *const f32,
    ahead: *const f32,
    k: usize,
    inverse: <D::S as Simd>::V,
    to: *mut u8,
) -> u32 {
    let s = d.simd();
    let (lanes, mut at) = (D::S::LANES, 0);
    let mut max = [d.zero(); TOGETHER];
    // SAFETY: `at` and the vectors from there on stay below `k`; of the last ones only what is there is read, and they are
    // stored whole, which a row has room for.
    unsafe {
        // Twice a turn where that is no more than a cache line.
        while 2 * TOGETHER * lanes <= 64 && at + 2 * TOGETHER * lanes <= k {
            for half in [at, at + TOGETHER * lanes] {
                larger(d, ahead.add(half), &mut max);
                some(d, a.add(half), inverse, to.add(half));
            }
            at += 2 * TOGETHER * lanes;
        }
        while at + TOGETHER * lanes <= k {
            larger(d, ahead.add(at), &mut max);
            some(d, a.add(at), inverse, to.add(at));
            at += TOGETHER * lanes;
        }
        let largest = largest_of(d, ahead, at, k, max);
        if at < k {
            let mut q = [d.zero(); TOGETHER];
            for i in 0..TOGETHER {
                let from = (at + i * lanes).min(k);
                q[i] = d.round(s.mul(s.load_up_to(a.add(from), k - from), inverse));
            }
            d.store(to.add(at), q);
        }
        largest
    }
}

/// Rounds and stores the elements of some vectors.
///
/// # Safety
/// They are there, and at `to` a byte for each is writable.
#[inline(always)]
unsafe fn some<D: Dot>(d: D, a: *const f32, inverse: <D::S as Simd>::V, to: *mut u8) {
    let s = d.simd();
    let mut q = [d.zero(); TOGETHER];
    // SAFETY: as the caller promises.
    unsafe {
        for i in 0..TOGETHER {
            q[i] = d.round(s.mul(s.load(a.add(i * D::S::LANES)), inverse));
        }
        d.store(to, q);
    }
}
