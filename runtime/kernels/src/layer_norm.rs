//! Layer normalisation: arguments, their check, and what an implementation receives.
//! May import: `matrix`.

use crate::matrix::{Mat, MatMut};

/// `out = (x - mean) / sqrt(var + eps)`, then times scale plus shift, row by row.
///
/// Sums run over 16 lanes (lane l takes the elements l, l + 16, …), which are then added as a tree: 16 → 8 → 4 → 2 → 1.
#[derive(Debug)]
pub struct LayerNormArgs<'a> {
    /// Input.
    pub x: Mat<'a>,
    /// Added to the variance.
    pub eps: f32,
    /// Scale and shift, one element a column each.
    pub affine: Option<(&'a [f32], &'a [f32])>,
    /// Output, same shape; may be exactly `x`'s own memory, else must not overlap it.
    pub out: MatMut<'a>,
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises: `x` is readable and `out` writable as `rows × cols`, each with its stride;
/// `scale` and `shift` are both null or both hold `cols` elements; `out` overlaps none of them, except that it may be
/// `x` with the same stride.
#[repr(C)]
pub(crate) struct LayerNormCall {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) eps: f32,
}

/// A layer normalisation of one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormF32 {
    pub(crate) name: &'static str,
    pub(crate) entry: unsafe fn(&LayerNormCall),
}

impl LayerNormF32 {
    /// The kernel's name, e.g. `layer_norm_f32_avx2`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Runs it. Panics if the shapes don't fit together.
    pub fn run(self, mut args: LayerNormArgs<'_>) {
        let (rows, cols) = (args.out.rows(), args.out.cols());
        assert_eq!((args.x.rows(), args.x.cols()), (rows, cols), "shapes of `x` and `out` differ");
        if let Some((scale, shift)) = args.affine {
            assert_eq!((scale.len(), shift.len()), (cols, cols), "lengths of scale and shift");
        }
        let call = LayerNormCall {
            rows,
            cols,
            x: args.x.as_ptr(),
            x_stride: args.x.stride(),
            scale: args.affine.map_or(core::ptr::null(), |(scale, _)| scale.as_ptr()),
            shift: args.affine.map_or(core::ptr::null(), |(_, shift)| shift.as_ptr()),
            out: args.out.as_mut_ptr(),
            out_stride: args.out.stride(),
            eps: args.eps,
        };
        // SAFETY: this value exists only where the instructions do; the views promise the memory, the asserts above
        // that the shapes fit, and `MatMut` that `out` overlaps nothing but, where allowed, `x`.
        unsafe { (self.entry)(&call) }
    }
}
