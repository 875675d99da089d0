//! Element-wise kernels: every set against the scalar one, bit for bit; the activations against f64 over dense
//! samples, and over all floats where the test is asked for by name.

mod common;

use common::erf::erf;
use common::{Matrix, Random, oracle, sets};
use far_kernels::matrix::{Mat, MatMut};
use far_kernels::{Activation, AddArgs, Kernels, MapArgs};

const COLS: [usize; 12] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 64, 100];

fn input(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut random = Random::new(seed);
    Matrix::filled(rows, cols, 3, |row| random.fill_wild(row, 9.0, 4))
}

fn map(kernels: Kernels, act: Activation, x: &Matrix) -> Matrix {
    let mut out = Matrix::new(x.rows, x.cols, 2);
    kernels.map().run(MapArgs { act, x: x.view(), out: out.view_mut() });
    out
}

#[allow(unsafe_code)]
fn map_in_place(kernels: Kernels, act: Activation, x: &Matrix) -> Matrix {
    let mut out = x.copy();
    let mut view = out.view_mut();
    let (ptr, rows, cols, stride) = (view.as_mut_ptr(), view.rows(), view.cols(), view.stride());
    // SAFETY: the memory of `view`, which is only used by the call below, as it allows.
    let x = unsafe { Mat::from_raw(ptr, rows, cols, stride) };
    kernels.map().run(MapArgs { act, x, out: view });
    out
}

#[test]
fn every_map_gives_the_scalar_bits() {
    for set in sets(|k| k.map().name()) {
        for cols in COLS {
            for rows in [0, 1, 3] {
                let x = input(rows, cols, 1 + cols as u64);
                for act in Activation::ALL {
                    let what = format!("{} {rows}x{cols} {act:?}", set.map().name());
                    let expected = map(oracle(), act, &x);
                    map(set, act, &x).assert_same(&expected, &what);
                    map_in_place(set, act, &x).assert_same(&expected, &what);
                }
            }
        }
    }
}

#[test]
fn every_sum_gives_the_scalar_bits() {
    for set in sets(|k| k.add().name()) {
        for cols in COLS {
            for rows in [0, 1, 3] {
                let (a, b) = (input(rows, cols, 1), input(rows, cols, 2));
                let sum = |kernels: Kernels| {
                    let mut out = Matrix::new(rows, cols, 2);
                    kernels.add().run(AddArgs { a: a.view(), b: b.view(), out: out.view_mut() });
                    out
                };
                sum(set).assert_same(&sum(oracle()), &format!("{} {rows}x{cols}", set.add().name()));
            }
        }
    }
}

/// All floats whose bits are multiples of `step`, in runs of a bounded length.
fn floats(step: usize, mut check: impl FnMut(&[f32])) {
    const RUN: usize = 1 << 16;
    let mut bits = 0u64;
    while bits <= u64::from(u32::MAX) {
        let run: Vec<f32> = (0..RUN as u64)
            .map(|i| bits + i * step as u64)
            .take_while(|b| *b <= u64::from(u32::MAX))
            .map(|b| f32::from_bits(b as u32))
            .collect();
        check(&run);
        bits += (RUN * step) as u64;
    }
}

fn map_slice(kernels: Kernels, act: Activation, x: &[f32], out: &mut [f32]) {
    let n = x.len();
    kernels.map().run(MapArgs { act, x: Mat::new(x, 1, n, n), out: MatMut::new(out, 1, n, n) });
}

/// Every set against the scalar one, over the floats in steps.
fn same_bits_over(step: usize) {
    let sets = sets(|k| k.map().name());
    for act in Activation::ALL {
        floats(step, |x| {
            let (mut got, mut want) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            map_slice(oracle(), act, x, &mut want);
            for set in &sets {
                map_slice(*set, act, x, &mut got);
                for ((x, got), want) in x.iter().zip(&got).zip(&want) {
                    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                    assert!(same, "{} {act:?}({x:e}): expected `{want:e}`, got `{got:e}`", set.map().name());
                }
            }
        });
    }
}

