//! Matrix product in register tiles. May import: `simd`, `gemm`, `far_format::layout`.

use core::mem::MaybeUninit;
use core::sync::atomic::{Ordering, compiler_fence};

use far_format::layout::{Activation, PANEL};

use super::ahead::Ahead;
use super::math::activate;
use super::rows::Rows;
use super::{Product, Simd};
use crate::gemm::GemmCall;

/// Where a tile lies.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// First row.
    pub(crate) row: usize,
    /// First column, a multiple of the lanes of a vector.
    pub(crate) col: usize,
}

/// The range of depths that a tile takes up at a time, `start < end <= k`, or all of none.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where its accumulators come from unless `start` is 0, and go to unless `end` is `k`: a copy of the tile.
    pub(crate) carry: *mut f32,
}

/// A register tile of a fixed number of rows and vectors, of some range of depths.
///
/// # Safety
/// The promises of [`GemmCall`]; the CPU has the instructions; the tile's rows are below `m`, the first column of
/// each of its vectors below `n`; a carry that is used is readable and writable as the whole tile.
pub(crate) type Tile<D> = unsafe fn(&GemmCall, Place, &mut Ahead, D);

/// Activation, residual and store of a tile's accumulators, which lie row by row in memory.
///
/// # Safety
/// As [`Tile`]; `acc` holds `rows × cols` elements.
pub(crate) type Finish = unsafe fn(&GemmCall, Place, rows: usize, cols: usize, acc: *const f32);

/// All tiles of an instruction set: `tiles[vectors - 1][rows - 1]`.
pub(crate) type Tiles<D, const ROWS: usize, const VECTORS: usize> = [[Tile<D>; ROWS]; VECTORS];

/// Most depths that a tile takes up at a time. Rows of `a` and weights of so many stay in the second-level cache from one
/// tile to the next; deeper products are cut, and carry their accumulators from one part to the next, so that no
/// element's order of sums changes.
const DEPTH_BLOCK: usize = 1024;

/// Depths are cut at multiples of it, between sums of halves.
pub(crate) const DEPTH_UNIT: usize = 64;

/// f32 elements of the tiles whose accumulators are carried at a time: a first-level cache, which they pass through once a
/// block.
const CARRY: usize = 16 * 14 * 32;

/// The product, in blocks of depths where it is deep.
///
/// # Safety
/// The promises of [`GemmCall`]; the CPU has the instructions of `tiles`, whose vectors have `lanes` lanes.
pub(crate) unsafe fn gemm<const ROWS: usize, const VECTORS: usize>(
    call: &GemmCall,
    lanes: usize,
    tiles: &Tiles<Depth, ROWS, VECTORS>,
) {
    // SAFETY: as the caller promises; all depths at once use no carry.
    unsafe {
        if call.k > DEPTH_BLOCK {
            deep(call, lanes, tiles);
        } else {
            sweep(call, (call.k + 1) * PANEL, lanes, tiles, |_| Depth::all(call));
        }
    }
}

/// Cuts the product into tiles: as few as possible, and with rows shared out evenly, since a tile of few rows leaves
/// the multipliers idle. A panel has `panel` words. `begin` gives what the tiles that begin at a column take, once for all of them.
///
/// # Safety
/// As [`gemm`], and `tiles` may be called with what `begin` gave last.
pub(crate) unsafe fn sweep<D: Copy, const ROWS: usize, const VECTORS: usize>(
    call: &GemmCall,
    panel: usize,
    lanes: usize,
    tiles: &Tiles<D, ROWS, VECTORS>,
    mut begin: impl FnMut(usize) -> D,
) {
    let count = call.m.div_ceil(ROWS);
    let start = |i: usize| i * call.m / count;
    for col in (0..call.n).step_by(VECTORS * lanes) {
        let tiles = &tiles[VECTORS.min((call.n - col).div_ceil(lanes)) - 1];
        // While these columns are computed, the weights of the next come nearer.
        let next_col = col + VECTORS * lanes;
        let mut ahead = if next_col < call.n && next_col.is_multiple_of(PANEL) {
            let panels = (VECTORS * lanes).div_ceil(PANEL);
            Ahead::of(call.weights.wrapping_add(offset(next_col, panel)), panels * panel, count)
        } else {
            Ahead::nothing()
        };
        let with = begin(col);
        for i in 0..count {
            let place = Place { row: start(i), col };
            // SAFETY: the rows of a tile are below `m`, the first column of each of its vectors is below `n`.
            unsafe { tiles[start(i + 1) - place.row - 1](call, place, &mut ahead, with) };
        }
    }
}

