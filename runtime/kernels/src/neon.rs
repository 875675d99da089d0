//! AArch64 Advanced SIMD: 32 registers of 4 lanes. May import: `simd`.
//!
//! A row of `a` is read four elements at a time, and each of them multiplies by its lane: no instruction broadcasts.

pub(crate) mod fp16;
pub(crate) mod i8mm;
pub(crate) mod int8;
mod tanh;

use core::arch::aarch64::*;
use core::arch::asm;

use crate::math::OddRational;
use crate::simd::{Pairs, Simd, Wide, instantiate, operations};
use crate::widen::widened;

/// Vectors of 4 lanes. A value proves NEON.
#[derive(Clone, Copy)]
struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU has NEON.
    #[inline(always)]
    unsafe fn new() -> Self {
        Self(())
    }
}

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;
    type Row = float32x4_t;
    const DEPTH: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: `self` proves the instruction.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: as the caller promises.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> float32x4_t {
        let mut lanes = [0.0; 4];
        // SAFETY: the caller promises `n < 4` elements; the load is of the local array.
        unsafe {
            for (i, lane) in lanes.iter_mut().enumerate().take(n) {
                *lane = *from.add(i);
            }
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: as the caller promises.
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: float32x4_t, n: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: the store is to the local array; the caller promises `n < 4` elements.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), v);
            for (i, lane) in lanes.iter().enumerate().take(n) {
                *to.add(i) = *lane;
            }
        }
    }
    #[inline(always)]
    unsafe fn row(self, from: *const f32) -> float32x4_t {
        // SAFETY: as the caller promises.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    fn fma_element<const I: usize>(self, row: float32x4_t, w: float32x4_t, acc: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves the instruction.
        unsafe {
            match I {
                0 => vfmaq_laneq_f32::<0>(acc, w, row),
                1 => vfmaq_laneq_f32::<1>(acc, w, row),
                2 => vfmaq_laneq_f32::<2>(acc, w, row),
                _ => vfmaq_laneq_f32::<3>(acc, w, row),
            }
        }
    }

    /// A multiply-add overwrites what it adds to, which here is a coefficient: a pair of them read anew is one instruction, and
    /// copies of what registers hold would be two.
    #[inline(always)]
    fn two_polynomials<const N: usize>(
        self,
        x: float32x4_t,
        f: &OddRational<N>,
        table: &'static Pairs<N>,
    ) -> (float32x4_t, float32x4_t) {
        let mut at = table.as_ptr_range().end.wrapping_sub(1);
        let (mut p, mut q) = (self.splat(f.p[N - 1]), self.splat(f.q[N - 1]));
        for _ in 1..N {
            let (next_p, next_q): (float32x4_t, float32x4_t);
            // SAFETY: reads the pair before `at`, of which there are as many as turns.
            unsafe {
                asm!(
                    "ldp {p:q}, {q:q}, [{at}, #-32]!",
                    at = inout(reg) at, p = out(vreg) next_p, q = out(vreg) next_q,
                    options(readonly, nostack, preserves_flags),
                );
            }
            (p, q) = (self.fma(p, x, next_p), self.fma(q, x, next_q));
        }
        (p, q)
    }

    // FMAX and FMIN give NaN if there is one, and order zeros: right for a limit that is neither.
    operations! {
        add(a, b) = vaddq_f32(a, b);
        sub(a, b) = vsubq_f32(a, b);
        mul(a, b) = vmulq_f32(a, b);
        div(a, b) = vdivq_f32(a, b);
        fma(a, b, c) = vfmaq_f32(c, a, b);
        abs(x) = vabsq_f32(x);
        greater(a, b) = vbslq_f32(vcgtq_f32(a, b), a, b);
        clamp_above(x, limit) = vminq_f32(x, limit);
        clamp_below(x, limit) = vmaxq_f32(x, limit);
        mul_pow2(y, n) = {
            // 2ⁿ alone may overflow; in two factors only the second product rounds.
            let n = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            let pow2 = |n| vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127))));
            vmulq_f32(vmulq_f32(y, pow2(half)), pow2(vsubq_s32(n, half)))
        };
    }
}

instantiate! {
    F32_NEON enables "neon",
    register Neon::new(),
    vector Wide::<_, 4>(Neon::new()),
    half Wide::<_, 2>(Neon::new()),
    lstm pairs false,
    gemm vectors [1 2 3 4] of 4 rows [1 2 3 4 5 6]
}

widened!(super::gemm, super::lstm, tile of super::TILE.gemm_tile_cols, by super::widen_row);

/// # Safety
/// As [`Widen`](crate::widen::Widen), of NEON.
#[target_feature(enable = "neon")]
unsafe fn widen_row(from: *const u16, n: usize, to: *mut f32) {
    for i in (0..n).step_by(8) {
        // SAFETY: as the caller promises; `n` is a multiple of 16.
        unsafe {
            let halves = vreinterpretq_f16_u16(vld1q_u16(from.add(i)));
            vst1q_f32(to.add(i), vcvt_f32_f16(vget_low_f16(halves)));
            vst1q_f32(to.add(i + 4), vcvt_high_f32_f16(halves));
        }
    }
}
