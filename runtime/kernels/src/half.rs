//! Numbers of 16 bits, half precision and bfloat16: to and from f32, and how they are multiplied. Rounding is to the nearest, ties to
//! even; a NaN stays one. May import: nothing of ours.

/// The f32 that a half-precision number is.
#[inline(always)]
pub(crate) fn from_f16(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    f32::from_bits(
        sign | match magnitude {
            // Subnormal: so many units of 2⁻²⁴, exact.
            0..0x400 => (magnitude as f32 * f32::from_bits((127 - 24) << 23)).to_bits(),
            0x400..0x7c00 => (magnitude << 13) + ((127 - 15) << 23),
            _ => 0x7f80_0000 | (magnitude & 0x3ff) << 13,
        },
    )
}

/// The f32 that a bfloat16 is.
#[inline(always)]
pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest half-precision number; infinity from 65,520 on.
pub(crate) fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let (sign, magnitude) = ((bits >> 16 & 0x8000) as u16, bits & 0x7fff_ffff);
    sign | match magnitude {
        // Added to this, a number's unit is 2⁻²⁴: the sum rounds as a subnormal does.
        0..0x3880_0000 => {
            let half = f32::from_bits((127 - 1) << 23);
            ((f32::from_bits(magnitude) + half).to_bits() - half.to_bits()) as u16
        }
        0x3880_0000..0x477f_f000 => (nearest(magnitude, 13) - ((127 - 15) << 10)) as u16,
        0x477f_f000..=0x7f80_0000 => 0x7c00,
        _ => 0x7e00,
    }
}

/// The nearest bfloat16. As the instructions that make them have it, a subnormal number is a zero of its sign.
pub(crate) fn to_bf16(x: f32) -> u16 {
    let bits = flush(x).to_bits();
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { nearest(bits, 16) as u16 }
}

/// Products of a sum in half precision, a run. The error of such a sum grows with the root of its length.
pub(crate) const RUN: usize = 32;

/// Depths whose runs are added in half precision; the sums of so many are added in f32. Adding runs loses little, and spares most of
/// the widening, which is slow.
pub(crate) const RUNS: usize = 4 * RUN;

/// 1 in half precision.
pub(crate) const ONE_F16: u16 = 0x3c00;

/// `a·b + sum` in half precision, rounded once.
pub(crate) fn fma_f16(a: u16, b: u16, sum: u16) -> u16 {
    let (product, sum) = (f64::from(from_f16(a)) * f64::from(from_f16(b)), f64::from(from_f16(sum)));
    let rounded = product + sum;
    if !rounded.is_finite() {
        return to_f16(rounded as f32);
    }
    // The product is exact. What its sum lost, and what the conversion loses, is kept in the last bit, which is beyond those
    // that decide how a half rounds.
    let back = rounded - product;
    let lost = (product - (rounded - back)) + (sum - back);
    let odd = match (rounded.to_bits(), lost) {
        (bits, 0.0) => bits,
        (bits, _) if bits & 1 == 1 => bits,
        (bits, lost) if (lost > 0.0) == (rounded > 0.0) => bits + 1,
        (bits, _) => bits - 1,
    };
    let exact = f64::from_bits(odd);
    let single = exact as f32;
    let bits = single.to_bits();
    to_f16(f32::from_bits(match f64::from(single).abs().total_cmp(&exact.abs()) {
        core::cmp::Ordering::Less if bits & 1 == 0 => bits + 1,
        core::cmp::Ordering::Greater if bits & 1 == 0 => bits - 1,
        _ => bits,
    }))
}

/// `x₀·w₀ + (x₁·w₁ + sum)` for bfloat16 numbers, each product and its sum rounded once, subnormal numbers being zeros of their sign:
/// what VDPBF16PS does.
pub(crate) fn pairs(x: [f32; 2], w: [f32; 2], sum: f32) -> f32 {
    let add = |i: usize, sum: f32| flush(flush(x[i]).mul_add(flush(w[i]), flush(sum)));
    add(0, add(1, sum))
}

/// Zero of the same sign for a subnormal number; any other stays.
fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 1 << 31) } else { x }
}

