//! Int8 matrix product in register tiles. May import: `simd`, `quantize`, `gemm`, `far_format::layout`.

use core::mem::MaybeUninit;
use core::ptr::null;
use core::sync::atomic::{Ordering, compiler_fence};

use far_format::layout::{Activation, INT8_DEPTH, INT8_HEADER, PANEL};

use super::super::Simd;
use super::super::ahead::Ahead;
use super::super::gemm::{Finish, Place, Tiles, offset, sweep};
use super::super::rows::{Rows, unknown_pointer};
use super::{Dot, starts, steps};
use crate::gemm::GemmCall;
use crate::quantize::{row_bytes, rows_at};

/// The most columns of a tile.
const MOST_COLS: usize = 32;

/// Words of a panel.
#[inline(always)]
pub(crate) fn panel_len(k: usize) -> usize {
    INT8_HEADER + k.div_ceil(INT8_DEPTH) * PANEL
}

/// The product of rows that are quantised already.
///
/// # Safety
/// The promises of [`GemmCall`]; the CPU has the instructions of `tiles`, whose vectors have `lanes` lanes.
pub(crate) unsafe fn gemm<const ROWS: usize, const VECTORS: usize>(
    call: &GemmCall,
    lanes: usize,
    tiles: &Tiles<*const f32, ROWS, VECTORS>,
    columns: unsafe fn(&GemmCall, usize, usize, *mut f32),
) {
    let mut starts = [MaybeUninit::<f32>::uninit(); MOST_COLS];
    assert!(VECTORS * lanes <= MOST_COLS);
    let begin = |col| {
        // SAFETY: as the caller promises; there is room for a tile's columns.
        unsafe { columns(call, col, (VECTORS * lanes).min(call.n - col), starts.as_mut_ptr().cast()) };
        starts.as_ptr().cast()
    };
    // SAFETY: as the caller promises.
    unsafe { sweep(call, panel_len(call.k), lanes, tiles, begin) }
}

/// Where the sums of `cols` columns from `col` on begin, up to a whole vector; nothing if elements are not unsigned.
///
/// # Safety
/// The promises of [`GemmCall`]; `col` is the first of a vector; as many words are writable at `to`.
#[inline(always)]
pub(crate) unsafe fn columns<D: Dot>(d: D, call: &GemmCall, col: usize, cols: usize, to: *mut f32) {
    let len = panel_len(call.k);
    let mut at = 0;
    while D::UNSIGNED && at < cols {
        // SAFETY: as the caller promises; the vector's panel begins with its header.
        unsafe {
            let rows = call.weights.add((col + at) / PANEL * len + INT8_HEADER).cast::<i8>();
            let weights = rows.add((col + at) % PANEL * INT8_DEPTH);
            starts(d, weights, INT8_DEPTH * PANEL, call.k.div_ceil(INT8_DEPTH), to.add(at));
        }
        at += D::S::LANES;
    }
}

/// One tile.
///
/// # Safety
/// As [`Tile`](super::super::gemm::Tile), and the rows are quantised; at `starts` is what [`columns`] gave for the tile's.
#[inline(always)]
pub(crate) unsafe fn tile<D: Dot, const ROWS: usize, const VECTORS: usize>(
    d: D,
    call: &GemmCall,
    place: Place,
    ahead: &mut Ahead,
    starts: *const f32,
    finish: Finish,
) {
    const { assert!(PANEL.is_multiple_of(D::S::LANES)) };
    let len = panel_len(call.k);
    // SAFETY: as the caller promises; each vector's panel begins with its header, and groups stay below `groups`; rows in
    // the scratch may be read past `k` up to a multiple of 64.
    unsafe {
        // A tile begins with a panel.
        let first = call.weights.add(offset(place.col, len));
        let stride = row_bytes(call.k);
        let x = call.scratch.add(rows_at(call.m)).cast::<u8>().add(place.row * stride);
        let mut acc = [[d.start(starts); VECTORS]; ROWS];
        for v in 1..VECTORS {
            let start = d.start(starts.add(v * D::S::LANES));
            for r in 0..ROWS {
                acc[r][v] = start;
            }
        }
        let mut w = Weights { first: first.add(INT8_HEADER).cast(), panel: 4 * len };
        let mut left = call.k.div_ceil(INT8_DEPTH);
        let mut x = x.cast_const();
        let steps = (ahead.steps::<ROWS>(left / D::GROUPS) * D::GROUPS).next_multiple_of(2 * D::GROUPS);
        while left >= D::GROUPS {
            ahead.ask::<ROWS>();
            let mut turn = left.min(steps);
            left -= turn;
            // Two rows of registers a turn where one holds several groups, as in f32.
            while D::GROUPS > 1 && turn >= 2 * D::GROUPS {
                whole::<D, ROWS, VECTORS>(d, &elements(d, x, stride), &w, 0, &mut acc);
                compiler_fence(Ordering::SeqCst);
                x = unknown_pointer(x.add(D::GROUPS * INT8_DEPTH));
                whole::<D, ROWS, VECTORS>(d, &elements(d, x, stride), &w, D::GROUPS, &mut acc);
                (x, turn) = (unknown_pointer(x.add(D::GROUPS * INT8_DEPTH)), turn - 2 * D::GROUPS);
                w.first = w.first.add(2 * D::GROUPS * INT8_DEPTH * PANEL);
            }
            let mut places = Rows::new(x, stride);
            while turn >= D::GROUPS {
                let rows = if D::GROUPS == 1 { elements_of(d, places) } else { elements(d, x, stride) };
                whole::<D, ROWS, VECTORS>(d, &rows, &w, 0, &mut acc);
                places.advance(D::GROUPS * INT8_DEPTH);
                (x, turn) = (x.add(D::GROUPS * INT8_DEPTH), turn - D::GROUPS);
                w.first = w.first.add(D::GROUPS * INT8_DEPTH * PANEL);
            }
            left += turn;
        }
        if left > 0 {
            let rows = elements::<D, ROWS>(d, x, stride);
            multiply::<D, ROWS, VECTORS, 0>(d, &rows, &w, 0, left < D::STEP, &mut acc);
            if D::STEP < left {
                multiply::<D, ROWS, VECTORS, 1>(d, &rows, &w, 0, left < 2 * D::STEP, &mut acc);
            }
            if 2 * D::STEP < left {
                multiply::<D, ROWS, VECTORS, 2>(d, &rows, &w, 0, left < 3 * D::STEP, &mut acc);
            }
        }
        store(d, call, place, acc, finish);
    }
}

