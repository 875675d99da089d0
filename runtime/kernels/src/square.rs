//! Squares of f32 turned over, by instructions that every CPU of the architecture has. May import: nothing of ours.

/// Rows and columns of a square.
pub(crate) const SIDE: usize = 4;

/// Rows become columns.
#[inline(always)]
pub(crate) fn transpose(square: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE; four f32 are as large as a register.
    return unsafe {
        use core::arch::x86_64::*;
        let [mut a, mut b, mut c, mut d] = square.map(|row| _mm_loadu_ps(row.as_ptr()));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        core::mem::transmute::<[__m128; SIDE], [[f32; SIDE]; SIDE]>([a, b, c, d])
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: every AArch64 that Rust knows has NEON; four f32 are as large as a register.
    return unsafe {
        use core::arch::aarch64::*;
        let [a, b, c, d] = square.map(|row| vld1q_f32(row.as_ptr()));
        // Of a and c, and of b and d, the lower and the upper halves.
        let (ac, ac_high, bd, bd_high) =
            (vzip1q_f32(a, c), vzip2q_f32(a, c), vzip1q_f32(b, d), vzip2q_f32(b, d));
        let columns = [
            vzip1q_f32(ac, bd),
            vzip2q_f32(ac, bd),
            vzip1q_f32(ac_high, bd_high),
            vzip2q_f32(ac_high, bd_high),
        ];
        core::mem::transmute::<[float32x4_t; SIDE], [[f32; SIDE]; SIDE]>(columns)
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    core::array::from_fn(|column| square.map(|row| row[column]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let square =
            [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0], [12.0, 13.0, 14.0, 15.0]];
        let turned =
            [[0.0, 4.0, 8.0, 12.0], [1.0, 5.0, 9.0, 13.0], [2.0, 6.0, 10.0, 14.0], [3.0, 7.0, 11.0, 15.0]];
        assert_eq!(transpose(square), turned);
    }
}
