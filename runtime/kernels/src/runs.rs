//! How many products of int8 numbers may be summed up in 16 bits, as RISC-V's kernels do: those of a run, before their sum goes into 32
//! bits. May import: `far_format::layout`.
//!
//! By Cauchy and Schwarz a sum of products is no larger than the product of two norms, that of the weights of a lane and that of a
//! part of a row. The packing has the former, a kernel finds the latter when it quantises the row, so runs are as long as the numbers
//! allow, and not as short as the largest numbers would ask for: 2 products of ±127.

use far_format::layout::INT8_BLOCK;

/// The lengths that are told apart by norms. A run of 2 always fits.
const LENGTHS: [usize; 3] = [16, 8, 4];

/// The largest sum.
const MOST: u64 = i16::MAX as u64;

/// For each length how large the norm of a row may be over any run of it in a block of depths, in units of 2, rounded down.
pub(crate) fn limits(lanes: usize, weight: impl Fn(usize, usize) -> i8) -> [u8; 4] {
    let mut limits = [0; 4];
    for (limit, length) in limits.iter_mut().zip(LENGTHS) {
        let norm = |lane: usize, first: usize| {
            (first..first + length).map(|k| u64::from(weight(k, lane).unsigned_abs()).pow(2)).sum::<u64>()
        };
        let runs =
            (0..lanes).flat_map(|lane| (0..INT8_BLOCK).step_by(length).map(move |first| (lane, first)));
        let largest = runs.map(|(lane, first)| norm(lane, first)).max().unwrap_or(0);
        // (2 · limit)² · largest ≤ MOST²
        let fits = |limit: &u8| (2 * u64::from(*limit)).pow(2) * largest <= MOST * MOST;
        *limit = (0..=u8::MAX).rev().find(fits).expect("a norm of zero fits");
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_weights_bear_any_row() {
        // Sixteen products of 127 and 16 fit, of 127 and 17 don't.
        assert_eq!(limits(2, |_, _| 0), [255, 255, 255, 0]);
        assert!(2 * u32::from(limits(1, |_, _| 16)[0]) >= 4 * 127);
        assert!(2 * u32::from(limits(1, |_, _| 17)[0]) < 4 * 127);
    }

    #[test]
    fn the_largest_weights_decide() {
        let alone = limits(3, |k, lane| if (k, lane) == (13, 2) { -127 } else { 0 });
        assert_eq!(alone, [129, 129, 129, 0]);
        // Rows of ±127 have norms of 508, 360 and 254.
        assert_eq!(limits(16, |_, _| -127), [32, 45, 64, 0]);
    }

    #[test]
    fn what_fits_does_not_overflow() {
        // Proportional numbers are the worst case.
        for w in 1..=127i32 {
            for (limit, length) in limits(1, |_, _| w as i8).into_iter().zip(LENGTHS) {
                let largest = (1..=127).rev().find(|x| x * x * length as i32 <= 4 * i32::from(limit).pow(2));
                let sum = largest.unwrap_or(0) * w * length as i32;
                assert!(sum <= i32::from(i16::MAX), "{w}: {length} products sum up to {sum}");
            }
        }
    }
}
