//! Softmax over rows. May import: `softmax`, `scalar::math`.

use super::math::exp;
use super::{LANES, tree};
use crate::softmax::SoftmaxCall;

/// # Safety
/// The promises of [`SoftmaxCall`].
pub(crate) unsafe fn softmax(call: &SoftmaxCall) {
    for row in 0..call.rows {
        // SAFETY: `row` is below `rows`, and a row has `cols` elements that nobody else touches.
        let x = unsafe { core::slice::from_raw_parts_mut(call.x.add(row * call.x_stride), call.cols) };
        let greater = |m: f32, t: f32| if t > m { t } else { m };
        let mut max = [f32::NEG_INFINITY; LANES];
        for (i, x) in x.iter().enumerate() {
            max[i % LANES] = greater(max[i % LANES], call.scale * x);
        }
        let max = tree(max, greater);
        let mut sum = [0.0; LANES];
        for (i, x) in x.iter_mut().enumerate() {
            *x = exp(call.scale * *x - max);
            sum[i % LANES] += *x;
        }
        let r = 1.0 / tree(sum, |a, b| a + b);
        for x in x {
            *x *= r;
        }
    }
}