#[test]
fn every_map_gives_the_scalar_bits_over_a_sample_of_all_floats() {
    same_bits_over(40_009);
}

#[test]
#[ignore = "goes over a hundred million floats"]
fn every_map_gives_the_scalar_bits_over_a_dense_sample_of_all_floats() {
    same_bits_over(37);
}

/// tanh of the best set, which is the scalar one's by the tests above: error in ULP, range, sign, special values.
fn tanh_over(step: usize) {
    let mut worst = (0.0, 0.0);
    floats(step, |x| {
        let mut y = vec![0.0; x.len()];
        map_slice(Kernels::best(), Activation::Tanh, x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            if x.is_nan() {
                assert!(y.is_nan());
                continue;
            }
            assert!(y.abs() <= 1.0, "tanh({x:e}) = {y:e}");
            assert_eq!(y.is_sign_negative(), x.is_sign_negative(), "sign of tanh({x:e})");
            let exact = f64::from(x).tanh();
            let error = (f64::from(y) - exact).abs() / ulp(exact);
            if error > worst.0 {
                worst = (error, x);
            }
        }
    });
    assert!(worst.0 <= 4.9, "tanh is {} ULP off at {:e}", worst.0, worst.1);
}

/// The unit in the last place of the float nearest to `x`; that below 1 for 1 itself, as nothing is above.
fn ulp(x: f64) -> f64 {
    let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
    let below = f32::from_bits(x.to_bits() - 1);
    if x == 1.0 { f64::from(x - below) } else { f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x) }
}

#[test]
fn tanh_is_accurate_over_a_sample_of_all_floats() {
    tanh_over(4_001);
}

#[test]
#[ignore = "goes over all floats"]
fn tanh_is_accurate_over_all_floats() {
    tanh_over(1);
}

#[test]
fn tanh_saturates() {
    let x = [f32::INFINITY, f32::NEG_INFINITY, 9.5, -9.5, 0.0, -0.0, 1e-45, -1e-30];
    let mut y = [0.0; 8];
    map_slice(oracle(), Activation::Tanh, &x, &mut y);
    let want = [1.0, -1.0, 1.0, -1.0, 0.0, -0.0, 1e-45, -1e-30f32];
    assert_eq!(y.map(f32::to_bits), want.map(f32::to_bits));
}

#[test]
fn gelu_is_accurate() {
    let mut random = Random::new(3);
    let mut x = vec![0.0; 200_000];
    random.fill(&mut x, 8.0);
    let mut y = vec![0.0; x.len()];
    map_slice(Kernels::best(), Activation::Gelu, &x, &mut y);
    for (&x, &y) in x.iter().zip(&y) {
        let want = f64::from(x) * 0.5 * (1.0 + erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
        let error = (f64::from(y) - want).abs();
        assert!(error <= 2e-7 * f64::from(x.abs()), "gelu({x:e}): expected `{want:e}`, got `{y:e}`");
        assert!(y.is_sign_negative() == x.is_sign_negative(), "sign of gelu({x:e})");
    }
    map_slice(Kernels::best(), Activation::GeluTanh, &x.clone(), &mut y);
    for (&x, &y) in x.iter().zip(&y) {
        let x = f64::from(x);
        let want =
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh());
        assert!(
            (f64::from(y) - want).abs() <= 3e-7 * x.abs(),
            "gelu_tanh({x:e}): expected `{want:e}`, got `{y:e}`"
        );
    }
}

#[test]
fn relu_keeps_nan_and_cuts_negatives() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e-45, 3.0, -3.0];
    let mut y = [0.0; 6];
    map_slice(oracle(), Activation::Relu, &x, &mut y);
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [f32::INFINITY, 0.0, 0.0, 3.0, 0.0]);
}
