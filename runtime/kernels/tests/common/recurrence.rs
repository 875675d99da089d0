//! A recurrence to run: weights and gates of some sort of numbers.

use far_format::layout::{lstm_weight_len, padded_hidden};
use far_kernels::pack::{self, HOST};
use far_kernels::{Lstm, LstmArgs, Precision, lstm_state_len};

use super::{Fenced, Matrix, Random};

pub(crate) struct Recurrence {
    pub(crate) hidden: usize,
    pub(crate) gates: Matrix,
    pub(crate) weights: Fenced,
}

impl Recurrence {
    /// Numbers as `fill` makes them of about a size, laid out as the kernels want them: padding is zero.
    pub(crate) fn new(
        precision: Precision,
        steps: usize,
        hidden: usize,
        fill: impl Fn(&mut Random, &mut [f32], f32),
    ) -> Self {
        let mut random = Random::new((steps * 1009 + hidden) as u64);
        let mut r = vec![0.0; 4 * hidden * hidden];
        fill(&mut random, &mut r, 0.4);
        let mut weights = Fenced::new(lstm_weight_len(precision, HOST, hidden));
        pack::lstm(precision, HOST, hidden, &r, &mut weights);
        let gates = Matrix::filled(steps, 4 * padded_hidden(hidden), 4, |row| {
            fill(&mut random, row, 2.0);
            for (x, column) in row.iter_mut().zip(pack::gate_columns(hidden)) {
                *x = column.map_or(0.0, |_| *x);
            }
        });
        Self { hidden, gates, weights }
    }

    pub(crate) fn run(&self, lstm: Lstm, reverse: bool) -> Matrix {
        let mut out = Matrix::new(self.gates.rows, self.hidden, 3);
        let mut state = Fenced::new(lstm_state_len(lstm.precision(), self.hidden));
        state.fill(f32::NAN);
        lstm.run(LstmArgs {
            gates: self.gates.view(),
            weights: &self.weights,
            reverse,
            state: &mut state,
            out: out.view_mut(),
        });
        out
    }
}
