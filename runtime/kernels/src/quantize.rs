//! Int8: how rows, weights and hidden states become integers of at most ±127, and where quantised rows lie.
//! The numeric definition that every instruction set keeps. May import: `far_format::layout`.
//!
//! A number is `scale · q`. A row or a column whose largest magnitude is infinite or a NaN has a NaN as its scale, so that its results are
//! NaN whatever its integers are.

pub(crate) use far_format::layout::MAX_INT8_DEPTH as MAX_DEPTH;

/// The largest integer.
pub(crate) const LIMIT: f32 = 127.0;

/// What a recurrence multiplies the scales of its weights by: hidden states lie in [−1, 1], so theirs is constant.
pub(crate) const HIDDEN_SCALE: f32 = 1.0 / LIMIT;

/// A magnitude's bits; they are in the order of magnitudes, a NaN beyond all numbers.
pub(crate) fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// Of a row or a column, from the bits of its largest magnitude: `max / 127`.
#[inline(always)]
pub(crate) fn scale(largest: u32) -> f32 {
    let max = f32::from_bits(largest);
    if max.is_finite() { max / LIMIT } else { f32::NAN }
}

/// What a row's elements are multiplied by before they are rounded: `127 / max`, or 0 where that overflows. So no product
/// exceeds 127 by as much as rounds to 128.
#[inline(always)]
pub(crate) fn inverse(largest: u32) -> f32 {
    let inverse = LIMIT / f32::from_bits(largest);
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The nearest integer, ties to even, within ±127; 0 for a NaN.
pub(crate) fn round(x: f32) -> i8 {
    // The conversion saturates, and makes 0 of a NaN.
    (x.round_ties_even() as i8).max(-127)
}

/// Bytes from one quantised row to the next: an odd number of cache lines, so that the rows of a tile fall into different sets
/// of a cache, and may be read 16 bytes at a time. What is past `k` is up to the kernel.
pub(crate) fn row_bytes(k: usize) -> usize {
    (k.div_ceil(64) | 1) * 64
}

/// Words of the scratch for `m` rows of `k`: their scales, then from the next multiple of 16 on the rows. More than there can be
/// where `k` is beyond [`MAX_DEPTH`].
pub(crate) fn scratch_len(m: usize, k: usize) -> usize {
    if k > MAX_DEPTH {
        return usize::MAX;
    }
    m.div_ceil(16).saturating_mul(16).saturating_add(m.saturating_mul(row_bytes(k) / 4))
}

/// The word of the scratch at which the rows begin.
pub(crate) fn rows_at(m: usize) -> usize {
    m.div_ceil(16) * 16
}

/// Bytes of the quantised hidden states of one step.
pub(crate) fn state_bytes(hidden: usize) -> usize {
    hidden.div_ceil(64) * 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_exceeds_the_limit() {
        for bits in (0..f32::INFINITY.to_bits()).step_by(10_007) {
            let max = f32::from_bits(bits);
            let product = (max * inverse(bits)).round_ties_even();
            assert!(product <= LIMIT, "{max:e}: {product}");
            assert!(product == LIMIT || LIMIT / max == f32::INFINITY, "{max:e}: {product}");
        }
    }

    #[test]
    fn what_is_not_finite_has_no_scale() {
        for x in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(scale(magnitude(x)).is_nan());
        }
        assert_eq!((scale(0), inverse(0)), (0.0, 0.0));
        assert_eq!(scale(magnitude(-127.0)), 1.0);
    }

    #[test]
    fn rounding_saturates() {
        let cases = [(0.5, 0), (1.5, 2), (-2.5, -2), (1e9, 127), (-1e9, -127), (-128.0, -127), (f32::NAN, 0)];
        for (x, q) in cases {
            assert_eq!(round(x), q, "{x}");
        }
    }
}
