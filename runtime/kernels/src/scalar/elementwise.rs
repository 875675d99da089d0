//! Element-wise functions. May import: `elementwise`, `scalar::math`.

use super::math::activate;
use crate::elementwise::{AddCall, MapCall};

/// # Safety
/// The promises of [`MapCall`].
pub(crate) unsafe fn map(call: &MapCall) {
    for row in 0..call.rows {
        for col in 0..call.cols {
            // SAFETY: `row` and `col` are inside; `x` may be `out`, so both stay raw pointers.
            unsafe {
                let x = *call.x.add(row * call.x_stride + col);
                *call.out.add(row * call.out_stride + col) = activate(call.act, x);
            }
        }
    }
}

/// # Safety
/// The promises of [`AddCall`].
pub(crate) unsafe fn add(call: &AddCall) {
    for row in 0..call.rows {
        for col in 0..call.cols {
            // SAFETY: `row` and `col` are inside; a term may be `out`, so all stay raw pointers.
            unsafe {
                let a = *call.a.add(row * call.a_stride + col);
                let b = *call.b.add(row * call.b_stride + col);
                *call.out.add(row * call.out_stride + col) = a + b;
            }
        }
    }
}
