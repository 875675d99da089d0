//! Matrix products: every variant against the scalar one of its precision, bit for bit; the scalar ones against f64.

mod common;

use common::{Fenced, Matrix, Random, gemm_oracle, gemms};
use far_format::layout::{gemm_weight_len, panels_len};
use far_kernels::matrix::Mat;
use far_kernels::pack::{self, HOST};
use far_kernels::{Activation, Gemm, GemmArgs, Precision};

struct Case {
    a: Matrix,
    weights: Fenced,
    residual: Matrix,
    n: usize,
}

impl Case {
    fn new(precision: Precision, m: usize, n: usize, k: usize, wild: bool) -> Self {
        let mut random = Random::new((m * 1_000_003 + n * 1009 + k) as u64);
        let mut fill = |row: &mut [f32]| match wild {
            true => random.fill_wild(row, 1.0, 40),
            false => random.fill(row, 1.0),
        };
        let a = Matrix::filled(m, k, 3, &mut fill);
        let residual = Matrix::filled(m, n, 1, &mut fill);
        let mut plain = vec![0.0; (k + 1) * n];
        fill(&mut plain);
        let (bias, w) = plain.split_at(n);
        let mut weights = Fenced::new(gemm_weight_len(precision, HOST, k, n));
        pack::gemm(precision, HOST, k, n, |i, j| w[i * n + j], Some(bias), &mut weights);
        Self { a, weights, residual, n }
    }

    fn run(&self, gemm: Gemm, act: Activation, residual: bool) -> Matrix {
        let mut out = Matrix::new(self.a.rows, self.n, 5);
        gemm.run(GemmArgs {
            a: self.a.view(),
            weights: &self.weights,
            act,
            residual: residual.then(|| self.residual.view()),
            scratch: &mut self.scratch(gemm),
            out: out.view_mut(),
        });
        out
    }

    fn scratch(&self, gemm: Gemm) -> Fenced {
        let mut scratch = Fenced::new(gemm.scratch_len(self.a.rows, self.a.cols));
        scratch.fill(f32::NAN);
        scratch
    }

    /// The residual is where the result goes.
    fn run_in_place(&self, gemm: Gemm, act: Activation) -> Matrix {
        let mut out = self.residual.copy();
        let mut view = out.view_mut();
        let (ptr, rows, cols, stride) = (view.as_mut_ptr(), view.rows(), view.cols(), view.stride());
        // SAFETY: the memory of `view`, which is only used by the call below, as it allows.
        #[allow(unsafe_code)]
        let residual = unsafe { Mat::from_raw(ptr, rows, cols, stride) };
        gemm.run(GemmArgs {
            a: self.a.view(),
            weights: &self.weights,
            act,
            residual: Some(residual),
            scratch: &mut self.scratch(gemm),
            out: view,
        });
        out
    }
}

/// Around multiples of every tile, and 0.
fn sizes(tile: usize) -> Vec<usize> {
    vec![0, 1, 2, tile - 1, tile, tile + 1, 2 * tile - 1, 2 * tile + 3]
}

/// That the product gives the bits of the scalar one.
fn check(gemm: Gemm, case: &Case, act: Activation, residual: bool) {
    let what = format!("{} {}x{}x{} {act:?}", gemm.name(), case.a.rows, case.n, case.a.cols);
    let expected = case.run(gemm_oracle(gemm.precision()), act, residual);
    case.run(gemm, act, residual).assert_same(&expected, &what);
    if residual {
        case.run_in_place(gemm, act).assert_same(&expected, &format!("{what} in place"));
    }
}

#[test]
fn every_variant_gives_the_scalar_bits() {
    for gemm in gemms() {
        let (rows, cols) = (gemm.variant().gemm_tile_rows, gemm.variant().gemm_tile_cols);
        for m in sizes(rows) {
            for n in sizes(cols).into_iter().chain([15, 17, 47]) {
                for k in [0, 1, 3, 4, 5, 7, 33] {
                    for wild in [false, true] {
                        let case = Case::new(gemm.precision(), m, n, k, wild);
                        check(gemm, &case, Activation::None, false);
                        check(gemm, &case, Activation::None, true);
                    }
                }
            }
        }
    }
}

#[test]
fn every_number_of_rows_and_activation_gives_the_scalar_bits() {
    for gemm in gemms() {
        for m in 1..=2 * gemm.tile_rows() + 1 {
            let n = [1, 16, 31, 32, 33, 50][m % 6];
            let case = Case::new(gemm.precision(), m, n, 9, m % 2 == 0);
            for act in Activation::ALL {
                check(gemm, &case, act, false);
                check(gemm, &case, act, true);
            }
        }
    }
}

#[test]
fn a_deep_product_gives_the_scalar_bits() {
    for gemm in gemms() {
        for (m, n, k) in [(197, 16, 192), (31, 40, 1100), (29, 33, 3072), (230, 17, 1025)] {
            let case = Case::new(gemm.precision(), m, n, k, false);
            check(gemm, &case, Activation::Gelu, true);
            check(gemm, &case, Activation::None, true);
        }
    }
}

