//! How far the kernels are from the core's fused multiply-add limit, on the shapes of FAR-DeiT.
//!
//! `cargo run --release -p far-kernels --example peak [ISA]`; least times, so run it on a quiet core.
#![allow(unsafe_code, clippy::print_stdout)] // a tool: it measures with bare instructions, and prints

use std::hint::black_box;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use far_format::cpu::Features;
use far_format::layout::{gemm_weight_len, lstm_weight_len, padded_hidden};
use far_kernels::matrix::{Mat, MatMut};
use far_kernels::pack::HOST;
use far_kernels::{
    Activation, Gemm, GemmArgs, Isa, Kernels, LayerNormArgs, Lstm, LstmArgs, MapArgs, Precision, SoftmaxArgs,
    Variant, lstm_state_len,
};

const TOKENS: usize = 197;

fn main() {
    let wanted = std::env::args().nth(1).map(|name| name.parse::<Isa>().unwrap_or_else(|e| panic!("{e}")));
    for kernels in Kernels::available().filter(|k| wanted.is_none_or(|isa| isa == k.isa())) {
        let single = peak(kernels.isa());
        println!("{}: {single:.1} GFLOP/s at most", kernels.isa());
        gemm(kernels.gemm(Precision::F32), single);
        lstm(kernels.lstm(Precision::F32), single);
        rows(kernels);
        let int8 = kernels.gemm(Precision::Int8);
        let limit = int8_peak(int8.variant()).unwrap_or(f64::NAN);
        println!("{}: int8 {limit:.1} GOP/s at most", kernels.isa());
        gemm(int8, limit);
        lstm(kernels.lstm(Precision::Int8), limit);
    }
}

/// Least seconds of a call, over about a tenth of a second.
fn least(mut call: impl FnMut()) -> f64 {
    let begin = cpu_seconds();
    let mut least = f64::INFINITY;
    let mut calls = 0;
    while calls < 5 || cpu_seconds() - begin < 0.1 {
        let start = cpu_seconds();
        call();
        least = least.min(cpu_seconds() - start);
        calls += 1;
    }
    least
}

/// Seconds that this thread has run: what others do on the core in between is not counted.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec to write to.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "no clock for the thread's time");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Elements from row to row. Rows whose distance is a multiple of 2 KiB fall into the same few sets of a cache, so a
/// plan keeps them apart, and so do we.
fn stride(cols: usize) -> usize {
    if cols.is_multiple_of(512) { cols + 16 } else { cols }
}

fn gemm(kernel: Gemm, peak: f64) {
    let shapes =
        [(192, 192), (192, 768), (768, 192), (384, 384), (384, 1536), (1536, 384), (768, 3072), (3072, 768)];
    for (k, n) in shapes {
        for (act, in_place) in
            [(Activation::None, false), (Activation::None, true), (Activation::Gelu, false)]
        {
            let (a_stride, out_stride) = (stride(k), stride(n));
            let a = Aligned::noise(TOKENS * a_stride);
            let weights = Aligned::noise(gemm_weight_len(kernel.precision(), HOST, k, n));
            let mut out = Aligned::noise(TOKENS * out_stride);
            let mut scratch = Aligned::noise(kernel.scratch_len(TOKENS, k));
            let seconds = least(|| {
                let ptr = out.as_mut_ptr();
                // SAFETY: `out`, which the kernel allows to be the residual.
                let residual = in_place.then(|| unsafe { Mat::from_raw(ptr, TOKENS, n, out_stride) });
                kernel.run(GemmArgs {
                    a: Mat::new(&a, TOKENS, k, a_stride),
                    weights: &weights,
                    act,
                    residual,
                    scratch: &mut scratch,
                    // SAFETY: as above.
                    out: unsafe { MatMut::from_raw(ptr, TOKENS, n, out_stride) },
                });
                black_box(&mut out);
                if in_place {
                    out.fill(0.0);
                }
            });
            let rate = 2.0 * (TOKENS * k * n) as f64 / seconds / 1e9;
            let epilogue = format!("{act:?}{}", if in_place { " + residual" } else { "" });
            println!(
                "{} K={k} N={n} {epilogue}: {rate:.1} Gop/s, {:.1} %",
                kernel.name(),
                100.0 * rate / peak
            );
        }
    }
}

