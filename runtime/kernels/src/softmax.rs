//! Softmax over rows: arguments, their check, and what an implementation receives. May import: `matrix`.

use crate::matrix::MatMut;

/// Each row becomes `softmax(scale · x)`, in place.
///
/// With t = scale·x: m = max t (a NaN is never the greatest), e = exp(t − m), out = e·(1/Σe). The sum and the maximum
/// run over 16 lanes and a tree, as in [`LayerNormArgs`](crate::LayerNormArgs).
#[derive(Debug)]
pub struct SoftmaxArgs<'a> {
    /// Multiplies every element first.
    pub scale: f32,
    /// Input and output.
    pub x: MatMut<'a>,
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises that `x` is readable and writable as `rows × cols` with its stride.
#[repr(C)]
pub(crate) struct SoftmaxCall {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) x: *mut f32,
    pub(crate) x_stride: usize,
    pub(crate) scale: f32,
}

/// A softmax of one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxF32 {
    pub(crate) name: &'static str,
    pub(crate) entry: unsafe fn(&SoftmaxCall),
}

impl SoftmaxF32 {
    /// The kernel's name, e.g. `softmax_f32_avx2`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Runs it.
    pub fn run(self, mut args: SoftmaxArgs<'_>) {
        let call = SoftmaxCall {
            rows: args.x.rows(),
            cols: args.x.cols(),
            x: args.x.as_mut_ptr(),
            x_stride: args.x.stride(),
            scale: args.scale,
        };
        // SAFETY: this value exists only where the instructions do; the view promises the memory.
        unsafe { (self.entry)(&call) }
    }
}
