//! The scalar kernels: the definition of every number, and what runs where there are no vectors.
//! May import: the argument types and `math`.
//!
//! The order of the operations here is a promise that all other kernels keep. Loops are shaped so that sixteen
//! accumulators stay in registers on a machine with 32 of them.

mod elementwise;
mod gemm;
mod layer_norm;
mod lstm;
pub(crate) mod math;
mod softmax;

pub(crate) use elementwise::{add, map};
pub(crate) use gemm::gemm;
pub(crate) use layer_norm::layer_norm;
pub(crate) use lstm::lstm;
pub(crate) use softmax::softmax;

/// Lanes over which a reduction runs.
pub(crate) const LANES: usize = 16;

/// Combines lane l with lane l + half, for half = 8, 4, 2, 1.
#[inline(always)]
pub(crate) fn tree(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = combine(lanes[l], lanes[l + half]);
        }
        half /= 2;
    }
    lanes[0]
}
