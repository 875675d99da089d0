//! Element-wise functions. May import: `simd`, `elementwise`.

use far_format::layout::Activation;

use super::Simd;
use super::math::activate;
use crate::elementwise::{AddCall, MapCall};

/// # Safety
/// The promises of [`MapCall`].
#[inline(always)]
pub(crate) unsafe fn map<S: Simd>(s: S, call: &MapCall) {
    // One loop a function, so that its constants stay in registers.
    // SAFETY: as the caller promises.
    unsafe {
        match call.act {
            Activation::None => rows(s, call, Activation::None),
            Activation::Gelu => rows(s, call, Activation::Gelu),
            Activation::GeluTanh => rows(s, call, Activation::GeluTanh),
            Activation::Tanh => rows(s, call, Activation::Tanh),
            Activation::Relu => rows(s, call, Activation::Relu),
            Activation::GeluShort => rows(s, call, Activation::GeluShort),
        }
    }
}

/// # Safety
/// The promises of [`MapCall`].
#[inline(always)]
unsafe fn rows<S: Simd>(s: S, call: &MapCall, act: Activation) {
    for row in 0..call.rows {
        // SAFETY: `row` is below `rows`, and no more than the `cols - col` elements left are touched.
        unsafe {
            let x = call.x.add(row * call.x_stride);
            let out = call.out.add(row * call.out_stride);
            let mut col = 0;
            while col < call.cols {
                let left = call.cols - col;
                let y = activate(s, act, s.load_up_to(x.add(col), left));
                s.store_up_to(out.add(col), y, left);
                col += S::LANES;
            }
        }
    }
}

/// # Safety
/// The promises of [`AddCall`].
#[inline(always)]
pub(crate) unsafe fn add<S: Simd>(s: S, call: &AddCall) {
    for row in 0..call.rows {
        // SAFETY: `row` is below `rows`, and no more than the `cols - col` elements left are touched.
        unsafe {
            let a = call.a.add(row * call.a_stride);
            let b = call.b.add(row * call.b_stride);
            let out = call.out.add(row * call.out_stride);
            let mut col = 0;
            while col < call.cols {
                let left = call.cols - col;
                let y = s.add(s.load_up_to(a.add(col), left), s.load_up_to(b.add(col), left));
                s.store_up_to(out.add(col), y, left);
                col += S::LANES;
            }
        }
    }
}
