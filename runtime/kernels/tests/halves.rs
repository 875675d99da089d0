//! Products and recurrences in 16 bits: every variant against the scalar one of its precision, bit for bit; the scalar ones
//! against f32 and f64; what rounding to 16 bits costs.

mod common;

use common::recurrence::Recurrence;
use common::{Fenced, Matrix, Random, gemm_oracle, half_gemms, half_lstms, lstm_oracle};
use far_format::layout::{Precision, gemm_weight_len};
use far_kernels::matrix::MatMut;
use far_kernels::pack::{self, HOST};
use far_kernels::{Activation, Gemm, GemmArgs};

/// What the numbers of a case are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Plain,
    /// With NaN, infinities and subnormal f32 among them.
    Wild,
    /// So small that halves, their products or sums are subnormal or zero.
    Tiny,
    /// At the end of half precision's range, so that products and sums overflow.
    Huge,
}

const SORTS: [Sort; 4] = [Sort::Plain, Sort::Wild, Sort::Tiny, Sort::Huge];

impl Sort {
    fn fill(self, random: &mut Random, row: &mut [f32], scale: f32) {
        match self {
            Sort::Plain => random.fill(row, scale),
            Sort::Wild => random.fill_wild(row, scale, 40),
            Sort::Tiny => {
                row.fill_with(|| random.unit() * [1e-3, 1e-6, 1e-19, 1e-38][random.bits() as usize % 4])
            }
            Sort::Huge => {
                row.fill_with(|| random.unit() * [1.0, 200.0, 65519.0, 3e38][random.bits() as usize % 4])
            }
        }
    }
}

struct Product {
    a: Matrix,
    weights: Fenced,
    residual: Matrix,
    /// The bias, then the weights row by row, as they were given.
    plain: Vec<f32>,
    n: usize,
}

impl Product {
    fn new(precision: Precision, m: usize, n: usize, k: usize, sort: Sort) -> Self {
        let mut random = Random::new((m * 1_000_003 + n * 1009 + k) as u64);
        let a = Matrix::filled(m, k, 3, |row| sort.fill(&mut random, row, 1.0));
        let residual = Matrix::filled(m, n, 1, |row| sort.fill(&mut random, row, 1.0));
        let mut plain = vec![0.0; (k + 1) * n];
        sort.fill(&mut random, &mut plain, 1.0);
        let (bias, w) = plain.split_at(n);
        let mut weights = Fenced::new(gemm_weight_len(precision, HOST, k, n));
        pack::gemm(precision, HOST, k, n, |i, j| w[i * n + j], Some(bias), &mut weights);
        Self { a, weights, residual, plain, n }
    }

    fn run(&self, gemm: Gemm, act: Activation, residual: bool) -> Matrix {
        let mut out = Matrix::new(self.a.rows, self.n, 5);
        let mut scratch = Fenced::new(gemm.scratch_len(self.a.rows, self.a.cols));
        scratch.fill(f32::NAN);
        gemm.run(GemmArgs {
            a: self.a.view(),
            weights: &self.weights,
            act,
            residual: residual.then(|| self.residual.view()),
            scratch: &mut scratch,
            out: out.view_mut(),
        });
        out
    }

    fn check(&self, gemm: Gemm, act: Activation, residual: bool, sort: Sort) {
        let what = format!("{} {}x{}x{} {sort:?} {act:?}", gemm.name(), self.a.rows, self.n, self.a.cols);
        let expected = self.run(gemm_oracle(gemm.precision()), act, residual);
        self.run(gemm, act, residual).assert_same(&expected, &what);
    }
}

/// Around multiples of every tile, and 0.
fn sizes(tile: usize) -> Vec<usize> {
    vec![0, 1, 2, tile.max(2) - 1, tile, tile + 1, 2 * tile + 3]
}

#[test]
fn every_product_gives_the_scalar_bits() {
    for gemm in half_gemms() {
        let tile = gemm.variant();
        for m in sizes(tile.gemm_tile_rows) {
            for n in sizes(tile.gemm_tile_cols).into_iter().chain([17, 47]) {
                for k in [0, 1, 2, 9, 32, 43, 65] {
                    let sort = SORTS[(m + n + k) % SORTS.len()];
                    let case = Product::new(gemm.precision(), m, n, k, sort);
                    case.check(gemm, Activation::None, (m + k) % 2 == 1, sort);
                }
            }
        }
    }
}

#[test]
fn every_number_of_rows_gives_the_scalar_bits() {
    for gemm in half_gemms() {
        for m in 1..=2 * gemm.tile_rows() + 1 {
            for (sort, act) in SORTS.into_iter().zip([
                Activation::Gelu,
                Activation::None,
                Activation::Tanh,
                Activation::Relu,
            ]) {
                let n = [1, 16, 31, 32, 33, 50][m % 6];
                Product::new(gemm.precision(), m, n, 41, sort).check(gemm, act, m % 2 == 0, sort);
            }
        }
    }
}

#[test]
fn a_deep_product_gives_the_scalar_bits() {
    for gemm in half_gemms() {
        for (m, n, k) in [(31, 40, 1100), (3, 33, 3072), (230, 17, 2051)] {
            Product::new(gemm.precision(), m, n, k, Sort::Plain).check(
                gemm,
                Activation::Gelu,
                true,
                Sort::Plain,
            );
        }
    }
}

fn unit(precision: Precision, steps: usize, hidden: usize, sort: Sort) -> Recurrence {
    Recurrence::new(precision, steps, hidden, |random, row, scale| sort.fill(random, row, scale))
}

