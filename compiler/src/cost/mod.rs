//! What work takes on one core of a target: the one model behind every choice of the passes, every prediction and every
//! goal of pruning. May import: `ir`, `target`; far-format.
//!
//! A roofline. Arithmetic takes as long as the target's kernels need for it (`rates` in its YAML); weights that don't
//! stay in a cache take as long as memory needs; the longer of the two counts. Sizes are those that the kernels compute,
//! padding included. Times are whole picoseconds, so that sums don't depend on their order and equal times are equal.
//!
//! `docs/targets.md` derives the formulas and says how the rates are measured. A prediction ranks choices; it is no
//! promise.

mod graph;
mod plan;
#[cfg(test)]
mod tests;

use far_format::cpu::Arch;
use far_format::layout::{Activation, PANEL, Precision, gemm_weight_len, lstm_weight_len, padded_hidden};

pub use graph::Work;
pub use plan::{StepCost, steps};

use crate::target::{Rates, Target};

/// A time in picoseconds.
pub type Picoseconds = u64;

/// Rows that a product takes at least: fewer leave the multipliers waiting for their own results.
const LEAST_ROWS: usize = 2;
/// Rows of a register tile, about: what one more block of a product costs is counted by tiles.
const TILE_ROWS: usize = 12;
/// What one element takes, in multiply-adds at the peak of the machine on which these were measured: x86-64 with AVX-512,
/// where [`Rates::elementwise`](crate::target::Rates::elementwise) is 1.
const NORM_WORK: f64 = 10.5;
const SOFTMAX_WORK: f64 = 35.0;
const PATCH_WORK: f64 = 25.0;
const MOVE_WORK: f64 = 10.0;
const TABLE_WORK: f64 = 5.0;
const RESIDUAL_WORK: f64 = 1.0;
const TANH_WORK: f64 = 11.0;
const ERF_WORK: f64 = 12.5;
/// GELU by its short polynomial.
const SHORT_WORK: f64 = 6.5;
/// An element of a row that a product in int8 quantises.
const QUANTISE_WORK: f64 = 6.0;
/// An element of its result, which is scaled.
const SCALE_WORK: f64 = 3.0;
/// The same for what a hidden unit takes in one step beside its multiply-adds, as far as they don't hide it.
const CELL_WORK: f64 = 33.0;
/// The same in int8, where sums are scaled and hidden values quantised.
const INT8_CELL_WORK: f64 = 66.0;

/// The model for one target.
#[derive(Clone, Debug)]
pub struct CostModel {
    /// Multiply-adds in a picosecond at the peak.
    peak: f64,
    /// Parts of the peak.
    product: f64,
    recurrence: f64,
    elementwise: f64,
    /// Picoseconds.
    call: f64,
    tile: f64,
    step: f64,
    /// Bytes of recurrent weights that stay in the first-level cache, beside the gates that pass through it.
    resident: f64,
    l2_bytes: u64,
    /// Bytes in a picosecond from the second-level cache, and from what lies behind it.
    l2: f64,
    memory: f64,
    /// Of the weights of products and recurrences.
    precision: Precision,
    /// By [`Precision`].
    speedups: [Speedup; Precision::ALL.len()],
    arch: Arch,
    /// Whether weights come from behind the second-level cache, instead of staying there from run to run.
    streams: bool,
}

/// Multiply-adds in the time of one in f32.
#[derive(Clone, Copy, Debug)]
struct Speedup {
    product: f64,
    recurrence: f64,
}

impl Speedup {
    fn of(rates: &Rates, precision: Precision) -> Self {
        let figures = match precision {
            Precision::F32 => None,
            Precision::F16 => Some(&rates.f16),
            Precision::Bf16 => rates.bf16.as_ref(),
            Precision::Int8 => Some(&rates.int8),
            Precision::F16Arith => rates.f16_arith.as_ref(),
        };
        let (product, recurrence) = figures.map_or((1.0, 1.0), |rate| (rate.product, rate.recurrence));
        Self { product, recurrence }
    }
}

impl CostModel {
    /// For choices: weights come from behind the second-level cache, as those of all but the smallest models do, so that
    /// what is chosen doesn't depend on what else is in the model.
    pub fn of(target: &Target) -> Self {
        let Target { cpu, cache, memory, rates, .. } = target;
        let cycle = 1e6 / f64::from(cpu.clock_mhz.value);
        Self {
            peak: f64::from(cpu.fma_lanes.value) / cycle,
            product: rates.product.value,
            recurrence: rates.recurrence.value,
            elementwise: rates.elementwise.value,
            call: rates.call_ns.value * 1e3,
            tile: rates.tile_cycles.value * cycle,
            step: rates.step_cycles.value * cycle,
            resident: 0.75 * 1024.0 * f64::from(cache.l1d_kib.value),
            l2_bytes: u64::from(cache.l2.kib) * 1024,
            l2: rates.l2_bytes_per_cycle.value / cycle,
            memory: memory.gb_per_s.value * 1e-3,
            precision: Precision::F32,
            speedups: Precision::ALL.map(|precision| Speedup::of(rates, precision)),
            arch: target.arch,
            streams: true,
        }
    }

    /// For predictions: weights of so many bytes come from behind the second-level cache if they don't fit it.
    pub fn with_weights(self, bytes: u64) -> Self {
        Self { streams: bytes > self.l2_bytes, ..self }
    }

