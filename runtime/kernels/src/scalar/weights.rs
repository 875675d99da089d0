//! Packed weights that the scalar kernels read as f32, whatever they are stored in. May import: `half`, `far_format::layout`.

use crate::half::{from_bf16, from_f16};

/// Rows of weights, one or two depths a row.
pub(super) trait Weights {
    /// Words of the rows of so many depths and lanes.
    fn words(k: usize, lanes: usize) -> usize;

    /// The weights of depth `k` for the `N` lanes from `lane` on.
    ///
    /// # Safety
    /// At `rows` lie the rows of `lanes` lanes, `k` and the lanes among them.
    unsafe fn row<const N: usize>(rows: *const f32, lanes: usize, k: usize, lane: usize) -> [f32; N];
}

/// f32.
pub(super) struct Single;

/// Half precision.
pub(super) struct Half;

/// bfloat16, a lane's two depths side by side.
pub(super) struct Bfloat;

impl Weights for Single {
    fn words(k: usize, lanes: usize) -> usize {
        k * lanes
    }

    unsafe fn row<const N: usize>(rows: *const f32, lanes: usize, k: usize, lane: usize) -> [f32; N] {
        // SAFETY: as the caller promises.
        unsafe { *rows.add(k * lanes + lane).cast() }
    }
}

impl Weights for Half {
    fn words(k: usize, lanes: usize) -> usize {
        k.div_ceil(2) * lanes
    }

    unsafe fn row<const N: usize>(rows: *const f32, lanes: usize, k: usize, lane: usize) -> [f32; N] {
        // SAFETY: as the caller promises.
        let row: [u16; N] = unsafe { *rows.cast::<u16>().add(k * lanes + lane).cast() };
        row.map(from_f16)
    }
}

impl Weights for Bfloat {
    fn words(k: usize, lanes: usize) -> usize {
        k.div_ceil(2) * lanes
    }

    unsafe fn row<const N: usize>(rows: *const f32, lanes: usize, k: usize, lane: usize) -> [f32; N] {
        // SAFETY: as the caller promises.
        let pairs: [[u16; 2]; N] = unsafe { *rows.cast::<[u16; 2]>().add(k / 2 * lanes + lane).cast() };
        pairs.map(|pair| from_bf16(pair[k % 2]))
    }
}