#[test]
fn every_recurrence_gives_the_scalar_bits() {
    for lstm in half_lstms() {
        let scalar = lstm_oracle(lstm.precision());
        for hidden in [1, 2, 8, 9, 16, 17, 24, 25, 27, 32, 33, 40, 57, 65] {
            for steps in [0, 1, 4] {
                for sort in SORTS {
                    let reverse = (hidden + steps) % 2 == 0;
                    let unit = unit(lstm.precision(), steps, hidden, sort);
                    let what = format!("{} T={steps} H={hidden} {sort:?}", lstm.name());
                    unit.run(lstm, reverse).assert_same(&unit.run(scalar, reverse), &what);
                }
            }
        }
    }
}

/// The weights as they were packed, in f32: the product with the identity.
fn stored(precision: Precision, k: usize, n: usize, w: &[f32]) -> Vec<f32> {
    let mut packed = vec![0.0; gemm_weight_len(precision, HOST, k, n)];
    pack::gemm(precision, HOST, k, n, |i, j| w[i * n + j], None, &mut packed);
    let mut row = 0..;
    let a = Matrix::filled(k, k, 0, |to| {
        to.fill(0.0);
        to[row.next().expect("as many rows")] = 1.0;
    });
    let mut out = vec![0.0; k * n];
    let gemm = gemm_oracle(precision);
    gemm.run(GemmArgs {
        a: a.view(),
        weights: &packed,
        act: Activation::None,
        residual: None,
        scratch: &mut vec![0.0; gemm.scratch_len(k, k)],
        out: MatMut::new(&mut out, k, n, n),
    });
    out
}

#[test]
fn weights_in_half_precision_are_f32_weights_that_were_rounded() {
    for sort in [Sort::Plain, Sort::Tiny] {
        let (m, n, k) = (9, 37, 33);
        let half = Product::new(Precision::F16, m, n, k, sort);
        let (bias, w) = half.plain.split_at(n);
        let rounded = stored(Precision::F16, k, n, w);
        let mut single = Product::new(Precision::F32, m, n, k, sort);
        pack::gemm(Precision::F32, HOST, k, n, |i, j| rounded[i * n + j], Some(bias), &mut single.weights);
        let expected = single.run(gemm_oracle(Precision::F32), Activation::Gelu, true);
        half.run(gemm_oracle(Precision::F16), Activation::Gelu, true).assert_same(&expected, "f16");
        for (w, rounded) in w.iter().zip(rounded) {
            let unit = (w.abs() * 2f32.powi(-11)).max(2f32.powi(-25));
            assert!((w - rounded).abs() <= unit, "{w:e} {rounded:e}");
        }
    }
}

/// What of the result is wrong, over what is right, both as the root of the mean square.
fn relative_error(got: impl Iterator<Item = f64>, exact: &[f64]) -> f64 {
    let wrong: f64 = got.zip(exact).map(|(got, exact)| (got - exact).powi(2)).sum();
    (wrong / exact.iter().map(|x| x * x).sum::<f64>()).sqrt()
}

#[test]
fn rounding_costs_no_more_than_it_must() {
    // Two numbers in bfloat16 (8 bits) or half precision (11 bits), and in the latter sums.
    for (precision, most) in
        [(Precision::F16, 3.5e-4), (Precision::Bf16, 3.5e-3), (Precision::F16Arith, 1.3e-3)]
    {
        let (m, n, k) = (20, 48, 768);
        let case = Product::new(precision, m, n, k, Sort::Plain);
        let (bias, w) = case.plain.split_at(n);
        let exact: Vec<f64> = (0..m * n)
            .map(|at| {
                let (row, col) = (at / n, at % n);
                let products = (0..k).map(|i| f64::from(case.a.row(row)[i]) * f64::from(w[i * n + col]));
                products.sum::<f64>() + f64::from(bias[col])
            })
            .collect();
        let out = case.run(gemm_oracle(precision), Activation::None, false);
        let error = relative_error((0..m).flat_map(|row| out.row(row)).map(|x| f64::from(*x)), &exact);
        assert!(error <= most && error > most / 4.0, "{precision}: {error:e}");
    }
}

#[test]
fn a_recurrence_in_16_bits_is_close_to_f32() {
    for (precision, most) in [(Precision::F16, 2e-4), (Precision::Bf16, 3e-3), (Precision::F16Arith, 1e-3)] {
        let (steps, hidden) = (40, 27);
        let single = unit(Precision::F32, steps, hidden, Sort::Plain);
        let single = single.run(lstm_oracle(Precision::F32), true);
        let half = unit(precision, steps, hidden, Sort::Plain).run(lstm_oracle(precision), true);
        let rows = |m: &Matrix| (0..steps).flat_map(|t| m.row(t).to_vec()).map(f64::from).collect::<Vec<_>>();
        let error = relative_error(rows(&half).into_iter(), &rows(&single));
        assert!(error <= most && error > most / 20.0, "{precision}: {error:e}");
    }
}

#[test]
fn weights_beyond_the_range_are_told() {
    let cases =
        [(65519.0, true, true), (-65520.0, false, true), (3.39e38, false, true), (3.4e38, false, false)];
    for (weight, half, brain) in cases {
        assert_eq!(pack::fits(Precision::F16, weight), half, "{weight:e}");
        assert_eq!(pack::fits(Precision::F16Arith, weight), half, "{weight:e}");
        assert_eq!(pack::fits(Precision::Bf16, weight), brain, "{weight:e}");
        assert!(pack::fits(Precision::F32, weight) && pack::fits(Precision::Int8, weight));
    }
    for precision in Precision::ALL {
        assert!(pack::fits(precision, 1e-40) && !pack::fits(precision, f32::NAN));
    }
}
