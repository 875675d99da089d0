//! Int8 products, written once over [`Dot`]. May import: `simd`, `quantize`, the argument types.
//!
//! A value of an instruction set's type proves that this CPU has the instructions, as in `simd`.

mod gemm;
mod instantiate;
mod lstm;
mod quantize;
mod starts;

pub(crate) use gemm::{columns, gemm, tile};
#[cfg(target_arch = "aarch64")]
pub(crate) use gemm::{panel_len, store};
pub(crate) use instantiate::instantiate_int8;
pub(crate) use lstm::lstm;
pub(crate) use quantize::rows;
use starts::starts;

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::sync::atomic::{Ordering, compiler_fence};

pub(crate) use super::lstm::cell;
use super::{Simd, Wide};

/// Dot products of four depths into lanes of i32, as many as [`Simd`] has lanes of f32.
pub(crate) trait Dot: Copy {
    /// The vectors of f32.
    type S: Simd;
    /// A vector of i32.
    type I: Copy;
    /// The sums of the lanes.
    type Sum: Copy;
    /// For each lane the weights of [`STEP`](Self::STEP) groups of four depths.
    type W: Copy;
    /// Quantised elements of a row, four for each of [`GROUPS`](Self::GROUPS).
    type X: Copy;

    /// Groups of four elements that are read at once: one, or as many as four steps or one take.
    const GROUPS: usize;
    /// Groups that are multiplied at once: one or two.
    const STEP: usize;
    /// Whether elements are stored as `q + 128`, and sums start from what makes up for it.
    const UNSIGNED: bool;

    fn simd(self) -> Self::S;
    fn zero(self) -> Self::I;
    /// Where sums begin: at zero, or at what is there if elements are unsigned.
    ///
    /// # Safety
    /// As many words as lanes are readable.
    unsafe fn start(self, from: *const f32) -> Self::Sum;
    /// The groups there, each `next` bytes after the one before; only the first if `one`, and zeros.
    ///
    /// # Safety
    /// Of each group four bytes for each lane are readable.
    unsafe fn weights(self, from: *const i8, next: usize, one: bool) -> Self::W;
    /// # Safety
    /// `4 · GROUPS` bytes are readable.
    unsafe fn elements(self, from: *const u8) -> Self::X;
    /// Adds to each lane the products of its weights with the elements of step `G < GROUPS / STEP`.
    fn dot<const G: usize>(self, acc: Self::Sum, w: Self::W, x: Self::X) -> Self::Sum;

    /// The nearest f32, ties to even.
    fn to_float(self, sum: Self::Sum) -> <Self::S as Simd>::V;
    /// The nearest integer, ties to even, of a number within ±128; anything for a NaN.
    fn round(self, x: <Self::S as Simd>::V) -> Self::I;
    /// The same, and 0 for a NaN.
    fn round_or_zero(self, x: <Self::S as Simd>::V) -> Self::I;
    /// Lane by lane the larger of `max` and the magnitude's bits.
    fn largest(self, max: Self::I, x: <Self::S as Simd>::V) -> Self::I;
    /// Lane by lane the larger of two, none of which is negative.
    fn larger(self, a: Self::I, b: Self::I) -> Self::I;
    /// The largest lane, none of which is negative.
    fn largest_lane(self, max: Self::I) -> u32;
    /// Stores integers within ±127 as elements, a byte a lane.
    ///
    /// # Safety
    /// `N` bytes for each lane are writable.
    unsafe fn store<const N: usize>(self, to: *mut u8, q: [Self::I; N]);

    /// The new hidden states of an LSTM from the gates' pre-activations; the cell states at `c` are replaced.
    ///
    /// # Safety
    /// As many elements as lanes are readable and writable at `c`.
    #[inline(always)]
    unsafe fn cell(self, pre: [<Self::S as Simd>::V; 4], c: *mut f32) -> <Self::S as Simd>::V {
        // SAFETY: as the caller promises.
        unsafe { cell(self.simd(), self.simd(), pre, c) }
    }
}

/// Steps whose elements are read at once.
const fn steps<D: Dot>() -> usize {
    assert!(D::GROUPS == D::STEP || D::GROUPS == 4 * D::STEP);
    D::GROUPS / D::STEP
}

impl<D: Dot, const N: usize> Dot for Wide<D, N> {
    type S = Wide<D::S, N>;
    type I = [D::I; N];
    type Sum = [D::Sum; N];
    type W = [D::W; N];
    type X = D::X;
    const GROUPS: usize = D::GROUPS;
    const STEP: usize = D::STEP;
    const UNSIGNED: bool = D::UNSIGNED;

