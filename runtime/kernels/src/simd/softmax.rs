//! Softmax over rows. May import: `simd`, `softmax`, `scalar`.

use super::math::exp;
use super::{Simd, keep_first, lanes};
use crate::scalar::tree;
use crate::softmax::SoftmaxCall;

/// The largest element of a row is found two rows ahead, and a row is divided by its sum when the next one has its powers: what is
/// found in all lanes becomes a number by a long chain of operations, which run beside those of other rows.
///
/// # Safety
/// The promises of [`SoftmaxCall`].
#[inline(always)]
pub(crate) unsafe fn softmax<S: Simd>(s: S, call: &SoftmaxCall) {
    if call.rows == 0 {
        return;
    }
    let row = |row: usize| call.x.wrapping_add(row.min(call.rows - 1) * call.x_stride);
    // SAFETY: all rows are below `rows`. The largest of what is no number any more is found, but not used.
    unsafe {
        let mut largest = [largest_element(s, call, row(0)), largest_element(s, call, row(1))];
        let mut factor = s.splat(0.0);
        for r in 0..call.rows {
            let ahead = largest_element(s, call, row(r + 2));
            let sum = powers(s, call, row(r), largest[0]);
            if r > 0 {
                multiply(s, call, row(r - 1), factor);
            }
            factor = s.splat(1.0 / sum);
            largest = [largest[1], ahead];
        }
        multiply(s, call, row(call.rows - 1), factor);
    }
}

/// The largest element of a row, times the scale.
///
/// # Safety
/// At `x` lie `cols` elements.
#[inline(always)]
unsafe fn largest_element<S: Simd>(s: S, call: &SoftmaxCall, x: *const f32) -> S::V {
    let whole = call.cols - call.cols % S::LANES;
    let scale = s.splat(call.scale);
    let mut max = s.splat(f32::NEG_INFINITY);
    // SAFETY: as the caller promises.
    unsafe {
        for col in (0..whole).step_by(S::LANES) {
            max = s.greater(s.mul(scale, s.load(x.add(col))), max);
        }
        let mut max = lanes(s, max);
        for (i, lane) in max.iter_mut().enumerate().take(call.cols - whole) {
            let t = call.scale * *x.add(whole + i);
            *lane = if t > *lane { t } else { *lane };
        }
        s.splat(tree(max, |m, t| if t > m { t } else { m }))
    }
}

/// Replaces the elements of a row by their powers, and gives their sum.
///
/// # Safety
/// At `x` lie `cols` elements that nobody else touches.
#[inline(always)]
unsafe fn powers<S: Simd>(s: S, call: &SoftmaxCall, x: *mut f32, max: S::V) -> f32 {
    let rest = call.cols % S::LANES;
    let whole = call.cols - rest;
    let scale = s.splat(call.scale);
    let mut sum = s.splat(0.0);
    // SAFETY: as the caller promises.
    unsafe {
        for col in (0..whole).step_by(S::LANES) {
            let e = exp(s, s.sub(s.mul(scale, s.load(x.add(col))), max));
            s.store(x.add(col), e);
            sum = s.add(sum, e);
        }
        // Missing lanes add zero to a sum that begins at +0, which changes no bit.
        if rest > 0 {
            let e = exp(s, s.sub(s.mul(scale, s.load_first(x.add(whole), rest)), max));
            s.store_first(x.add(whole), e, rest);
            sum = s.add(sum, keep_first(s, e, rest));
        }
    }
    tree(lanes(s, sum), |a, b| a + b)
}

/// Multiplies a row.
///
/// # Safety
/// At `x` lie `cols` elements that nobody else touches.
#[inline(always)]
unsafe fn multiply<S: Simd>(s: S, call: &SoftmaxCall, x: *mut f32, factor: S::V) {
    let mut col = 0;
    while col < call.cols {
        let left = call.cols - col;
        // SAFETY: no more than the `left` elements are touched.
        unsafe {
            let x = x.add(col);
            s.store_up_to(x, s.mul(s.load_up_to(x, left), factor), left);
        }
        col += S::LANES;
    }
}