/// [`gemm`] in blocks of depths.
///
/// # Safety
/// As [`gemm`].
unsafe fn deep<const ROWS: usize, const VECTORS: usize>(
    call: &GemmCall,
    lanes: usize,
    tiles: &Tiles<Depth, ROWS, VECTORS>,
) {
    let count = call.m.div_ceil(ROWS);
    let start = |i: usize| i * call.m / count;
    let tile_len = ROWS * VECTORS * lanes;
    let groups = count.div_ceil(CARRY / tile_len).max(1);
    let blocks = call.k.div_ceil(DEPTH_BLOCK);
    let cut = |block: usize| {
        if block == blocks { call.k } else { block * call.k / blocks / DEPTH_UNIT * DEPTH_UNIT }
    };
    let panel = (call.k + 1) * PANEL;
    let mut carry = [MaybeUninit::<f32>::uninit(); CARRY];
    for col in (0..call.n).step_by(VECTORS * lanes) {
        let tiles = &tiles[VECTORS.min((call.n - col).div_ceil(lanes)) - 1];
        for group in 0..groups {
            for block in 0..blocks {
                let members = group * count / groups..(group + 1) * count / groups;
                // The next block of these columns, or the first of the next.
                let (next_col, next) =
                    if block + 1 < blocks { (col, block + 1) } else { (col + VECTORS * lanes, 0) };
                let base = call.weights.wrapping_add(offset(next_col, panel) + (cut(next) + 1) * PANEL);
                let words = (cut(next + 1) - cut(next)) * PANEL;
                let mut ahead = if next_col >= call.n {
                    Ahead::nothing()
                } else if VECTORS * lanes > PANEL {
                    Ahead::of_two(base, words, panel, members.len())
                } else {
                    Ahead::of(base, words, members.len())
                };
                for (i, carry) in members.zip(carry.chunks_exact_mut(tile_len)) {
                    let place = Place { row: start(i), col };
                    let depth =
                        Depth { start: cut(block), end: cut(block + 1), carry: carry.as_mut_ptr().cast() };
                    // SAFETY: the rows of a tile are below `m`, the first column of each of its vectors is below `n`; its
                    // carry is a tile long, and was written by the block before unless this is the first.
                    unsafe { tiles[start(i + 1) - place.row - 1](call, place, &mut ahead, depth) };
                }
            }
        }
    }
}

impl Depth {
    /// All depths at once.
    fn all(call: &GemmCall) -> Depth {
        Depth { start: 0, end: call.k, carry: core::ptr::null_mut() }
    }
}

/// Where a column of panels of so many words begins.
#[inline(always)]
pub(crate) fn offset(col: usize, panel: usize) -> usize {
    col / PANEL * panel + col % PANEL
}

