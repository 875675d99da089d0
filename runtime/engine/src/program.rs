//! A plan made ready for a number of threads: phases one after another, each a list of tasks that may run at the same
//! time. How work is cut changes no result: no element's sum is ever split.
//!
//! Where rows are tokens a run has the first of them only: tasks then hold the regions of the most tokens and the
//! [`Share`] of the rows that is theirs, and are cut when they run. May import: `error`, `cost`, `team`.

use std::ops::Range;

use far_format::layout::{
    Activation, PANEL, Precision, attention_work_bytes, gemm_weight_len, lstm_weight_len, padded_hidden,
    panels_len, table_row_len,
};
use far_format::plan::{Attention, Embed, Gemm, GemmGroup, LayerNorm, Lstm, Operand, Patches, StepOp};
use far_format::{CheckedPlan, Region};
use far_kernels::{Kernels, lstm_state_len};

use crate::cost::{self, Cut, Share};
use crate::error::{Error, Result};
use crate::team::Order;

/// Bytes of an f32: offsets in a plan are in bytes.
const ELEMENT: usize = size_of::<f32>();

/// About how many rows of attention scores a thread keeps at a time.
const SCORE_ROWS: usize = 42;

/// What runs, in order.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) phases: Vec<Phase>,
    pub(crate) tasks: Vec<Task>,
    /// f32 elements that a task may need for itself.
    pub(crate) scratch: usize,
}

/// Tasks that write disjoint memory and read nothing that another of them writes.
#[derive(Debug)]
pub(crate) struct Phase {
    /// The step that it belongs to.
    pub(crate) step: usize,
    /// Indices into [`Program::tasks`].
    pub(crate) tasks: Range<usize>,
    /// The fewest tokens whose work is worth more than one thread; 0 where it always is.
    pub(crate) parallel_from: usize,
    /// How threads share out the tasks.
    pub(crate) order: Order,
}

/// One call of a kernel.
#[derive(Debug)]
pub(crate) struct Task {
    /// The rows that it takes of regions whose rows are tokens.
    pub(crate) share: Share,
    pub(crate) work: Work,
}

/// What a kernel is called with. Regions are those of a [`CheckedPlan`] or parts of them; ranges are elements of the
/// weights section; `keys` and `values` are where they begin in the arena.
#[derive(Debug)]
pub(crate) enum Work {
    Gemm {
        precision: Precision,
        a: Region,
        weights: Range<usize>,
        act: Activation,
        residual: Option<Region>,
        out: Region,
    },
    Lstm {
        precision: Precision,
        gates: Region,
        weights: Range<usize>,
        reverse: bool,
        out: Region,
    },
    LayerNorm {
        x: Region,
        eps: f32,
        affine: Option<Range<usize>>,
        out: Region,
    },
    PackHead {
        k: Region,
        v: Region,
        keys: usize,
        values: usize,
    },
    Attend {
        q: Region,
        keys: usize,
        values: usize,
        tokens: usize,
        scale: f32,
        block: usize,
        out: Region,
    },
    Map {
        act: Activation,
        x: Region,
        out: Region,
    },
    Add {
        a: Region,
        b: Region,
        out: Region,
    },
    Copy {
        x: Region,
        out: Region,
    },
    MeanRows {
        x: Region,
        out: Region,
    },
    Patches {
        image: Region,
        geometry: Geometry,
        first: usize,
        out: Region,
    },
    Embed {
        precision: Precision,
        input: usize,
        table: Range<usize>,
        first: usize,
        out: Region,
    },
    Normalize {
        x: Region,
        eps: f32,
        out: Region,
    },
}

/// How an image is cut into patches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) patch_height: usize,
    pub(crate) patch_width: usize,
    /// Patches side by side.
    pub(crate) across: usize,
}

impl Program {
    /// For `threads` threads and these kernels.
    pub(crate) fn new(plan: &CheckedPlan, threads: usize, kernels: Kernels) -> Result<Program> {
        let mut builder = Builder { plan, threads, kernels, program: Program::default() };
        for (step, op) in plan.steps.iter().map(|step| &step.op).enumerate() {
            builder.step(step, op)?;
        }
        Ok(builder.program)
    }
}

