//! Layer normalisation and softmax: every set against the scalar one, bit for bit; the scalar one against f64.

mod common;

use common::{Fenced, Matrix, Random, oracle, sets};
use far_kernels::matrix::Mat;
use far_kernels::{Kernels, LayerNormArgs, NormalizeArgs, SoftmaxArgs, normalize};

const COLS: [usize; 17] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 100, 197];

fn input(rows: usize, cols: usize, scale: f32, rarity: Option<u32>) -> Matrix {
    let mut random = Random::new((rows * 1009 + cols) as u64);
    Matrix::filled(rows, cols, 3, |row| match rarity {
        Some(rarity) => random.fill_wild(row, scale, rarity),
        None => random.fill(row, scale),
    })
}

fn layer_norm(kernels: Kernels, x: &Matrix, affine: Option<(&Fenced, &Fenced)>) -> Matrix {
    let mut out = Matrix::new(x.rows, x.cols, 2);
    let affine = affine.map(|(scale, shift)| (&scale[..], &shift[..]));
    kernels.layer_norm().run(LayerNormArgs { x: x.view(), eps: 1e-6, affine, out: out.view_mut() });
    out
}

#[allow(unsafe_code)]
fn layer_norm_in_place(kernels: Kernels, x: &Matrix) -> Matrix {
    let mut out = x.copy();
    let mut view = out.view_mut();
    let (ptr, rows, cols, stride) = (view.as_mut_ptr(), view.rows(), view.cols(), view.stride());
    // SAFETY: the memory of `view`, which is only used by the call below, as it allows.
    let x = unsafe { Mat::from_raw(ptr, rows, cols, stride) };
    kernels.layer_norm().run(LayerNormArgs { x, eps: 1e-6, affine: None, out: view });
    out
}

#[test]
fn every_layer_norm_gives_the_scalar_bits() {
    for set in sets(|k| k.layer_norm().name()) {
        for cols in COLS {
            for rows in [0, 1, 3] {
                for rarity in [None, Some(4), Some(60)] {
                    let x = input(rows, cols, 3.0, rarity);
                    let what = format!("{} {rows}x{cols}", set.layer_norm().name());
                    let expected = layer_norm(oracle(), &x, None);
                    layer_norm(set, &x, None).assert_same(&expected, &what);
                    layer_norm_in_place(set, &x).assert_same(&expected, &what);

                    let mut random = Random::new(cols as u64);
                    let (mut scale, mut shift) = (Fenced::new(cols), Fenced::new(cols));
                    random.fill(&mut scale, 2.0);
                    random.fill(&mut shift, 1.0);
                    let affine = Some((&scale, &shift));
                    layer_norm(set, &x, affine).assert_same(&layer_norm(oracle(), &x, affine), &what);
                }
            }
        }
    }
}

#[test]
fn the_scalar_layer_norm_is_the_layer_norm() {
    for cols in [1, 5, 16, 45, 192] {
        let x = input(2, cols, 3.0, None);
        let out = layer_norm(oracle(), &x, None);
        for r in 0..x.rows {
            let row: Vec<f64> = x.row(r).iter().map(|x| f64::from(*x)).collect();
            let mean = row.iter().sum::<f64>() / cols as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / cols as f64;
            for (got, x) in out.row(r).iter().zip(&row) {
                let want = (x - mean) / (variance + f64::from(1e-6f32)).sqrt();
                assert!(
                    (f64::from(*got) - want).abs() < 1e-6 * (1.0 + want.abs()),
                    "{cols} columns: {want} {got}"
                );
            }
        }
    }
}

fn softmax(kernels: Kernels, x: &Matrix, scale: f32) -> Matrix {
    let mut out = x.copy();
    kernels.softmax().run(SoftmaxArgs { scale, x: out.view_mut() });
    out
}

#[test]
fn every_softmax_gives_the_scalar_bits() {
    for set in sets(|k| k.softmax().name()) {
        for cols in COLS {
            for rows in [0, 1, 2, 3, 6] {
                for (rarity, scale) in
                    [(None, 0.125), (None, -60.0), (None, 0.0), (Some(4), 1.0), (Some(300), 2.0)]
                {
                    let x = input(rows, cols, 3.0, rarity);
                    let what = format!("{} {rows}x{cols}", set.softmax().name());
                    softmax(set, &x, scale).assert_same(&softmax(oracle(), &x, scale), &what);
                }
            }
        }
    }
}

#[test]
fn the_scalar_softmax_is_the_softmax() {
    for cols in [1, 5, 16, 45, 197] {
        let x = input(2, cols, 9.0, None);
        let out = softmax(oracle(), &x, 0.7);
        for r in 0..x.rows {
            let e: Vec<f64> = x.row(r).iter().map(|x| (f64::from(*x) * f64::from(0.7f32)).exp()).collect();
            let sum: f64 = e.iter().sum();
            for (got, e) in out.row(r).iter().zip(&e) {
                let want = e / sum;
                assert!((f64::from(*got) - want).abs() < 3e-6 * want, "{cols} columns: {want} {got}");
            }
        }
    }
}

/// In place as well as not, and what is not a number or too small to divide by.
#[test]
#[allow(unsafe_code)]
fn normalize_is_division_by_the_norm() {
    for cols in COLS.into_iter().filter(|cols| *cols > 0) {
        let x = input(3, cols, 3.0, None);
        let mut found = Matrix::new(x.rows, x.cols, 2);
        normalize(NormalizeArgs { x: x.view(), eps: 1e-12, out: found.view_mut() });
        for row in 0..x.rows {
            let norm = x.row(row).iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            for (found, x) in found.row(row).iter().zip(x.row(row)) {
                let expected = f64::from(*x) / norm;
                assert!(
                    (f64::from(*found) - expected).abs() <= 3e-7 * expected.abs(),
                    "{found} for {expected}"
                );
            }
        }
        let mut same = x.copy();
        let mut view = same.view_mut();
        let (ptr, rows, cols, stride) = (view.as_mut_ptr(), view.rows(), view.cols(), view.stride());
        // SAFETY: the memory of `view`, which is only used by the call below, as it allows.
        let x = unsafe { Mat::from_raw(ptr, rows, cols, stride) };
        normalize(NormalizeArgs { x, eps: 1e-12, out: view });
        same.assert_same(&found, "in place");
    }
    let divide = |x: [f32; 2], eps| {
        let mut out = [7.0; 2];
        let (x, out_view) = (Mat::new(&x, 1, 2, 2), far_kernels::matrix::MatMut::new(&mut out, 1, 2, 2));
        normalize(NormalizeArgs { x, eps, out: out_view });
        out
    };
    assert_eq!(divide([3.0, -4.0], 1e-12), [3.0 / 5.0, -4.0 / 5.0]);
    assert_eq!(divide([0.0, -0.0], 1e-12), [0.0, 0.0]);
    assert_eq!(divide([3.0, 4.0], 10.0), [0.3, 0.4]);
    assert!(divide([f32::NAN, 1.0], 1e-12).iter().all(|x| x.is_nan()));
}
