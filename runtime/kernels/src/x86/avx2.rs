//! AVX2 with FMA: 16 registers of 8 lanes. May import: `simd`.
//!
//! The tile of 6 rows × 2 registers leaves four registers for two vectors of weights and two elements of `a`.

use core::arch::x86_64::*;

use crate::simd::{Simd, Wide, instantiate, operations};
use crate::widen::widened;

/// Vectors of 8 lanes. A value proves AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU has AVX2 and FMA.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }

    /// All bits set in the first `n` lanes.
    #[inline(always)]
    fn mask(self, n: usize) -> __m256i {
        static ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: `self` proves the instruction; the 8 elements from `8 - min(n, 8)` on are inside.
        unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - n.min(8)).cast()) }
    }
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    type Row = __m256;
    const DEPTH: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m256 {
        // SAFETY: as the caller promises; lanes outside the mask are not read.
        unsafe { _mm256_maskload_ps(from, self.mask(n)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: as the caller promises.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: __m256, n: usize) {
        // SAFETY: as the caller promises; lanes outside the mask are not written.
        unsafe { _mm256_maskstore_ps(to, self.mask(n), v) }
    }
    #[inline(always)]
    unsafe fn row(self, from: *const f32) -> __m256 {
        // SAFETY: as the caller promises.
        unsafe { _mm256_broadcast_ss(&*from) }
    }
    #[inline(always)]
    fn fma_element<const I: usize>(self, row: __m256, w: __m256, acc: __m256) -> __m256 {
        self.fma(row, w, acc)
    }

    // MAXPS and MINPS give their second operand when the comparison is false, so also for a NaN.
    operations! {
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        div(a, b) = _mm256_div_ps(a, b);
        fma(a, b, c) = _mm256_fmadd_ps(a, b, c);
        abs(x) = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        greater(a, b) = _mm256_max_ps(a, b);
        clamp_above(x, limit) = _mm256_min_ps(limit, x);
        clamp_below(x, limit) = _mm256_max_ps(limit, x);
        mul_pow2(y, n) = {
            // 2ⁿ alone may overflow; in two factors only the second product rounds.
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let pow2 = |n| {
                let biased = _mm256_add_epi32(n, _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            };
            _mm256_mul_ps(_mm256_mul_ps(y, pow2(half)), pow2(_mm256_sub_epi32(n, half)))
        };
    }
}

instantiate! {
    F32_AVX2 enables "avx2,fma",
    register Avx2::new(),
    vector Wide::<_, 2>(Avx2::new()),
    half Avx2::new(),
    lstm pairs false,
    gemm vectors [1 2] of 8 rows [1 2 3 4 5 6]
}

widened!(super::gemm, super::lstm, tile of super::TILE.gemm_tile_cols, by super::widen_row);

/// # Safety
/// As [`Widen`](crate::widen::Widen), of AVX2 and F16C.
#[target_feature(enable = "avx2,f16c")]
unsafe fn widen_row(from: *const u16, n: usize, to: *mut f32) {
    for i in (0..n).step_by(8) {
        // SAFETY: as the caller promises; `n` is a multiple of 16.
        unsafe { _mm256_storeu_ps(to.add(i), _mm256_cvtph_ps(_mm_loadu_si128(from.add(i).cast()))) };
    }
}
