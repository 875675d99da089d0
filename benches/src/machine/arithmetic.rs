//! Independent chains of multiply-adds in registers: as many as hide the latency, and no memory. May import: `clock`,
//! far-kernels.

use std::hint::black_box;

use far_format::cpu::Features;
use far_kernels::{Isa, Kernels, Precision, Variant};

use super::clock::least_seconds;

/// Rounds over all chains of one timed call.
const ROUNDS: usize = 20_000;

/// The most multiply-adds that a core does with the instructions of a kernel's variant.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Multiply-adds of one round.
    each: usize,
    /// Does so many rounds.
    chains: fn(usize),
}

impl Peak {
    /// Of a variant; `None` where this CPU lacks its instructions, or where no single instruction does its multiply-adds.
    pub fn of(variant: &Variant) -> Option<Self> {
        let kernels = Kernels::of(variant.isa)?;
        match variant.precision {
            Precision::F32 | Precision::F16 => Some(fma(kernels)),
            Precision::Int8 | Precision::Bf16 => dots(variant),
            Precision::F16Arith => None,
        }
    }

    /// Multiply-adds of a [`run`](Self::run).
    pub fn multiply_adds(&self) -> usize {
        self.each * ROUNDS
    }

    /// Does them, some 100 to 200 µs long where a core does 16 to 32 in a cycle.
    pub fn run(&self) {
        (self.chains)(ROUNDS);
    }

    /// Multiply-adds per second.
    pub fn per_second(&self) -> f64 {
        self.multiply_adds() as f64 / least_seconds(|| self.run())
    }
}

/// Of f32, fused.
pub(super) fn fma(kernels: Kernels) -> Peak {
    let (each, chains): (usize, fn(usize)) = match kernels.isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16 * x86::CHAINS_512, |rounds| {
            // SAFETY: kernels of this instruction set exist only where AVX-512F does.
            unsafe { x86::fma_512(rounds) }
        }),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8 * x86::CHAINS_256, |rounds| {
            // SAFETY: kernels of this instruction set exist only where AVX2 and FMA do.
            unsafe { x86::fma_256(rounds) }
        }),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (4 * neon::CHAINS, neon::fma),
        _ => (SCALAR_CHAINS, scalar_fma),
    };
    Peak { each, chains }
}

/// By dot products, of int8 or bfloat16; `None` where the variant takes no such instruction, or this CPU lacks it.
pub(super) fn dots(variant: &Variant) -> Option<Peak> {
    if !far_kernels::cpu::detect().contains(variant.features()) {
        return None;
    }
    let needs = |feature| variant.needs.contains(feature);
    let (each, chains): (usize, fn(usize)) = match variant.precision {
        #[cfg(target_arch = "x86_64")]
        Precision::Int8 if needs(Features::AVX512_VNNI) => (64 * x86::CHAINS_512, |rounds| {
            // SAFETY: the CPU has all that the variant needs.
            unsafe { x86::dot_512(rounds) }
        }),
        #[cfg(target_arch = "x86_64")]
        Precision::Int8 if needs(Features::AVX_VNNI) => (32 * x86::CHAINS_256, |rounds| {
            // SAFETY: the CPU has all that the variant needs.
            unsafe { x86::dot_256(rounds) }
        }),
        #[cfg(target_arch = "x86_64")]
        Precision::Bf16 if needs(Features::AVX512_BF16) => (32 * x86::CHAINS_512, |rounds| {
            // SAFETY: the CPU has all that the variant needs.
            unsafe { x86::pairs_512(rounds) }
        }),
        #[cfg(target_arch = "aarch64")]
        Precision::Int8 if needs(Features::I8MM) => (32 * neon::CHAINS, |rounds| {
            // SAFETY: the CPU has all that the variant needs.
            unsafe { neon::matrix_products(rounds) }
        }),
        #[cfg(target_arch = "aarch64")]
        Precision::Int8 if needs(Features::DOTPROD) => (16 * neon::CHAINS, |rounds| {
            // SAFETY: the CPU has all that the variant needs.
            unsafe { neon::dots(rounds) }
        }),
        _ => return None,
    };
    Some(Peak { each, chains })
}

const SCALAR_CHAINS: usize = 16;

fn scalar_fma(rounds: usize) {
    let mut acc = [0.0f32; SCALAR_CHAINS];
    let (a, b) = (black_box(0.5), black_box(0.25));
    for _ in 0..rounds {
        for acc in &mut acc {
            *acc = f32::mul_add(*acc, a, b);
        }
    }
    black_box(acc);
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::{vdupq_n_f32, vdupq_n_s8, vdupq_n_s32, vfmaq_f32};
    use std::arch::asm;
    use std::hint::black_box;

    pub(super) const CHAINS: usize = 16;

    pub(super) fn fma(rounds: usize) {
        // SAFETY: every AArch64 that Rust knows has NEON.
        unsafe {
            let mut acc = [vdupq_n_f32(0.0); CHAINS];
            let a = vdupq_n_f32(black_box(0.5));
            for _ in 0..rounds {
                for acc in &mut acc {
                    *acc = vfmaq_f32(a, *acc, a);
                }
            }
            black_box(acc);
        }
    }

    /// Chains of an instruction that adds products of bytes to sums.
    macro_rules! chains {
        ($name:ident, $feature:literal, $instruction:literal) => {
            #[target_feature(enable = $feature)]
            pub(super) fn $name(rounds: usize) {
                let mut acc = [vdupq_n_s32(0); CHAINS];
                let a = vdupq_n_s8(black_box(3));
                for _ in 0..rounds {
                    for acc in &mut acc {
                        // SAFETY: the feature is enabled; registers only.
                        unsafe {
                            asm!(
                                concat!($instruction, " {acc:v}.4s, {a:v}.16b, {a:v}.16b"),
                                acc = inout(vreg) *acc, a = in(vreg) a,
                                options(pure, nomem, nostack, preserves_flags),
                            );
                        }
                    }
                }
                black_box(acc);
            }
        };
    }
    chains!(dots, "dotprod", "sdot");
    chains!(matrix_products, "i8mm", "smmla");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    pub(super) const CHAINS_512: usize = 14;
    pub(super) const CHAINS_256: usize = 12;

    #[target_feature(enable = "avx512f")]
    pub(super) fn fma_512(rounds: usize) {
        let mut acc = [_mm512_setzero_ps(); CHAINS_512];
        let a = _mm512_set1_ps(black_box(0.5));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm512_fmadd_ps(*acc, a, a);
            }
        }
        black_box(acc);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fma_256(rounds: usize) {
        let mut acc = [_mm256_setzero_ps(); CHAINS_256];
        let a = _mm256_set1_ps(black_box(0.5));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm256_fmadd_ps(*acc, a, a);
            }
        }
        black_box(acc);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn dot_512(rounds: usize) {
        let mut acc = [_mm512_setzero_si512(); CHAINS_512];
        let a = _mm512_set1_epi8(black_box(3));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm512_dpbusd_epi32(*acc, a, a);
            }
        }
        black_box(acc);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn pairs_512(rounds: usize) {
        let mut acc = [_mm512_setzero_ps(); CHAINS_512];
        let a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.25)));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm512_dpbf16_ps(*acc, a, a);
            }
        }
        black_box(acc);
    }

    #[target_feature(enable = "avx2,avxvnni")]
    pub(super) fn dot_256(rounds: usize) {
        let mut acc = [_mm256_setzero_si256(); CHAINS_256];
        let a = _mm256_set1_epi8(black_box(3));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm256_dpbusd_avx_epi32(*acc, a, a);
            }
        }
        black_box(acc);
    }
}