struct Builder<'p> {
    plan: &'p CheckedPlan,
    threads: usize,
    kernels: Kernels,
    program: Program,
}

impl Builder<'_> {
    fn step(&mut self, step: usize, op: &StepOp) -> Result<()> {
        let cost = cost::step(self.plan, op);
        let cut = Cut::new(cost, self.threads);
        let first = self.program.tasks.len();
        let plan = self.plan;
        let part = |operand, share| rows(&plan.region(operand), share);
        match op {
            StepOp::Gemm(gemm) => self.gemm(gemm, cost, cut)?,
            StepOp::Lstm(lstm) => self.lstm(lstm)?,
            StepOp::Attention(attention) => return self.attention(step, attention, cost, cut),
            StepOp::Patches(patches) => self.patches(patches, cut)?,
            StepOp::MeanRows { x, out } => {
                let [x, out] = self.regions([x, out]);
                for (at, n) in cut.ranges(out.cols, PANEL) {
                    let work = Work::MeanRows { x: columns(&x, at, n), out: columns(&out, at, n) };
                    self.push(Share::ALL, work)?;
                }
            }
            StepOp::LayerNorm(LayerNorm { x, out, eps, affine }) => {
                let affine = affine.map(|offset| span(offset, 2 * out.cols as usize));
                self.by_rows(out, cut, |share| Work::LayerNorm {
                    x: part(x, share),
                    eps: *eps,
                    affine: affine.clone(),
                    out: part(out, share),
                })?;
            }
            StepOp::Embed(Embed { input, table, vocab, precision, out }) => {
                let row = table_row_len(*precision, out.cols as usize)
                    .expect("checked to be how tables are stored");
                let (table, rows) = (span(*table, *vocab as usize * row), out.rows as usize);
                self.by_rows(out, cut, |share| {
                    let (input, table, out) = (*input as usize, table.clone(), part(out, share));
                    let first = if out.tokens { 0 } else { share.of(rows).0 };
                    Work::Embed { precision: *precision, input, table, first, out }
                })?;
            }
            StepOp::Map { act, x, out } => self.by_rows(out, cut, |share| Work::Map {
                act: *act,
                x: part(x, share),
                out: part(out, share),
            })?,
            StepOp::Normalize { x, out, eps } => self.by_rows(out, cut, |share| Work::Normalize {
                x: part(x, share),
                eps: *eps,
                out: part(out, share),
            })?,
            StepOp::Add { a, b, out } => self.by_rows(out, cut, |share| Work::Add {
                a: part(a, share),
                b: part(b, share),
                out: part(out, share),
            })?,
            StepOp::Copy { x, out } => {
                self.by_rows(out, cut, |share| Work::Copy { x: part(x, share), out: part(out, share) })?
            }
        }
        self.phase(step, first, cost, cut)
    }

    /// A step whose rows are apart, in ranges of them.
    fn by_rows(&mut self, out: &Operand, cut: Cut, work: impl Fn(Share) -> Work) -> Result<()> {
        cut.shares(out.rows as usize, 1).try_for_each(|share| self.push(share, work(share)))
    }

    /// In ranges of rows where each thread has some tiles of them: what a thread computes it then also reads in the steps that follow, and
    /// its core's caches need not ask others for it. Else, and where there may be few tokens, every group in ranges of panels, so
    /// that a thread reads its own part of the weights only, and in ranges of rows where the panels alone are too few; where the kernel
    /// prepares rows before it multiplies them, in ranges of rows only: each is then prepared once.
    fn gemm(&mut self, gemm: &Gemm, cost: usize, cut: Cut) -> Result<()> {
        let kernel = self.kernels.gemm(gemm.precision);
        let (rows, tokens) = (gemm.out.rows as usize, self.plan.region(&gemm.out).tokens);
        let total: usize = gemm.groups.iter().map(cost::group).sum();
        let mut scratch = 0;
        for group in &gemm.groups {
            scratch = scratch.max(kernel.scratch_len(rows, group.k as usize));
        }
        self.program.scratch = self.program.scratch.max(scratch);
        if !tokens && rows >= 2 * self.threads * kernel.tile_rows() {
            for share in cut.of_rows(cost, self.threads).shares(rows, 1) {
                for group in &gemm.groups {
                    self.product(gemm, group, (0, (group.n as usize).div_ceil(PANEL)), share)?;
                }
            }
            return Ok(());
        }
        for group in &gemm.groups {
            let share = cut.share(cost::group(group), total);
            // Wide machines take two panels at once.
            let by_panels = Cut { tasks: if scratch > 0 { 1 } else { share.tasks } }
                .ranges((group.n as usize).div_ceil(PANEL), 2);
            let by_rows = Cut { tasks: share.tasks.div_ceil(by_panels.len()) };
            for panels in by_panels {
                for share in by_rows.shares(rows, kernel.tile_rows()) {
                    self.product(gemm, group, panels, share)?;
                }
            }
        }
        Ok(())
    }

    /// The task of so many panels of a group from one on, and some rows.
    fn product(
        &mut self,
        gemm: &Gemm,
        group: &GemmGroup,
        (panel, count): (usize, usize),
        share: Share,
    ) -> Result<()> {
        let precision = gemm.precision;
        let weight_len = |k, n| gemm_weight_len(precision, self.plan.arch(), k, n);
        let [a, out] = self.regions([&gemm.a, &gemm.out]);
        let (k, n) = (group.k as usize, group.n as usize);
        let col = panel * PANEL;
        let width = (count * PANEL).min(n - col);
        let part = |r: &Region| columns(&rows(r, share), group.out_col as usize + col, width);
        let weights = group.weights as usize / ELEMENT + weight_len(k, col);
        let work = Work::Gemm {
            precision,
            a: columns(&rows(&a, share), group.a_col as usize, k),
            weights: weights..weights + weight_len(k, width),
            act: gemm.act,
            residual: gemm.residual.as_ref().map(|r| part(&self.plan.region(r))),
            out: part(&out),
        };
        self.push(share, work)
    }

    /// A task a unit, the longest first.
    fn lstm(&mut self, lstm: &Lstm) -> Result<()> {
        let [gates, out] = self.regions([&lstm.gates, &lstm.out]);
        let first = self.program.tasks.len();
        for unit in &lstm.units {
            let hidden = unit.hidden as usize;
            let precision = lstm.precision;
            self.program.scratch = self.program.scratch.max(lstm_state_len(precision, hidden));
            let work = Work::Lstm {
                precision,
                gates: columns(&gates, unit.gate_col as usize, 4 * padded_hidden(hidden)),
                weights: span(unit.weights, lstm_weight_len(precision, self.plan.arch(), hidden)),
                reverse: unit.reverse,
                out: columns(&out, unit.out_col as usize, hidden),
            };
            self.push(Share::ALL, work)?;
        }
        let hidden = |task: &Task| if let Work::Lstm { out, .. } = &task.work { out.cols } else { 0 };
        self.program.tasks[first..].sort_unstable_by_key(|task| std::cmp::Reverse(hidden(task)));
        Ok(())
    }

    /// First a task a head that packs its keys and values; then tasks of some rows of a head each.
    fn attention(&mut self, step: usize, attention: &Attention, cost: usize, cut: Cut) -> Result<()> {
        let [q, k, v, out] = self.regions([&attention.q, &attention.k, &attention.v, &attention.out]);
        let (tokens, heads) = (q.rows, attention.heads as usize);
        let tile_rows = self.kernels.gemm(Precision::F32).tile_rows();
        let d = q.cols / heads;
        // Of fewer tokens each head packs less, where it would pack most.
        let head_len = attention_work_bytes(tokens, 1, d) / ELEMENT;
        let work = |head: usize| {
            let keys = attention.work as usize / ELEMENT + head * head_len;
            (keys, keys + panels_len(d, tokens))
        };

        let first = self.program.tasks.len();
        for head in 0..heads {
            let (keys, values) = work(head);
            let (k, v) = (columns(&k, head * d, d), columns(&v, head * d, d));
            self.push(Share::ALL, Work::PackHead { k, v, keys, values })?;
        }
        self.phase(step, first, cost, cut)?;

        let first = self.program.tasks.len();
        let block = tile_rows * (SCORE_ROWS / tile_rows).max(1);
        let block = block.min(tokens);
        self.program.scratch = self.program.scratch.max(block * tokens.next_multiple_of(PANEL));
        let by_rows = Cut { tasks: cut.tasks.div_ceil(heads) };
        for head in 0..heads {
            for share in by_rows.shares(tokens, block) {
                let part = |r: &Region| columns(&rows(r, share), head * d, d);
                let ((keys, values), scale) = (work(head), attention.scale);
                let work = Work::Attend { q: part(&q), keys, values, tokens, scale, block, out: part(&out) };
                self.push(share, work)?;
            }
        }
        self.phase(step, first, cost, cut)
    }

    fn patches(&mut self, patches: &Patches, cut: Cut) -> Result<()> {
        let [image, out] = self.regions([&patches.image, &patches.out]);
        let geometry = Geometry {
            channels: patches.channels as usize,
            height: image.rows / patches.channels as usize,
            patch_height: patches.patch_height as usize,
            patch_width: patches.patch_width as usize,
            across: image.cols / patches.patch_width as usize,
        };
        for share in cut.shares(out.rows, 1) {
            let (first, out) = (share.of(out.rows).0, rows(&out, share));
            self.push(share, Work::Patches { image, geometry, first, out })?;
        }
        Ok(())
    }

    fn regions<const N: usize>(&self, operands: [&Operand; N]) -> [Region; N] {
        operands.map(|operand| self.plan.region(operand))
    }

    fn push(&mut self, share: Share, work: Work) -> Result<()> {
        push(&mut self.program.tasks, Task { share, work })
    }

    /// The tasks since `first` are a phase of a step of that cost.
    fn phase(&mut self, step: usize, first: usize, cost: usize, cut: Cut) -> Result<()> {
        let tasks = first..self.program.tasks.len();
        let parallel_from = if tasks.len() == 1 {
            usize::MAX
        } else if cut.tasks > 1
            && !self.program.tasks[tasks.clone()].iter().any(|task| task.work.has_tokens())
        {
            0
        } else {
            cut.rows_worth_sharing(cost, self.plan.tokens as usize)
        };
        let order = match self.program.tasks[tasks.clone()].first() {
            Some(Task { work: Work::Lstm { .. }, .. }) => Order::FirstToLast,
            _ => Order::FromBothEnds,
        };
        push(&mut self.program.phases, Phase { step, tasks, parallel_from, order })
    }
}

