//! tanh, exp, the normal distribution and the activations over vectors: the operations of `scalar::math`, lane by
//! lane. May import: `simd`, `math`.

use far_format::layout::Activation;

use super::Simd;
use crate::math::{COEFFICIENTS, OddRational};

/// Coefficients of P and of Q by power, each in four lanes.
pub(crate) type Pairs<const N: usize> = [[[f32; 4]; 2]; N];

pub(crate) static TANH: Pairs<5> = pairs(&COEFFICIENTS.tanh);
static HALF_ERF: Pairs<6> = pairs(&COEFFICIENTS.half_erf);

const fn pairs<const N: usize>(f: &OddRational<N>) -> Pairs<N> {
    let mut table = [[[0.0; 4]; 2]; N];
    let mut i = 0;
    while i < N {
        table[i] = [[f.p[i]; 4], [f.q[i]; 4]];
        i += 1;
    }
    table
}

/// Horner's rule, lowest power first.
#[inline(always)]
pub(super) fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, coefficients: &[f32; N]) -> S::V {
    let mut sum = s.splat(coefficients[N - 1]);
    for i in (0..N - 1).rev() {
        sum = s.fma(sum, x, s.splat(coefficients[i]));
    }
    sum
}

#[inline(always)]
fn odd_fraction<S: Simd, const N: usize>(
    s: S,
    x: S::V,
    f: &OddRational<N>,
    table: &'static Pairs<N>,
) -> (S::V, S::V) {
    let x = s.clamp_below(s.clamp_above(x, s.splat(f.limit)), s.splat(-f.limit));
    let u = s.mul(x, x);
    let (p, q) = s.two_polynomials(u, f, table);
    (s.mul(x, p), q)
}

#[inline(always)]
fn odd_rational<S: Simd, const N: usize>(
    s: S,
    x: S::V,
    f: &OddRational<N>,
    table: &'static Pairs<N>,
) -> S::V {
    let (p, q) = odd_fraction(s, x, f, table);
    s.div(p, q)
}

/// Hyperbolic tangents as numerators and denominators.
pub(crate) trait Tanh<S: Simd>: Copy {
    fn fraction(self, x: S::V) -> (S::V, S::V);

    #[inline(always)]
    fn two_fractions(self, x: S::V, y: S::V) -> [(S::V, S::V); 2] {
        [self.fraction(x), self.fraction(y)]
    }
}

impl<S: Simd> Tanh<S> for S {
    #[inline(always)]
    fn fraction(self, x: S::V) -> (S::V, S::V) {
        odd_fraction(self, x, &COEFFICIENTS.tanh, &TANH)
    }
}

#[inline(always)]
fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    odd_rational(s, x, &COEFFICIENTS.tanh, &TANH)
}

#[inline(always)]
fn half_erf<S: Simd>(s: S, x: S::V) -> S::V {
    odd_rational(s, x, &COEFFICIENTS.half_erf, &HALF_ERF)
}

#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let e = &COEFFICIENTS.exp;
    let x = s.clamp_below(s.clamp_above(x, s.splat(e.high)), s.splat(e.low));
    let round = s.splat(e.round);
    let n = s.sub(s.fma(x, s.splat(e.log2e), round), round);
    let r = s.fma(n, s.splat(e.neg_ln2_hi), x);
    let r = s.fma(n, s.splat(e.neg_ln2_lo), r);
    let one = s.splat(1.0);
    let y = s.fma(s.fma(polynomial(s, r, &e.p), r, one), r, one);
    s.mul_pow2(y, n)
}

#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(x, s.add(s.splat(0.5), half_erf(s, x)))
}

#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let g = &COEFFICIENTS.gelu_tanh;
    let half = s.mul(s.splat(0.5), x);
    let inner = s.mul(x, s.fma(s.mul(x, x), s.splat(g.cubic), s.splat(g.linear)));
    s.fma(half, tanh(s, inner), half)
}

#[inline(always)]
fn gelu_short<S: Simd>(s: S, x: S::V) -> S::V {
    let g = &COEFFICIENTS.gelu_short;
    let b = s.clamp_above(s.abs(x), s.splat(g.limit));
    s.fma(b, polynomial(s, b, &g.s), s.greater(s.splat(0.0), x))
}

/// The activation of one vector.
#[inline(always)]
pub(super) fn activate<S: Simd>(s: S, act: Activation, x: S::V) -> S::V {
    match act {
        Activation::None => x,
        Activation::Gelu => gelu(s, x),
        Activation::GeluTanh => gelu_tanh(s, x),
        Activation::Tanh => tanh(s, x),
        Activation::Relu => s.greater(s.splat(0.0), x),
        Activation::GeluShort => gelu_short(s, x),
    }
}
