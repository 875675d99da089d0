//! Element-wise kernels: an activation, and a sum. Arguments, their check, and what an implementation receives.
//! May import: `matrix`, `far_format::layout`.

use far_format::layout::Activation;

use crate::matrix::{Mat, MatMut};

/// `out = act(x)`.
#[derive(Debug)]
pub struct MapArgs<'a> {
    /// The function.
    pub act: Activation,
    /// Input.
    pub x: Mat<'a>,
    /// Output, same shape; may be exactly `x`'s own memory, else must not overlap it.
    pub out: MatMut<'a>,
}

/// `out = a + b`.
#[derive(Debug)]
pub struct AddArgs<'a> {
    /// First term.
    pub a: Mat<'a>,
    /// Second term, same shape.
    pub b: Mat<'a>,
    /// Output, same shape; may be exactly a term's own memory, else must not overlap it.
    pub out: MatMut<'a>,
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises: `x` is readable and `out` writable as `rows × cols`, each with its stride;
/// they don't overlap, or are the same with the same stride.
#[repr(C)]
pub(crate) struct MapCall {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) act: Activation,
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises: `a` and `b` are readable and `out` writable as `rows × cols`, each with
/// its stride; `out` and a term don't overlap, or are the same with the same stride.
#[repr(C)]
pub(crate) struct AddCall {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    pub(crate) b: *const f32,
    pub(crate) b_stride: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
}

/// An element-wise function of one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct MapF32 {
    pub(crate) name: &'static str,
    pub(crate) entry: unsafe fn(&MapCall),
}

impl MapF32 {
    /// The kernel's name, e.g. `map_f32_avx2`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Runs it. Panics if the shapes differ.
    pub fn run(self, mut args: MapArgs<'_>) {
        let (rows, cols) = (args.out.rows(), args.out.cols());
        assert_eq!((args.x.rows(), args.x.cols()), (rows, cols), "shapes of `x` and `out` differ");
        let call = MapCall {
            rows,
            cols,
            x: args.x.as_ptr(),
            x_stride: args.x.stride(),
            out: args.out.as_mut_ptr(),
            out_stride: args.out.stride(),
            act: args.act,
        };
        // SAFETY: this value exists only where the instructions do; the views promise the memory, the assert above
        // that the shapes fit, and `MatMut` that `out` overlaps nothing but, where allowed, `x`.
        unsafe { (self.entry)(&call) }
    }
}

/// A sum of two matrices of one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct AddF32 {
    pub(crate) name: &'static str,
    pub(crate) entry: unsafe fn(&AddCall),
}

impl AddF32 {
    /// The kernel's name, e.g. `add_f32_avx2`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Runs it. Panics if the shapes differ.
    pub fn run(self, mut args: AddArgs<'_>) {
        let (rows, cols) = (args.out.rows(), args.out.cols());
        assert_eq!((args.a.rows(), args.a.cols()), (rows, cols), "shapes of `a` and `out` differ");
        assert_eq!((args.b.rows(), args.b.cols()), (rows, cols), "shapes of `b` and `out` differ");
        let call = AddCall {
            rows,
            cols,
            a: args.a.as_ptr(),
            a_stride: args.a.stride(),
            b: args.b.as_ptr(),
            b_stride: args.b.stride(),
            out: args.out.as_mut_ptr(),
            out_stride: args.out.stride(),
        };
        // SAFETY: this value exists only where the instructions do; the views promise the memory, the asserts above
        // that the shapes fit, and `MatMut` that `out` overlaps nothing but, where allowed, a term.
        unsafe { (self.entry)(&call) }
    }
}
