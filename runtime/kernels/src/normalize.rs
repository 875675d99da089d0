//! Division of rows by their norm: arguments and code, the same on every instruction set. Sums run as in a layer
//! normalisation. May import: `matrix`, `scalar`.

use crate::matrix::{Mat, MatMut};
use crate::scalar::{LANES, tree};

/// `out = x / max(‖x‖₂, eps)`, row by row.
///
/// The squares are summed over 16 lanes (lane l takes the elements l, l + 16, …) by fused multiply-add, and the lanes
/// added as a tree: 16 → 8 → 4 → 2 → 1.
#[derive(Debug)]
pub struct NormalizeArgs<'a> {
    /// Input.
    pub x: Mat<'a>,
    /// Least norm that is divided by.
    pub eps: f32,
    /// Output, same shape; may be exactly `x`'s own memory, else must not overlap it.
    pub out: MatMut<'a>,
}

/// Runs it. Panics if the shapes differ.
pub fn normalize(mut args: NormalizeArgs<'_>) {
    let (rows, cols) = (args.out.rows(), args.out.cols());
    assert_eq!((args.x.rows(), args.x.cols()), (rows, cols), "shapes of `x` and `out` differ");
    for row in 0..rows {
        // SAFETY: `row` is below `rows`, every index below `cols`, and the views promise these elements; `x` may be
        // `out`, so both stay raw pointers.
        unsafe {
            let x = args.x.as_ptr().add(row * args.x.stride());
            let out = args.out.as_mut_ptr().add(row * args.out.stride());
            let mut squares = [0.0; LANES];
            for i in 0..cols {
                squares[i % LANES] = (*x.add(i)).mul_add(*x.add(i), squares[i % LANES]);
            }
            let norm: f32 = tree(squares, |a, b| a + b).sqrt();
            // What is not a number stays so.
            let norm = if norm < args.eps { args.eps } else { norm };
            for i in 0..cols {
                *out.add(i) = *x.add(i) / norm;
            }
        }
    }
}
