//! Matrix product in register tiles. May import: `simd`, `gemm`, `far_format::layout`.

use far_format::layout::{Activation, PANEL};

use super::Simd;
use super::math::activate;
use crate::gemm::GemmCall;

/// Where a tile lies.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// First row.
    row: usize,
    /// First panel.
    panel: usize,
}

/// A register tile of a fixed number of rows and panels.
///
/// # Safety
/// The promises of [`GemmCall`]; the CPU has the instructions; the tile's rows are below `m`, the first column of
/// each of its panels below `n`.
pub(crate) type Tile = unsafe fn(&GemmCall, Place);

/// Activation and residual of a tile's accumulators, row by row in memory.
///
/// # Safety
/// As [`Tile`], and as many accumulators as the tile has.
pub(crate) type Finish = unsafe fn(&GemmCall, Place, rows: usize, panels: usize, acc: *const f32);

/// All tiles of an instruction set: `tiles[panels - 1][rows - 1]`.
pub(crate) type Tiles<const ROWS: usize, const PANELS: usize> = [[Tile; ROWS]; PANELS];

/// Cuts the product into tiles: as few as possible, and with rows shared out evenly, since a tile of few rows leaves
/// the multipliers idle.
///
/// # Safety
/// The promises of [`GemmCall`]; the CPU has the instructions of `tiles`.
pub(crate) unsafe fn gemm<const ROWS: usize, const PANELS: usize>(
    call: &GemmCall,
    tiles: &Tiles<ROWS, PANELS>,
) {
    let panels = call.n.div_ceil(PANEL);
    let count = call.m.div_ceil(ROWS);
    let panel_len = (call.k + 1) * PANEL;
    for panel in (0..panels).step_by(PANELS) {
        let tiles = &tiles[PANELS.min(panels - panel) - 1];
        // While these panels are multiplied, the next ones come into the second-level cache, a share with every tile.
        let next = call.weights.wrapping_add((panel + PANELS) * panel_len);
        let next_len = PANELS.min(panels.saturating_sub(panel + PANELS)) * panel_len;
        let mut row = 0;
        for i in 0..count {
            let end = (i + 1) * call.m / count;
            prefetch(next, i * next_len / count..(i + 1) * next_len / count);
            // SAFETY: `end <= m`, and all the panels of this tile exist.
            unsafe { tiles[end - row - 1](call, Place { row, panel }) };
            row = end;
        }
    }
}

/// Asks for the elements `range` from `base` on to come into the second-level cache; no more than a hint.
#[inline(always)]
fn prefetch(base: *const f32, range: core::ops::Range<usize>) {
    const LINE: usize = 64 / size_of::<f32>();
    for i in range.step_by(LINE) {
        let line = base.wrapping_add(i);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: part of the base architecture, and never faults.
        unsafe {
            use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(line.cast());
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: part of the base architecture, and never faults.
        unsafe {
            core::arch::asm!("prfm pldl2keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly));
        }
    }
}

/// One tile.
///
/// # Safety
/// As [`Tile`].
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const ROWS: usize, const PANELS: usize>(
    s: S,
    call: &GemmCall,
    place: Place,
    finish: Finish,
) {
    const { assert!(S::LANES == PANEL) };
    let panel_len = (call.k + 1) * PANEL;
    // SAFETY: as the caller promises; `k` stays below `call.k`.
    unsafe {
        let weights = call.weights.add(place.panel * panel_len);
        let a = call.a.add(place.row * call.a_stride);
        let mut acc = [[s.splat(0.0); PANELS]; ROWS];
        for p in 0..PANELS {
            let bias = s.load(weights.add(p * panel_len));
            for r in 0..ROWS {
                acc[r][p] = bias;
            }
        }
        let weights = weights.add(PANEL);
        let mut k = 0;
        while S::DEPTH > 1 && k + S::DEPTH <= call.k {
            let mut rows = [s.row(a.add(k)); ROWS];
            for r in 1..ROWS {
                rows[r] = s.row(a.add(r * call.a_stride + k));
            }
            for i in 0..S::DEPTH {
                for p in 0..PANELS {
                    let w = s.load(weights.add(p * panel_len + (k + i) * PANEL));
                    for r in 0..ROWS {
                        acc[r][p] = s.fma_element(rows[r], i, w, acc[r][p]);
                    }
                }
            }
            k += S::DEPTH;
        }
        while k < call.k {
            let mut w = [s.load(weights.add(k * PANEL)); PANELS];
            for p in 1..PANELS {
                w[p] = s.load(weights.add(p * panel_len + k * PANEL));
            }
            for r in 0..ROWS {
                let x = s.splat(*a.add(r * call.a_stride + k));
                for p in 0..PANELS {
                    acc[r][p] = s.fma(x, w[p], acc[r][p]);
                }
            }
            k += 1;
        }
        if call.act != Activation::None {
            // A copy: accumulators whose address is known to others would not live in registers.
            let mut spilled = [[s.splat(0.0); PANELS]; ROWS];
            for r in 0..ROWS {
                for p in 0..PANELS {
                    spilled[r][p] = acc[r][p];
                }
            }
            return finish(call, place, ROWS, PANELS, spilled.as_ptr().cast());
        }
        for r in 0..ROWS {
            for p in 0..PANELS {
                store(s, call, place.row + r, place.panel + p, acc[r][p]);
            }
        }
    }
}

/// The work of a [`Finish`].
///
/// # Safety
/// As [`Finish`].
#[inline(always)]
pub(crate) unsafe fn finish<S: Simd>(
    s: S,
    call: &GemmCall,
    place: Place,
    rows: usize,
    panels: usize,
    acc: *const f32,
) {
    // One loop a function, so that its constants stay in registers.
    // SAFETY: as the caller promises.
    unsafe {
        match call.act {
            Activation::None => finish_rows(s, call, place, rows, panels, acc, Activation::None),
            Activation::Gelu => finish_rows(s, call, place, rows, panels, acc, Activation::Gelu),
            Activation::GeluTanh => finish_rows(s, call, place, rows, panels, acc, Activation::GeluTanh),
            Activation::Tanh => finish_rows(s, call, place, rows, panels, acc, Activation::Tanh),
            Activation::Relu => finish_rows(s, call, place, rows, panels, acc, Activation::Relu),
        }
    }
}

/// # Safety
/// As [`Finish`].
#[inline(always)]
unsafe fn finish_rows<S: Simd>(
    s: S,
    call: &GemmCall,
    place: Place,
    rows: usize,
    panels: usize,
    acc: *const f32,
    act: Activation,
) {
    for r in 0..rows {
        for p in 0..panels {
            // SAFETY: `acc` holds `rows × panels` vectors; the rest as the caller promises.
            unsafe {
                let v = s.load(acc.add((r * panels + p) * PANEL));
                store(s, call, place.row + r, place.panel + p, activate(s, act, v));
            }
        }
    }
}

/// Adds the residual, if any, and stores what lies inside the matrix.
///
/// # Safety
/// As [`Tile`], for a row and a panel of it.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, call: &GemmCall, row: usize, panel: usize, v: S::V) {
    let col = panel * PANEL;
    let left = call.n - col;
    // SAFETY: as the caller promises, and no more than the `left` columns are touched.
    unsafe {
        let v = if call.residual.is_null() {
            v
        } else {
            s.add(v, s.load_up_to(call.residual.add(row * call.residual_stride + col), left))
        };
        s.store_up_to(call.out.add(row * call.out_stride + col), v, left);
    }
}