/// What comes after the sums of a tile: scales, bias, activation, residual.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(crate) unsafe fn store<D: Dot, const ROWS: usize, const VECTORS: usize>(
    d: D,
    call: &GemmCall,
    place: Place,
    acc: [[D::Sum; VECTORS]; ROWS],
    finish: Finish,
) {
    let len = panel_len(call.k);
    let residual_stride = call.residual_stride;
    // SAFETY: as the caller promises; a tile begins with a panel.
    unsafe {
        let header = call.weights.add(offset(place.col, len));
        let scales = call.scratch.add(place.row);
        if call.act != Activation::None || place.col + VECTORS * D::S::LANES > call.n {
            let mut copy = [[MaybeUninit::<<D::S as Simd>::V>::uninit(); VECTORS]; ROWS];
            let (to, to_stride) = (copy.as_mut_ptr().cast::<f32>(), VECTORS * D::S::LANES);
            let target = Target { to, to_stride, residual: null(), residual_stride };
            write::<D, ROWS, VECTORS>(d, acc, header, len, scales, &target);
            finish(call, place, ROWS, VECTORS * D::S::LANES, to);
        } else {
            let to = call.out.add(place.row * call.out_stride + place.col);
            let target = Target { to, to_stride: call.out_stride, residual: null(), residual_stride };
            if call.residual.is_null() {
                write::<D, ROWS, VECTORS>(d, acc, header, len, scales, &target);
            } else {
                let residual = call.residual.add(place.row * residual_stride + place.col);
                write::<D, ROWS, VECTORS>(d, acc, header, len, scales, &Target { residual, ..target });
            }
        }
    }
}

/// Where a tile's rows go, and come from.
struct Target {
    to: *mut f32,
    to_stride: usize,
    /// Null: none.
    residual: *const f32,
    residual_stride: usize,
}

/// What the columns of a tile bring to its sums.
struct Columns<V, const VECTORS: usize> {
    scales: [V; VECTORS],
    /// Those of the first panel, and words to the next.
    biases: *const f32,
    panel: usize,
}

