//! The step loop: binds the memory of one run and calls the kernels. One of the places that hold unsafe code: the views
//! of memory that several threads share. May import: `model`, `program`, `team`, `profile`, `buffer`, `error`.
//!
//! Every view below relies on three facts, cited by letter:
//!
//! - **(A)** Regions and ranges of a [`Program`] are those of its model's [`CheckedPlan`](far_format::CheckedPlan), or
//!   parts of them. The plan proves that they lie inside the arena, the weights section or a port, that only the arena
//!   and outputs are written, and that operands of one step overlap only where its kernel allows.
//! - **(B)** [`Memory::bind`] checked that each buffer of the caller is as long as its port, and borrows them and the
//!   arena for as long as the views live.
//! - **(C)** The tasks of a phase write disjoint memory and read nothing that another of them writes, phases run one
//!   after another, and the team runs each task of a phase on one thread.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use far_format::{Region, Space};
use far_kernels::matrix::{Mat, MatMut};
use far_kernels::{
    AddArgs, GemmArgs, Kernels, LayerNormArgs, LstmArgs, MapArgs, SoftmaxArgs, lstm_state_len, pack,
};

use crate::buffer::Buffer;
use crate::error::{Error, Result, Side};
use crate::model::Model;
use crate::profile::Profile;
use crate::program::{Geometry, Program, Task};
use crate::team::Team;

/// A model made ready to run: what belongs together is made together here, so that (A) holds.
#[derive(Debug)]
pub(crate) struct Machine {
    model: Arc<Model>,
    kernels: Kernels,
    program: Program,
    arena: Buffer,
    outputs: Outputs,
}

/// Room for the addresses of a run's outputs, so that a run allocates none.
#[derive(Debug)]
struct Outputs(Vec<*mut f32>);

// SAFETY: the pointers are only used during the run that put them there, under the facts above.
unsafe impl Send for Outputs {}
// SAFETY: nothing reads them through a shared reference outside of a run.
unsafe impl Sync for Outputs {}

impl Machine {
    /// For `threads` threads. Allocates the arena.
    pub(crate) fn new(model: Arc<Model>, kernels: Kernels, threads: usize) -> Result<Machine> {
        let program = Program::new(model.plan(), threads, kernels.gemm().tile_rows())?;
        let arena = model.plan().arena_bytes.div_ceil(size_of::<f32>() as u64);
        let arena = Buffer::new(usize::try_from(arena).unwrap_or(usize::MAX), "the arena")?;
        let (mut outputs, count) = (Vec::new(), model.outputs().len());
        let bytes = count * size_of::<*mut f32>();
        outputs
            .try_reserve_exact(count)
            .map_err(|_| Error::OutOfMemory { what: "the session's outputs", bytes })?;
        Ok(Machine { model, kernels, program, arena, outputs: Outputs(outputs) })
    }

    pub(crate) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    pub(crate) fn kernels(&self) -> Kernels {
        self.kernels
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// f32 elements of the arena.
    pub(crate) fn arena_len(&self) -> usize {
        self.arena.as_slice().len()
    }

    /// Runs the whole program.
    pub(crate) fn run(
        &mut self,
        team: &mut Team,
        mut profile: Option<&mut Profile>,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
    ) -> Result<()> {
        let Machine { model, kernels, program, arena, outputs: pointers } = self;
        let memory = Memory::bind(model, arena, inputs, outputs, pointers)?;
        for phase in &program.phases {
            let tasks = &program.tasks[phase.tasks.clone()];
            // SAFETY: (A) since `new` made the program and the arena from this model; (B) since `memory` exists; (C)
            // since this loop waits for the team, which hands out each number once.
            let task = |i: usize, scratch: &mut [f32]| unsafe { memory.run(&tasks[i], *kernels, scratch) };
            let start = profile.as_ref().map(|_| Instant::now());
            let done = if phase.parallel {
                team.run(tasks.len(), &task)
            } else {
                (0..tasks.len()).try_for_each(|i| team.run_here(&|_, scratch| task(i, scratch)))
            };
            done.map_err(|_| Error::Panicked { step: model.plan().steps[phase.step].name.clone() })?;
            if let (Some(profile), Some(start)) = (profile.as_deref_mut(), start) {
                profile.add(phase.step, start.elapsed());
            }
        }
        if let Some(profile) = profile {
            profile.run_done();
        }
        Ok(())
    }
}

/// The memory of one run.
struct Memory<'a> {
    arena: *mut f32,
    weights: &'a [f32],
    inputs: &'a [&'a [f32]],
    outputs: &'a [*mut f32],
    written: PhantomData<&'a mut f32>,
}

// SAFETY: by (C) threads that share this touch disjoint memory or only read.
unsafe impl Sync for Memory<'_> {}

