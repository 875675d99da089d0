//! The matrix product with its epilogue: arguments, their check, and what an implementation receives.
//! May import: `matrix`, `table`, `far_format::layout`.

use far_format::layout::{Activation, PANEL};

use crate::matrix::{Mat, MatMut};
use crate::table::Descriptor;

/// `out = act(a · W + bias) + residual`.
///
/// Each element starts at the bias and takes up its products by fused multiply-add in order of `k`.
#[derive(Debug)]
pub struct GemmArgs<'a> {
    /// Left operand, `m × k`. Rows at a distance of a multiple of 2 KiB share few sets of a cache; a stride that avoids it
    /// is faster, here and for `out`.
    pub a: Mat<'a>,
    /// Panels of weights as [`pack::gemm`](crate::pack::gemm) lays them out, `gemm_weight_len(k, n)` elements.
    pub weights: &'a [f32],
    /// Applied before the residual is added.
    pub act: Activation,
    /// Added last, `m × n`. It may be exactly `out`'s own memory, else must not overlap it.
    pub residual: Option<Mat<'a>>,
    /// Result, `m × n`.
    pub out: MatMut<'a>,
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises: `a` is readable as `m × k`, `residual` is null or readable as `m × n`,
/// `out` is writable as `m × n`, each with its stride; `weights` holds `ceil(n / PANEL)` panels of `(k + 1) × PANEL`;
/// `out` overlaps no other operand, except that `residual` may be `out` with the same stride.
#[repr(C)]
pub(crate) struct GemmCall {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    pub(crate) weights: *const f32,
    pub(crate) residual: *const f32,
    pub(crate) residual_stride: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) act: Activation,
}

/// A matrix product of one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct GemmF32 {
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) entry: unsafe fn(&GemmCall),
}

impl GemmF32 {
    /// The kernel's name, e.g. `gemm_f32_14x32_avx512`: tile rows × columns, instruction set.
    pub fn name(self) -> &'static str {
        self.descriptor.gemm
    }

    /// Rows of one register tile. Work that is cut by rows runs best in multiples of it.
    pub fn tile_rows(self) -> usize {
        self.descriptor.gemm_tile_rows
    }

    /// Runs it. Panics if the shapes don't fit together.
    pub fn run(self, mut args: GemmArgs<'_>) {
        let (m, n, k) = (args.out.rows(), args.out.cols(), args.a.cols());
        assert_eq!(args.a.rows(), m, "rows of `a` and `out` differ");
        let need =
            n.div_ceil(PANEL).checked_mul(PANEL).and_then(|lanes| lanes.checked_mul(k.checked_add(1)?));
        assert_eq!(Some(args.weights.len()), need, "weights don't fit {k} × {n}");
        if let Some(r) = &args.residual {
            assert_eq!((r.rows(), r.cols()), (m, n), "shapes of `residual` and `out` differ");
        }
        let call = GemmCall {
            m,
            n,
            k,
            a: args.a.as_ptr(),
            a_stride: args.a.stride(),
            weights: args.weights.as_ptr(),
            residual: args.residual.map_or(core::ptr::null(), |r| r.as_ptr()),
            residual_stride: args.residual.map_or(0, |r| r.stride()),
            out: args.out.as_mut_ptr(),
            out_stride: args.out.stride(),
            act: args.act,
        };
        // SAFETY: this value exists only where the instructions do; the views promise the memory, the asserts above
        // that the shapes fit, and `MatMut` that `out` overlaps nothing but, where allowed, `residual`.
        unsafe { (self.entry)(&call) }
    }
}