/// `bits / 2ⁿ`, ties to even.
fn nearest(bits: u32, n: u32) -> u32 {
    (bits + (1 << (n - 1)) - 1 + (bits >> n & 1)) >> n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_16_bits_survives() {
        for bits in 0..=u16::MAX {
            let (half, brain) = (from_f16(bits), from_bf16(bits));
            assert!(to_f16(half) == bits || half.is_nan() && from_f16(to_f16(half)).is_nan(), "{bits:#x}");
            let kept = if bits & 0x7f80 == 0 { bits & 0x8000 } else { bits };
            assert!(
                to_bf16(brain) == kept || brain.is_nan() && from_bf16(to_bf16(brain)).is_nan(),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn halves_are_what_the_standard_says() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x3555, 0.333_251_95),
        ];
        for (bits, x) in cases {
            assert_eq!(from_f16(bits), x);
        }
        assert_eq!(from_f16(0x7c00), f32::INFINITY);
        assert!(from_f16(0x7c01).is_nan());
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        for bits in 0..0x7bffu16 {
            let (low, high) = (from_f16(bits), from_f16(bits + 1));
            let middle = f32::midpoint(low, high);
            assert_eq!(to_f16(middle), bits + (bits & 1), "{bits:#x}");
            assert_eq!(to_f16(f32::from_bits(middle.to_bits() - 1)), bits, "{bits:#x}");
            assert_eq!(to_f16(-f32::from_bits(middle.to_bits() + 1)), 0x8000 | (bits + 1), "{bits:#x}");
        }
        assert_eq!((to_f16(65519.99), to_f16(65520.0), to_f16(1e9)), (0x7bff, 0x7c00, 0x7c00));
        for bits in (0x80..0x7f7fu16).step_by(7) {
            let middle = f32::from_bits((u32::from(bits) << 16) + 0x8000);
            assert_eq!(to_bf16(middle), bits + (bits & 1));
            assert_eq!(to_bf16(f32::from_bits(middle.to_bits() + 1)), bits + 1);
        }
    }
    /// A number that a half rounds to, as the nearest of all, by comparing distances as integers of 2⁻⁴⁸.
    fn nearest_half(exact: i128) -> u16 {
        let units = |bits: u16| (f64::from(from_f16(bits)) * 2f64.powi(48)) as i128;
        let size = exact.abs();
        let low = (0..0x7c00u16).collect::<std::vec::Vec<_>>().partition_point(|bits| units(*bits) <= size)
            as u16
            - 1;
        let high = if low == 0x7bff { 65536 << 48 } else { units(low + 1) };
        let up = match (size - units(low)).cmp(&(high - size)) {
            core::cmp::Ordering::Equal => low & 1 == 1,
            order => order.is_gt(),
        };
        (low + u16::from(up)) | if exact < 0 { 0x8000 } else { 0 }
    }

    #[test]
    fn a_fused_multiply_add_of_halves_rounds_once() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16
        };
        let finite = |half: u16| if half & 0x7c00 == 0x7c00 { half ^ 0x4000 } else { half };
        for i in 0..1000 {
            let [a, b, c] = [random(), random(), random()].map(finite);
            // Every other sum nearly cancels its product, or lies next to a tie.
            let c = if i % 2 == 0 { c } else { to_f16(-from_f16(a) * from_f16(b)) ^ (c & 1) };
            let units = |half: u16| (f64::from(from_f16(half)) * 2f64.powi(24)) as i128;
            if c & 0x7c00 == 0x7c00 {
                continue;
            }
            let exact = units(a) * units(b) + (units(c) << 24);
            let got = fma_f16(a, b, c);
            let expected = nearest_half(exact);
            assert!(
                got == expected || exact == 0 && got & 0x7fff == 0,
                "{a:#x}·{b:#x} + {c:#x}: {expected:#x} {got:#x}"
            );
        }
    }

    #[test]
    fn a_fused_multiply_add_of_halves_overflows_and_keeps_nan() {
        assert_eq!(fma_f16(to_f16(300.0), to_f16(300.0), 0), 0x7c00);
        assert_eq!(fma_f16(0x7c00, to_f16(-1.0), to_f16(5.0)), 0xfc00);
        assert!(from_f16(fma_f16(0x7c00, 0, 0)).is_nan());
        assert_eq!(fma_f16(0x8000, 0x3c00, 0x8000), 0x8000);
        assert_eq!(fma_f16(0x0001, 0x0001, 0x3c00), 0x3c00);
    }

    #[test]
    fn pairs_flush_and_add_the_second_product_first() {
        let tiny = f32::from_bits(1 << 22);
        assert_eq!(pairs([tiny, 0.0], [1.0, 0.0], 0.0), 0.0);
        assert_eq!(pairs([1e-20, 0.0], [1e-20, 0.0], 0.0), 0.0);
        assert_eq!(pairs([1.0, 1e30], [1.0, 1e30], -f32::INFINITY), -f32::INFINITY);
        // 1 is lost in the large product if that comes first.
        assert_eq!(pairs([-1e9, 1e9], [1.0, 1.0], 1.0), 0.0);
        assert_eq!(pairs([1.0, 1e9], [1.0, -1.0], 1e9), 1.0);
    }
}