/// Rows and columns whose integers are all of one size, but for a 127 that makes it so: sums are as large as their norms allow.
#[test]
fn int8_sums_of_any_size_are_exact() {
    let sizes = [0, 1, 8, 16, 17, 22, 23, 31, 32, 45, 46, 63, 64, 65, 90, 91, 127];
    for gemm in gemms().into_iter().filter(|gemm| gemm.precision() == Precision::Int8) {
        for (x, w) in sizes.iter().flat_map(|x| sizes.map(|w| (*x as f32, w as f32))) {
            let (m, n, k) = (11, 33, 50);
            let mut case = Case::new(Precision::Int8, m, n, k, false);
            let sign = |k: usize| if k.is_multiple_of(3) { -1.0 } else { 1.0 };
            case.a = Matrix::filled(m, k, 3, |row| {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(k, to)| *to = sign(k) * if k == 20 { 127.0 } else { x });
            });
            let weight = |k: usize, n: usize| if n.is_multiple_of(5) { -1.0 } else { sign(k) } * if k == 37 { 127.0 } else { w };
            pack::gemm(Precision::Int8, HOST, k, n, weight, None, &mut case.weights);
            let what = format!("{} {x} {w}", gemm.name());
            let expected = case.run(gemm_oracle(Precision::Int8), Activation::None, false);
            assert_eq!(expected.row(2)[1], (0..k).map(|k| case.a.row(2)[k] * weight(k, 1)).sum::<f32>());
            case.run(gemm, Activation::None, false).assert_same(&expected, &what);
        }
    }
}

#[test]
fn weights_of_any_bits_are_harmless() {
    let mut random = Random::new(9);
    for gemm in gemms() {
        for (m, n, k) in [(1, 16, 16), (12, 70, 33), (31, 33, 300)] {
            let mut case = Case::new(gemm.precision(), m, n, k, false);
            case.weights.fill_with(|| f32::from_bits(random.bits()));
            case.run(gemm, Activation::None, true).check();
        }
    }
}

#[test]
fn the_scalar_product_is_the_product() {
    let (m, n, k) = (5, 19, 40);
    let mut random = Random::new(7);
    let mut data = vec![0.0; m * k + k * n + n];
    random.fill(&mut data, 1.0);
    let (a, rest) = data.split_at(m * k);
    let (w, bias) = rest.split_at(k * n);
    // What the weights lose by rounding, and in int8 the rows too.
    for (precision, tolerance) in
        [(Precision::F32, 1e-5), (Precision::F16, 3e-3), (Precision::Bf16, 2e-2), (Precision::Int8, 0.1)]
    {
        let mut weights = vec![0.0; gemm_weight_len(precision, HOST, k, n)];
        pack::gemm(precision, HOST, k, n, |i, j| w[i * n + j], Some(bias), &mut weights);
        let mut out = Matrix::new(m, n, 0);
        gemm_oracle(precision).run(GemmArgs {
            a: Mat::new(a, m, k, k),
            weights: &weights,
            act: Activation::None,
            residual: None,
            scratch: &mut vec![0.0; gemm_oracle(precision).scratch_len(m, k)],
            out: out.view_mut(),
        });
        for i in 0..m {
            for j in 0..n {
                let exact: f64 = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(w[l * n + j])).sum();
                let error = f64::from(out.row(i)[j]) - exact - f64::from(bias[j]);
                assert!(error.abs() < tolerance, "{precision}, element ({i}, {j}): off by {error:e}");
            }
        }
    }
}

#[test]
fn run_time_packing_gives_the_product() {
    for (m, n, k) in [(3, 21, 6), (1, 1, 1), (2, 16, 4), (3, 35, 9), (2, 50, 8)] {
        let mut random = Random::new(8);
        let a = Matrix::filled(m, k, 2, |row| random.fill(row, 1.0));
        let b = Matrix::filled(k, n, 4, |row| random.fill(row, 1.0));
        let transposed = {
            let mut col = 0..;
            Matrix::filled(n, k, 1, |row| {
                let c = col.next().expect("as many rows as columns");
                for (k, x) in row.iter_mut().enumerate() {
                    *x = b.row(k)[c];
                }
            })
        };
        let mut packed = vec![f32::NAN; panels_len(k, n)];
        pack::panels(b.view(), &mut packed);
        let mut packed_transposed = vec![f32::NAN; panels_len(k, n)];
        pack::panels_transposed(transposed.view(), &mut packed_transposed);
        assert_eq!(packed, packed_transposed);

        let mut out = Matrix::new(m, n, 0);
        gemm_oracle(Precision::F32).run(GemmArgs {
            a: a.view(),
            weights: &packed,
            act: Activation::None,
            residual: None,
            scratch: &mut [],
            out: out.view_mut(),
        });
        for i in 0..m {
            for j in 0..n {
                let exact: f64 = (0..k).map(|l| f64::from(a.row(i)[l]) * f64::from(b.row(l)[j])).sum();
                assert!((f64::from(out.row(i)[j]) - exact).abs() < 1e-6);
            }
        }
    }
}

/// Runs the scalar product on operands that don't fit together.
fn run_wrong(precision: Precision, rows: usize, change: impl FnOnce(&mut GemmArgs<'_>)) {
    let case = Case::new(precision, 2, 5, 3, false);
    let mut out = Matrix::new(rows, 5, 0);
    let gemm = gemm_oracle(precision);
    let mut args = GemmArgs {
        a: case.a.view(),
        weights: &case.weights,
        act: Activation::None,
        residual: None,
        scratch: &mut case.scratch(gemm),
        out: out.view_mut(),
    };
    change(&mut args);
    gemm.run(args);
}

#[test]
#[should_panic(expected = "weights don't fit")]
fn too_few_weights_are_refused() {
    run_wrong(Precision::F32, 2, |args| args.weights = &args.weights[1..]);
}

#[test]
#[should_panic(expected = "weights don't fit")]
fn weights_of_another_precision_are_refused() {
    run_wrong(Precision::Int8, 2, |args| args.weights = &args.weights[..panels_len(1, 5)]);
}

#[test]
#[should_panic(expected = "rows of `a` and `out` differ")]
fn a_matrix_with_other_rows_is_refused() {
    run_wrong(Precision::F32, 3, |_| ());
}

#[test]
#[should_panic(expected = "is too short")]
fn a_short_scratch_is_refused() {
    run_wrong(Precision::Int8, 2, |args| args.scratch = &mut []);
}
