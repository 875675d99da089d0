//! What int8 promises beyond equal bits: exact sums as deep as they may be, and what becomes of rows and columns that have no scale.

mod common;

use common::{Matrix, Random, gemm_oracle, gemms};
use far_format::layout::gemm_weight_len;
use far_kernels::pack::{self, HOST};
use far_kernels::{Activation, Gemm, GemmArgs, Precision};

/// Most products of a sum.
const DEEPEST: usize = 1 << 17;

/// Every product in int8 that this CPU runs.
fn int8() -> impl Iterator<Item = Gemm> {
    gemms().into_iter().filter(|gemm| gemm.precision() == Precision::Int8)
}

/// `a · w + bias` for a matrix of weights given by depth and column.
fn product(
    gemm: Gemm,
    a: &Matrix,
    n: usize,
    w: impl Fn(usize, usize) -> f32,
    bias: Option<&[f32]>,
) -> Matrix {
    let mut weights = vec![0.0; gemm_weight_len(Precision::Int8, HOST, a.cols, n)];
    pack::gemm(Precision::Int8, HOST, a.cols, n, w, bias, &mut weights);
    let mut out = Matrix::new(a.rows, n, 2);
    gemm.run(GemmArgs {
        a: a.view(),
        weights: &weights,
        act: Activation::None,
        residual: None,
        scratch: &mut vec![f32::NAN; gemm.scratch_len(a.rows, a.cols).min(1 << 22)],
        out: out.view_mut(),
    });
    out
}

#[test]
fn the_deepest_sums_of_the_largest_integers_are_exact() {
    for gemm in int8() {
        for k in [DEEPEST - 3, DEEPEST] {
            for sign in [1.0, -1.0] {
                let a = Matrix::filled(2, k, 0, |row| row.fill(127.0 * sign));
                let out =
                    product(gemm, &a, 17, |_, n| if n.is_multiple_of(2) { 127.0 } else { -127.0 }, None);
                for row in 0..2 {
                    for (n, y) in out.row(row).iter().enumerate() {
                        let exact = 127.0
                            * 127.0
                            * k as f64
                            * f64::from(if n.is_multiple_of(2) { sign } else { -sign });
                        assert_eq!(*y, exact as f32, "{}, k = {k}, column {n}", gemm.name());
                    }
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "more than an int8 sum can hold")]
fn deeper_sums_are_refused() {
    let a = Matrix::new(1, DEEPEST + 1, 0);
    product(gemm_oracle(Precision::Int8), &a, 1, |_, _| 1.0, None);
}

#[test]
fn what_is_not_finite_stays_in_its_row_or_column() {
    let (m, n, k) = (16, 35, 41);
    let mut random = Random::new(3);
    let finite = Matrix::filled(m, k, 1, |row| random.fill(row, 1.0));
    let mut w = vec![0.0; k * n];
    random.fill(&mut w, 1.0);
    for gemm in int8() {
        let expected = product(gemm, &finite, n, |k, j| w[k * n + j], None);
        for wild in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut a = finite.copy();
            let stride = a.stride;
            a.memory[7 * stride + 40] = wild;
            let out = product(gemm, &a, n, |k, j| if (k, j) == (2, 20) { wild } else { w[k * n + j] }, None);
            for (row, col) in (0..m).flat_map(|row| (0..n).map(move |col| (row, col))) {
                let (y, expected) = (out.row(row)[col], expected.row(row)[col]);
                let lost = row == 7 || col == 20;
                assert!(
                    if lost { y.is_nan() } else { y == expected },
                    "{}, {wild}, element ({row}, {col}): {y} for {expected}",
                    gemm.name()
                );
            }
        }
    }
}

#[test]
fn rows_and_columns_without_a_scale_leave_the_bias() {
    let (n, k) = (20, 19);
    let bias: Vec<f32> = (0..n).map(|i| i as f32 - 3.0).collect();
    for gemm in int8() {
        // Zeros, and magnitudes so small that their inverse overflows.
        for tiny in [0.0, -0.0, 1e-45, 1e-37] {
            let a = Matrix::filled(3, k, 0, |row| row.fill(tiny));
            let out = product(gemm, &a, n, |_, _| 0.5, Some(&bias));
            assert!((0..3).all(|row| out.row(row) == bias), "{} of {tiny:e}", gemm.name());
        }
        let a = Matrix::filled(3, k, 0, |row| row.fill(1.0));
        let out = product(gemm, &a, n, |_, col| if col == 4 { 0.0 } else { 1.0 }, Some(&bias));
        assert_eq!(out.row(2)[4], bias[4], "{}", gemm.name());
    }
}