fn lstm(kernel: Lstm, peak: f64) {
    const UNITS: usize = 6;
    for hidden in [16, 24, 32, 40, 48, 64] {
        let weights = Aligned::noise(UNITS * lstm_weight_len(kernel.precision(), HOST, hidden));
        let width = 4 * padded_hidden(hidden);
        let gates = Aligned::noise(TOKENS * width * UNITS);
        let mut out = Aligned::noise(TOKENS * hidden * UNITS);
        let mut state = Aligned::noise(lstm_state_len(kernel.precision(), hidden));
        let seconds = least(|| {
            for unit in 0..UNITS {
                kernel.run(LstmArgs {
                    gates: Mat::new(&gates, TOKENS, width * UNITS, width * UNITS).part(
                        0,
                        unit * width,
                        TOKENS,
                        width,
                    ),
                    weights: &weights[unit * lstm_weight_len(kernel.precision(), HOST, hidden)..]
                        [..lstm_weight_len(kernel.precision(), HOST, hidden)],
                    reverse: unit % 2 == 1,
                    state: &mut state,
                    out: MatMut::new(&mut out, TOKENS, hidden * UNITS, hidden * UNITS).part(
                        0,
                        unit * hidden,
                        TOKENS,
                        hidden,
                    ),
                });
            }
            black_box(&mut out);
        });
        let limit = 2.0 * (UNITS * TOKENS * 4 * hidden * hidden) as f64 / peak / 1e9;
        println!(
            "{} {UNITS} units of H={hidden}: {:.3} ms, {:.2} times the limit",
            kernel.name(),
            seconds * 1e3,
            seconds / limit
        );
    }
}

fn rows(kernels: Kernels) {
    let cols = 768;
    let x = Aligned::noise(TOKENS * cols);
    let mut out = Aligned::noise(TOKENS * cols);
    let each = 1e9 / (TOKENS * cols) as f64;
    for act in [Activation::Gelu, Activation::GeluShort, Activation::GeluTanh, Activation::Tanh] {
        let seconds = least(|| {
            kernels.map().run(MapArgs {
                act,
                x: Mat::new(&x, TOKENS, cols, cols),
                out: MatMut::new(&mut out, TOKENS, cols, cols),
            });
        });
        println!("{} {act:?}: {:.3} ns an element", kernels.map().name(), seconds * each);
    }
    let seconds = least(|| {
        kernels.layer_norm().run(LayerNormArgs {
            x: Mat::new(&x, TOKENS, cols, cols),
            eps: 1e-6,
            affine: None,
            out: MatMut::new(&mut out, TOKENS, cols, cols),
        });
    });
    println!("{}: {:.3} ns an element", kernels.layer_norm().name(), seconds * each);
    let seconds = least(|| {
        kernels.softmax().run(SoftmaxArgs { scale: 0.125, x: MatMut::new(&mut out, TOKENS, cols, cols) });
    });
    println!("{}: {:.3} ns an element", kernels.softmax().name(), seconds * each);
}

/// Numbers that begin at a cache line, as in a model's weights and arena.
struct Aligned {
    memory: Vec<f32>,
    first: usize,
    len: usize,
}

impl Aligned {
    fn noise(len: usize) -> Self {
        let mut memory = vec![0.0; len + 16];
        let first = memory.as_ptr().align_offset(64);
        let mut x = 1u32;
        memory[first..][..len].fill_with(|| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 8) as f32 / (1 << 25) as f32 - 0.25
        });
        Self { memory, first, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[self.first..][..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..][..self.len]
    }
}

/// GFLOP/s of independent chains of fused multiply-adds in registers.
fn peak(isa: Isa) -> f64 {
    const TIMES: usize = 100_000;
    let (lanes, chains, run): (usize, usize, fn(usize)) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, 14, |n| {
            // SAFETY: asked for only where the kernels of this instruction set are there.
            unsafe { x86::chains_512(n) }
        }),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, 12, |n| {
            // SAFETY: as above.
            unsafe { x86::chains_256(n) }
        }),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (4, 16, neon_chains),
        _ => (1, 16, scalar_chains),
    };
    2.0 * (lanes * chains * TIMES) as f64 / least(|| run(TIMES)) / 1e9
}

