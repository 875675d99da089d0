//! Products, recurrences and tables of reduced precision: near what f64 gives, and the same bits with every number of threads
//! and every instruction set whose bits are promised.

mod common;

use common::{Builder, assert_close, host, noise, part, run, run_every_way};
use far_engine::{Counted, Error, ErrorKind, Extent, Input, Model, Session, SessionOptions};
use far_format::cpu::Features;
use far_format::layout::{
    Activation, Precision, gemm_weight_len, lstm_weight_len, padded_hidden, table_row_len,
};
use far_format::plan::{Dtype, Embed, Gemm, GemmGroup, Lstm, LstmUnit, StepOp};
use far_kernels::pack;

const ROWS: usize = 37;
const UNITS: [(usize, bool); 2] = [(19, false), (8, true)];

/// Deep enough for several threads; two groups that read some of the same columns, of odd depths and widths.
const GROUPS: [(usize, usize, usize); 2] = [(0, 61, 90), (20, 45, 70)];

/// Largest part of an output's range that it may be off by.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F16 => 1e-3,
        Precision::Bf16 | Precision::F16Arith => 1e-2,
        Precision::Int8 => 2e-2,
    }
}

fn weight(group: usize, k: usize, n: usize) -> f32 {
    noise((group * 1000 + k) as u64, n + 1)[n] / 4.0
}

/// A product with a residual, and the recurrences of two units over its result.
fn products(precision: Precision) -> Builder {
    let mut b = Builder::new();
    let width: usize = GROUPS.iter().map(|(_, _, n)| n).sum();
    let (x, y) = (b.input(ROWS, 65), b.input(ROWS, width));
    let out = b.output(ROWS, width);
    let mut out_col = 0;
    let groups = GROUPS.iter().enumerate().map(|(g, (a_col, k, n))| {
        let (k, n) = (*k, *n);
        let mut packed = vec![0.0; gemm_weight_len(precision, host(), k, n)];
        let bias = noise(77 + g as u64, n);
        pack::gemm(precision, host(), k, n, |k, n| weight(g, k, n), Some(&bias), &mut packed);
        let weights = b.weights(&packed);
        let group = GemmGroup { a_col: *a_col as u32, k: k as u32, out_col, n: n as u32, weights };
        out_col += n as u32;
        group
    });
    let groups = groups.collect();
    let gemm = Gemm { a: x, out, residual: Some(y), act: Activation::Tanh, precision, groups };
    b.step(StepOp::Gemm(gemm));

    let hidden = UNITS.iter().map(|(hidden, _)| hidden).sum();
    let gates_cols: usize = UNITS.iter().map(|(hidden, _)| 4 * padded_hidden(*hidden)).sum();
    let (gates, states) = (b.input(ROWS, gates_cols), b.output(ROWS, hidden));
    let (mut units, mut gate_col, mut out_col) = (Vec::new(), 0, 0);
    for (hidden, reverse) in UNITS {
        let mut packed = vec![0.0; lstm_weight_len(precision, host(), hidden)];
        pack::lstm(precision, host(), hidden, &recurrent(hidden), &mut packed);
        let weights = b.weights(&packed);
        units.push(LstmUnit { gate_col, hidden: hidden as u32, out_col, reverse, weights });
        gate_col += 4 * padded_hidden(hidden) as u32;
        out_col += hidden as u32;
    }
    b.step(StepOp::Lstm(Lstm { gates, out: states, precision, units }));
    b
}

fn recurrent(hidden: usize) -> Vec<f32> {
    noise(hidden as u64, 4 * hidden * hidden).iter().map(|r| r / 3.0).collect()
}

fn inputs() -> [Vec<f32>; 3] {
    let gates: usize = UNITS.iter().map(|(hidden, _)| 4 * padded_hidden(*hidden)).sum();
    let width: usize = GROUPS.iter().map(|(_, _, n)| n).sum();
    [noise(1, ROWS * 65), noise(2, ROWS * width), noise(3, ROWS * gates)]
}

fn artifact(b: &Builder) -> Vec<u8> {
    b.artifact_for(host(), b.plan.features(host()))
}

fn expected_product([x, y, _]: &[Vec<f32>; 3]) -> Vec<f64> {
    let width: usize = GROUPS.iter().map(|(_, _, n)| n).sum();
    let mut out: Vec<f64> = Vec::new();
    for row in 0..ROWS {
        for (g, (a_col, k, n)) in GROUPS.iter().enumerate() {
            let bias = noise(77 + g as u64, *n);
            for (col, bias) in bias.iter().enumerate() {
                let a = &x[row * 65 + a_col..];
                let sum: f64 = (0..*k).map(|k| f64::from(a[k]) * f64::from(weight(g, k, col))).sum();
                let residual = f64::from(y[row * width + out.len() % width]);
                out.push((sum + f64::from(*bias)).tanh() + residual);
            }
        }
    }
    out
}

