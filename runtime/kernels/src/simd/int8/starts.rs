//! Where sums begin whose elements are unsigned. May import: `simd`, `far_format::layout`.

use core::mem::MaybeUninit;

use far_format::layout::{INT8_DEPTH, PANEL};

use super::super::Simd;
use super::Dot;

/// Sums that are taken at once, so that none waits for the one before.
const TOGETHER: usize = 4;

/// For each lane of a vector −128 times the sum of its weights: elements of `q + 128` add that much too much. The groups of
/// four depths are `next` bytes from one to the next.
///
/// # Safety
/// The weights of all groups are readable; a word for each lane is writable at `to`.
#[inline(always)]
pub(super) unsafe fn starts<D: Dot>(d: D, weights: *const i8, next: usize, groups: usize, to: *mut f32) {
    // Such sums are vectors of i32, and elements one group.
    const { assert!(!D::UNSIGNED || size_of::<D::Sum>() == 4 * D::S::LANES && D::GROUPS == 1) };
    const { assert!(D::S::LANES <= PANEL) };
    let (zeros, too_much) = ([0.0f32; PANEL], [128u8; INT8_DEPTH]);
    // SAFETY: the zeros are a vector, the elements a group; the caller promises the weights and the words.
    unsafe {
        let x = d.elements(too_much.as_ptr());
        let mut sums = [d.start(zeros.as_ptr()); TOGETHER];
        let mut g = 0;
        while g + TOGETHER <= groups {
            for i in 0..TOGETHER {
                sums[i] = d.dot::<0>(sums[i], d.weights(weights.add((g + i) * next), next, true), x);
            }
            g += TOGETHER;
        }
        while g < groups {
            sums[0] = d.dot::<0>(sums[0], d.weights(weights.add(g * next), next, true), x);
            g += 1;
        }
        let mut words = [[MaybeUninit::<i32>::uninit(); PANEL]; TOGETHER];
        for i in 0..TOGETHER {
            words[i].as_mut_ptr().cast::<D::Sum>().write_unaligned(sums[i]);
        }
        for lane in 0..D::S::LANES {
            let sum = (0..TOGETHER).fold(0i32, |sum, i| sum.wrapping_sub(words[i][lane].assume_init()));
            to.cast::<i32>().add(lane).write(sum);
        }
    }
}
