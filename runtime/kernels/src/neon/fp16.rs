//! AArch64 with arithmetic in half precision: registers of 8 halves, twice as many multiply-adds an instruction as in f32.
//! May import: `simd`, `narrow`, `neon`, `half`.
//!
//! The product's tile has 8 rows of 16 columns: 16 sums, 8 registers of rows that multiply by their lanes, 2 of weights. The
//! sums in f32 stay in the first-level cache, which they pass through once in [`RUNS`] depths.

use core::arch::aarch64::*;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::{Ordering, compiler_fence};

use far_format::layout::{Activation, PANEL};

use super::{Neon, finish};
use crate::gemm::GemmCall;
use crate::half::{RUN, RUNS};
use crate::lstm::LstmCall;
use crate::narrow;
use crate::simd::ahead::Ahead;
use crate::simd::gemm::{DEPTH_UNIT, Depth, Place, Tiles};
use crate::simd::lstm::{Recurrence, Sources};
use crate::simd::{self, Simd, Wide};

// Deep products are cut between sums of halves.
const _: () = assert!((2 * DEPTH_UNIT).is_multiple_of(RUNS));

/// Lanes of a register of halves.
const LANES: usize = 8;

/// Gates of a unit.
const GATES: usize = 4;

/// Arithmetic in half precision. A value proves that the CPU has it.
#[derive(Clone, Copy)]
struct Halves(());

/// Sums of the products of `R` rows and `N` registers of columns.
type Sums<const R: usize, const N: usize> = [[float16x8_t; N]; R];

impl Halves {
    /// # Safety
    /// The CPU has NEON and fp16.
    #[inline(always)]
    unsafe fn new() -> Self {
        Self(())
    }

    #[inline(always)]
    fn splat(self, half: u16) -> float16x8_t {
        // SAFETY: `self` proves the instruction.
        unsafe { vreinterpretq_f16_u16(vdupq_n_u16(half)) }
    }

    /// # Safety
    /// 8 halves are readable.
    #[inline(always)]
    unsafe fn load(self, from: *const u16) -> float16x8_t {
        // SAFETY: as the caller promises.
        unsafe { vreinterpretq_f16_u16(vld1q_u16(from)) }
    }

    /// The sums of the products of some depths, no more than [`RUNS`]. `a` are the rows, `stride` halves apart; at `w` lie rows of
    /// `8·N` weights.
    ///
    /// # Safety
    /// Those depths of the rows and of the weights are readable.
    #[inline]
    #[target_feature(enable = "neon,fp16")]
    unsafe fn runs<const R: usize, const N: usize>(
        self,
        a: *const u16,
        stride: usize,
        w: *const u16,
        depths: Range<usize>,
    ) -> Sums<R, N> {
        let mut total = [[self.splat(0); N]; R];
        let mut k = depths.start;
        while k < depths.end {
            let stop = depths.end.min(k + RUN);
            // SAFETY: as the caller promises.
            unsafe {
                let sums = self.run::<R, N>(a, stride, w, k..stop);
                for r in 0..R {
                    for n in 0..N {
                        total[r][n] = vaddq_f16(total[r][n], sums[r][n]);
                    }
                }
            }
            k = stop;
        }
        total
    }

    /// The sums of one run.
    ///
    /// # Safety
    /// As [`runs`](Self::runs).
    #[inline]
    #[target_feature(enable = "neon,fp16")]
    unsafe fn run<const R: usize, const N: usize>(
        self,
        a: *const u16,
        stride: usize,
        w: *const u16,
        depths: Range<usize>,
    ) -> Sums<R, N> {
        let mut sums = [[self.splat(0); N]; R];
        let mut k = depths.start;
        // SAFETY: as the caller promises; `k` stays below the end.
        unsafe {
            while k + LANES <= depths.end {
                let mut rows = [self.splat(0); R];
                for r in 0..R {
                    rows[r] = self.load(a.add(r * stride + k));
                }
                let w = w.add(k * N * LANES);
                self.multiply::<R, N, 0>(&rows, w, &mut sums);
                self.multiply::<R, N, 1>(&rows, w, &mut sums);
                self.multiply::<R, N, 2>(&rows, w, &mut sums);
                self.multiply::<R, N, 3>(&rows, w, &mut sums);
                self.multiply::<R, N, 4>(&rows, w, &mut sums);
                self.multiply::<R, N, 5>(&rows, w, &mut sums);
                self.multiply::<R, N, 6>(&rows, w, &mut sums);
                self.multiply::<R, N, 7>(&rows, w, &mut sums);
                k += LANES;
            }
            while k < depths.end {
                for n in 0..N {
                    let w = self.load(w.add((k * N + n) * LANES));
                    for r in 0..R {
                        sums[r][n] = vfmaq_f16(sums[r][n], w, self.splat(*a.add(r * stride + k)));
                    }
                }
                k += 1;
            }
        }
        sums
    }

