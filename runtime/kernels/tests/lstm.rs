//! LSTM recurrences: every variant against the scalar one of its precision, bit for bit; the scalar ones against f64.

mod common;

use common::recurrence::Recurrence;
use common::{Matrix, Random, lstm_oracle, lstms};
use far_format::layout::{lstm_weight_len, padded_hidden};
use far_kernels::pack::{self, Gate, HOST};
use far_kernels::{LstmArgs, Precision, lstm_state_len};

const HIDDEN: [usize; 17] = [1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 27, 32, 33, 40, 48, 57, 64];

/// Plain or wild numbers.
fn case(precision: Precision, steps: usize, hidden: usize, wild: bool) -> Recurrence {
    Recurrence::new(precision, steps, hidden, |random, row, scale| match wild {
        true => random.fill_wild(row, scale, 150),
        false => random.fill(row, scale),
    })
}

#[test]
fn every_variant_gives_the_scalar_bits() {
    for lstm in lstms() {
        for hidden in HIDDEN {
            for steps in [0, 1, 2, 5] {
                for (wild, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
                    let case = case(lstm.precision(), steps, hidden, wild);
                    let what = format!("{} T={steps} H={hidden} reverse={reverse}", lstm.name());
                    let expected = case.run(lstm_oracle(lstm.precision()), reverse);
                    case.run(lstm, reverse).assert_same(&expected, &what);
                }
            }
        }
    }
}

/// Hidden states become ±1 or nearly, then gates depend on their sums with weights of one size, which are as large as they get.
#[test]
fn int8_sums_of_any_size_are_exact() {
    for lstm in lstms().into_iter().filter(|lstm| lstm.precision() == Precision::Int8) {
        for (size, hidden) in
            [8, 16, 17, 31, 32, 46, 64, 65, 90, 127].into_iter().flat_map(|w| [7, 24, 64].map(|h| (w, h)))
        {
            let (steps, sign) = (8, |unit: usize| if unit.is_multiple_of(3) { -1.0 } else { 1.0 });
            let mut case = case(Precision::Int8, steps, hidden, false);
            let r: Vec<f32> = (0..4 * hidden * hidden)
                .map(|at| sign(at % hidden) * 1e-4 * if at % hidden == 3 { 127.0 } else { size as f32 })
                .collect();
            pack::lstm(Precision::Int8, HOST, hidden, &r, &mut case.weights);
            let mut step = 0..;
            case.gates = Matrix::filled(steps, 4 * padded_hidden(hidden), 4, |row| {
                let gate = if step.next() < Some(6) { 20.0 } else { 0.1 };
                for (x, column) in row.iter_mut().zip(pack::gate_columns(hidden)) {
                    *x = column
                        .map_or(0.0, |(of, unit)| if of == Gate::Cell { sign(unit) * gate } else { gate });
                }
            });
            let expected = case.run(lstm_oracle(Precision::Int8), false);
            case.run(lstm, false).assert_same(&expected, &format!("{} {size} H={hidden}", lstm.name()));
        }
    }
}

/// The formulas of [`LstmArgs`] in f64, without packing: `gates` by step, gate and unit, `r` by gate, unit and k.
fn reference(
    steps: &[usize],
    gates: impl Fn(usize, Gate, usize) -> f64,
    r: &[f32],
    hidden: usize,
) -> Vec<Vec<f64>> {
    let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
    let mut out = vec![Vec::new(); steps.len()];
    for &t in steps {
        let sum = |gate: Gate, unit: usize, h: &[f64]| {
            let row = &r[(gate as usize * hidden + unit) * hidden..][..hidden];
            gates(t, gate, unit) + row.iter().zip(h).map(|(r, h)| f64::from(*r) * h).sum::<f64>()
        };
        let sigmoid_of_double = |x: f64| 1.0 / (1.0 + (-2.0 * x).exp());
        let next: Vec<f64> = (0..hidden)
            .map(|unit| {
                let [i, o, f] =
                    [Gate::Input, Gate::Output, Gate::Forget].map(|g| sigmoid_of_double(sum(g, unit, &h)));
                c[unit] = f * c[unit] + i * sum(Gate::Cell, unit, &h).tanh();
                o * c[unit].tanh()
            })
            .collect();
        h = next;
        out[t].clone_from(&h);
    }
    out
}

