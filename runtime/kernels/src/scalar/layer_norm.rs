//! Layer normalisation. May import: `layer_norm`.

use super::{LANES, tree};
use crate::layer_norm::LayerNormCall;

/// # Safety
/// The promises of [`LayerNormCall`].
pub(crate) unsafe fn layer_norm(call: &LayerNormCall) {
    for row in 0..call.rows {
        // SAFETY: `row` is below `rows`, every index below `cols`; `x` may be `out`, so both stay raw pointers.
        unsafe {
            let x = call.x.add(row * call.x_stride);
            let out = call.out.add(row * call.out_stride);
            let mut sum = [0.0; LANES];
            for i in 0..call.cols {
                sum[i % LANES] += *x.add(i);
            }
            let mean = tree(sum, |a, b| a + b) / call.cols as f32;
            let mut squares = [0.0; LANES];
            for i in 0..call.cols {
                let d = *x.add(i) - mean;
                squares[i % LANES] = d.mul_add(d, squares[i % LANES]);
            }
            let variance = tree(squares, |a, b| a + b) / call.cols as f32;
            let r = 1.0 / (variance + call.eps).sqrt();
            for i in 0..call.cols {
                let y = (*x.add(i) - mean) * r;
                *out.add(i) =
                    if call.scale.is_null() { y } else { y.mul_add(*call.scale.add(i), *call.shift.add(i)) };
            }
        }
    }
}
