//! Int8 dot products: VNNI at 512 and at 256 bits, and AVX2 without it. May import: `simd`, `x86::{avx2, avx512}`.

#![allow(clippy::needless_range_loop)] // plain loops stay whole when inlined

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::avx2::Avx2;
use super::avx512::Avx512;
use crate::simd::int8::Dot;

/// Defines functions by an expression of intrinsics each, for a type whose value proves that they exist.
macro_rules! operations {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $type),*) -> $result {
            // SAFETY: `self` proves that this CPU has the instruction.
            unsafe { $body }
        })*
    };
}

/// 16 lanes. A value proves AVX-512F, BW, VL and VNNI.
#[derive(Clone, Copy)]
struct Vnni512(Avx512);

impl Vnni512 {
    /// # Safety
    /// The CPU has AVX-512F, BW, VL and VNNI.
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { Avx512::new() })
    }
}

impl Dot for Vnni512 {
    type S = Avx512;
    type I = __m512i;
    type Sum = __m512i;
    type W = __m512i;
    type X = __m512i;
    const GROUPS: usize = 1;
    const STEP: usize = 1;
    const UNSIGNED: bool = true;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }
    #[inline(always)]
    unsafe fn start(self, from: *const f32) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const i8, _: usize, _: bool) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn elements(self, from: *const u8) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    fn dot<const G: usize>(self, acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_dpbusd_epi32(acc, x, w) }
    }

    operations! {
        zero() -> __m512i = _mm512_setzero_si512();
        to_float(sum: __m512i) -> __m512 = _mm512_cvtepi32_ps(sum);
        round(x: __m512) -> __m512i = _mm512_cvtps_epi32(x);
        round_or_zero(x: __m512) -> __m512i =
            _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(x, x), x);
        largest(max: __m512i, x: __m512) -> __m512i = {
            let magnitude = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fff_ffff));
            _mm512_max_epu32(max, magnitude)
        };
        larger(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epu32(a, b);
        largest_lane(max: __m512i) -> u32 = _mm512_reduce_max_epu32(max);
    }

    #[inline(always)]
    unsafe fn store<const N: usize>(self, to: *mut u8, q: [__m512i; N]) {
        // SAFETY: `self` proves the instructions; the caller promises the bytes.
        unsafe {
            if N == 4 {
                // Packing works in each 128 bits by itself.
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                let words = _mm512_packs_epi32(q[0], q[1]);
                let bytes = _mm512_packs_epi16(words, _mm512_packs_epi32(q[2], q[3]));
                let bytes = _mm512_permutexvar_epi32(order, bytes);
                _mm512_storeu_si512(to.cast(), _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)));
            } else {
                for i in 0..N {
                    let bytes = _mm_xor_si128(_mm512_cvtepi32_epi8(q[i]), _mm_set1_epi8(-128));
                    _mm_storeu_si128(to.add(16 * i).cast(), bytes);
                }
            }
        }
    }
}

/// How 8 lanes multiply.
trait Multiply: Copy {
    /// As [`Dot::UNSIGNED`].
    const UNSIGNED: bool;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn dot(acc: __m256i, w: __m256i, x: __m256i) -> __m256i;
}

/// 8 lanes. A value proves AVX2, FMA and what `M` needs.
#[derive(Clone, Copy)]
struct Dot256<M>(Avx2, PhantomData<M>);

impl<M> Dot256<M> {
    /// # Safety
    /// The CPU has AVX2, FMA and what `M` needs.
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { Avx2::new() }, PhantomData)
    }
}

