//! Layer normalisation. May import: `simd`, `layer_norm`, `scalar`.

use super::{Simd, keep_first, lanes};
use crate::layer_norm::LayerNormCall;
use crate::scalar::tree;

/// Missing lanes add zero to a sum that begins at +0, which changes no bit.
///
/// # Safety
/// The promises of [`LayerNormCall`].
#[inline(always)]
pub(crate) unsafe fn layer_norm<S: Simd>(s: S, call: &LayerNormCall) {
    let cols = call.cols;
    let whole = cols - cols % S::LANES;
    let rest = cols - whole;
    let n = cols as f32;
    for row in 0..call.rows {
        // SAFETY: `row` is below `rows`, and no more than `cols` elements of a row are touched.
        unsafe {
            let x = call.x.add(row * call.x_stride);
            let out = call.out.add(row * call.out_stride);

            let mut sum = s.splat(0.0);
            for col in (0..whole).step_by(S::LANES) {
                sum = s.add(sum, s.load(x.add(col)));
            }
            if rest > 0 {
                sum = s.add(sum, s.load_first(x.add(whole), rest));
            }
            let mean = s.splat(tree(lanes(s, sum), |a, b| a + b) / n);

            let mut squares = s.splat(0.0);
            for col in (0..whole).step_by(S::LANES) {
                let d = s.sub(s.load(x.add(col)), mean);
                squares = s.fma(d, d, squares);
            }
            if rest > 0 {
                let d = keep_first(s, s.sub(s.load_first(x.add(whole), rest), mean), rest);
                squares = s.fma(d, d, squares);
            }
            let variance = tree(lanes(s, squares), |a, b| a + b) / n;
            let r = s.splat(1.0 / (variance + call.eps).sqrt());

            let mut col = 0;
            while col < cols {
                let left = cols - col;
                let mut y = s.mul(s.sub(s.load_up_to(x.add(col), left), mean), r);
                if !call.scale.is_null() {
                    let scale = s.load_up_to(call.scale.add(col), left);
                    y = s.fma(y, scale, s.load_up_to(call.shift.add(col), left));
                }
                s.store_up_to(out.add(col), y, left);
                col += S::LANES;
            }
        }
    }
}
