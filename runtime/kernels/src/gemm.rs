//! The matrix product with its epilogue: arguments, their check, and what an implementation receives.
//! May import: `matrix`, `pack`, `quantize`, `table`, `far_format::layout`.

use far_format::layout::{Activation, Precision, gemm_weight_len};

use crate::matrix::{Mat, MatMut};
use crate::pack::HOST;
use crate::table::{Entry, Variant};
use crate::{narrow, quantize, widen};

/// `out = act(a · W + bias) + residual`.
///
/// In f32, and where weights are only stored in 16 bits, each element starts at the bias and takes up its products by fused
/// multiply-add in order of `k`. In bfloat16 and half-precision arithmetic rows are rounded to 16 bits too, and summed up as
/// `docs/kernels.md` says. In int8 each row of `a` is quantised by its largest magnitude, the sum of the products is an
/// exact integer, and scaling it and adding the bias is one fused multiply-add.
#[derive(Debug)]
pub struct GemmArgs<'a> {
    /// Left operand, `m × k`. Rows at a distance of a multiple of 2 KiB share few sets of a cache; a stride that avoids it
    /// is faster, here and for `out`.
    pub a: Mat<'a>,
    /// Panels of weights as [`pack::gemm`](crate::pack::gemm) lays them out for the kernel's precision and this architecture,
    /// `gemm_weight_len(precision, arch, k, n)` words.
    pub weights: &'a [f32],
    /// Applied before the residual is added.
    pub act: Activation,
    /// Added last, `m × n`. It may be exactly `out`'s own memory, else must not overlap it.
    pub residual: Option<Mat<'a>>,
    /// [`Gemm::scratch_len`] words or more; need not be initialised and mean nothing afterwards.
    pub scratch: &'a mut [f32],
    /// Result, `m × n`.
    pub out: MatMut<'a>,
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises: `a` is readable as `m × k`, `residual` is null or readable as `m × n`,
/// `out` is writable as `m × n`, each with its stride; `weights` holds the packed weights of `k × n` in the implementation's
/// precision; `scratch` is writable for as many words as its precision takes for `m` rows of `k`; `out` and `scratch` overlap no other
/// operand, except that `residual` may be `out` with the same stride.
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
    pub(crate) scratch: *mut f32,
    pub(crate) act: Activation,
}

/// A matrix product of one precision and instruction set. Holding it proves that this CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Gemm(pub(crate) &'static Entry);

impl Gemm {
    /// The kernel's name, e.g. `gemm_f32_14x32_avx512`: precision, tile rows × columns, instructions.
    pub fn name(self) -> &'static str {
        self.0.variant.gemm
    }

    /// In what numbers it multiplies.
    pub fn precision(self) -> Precision {
        self.0.variant.precision
    }

    /// Its row in the table.
    pub fn variant(self) -> &'static Variant {
        self.0.variant
    }

    /// Rows of one register tile. Work that is cut by rows runs best in multiples of it.
    pub fn tile_rows(self) -> usize {
        self.0.variant.gemm_tile_rows
    }

    /// Words of scratch for `m` rows of `k`, which never shrink as `m` grows; saturates. Int8 keeps its quantised rows there, 16 bits
    /// their rounded rows or, where only weights are stored so, the widened weights of some columns.
    pub fn scratch_len(self, m: usize, k: usize) -> usize {
        #[cfg(target_arch = "riscv64")]
        if self.variant().isa == crate::isa::Isa::Rvv {
            return crate::rvv::scratch_len(self.precision(), m, k);
        }
        #[cfg(target_arch = "aarch64")]
        if self.variant().needs.contains(far_format::cpu::Features::I8MM) {
            return crate::neon::i8mm::scratch_len(m, k);
        }
        match self.precision() {
            Precision::Int8 => quantize::scratch_len(m, k),
            Precision::F32 => 0,
            Precision::F16 => widen::scratch_len(k),
            Precision::Bf16 | Precision::F16Arith => narrow::scratch_len(m, k),
        }
    }

    /// Runs it. Panics if the shapes don't fit together.
    pub fn run(self, mut args: GemmArgs<'_>) {
        let (m, n, k) = (args.out.rows(), args.out.cols(), args.a.cols());
        assert_eq!(args.a.rows(), m, "rows of `a` and `out` differ");
        let need = gemm_weight_len(self.precision(), HOST, k, n);
        assert_eq!(args.weights.len(), need, "weights don't fit {k} × {n}");
        if let Some(r) = &args.residual {
            assert_eq!((r.rows(), r.cols()), (m, n), "shapes of `residual` and `out` differ");
        }
        if self.precision() == Precision::Int8 {
            assert!(k <= quantize::MAX_DEPTH, "{k} products are more than an int8 sum can hold");
        }
        let (len, need) = (args.scratch.len(), self.scratch_len(m, k));
        assert!(len >= need, "scratch of {len} words for {m} rows of {k} is too short, they need {need}");
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
            scratch: args.scratch.as_mut_ptr(),
            act: args.act,
        };
        // SAFETY: this value exists only where the instructions do; the views promise the memory, the asserts above
        // that the shapes fit, and `MatMut` and `&mut` that what is written overlaps nothing but, where allowed, `residual`.
        unsafe { (self.0.gemm)(&call) }
    }
}