/// Scales the sums of a tile, adds the bias, and the residual, and stores them. `header` is that of the first panel of so many
/// words, `scales` those of the rows. Sums take most registers, and the columns' scales others: biases are read anew for each row,
/// which the fences see to.
///
/// # Safety
/// The weights' headers are there, and the target has the tile's rows and columns.
#[inline(always)]
unsafe fn write<D: Dot, const ROWS: usize, const VECTORS: usize>(
    d: D,
    acc: [[D::Sum; VECTORS]; ROWS],
    header: *const f32,
    panel: usize,
    scales: *const f32,
    target: &Target,
) {
    /// One row, from its sums.
    ///
    /// # Safety
    /// As [`write`], and the row is one of the tile's.
    #[inline(always)]
    unsafe fn row<D: Dot, const VECTORS: usize>(
        d: D,
        sums: [D::Sum; VECTORS],
        columns: &Columns<<D::S as Simd>::V, VECTORS>,
        scale: *const f32,
        target: &Target,
        r: usize,
    ) {
        let s = d.simd();
        let mut y = [s.splat(0.0); VECTORS];
        // SAFETY: as the caller promises.
        unsafe {
            let row_scale = s.splat(*scale);
            for v in 0..VECTORS {
                let bias = s.load(columns.biases.add(offset(v * D::S::LANES, columns.panel)));
                y[v] = s.fma(d.to_float(sums[v]), s.mul(row_scale, columns.scales[v]), bias);
            }
            if !target.residual.is_null() {
                for v in 0..VECTORS {
                    let residual = target.residual.add(r * target.residual_stride + v * D::S::LANES);
                    y[v] = s.add(y[v], s.load(residual));
                }
            }
            for v in 0..VECTORS {
                s.store(target.to.add(r * target.to_stride + v * D::S::LANES), y[v]);
            }
        }
        compiler_fence(Ordering::SeqCst);
    }
    let s = d.simd();
    // SAFETY: as the caller promises; biases follow the scales.
    let biases = unsafe { header.add(PANEL) };
    let mut columns = Columns { scales: [s.splat(0.0); VECTORS], biases, panel };
    for v in 0..VECTORS {
        // SAFETY: as the caller promises.
        columns.scales[v] = unsafe { s.load(header.add(offset(v * D::S::LANES, panel))) };
    }
    // Written out: a loop that is not unrolled would take the sums through memory.
    macro_rules! rows {
        ($($r:literal)*) => {$(
            if ROWS > $r {
                // SAFETY: as the caller promises.
                unsafe { row::<D, VECTORS>(d, acc[$r % ROWS], &columns, scales.add($r), target, $r) };
            }
        )*};
    }
    const { assert!(ROWS <= 14) };
    rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);
}

/// The elements of each row from `x` on.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn elements<D: Dot, const ROWS: usize>(d: D, x: *const u8, stride: usize) -> [D::X; ROWS] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut rows = [d.elements(x); ROWS];
        for r in 1..ROWS {
            rows[r] = d.elements(x.add(r * stride));
        }
        rows
    }
}

/// The same of up to 14 rows.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn elements_of<D: Dot, const ROWS: usize>(d: D, places: Rows) -> [D::X; ROWS] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut rows = [d.elements(places.at(0)); ROWS];
        for r in 1..ROWS {
            rows[r] = d.elements(places.at(r));
        }
        rows
    }
}

/// Adds the products of `GROUPS` groups, whose elements are `rows`, whose weights at group `g`.
///
/// # Safety
/// They are there, and the weights.
#[inline(always)]
unsafe fn whole<D: Dot, const ROWS: usize, const VECTORS: usize>(
    d: D,
    rows: &[D::X; ROWS],
    w: &Weights,
    g: usize,
    acc: &mut [[D::Sum; VECTORS]; ROWS],
) {
    // SAFETY: as the caller promises.
    unsafe {
        multiply::<D, ROWS, VECTORS, 0>(d, rows, w, g, false, acc);
        if const { steps::<D>() == 4 } {
            multiply::<D, ROWS, VECTORS, 1>(d, rows, w, g, false, acc);
            multiply::<D, ROWS, VECTORS, 2>(d, rows, w, g, false, acc);
            multiply::<D, ROWS, VECTORS, 3>(d, rows, w, g, false, acc);
        }
    }
}

/// The packed weights from some group of a tile's first column on.
struct Weights {
    first: *const i8,
    /// Bytes from one panel to the next.
    panel: usize,
}

/// Adds the products of step `G` from group `g` on, with one group alone if `one`; `rows` hold the elements from group `g` on.
///
/// # Safety
/// The weights of those groups are there.
#[inline(always)]
unsafe fn multiply<D: Dot, const ROWS: usize, const VECTORS: usize, const G: usize>(
    d: D,
    rows: &[D::X; ROWS],
    w: &Weights,
    g: usize,
    one: bool,
    acc: &mut [[D::Sum; VECTORS]; ROWS],
) {
    let g = g + G * D::STEP;
    let weights = |v: usize| {
        let col = v * D::S::LANES;
        let at = col / PANEL * w.panel + (g * PANEL + col % PANEL) * INT8_DEPTH;
        // SAFETY: as the caller promises.
        unsafe { d.weights(w.first.add(at), INT8_DEPTH * PANEL, one) }
    };
    if D::GROUPS == 1 {
        // Few vectors and many rows: each row's elements are in a register only while they multiply.
        let mut all = [weights(0); VECTORS];
        for v in 1..VECTORS {
            all[v] = weights(v);
        }
        for r in 0..ROWS {
            for v in 0..VECTORS {
                acc[r][v] = d.dot::<G>(acc[r][v], all[v], rows[r]);
            }
        }
    } else {
        // Rows' elements serve several steps; each vector's weights one.
        for v in 0..VECTORS {
            let weights = weights(v);
            for r in 0..ROWS {
                acc[r][v] = d.dot::<G>(acc[r][v], weights, rows[r]);
            }
        }
    }
}
