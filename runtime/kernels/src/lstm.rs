//! The recurrence of one LSTM unit: arguments, their check, and what an implementation receives.
//! May import: `matrix`, `pack`, `quantize`, `table`, `far_format::layout`.

use far_format::layout::{Precision, lstm_weight_len, padded_hidden};

use crate::matrix::{Mat, MatMut};
use crate::pack::HOST;
use crate::table::{Entry, Variant};
use crate::{quantize, widen};

/// The recurrent half of one head in one direction, over all `T` steps.
///
/// With σ(x) = ½ + ½·tanh(x/2), whose inner ½ is in the weights and gates already, and h, c = 0 before the first step:
///
/// ```text
/// i, o, f, g = gates[t] + R·h          by fused multiply-add in order of k
/// c          = σ(2f)·c + σ(2i)·tanh(g)
/// h          = σ(2o)·tanh(c)           → out[t]
/// ```
///
/// tanh(x) is a fraction P/Q, so σ(2x) = (Q + P)/2Q, and c and h take one division each: division is what boards do slowly.
/// With Pi for P(i) and so on, `+` and `·` rounded once each,
///
/// ```text
/// c = fma((Qf + Pf)·c, Qi·Qg, ((Qi + Pi)·Pg)·Qf) / 2(Qf·(Qi·Qg))
/// h = ((Qo + Po)·Pc) / 2(Qo·Qc)        within [−1, 1], since |P| ≤ Q
/// ```
///
/// In int8, `h` in the products is `round(127·h)`, a NaN being 0, their sum is an exact integer, and scaling it and adding
/// `gates[t]` is one fused multiply-add. The cell update is the same.
#[derive(Debug)]
pub struct LstmArgs<'a> {
    /// Pre-activations of the input half, `T × 4·padded_hidden(H)`, columns ordered as
    /// [`pack::gate_columns`](crate::pack::gate_columns) says.
    pub gates: Mat<'a>,
    /// Recurrent weights as [`pack::lstm`](crate::pack::lstm) lays them out for the kernel's precision and this architecture,
    /// `lstm_weight_len(precision, arch, H)` words.
    pub weights: &'a [f32],
    /// Whether time runs from the last row to the first.
    pub reverse: bool,
    /// Scratch, [`lstm_state_len`] words; need not be initialised and means nothing afterwards.
    pub state: &'a mut [f32],
    /// Hidden states, `T × H`.
    pub out: MatMut<'a>,
}

/// Words of the scratch that a unit of `hidden` needs: c, and what is kept of h. In f32 that is a
/// row of zeros for h before the first step, and where weights are only stored in 16 bits the widened weights besides; else h
/// rounded to 16 bits; in int8 the quantised h of two steps, and where sums begin that take h unsigned.
pub fn lstm_state_len(precision: Precision, hidden: usize) -> usize {
    padded_hidden(hidden).saturating_add(match precision {
        Precision::F32 | Precision::Bf16 | Precision::F16Arith => padded_hidden(hidden),
        Precision::F16 => padded_hidden(hidden).saturating_add(widen::weights_len(hidden)),
        #[cfg(target_arch = "riscv64")]
        Precision::Int8 => (2 * quantize::state_bytes(hidden) / 4).max(crate::rvv::hidden_len(hidden)),
        #[cfg(not(target_arch = "riscv64"))]
        Precision::Int8 => (2 * quantize::state_bytes(hidden) / 4).saturating_add(4 * padded_hidden(hidden)),
    })
}

/// What an implementation receives. Shared with C: see `rvv/far_rvv.h`.
///
/// Whoever calls an implementation promises: `gates` is readable as `steps × 4·padded_hidden(hidden)`, `out` writable
/// as `steps × hidden`, each with its stride; `weights` and `state` hold what `lstm_weight_len` and `lstm_state_len` say for the
/// implementation's precision; `out` and `state` overlap nothing.
#[repr(C)]
pub(crate) struct LstmCall {
    pub(crate) steps: usize,
    pub(crate) hidden: usize,
    pub(crate) gates: *const f32,
    pub(crate) gates_stride: usize,
    pub(crate) weights: *const f32,
    pub(crate) state: *mut f32,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) reverse: bool,
}

/// An LSTM recurrence of one precision and instruction set. Holding it proves that this CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Lstm(pub(crate) &'static Entry);

impl Lstm {
    /// The kernel's name, e.g. `lstm_f32_neon`: precision, instructions.
    pub fn name(self) -> &'static str {
        self.0.variant.lstm
    }

    /// In what numbers it multiplies.
    pub fn precision(self) -> Precision {
        self.0.variant.precision
    }

    /// Its row in the table.
    pub fn variant(self) -> &'static Variant {
        self.0.variant
    }

    /// Runs it. Panics if the shapes don't fit together.
    pub fn run(self, mut args: LstmArgs<'_>) {
        let (steps, hidden) = (args.out.rows(), args.out.cols());
        let precision = self.precision();
        assert_eq!(args.gates.rows(), steps, "rows of `gates` and `out` differ");
        // `hidden² · 16` can't overflow for a matrix that lies in memory.
        assert!(hidden < 1 << 28, "{hidden} hidden units are too many");
        if precision == Precision::Int8 {
            assert!(hidden <= quantize::MAX_DEPTH, "{hidden} products are more than an int8 sum can hold");
        }
        assert_eq!(
            args.gates.cols(),
            4 * padded_hidden(hidden),
            "columns of `gates` for {hidden} hidden units"
        );
        let need = lstm_weight_len(precision, HOST, hidden);
        assert_eq!(args.weights.len(), need, "weights for {hidden} hidden units");
        assert_eq!(args.state.len(), lstm_state_len(precision, hidden), "state for {hidden} hidden units");
        let call = LstmCall {
            steps,
            hidden,
            gates: args.gates.as_ptr(),
            gates_stride: args.gates.stride(),
            weights: args.weights.as_ptr(),
            state: args.state.as_mut_ptr(),
            out: args.out.as_mut_ptr(),
            out_stride: args.out.stride(),
            reverse: args.reverse,
        };
        // SAFETY: this value exists only where the instructions do; the views promise the memory, the asserts above
        // that the shapes fit, and `MatMut` and `&mut` that what is written overlaps nothing.
        unsafe { (self.0.lstm)(&call) }
    }
}
