//! Steps over single rows that are no kernels of their own. May import: `program`.

use far_format::layout::{PANEL, Precision};
use far_kernels::matrix::{Mat, MatMut};
use far_kernels::{GemmArgs, Kernels, SoftmaxArgs};

use crate::program::Geometry;

/// Some rows of one head: `softmax(scale · q · keys) · values`, `block` rows at a time. `keys` and `values` are packed, of
/// so many tokens.
#[expect(clippy::too_many_arguments, reason = "the operands of attention")]
pub(super) fn attend(
    kernels: Kernels,
    q: Mat<'_>,
    keys: &[f32],
    values: &[f32],
    tokens: usize,
    scale: f32,
    block: usize,
    out: &mut MatMut<'_>,
    scratch: &mut [f32],
) {
    let d = q.cols();
    let stride = tokens.next_multiple_of(PANEL);
    let act = far_kernels::Activation::None;
    for row in (0..q.rows()).step_by(block) {
        let rows = block.min(q.rows() - row);
        let mut scores = MatMut::new(&mut scratch[..rows * stride], rows, tokens, stride);
        let a = q.part(row, 0, rows, d);
        let gemm = kernels.gemm(Precision::F32);
        gemm.run(GemmArgs {
            a,
            weights: keys,
            act,
            residual: None,
            scratch: &mut [],
            out: scores.reborrow(),
        });
        kernels.softmax().run(SoftmaxArgs { scale, x: scores.reborrow() });
        let out = out.part(row, 0, rows, d);
        let a = scores.as_mat();
        gemm.run(GemmArgs { a, weights: values, act, residual: None, scratch: &mut [], out });
    }
}

/// The mean of the rows of `x`, summed in order.
pub(super) fn mean_rows(x: &Mat<'_>, out: &mut [f32]) {
    out.copy_from_slice(row(x, 0));
    for r in 1..x.rows() {
        out.iter_mut().zip(row(x, r)).for_each(|(sum, x)| *sum += x);
    }
    let count = x.rows() as f32;
    out.iter_mut().for_each(|sum| *sum /= count);
}

/// The patches from number `first` on, each channel by channel, row by row. Those side by side are taken together, so that rows of
/// the image are read from end to end.
pub(super) fn patches(image: &Mat<'_>, geometry: &Geometry, first: usize, out: &mut MatMut<'_>) {
    let Geometry { channels, height, patch_height, patch_width, across } = *geometry;
    let mut done = 0;
    while done < out.rows() {
        let (band, left) = ((first + done) / across, (first + done) % across);
        let count = (across - left).min(out.rows() - done);
        for (channel, y) in (0..channels).flat_map(|channel| (0..patch_height).map(move |y| (channel, y))) {
            let from = &row(image, channel * height + band * patch_height + y)[left * patch_width..];
            let at = (channel * patch_height + y) * patch_width;
            for (i, from) in from.chunks_exact(patch_width).take(count).enumerate() {
                row_mut(out, done + i)[at..at + patch_width].copy_from_slice(from);
            }
        }
        done += count;
    }
}

/// One row.
pub(super) fn row<'v>(mat: &'v Mat<'_>, row: usize) -> &'v [f32] {
    assert!(row < mat.rows());
    // SAFETY: the view promises the elements of each of its rows.
    unsafe { std::slice::from_raw_parts(mat.as_ptr().add(row * mat.stride()), mat.cols()) }
}

/// One row, to write.
pub(super) fn row_mut<'v>(mat: &'v mut MatMut<'_>, row: usize) -> &'v mut [f32] {
    assert!(row < mat.rows());
    // SAFETY: the view promises the elements of each of its rows, and that they are ours alone.
    unsafe { std::slice::from_raw_parts_mut(mat.as_mut_ptr().add(row * mat.stride()), mat.cols()) }
}