    /// Adds the products of lane `I` of the rows and the `8·N` weights of its depth, which is `I` beyond that of `w`.
    ///
    /// # Safety
    /// The weights are readable.
    #[inline]
    #[target_feature(enable = "neon,fp16")]
    unsafe fn multiply<const R: usize, const N: usize, const I: i32>(
        self,
        rows: &[float16x8_t; R],
        w: *const u16,
        sums: &mut Sums<R, N>,
    ) {
        for n in 0..N {
            // SAFETY: as the caller promises; `self` proves the instruction.
            unsafe {
                let w = self.load(w.add((I as usize * N + n) * LANES));
                for r in 0..R {
                    sums[r][n] = vfmaq_laneq_f16::<I>(sums[r][n], w, rows[r]);
                }
            }
        }
    }

    /// Adds a register of halves to two of f32.
    #[inline(always)]
    fn add(self, sum: float16x8_t, [low, high]: [float32x4_t; 2]) -> [float32x4_t; 2] {
        // SAFETY: `self` proves the instructions.
        unsafe { [vaddq_f32(low, vcvt_f32_f16(vget_low_f16(sum))), vaddq_f32(high, vcvt_high_f32_f16(sum))] }
    }
}

/// Rounds `n` numbers to half precision.
///
/// # Safety
/// `n` elements are readable, and `n` halves writable.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn round_row(from: *const f32, n: usize, to: *mut u16) {
    let mut i = 0;
    // SAFETY: as the caller promises; the last lanes go through arrays.
    unsafe {
        while i + LANES <= n {
            let low = vcvt_f16_f32(vld1q_f32(from.add(i)));
            let halves = vcvt_high_f16_f32(low, vld1q_f32(from.add(i + LANES / 2)));
            vst1q_u16(to.add(i), vreinterpretq_u16_f16(halves));
            i += LANES;
        }
        if i < n {
            let (mut numbers, mut halves) = ([0.0; LANES], [0; LANES]);
            numbers.as_mut_ptr().copy_from_nonoverlapping(from.add(i), n - i);
            round_row(numbers.as_ptr(), LANES, halves.as_mut_ptr());
            to.add(i).copy_from_nonoverlapping(halves.as_ptr(), n - i);
        }
    }
}

/// # Safety
/// As [`simd::gemm::Tile`]; the rows of `a` are halves, two a word.
#[target_feature(enable = "neon,fp16")]
unsafe fn tile<const ROWS: usize>(call: &GemmCall, place: Place, ahead: &mut Ahead, depth: Depth) {
    // SAFETY: as the caller promises; `memory` is a tile of accumulators.
    unsafe {
        let s = Halves::new();
        let panel = call.weights.add(place.col / PANEL * (call.k + 1) * PANEL);
        let a = call.a.add(place.row * call.a_stride).cast::<u16>();
        // The sums in f32 stay in memory from one run to the next: their address is unknown to the compiler, and the fence, which costs
        // no instruction, ends what it knows of their values. It would hold them in registers, of which there are none left.
        let mut memory = [MaybeUninit::<[f32; PANEL]>::uninit(); ROWS];
        let acc = black_box(memory.as_mut_ptr()).cast::<[f32; PANEL]>();
        for r in 0..ROWS {
            let from = if depth.start == 0 { panel.cast() } else { depth.carry.add(r * PANEL).cast() };
            *acc.add(r) = *from;
        }
        let (mut k, end) = (2 * depth.start, 2 * depth.end);
        let mut asked = k;
        let steps = ahead.steps::<ROWS>((end - k).div_ceil(RUNS));
        while k < end {
            if k == asked {
                ahead.ask::<ROWS>();
                asked += steps * RUNS;
            }
            let stop = end.min(k + RUNS);
            let sums = s.runs::<ROWS, 2>(a, 2 * call.a_stride, panel.add(PANEL).cast(), k..stop);
            compiler_fence(Ordering::SeqCst);
            for r in 0..ROWS {
                for n in 0..2 {
                    let to = acc.add(r).cast::<f32>().add(n * LANES);
                    let [low, high] = s.add(sums[r][n], [vld1q_f32(to), vld1q_f32(to.add(4))]);
                    vst1q_f32(to, low);
                    vst1q_f32(to.add(4), high);
                }
            }
            k = stop;
        }
        let s = Wide::<_, 4>(Neon::new());
        if depth.end < call.k {
            depth.carry.cast::<[f32; PANEL]>().copy_from_nonoverlapping(acc, ROWS);
        } else if call.act == Activation::None && place.col + PANEL <= call.n {
            for r in 0..ROWS {
                let mut y = s.load(acc.add(r).cast());
                if !call.residual.is_null() {
                    let residual = call.residual.add((place.row + r) * call.residual_stride + place.col);
                    y = s.add(y, s.load(residual));
                }
                s.store(call.out.add((place.row + r) * call.out_stride + place.col), y);
            }
        } else {
            finish(call, place, ROWS, PANEL, acc.cast());
        }
    }
}

