//! The numeric kernels of libfar. Every kernel gives, bit for bit, what the scalar one gives.
//!
//! [`Kernels::best`] is the fastest set that this CPU runs; holding a set proves that its instructions exist, so
//! running a kernel is safe. A kernel checks its arguments once, and does not allocate, lock, log, or read globals.
//!
//! - products and recurrences exist in several [`Precision`]s; a set has the best variant of each that the CPU allows;
//! - [`scalar`](Isa::Scalar) kernels are the definition of the numbers: sums in one order, fused multiply-adds,
//!   one rational function each for tanh and the normal distribution, one polynomial for exp;
//! - `simd` holds the same algorithms over vectors, written once; `x86` and `neon` instantiate them;
//! - `rvv` is C, because stable Rust has no vector intrinsics for RISC-V.
//!
//! May import: `far_format::{cpu, layout}`: the shared feature list and the layout of packed weights.
#![no_std]
#![allow(unsafe_code)] // this crate is one of the fenced places; each block names the fact it relies on

// Only for `f32::mul_add` and `f32::sqrt`, and for CPU detection: nothing here allocates.
extern crate std;

pub mod cpu;
mod elementwise;
#[cfg(test)]
#[path = "../tests/common/erf.rs"]
mod erf;
mod gemm;
mod half;
mod isa;
mod layer_norm;
mod lstm;
mod math;
pub mod matrix;
mod narrow;
#[cfg(target_arch = "aarch64")]
mod neon;
mod normalize;
pub mod pack;
mod quantize;
mod runs;
#[cfg(target_arch = "riscv64")]
mod rvv;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod simd;
mod softmax;
mod square;
mod table;
mod tables;
mod widen;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use elementwise::{AddArgs, AddF32, MapArgs, MapF32};
pub use far_format::layout::{Activation, Precision};
pub use gemm::{Gemm, GemmArgs};
pub use isa::{Isa, UnknownIsa};
pub use layer_norm::{LayerNormArgs, LayerNormF32};
pub use lstm::{Lstm, LstmArgs, lstm_state_len};
pub use normalize::{NormalizeArgs, normalize};
pub use softmax::{SoftmaxArgs, SoftmaxF32};
pub use table::{Kernels, Variant};
pub use tables::{pack_table, widen_row};