impl<'a> Memory<'a> {
    /// Checks the caller's buffers against the model's ports and takes their addresses.
    fn bind(
        model: &'a Model,
        arena: &'a mut Buffer,
        inputs: &'a [&'a [f32]],
        outputs: &'a mut [&mut [f32]],
        pointers: &'a mut Outputs,
    ) -> Result<Memory<'a>> {
        check(model, Side::Input, inputs.len(), |i| inputs[i].len())?;
        check(model, Side::Output, outputs.len(), |i| outputs[i].len())?;
        pointers.0.clear();
        pointers.0.extend(outputs.iter_mut().map(|output| output.as_mut_ptr()));
        let arena = arena.as_mut_slice().as_mut_ptr();
        Ok(Memory { arena, weights: model.weights(), inputs, outputs: &pointers.0, written: PhantomData })
    }

    /// A view to read.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, and `region` is read by the task that runs.
    unsafe fn mat(&self, region: &Region) -> Mat<'_> {
        let base = match region.space {
            Space::Arena => self.arena.cast_const(),
            Space::Weights => self.weights.as_ptr(),
            Space::Input(n) => self.inputs[n].as_ptr(),
            Space::Output(n) => self.outputs[n].cast_const(),
        };
        // SAFETY: by (A) and (B) the region lies in that memory, which is f32 and initialised; by (C) no other task
        // writes it, and this one only where its kernel allows.
        unsafe { Mat::from_raw(base.add(region.start), region.rows, region.cols, region.stride) }
    }

    /// A view to write.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, and `region` is written by the task that runs.
    unsafe fn mat_mut(&self, region: &Region) -> MatMut<'_> {
        let base = match region.space {
            Space::Arena => self.arena,
            Space::Output(n) => self.outputs[n],
            Space::Weights | Space::Input(_) => {
                unreachable!("a checked plan writes neither weights nor inputs")
            }
        };
        // SAFETY: by (A) and (B) the region lies in that memory, by (C) nobody else touches it.
        unsafe { MatMut::from_raw(base.add(region.start), region.rows, region.cols, region.stride) }
    }

    /// Packed keys or values in the arena, to read.
    ///
    /// # Safety
    /// As [`mat`](Self::mat).
    unsafe fn packed(&self, range: &Range<usize>) -> &[f32] {
        // SAFETY: by (A) the range lies in the arena; by (C) it was written in the phase before and isn't in this.
        unsafe { std::slice::from_raw_parts(self.arena.add(range.start), range.len()) }
    }

    /// Room for packed keys or values in the arena.
    ///
    /// # Safety
    /// As [`mat_mut`](Self::mat_mut).
    #[expect(
        clippy::mut_from_ref,
        reason = "the arena is shared by the tasks of a phase, which write disjoint parts"
    )]
    unsafe fn packing(&self, range: &Range<usize>) -> &mut [f32] {
        // SAFETY: by (A) the range lies in the arena; by (C) nobody else touches it.
        unsafe { std::slice::from_raw_parts_mut(self.arena.add(range.start), range.len()) }
    }

    /// Runs one task.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, and no other thread runs this task.
    unsafe fn run(&self, task: &Task, kernels: Kernels, scratch: &mut [f32]) {
        // SAFETY, for every view below: what this function asks for; each operand is viewed as what the task does
        // with it, and views of one task overlap only where the plan and the kernel allow, by (A).
        match task {
            Task::Gemm { a, weights, act, residual, out } => kernels.gemm().run(GemmArgs {
                // SAFETY: as above.
                a: unsafe { self.mat(a) },
                weights: &self.weights[weights.clone()],
                act: *act,
                // SAFETY: as above.
                residual: residual.as_ref().map(|residual| unsafe { self.mat(residual) }),
                // SAFETY: as above.
                out: unsafe { self.mat_mut(out) },
            }),
            Task::Lstm { gates, weights, reverse, out } => kernels.lstm().run(LstmArgs {
                // SAFETY: as above.
                gates: unsafe { self.mat(gates) },
                weights: &self.weights[weights.clone()],
                reverse: *reverse,
                state: &mut scratch[..lstm_state_len(out.cols)],
                // SAFETY: as above.
                out: unsafe { self.mat_mut(out) },
            }),
            Task::LayerNorm { x, eps, affine, out } => kernels.layer_norm().run(LayerNormArgs {
                // SAFETY: as above.
                x: unsafe { self.mat(x) },
                eps: *eps,
                affine: affine.as_ref().map(|range| self.weights[range.clone()].split_at(range.len() / 2)),
                // SAFETY: as above.
                out: unsafe { self.mat_mut(out) },
            }),
            Task::PackHead { k, v, keys, values } => {
                // SAFETY: as above.
                unsafe { pack::panels_transposed(self.mat(k), self.packing(keys)) };
                // SAFETY: as above.
                unsafe { pack::panels(self.mat(v), self.packing(values)) };
            }
            Task::Attend { q, keys, values, scale, block, out } => {
                // SAFETY: as above.
                let (q, mut out) = unsafe { (self.mat(q), self.mat_mut(out)) };
                // SAFETY: as above.
                let (keys, values) = unsafe { (self.packed(keys), self.packed(values)) };
                attend(kernels, q, keys, values, *scale, *block, &mut out, scratch);
            }
            Task::Map { act, x, out } => {
                // SAFETY: as above.
                let (x, out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                kernels.map().run(MapArgs { act: *act, x, out });
            }
            Task::Add { a, b, out } => {
                // SAFETY: as above.
                let (a, b, out) = unsafe { (self.mat(a), self.mat(b), self.mat_mut(out)) };
                kernels.add().run(AddArgs { a, b, out });
            }
            Task::Copy { x, out } => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                for r in 0..x.rows() {
                    row_mut(&mut out, r).copy_from_slice(row(&x, r));
                }
            }
            Task::MeanRows { x, out } => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                mean_rows(&x, row_mut(&mut out, 0));
            }
            Task::Patches { image, geometry, first, out } => {
                // SAFETY: as above.
                let (image, mut out) = unsafe { (self.mat(image), self.mat_mut(out)) };
                for r in 0..out.rows() {
                    patch(&image, geometry, first + r, row_mut(&mut out, r));
                }
            }
        }
    }
}