/// One tile, with `p` for its products. `s` is a register, so that of the weights no more than one must be held at a time.
///
/// # Safety
/// As [`Tile`].
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, P: Product<S>, const ROWS: usize, const VECTORS: usize>(
    s: S,
    p: P,
    call: &GemmCall,
    place: Place,
    ahead: &mut Ahead,
    depth: Depth,
    finish: Finish,
) {
    const { assert!(PANEL.is_multiple_of(S::LANES)) };
    // SAFETY: as the caller promises; `k` stays below `depth.end`.
    unsafe {
        let w = Weights { first: call.weights.add(offset(place.col, (call.k + 1) * PANEL)), k: call.k };
        let a = call.a.add(place.row * call.a_stride);
        let mut acc = [[s.splat(0.0); VECTORS]; ROWS];
        if depth.start == 0 {
            for v in 0..VECTORS {
                let bias = s.load(w.at(0, v * S::LANES));
                for r in 0..ROWS {
                    acc[r][v] = bias;
                }
            }
        } else {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    acc[r][v] = s.load(depth.carry.add((r * VECTORS + v) * S::LANES));
                }
            }
        }
        let mut k = depth.start;
        let steps = ahead.steps::<ROWS>(depth.end - depth.start).next_multiple_of(2 * S::DEPTH);
        while k < depth.end {
            ahead.ask::<ROWS>();
            let stop = depth.end.min(k + steps);
            // Two rows of registers a turn, where one holds several depths: the loop's own instructions count. The fence costs
            // none; it keeps the second row's loads from coming early, for which there are no registers.
            while S::DEPTH > 1 && k + 2 * S::DEPTH <= stop {
                multiply_row(s, p, a.add(k), call.a_stride, &w, k, &mut acc);
                compiler_fence(Ordering::SeqCst);
                multiply_row(s, p, a.add(k + S::DEPTH), call.a_stride, &w, k + S::DEPTH, &mut acc);
                k += 2 * S::DEPTH;
            }
            while S::DEPTH > 1 && k + S::DEPTH <= stop {
                multiply_row(s, p, a.add(k), call.a_stride, &w, k, &mut acc);
                k += S::DEPTH;
            }
            let mut places = Rows::new(a.add(k).cast(), call.a_stride * size_of::<f32>());
            while k < stop {
                let mut weights = [s.load(w.at(k + 1, 0)); VECTORS];
                for v in 1..VECTORS {
                    weights[v] = s.load(w.at(k + 1, v * S::LANES));
                }
                for r in 0..ROWS {
                    let x = if S::DEPTH == 1 { places.at(r).cast() } else { a.add(r * call.a_stride + k) };
                    let x = s.splat(*x);
                    for v in 0..VECTORS {
                        acc[r][v] = p.multiply(s, x, weights[v], acc[r][v]);
                    }
                }
                places.advance(size_of::<f32>());
                k += 1;
            }
        }
        if depth.end < call.k {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    s.store(depth.carry.add((r * VECTORS + v) * S::LANES), acc[r][v]);
                }
            }
            return;
        }
        write(s, call, place, acc, finish);
    }
}

/// Activation, residual and store of a tile.
///
/// # Safety
/// As [`Tile`].
#[inline(always)]
pub(super) unsafe fn write<S: Simd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    call: &GemmCall,
    place: Place,
    mut acc: [[S::V; VECTORS]; ROWS],
    finish: Finish,
) {
    // SAFETY: as the caller promises.
    unsafe {
        // Loops over the accumulators must be short enough to be unrolled, and their address unknown to others, or they
        // would not live in registers. So this path has no branches inside, and the other one works on a copy.
        if call.act == Activation::None && place.col + VECTORS * S::LANES <= call.n {
            if !call.residual.is_null() {
                let residual = call.residual.add(place.row * call.residual_stride + place.col);
                for r in 0..ROWS {
                    for v in 0..VECTORS {
                        let x = s.load(residual.add(r * call.residual_stride + v * S::LANES));
                        acc[r][v] = s.add(acc[r][v], x);
                    }
                }
            }
            let out = call.out.add(place.row * call.out_stride + place.col);
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    s.store(out.add(r * call.out_stride + v * S::LANES), acc[r][v]);
                }
            }
        } else {
            let mut copy = [[s.splat(0.0); VECTORS]; ROWS];
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    copy[r][v] = acc[r][v];
                }
            }
            finish(call, place, ROWS, VECTORS * S::LANES, copy.as_ptr().cast());
        }
    }
}

/// The packed weights from a tile's first column on.
struct Weights {
    first: *const f32,
    k: usize,
}