#[test]
fn the_scalar_recurrence_is_the_recurrence() {
    for (steps, hidden, reverse) in [(9, 5, false), (9, 27, true), (6, 40, false)] {
        let mut random = Random::new(hidden as u64);
        let mut r = vec![0.0; 4 * hidden * hidden];
        random.fill(&mut r, 0.4);
        let mut gates = vec![0.0; steps * 4 * hidden];
        random.fill(&mut gates, 2.0);
        let gate = |t: usize, gate: Gate, unit: usize| gates[(t * 4 + gate as usize) * hidden + unit];
        let mut t = 0..;
        let packed_gates = Matrix::filled(steps, 4 * padded_hidden(hidden), 0, |row| {
            let t = t.next().expect("as many rows as steps");
            for (x, column) in row.iter_mut().zip(pack::gate_columns(hidden)) {
                *x = column.map_or(0.0, |(g, unit)| gate(t, g, unit));
            }
        });
        let mut order: Vec<usize> = (0..steps).collect();
        if reverse {
            order.reverse();
        }
        let expected = reference(&order, |t, g, u| f64::from(gate(t, g, u)), &r, hidden);
        // What the weights lose by rounding, and in int8 the hidden states too.
        for (precision, tolerance) in
            [(Precision::F32, 2e-6), (Precision::F16, 1e-3), (Precision::Bf16, 5e-3), (Precision::Int8, 2e-2)]
        {
            let mut weights = vec![0.0; lstm_weight_len(precision, HOST, hidden)];
            pack::lstm(precision, HOST, hidden, &r, &mut weights);
            let mut out = Matrix::new(steps, hidden, 0);
            lstm_oracle(precision).run(LstmArgs {
                gates: packed_gates.view(),
                weights: &weights,
                reverse,
                state: &mut vec![0.0; lstm_state_len(precision, hidden)],
                out: out.view_mut(),
            });
            for (t, expected) in expected.iter().enumerate() {
                for (got, want) in out.row(t).iter().zip(expected) {
                    let error = f64::from(*got) - want;
                    assert!(
                        error.abs() < tolerance,
                        "{precision}, T={t} of {steps}, H={hidden}: {want} {got}"
                    );
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "state for 9 hidden units")]
fn a_short_state_is_refused() {
    let case = case(Precision::F32, 2, 9, false);
    let mut out = Matrix::new(2, 9, 0);
    lstm_oracle(Precision::F32).run(LstmArgs {
        gates: case.gates.view(),
        weights: &case.weights,
        reverse: false,
        state: &mut [0.0; 18],
        out: out.view_mut(),
    });
}

#[test]
fn saturated_units_stay_within_one() {
    let hidden = 16;
    let weights = vec![0.0; lstm_weight_len(Precision::F32, HOST, hidden)];
    // Around where tanh becomes 1, and far beyond; in every combination of signs.
    let sizes = [7.5, 8.0, 8.059908, 8.059909, 8.05991, 9.0, 1e6, f32::INFINITY];
    for (size, signs) in sizes.iter().flat_map(|size| (0..16).map(move |signs| (*size, signs))) {
        let gates = Matrix::filled(5, 4 * padded_hidden(hidden), 0, |row| {
            for (i, x) in row.iter_mut().enumerate() {
                *x = if signs >> (i / hidden) & 1 == 1 { -size } else { size };
            }
        });
        let mut out = Matrix::new(5, hidden, 0);
        lstm_oracle(Precision::F32).run(LstmArgs {
            gates: gates.view(),
            weights: &weights,
            reverse: false,
            state: &mut vec![0.0; lstm_state_len(Precision::F32, hidden)],
            out: out.view_mut(),
        });
        for h in (0..5).flat_map(|t| out.row(t)) {
            assert!(h.abs() <= 1.0, "size {size:e}, signs {signs:04b}: {h:e}");
        }
    }
}