impl<M: Multiply> Dot for Dot256<M> {
    type S = Avx2;
    type I = __m256i;
    type Sum = __m256i;
    type W = __m256i;
    type X = __m256i;
    const GROUPS: usize = 1;
    const STEP: usize = 1;
    const UNSIGNED: bool = M::UNSIGNED;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }
    #[inline(always)]
    unsafe fn start(self, from: *const f32) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { if M::UNSIGNED { _mm256_loadu_si256(from.cast()) } else { self.zero() } }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const i8, _: usize, _: bool) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn elements(self, from: *const u8) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    fn dot<const G: usize>(self, acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        // SAFETY: `self` proves the instructions.
        unsafe { M::dot(acc, w, x) }
    }

    operations! {
        zero() -> __m256i = _mm256_setzero_si256();
        to_float(sum: __m256i) -> __m256 = _mm256_cvtepi32_ps(sum);
        round(x: __m256) -> __m256i = _mm256_cvtps_epi32(x);
        round_or_zero(x: __m256) -> __m256i =
            _mm256_cvtps_epi32(_mm256_and_ps(x, _mm256_cmp_ps::<_CMP_ORD_Q>(x, x)));
        largest(max: __m256i, x: __m256) -> __m256i = {
            let magnitude = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fff_ffff));
            _mm256_max_epu32(max, magnitude)
        };
        larger(a: __m256i, b: __m256i) -> __m256i = _mm256_max_epu32(a, b);
        largest_lane(max: __m256i) -> u32 = {
            let max = _mm_max_epu32(_mm256_castsi256_si128(max), _mm256_extracti128_si256::<1>(max));
            let max = _mm_max_epu32(max, _mm_shuffle_epi32::<0b01_00_11_10>(max));
            let max = _mm_max_epu32(max, _mm_shuffle_epi32::<0b10_11_00_01>(max));
            _mm_cvtsi128_si32(max).cast_unsigned()
        };
    }

    #[inline(always)]
    unsafe fn store<const N: usize>(self, to: *mut u8, q: [__m256i; N]) {
        // SAFETY: `self` proves the instructions; the caller promises the bytes.
        unsafe {
            let offset = _mm256_set1_epi8(if M::UNSIGNED { -128 } else { 0 });
            // Packing works in each 128 bits by itself.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            if N == 4 {
                let words = _mm256_packs_epi32(q[0], q[1]);
                let bytes = _mm256_packs_epi16(words, _mm256_packs_epi32(q[2], q[3]));
                let bytes = _mm256_permutevar8x32_epi32(bytes, order);
                _mm256_storeu_si256(to.cast(), _mm256_xor_si256(bytes, offset));
            } else {
                for i in 0..N {
                    let words = _mm256_packs_epi32(q[i], q[i]);
                    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, words), order);
                    let bytes = _mm256_castsi256_si128(_mm256_xor_si256(bytes, offset));
                    _mm_storel_epi64(to.add(8 * i).cast(), bytes);
                }
            }
        }
    }
}

/// AVX-512 VL and VNNI.
#[derive(Clone, Copy)]
struct Evex;

impl Multiply for Evex {
    const UNSIGNED: bool = true;
    #[inline(always)]
    unsafe fn dot(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_dpbusd_epi32(acc, x, w) }
    }
}

/// AVX-VNNI.
#[derive(Clone, Copy)]
struct Vex;

impl Multiply for Vex {
    const UNSIGNED: bool = true;
    #[inline(always)]
    unsafe fn dot(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_dpbusd_avx_epi32(acc, x, w) }
    }
}

/// AVX2. Its product of bytes takes an unsigned and a signed one and saturates sums of two at 16 bits: |x| and w with the sign
/// of x, neither beyond 127, stay below.
#[derive(Clone, Copy)]
struct Signs;

