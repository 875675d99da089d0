//! Matrix product, a register tile of 2 rows × 8 columns. May import: `gemm`, `scalar::{math, weights}`.

use far_format::layout::PANEL;

use super::math::activate;
use super::weights::Weights;
use crate::gemm::GemmCall;

/// Columns of the register tile.
const COLS: usize = 8;

/// # Safety
/// The promises of [`GemmCall`], whose weights are such.
pub(super) unsafe fn gemm<W: Weights>(call: &GemmCall) {
    for col in (0..call.n).step_by(COLS) {
        let mut row = 0;
        while row < call.m {
            let rows = (call.m - row).min(2);
            // SAFETY: `rows` rows from `row` on and the columns from `col` on lie in the operands.
            unsafe {
                match rows {
                    2 => tile::<W, 2>(call, row, col),
                    _ => tile::<W, 1>(call, row, col),
                }
            }
            row += rows;
        }
    }
}

/// # Safety
/// As [`gemm`], and `row + ROWS <= m`, `col < n`, `col` a multiple of `COLS`.
unsafe fn tile<W: Weights, const ROWS: usize>(call: &GemmCall, row: usize, col: usize) {
    // SAFETY: panel `col / PANEL` exists because `col < n`; it holds a bias and `k` rows of `PANEL`, and
    // `col % PANEL + COLS <= PANEL`. Rows of `a`, `residual` and `out` are below `m`, columns below `n`.
    unsafe {
        let panel = call.weights.add(col / PANEL * (PANEL + W::words(call.k, PANEL)));
        let a = call.a.add(row * call.a_stride);
        let bias = &*panel.add(col % PANEL).cast::<[f32; COLS]>();
        let mut acc = [*bias; ROWS];
        for k in 0..call.k {
            let w: [f32; COLS] = W::row(panel.add(PANEL), PANEL, k, col % PANEL);
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = *a.add(r * call.a_stride + k);
                for (acc, w) in acc.iter_mut().zip(&w) {
                    *acc = a.mul_add(*w, *acc);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (c, acc) in acc.iter().enumerate().take(call.n - col) {
                let mut y = activate(call.act, *acc);
                if !call.residual.is_null() {
                    y += *call.residual.add((row + r) * call.residual_stride + col + c);
                }
                *call.out.add((row + r) * call.out_stride + col + c) = y;
            }
        }
    }
}
