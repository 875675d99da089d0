//! Products and recurrences in 16 bits, in plain loops. May import: `gemm`, `lstm`, `half`, `narrow`, `widen`,
//! `scalar::{gemm, lstm}`, `far_format::layout`.

use far_format::layout::PANEL;

use super::gemm::finish;
use super::lstm::{Products, UNITS};
use super::single;
use crate::gemm::GemmCall;
use crate::half::{ONE_F16, RUN, RUNS, fma_f16, from_bf16, from_f16, pairs, to_bf16, to_f16};
use crate::lstm::LstmCall;
use crate::narrow;
use crate::widen::widened;

widened!(super::single::gemm, super::single::lstm, tile of super::PANEL, by super::widen_row);

/// # Safety
/// As [`Widen`](crate::widen::Widen).
pub(crate) unsafe fn widen_row(from: *const u16, n: usize, to: *mut f32) {
    for i in 0..n {
        // SAFETY: as the caller promises.
        unsafe { *to.add(i) = from_f16(*from.add(i)) };
    }
}

/// Numbers of 16 bits whose products are summed up.
trait Halves {
    fn round(x: f32) -> u16;

    /// Where the weight of a depth and a lane is among those of so many lanes.
    fn at(lanes: usize, k: usize, lane: usize) -> usize;

    /// Adds the products of the first `k` halves, an even number.
    fn add(acc: f32, k: usize, x: impl Fn(usize) -> u16, w: impl Fn(usize) -> u16) -> f32;
}

/// bfloat16: pair by pair.
struct Bf16;

impl Halves for Bf16 {
    fn round(x: f32) -> u16 {
        to_bf16(x)
    }
    fn at(lanes: usize, k: usize, lane: usize) -> usize {
        (k / 2 * lanes + lane) * 2 + k % 2
    }
    fn add(acc: f32, k: usize, x: impl Fn(usize) -> u16, w: impl Fn(usize) -> u16) -> f32 {
        let pair = |k: usize, of: &dyn Fn(usize) -> u16| [from_bf16(of(k)), from_bf16(of(k + 1))];
        (0..k).step_by(2).fold(acc, |acc, k| pairs(pair(k, &x), pair(k, &w), acc))
    }
}

/// Half precision: in sums of [`RUN`] products, which are added in half precision over [`RUNS`] depths, and the rest in f32.
struct F16;

impl Halves for F16 {
    fn round(x: f32) -> u16 {
        to_f16(x)
    }
    fn at(lanes: usize, k: usize, lane: usize) -> usize {
        k * lanes + lane
    }
    fn add(acc: f32, k: usize, x: impl Fn(usize) -> u16, w: impl Fn(usize) -> u16) -> f32 {
        let run =
            |from: usize, end: usize| (from..end.min(from + RUN)).fold(0, |sum, k| fma_f16(x(k), w(k), sum));
        (0..k).step_by(RUNS).fold(acc, |acc, from| {
            let end = k.min(from + RUNS);
            let runs =
                (from..end).step_by(RUN).fold(0, |total, from| fma_f16(run(from, end), ONE_F16, total));
            acc + from_f16(runs)
        })
    }
}

/// # Safety
/// As [`narrow::Round`].
unsafe fn round_row<H: Halves>(from: *const f32, n: usize, to: *mut u16) {
    for i in 0..n {
        // SAFETY: as the caller promises.
        unsafe { *to.add(i) = H::round(*from.add(i)) };
    }
}

/// # Safety
/// The promises of [`GemmCall`], whose rows are halves, two a word.
unsafe fn product<H: Halves>(call: &GemmCall) {
    for col in 0..call.n {
        // SAFETY: panel `col / PANEL` exists because `col < n`; it holds a bias and `k` rows of `PANEL` words; rows of `a`,
        // `residual` and `out` are below `m`, columns below `n`.
        unsafe {
            let panel = call.weights.add(col / PANEL * (call.k + 1) * PANEL);
            let weights = panel.add(PANEL).cast::<u16>();
            for row in 0..call.m {
                let a = call.a.add(row * call.a_stride).cast::<u16>();
                let (x, w) = (|k| *a.add(k), |k| *weights.add(H::at(PANEL, k, col % PANEL)));
                finish(call, row, col, H::add(*panel.add(col % PANEL), 2 * call.k, x, w));
            }
        }
    }
}

impl<H: Halves> Products for H {
    fn depth(hidden: usize) -> usize {
        hidden.div_ceil(2)
    }

    unsafe fn add(
        acc: &mut [[f32; 4]; UNITS],
        depth: usize,
        h: *const f32,
        weights: *const f32,
        width: usize,
        unit: usize,
    ) {
        let (h, weights) = (h.cast::<u16>(), weights.cast::<u16>());
        for (u, acc) in acc.iter_mut().enumerate() {
            for (gate, acc) in acc.iter_mut().enumerate() {
                let lane = gate * width + unit + u;
                // SAFETY: as the caller promises.
                let (x, w) = unsafe { (|k| *h.add(k), |k| *weights.add(H::at(4 * width, k, lane))) };
                *acc = H::add(*acc, 2 * depth, x, w);
            }
        }
    }

    unsafe fn keep(out: *const f32, n: usize, state: *mut f32) -> *const f32 {
        // SAFETY: as the caller promises.
        unsafe { round_row::<H>(out, n, state.cast()) };
        state
    }
}

macro_rules! halves {
    ($($name:ident of $halves:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        pub(crate) mod $name {
            use super::{GemmCall, LstmCall, narrow, product, round_row};

            /// # Safety
            /// The promises of [`GemmCall`].
            pub(crate) unsafe fn gemm(call: &GemmCall) {
                // SAFETY: as the caller promises.
                unsafe { narrow::gemm(call, round_row::<super::$halves>, product::<super::$halves>) }
            }

            /// # Safety
            /// The promises of [`LstmCall`].
            pub(crate) unsafe fn lstm(call: &LstmCall) {
                // SAFETY: as the caller promises.
                unsafe { crate::scalar::lstm::lstm::<super::$halves>(call) }
            }
        }
    )*};
}

halves! {
    bf16 of Bf16, "bfloat16, with the bits of x86's instruction.";
    f16_arith of F16, "Arithmetic in half precision.";
}