    /// For products and recurrences whose weights are stored and multiplied so; in f32 unless this says otherwise.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// One block of a product: `rows × k` times `k × n`.
    pub fn block(&self, rows: usize, k: usize, n: usize) -> Picoseconds {
        // One more for the block itself, so that cutting what is dense never pays.
        let tiles = rows.div_ceil(TILE_ROWS) * n.div_ceil(2 * PANEL) + 1;
        let multiply_adds = product(&[rows.max(LEAST_ROWS), k, n.next_multiple_of(PANEL)]);
        let peak = self.peak * self.product * self.speedup().product;
        let compute = multiply_adds / peak + tiles as f64 * self.tile;
        let weights = gemm_weight_len(self.precision, self.arch, k, n);
        picoseconds(compute.max(self.stream(weights)) + self.quantised(rows, k, n))
    }

    /// The recurrence of one unit over `rows` steps, its gates' input half not counted.
    pub fn recurrence(&self, rows: usize, hidden: usize) -> Picoseconds {
        let padded = padded_hidden(hidden);
        let len = lstm_weight_len(self.precision, self.arch, hidden);
        let peak = self.peak * self.recurrence * self.speedup().recurrence;
        let products = product(&[hidden, 4, padded]) / peak;
        let cell = if self.precision == Precision::Int8 { INT8_CELL_WORK } else { CELL_WORK };
        let missing = (len as f64 * 4.0 - self.resident).max(0.0) / self.l2;
        let step = self.step + products + missing + self.elements(padded, cell);
        picoseconds((rows as f64 * step).max(self.stream(len)))
    }

    /// One LSTM unit with `k` inputs, with its gates' input half.
    pub fn unit(&self, rows: usize, k: usize, hidden: usize) -> Picoseconds {
        self.block(rows, k, 4 * padded_hidden(hidden)).saturating_add(self.recurrence(rows, hidden))
    }

    /// What rides on a product of so many elements: an activation, and a residual that is read.
    pub fn epilogue(&self, elements: usize, act: Activation, residual: bool) -> Picoseconds {
        let residual = if residual { RESIDUAL_WORK } else { 0.0 };
        picoseconds(self.elements(elements, act_work(act) + residual))
    }

    /// Scaled dot-product attention of `heads` heads over `rows × cols`.
    pub fn attention(&self, rows: usize, cols: usize, heads: usize) -> Picoseconds {
        let products = product(&[2, rows, rows.next_multiple_of(PANEL), cols]) / (self.peak * self.product);
        picoseconds(products + self.elements(rows * rows * heads, SOFTMAX_WORK))
    }

    /// A layer norm of so many elements.
    pub fn layer_norm(&self, elements: usize) -> Picoseconds {
        picoseconds(self.elements(elements, NORM_WORK))
    }

    /// An activation of so many elements, by itself.
    pub fn map(&self, elements: usize, act: Activation) -> Picoseconds {
        picoseconds(self.elements(elements, MOVE_WORK + act_work(act)))
    }

    /// Elements of an image that are gathered patch by patch.
    pub fn patches(&self, elements: usize) -> Picoseconds {
        picoseconds(self.elements(elements, PATCH_WORK))
    }

    /// A constant for each row, `rows × n`, that a product adds at its end.
    pub fn table(&self, rows: usize, n: usize) -> Picoseconds {
        picoseconds(self.elements(rows * n, TABLE_WORK))
    }

    /// Elements that are copied, added or summed up.
    pub fn moved(&self, elements: usize) -> Picoseconds {
        picoseconds(self.elements(elements, MOVE_WORK))
    }

    /// So many vector operations, counted by element.
    pub fn operations(&self, elements: usize) -> Picoseconds {
        picoseconds(self.elements(elements, 1.0))
    }

    /// Starting a kernel.
    pub fn call(&self) -> Picoseconds {
        picoseconds(self.call)
    }

    /// Bytes that a weight takes, padding and scales not counted.
    fn weight_bytes(&self) -> u64 {
        match self.precision {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 | Precision::F16Arith => 2,
            Precision::Int8 => 1,
        }
    }

    fn speedup(&self) -> Speedup {
        self.speedups[self.precision as usize]
    }

    /// What a product in int8 does beside multiplying: its rows are quantised, its results scaled.
    fn quantised(&self, rows: usize, k: usize, n: usize) -> f64 {
        match self.precision {
            Precision::Int8 => {
                self.elements(rows * k, QUANTISE_WORK)
                    + self.elements(rows * n.next_multiple_of(PANEL), SCALE_WORK)
            }
            _ => 0.0,
        }
    }

    fn elements(&self, elements: usize, work: f64) -> f64 {
        elements as f64 * work / (self.peak * self.elementwise)
    }

    /// Reading so many words of weights.
    fn stream(&self, weights: usize) -> f64 {
        if self.streams { weights as f64 * 4.0 / self.memory } else { 0.0 }
    }
}

/// A time as people read it.
pub fn shown(time: Picoseconds) -> String {
    match time as f64 {
        time if time < 1e6 => format!("{:.1} ns", time / 1e3),
        time if time < 1e9 => format!("{:.2} µs", time / 1e6),
        time => format!("{:.3} ms", time / 1e9),
    }
}

fn act_work(act: Activation) -> f64 {
    match act {
        Activation::None => 0.0,
        Activation::Relu => 1.0,
        Activation::Tanh => TANH_WORK,
        Activation::Gelu | Activation::GeluTanh => ERF_WORK,
        Activation::GeluShort => SHORT_WORK,
    }
}

fn product(factors: &[usize]) -> f64 {
    factors.iter().map(|factor| *factor as f64).product()
}

fn picoseconds(time: f64) -> Picoseconds {
    // Saturates; no term is NaN.
    time.round() as Picoseconds
}
