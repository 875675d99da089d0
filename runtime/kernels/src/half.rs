//! Numbers of 16 bits: half precision and bfloat16, to and from f32. Rounding is to the nearest, ties to even; a NaN stays one.
//! May import: nothing of ours.

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

/// The nearest bfloat16.
pub(crate) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { nearest(bits, 16) as u16 }
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
            assert!(
                to_bf16(brain) == bits || brain.is_nan() && from_bf16(to_bf16(brain)).is_nan(),
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
        for bits in (0..0x7f7fu16).step_by(7) {
            let middle = f32::from_bits((u32::from(bits) << 16) + 0x8000);
            assert_eq!(to_bf16(middle), bits + (bits & 1));
            assert_eq!(to_bf16(f32::from_bits(middle.to_bits() + 1)), bits + 1);
        }
    }
}