/// Gop/s of independent chains of int8 dot products in registers; `None` where the variant has no such instruction.
fn int8_peak(variant: &Variant) -> Option<f64> {
    const TIMES: usize = 100_000;
    let chains: (usize, usize, fn(usize)) = match variant.needs {
        #[cfg(target_arch = "x86_64")]
        needs if needs.contains(Features::AVX512_VNNI) => (64, 14, |n| {
            // SAFETY: this CPU runs the variant, which needs the instruction.
            unsafe { x86::dots_512(n) }
        }),
        #[cfg(target_arch = "x86_64")]
        needs if needs.contains(Features::AVX_VNNI) => (32, 12, |n| {
            // SAFETY: as above.
            unsafe { x86::dots_256(n) }
        }),
        #[cfg(target_arch = "aarch64")]
        needs if needs.contains(Features::DOTPROD) => (16, 16, |n| {
            // SAFETY: as above.
            unsafe { neon_dots(n) }
        }),
        _ => (0, 0, |_| ()),
    };
    let (lanes, chains, run) = chains;
    (lanes > 0).then(|| 2.0 * (lanes * chains * TIMES) as f64 / least(|| run(TIMES)) / 1e9)
}

/// # Safety
/// The CPU has dot products.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "dotprod")]
unsafe fn neon_dots(times: usize) {
    use std::arch::aarch64::{vdupq_n_s8, vdupq_n_s32};
    let mut acc = [vdupq_n_s32(0); 16];
    let a = vdupq_n_s8(black_box(3));
    for _ in 0..times {
        for acc in &mut acc {
            // SAFETY: the caller promises the instruction, which touches registers only.
            unsafe {
                std::arch::asm!(
                    "sdot {acc:v}.4s, {a:v}.16b, {a:v}.16b",
                    acc = inout(vreg) *acc, a = in(vreg) a,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
    black_box(acc);
}

fn scalar_chains(times: usize) {
    let mut acc = [0.0f32; 16];
    let (a, b) = (black_box(0.5), black_box(0.25));
    for _ in 0..times {
        for acc in &mut acc {
            *acc = f32::mul_add(*acc, a, b);
        }
    }
    black_box(acc);
}

#[cfg(target_arch = "aarch64")]
fn neon_chains(times: usize) {
    use std::arch::aarch64::{vdupq_n_f32, vfmaq_f32};
    // SAFETY: NEON is always there.
    unsafe {
        let mut acc = [vdupq_n_f32(0.0); 16];
        let a = vdupq_n_f32(black_box(0.5));
        for _ in 0..times {
            for acc in &mut acc {
                *acc = vfmaq_f32(a, *acc, a);
            }
        }
        black_box(acc);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// # Safety
    /// The CPU has AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn chains_512(times: usize) {
        let mut acc = [_mm512_setzero_ps(); 14];
        let a = _mm512_set1_ps(black_box(0.5));
        for _ in 0..times {
            for acc in &mut acc {
                *acc = _mm512_fmadd_ps(*acc, a, a);
            }
        }
        black_box(acc);
    }

    /// # Safety
    /// The CPU has AVX-512F and VNNI.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn dots_512(times: usize) {
        let mut acc = [_mm512_setzero_si512(); 14];
        let a = _mm512_set1_epi8(black_box(3));
        for _ in 0..times {
            for acc in &mut acc {
                *acc = _mm512_dpbusd_epi32(*acc, a, a);
            }
        }
        black_box(acc);
    }

    /// # Safety
    /// The CPU has AVX2 and AVX-VNNI.
    #[target_feature(enable = "avx2,avxvnni")]
    pub(super) unsafe fn dots_256(times: usize) {
        let mut acc = [_mm256_setzero_si256(); 12];
        let a = _mm256_set1_epi8(black_box(3));
        for _ in 0..times {
            for acc in &mut acc {
                *acc = _mm256_dpbusd_avx_epi32(*acc, a, a);
            }
        }
        black_box(acc);
    }

    /// # Safety
    /// The CPU has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn chains_256(times: usize) {
        let mut acc = [_mm256_setzero_ps(); 12];
        let a = _mm256_set1_ps(black_box(0.5));
        for _ in 0..times {
            for acc in &mut acc {
                *acc = _mm256_fmadd_ps(*acc, a, a);
            }
        }
        black_box(acc);
    }
}
