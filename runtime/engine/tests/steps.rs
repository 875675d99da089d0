//! Each step against naive f64 code, with every ISA of this CPU and several numbers of threads bit for bit the same.

mod common;

use common::{Builder, assert_close, everything, noise, part, run_every_way};
use far_format::layout::{
    Activation, Precision, attention_work_bytes, lstm_weight_len, padded_hidden, panels_len,
};
use far_format::plan::{Attention, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Patches, StepOp};
use far_kernels::pack;
use far_kernels::pack::HOST;

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    // Abramowitz and Stegun 7.1.5.
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn activate(act: Activation, x: f64) -> f64 {
    match act {
        Activation::None => x,
        Activation::Gelu => x * 0.5 * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
        Activation::GeluShort => {
            let s =
                [-0.49957734, 0.38812, 0.045882534, -0.14174826, 0.058129042, -0.0100156795, 0.00064942415];
            let b = x.abs().min(3.9);
            x.max(0.0) + b * s.iter().rev().fold(0.0, |sum, c| sum * b + c)
        }
    }
}

/// Two dense groups, one of depth 0, one column that nobody writes, a residual in place, for several sizes.
#[test]
fn gemm() {
    for (rows, k, n) in [(1, 3, 5), (7, 16, 33), (61, 48, 160), (197, 40, 96)] {
        let mut b = Builder::new();
        let (x, old) = (b.input(rows, k + 2), b.input(rows, n + 8));
        let (a, out, port) = (b.arena(rows, k + 2), b.arena(rows, n + 8), b.output(rows, n + 8));
        let (w, bias) = (noise(1, k * n), noise(2, n));
        let mut packed = vec![0.0; panels_len(k, n)];
        pack::gemm(Precision::F32, HOST, k, n, |k, col| w[k * n + col], Some(&bias), &mut packed);
        let dense = b.weights(&packed);
        let constant = noise(3, 7);
        let mut packed = vec![0.0; panels_len(0, 7)];
        pack::gemm(Precision::F32, HOST, 0, 7, |_, _| 0.0, Some(&constant), &mut packed);
        let depth_0 = b.weights(&packed);
        b.step(StepOp::Copy { x, out: a });
        b.step(StepOp::Copy { x: old, out });
        b.step(StepOp::Gemm(Gemm {
            a,
            out,
            residual: Some(out),
            act: Activation::Gelu,
            precision: Precision::F32,
            groups: vec![
                GemmGroup { a_col: 2, k: k as u32, out_col: 7, n: n as u32, weights: dense },
                GemmGroup { a_col: 0, k: 0, out_col: 0, n: 7, weights: depth_0 },
            ],
        }));
        b.step(StepOp::Copy { x: out, out: port });

        let (x, old) = (noise(4, rows * (k + 2)), noise(5, rows * (n + 8)));
        let found = run_every_way(&b.model(), &[&x, &old]);
        let (x, old) = (f64s(&x), f64s(&old));
        let mut expected = old;
        for r in 0..rows {
            let out = &mut expected[r * (n + 8)..][..n + 8];
            for (col, c) in constant.iter().enumerate() {
                out[col] += activate(Activation::Gelu, f64::from(*c));
            }
            for col in 0..n {
                let products = (0..k).map(|i| x[r * (k + 2) + 2 + i] * f64::from(w[i * n + col]));
                out[7 + col] += activate(Activation::Gelu, f64::from(bias[col]) + products.sum::<f64>());
            }
        }
        assert_close(&found, &expected, 1e-6);
    }
}

