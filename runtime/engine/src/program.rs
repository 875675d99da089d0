//! A plan made ready for a number of threads: phases one after another, each a list of tasks that may run at the same
//! time. How work is cut changes no result: no element's sum is ever split. May import: `error`, `cost`.

use std::ops::Range;

use far_format::layout::{
    Activation, PANEL, attention_work_bytes, gemm_weight_len, lstm_weight_len, padded_hidden,
};
use far_format::plan::{Attention, Gemm, Lstm, Patches, StepOp};
use far_format::{CheckedPlan, Region};
use far_kernels::lstm_state_len;

use crate::cost::{self, Cut};
use crate::error::{Error, Result};

/// Bytes of an f32: offsets in a plan are in bytes.
const ELEMENT: usize = size_of::<f32>();

/// About how many rows of attention scores a thread keeps at a time.
const SCORE_ROWS: usize = 32;

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
    /// Whether the work is worth more than one thread.
    pub(crate) parallel: bool,
}

/// One call of a kernel. Regions are those of a [`CheckedPlan`] or parts of them; ranges are elements of the weights
/// section or, for `keys` and `values`, of the arena.
#[derive(Debug)]
pub(crate) enum Task {
    Gemm { a: Region, weights: Range<usize>, act: Activation, residual: Option<Region>, out: Region },
    Lstm { gates: Region, weights: Range<usize>, reverse: bool, out: Region },
    LayerNorm { x: Region, eps: f32, affine: Option<Range<usize>>, out: Region },
    PackHead { k: Region, v: Region, keys: Range<usize>, values: Range<usize> },
    Attend { q: Region, keys: Range<usize>, values: Range<usize>, scale: f32, block: usize, out: Region },
    Map { act: Activation, x: Region, out: Region },
    Add { a: Region, b: Region, out: Region },
    Copy { x: Region, out: Region },
    MeanRows { x: Region, out: Region },
    Patches { image: Region, geometry: Geometry, first: usize, out: Region },
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
    /// For `threads` threads and a GEMM whose register tile has `tile_rows` rows.
    pub(crate) fn new(plan: &CheckedPlan, threads: usize, tile_rows: usize) -> Result<Program> {
        let mut builder = Builder { plan, threads, tile_rows: tile_rows.max(1), program: Program::default() };
        for (step, op) in plan.steps.iter().map(|step| &step.op).enumerate() {
            builder.step(step, op)?;
        }
        Ok(builder.program)
    }
}

struct Builder<'p> {
    plan: &'p CheckedPlan,
    threads: usize,
    tile_rows: usize,
    program: Program,
}

