//! Products and recurrences whose weights are stored in half precision: a call widens them into its scratch, and the f32 kernel
//! of the same instruction set does the rest, so that the bits are its bits. May import: the argument types, `far_format::layout`.
//!
//! Why not in the loops that multiply: there a weight would be widened again for each tile of rows, or each step. A core converts at a
//! quarter to half of the rate at which it multiplies, which a tile of few rows can't hide, and a recurrence not at all.

use far_format::layout::{PANEL, Precision, blocks, gemm_weight_len, lstm_weight_len, panels_len};

use crate::gemm::GemmCall;
use crate::lstm::{LstmCall, lstm_state_len};
use crate::pack::HOST;

/// Widens so many half-precision numbers, a multiple of 16.
///
/// # Safety
/// The CPU has the instructions; as many halves are readable and as many elements writable, and they don't overlap.
pub(crate) type Widen = unsafe fn(*const u16, usize, *mut f32);

/// Most columns that are widened at a time.
const COLS: usize = 2 * PANEL;

/// Words of the scratch of a product of depth `k`.
pub(crate) fn scratch_len(k: usize) -> usize {
    panels_len(k, COLS)
}

/// Words of the state of a recurrence behind what the f32 kernel takes: the weights.
pub(crate) fn weights_len(hidden: usize) -> usize {
    lstm_weight_len(Precision::F32, HOST, hidden)
}

/// `product`, a f32 kernel, over `cols` columns at a time, its tile's.
///
/// # Safety
/// The promises of [`GemmCall`], weights in half precision, and [`scratch_len`] words of scratch; the CPU has the instructions of `widen`
/// and `product`.
pub(crate) unsafe fn gemm(call: &GemmCall, cols: usize, widen: Widen, product: unsafe fn(&GemmCall)) {
    assert!(cols <= COLS && cols.is_multiple_of(PANEL));
    let panel = gemm_weight_len(Precision::F16, HOST, call.k, PANEL);
    for col in (0..call.n).step_by(cols) {
        let n = cols.min(call.n - col);
        // SAFETY: the panels of the columns from `col` on exist, and fit into the scratch once they are f32; what follows from column
        // `col` on has `n` columns.
        unsafe {
            for i in 0..n.div_ceil(PANEL) {
                let from = call.weights.add((col / PANEL + i) * panel);
                let to = call.scratch.add(i * panels_len(call.k, PANEL));
                to.copy_from_nonoverlapping(from, PANEL);
                widen(from.add(PANEL).cast(), call.k * PANEL, to.add(PANEL));
            }
            let residual = if call.residual.is_null() { call.residual } else { call.residual.add(col) };
            product(&GemmCall { n, weights: call.scratch, residual, out: call.out.add(col), ..*call });
        }
    }
}

/// `recurrence`, a f32 kernel.
///
/// # Safety
/// The promises of [`LstmCall`], weights in half precision, and [`weights_len`] words of state behind those of
/// the f32 kernel; the CPU has the instructions of `widen` and
/// `recurrence`.
pub(crate) unsafe fn lstm(call: &LstmCall, widen: Widen, recurrence: unsafe fn(&LstmCall)) {
    let hidden = call.hidden;
    // SAFETY: block by block within the weights and, as f32, within the state behind what the recurrence takes of it.
    unsafe {
        let weights = call.state.add(lstm_state_len(Precision::F32, hidden));
        let (mut from, mut to) = (call.weights, weights);
        for width in blocks(hidden) {
            let len = hidden * 4 * width;
            widen(from.cast(), len, to);
            from = from.add(hidden.div_ceil(2) * 4 * width);
            to = to.add(len);
        }
        recurrence(&LstmCall { weights, ..*call });
    }
}

/// Defines `f16`: the kernels for weights in half precision, made of f32 kernels, a tile of `$cols` columns, and `$widen`.
macro_rules! widened {
    ($gemm:path, $lstm:path, tile of $cols:expr, by $widen:path) => {
        pub(crate) mod f16 {
            use $crate::gemm::GemmCall;
            use $crate::lstm::LstmCall;
            use $crate::widen;

            /// # Safety
            /// The CPU has the instructions, and the promises of [`GemmCall`].
            pub(crate) unsafe fn gemm(call: &GemmCall) {
                // SAFETY: as the caller promises.
                unsafe { widen::gemm(call, $cols, $widen, $gemm) }
            }

            /// # Safety
            /// The CPU has the instructions, and the promises of [`LstmCall`].
            pub(crate) unsafe fn lstm(call: &LstmCall) {
                // SAFETY: as the caller promises.
                unsafe { widen::lstm(call, $widen, $lstm) }
            }
        }
    };
}
pub(crate) use widened;