impl Weights {
    /// Row `row` of the panel (0 is the bias), `col` columns on.
    ///
    /// # Safety
    /// The row and the column are there.
    #[inline(always)]
    unsafe fn at(&self, row: usize, col: usize) -> *const f32 {
        // SAFETY: as the caller promises.
        unsafe { self.first.add(offset(col, (self.k + 1) * PANEL) + row * PANEL) }
    }
}

/// Adds the products of `DEPTH` depths from `k` on, whose elements begin at `a`.
///
/// # Safety
/// As [`multiply`]; of each row `DEPTH` elements are readable.
#[inline(always)]
unsafe fn multiply_row<S: Simd, P: Product<S>, const ROWS: usize, const VECTORS: usize>(
    s: S,
    p: P,
    a: *const f32,
    a_stride: usize,
    w: &Weights,
    k: usize,
    acc: &mut [[S::V; VECTORS]; ROWS],
) {
    const { assert!(S::DEPTH == 1 || S::DEPTH == 4) };
    // SAFETY: as the caller promises.
    unsafe {
        let mut rows = [s.row(a); ROWS];
        for r in 1..ROWS {
            rows[r] = s.row(a.add(r * a_stride));
        }
        multiply::<S, P, ROWS, VECTORS, 0>(s, p, &rows, w, k, acc);
        multiply::<S, P, ROWS, VECTORS, 1>(s, p, &rows, w, k, acc);
        multiply::<S, P, ROWS, VECTORS, 2>(s, p, &rows, w, k, acc);
        multiply::<S, P, ROWS, VECTORS, 3>(s, p, &rows, w, k, acc);
    }
}

/// Adds the products of depth `k + I`; `rows` hold the elements from depth `k` on.
///
/// # Safety
/// The weights of that depth and of all the tile's vectors are there.
#[inline(always)]
unsafe fn multiply<S: Simd, P: Product<S>, const ROWS: usize, const VECTORS: usize, const I: usize>(
    s: S,
    p: P,
    rows: &[S::Row; ROWS],
    w: &Weights,
    k: usize,
    acc: &mut [[S::V; VECTORS]; ROWS],
) {
    for v in 0..VECTORS {
        // SAFETY: as the caller promises.
        let weights = unsafe { s.load(w.at(k + I + 1, v * S::LANES)) };
        for r in 0..ROWS {
            acc[r][v] = p.multiply_element::<I>(s, rows[r], weights, acc[r][v]);
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
    cols: usize,
    acc: *const f32,
) {
    // One loop a function, so that its constants stay in registers.
    // SAFETY: as the caller promises.
    unsafe {
        match call.act {
            Activation::None => finish_rows(s, call, place, rows, cols, acc, Activation::None),
            Activation::Gelu => finish_rows(s, call, place, rows, cols, acc, Activation::Gelu),
            Activation::GeluTanh => finish_rows(s, call, place, rows, cols, acc, Activation::GeluTanh),
            Activation::Tanh => finish_rows(s, call, place, rows, cols, acc, Activation::Tanh),
            Activation::Relu => finish_rows(s, call, place, rows, cols, acc, Activation::Relu),
            Activation::GeluShort => finish_rows(s, call, place, rows, cols, acc, Activation::GeluShort),
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
    cols: usize,
    acc: *const f32,
    act: Activation,
) {
    for r in 0..rows {
        let mut col = 0;
        while col < cols {
            // SAFETY: `acc` holds `rows × cols` elements; the rest as the caller promises, and no more than the `left`
            // columns of the matrix are touched.
            unsafe {
                let left = call.n - (place.col + col);
                let mut v = activate(s, act, s.load_up_to(acc.add(r * cols + col), cols - col));
                if !call.residual.is_null() {
                    let residual =
                        call.residual.add((place.row + r) * call.residual_stride + place.col + col);
                    v = s.add(v, s.load_up_to(residual, left));
                }
                s.store_up_to(call.out.add((place.row + r) * call.out_stride + place.col + col), v, left);
            }
            col += S::LANES;
        }
    }
}
