//! The vector kernels on x86-64. May import: `simd` and the argument types.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod bf16;
pub(crate) mod int8;
