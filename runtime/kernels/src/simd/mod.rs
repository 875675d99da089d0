//! The vector kernels, written once over [`Simd`]. May import: the argument types and `math`.
//!
//! Each instruction set has a module that implements [`Simd`] and instantiates the algorithms inside functions that
//! enable its instructions. Everything here is `#[inline(always)]`, so that the algorithms are compiled with them.
//!
//! The algorithms think in vectors of 16 lanes, the width of a weight panel, of a block of LSTM units, and of a
//! reduction; a machine with narrower registers takes several at once ([`Wide`]). Loops run over indices, not through
//! iterator adapters with closures: a closure that is not inlined loses the instructions.

#![allow(clippy::needless_range_loop)] // see above: plain loops stay whole when inlined

pub(crate) mod ahead;
pub(crate) mod elementwise;
pub(crate) mod gemm;
mod instantiate;
pub(crate) mod int8;
pub(crate) mod layer_norm;
pub(crate) mod lstm;
mod math;
mod product;
mod rows;
pub(crate) mod softmax;
mod wide;

pub(crate) use instantiate::{instantiate, products};
#[cfg(target_arch = "aarch64")]
pub(crate) use math::TANH;
use math::polynomial;
pub(crate) use math::{Pairs, Tanh};
pub(crate) use product::{Fused, Product};
pub(crate) use wide::Wide;

use crate::math::OddRational;

/// Vectors of f32. A value proves that this CPU has the instructions.
///
/// Every operation has, lane by lane, the bits of the scalar expression that its comment gives.
pub(crate) trait Simd: Copy {
    /// A vector.
    type V: Copy;
    /// Its lanes.
    const LANES: usize;
    /// The registers that it takes.
    const REGISTERS: usize = 1;

    /// A few consecutive elements of a row, any of which can multiply a vector.
    type Row: Copy;
    /// How many.
    const DEPTH: usize;

    fn splat(self, x: f32) -> Self::V;

    /// # Safety
    /// `LANES` elements are readable.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// The first `n < LANES` lanes; zero in the others.
    ///
    /// # Safety
    /// `n` elements are readable.
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::V;
    /// # Safety
    /// `LANES` elements are writable.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// The first `n < LANES` lanes.
    ///
    /// # Safety
    /// `n` elements are writable.
    unsafe fn store_first(self, to: *mut f32, v: Self::V, n: usize);

    /// # Safety
    /// `DEPTH` elements are readable.
    unsafe fn row(self, from: *const f32) -> Self::Row;
    /// `row[I]·w + acc`, fused, for `I < DEPTH`.
    fn fma_element<const I: usize>(self, row: Self::Row, w: Self::V, acc: Self::V) -> Self::V;

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a/b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, fused.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `x` without its sign.
    fn abs(self, x: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`.
    fn greater(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if x > limit { limit } else { x }`, for a limit that is neither zero nor NaN.
    fn clamp_above(self, x: Self::V, limit: Self::V) -> Self::V;
    /// `if x < limit { limit } else { x }`, for a limit that is neither zero nor NaN.
    fn clamp_below(self, x: Self::V, limit: Self::V) -> Self::V;
    /// `y·2ⁿ`, rounded once, for an integral `n` with |n| ≤ 252 and 2⁻¹ ≤ y ≤ 2; a NaN stays NaN.
    fn mul_pow2(self, y: Self::V, n: Self::V) -> Self::V;

    /// P and Q of `f` at `x`, by Horner's rule; `table` has the same coefficients.
    #[inline(always)]
    fn two_polynomials<const N: usize>(
        self,
        x: Self::V,
        f: &OddRational<N>,
        _table: &'static Pairs<N>,
    ) -> (Self::V, Self::V) {
        (polynomial(self, x, &f.p), polynomial(self, x, &f.q))
    }

    /// The first `n` of the elements there, or all lanes if there are that many.
    ///
    /// # Safety
    /// `min(n, LANES)` elements are readable.
    #[inline(always)]
    unsafe fn load_up_to(self, from: *const f32, n: usize) -> Self::V {
        // SAFETY: as the caller promises.
        unsafe { if n >= Self::LANES { self.load(from) } else { self.load_first(from, n) } }
    }

    /// The first `n` of the lanes, or all of them if there are not that many.
    ///
    /// # Safety
    /// `min(n, LANES)` elements are writable.
    #[inline(always)]
    unsafe fn store_up_to(self, to: *mut f32, v: Self::V, n: usize) {
        // SAFETY: as the caller promises.
        unsafe { if n >= Self::LANES { self.store(to, v) } else { self.store_first(to, v, n) } }
    }
}

/// Lanes of a reduction.
const LANES: usize = 16;

/// The lanes of a vector, to be combined.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::V) -> [f32; LANES] {
    const { assert!(S::LANES == LANES) };
    let mut lanes = [0.0; LANES];
    // SAFETY: as many elements as lanes.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    lanes
}

/// The first `n < LANES` lanes; zero in the others.
#[inline(always)]
fn keep_first<S: Simd>(s: S, v: S::V, n: usize) -> S::V {
    // SAFETY: as many elements as lanes, more than `n`.
    unsafe { s.load_first(lanes(s, v).as_ptr(), n) }
}

/// Defines operations by an intrinsic each, for an implementation of [`Simd`] whose value proves that they exist.
macro_rules! operations {
    ($($name:ident($($arg:ident),*) = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: `self` proves that this CPU has the instruction.
            unsafe { $body }
        })*
    };
}
pub(crate) use operations;
