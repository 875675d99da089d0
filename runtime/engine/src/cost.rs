//! How much work a step is, and into how many tasks that is worth cutting. May import: nothing of this crate.

use std::iter::FusedIterator;

use far_format::CheckedPlan;
use far_format::layout::{Precision, padded_hidden};
use far_format::plan::{GemmGroup, StepOp};

/// Below this the caller runs a step alone: to hand it out would take about as long. In multiply-adds.
const ALONE: usize = 1 << 16;

/// A task is no smaller than this, in multiply-adds.
const TASK: usize = 1 << 15;

/// So many tasks a thread: enough to even out unequal threads, few enough to be large.
const TASKS_PER_THREAD: usize = 4;

/// A thread has more than one range of rows of a product only if each is at least this, in multiply-adds: every range reads all of the weights.
const ROWS_TASK: usize = 1 << 24;

/// Multiply-adds that one tanh, exp or erf counts for.
const FUNCTION: usize = 16;

/// What a step takes, roughly, in multiply-adds of f32.
pub(crate) fn step(plan: &CheckedPlan, op: &StepOp) -> usize {
    let size = |operand| {
        let region = plan.region(operand);
        region.rows * region.cols
    };
    match op {
        StepOp::Gemm(gemm) => gemm
            .groups
            .iter()
            .fold(0usize, |sum, g| sum.saturating_add(group(g)))
            .saturating_mul(gemm.a.rows as usize)
            .div_ceil(at_once(gemm.precision)),
        StepOp::Lstm(lstm) => {
            let depth = |hidden: usize| hidden.div_ceil(at_once(lstm.precision)) + FUNCTION;
            let unit = |hidden: usize| depth(hidden).saturating_mul(4 * padded_hidden(hidden));
            let units = lstm.units.iter().fold(0usize, |sum, u| sum.saturating_add(unit(u.hidden as usize)));
            units.saturating_mul(lstm.gates.rows as usize)
        }
        StepOp::Attention(attention) => {
            let tokens = attention.q.rows as usize;
            let scores =
                tokens.saturating_mul(2 * attention.q.cols as usize + FUNCTION * attention.heads as usize);
            scores.saturating_mul(tokens)
        }
        StepOp::LayerNorm(norm) => size(&norm.x) * 4,
        StepOp::Normalize { x, .. } => size(x) * 4,
        StepOp::Embed(embed) => size(&embed.out),
        StepOp::Map { x, .. } => size(x) * FUNCTION,
        StepOp::Patches(patches) => size(&patches.out),
        StepOp::Add { out: x, .. } | StepOp::Copy { x, .. } | StepOp::MeanRows { x, .. } => size(x),
    }
}

/// Multiply-adds that take about as long as one in f32.
fn at_once(precision: Precision) -> usize {
    match precision {
        Precision::F32 | Precision::F16 => 1,
        Precision::Bf16 | Precision::F16Arith => 2,
        Precision::Int8 => 4,
    }
}

/// Multiply-adds of one row of a group; a group of depth 0 still writes.
pub(crate) fn group(group: &GemmGroup) -> usize {
    (group.k as usize + 1).saturating_mul(group.n as usize)
}

/// Into how many tasks a step is to be cut, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) tasks: usize,
}

impl Cut {
    /// For a step of that cost.
    pub(crate) fn new(cost: usize, threads: usize) -> Cut {
        if threads <= 1 || cost < ALONE {
            return Cut { tasks: 1 };
        }
        Cut { tasks: (cost / TASK).min(threads.saturating_mul(TASKS_PER_THREAD)).max(1) }
    }

    /// For a part of the step.
    pub(crate) fn share(self, part: usize, whole: usize) -> Cut {
        let tasks = (self.tasks as u128 * part as u128).div_ceil(whole.max(1) as u128);
        Cut { tasks: (tasks as usize).clamp(1, self.tasks) }
    }

    /// The same step in ranges of rows: as many for each thread, one where it costs little.
    pub(crate) fn of_rows(self, cost: usize, threads: usize) -> Cut {
        let each = (cost / threads / ROWS_TASK).clamp(1, TASKS_PER_THREAD);
        Cut { tasks: if self.tasks == 1 { 1 } else { threads * each } }
    }

