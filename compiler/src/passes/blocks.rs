//! Finding block structure: connected components, and the cheapest cut of a row of things into runs.
//! May import: `cost`, `ir`, `matrix`.

use std::ops::Range;

use super::matrix::Dense;
use crate::cost::{CostModel, Picoseconds};
use crate::ir::{Graph, LinearGroup};

/// Things beyond which neighbours are joined before the cheapest cut is looked for, which takes quadratic time.
const MAX_PIECES: usize = 4096;

/// Disjoint sets of `0..n`.
pub(super) struct Sets {
    parent: Vec<usize>,
}

impl Sets {
    pub(super) fn new(n: usize) -> Self {
        Self { parent: (0..n).collect() }
    }

    pub(super) fn find(&mut self, mut i: usize) -> usize {
        while self.parent[i] != i {
            self.parent[i] = self.parent[self.parent[i]];
            i = self.parent[i];
        }
        i
    }

    /// Joins two sets; the smaller root stays.
    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

/// The smallest range that holds both; an empty one adds nothing.
pub(super) fn hull(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b.clone(),
        (_, true) => a.clone(),
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// The smallest range that holds all of these.
pub(super) fn hull_of(items: impl IntoIterator<Item = usize>) -> Range<usize> {
    items.into_iter().fold(0..0, |range, i| hull(&range, &(i..i + 1)))
}

/// Something that lies in a row with others, and what it takes.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Input columns that it reads.
    pub(super) input: Range<usize>,
    /// How wide its output is.
    pub(super) width: usize,
}

/// Cuts the pieces into runs so that the sum of `cost(pieces, inputs, width)` is least; with equal sums the fewest runs
/// win.
pub(super) fn cheapest_cut(
    pieces: &[Piece],
    cost: impl Fn(usize, usize, usize) -> Picoseconds,
) -> Vec<Range<usize>> {
    // best[j]: cost, number of runs and start of the last run for the first j pieces.
    let mut best = vec![(0u64, 0usize, 0usize)];
    for end in 1..=pieces.len() {
        let mut input = 0..0;
        let mut width = 0;
        let mut least = (u64::MAX, usize::MAX, 0);
        for start in (0..end).rev() {
            input = hull(&input, &pieces[start].input);
            width += pieces[start].width;
            let (before, runs, _) = best[start];
            least =
                least.min((before.saturating_add(cost(end - start, input.len(), width)), runs + 1, start));
        }
        best.push(least);
    }
    let mut runs = Vec::new();
    let mut end = pieces.len();
    while end > 0 {
        let start = best[end].2;
        runs.push(start..end);
        end = start;
    }
    runs.reverse();
    runs
}

/// Joins neighbours that read the same columns, and more of them if there are too many.
fn coalesce(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.input == piece.input => last.width += piece.width,
            _ => joined.push(piece),
        }
    }
    while joined.len() > MAX_PIECES {
        joined = joined
            .chunks(2)
            .map(|pair| Piece {
                input: pair.iter().fold(0..0, |range, piece| hull(&range, &piece.input)),
                width: pair.iter().map(|piece| piece.width).sum(),
            })
            .collect();
    }
    joined
}

/// The cheapest blocks that hold all of a matrix but zeros, multiplied by so many rows. Every column is in one of them.
pub(super) fn ranges(costs: &CostModel, rows: usize, dense: &Dense) -> Vec<(Range<usize>, Range<usize>)> {
    let mut inputs = vec![0..0; dense.cols];
    for (k, row) in dense.data.chunks(dense.cols).enumerate() {
        for (input, _) in inputs.iter_mut().zip(row).filter(|(_, x)| **x != 0.0) {
            *input = hull(input, &(k..k + 1));
        }
    }
    let pieces = coalesce(inputs.into_iter().map(|input| Piece { input, width: 1 }).collect());
    let mut start = 0;
    cheapest_cut(&pieces, |_, k, n| costs.block(rows, k, n))
        .into_iter()
        .map(|run| {
            let input = pieces[run.clone()].iter().fold(0..0, |range, piece| hull(&range, &piece.input));
            let output = start..start + pieces[run].iter().map(|piece| piece.width).sum::<usize>();
            start = output.end;
            (input, output)
        })
        .collect()
}

/// What the blocks that [`ranges`] found take.
pub(super) fn cost(costs: &CostModel, rows: usize, ranges: &[(Range<usize>, Range<usize>)]) -> Picoseconds {
    ranges.iter().map(|(input, output)| costs.block(rows, input.len(), output.len())).sum()
}

/// Makes the blocks of a matrix that [`ranges`] found.
pub(super) fn groups(
    graph: &mut Graph,
    dense: &Dense,
    ranges: &[(Range<usize>, Range<usize>)],
) -> Vec<LinearGroup> {
    let mut groups = Vec::with_capacity(ranges.len());
    for (input, output) in ranges {
        let rows = dense.data.chunks(dense.cols).skip(input.start).take(input.len());
        let data: Vec<f32> = rows.flat_map(|row| row[output.clone()].iter().copied()).collect();
        let weight = graph.add_weight(input.len(), output.len(), data);
        let bias = &dense.bias[output.clone()];
        let bias = bias.iter().any(Option::is_some).then(|| {
            let data: Vec<f32> = bias.iter().map(|b| b.unwrap_or(0.0)).collect();
            graph.add_weight(1, output.len(), data)
        });
        groups.push(LinearGroup { input: input.clone(), output: output.clone(), weight, bias });
    }
    groups
}