impl Multiply for Signs {
    const UNSIGNED: bool = false;
    #[inline(always)]
    unsafe fn dot(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

/// VNNI at 512 bits; blocks of 8 units at 256.
pub(crate) mod avx512vnni {
    use super::*;
    use crate::simd::int8::instantiate_int8;

    instantiate_int8! {
        I8_AVX512VNNI enables "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma",
        register Vnni512::new(),
        vector Vnni512::new(),
        half Dot256::<Evex>::new(),
        lstm pairs true,
        gemm vectors [1 2] of 16 rows [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
    }
}

/// VNNI at 256 bits, as CPUs without AVX-512 have it.
pub(crate) mod avxvnni {
    use super::*;
    use crate::simd::Wide;
    use crate::simd::int8::instantiate_int8;

    instantiate_int8! {
        I8_AVXVNNI enables "avxvnni,avx2,fma",
        register Dot256::<Vex>::new(),
        vector Wide::<_, 2>(Dot256::<Vex>::new()),
        half Dot256::<Vex>::new(),
        lstm pairs false,
        gemm vectors [1 2] of 8 rows [1 2 3 4 5 6]
    }
}

/// Without VNNI.
pub(crate) mod avx2 {
    use super::*;
    use crate::simd::Wide;
    use crate::simd::int8::instantiate_int8;

    instantiate_int8! {
        I8_AVX2 enables "avx2,fma",
        register Dot256::<Signs>::new(),
        vector Wide::<_, 2>(Dot256::<Signs>::new()),
        half Dot256::<Signs>::new(),
        lstm pairs false,
        gemm vectors [1 2] of 8 rows [1 2 3 4]
    }
}

/// The algorithm of AVX-VNNI runs on CPUs with AVX-512 too, in another encoding.
#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use far_format::layout::{Activation, Precision, gemm_weight_len, lstm_weight_len, padded_hidden};

    use crate::gemm::GemmCall;
    use crate::lstm::LstmCall;
    use crate::pack::{self, HOST};
    use crate::{lstm_state_len, quantize, scalar};

    mod evex {
        use super::super::*;
        use crate::simd::Wide;
        use crate::simd::int8::instantiate_int8;

        instantiate_int8! {
            I8_AVXVNNI enables "avx512f,avx512vl,avx512vnni,avx2,fma",
            register Dot256::<Evex>::new(),
            vector Wide::<_, 2>(Dot256::<Evex>::new()),
            half Dot256::<Evex>::new(),
            lstm pairs false,
            gemm vectors [1 2] of 8 rows [1 2 3 4 5 6]
        }
    }

    fn has_evex() -> bool {
        std::is_x86_feature_detected!("avx512vl") && std::is_x86_feature_detected!("avx512vnni")
    }

    /// Numbers in [−1, 1).
    fn noise(len: usize) -> Vec<f32> {
        let mut x = 1u32;
        let next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        core::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn vnni_of_256_bits_multiplies_like_the_scalar_kernel() {
        for (m, n, k) in [(1, 1, 1), (6, 16, 4), (13, 33, 67), (7, 50, 192)] {
            let (a, w) = (noise(m * k), noise(k * n));
            let mut weights = vec![0.0; gemm_weight_len(Precision::Int8, HOST, k, n)];
            pack::gemm(Precision::Int8, HOST, k, n, |i, j| w[i * n + j], Some(&w[..n]), &mut weights);
            let run = |kernel: unsafe fn(&GemmCall)| {
                let mut out = vec![0.0f32; m * n];
                let mut scratch = vec![0.0; quantize::scratch_len(m, k)];
                let call = GemmCall {
                    m,
                    n,
                    k,
                    a: a.as_ptr(),
                    a_stride: k,
                    weights: weights.as_ptr(),
                    residual: core::ptr::null(),
                    residual_stride: 0,
                    out: out.as_mut_ptr(),
                    out_stride: n,
                    scratch: scratch.as_mut_ptr(),
                    act: Activation::Relu,
                };
                // SAFETY: the operands are as large as the call says, and the CPU has the instructions.
                unsafe { kernel(&call) };
                out
            };
            if has_evex() {
                assert_eq!(run(evex::gemm), run(scalar::int8::gemm), "{m} × {n} × {k}");
            }
        }
    }

    #[test]
    fn vnni_of_256_bits_recurs_like_the_scalar_kernel() {
        for hidden in [1, 8, 19, 40, 64] {
            let steps = 5;
            let width = 4 * padded_hidden(hidden);
            let (gates, r) = (noise(steps * width), noise(4 * hidden * hidden));
            let mut weights = vec![0.0; lstm_weight_len(Precision::Int8, HOST, hidden)];
            pack::lstm(Precision::Int8, HOST, hidden, &r, &mut weights);
            let run = |kernel: unsafe fn(&LstmCall)| {
                let mut out = vec![0.0f32; steps * hidden];
                let mut state = vec![0.0; lstm_state_len(Precision::Int8, hidden)];
                let call = LstmCall {
                    steps,
                    hidden,
                    gates: gates.as_ptr(),
                    gates_stride: width,
                    weights: weights.as_ptr(),
                    state: state.as_mut_ptr(),
                    out: out.as_mut_ptr(),
                    out_stride: hidden,
                    reverse: false,
                };
                // SAFETY: as above.
                unsafe { kernel(&call) };
                out
            };
            if has_evex() {
                assert_eq!(run(evex::lstm), run(scalar::int8::lstm), "{hidden} units");
            }
        }
    }
}