    /// `0..len` in about that many ranges, each a start and a length; all but the last are multiples of `unit`.
    pub(crate) fn ranges(
        self,
        len: usize,
        unit: usize,
    ) -> impl ExactSizeIterator<Item = (usize, usize)> + FusedIterator {
        let size = len.div_ceil(self.tasks).next_multiple_of(unit).max(1);
        (0..len.div_ceil(size)).map(move |i| (i * size, size.min(len - i * size)))
    }

    /// As many shares of rows as there are [`ranges`](Self::ranges).
    pub(crate) fn shares(self, rows: usize, unit: usize) -> impl Iterator<Item = Share> {
        let parts = self.ranges(rows, unit).len();
        (0..parts).map(move |index| Share { index, parts, unit })
    }

    /// The fewest rows of `rows` that are worth more than one thread, where all of them cost `cost`.
    pub(crate) fn rows_worth_sharing(self, cost: usize, rows: usize) -> usize {
        if self.tasks <= 1 {
            return usize::MAX;
        }
        (ALONE as u128 * rows as u128).div_ceil(cost.max(1) as u128) as usize
    }
}

/// The rows that a task takes, however many there are: part `index` of `parts`, which begin at multiples of `unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    index: usize,
    parts: usize,
    unit: usize,
}

impl Share {
    /// All rows.
    pub(crate) const ALL: Share = Share { index: 0, parts: 1, unit: 1 };

    /// First and number of its rows, of so many. Of few rows the last parts may have none.
    pub(crate) fn of(self, rows: usize) -> (usize, usize) {
        let size = rows.div_ceil(self.parts).next_multiple_of(self.unit);
        let at = (self.index * size).min(rows);
        (at, size.min(rows - at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_once_and_in_order() {
        for tasks in [1, 2, 3, 8, 100] {
            for len in [0, 1, 2, 13, 64, 197] {
                for unit in [1, 2, 14] {
                    let mut end = 0;
                    let ranges = Cut { tasks }.ranges(len, unit);
                    assert!(ranges.len() <= tasks);
                    for (start, n) in ranges {
                        assert_eq!(start, end);
                        assert!(n > 0 && start.is_multiple_of(unit));
                        end += n;
                    }
                    assert_eq!(end, len);
                }
            }
        }
    }

    #[test]
    fn shares_cover_any_number_of_rows_once_and_in_order() {
        for (tasks, most, unit) in [(1, 13, 1), (4, 64, 1), (8, 197, 14), (100, 64, 2), (3, 5, 14)] {
            let shares: Vec<Share> = Cut { tasks }.shares(most, unit).collect();
            assert!(shares.len() <= tasks && shares.iter().all(|share| share.of(most).1 > 0));
            for rows in 1..=most {
                let mut end = 0;
                for (start, n) in shares.iter().map(|share| share.of(rows)) {
                    assert!(n == 0 || start == end && start.is_multiple_of(unit));
                    end += n;
                }
                assert_eq!(end, rows, "{tasks} tasks, {most} rows at most");
            }
        }
        assert_eq!(Share::ALL.of(7), (0, 7));
    }

    #[test]
    fn few_rows_stay_with_the_caller() {
        let (cost, rows) = (8 * ALONE, 64);
        let cut = Cut::new(cost, 4);
        assert_eq!(cut.rows_worth_sharing(cost, rows), 8);
        assert_eq!(cut.rows_worth_sharing(cost, 1), 1);
        assert_eq!(Cut::new(cost, 1).rows_worth_sharing(cost, rows), usize::MAX);
    }

    #[test]
    fn ranges_of_rows_are_few_and_as_many_for_each_thread() {
        for (cost, threads, tasks) in [
            (ALONE - 1, 4, 1),
            (ALONE, 1, 1),
            (ALONE, 2, 2),
            (6 * ROWS_TASK, 2, 6),
            (6 * ROWS_TASK, 4, 4),
            (usize::MAX, 3, 12),
        ] {
            assert_eq!(Cut::new(cost, threads).of_rows(cost, threads).tasks, tasks, "{cost}, {threads}");
        }
    }

    #[test]
    fn small_steps_stay_whole() {
        assert_eq!(Cut::new(ALONE - 1, 8).tasks, 1);
        assert_eq!(Cut::new(usize::MAX, 1).tasks, 1);
        assert_eq!(Cut::new(ALONE, 8).tasks, 2);
        assert_eq!(Cut::new(usize::MAX, 8).tasks, 32);
        assert_eq!(Cut { tasks: 10 }.share(1, 3).tasks, 4);
        assert_eq!(Cut { tasks: 10 }.share(0, 3).tasks, 1);
    }
}