impl Work {
    /// Whether it is the more the more tokens a run has.
    pub(crate) fn has_tokens(&self) -> bool {
        match self {
            Work::Lstm { gates: rows, .. }
            | Work::PackHead { k: rows, .. }
            | Work::Attend { q: rows, .. }
            | Work::MeanRows { x: rows, .. }
            | Work::Gemm { out: rows, .. }
            | Work::LayerNorm { out: rows, .. }
            | Work::Map { out: rows, .. }
            | Work::Add { out: rows, .. }
            | Work::Copy { out: rows, .. }
            | Work::Patches { out: rows, .. }
            | Work::Embed { out: rows, .. }
            | Work::Normalize { out: rows, .. } => rows.tokens,
        }
    }
}

/// A share of a region's rows; all of them where they are tokens, which are cut when the task runs.
fn rows(region: &Region, share: Share) -> Region {
    if region.tokens { *region } else { some_rows(region, share.of(region.rows)) }
}

/// Some rows of a region: the first, and how many.
pub(crate) fn some_rows(region: &Region, (at, rows): (usize, usize)) -> Region {
    Region { start: region.start + at * region.stride, rows, ..*region }
}

/// Some columns of a region.
fn columns(region: &Region, at: usize, cols: usize) -> Region {
    Region { start: region.start + at, cols, ..*region }
}

/// `len` elements from a byte offset on.
fn span(offset: u64, len: usize) -> Range<usize> {
    let start = offset as usize / ELEMENT;
    start..start + len
}

fn push<T>(vec: &mut Vec<T>, value: T) -> Result<()> {
    let bytes = vec.len().saturating_add(1).saturating_mul(size_of::<T>());
    vec.try_reserve(1).map_err(|_| Error::OutOfMemory { what: "the session's tasks", bytes })?;
    vec.push(value);
    Ok(())
}