    #[inline(always)]
    fn simd(self) -> Self::S {
        Wide(self.0.simd())
    }
    #[inline(always)]
    fn zero(self) -> Self::I {
        [self.0.zero(); N]
    }
    #[inline(always)]
    unsafe fn start(self, from: *const f32) -> Self::Sum {
        // SAFETY: the caller promises `N` registers.
        let mut v = [unsafe { self.0.start(from) }; N];
        for i in 1..N {
            // SAFETY: as above.
            v[i] = unsafe { self.0.start(from.add(i * D::S::LANES)) };
        }
        v
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const i8, next: usize, one: bool) -> Self::W {
        // SAFETY: the caller promises `N` registers.
        let mut w = [unsafe { self.0.weights(from, next, one) }; N];
        for i in 1..N {
            // SAFETY: as above.
            w[i] = unsafe { self.0.weights(from.add(i * 4 * D::S::LANES), next, one) };
        }
        w
    }
    #[inline(always)]
    unsafe fn elements(self, from: *const u8) -> Self::X {
        // SAFETY: as the caller promises.
        unsafe { self.0.elements(from) }
    }
    #[inline(always)]
    fn dot<const G: usize>(self, acc: Self::Sum, w: Self::W, x: Self::X) -> Self::Sum {
        let mut r = acc;
        for i in 0..N {
            r[i] = self.0.dot::<G>(acc[i], w[i], x);
        }
        r
    }
    #[inline(always)]
    fn to_float(self, sum: Self::Sum) -> <Self::S as Simd>::V {
        let mut v = self.simd().splat(0.0);
        for i in 0..N {
            v[i] = self.0.to_float(sum[i]);
        }
        v
    }
    #[inline(always)]
    fn round(self, x: <Self::S as Simd>::V) -> Self::I {
        let mut v = self.zero();
        for i in 0..N {
            v[i] = self.0.round(x[i]);
        }
        v
    }
    #[inline(always)]
    fn round_or_zero(self, x: <Self::S as Simd>::V) -> Self::I {
        let mut v = self.zero();
        for i in 0..N {
            v[i] = self.0.round_or_zero(x[i]);
        }
        v
    }
    #[inline(always)]
    fn largest(self, max: Self::I, x: <Self::S as Simd>::V) -> Self::I {
        let mut v = max;
        for i in 0..N {
            v[i] = self.0.largest(max[i], x[i]);
        }
        v
    }
    #[inline(always)]
    fn larger(self, a: Self::I, b: Self::I) -> Self::I {
        let mut v = a;
        for i in 0..N {
            v[i] = self.0.larger(a[i], b[i]);
        }
        v
    }
    #[inline(always)]
    fn largest_lane(self, max: Self::I) -> u32 {
        let mut largest = 0;
        for i in 0..N {
            largest = largest.max(self.0.largest_lane(max[i]));
        }
        largest
    }
    /// A register after the other, through memory: all at once would not fit the registers.
    #[inline(always)]
    unsafe fn cell(self, pre: [<Self::S as Simd>::V; 4], c: *mut f32) -> <Self::S as Simd>::V {
        let mut gates = [[MaybeUninit::<<D::S as Simd>::V>::uninit(); 4]; N];
        let mut y = [MaybeUninit::<<D::S as Simd>::V>::uninit(); N];
        for gate in 0..4 {
            for i in 0..N {
                gates[i][gate].write(pre[gate][i]);
            }
        }
        // Their addresses are given away, so that they are in memory, where a loop may take them one by one.
        let (gates, y) = (black_box(&gates), black_box(&mut y));
        for i in 0..N {
            // SAFETY: the gates were written above; the caller promises `N` registers.
            unsafe {
                let [input, output, forget, cell] = gates[i];
                let pre =
                    [input.assume_init(), output.assume_init(), forget.assume_init(), cell.assume_init()];
                y[i].write(self.0.cell(pre, c.add(i * D::S::LANES)));
            }
            compiler_fence(Ordering::SeqCst);
        }
        let mut all = self.simd().splat(0.0);
        for i in 0..N {
            // SAFETY: written above.
            all[i] = unsafe { y[i].assume_init() };
        }
        all
    }
    #[inline(always)]
    unsafe fn store<const M: usize>(self, to: *mut u8, q: [Self::I; M]) {
        for i in 0..M {
            // SAFETY: the caller promises `M · N` registers.
            unsafe { self.0.store(to.add(i * Self::S::LANES), q[i]) };
        }
    }
}
