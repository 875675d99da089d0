//! Softmax over rows. May import: `simd`, `softmax`, `scalar`.

use super::math::exp;
use super::{Simd, keep_first, lanes};
use crate::scalar::tree;
use crate::softmax::SoftmaxCall;

/// # Safety
/// The promises of [`SoftmaxCall`].
#[inline(always)]
pub(crate) unsafe fn softmax<S: Simd>(s: S, call: &SoftmaxCall) {
    let whole = call.cols - call.cols % S::LANES;
    let rest = call.cols - whole;
    let scale = s.splat(call.scale);
    for row in 0..call.rows {
        // SAFETY: `row` is below `rows`, and no more than `cols` elements of a row are touched.
        unsafe {
            let x = call.x.add(row * call.x_stride);

            let mut max = s.splat(f32::NEG_INFINITY);
            for col in (0..whole).step_by(S::LANES) {
                max = s.greater(s.mul(scale, s.load(x.add(col))), max);
            }
            let mut max = lanes(s, max);
            for (i, lane) in max.iter_mut().enumerate().take(rest) {
                let t = call.scale * *x.add(whole + i);
                *lane = if t > *lane { t } else { *lane };
            }
            let max = s.splat(tree(max, |m, t| if t > m { t } else { m }));

            // Missing lanes add zero to a sum that begins at +0, which changes no bit.
            let mut sum = s.splat(0.0);
            for col in (0..whole).step_by(S::LANES) {
                let e = exp(s, s.sub(s.mul(scale, s.load(x.add(col))), max));
                s.store(x.add(col), e);
                sum = s.add(sum, e);
            }
            if rest > 0 {
                let e = exp(s, s.sub(s.mul(scale, s.load_first(x.add(whole), rest)), max));
                s.store_first(x.add(whole), e, rest);
                sum = s.add(sum, keep_first(s, e, rest));
            }
            let r = s.splat(1.0 / tree(lanes(s, sum), |a, b| a + b));

            for col in (0..whole).step_by(S::LANES) {
                s.store(x.add(col), s.mul(s.load(x.add(col)), r));
            }
            if rest > 0 {
                s.store_first(x.add(whole), s.mul(s.load_first(x.add(whole), rest), r), rest);
            }
        }
    }
}
