//! Int8 products by SMMLA, which adds to a square of four sums the products of two rows and two columns of eight depths. The recurrence
//! has one row, and stays with dot products. May import: `simd`, `quantize`, `neon::int8`.
//!
//! Weights lie as dot products take them, four depths of a column side by side: a call puts eight side by side in its scratch, once for
//! the columns of a tile. Stable Rust has no intrinsic for the product, so it is written as assembly.

use core::arch::aarch64::*;
use core::arch::asm;

use far_format::layout::{INT8_DEPTH, INT8_HEADER, PANEL};

use super::int8::dotprod;
use crate::gemm::GemmCall;
use crate::quantize::{self, row_bytes, rows_at};
use crate::simd::ahead::Ahead;
use crate::simd::gemm::{Place, Tiles, offset, sweep};
use crate::simd::int8::panel_len;
use crate::table::variant;

/// Depths of an instruction.
const DEPTH: usize = 8;
/// Columns of a register of f32.
const LANES: usize = 4;
/// Bytes of the weights of a panel's columns at so many depths.
const PANEL_BYTES: usize = DEPTH * PANEL;

/// Words of the scratch: the quantised rows, and a panel's weights, eight depths side by side.
pub(crate) fn scratch_len(m: usize, k: usize) -> usize {
    quantize::scratch_len(m, k).saturating_add(k.div_ceil(DEPTH).saturating_mul(PANEL_BYTES / 4))
}

pub(crate) use dotprod::lstm;

const TILE: &crate::Variant = variant::I8_I8MM;
static TILES: Tiles<*const i8, { TILE.gemm_tile_rows }, { TILE.gemm_tile_cols / LANES }> = [
    [tile::<1, 1>, tile::<2, 1>, tile::<3, 1>, tile::<4, 1>, tile::<5, 1>, tile::<6, 1>],
    [tile::<1, 2>, tile::<2, 2>, tile::<3, 2>, tile::<4, 2>, tile::<5, 2>, tile::<6, 2>],
    [tile::<1, 3>, tile::<2, 3>, tile::<3, 3>, tile::<4, 3>, tile::<5, 3>, tile::<6, 3>],
    [tile::<1, 4>, tile::<2, 4>, tile::<3, 4>, tile::<4, 4>, tile::<5, 4>, tile::<6, 4>],
];

/// # Safety
/// The CPU has NEON, dot products and I8MM, and the promises of [`GemmCall`].
pub(crate) unsafe fn gemm(call: &GemmCall) {
    // SAFETY: as the caller promises; the tiles read the rows that are quantised first, and the panel that was laid out last.
    unsafe {
        dotprod::rows(call);
        let panel = call.scratch.add(quantize::scratch_len(call.m, call.k)).cast::<i8>();
        let begin = |col| {
            lay_out(call, col, panel);
            panel.cast_const()
        };
        sweep(call, panel_len(call.k), LANES, &TILES, begin);
    }
}

/// Puts eight depths of each column of the panel at column `col` side by side; those that are not there are zeros.
///
/// # Safety
/// As [`gemm`], and `to` has room for the panel.
#[target_feature(enable = "neon")]
unsafe fn lay_out(call: &GemmCall, col: usize, to: *mut i8) {
    const GROUP: usize = INT8_DEPTH * PANEL;
    let groups = call.k.div_ceil(INT8_DEPTH);
    // SAFETY: a panel begins with its header, and has so many groups; `to` has room for twice as many, halved and rounded up.
    unsafe {
        let from = call.weights.add(offset(col, panel_len(call.k)) + INT8_HEADER).cast::<i8>();
        for pair in 0..groups.div_ceil(2) {
            let from = from.add(2 * pair * GROUP);
            let to = to.add(pair * PANEL_BYTES);
            for at in (0..GROUP).step_by(4 * LANES) {
                let first = vreinterpretq_s32_s8(vld1q_s8(from.add(at)));
                let second = if 2 * pair + 1 < groups {
                    vreinterpretq_s32_s8(vld1q_s8(from.add(GROUP + at)))
                } else {
                    vdupq_n_s32(0)
                };
                vst1q_s8(to.add(2 * at), vreinterpretq_s8_s32(vzip1q_s32(first, second)));
                vst1q_s8(to.add(2 * at + 4 * LANES), vreinterpretq_s8_s32(vzip2q_s32(first, second)));
            }
        }
    }
}

/// One tile of `ROWS` rows, which go in pairs, and `VECTORS` registers of columns, which are two pairs each.
///
/// # Safety
/// As [`Tile`](crate::simd::gemm::Tile), the rows are quantised, and at `weights` is what [`lay_out`] gave for the tile's panel.
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn tile<const ROWS: usize, const VECTORS: usize>(
    call: &GemmCall,
    place: Place,
    ahead: &mut Ahead,
    weights: *const i8,
) {
    // SAFETY: as the caller promises; rows in the scratch may be read past `k` up to a multiple of 64, and what is there meets
    // weights that are zeros.
    unsafe {
        let stride = row_bytes(call.k);
        let x = call.scratch.add(rows_at(call.m)).cast::<i8>().add(place.row * stride);
        let zero = vdupq_n_s32(0);
        // Of a pair of rows and a register of columns: the squares of its two pairs of columns. The last row may have no other.
        let mut acc = [[[zero; 2]; VECTORS]; PAIRS];
        let (mut at, mut depth) = (0, 0);
        let steps = ahead.steps::<ROWS>(call.k.div_ceil(DEPTH));
        while depth < call.k {
            ahead.ask::<ROWS>();
            let stop = call.k.min(depth + steps * DEPTH);
            while depth < stop {
                let mut rows = [vdupq_n_s8(0); PAIRS];
                for pair in 0..ROWS.div_ceil(2) {
                    let (first, second) = (2 * pair, (2 * pair + 1).min(ROWS - 1));
                    let row = |r: usize| vld1_s8(x.add(r * stride + depth));
                    rows[pair] = vcombine_s8(row(first), row(second));
                }
                for v in 0..VECTORS {
                    for half in 0..2 {
                        let w = vld1q_s8(weights.add(at + (2 * v + half) * 2 * DEPTH));
                        for pair in 0..ROWS.div_ceil(2) {
                            acc[pair][v][half] = multiply(acc[pair][v][half], rows[pair], w);
                        }
                    }
                }
                (at, depth) = (at + PANEL_BYTES, depth + DEPTH);
            }
        }
        let mut sums = [[zero; VECTORS]; ROWS];
        for r in 0..ROWS {
            for v in 0..VECTORS {
                let [a, b] = acc[r / 2][v].map(|square| vreinterpretq_s64_s32(square));
                let row = if r % 2 == 0 { vzip1q_s64(a, b) } else { vzip2q_s64(a, b) };
                sums[r][v] = vreinterpretq_s32_s64(row);
            }
        }
        dotprod::store(call, place, sums);
    }
}

/// The most pairs of rows.
const PAIRS: usize = TILE.gemm_tile_rows.div_ceil(2);

/// Adds the products of two rows, `x`, and two columns, `w`.
///
/// # Safety
/// The CPU has I8MM.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn multiply(mut acc: int32x4_t, x: int8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: the feature is enabled; registers only.
    unsafe {
        asm!(
            "smmla {acc:v}.4s, {x:v}.16b, {w:v}.16b",
            acc = inout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}
