//! AVX-512F: 32 registers of 16 lanes. May import: `simd`, `x86::avx2`.
//!
//! The tile of 14 rows × 2 panels leaves four registers for two vectors of weights and two elements of `a`. Blocks of 8
//! LSTM units use AVX2, which AVX-512F includes.

use core::arch::x86_64::*;

use super::avx2::Avx2;
use crate::simd::{Simd, instantiate, operations};
use crate::widen::widened;

/// Vectors of 16 lanes. A value proves AVX-512F.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU has AVX-512F.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }

    /// The first `n < 16` lanes.
    #[inline(always)]
    fn mask(self, n: usize) -> __mmask16 {
        (1u16 << n) - 1
    }
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    type Row = __m512;
    const DEPTH: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m512 {
        // SAFETY: as the caller promises; lanes outside the mask are not read.
        unsafe { _mm512_maskz_loadu_ps(self.mask(n), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: __m512, n: usize) {
        // SAFETY: as the caller promises; lanes outside the mask are not written.
        unsafe { _mm512_mask_storeu_ps(to, self.mask(n), v) }
    }
    #[inline(always)]
    unsafe fn row(self, from: *const f32) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_set1_ps(*from) }
    }
    #[inline(always)]
    fn fma_element<const I: usize>(self, row: __m512, w: __m512, acc: __m512) -> __m512 {
        self.fma(row, w, acc)
    }

    // MAXPS and MINPS give their second operand when the comparison is false, so also for a NaN.
    operations! {
        add(a, b) = _mm512_add_ps(a, b);
        sub(a, b) = _mm512_sub_ps(a, b);
        mul(a, b) = _mm512_mul_ps(a, b);
        div(a, b) = _mm512_div_ps(a, b);
        fma(a, b, c) = _mm512_fmadd_ps(a, b, c);
        abs(x) = _mm512_abs_ps(x);
        greater(a, b) = _mm512_max_ps(a, b);
        clamp_above(x, limit) = _mm512_min_ps(limit, x);
        clamp_below(x, limit) = _mm512_max_ps(limit, x);
        mul_pow2(y, n) = _mm512_scalef_ps(y, n);
    }
}

instantiate! {
    F32_AVX512 enables "avx512f",
    register Avx512::new(),
    vector Avx512::new(),
    half Avx2::new(),
    lstm pairs true,
    gemm vectors [1 2] of 16 rows [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
}

widened!(super::gemm, super::lstm, tile of super::TILE.gemm_tile_cols, by super::widen_row);

/// # Safety
/// As [`Widen`](crate::widen::Widen), of AVX-512F.
#[target_feature(enable = "avx512f")]
unsafe fn widen_row(from: *const u16, n: usize, to: *mut f32) {
    for i in (0..n).step_by(16) {
        // SAFETY: as the caller promises; `n` is a multiple of 16.
        unsafe { _mm512_storeu_ps(to.add(i), _mm512_cvtph_ps(_mm256_loadu_si256(from.add(i).cast()))) };
    }
}
