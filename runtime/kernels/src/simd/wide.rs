//! Several registers as one vector. May import: `simd`.

use super::{Pairs, Simd};
use crate::math::OddRational;

/// A vector of `N` registers of `S`.
#[derive(Clone, Copy)]
pub(crate) struct Wide<S, const N: usize>(pub(crate) S);

impl<S: Simd, const N: usize> Wide<S, N> {
    #[inline(always)]
    fn binary(self, a: [S::V; N], b: [S::V; N], op: impl Fn(S, S::V, S::V) -> S::V) -> [S::V; N] {
        let mut r = a;
        for i in 0..N {
            r[i] = op(self.0, a[i], b[i]);
        }
        r
    }
}

impl<S: Simd, const N: usize> Simd for Wide<S, N> {
    type V = [S::V; N];
    const LANES: usize = N * S::LANES;
    const REGISTERS: usize = N * S::REGISTERS;
    type Row = S::Row;
    const DEPTH: usize = S::DEPTH;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [self.0.splat(x); N]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        let mut v = self.splat(0.0);
        for i in 0..N {
            // SAFETY: the caller promises `N * S::LANES` elements.
            v[i] = unsafe { self.0.load(from.add(i * S::LANES)) };
        }
        v
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::V {
        let mut v = self.splat(0.0);
        for i in 0..N {
            let first = i * S::LANES;
            if first < n {
                // SAFETY: the caller promises `n` elements.
                v[i] = unsafe { self.0.load_up_to(from.add(first), n - first) };
            }
        }
        v
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        for i in 0..N {
            // SAFETY: the caller promises `N * S::LANES` elements.
            unsafe { self.0.store(to.add(i * S::LANES), v[i]) };
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, n: usize) {
        for i in 0..N {
            let first = i * S::LANES;
            if first < n {
                // SAFETY: the caller promises `n` elements.
                unsafe { self.0.store_up_to(to.add(first), v[i], n - first) };
            }
        }
    }

    #[inline(always)]
    unsafe fn row(self, from: *const f32) -> Self::Row {
        // SAFETY: the caller promises `DEPTH` elements.
        unsafe { self.0.row(from) }
    }

    #[inline(always)]
    fn fma_element<const I: usize>(self, row: Self::Row, w: Self::V, acc: Self::V) -> Self::V {
        let mut r = acc;
        for j in 0..N {
            r[j] = self.0.fma_element::<I>(row, w[j], acc[j]);
        }
        r
    }

    #[inline(always)]
    fn two_polynomials<const M: usize>(
        self,
        x: Self::V,
        f: &OddRational<M>,
        table: &'static Pairs<M>,
    ) -> (Self::V, Self::V) {
        let (mut p, mut q) = (x, x);
        for i in 0..N {
            (p[i], q[i]) = self.0.two_polynomials(x[i], f, table);
        }
        (p, q)
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        self.binary(a, b, S::add)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        self.binary(a, b, S::sub)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        self.binary(a, b, S::mul)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        self.binary(a, b, S::div)
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut r = c;
        for i in 0..N {
            r[i] = self.0.fma(a[i], b[i], c[i]);
        }
        r
    }
    #[inline(always)]
    fn abs(self, x: Self::V) -> Self::V {
        self.binary(x, x, |s, x, _| s.abs(x))
    }
    #[inline(always)]
    fn greater(self, a: Self::V, b: Self::V) -> Self::V {
        self.binary(a, b, S::greater)
    }
    #[inline(always)]
    fn clamp_above(self, x: Self::V, limit: Self::V) -> Self::V {
        self.binary(x, limit, S::clamp_above)
    }
    #[inline(always)]
    fn clamp_below(self, x: Self::V, limit: Self::V) -> Self::V {
        self.binary(x, limit, S::clamp_below)
    }
    #[inline(always)]
    fn mul_pow2(self, y: Self::V, n: Self::V) -> Self::V {
        self.binary(y, n, S::mul_pow2)
    }
}
