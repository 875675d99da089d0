//! Matrix products: every set against the scalar one, bit for bit; the scalar one against f64.

mod common;

use common::{Fenced, Matrix, Random, oracle, sets};
use far_format::layout::gemm_weight_len;
use far_kernels::matrix::Mat;
use far_kernels::{Activation, GemmArgs, Kernels, pack};

const ACTIVATIONS: [Activation; 5] =
    [Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Tanh, Activation::Relu];

struct Case {
    a: Matrix,
    weights: Fenced,
    residual: Matrix,
    n: usize,
}

impl Case {
    fn new(m: usize, n: usize, k: usize, wild: bool) -> Self {
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
        let mut weights = Fenced::new(gemm_weight_len(k, n));
        pack::gemm(k, n, |i, j| w[i * n + j], Some(bias), &mut weights);
        Self { a, weights, residual, n }
    }

    fn run(&self, kernels: Kernels, act: Activation, residual: bool) -> Matrix {
        let mut out = Matrix::new(self.a.rows, self.n, 5);
        kernels.gemm().run(GemmArgs {
            a: self.a.view(),
            weights: &self.weights,
            act,
            residual: residual.then(|| self.residual.view()),
            out: out.view_mut(),
        });
        out
    }

    /// The residual is where the result goes.
    fn run_in_place(&self, kernels: Kernels, act: Activation) -> Matrix {
        let mut out = self.residual.copy();
        let mut view = out.view_mut();
        let (ptr, rows, cols, stride) = (view.as_mut_ptr(), view.rows(), view.cols(), view.stride());
        // SAFETY: the memory of `view`, which is only used by the call below, as it allows.
        #[allow(unsafe_code)]
        let residual = unsafe { Mat::from_raw(ptr, rows, cols, stride) };
        kernels.gemm().run(GemmArgs {
            a: self.a.view(),
            weights: &self.weights,
            act,
            residual: Some(residual),
            out: view,
        });
        out
    }
}

/// Around multiples of every tile, and 0.
fn sizes(tile: usize) -> Vec<usize> {
    vec![0, 1, 2, tile - 1, tile, tile + 1, 2 * tile - 1, 2 * tile + 3]
}

#[test]
fn every_set_gives_the_scalar_bits() {
    for set in sets(|k| k.gemm().name()) {
        let tile = set.isa().descriptor();
        for m in sizes(tile.gemm_tile_rows) {
            for n in sizes(tile.gemm_tile_cols).into_iter().chain([15, 17, 47]) {
                for k in [0, 1, 3, 4, 5, 7, 33] {
                    for wild in [false, true] {
                        let case = Case::new(m, n, k, wild);
                        for (act, residual) in [(Activation::None, false), (Activation::None, true)] {
                            let what = format!("{} {m}x{n}x{k} {act:?}", set.gemm().name());
                            case.run(set, act, residual)
                                .assert_same(&case.run(oracle(), act, residual), &what);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_number_of_rows_and_activation_gives_the_scalar_bits() {
    for set in sets(|k| k.gemm().name()) {
        for m in 1..=2 * set.gemm().tile_rows() + 1 {
            let n = [1, 16, 31, 32, 33, 50][m % 6];
            let case = Case::new(m, n, 9, m % 2 == 0);
            for act in ACTIVATIONS {
                for residual in [false, true] {
                    let what = format!("{} {m}x{n}x9 {act:?}", set.gemm().name());
                    case.run(set, act, residual).assert_same(&case.run(oracle(), act, residual), &what);
                }
                let what = format!("{} {m}x{n}x9 {act:?} in place", set.gemm().name());
                case.run_in_place(set, act).assert_same(&case.run(oracle(), act, true), &what);
            }
        }
    }
}

#[test]
fn a_deep_product_gives_the_scalar_bits() {
    for set in sets(|k| k.gemm().name()) {
        for (m, n, k) in [(197, 16, 192), (31, 40, 1100), (29, 33, 3072), (230, 17, 1025)] {
            let case = Case::new(m, n, k, false);
            let what = format!("{} {m}x{n}x{k}", set.gemm().name());
            case.run(set, Activation::Gelu, true)
                .assert_same(&case.run(oracle(), Activation::Gelu, true), &what);
            case.run_in_place(set, Activation::None)
                .assert_same(&case.run(oracle(), Activation::None, true), &what);
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
    let mut weights = vec![0.0; gemm_weight_len(k, n)];
    pack::gemm(k, n, |i, j| w[i * n + j], Some(bias), &mut weights);
    let mut out = Matrix::new(m, n, 0);
    oracle().gemm().run(GemmArgs {
        a: Mat::new(a, m, k, k),
        weights: &weights,
        act: Activation::None,
        residual: None,
        out: out.view_mut(),
    });
    for i in 0..m {
        for j in 0..n {
            let exact: f64 = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(w[l * n + j])).sum();
            let exact = exact + f64::from(bias[j]);
            assert!((f64::from(out.row(i)[j]) - exact).abs() < 1e-5);
        }
    }
}

#[test]
fn run_time_packing_gives_the_product() {
    let (m, n, k) = (3, 21, 6);
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
    let mut packed = vec![f32::NAN; gemm_weight_len(k, n)];
    pack::panels(b.view(), &mut packed);
    let mut packed_transposed = vec![f32::NAN; gemm_weight_len(k, n)];
    pack::panels_transposed(transposed.view(), &mut packed_transposed);
    assert_eq!(packed, packed_transposed);

    let mut out = Matrix::new(m, n, 0);
    oracle().gemm().run(GemmArgs {
        a: a.view(),
        weights: &packed,
        act: Activation::None,
        residual: None,
        out: out.view_mut(),
    });
    for i in 0..m {
        for j in 0..n {
            let exact: f64 = (0..k).map(|l| f64::from(a.row(i)[l]) * f64::from(b.row(l)[j])).sum();
            assert!((f64::from(out.row(i)[j]) - exact).abs() < 1e-6);
        }
    }
}

#[test]
#[should_panic(expected = "weights don't fit")]
fn too_few_weights_are_refused() {
    let case = Case::new(2, 5, 3, false);
    let mut out = Matrix::new(2, 5, 0);
    let weights = &case.weights[1..];
    let act = Activation::None;
    oracle().gemm().run(GemmArgs { a: case.a.view(), weights, act, residual: None, out: out.view_mut() });
}

#[test]
#[should_panic(expected = "rows of `a` and `out` differ")]
fn a_matrix_with_other_rows_is_refused() {
    let case = Case::new(2, 5, 3, false);
    let mut out = Matrix::new(3, 5, 0);
    let (weights, act) = (&case.weights[..], Activation::None);
    oracle().gemm().run(GemmArgs { a: case.a.view(), weights, act, residual: None, out: out.view_mut() });
}
