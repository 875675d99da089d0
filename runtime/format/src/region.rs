//! Rectangles of f32 elements in the memory of an inference, and when two of them share an element.
//! May import: nothing of ours.

use core::fmt;

/// A memory of its own: regions of different spaces never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The session's arena.
    Arena,
    /// The weights section.
    Weights,
    /// The caller's memory of input `n`.
    Input(usize),
    /// The caller's memory of output `n`.
    Output(usize),
}

/// `rows` runs of `cols` elements, `stride` apart. All counts are in f32 elements.
///
/// In a [`CheckedPlan`](crate::CheckedPlan) neither count is 0, `stride >= cols`, and [`end`](Region::end) lies within
/// the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The memory it lies in.
    pub space: Space,
    /// First element.
    pub start: usize,
    /// Number of runs.
    pub rows: usize,
    /// Length of a run.
    pub cols: usize,
    /// From the start of one run to the start of the next.
    pub stride: usize,
    /// Whether the runs are tokens: a call has the first of them, as many as it has tokens.
    pub tokens: bool,
}

impl Region {
    /// One run.
    pub(crate) fn run(space: Space, start: usize, len: usize) -> Region {
        Region { space, start, rows: 1, cols: len, stride: len, tokens: false }
    }

    /// One past the last element.
    pub fn end(&self) -> usize {
        self.start + self.rows.saturating_sub(1) * self.stride + self.cols
    }

    /// Rows × columns.
    pub fn shape(&self) -> (u64, u64) {
        (self.rows as u64, self.cols as u64)
    }

    /// The columns from `col` on, `cols` of them.
    pub(crate) fn columns(&self, col: usize, cols: usize) -> Region {
        Region { start: self.start + col, cols, ..*self }
    }

    /// Whether both are the same elements in the same order.
    pub fn is_same(&self, other: &Region) -> bool {
        self.space == other.space
            && self.start == other.start
            && self.rows == other.rows
            && self.cols == other.cols
            && (self.rows == 1 || self.stride == other.stride)
    }

    /// Whether they may share an element. Exact where both have the same stride or one of them is a single run that
    /// is no longer than the other's stride; else two regions whose spans meet count as overlapping.
    pub fn overlaps(&self, other: &Region) -> bool {
        if self.space != other.space || self.end() <= other.start || other.end() <= self.start {
            return false;
        }
        let (first, second) = if self.start <= other.start { (self, other) } else { (other, self) };
        let stride = match (first.rows, second.rows) {
            (1, 1) => return true, // their spans meet
            (1, _) if first.cols <= second.stride => second.stride,
            (_, 1) if second.cols <= first.stride => first.stride,
            _ if first.stride == second.stride => first.stride,
            _ => return true,
        };
        // On the grid of `stride` columns where `first` begins at (0, 0), `second` begins at (`row`, `col`); what
        // reaches past the last column goes on one row further down.
        let (row, col) = ((second.start - first.start) / stride, (second.start - first.start) % stride);
        let meets = |row: usize, col: usize| row < first.rows && col < first.cols;
        let wraps = col + second.cols > stride;
        meets(row, col) || (wraps && meets(row + 1, 0))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            Space::Arena => f.write_str("arena")?,
            Space::Weights => f.write_str("weights")?,
            Space::Input(n) => write!(f, "input {n}")?,
            Space::Output(n) => write!(f, "output {n}")?,
        }
        write!(f, " element {}, {}×{} by {}", self.start, self.rows, self.cols, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(r: &Region) -> impl Iterator<Item = usize> {
        (0..r.rows).flat_map(move |row| (0..r.cols).map(move |col| r.start + row * r.stride + col))
    }

    fn small() -> impl Iterator<Item = Region> {
        (0..9).flat_map(|start| {
            (1..4).flat_map(move |rows| {
                (1..4).flat_map(move |cols| {
                    (cols..5).map(move |stride| Region {
                        space: Space::Arena,
                        start,
                        rows,
                        cols,
                        stride,
                        tokens: false,
                    })
                })
            })
        })
    }

    #[test]
    fn overlap_agrees_with_the_elements() {
        for a in small() {
            for b in small() {
                let truth = elements(&a).any(|x| elements(&b).any(|y| x == y));
                let exact = a.stride == b.stride
                    || (a.rows == 1 && (b.rows == 1 || a.cols <= b.stride))
                    || (b.rows == 1 && b.cols <= a.stride);
                assert_eq!(a.overlaps(&b), b.overlaps(&a), "{a} and {b}");
                assert!(a.overlaps(&b) || !truth, "{a} and {b} share elements");
                assert!(!exact || a.overlaps(&b) == truth, "{a} and {b} share none");
            }
        }
    }

    #[test]
    fn spaces_are_apart() {
        let a = Region::run(Space::Output(0), 0, 4);
        assert!(!a.overlaps(&Region { space: Space::Output(1), ..a }));
        assert!(a.overlaps(&a) && a.is_same(&a));
    }

    #[test]
    fn a_single_row_has_no_stride() {
        let a = Region { stride: 3, ..Region::run(Space::Arena, 0, 3) };
        assert!(a.is_same(&Region { stride: 8, ..a }));
        assert!(!a.is_same(&Region { start: 1, ..a }));
    }
}
