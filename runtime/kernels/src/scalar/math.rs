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

/// Numerator and denominator.
fn odd_fraction<const N: usize>(x: f32, f: &OddRational<N>) -> (f32, f32) {
    let x = clamp_below(clamp_above(x, f.limit), -f.limit);
    let u = x * x;
    (x * polynomial(u, &f.p), polynomial(u, &f.q))
}

fn odd_rational<const N: usize>(x: f32, f: &OddRational<N>) -> f32 {
    let (p, q) = odd_fraction(x, f);
    p / q
}

/// Hyperbolic tangent as numerator and denominator; the denominator is at least 1, and no less than the numerator's
/// magnitude.
pub(super) fn tanh_fraction(x: f32) -> (f32, f32) {
    odd_fraction(x, &COEFFICIENTS.tanh)
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
        Activation::GeluShort => {
            let g = &COEFFICIENTS.gelu_short;
            let b = clamp_above(x.abs(), g.limit);
            b.mul_add(polynomial(b, &g.s), clamp_below(x, 0.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use far_format::layout::Activation;

    use super::{activate, exp, half_erf};
    use crate::erf::erf;

    /// The largest error of `f` in ULP over the floats from `from` to `to` (of one sign), every `step`-th.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, from: f32, to: f32, step: usize) -> f64 {
        let mut worst = 0.0f64;
        for bits in (from.to_bits()..=to.to_bits()).step_by(step) {
            let x = f32::from_bits(bits);
            let exact = exact(f64::from(x));
            let rounded = exact as f32;
            let below = f32::from_bits(rounded.to_bits() - 1);
            // Below a power of two, of which the saturated ½ is one, the unit is that of the smaller numbers.
            let ulp = f64::from(rounded - below);
            worst = worst.max((f64::from(f(x)) - exact).abs() / ulp);
        }
        worst
    }

    /// Beyond this range the result is not a normal number.
    const EXP_RANGE: (f32, f32) = (-87.33, 88.72);

    fn exp_is_accurate(step: usize) {
        let error =
            worst(exp, f64::exp, 1e-8, EXP_RANGE.1, step).max(worst(exp, f64::exp, -1e-8, EXP_RANGE.0, step));
        assert!(error <= 1.0, "exp is {error} ULP off");
    }

    fn half_erf_is_accurate(step: usize) {
        let exact = |x: f64| 0.5 * erf(x * core::f64::consts::FRAC_1_SQRT_2);
        let error = worst(half_erf, exact, 1e-6, 8.0, step);
        assert!(error <= 5.5, "half_erf is {error} ULP off");
        for bits in (0..=f32::INFINITY.to_bits()).step_by(step) {
            let x = f32::from_bits(bits);
            assert!(half_erf(x) <= 0.5, "half_erf({x:e})");
            assert_eq!(
                half_erf(-x).to_bits(),
                (-half_erf(x)).to_bits(),
                "half_erf({x:e}) and of its negative"
            );
        }
    }

    #[test]
    fn exp_is_accurate_over_a_sample() {
        exp_is_accurate(1_009);
    }

    #[test]
    #[ignore = "goes over all floats"]
    fn exp_is_accurate_over_all_floats() {
        exp_is_accurate(1);
    }

    #[test]
    fn half_erf_is_accurate_over_a_sample() {
        half_erf_is_accurate(10_007);
    }

    #[test]
    #[ignore = "goes over all floats"]
    fn half_erf_is_accurate_over_all_floats() {
        half_erf_is_accurate(1);
    }

    /// Over the floats of both signs, every `step`-th.
    fn gelu_short_is_near(step: usize) {
        let short = |x| activate(Activation::GeluShort, x);
        for bits in (0..f32::INFINITY.to_bits()).step_by(step) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let wide = f64::from(x);
                let exact = wide * 0.5 * (1.0 + erf(wide * core::f64::consts::FRAC_1_SQRT_2));
                let error = (f64::from(short(x)) - exact).abs();
                // Rounding counts where the result is large.
                let rounding = 1e-7 * exact.abs();
                assert!(
                    error <= 2.2e-4 + rounding && error <= 8.6e-4 * wide.abs(),
                    "gelu_short({x:e}) is {error:e} off"
                );
                if x.abs() > 3.9 {
                    assert!((short(x) - x.max(0.0)).abs() <= 1e-6 + x.max(0.0) * 1e-7, "gelu_short({x:e})");
                }
            }
        }
    }

    #[test]
    fn gelu_short_is_near_over_a_sample() {
        gelu_short_is_near(1_009);
    }

    #[test]
    #[ignore = "goes over all floats"]
    fn gelu_short_is_near_over_all_floats() {
        gelu_short_is_near(1);
    }

    #[test]
    fn gelu_short_of_special_values() {
        let short = |x| activate(Activation::GeluShort, x);
        assert!(short(f32::NAN).is_nan() && short(-f32::NAN).is_nan());
        assert_eq!(short(f32::INFINITY), f32::INFINITY);
        assert!(short(f32::NEG_INFINITY).abs() <= 1e-6);
        assert_eq!((short(0.0).to_bits(), short(-0.0).to_bits()), (0.0f32.to_bits(), (-0.0f32).to_bits()));
    }

    #[test]
    fn exp_of_special_values() {
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        let denormal = exp(-100.0);
        assert!((f64::from(denormal) - (-100.0f64).exp()).abs() < 1e-45);
    }

    #[test]
    fn half_erf_saturates_at_one_half() {
        assert_eq!(half_erf(f32::INFINITY), 0.5);
        assert_eq!(half_erf(-7.0), -0.5);
        assert!(half_erf(f32::NAN).is_nan());
    }
}