static TILES: Tiles<Depth, 8, 1> =
    [[tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>]];

/// # Safety
/// The CPU has NEON and fp16, and the promises of [`GemmCall`], whose rows are halves, two a word.
unsafe fn product(call: &GemmCall) {
    // SAFETY: as the caller promises.
    unsafe { simd::gemm::gemm(call, PANEL, &TILES) }
}

/// # Safety
/// The CPU has NEON and fp16, and the promises of [`GemmCall`].
pub(crate) unsafe fn gemm(call: &GemmCall) {
    // SAFETY: as the caller promises.
    unsafe { narrow::gemm(call, round_row, product) }
}

impl Recurrence<Wide<Neon, 4>, Wide<Neon, 2>> for Halves {
    #[inline(always)]
    fn depth(hidden: usize) -> usize {
        hidden.div_ceil(2)
    }

    #[inline(always)]
    unsafe fn accumulate<const N: usize, const HALF: bool>(
        self,
        _: Wide<Neon, 4>,
        _: Wide<Neon, 2>,
        from: &Sources,
        acc: &mut [[[float32x4_t; 4]; GATES]; N],
        half_acc: &mut [[[float32x4_t; 2]; GATES]; 1],
    ) {
        let (h, end) = (from.h.cast::<u16>(), 2 * from.depth);
        let mut k = 0;
        while k < end {
            let depths = k..end.min(k + RUNS);
            // SAFETY: as the caller promises.
            unsafe {
                for n in 0..N {
                    let weights = from.weights.add(n * from.depth * GATES * PANEL).cast();
                    let [sums] = self.runs::<1, { 2 * GATES }>(h, 0, weights, depths.clone());
                    for gate in 0..GATES {
                        let [a, b, c, d] = acc[n][gate];
                        let [a, b] = self.add(sums[2 * gate], [a, b]);
                        let [c, d] = self.add(sums[2 * gate + 1], [c, d]);
                        acc[n][gate] = [a, b, c, d];
                    }
                }
                if HALF {
                    let [sums] = self.runs::<1, GATES>(h, 0, from.half_weights.cast(), depths.clone());
                    for gate in 0..GATES {
                        half_acc[0][gate] = self.add(sums[gate], half_acc[0][gate]);
                    }
                }
            }
            k = depths.end;
        }
    }

    #[inline(always)]
    unsafe fn keep(self, out: *const f32, n: usize, state: *mut f32) -> *const f32 {
        // SAFETY: as the caller promises.
        unsafe { round_row(out, n, state.cast()) };
        state
    }
}

/// # Safety
/// The CPU has NEON and fp16, and the promises of [`LstmCall`].
#[target_feature(enable = "neon,fp16")]
pub(crate) unsafe fn lstm(call: &LstmCall) {
    // SAFETY: as the caller promises.
    unsafe {
        let neon = Neon::new();
        simd::lstm::lstm::<_, _, _, false>(Wide::<_, 4>(neon), Wide::<_, 2>(neon), Halves::new(), call);
    }
}