/// Ragged units in both directions; gates are the caller's.
#[test]
fn lstm() {
    let sizes = [(5, false), (16, true), (23, false), (1, true), (40, true)];
    for tokens in [1, 2, 37] {
        let mut b = Builder::new();
        let width: usize = sizes.iter().map(|(h, _)| 4 * padded_hidden(*h)).sum();
        let hidden: usize = sizes.iter().map(|(h, _)| h).sum();
        let (gates, out) = (b.input(tokens, width), b.output(tokens, hidden));
        let (mut units, mut recurrent, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let (mut gate_col, mut out_col) = (0, 0);
        for (h, reverse) in sizes {
            let r: Vec<f32> = noise(h as u64, 4 * h * h).iter().map(|w| w / 4.0).collect();
            let mut packed = vec![0.0; lstm_weight_len(Precision::F32, HOST, h)];
            pack::lstm(Precision::F32, HOST, h, &r, &mut packed);
            let weights = b.weights(&packed);
            units.push(LstmUnit {
                gate_col: gate_col as u32,
                hidden: h as u32,
                out_col: out_col as u32,
                reverse,
                weights,
            });
            columns.extend(pack::gate_columns(h));
            recurrent.push(r);
            gate_col += 4 * padded_hidden(h);
            out_col += h;
        }
        b.step(StepOp::Lstm(Lstm { gates, out, precision: Precision::F32, units }));

        let mut values = noise(9, tokens * width);
        for (i, value) in values.iter_mut().enumerate() {
            if columns[i % width].is_none() {
                *value = 0.0;
            }
        }
        let found = run_every_way(&b.model(), &[&values]);

        let mut expected = vec![0.0; tokens * hidden];
        let (mut gate_col, mut out_col) = (0, 0);
        for ((h, reverse), r) in sizes.into_iter().zip(&recurrent) {
            let place = |gate: usize, unit: usize| {
                let is =
                    |c: &Option<(pack::Gate, usize)>| c.is_some_and(|(g, u)| g as usize == gate && u == unit);
                gate_col + pack::gate_columns(h).position(|c| is(&c)).unwrap()
            };
            let (mut state, mut cell) = (vec![0.0f64; h], vec![0.0f64; h]);
            for step in 0..tokens {
                let t = if reverse { tokens - 1 - step } else { step };
                let pre = |gate: usize, unit: usize| {
                    let row = &r[(gate * h + unit) * h..][..h];
                    let products: f64 = row.iter().zip(&state).map(|(w, s)| f64::from(*w) * s).sum();
                    f64::from(values[t * width + place(gate, unit)]) + products
                };
                // The gates carry the ½ of sigmoid(x) = ½ + ½·tanh(x/2) already.
                let sigmoid = |x: f64| 0.5 + 0.5 * x.tanh();
                let next: Vec<(f64, f64)> = (0..h)
                    .map(|unit| {
                        let c =
                            sigmoid(pre(2, unit)) * cell[unit] + sigmoid(pre(0, unit)) * pre(3, unit).tanh();
                        (sigmoid(pre(1, unit)) * c.tanh(), c)
                    })
                    .collect();
                for (unit, (h_new, c_new)) in next.into_iter().enumerate() {
                    (state[unit], cell[unit]) = (h_new, c_new);
                    expected[t * hidden + out_col + unit] = h_new;
                }
            }
            gate_col += 4 * padded_hidden(h);
            out_col += h;
        }
        assert_close(&found, &expected, 2e-6);
    }
}

#[test]
fn layer_norm() {
    for (rows, cols, affine) in [(1, 1, true), (5, 17, false), (300, 96, true)] {
        let mut b = Builder::new();
        let (x, y, out) = (b.input(rows, cols), b.arena(rows, cols), b.output(rows, cols));
        let parameters = noise(1, 2 * cols);
        let offset = affine.then(|| b.weights(&parameters));
        b.step(StepOp::Copy { x, out: y });
        b.step(StepOp::LayerNorm(LayerNorm { x: y, out: y, eps: 1e-3, affine: offset }));
        b.step(StepOp::Copy { x: y, out });

        let values = noise(2, rows * cols);
        let found = run_every_way(&b.model(), &[&values]);
        let mut expected = Vec::new();
        for row in f64s(&values).chunks(cols) {
            let mean = row.iter().sum::<f64>() / cols as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / cols as f64;
            for (c, x) in row.iter().enumerate() {
                let y = (x - mean) / (variance + 1e-3).sqrt();
                let (scale, shift) = (f64::from(parameters[c]), f64::from(parameters[cols + c]));
                expected.push(if affine { y * scale + shift } else { y });
            }
        }
        assert_close(&found, &expected, 2e-6);
    }
}

#[test]
fn attention() {
    for (tokens, heads, d) in [(1, 1, 1), (5, 2, 7), (70, 3, 16), (131, 2, 24)] {
        let cols = heads * d;
        let mut b = Builder::new();
        let (qkv, out) = (b.input(tokens, 3 * cols), b.output(tokens, cols));
        let work = b.work(attention_work_bytes(tokens, heads, d));
        let [q, k, v] = [0, 1, 2].map(|i| part(qkv, 0, i * cols, tokens, cols));
        b.step(StepOp::Attention(Attention { q, k, v, out, heads: heads as u32, scale: 0.7, work }));

        let values = noise(3, tokens * 3 * cols);
        let found = run_every_way(&b.model(), &[&values]);
        let at = |i: usize, t: usize, c: usize| f64::from(values[t * 3 * cols + i * cols + c]);
        let mut expected = vec![0.0; tokens * cols];
        for head in 0..heads {
            for t in 0..tokens {
                let dot =
                    |s: usize| (head * d..(head + 1) * d).map(|c| at(0, t, c) * at(1, s, c)).sum::<f64>();
                let weights: Vec<f64> = (0..tokens).map(|s| (0.7 * dot(s)).exp()).collect();
                let total: f64 = weights.iter().sum();
                for c in head * d..(head + 1) * d {
                    let sum: f64 = weights.iter().enumerate().map(|(s, w)| w * at(2, s, c)).sum();
                    expected[t * cols + c] = sum / total;
                }
            }
        }
        assert_close(&found, &expected, 3e-6);
    }
}

#[test]
fn patches() {
    for (channels, height, width, ph, pw) in [(1, 2, 4, 2, 2), (3, 6, 10, 3, 5), (3, 160, 160, 16, 8)] {
        let (down, across) = (height / ph, width / pw);
        let mut b = Builder::new();
        let (image, out) = (b.input(channels * height, width), b.output(down * across, channels * ph * pw));
        b.step(StepOp::Patches(Patches {
            image,
            channels: channels as u32,
            patch_height: ph as u32,
            patch_width: pw as u32,
            out,
        }));
        let values: Vec<f32> = (0..channels * height * width).map(|i| i as f32).collect();
        let found = run_every_way(&b.model(), &[&values]);
        let mut expected = Vec::new();
        for (py, px) in (0..down).flat_map(|py| (0..across).map(move |px| (py, px))) {
            for (c, y) in (0..channels).flat_map(|c| (0..ph).map(move |y| (c, y))) {
                let first = (c * height + py * ph + y) * width + px * pw;
                expected.extend_from_slice(&values[first..first + pw]);
            }
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn map() {
    for act in Activation::ALL {
        let (rows, cols) = (77, 93);
        let mut b = Builder::new();
        let (x, y, out) = (b.input(rows, cols), b.arena(rows, cols), b.output(rows, cols));
        b.step(StepOp::Copy { x, out: y });
        b.step(StepOp::Map { act, x: y, out: y });
        b.step(StepOp::Map { act: Activation::None, x: y, out });
        let values: Vec<f32> = noise(1, rows * cols).iter().map(|x| 3.0 * x).collect();
        let found = run_every_way(&b.model(), &[&values]);
        let expected: Vec<f64> = f64s(&values).into_iter().map(|x| activate(act, x)).collect();
        assert_close(&found, &expected, 1e-6);
    }
}

/// Copy, add and mean, of a constant and of part of a tensor, on enough elements for several threads.
#[test]
fn add_copy_and_mean() {
    let (rows, cols) = (700, 101);
    let position = noise(1, rows * cols);
    let mut b = Builder::new();
    let (x, p) = (b.input(rows + 1, cols + 2), b.constant(rows, cols, &position));
    let (y, sum, mean) = (b.arena(rows, cols), b.output(rows, cols), b.output(1, cols));
    b.step(StepOp::Copy { x: part(x, 1, 2, rows, cols), out: y });
    b.step(StepOp::Add { a: p, b: y, out: y });
    b.step(StepOp::Copy { x: y, out: sum });
    b.step(StepOp::MeanRows { x: sum, out: mean });
    let values = noise(2, (rows + 1) * (cols + 2));
    let found = run_every_way(&b.model(), &[&values]);

    let mut expected = Vec::new();
    for r in 0..rows {
        let x = &values[(r + 1) * (cols + 2) + 2..][..cols];
        expected.extend(x.iter().zip(&position[r * cols..]).map(|(x, p)| x + p));
    }
    let mut means = expected[..cols].to_vec();
    for row in expected.chunks(cols).skip(1) {
        means.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    means.iter_mut().for_each(|sum| *sum /= rows as f32);
    assert_eq!(found, [expected, means].concat());
}

/// Not a number stays one and spreads no further than it must.
#[test]
fn nan_and_infinity_pass_through() {
    let mut b = Builder::new();
    let (x, out) = (b.input(2, 20), b.output(2, 20));
    b.step(StepOp::Map { act: Activation::Relu, x, out });
    let mut values = noise(1, 40);
    (values[3], values[17], values[21]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    let mut session = far_engine::Session::new(b.model(), &Default::default()).unwrap();
    let found = common::run(&mut session, &[&values]).concat();
    assert!(found[3].is_nan() && found[17] == f32::INFINITY && found[21] == 0.0);
    assert_eq!(found.iter().filter(|x| x.is_nan()).count(), 1);
}

/// The bits that every architecture gives. They change only with the definition of the numbers.
#[test]
fn every_architecture_gives_these_bits() {
    let found = run_every_way(&everything().model(), &[&noise(4, 64)]);
    let found: Vec<u32> = found.iter().map(|x| x.to_bits()).collect();
    assert_eq!(
        found,
        [
            0x3e9c_47e7,
            0x3e97_edc9,
            0xbe9d_8913,
            0xbf78_4616,
            0x3ef3_1c20,
            0x3da0_b271,
            0xbf06_bce5,
            0xbe97_5727
        ]
    );
}
