//! Rows of f32 → integers and their scales, in the scratch of a product. May import: `simd`, `quantize`, `gemm`.

use super::super::Simd;
use super::Dot;
use crate::gemm::GemmCall;
use crate::quantize::{inverse, row_bytes, rows_at, scale};

/// Vectors that are rounded and stored together; no more than a cache line, which rows in the scratch are multiples of.
const TOGETHER: usize = 4;

/// # Safety
/// The promises of [`GemmCall`].
#[inline(always)]
pub(crate) unsafe fn rows<D: Dot>(d: D, call: &GemmCall) {
    const { assert!(TOGETHER * D::S::LANES <= 64) };
    // SAFETY: `scratch` holds a scale for each row, then the rows.
    unsafe {
        let to = call.scratch.add(rows_at(call.m)).cast::<u8>();
        for row in 0..call.m {
            let largest = largest(d, call.a.add(row * call.a_stride), call.k);
            *call.scratch.add(row) = scale(largest);
            let inverse = d.simd().splat(inverse(largest));
            integers(d, call.a.add(row * call.a_stride), call.k, inverse, to.add(row * row_bytes(call.k)));
        }
    }
}

/// The bits of the largest magnitude.
///
/// # Safety
/// At `a` lie `k` elements.
#[inline(always)]
unsafe fn largest<D: Dot>(d: D, a: *const f32, k: usize) -> u32 {
    let s = d.simd();
    let (lanes, mut at) = (D::S::LANES, 0);
    let mut max = [d.zero(); TOGETHER];
    // SAFETY: `at` and the vectors from there on stay below `k`; of the last vectors only what is there is read.
    unsafe {
        while at + TOGETHER * lanes <= k {
            for i in 0..TOGETHER {
                max[i] = d.largest(max[i], s.load(a.add(at + i * lanes)));
            }
            at += TOGETHER * lanes;
        }
        while at < k {
            max[0] = d.largest(max[0], s.load_up_to(a.add(at), k - at));
            at += lanes;
        }
    }
    // Bits of magnitudes are in the order of magnitudes; those of NaNs stay the largest.
    d.largest_lane(d.larger(d.larger(max[0], max[1]), d.larger(max[2], max[3])))
}

/// Rounds and stores a row.
///
/// # Safety
/// At `a` lie `k` elements; at `to` a row of `row_bytes(k)` is writable.
#[inline(always)]
unsafe fn integers<D: Dot>(d: D, a: *const f32, k: usize, inverse: <D::S as Simd>::V, to: *mut u8) {
    let s = d.simd();
    let (lanes, mut at) = (D::S::LANES, 0);
    // SAFETY: `at` and the vectors from there on stay below `k`; of the last ones only what is there is read, and they are
    // stored whole, which a row has room for.
    unsafe {
        while at + TOGETHER * lanes <= k {
            let mut q = [d.zero(); TOGETHER];
            for i in 0..TOGETHER {
                q[i] = d.round(s.mul(s.load(a.add(at + i * lanes)), inverse));
            }
            d.store(to.add(at), q);
            at += TOGETHER * lanes;
        }
        if at < k {
            let mut q = [d.zero(); TOGETHER];
            for i in 0..TOGETHER {
                let from = (at + i * lanes).min(k);
                q[i] = d.round(s.mul(s.load_up_to(a.add(from), k - from), inverse));
            }
            d.store(to.add(at), q);
        }
    }
}