fn check(model: &Model, side: Side, found: usize, len: impl Fn(usize) -> usize) -> Result<()> {
    let ports = match side {
        Side::Input => model.inputs(),
        Side::Output => model.outputs(),
    };
    if found != ports.len() {
        return Err(Error::PortCount { side, expected: ports.len(), found });
    }
    for (index, port) in ports.iter().enumerate() {
        let (expected, found) = (port.elements(), len(index));
        if found != expected {
            return Err(Error::PortLength { side, index, name: port.name.clone(), expected, found });
        }
    }
    Ok(())
}

/// Some rows of one head: `softmax(scale · q · keys) · values`, `block` rows at a time.
#[expect(clippy::too_many_arguments, reason = "the operands of attention")]
fn attend(
    kernels: Kernels,
    q: Mat<'_>,
    keys: &[f32],
    values: &[f32],
    scale: f32,
    block: usize,
    out: &mut MatMut<'_>,
    scratch: &mut [f32],
) {
    let d = q.cols();
    // Panels of values have a row for the bias, then one a token.
    let tokens = values.len() / (d.next_multiple_of(far_format::layout::PANEL)) - 1;
    let stride = tokens.next_multiple_of(far_format::layout::PANEL);
    let act = far_kernels::Activation::None;
    for row in (0..q.rows()).step_by(block) {
        let rows = block.min(q.rows() - row);
        let mut scores = MatMut::new(&mut scratch[..rows * stride], rows, tokens, stride);
        let a = q.part(row, 0, rows, d);
        kernels.gemm().run(GemmArgs { a, weights: keys, act, residual: None, out: scores.reborrow() });
        kernels.softmax().run(SoftmaxArgs { scale, x: scores.reborrow() });
        let out = out.part(row, 0, rows, d);
        kernels.gemm().run(GemmArgs { a: scores.as_mat(), weights: values, act, residual: None, out });
    }
}

/// The mean of the rows of `x`, summed in order.
fn mean_rows(x: &Mat<'_>, out: &mut [f32]) {
    out.copy_from_slice(row(x, 0));
    for r in 1..x.rows() {
        out.iter_mut().zip(row(x, r)).for_each(|(sum, x)| *sum += x);
    }
    let count = x.rows() as f32;
    out.iter_mut().for_each(|sum| *sum /= count);
}

/// Patch number `patch`, channel by channel, row by row.
fn patch(image: &Mat<'_>, geometry: &Geometry, patch: usize, out: &mut [f32]) {
    let Geometry { channels, height, patch_height, patch_width, across } = *geometry;
    let (top, left) = (patch / across * patch_height, patch % across * patch_width);
    let rows = (0..channels).flat_map(|channel| (0..patch_height).map(move |y| channel * height + top + y));
    for (r, out) in rows.zip(out.chunks_exact_mut(patch_width)) {
        out.copy_from_slice(&row(image, r)[left..left + patch_width]);
    }
}

fn row<'v>(mat: &'v Mat<'_>, row: usize) -> &'v [f32] {
    assert!(row < mat.rows());
    // SAFETY: the view promises the elements of each of its rows.
    unsafe { std::slice::from_raw_parts(mat.as_ptr().add(row * mat.stride()), mat.cols()) }
}

fn row_mut<'v>(mat: &'v mut MatMut<'_>, row: usize) -> &'v mut [f32] {
    assert!(row < mat.rows());
    // SAFETY: the view promises the elements of each of its rows, and that they are ours alone.
    unsafe { std::slice::from_raw_parts_mut(mat.as_mut_ptr().add(row * mat.stride()), mat.cols()) }
}