impl Builder<'_> {
    fn step(&mut self, step: usize, op: &StepOp) -> Result<()> {
        let cut = Cut::new(cost::step(self.plan, op), self.threads);
        let region = |operand| self.plan.region(operand);
        let tasks = self.program.tasks.len();
        match op {
            StepOp::Gemm(gemm) => self.gemm(gemm, cut)?,
            StepOp::Lstm(lstm) => self.lstm(lstm)?,
            StepOp::Attention(attention) => return self.attention(step, attention, cut),
            StepOp::Patches(patches) => self.patches(patches, cut)?,
            StepOp::LayerNorm(norm) => {
                let (x, out, eps) = (region(&norm.x), region(&norm.out), norm.eps);
                let affine = norm.affine.map(|offset| span(offset, 2 * x.cols));
                let task = |at, n| Task::LayerNorm {
                    x: rows(&x, at, n),
                    eps,
                    affine: affine.clone(),
                    out: rows(&out, at, n),
                };
                self.by_rows(out.rows, cut, task)?;
            }
            StepOp::Map { act, x, out } => {
                let (x, out, act) = (region(x), region(out), *act);
                self.by_rows(out.rows, cut, |at, n| Task::Map {
                    act,
                    x: rows(&x, at, n),
                    out: rows(&out, at, n),
                })?;
            }
            StepOp::Add { a, b, out } => {
                let (a, b, out) = (region(a), region(b), region(out));
                let task =
                    |at, n| Task::Add { a: rows(&a, at, n), b: rows(&b, at, n), out: rows(&out, at, n) };
                self.by_rows(out.rows, cut, task)?;
            }
            StepOp::Copy { x, out } => {
                let (x, out) = (region(x), region(out));
                self.by_rows(out.rows, cut, |at, n| Task::Copy {
                    x: rows(&x, at, n),
                    out: rows(&out, at, n),
                })?;
            }
            StepOp::MeanRows { x, out } => {
                let (x, out) = (region(x), region(out));
                for (at, n) in cut.ranges(out.cols, PANEL) {
                    self.push(Task::MeanRows { x: columns(&x, at, n), out: columns(&out, at, n) })?;
                }
            }
        }
        self.phase(step, tasks, cut)
    }

    /// Every group in ranges of panels, and in ranges of rows where the panels alone are too few.
    fn gemm(&mut self, gemm: &Gemm, cut: Cut) -> Result<()> {
        let (a, out) = (self.plan.region(&gemm.a), self.plan.region(&gemm.out));
        let residual = gemm.residual.as_ref().map(|r| self.plan.region(r));
        let total: usize = gemm.groups.iter().map(cost::group).sum();
        for group in &gemm.groups {
            let (k, n, out_col) = (group.k as usize, group.n as usize, group.out_col as usize);
            let panels = n.div_ceil(PANEL);
            let share = cut.share(cost::group(group), total);
            // Wide machines take two panels at once.
            let by_panels = share.ranges(panels, 2);
            let by_rows = Cut { tasks: share.tasks.div_ceil(by_panels.len()) };
            for (panel, count) in by_panels {
                let col = panel * PANEL;
                let width = (count * PANEL).min(n - col);
                let weights = group.weights as usize / ELEMENT + gemm_weight_len(k, col);
                for (row, len) in by_rows.ranges(out.rows, self.tile_rows) {
                    let part = |r: &Region| columns(&rows(r, row, len), out_col + col, width);
                    self.push(Task::Gemm {
                        a: columns(&rows(&a, row, len), group.a_col as usize, k),
                        weights: weights..weights + gemm_weight_len(k, width),
                        act: gemm.act,
                        residual: residual.as_ref().map(part),
                        out: part(&out),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// A task a unit, the longest first.
    fn lstm(&mut self, lstm: &Lstm) -> Result<()> {
        let (gates, out) = (self.plan.region(&lstm.gates), self.plan.region(&lstm.out));
        let first = self.program.tasks.len();
        for unit in &lstm.units {
            let hidden = unit.hidden as usize;
            self.program.scratch = self.program.scratch.max(lstm_state_len(hidden));
            self.push(Task::Lstm {
                gates: columns(&gates, unit.gate_col as usize, 4 * padded_hidden(hidden)),
                weights: span(unit.weights, lstm_weight_len(hidden)),
                reverse: unit.reverse,
                out: columns(&out, unit.out_col as usize, hidden),
            })?;
        }
        let hidden = |task: &Task| if let Task::Lstm { out, .. } = task { out.cols } else { 0 };
        self.program.tasks[first..].sort_by_key(|task| std::cmp::Reverse(hidden(task)));
        Ok(())
    }

    /// First a task a head that packs its keys and values; then tasks of some rows of a head each.
    fn attention(&mut self, step: usize, attention: &Attention, cut: Cut) -> Result<()> {
        let [q, k, v, out] =
            [&attention.q, &attention.k, &attention.v, &attention.out].map(|o| self.plan.region(o));
        let (tokens, heads) = (q.rows, attention.heads as usize);
        let d = q.cols / heads;
        let head_len = attention_work_bytes(tokens, 1, d) / ELEMENT;
        let work = |head: usize| {
            let start = attention.work as usize / ELEMENT + head * head_len;
            let middle = start + gemm_weight_len(d, tokens);
            (start..middle, middle..start + head_len)
        };

        let first = self.program.tasks.len();
        for head in 0..heads {
            let (keys, values) = work(head);
            self.push(Task::PackHead {
                k: columns(&k, head * d, d),
                v: columns(&v, head * d, d),
                keys,
                values,
            })?;
        }
        self.phase(step, first, cut)?;

        let first = self.program.tasks.len();
        let block = self.tile_rows * (SCORE_ROWS / self.tile_rows).max(1);
        let block = block.min(tokens);
        self.program.scratch = self.program.scratch.max(block * tokens.next_multiple_of(PANEL));
        let by_rows = Cut { tasks: cut.tasks.div_ceil(heads) };
        for head in 0..heads {
            for (row, len) in by_rows.ranges(tokens, block) {
                let part = |r: &Region| columns(&rows(r, row, len), head * d, d);
                let (keys, values) = work(head);
                let scale = attention.scale;
                self.push(Task::Attend { q: part(&q), keys, values, scale, block, out: part(&out) })?;
            }
        }
        self.phase(step, first, cut)
    }

    fn patches(&mut self, patches: &Patches, cut: Cut) -> Result<()> {
        let (image, out) = (self.plan.region(&patches.image), self.plan.region(&patches.out));
        let geometry = Geometry {
            channels: patches.channels as usize,
            height: image.rows / patches.channels as usize,
            patch_height: patches.patch_height as usize,
            patch_width: patches.patch_width as usize,
            across: image.cols / patches.patch_width as usize,
        };
        self.by_rows(out.rows, cut, |first, n| Task::Patches {
            image,
            geometry,
            first,
            out: rows(&out, first, n),
        })
    }

    fn by_rows(&mut self, rows: usize, cut: Cut, task: impl Fn(usize, usize) -> Task) -> Result<()> {
        cut.ranges(rows, 1).try_for_each(|(at, n)| self.push(task(at, n)))
    }

    fn push(&mut self, task: Task) -> Result<()> {
        push(&mut self.program.tasks, task)
    }

    /// The tasks since `first` are a phase.
    fn phase(&mut self, step: usize, first: usize, cut: Cut) -> Result<()> {
        let tasks = first..self.program.tasks.len();
        push(&mut self.program.phases, Phase { step, parallel: cut.tasks > 1 && tasks.len() > 1, tasks })
    }
}

/// Some rows of a region.
fn rows(region: &Region, at: usize, rows: usize) -> Region {
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
