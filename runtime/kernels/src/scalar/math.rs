//! tanh, exp, the normal distribution, and the activations made of them: the definition of their bits.
//! May import: `math`.

use far_format::layout::Activation;

use crate::math::{COEFFICIENTS, OddRational};

fn clamp_above(x: f32, limit: f32) -> f32 {
    if x > limit { limit } else { x }
}

fn clamp_below(x: f32, limit: f32) -> f32 {
    if x < limit { limit } else { x }
}

/// Horner's rule, lowest power first.
fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    let (highest, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
    rest.iter().rev().fold(*highest, |sum, c| sum.mul_add(x, *c))
}

fn odd_rational<const N: usize>(x: f32, f: &OddRational<N>) -> f32 {
    let x = clamp_below(clamp_above(x, f.limit), -f.limit);
    let u = x * x;
    (x * polynomial(u, &f.p)) / polynomial(u, &f.q)
}

/// Hyperbolic tangent; within [−1, 1].
pub(crate) fn tanh(x: f32) -> f32 {
    odd_rational(x, &COEFFICIENTS.tanh)
}

/// ½·erf(x/√2); within [−½, ½].
pub(crate) fn half_erf(x: f32) -> f32 {
    odd_rational(x, &COEFFICIENTS.half_erf)
}

/// `e^x`; overflows to infinity, underflows gradually.
pub(crate) fn exp(x: f32) -> f32 {
    let e = &COEFFICIENTS.exp;
    let x = clamp_below(clamp_above(x, e.high), e.low);
    let n = x.mul_add(e.log2e, e.round) - e.round;
    let r = n.mul_add(e.neg_ln2_hi, x);
    let r = n.mul_add(e.neg_ln2_lo, r);
    let y = polynomial(r, &e.p).mul_add(r, 1.0).mul_add(r, 1.0);
    // 2ⁿ alone may overflow; in two factors only the second product rounds. A NaN in n becomes the integer 0.
    let n = n as i32;
    let half = n >> 1;
    y * pow2(half) * pow2(n - half)
}

/// 2ⁿ for a normal result.
fn pow2(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23).cast_unsigned())
}

/// The activation of one element.
pub(crate) fn activate(act: Activation, x: f32) -> f32 {
    match act {
        Activation::None => x,
        Activation::Gelu => x * (0.5 + half_erf(x)),
        Activation::GeluTanh => {
            let g = &COEFFICIENTS.gelu_tanh;
            let half = 0.5 * x;
            half.mul_add(tanh(x * (x * x).mul_add(g.cubic, g.linear)), half)
        }
        Activation::Tanh => tanh(x),
        Activation::Relu => clamp_below(x, 0.0),
    }
}