fn expected_states(gates: &[f32]) -> Vec<f64> {
    let width: usize = UNITS.iter().map(|(hidden, _)| hidden).sum();
    let cols: usize = UNITS.iter().map(|(hidden, _)| 4 * padded_hidden(*hidden)).sum();
    let mut out = vec![0.0; ROWS * width];
    let (mut gate_col, mut out_col) = (0, 0);
    for (hidden, reverse) in UNITS {
        let r = recurrent(hidden);
        let places: Vec<_> = pack::gate_columns(hidden).collect();
        let at = |gate: usize, unit: usize| {
            places
                .iter()
                .position(|place| place.is_some_and(|(g, u)| (g as usize, u) == (gate, unit)))
                .unwrap()
        };
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        for step in 0..ROWS {
            let row = if reverse { ROWS - 1 - step } else { step };
            let sigma = |x: f64| 0.5 + 0.5 * x.tanh();
            let before = h.clone();
            for unit in 0..hidden {
                let gate = |gate: usize| {
                    let from = f64::from(gates[row * cols + gate_col + at(gate, unit)]);
                    let products = before.iter().enumerate();
                    from + products
                        .map(|(k, h)| h * f64::from(r[(gate * hidden + unit) * hidden + k]))
                        .sum::<f64>()
                };
                c[unit] = sigma(gate(2)) * c[unit] + sigma(gate(0)) * gate(3).tanh();
                h[unit] = sigma(gate(1)) * f64::tanh(c[unit]);
                out[row * width + out_col + unit] = h[unit];
            }
        }
        gate_col += 4 * padded_hidden(hidden);
        out_col += hidden;
    }
    out
}

#[test]
fn products_and_recurrences() {
    let inputs = inputs();
    let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let expected = [expected_product(&inputs), expected_states(&inputs[2])];
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for precision in Precision::ALL {
        if precision.features(host()).is_none() {
            continue;
        }
        let model = match Model::from_bytes(&artifact(&products(precision))) {
            Ok(model) => model,
            Err(error) => {
                assert!(
                    !precision.is_exact() && matches!(error, Error::Features { .. }),
                    "{precision}: {error}"
                );
                continue;
            }
        };
        let outputs = if precision.is_exact() {
            run_every_way(&model, &slices)
        } else {
            // The order of its sums is the instruction set's own, but no thread's.
            let of = |threads| {
                let options = SessionOptions { threads, ..SessionOptions::default() };
                run(&mut Session::new(Counted::clone(&model), &options).unwrap(), &slices).concat()
            };
            let one = of(1);
            assert!([2, 3, 8].iter().all(|threads| of(*threads) == one), "{precision}");
            one
        };
        let (product, states) = outputs.split_at(expected[0].len());
        assert_close(product, &expected[0], tolerance(precision));
        assert_close(states, &expected[1], tolerance(precision));
        assert!(!seen.contains(&outputs), "{precision} is like another");
        seen.push(outputs);
    }
    assert!(seen.len() >= 3);
}

#[test]
fn kernels_are_named() {
    for (precision, number) in [(Precision::F32, "f32"), (Precision::F16, "f16"), (Precision::Int8, "i8")] {
        let session = Session::new(products(precision).model(), &SessionOptions::default()).unwrap();
        let names = session.kernels();
        let [gemm, lstm] = names[..] else { panic!("{names:?}") };
        assert!(gemm.starts_with(&format!("gemm_{number}_")), "{gemm}");
        assert!(lstm.starts_with(&format!("lstm_{number}_")), "{lstm}");
    }
}

#[test]
fn rows_of_tables() {
    const VOCABULARY: usize = 11;
    let ids: Vec<i64> = (0..64).map(|i| i * 7 % VOCABULARY as i64).collect();
    for cols in [1, 6, 16] {
        let table: Vec<f32> = noise(5, VOCABULARY * cols);
        for precision in [Precision::F32, Precision::F16, Precision::Int8] {
            let mut b = Builder::new();
            let out = b.output(ids.len(), cols);
            let ids_port = far_format::plan::Port {
                name: "ids".into(),
                dtype: Dtype::I64,
                dims: vec![far_format::plan::Dim::Fixed(ids.len() as u32)],
            };
            b.plan.inputs.push(ids_port);
            let mut packed = vec![0.0; VOCABULARY * table_row_len(precision, cols).unwrap()];
            far_kernels::pack_table(precision, cols, &table, &mut packed);
            let table_at = b.weights(&packed);
            let (input, vocab) = (0, VOCABULARY as u32);
            b.step(StepOp::Embed(Embed {
                input,
                table: table_at,
                vocab,
                precision,
                out: part(out, 0, 0, 64, cols),
            }));
            let mut session = Session::new(b.model(), &SessionOptions::default()).unwrap();
            let mut found = vec![f32::NAN; ids.len() * cols];
            let extent = Extent { batch: 1, tokens: 0 };
            session.run_extent(extent, &[Input::I64(&ids)], &mut [&mut found]).unwrap();
            let expected = ids.iter().flat_map(|id| &table[*id as usize * cols..][..cols]);
            let expected: Vec<f64> = expected.map(|x| f64::from(*x)).collect();
            assert_close(&found, &expected, 0.51 / 127.0);
            assert!(
                precision != Precision::F32 || found.iter().zip(&expected).all(|(a, b)| f64::from(*a) == *b)
            );
        }
    }
}

/// The precisions that not every CPU has are refused by name where it lacks them, whatever this CPU is.
#[test]
fn what_the_cpu_lacks_is_named() {
    let present = far_kernels::cpu::detect();
    for (feature, arch, name) in Features::ALL {
        if *arch != host() || present.contains(*feature) {
            continue;
        }
        let error = Model::from_bytes(&products(Precision::Int8).artifact_for(host(), *feature)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Features);
        assert!(error.to_string().contains(&format!("missing `{name}`")), "{error}");
    }
}
