//! Matrix product, a register tile of 2 rows × 8 columns. May import: `gemm`, `scalar::math`.

use far_format::layout::PANEL;

use super::math::activate;
use crate::gemm::GemmCall;

/// Columns of the register tile.
const COLS: usize = 8;

/// # Safety
/// The promises of [`GemmCall`].
pub(super) unsafe fn gemm(call: &GemmCall) {
    for col in (0..call.n).step_by(COLS) {
        let mut row = 0;
        while row < call.m {
            let rows = (call.m - row).min(2);
            // SAFETY: `rows` rows from `row` on and the columns from `col` on lie in the operands.
            unsafe {
                match rows {
                    2 => tile::<2>(call, row, col),
                    _ => tile::<1>(call, row, col),
                }
            }
            row += rows;
        }
    }
}

/// # Safety
/// The promises of [`GemmCall`], and `row + ROWS <= m`, `col < n`, `col` a multiple of `COLS`.
unsafe fn tile<const ROWS: usize>(call: &GemmCall, row: usize, col: usize) {
    // SAFETY: panel `col / PANEL` exists because `col < n`; it holds `k + 1` rows of `PANEL`, and
    // `col % PANEL + COLS <= PANEL`. Rows of `a`, `residual` and `out` are below `m`, columns below `n`.
    unsafe {
        let panel = call.weights.add(col / PANEL * (call.k + 1) * PANEL + col % PANEL);
        let a = call.a.add(row * call.a_stride);
        let bias = &*panel.cast::<[f32; COLS]>();
        let mut acc = [*bias; ROWS];
        for k in 0..call.k {
            let w = &*panel.add((k + 1) * PANEL).cast::<[f32; COLS]>();
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = *a.add(r * call.a_stride + k);
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = a.mul_add(*w, *acc);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (c, acc) in acc.iter().enumerate().take(call.n - col) {
                finish(call, row + r, col + c, *acc);
            }
        }
    }
}

/// Activation, residual and store of one element.
///
/// # Safety
/// The promises of [`GemmCall`], and `row < m`, `col < n`.
pub(super) unsafe fn finish(call: &GemmCall, row: usize, col: usize, sum: f32) {
    let mut y = activate(call.act, sum);
    // SAFETY: as the caller promises.
    unsafe {
        if !call.residual.is_null() {
            y += *call.residual.add(row * call.residual_stride + col);
        }
        *call.out.add(row * call.out_stride + col) = y;
    }
}
