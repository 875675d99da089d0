//! Cutting, padding and multiplying constants. May import: `ir`.

use crate::ir::{Graph, Linear, WeightId};

/// Elements beyond which the zeros between blocks are not written out.
const MAX_DENSE: usize = 1 << 27;

/// A new constant made of rows and columns of another; `None` gives zeros. The same one if nothing changes.
pub(super) fn gather(
    graph: &mut Graph,
    from: WeightId,
    rows: &[Option<usize>],
    cols: &[Option<usize>],
) -> WeightId {
    let weight = graph.weight(from);
    let whole = |picked: &[Option<usize>], size| {
        picked.len() == size && picked.iter().copied().eq((0..size).map(Some))
    };
    if whole(rows, weight.dims[0]) && whole(cols, weight.dims[1]) {
        return from;
    }
    let mut data = Vec::with_capacity(rows.len() * cols.len());
    for row in rows {
        let row = row.map(|row| &weight.data[row * weight.dims[1]..][..weight.dims[1]]);
        data.extend(cols.iter().map(|col| row.zip(*col).map_or(0.0, |(row, col)| row[col])));
    }
    graph.add_weight(rows.len(), cols.len(), data)
}

/// Like [`gather`] with all rows.
pub(super) fn gather_cols(graph: &mut Graph, from: WeightId, cols: &[Option<usize>]) -> WeightId {
    let rows: Vec<_> = (0..graph.weight(from).dims[0]).map(Some).collect();
    gather(graph, from, &rows, cols)
}

/// A new constant, computed element by element from another in f64 and rounded once: `f(row, col, x)`.
pub(super) fn map(graph: &mut Graph, from: WeightId, f: impl Fn(usize, usize, f64) -> f64) -> WeightId {
    let weight = graph.weight(from);
    let [rows, cols] = weight.dims;
    let data: Vec<f32> =
        weight.data.iter().enumerate().map(|(i, x)| f(i / cols, i % cols, f64::from(*x)) as f32).collect();
    graph.add_weight(rows, cols, data)
}

/// A new vector from f64, rounded once.
pub(super) fn vector(graph: &mut Graph, data: &[f64]) -> WeightId {
    let data: Vec<f32> = data.iter().map(|x| *x as f32).collect();
    graph.add_weight(1, data.len(), data)
}

/// The elements of a vector in f64; `otherwise` for each where there is none.
pub(super) fn vector_or(graph: &Graph, id: Option<WeightId>, len: usize, otherwise: f64) -> Vec<f64> {
    id.map_or_else(
        || vec![otherwise; len],
        |id| graph.weight(id).data.iter().map(|x| f64::from(*x)).collect(),
    )
}

/// A matrix with the bias that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// `rows × cols`.
    pub(super) data: Vec<f32>,
    /// One element a column; `None` where the block that the column is from has no bias.
    pub(super) bias: Vec<Option<f32>>,
}

impl Dense {
    /// The whole matrix of a block-structured product with `depth` inputs, zeros included; `None` if it is too large
    /// to be looked at that way.
    pub(super) fn of(graph: &Graph, linear: &Linear, depth: usize) -> Option<Self> {
        depth.checked_mul(linear.cols).filter(|size| *size <= MAX_DENSE)?;
        let mut dense = Self {
            rows: depth,
            cols: linear.cols,
            data: vec![0.0; depth * linear.cols],
            bias: vec![None; linear.cols],
        };
        for group in &linear.groups {
            let weight = graph.weight(group.weight);
            let n = group.output.len();
            for (i, k) in group.input.clone().enumerate() {
                dense.data[k * linear.cols + group.output.start..][..n]
                    .copy_from_slice(&weight.data[i * n..][..n]);
            }
            if let Some(bias) = group.bias {
                let bias = graph.weight(bias).data.iter().map(|x| Some(*x));
                dense.bias[group.output.clone()].iter_mut().zip(bias).for_each(|(to, from)| *to = from);
            }
        }
        Some(dense)
    }

    /// `self · other`, bias included, in f64 and rounded once; `None` if the result is too large.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        self.rows.checked_mul(other.cols).filter(|size| *size <= MAX_DENSE)?;
        let mut data = Vec::with_capacity(self.rows * other.cols);
        let biases: Vec<f32> = self.bias.iter().map(|b| b.unwrap_or(0.0)).collect();
        let mut sum = vec![0.0f64; other.cols];
        let mut row_times = |row: &[f32], start: &mut dyn FnMut(usize) -> f64| -> Vec<f32> {
            sum.iter_mut().enumerate().for_each(|(n, s)| *s = start(n));
            for (x, k) in row.iter().zip(0..).filter(|(x, _)| **x != 0.0) {
                let other = &other.data[k * other.cols..][..other.cols];
                sum.iter_mut().zip(other).for_each(|(s, y)| *s += f64::from(*x) * f64::from(*y));
            }
            sum.iter().map(|s| *s as f32).collect()
        };
        for row in self.data.chunks(self.cols) {
            data.extend(row_times(row, &mut |_| 0.0));
        }
        let bias = row_times(&biases, &mut |n| other.bias[n].map_or(0.0, f64::from)).into_iter();
        let any = self.bias.iter().chain(&other.bias).any(Option::is_some);
        Some(Self { rows: self.rows, cols: other.cols, data, bias: bias.map(|b| any.then_some(b)).collect() })
    }
}
