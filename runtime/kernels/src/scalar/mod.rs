//! The scalar kernels: the definition of every number, and what runs where there are no vectors.
//! May import: the argument types, `math`, `half`, `quantize`.
//!
//! The order of the operations here is a promise that all other kernels keep. Loops are shaped so that sixteen
//! accumulators stay in registers on a machine with 32 of them.

mod elementwise;
mod gemm;
pub(crate) mod halves;
pub(crate) mod int8;
mod layer_norm;
mod lstm;
pub(crate) mod math;
mod softmax;

use crate::gemm::GemmCall;
use crate::lstm::LstmCall;

pub(crate) use elementwise::{add, map};
pub(crate) use layer_norm::layer_norm;
pub(crate) use softmax::softmax;

/// f32.
pub(crate) mod single {
    use super::{GemmCall, LstmCall, lstm::Fused};

    /// # Safety
    /// The promises of [`GemmCall`].
    pub(crate) unsafe fn gemm(call: &GemmCall) {
        // SAFETY: as the caller promises.
        unsafe { super::gemm::gemm(call) }
    }

    /// # Safety
    /// The promises of [`LstmCall`].
    pub(crate) unsafe fn lstm(call: &LstmCall) {
        // SAFETY: as the caller promises.
        unsafe { super::lstm::lstm::<Fused>(call) }
    }
}

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
