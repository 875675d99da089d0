//! AVX-512 with bfloat16: a product adds two products of halves to each lane. May import: `simd`, `narrow`, `x86`.
//!
//! VDPBF16PS takes a pair of halves from each word: it adds the products of the high ones, rounds, adds those of the low ones, and
//! rounds; it takes subnormal numbers for zeros, and gives none. `scalar::bf16` does the same, so that the bits are the same.

use core::arch::x86_64::*;
use core::mem::transmute;

use super::avx2::Avx2;
use super::avx512::{Avx512, finish};
use crate::gemm::GemmCall;
use crate::narrow;
use crate::simd::lstm::{Recurrence, Sources, accumulate_in_order};
use crate::simd::{Product, products};

/// Products of pairs of bfloat16. A value proves AVX-512F, VL and BF16.
#[derive(Clone, Copy)]
struct Pairs(());

impl Pairs {
    /// # Safety
    /// The CPU has AVX-512F, VL and BF16.
    #[inline(always)]
    unsafe fn new() -> Self {
        Self(())
    }
}

impl Product<Avx512> for Pairs {
    #[inline(always)]
    fn multiply(self, _: Avx512, x: __m512, w: __m512, acc: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction; vectors of 512 bits are made of any bits.
        unsafe { _mm512_dpbf16_ps(acc, transmute::<__m512, __m512bh>(x), transmute::<__m512, __m512bh>(w)) }
    }
    #[inline(always)]
    fn multiply_element<const I: usize>(self, s: Avx512, row: __m512, w: __m512, acc: __m512) -> __m512 {
        self.multiply(s, row, w, acc)
    }
}

impl Product<Avx2> for Pairs {
    #[inline(always)]
    fn multiply(self, _: Avx2, x: __m256, w: __m256, acc: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction; vectors of 256 bits are made of any bits.
        unsafe { _mm256_dpbf16_ps(acc, transmute::<__m256, __m256bh>(x), transmute::<__m256, __m256bh>(w)) }
    }
    #[inline(always)]
    fn multiply_element<const I: usize>(self, s: Avx2, row: __m256, w: __m256, acc: __m256) -> __m256 {
        self.multiply(s, row, w, acc)
    }
}

impl Recurrence<Avx512, Avx2> for Pairs {
    #[inline(always)]
    fn depth(hidden: usize) -> usize {
        hidden.div_ceil(2)
    }
    #[inline(always)]
    unsafe fn accumulate<const N: usize, const HALF: bool>(
        self,
        s: Avx512,
        half: Avx2,
        from: &Sources,
        acc: &mut [[__m512; 4]; N],
        half_acc: &mut [[__m256; 4]; 1],
    ) {
        // SAFETY: as the caller promises.
        unsafe { accumulate_in_order::<_, _, _, N, HALF>(s, half, self, from, acc, half_acc) }
    }
    #[inline(always)]
    unsafe fn keep(self, out: *const f32, n: usize, state: *mut f32) -> *const f32 {
        // SAFETY: as the caller promises; `self` proves the instructions.
        unsafe { round_row(out, n, state.cast()) };
        state
    }
}

/// Rounds `n` numbers to bfloat16.
///
/// # Safety
/// The CPU has AVX-512F, VL and BF16; `n` elements are readable, and `n` halves writable.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bf16")]
unsafe fn round_row(from: *const f32, n: usize, to: *mut u16) {
    const LANES: usize = 16;
    let mut i = 0;
    // SAFETY: as the caller promises; the last loads and stores touch only the lanes of their masks.
    unsafe {
        while i + LANES <= n {
            let halves = _mm512_cvtneps_pbh(_mm512_loadu_ps(from.add(i)));
            _mm256_storeu_si256(to.add(i).cast(), transmute::<__m256bh, __m256i>(halves));
            i += LANES;
        }
        if i < n {
            let mut tail = [0u16; LANES];
            let mask = (1u16 << (n - i)) - 1;
            let halves = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from.add(i)));
            _mm256_storeu_si256(tail.as_mut_ptr().cast(), transmute::<__m256bh, __m256i>(halves));
            to.add(i).copy_from_nonoverlapping(tail.as_ptr(), n - i);
        }
    }
}

/// # Safety
/// The CPU has AVX-512F, VL and BF16, and the promises of [`GemmCall`].
pub(crate) unsafe fn gemm(call: &GemmCall) {
    // SAFETY: as the caller promises.
    unsafe { narrow::gemm(call, round_row, product) }
}

products! {
    BF16_AVX512 enables "avx512f,avx512vl,avx512bf16",
    product Pairs::new(), finish finish,
    register Avx512::new(),
    vector Avx512::new(),
    half Avx2::new(),
    lstm pairs true,
    gemm as product vectors [1 2] of 16 rows [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
}
