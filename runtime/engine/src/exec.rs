//! The step loop: binds the memory of one call and calls the kernels. One of the places that hold unsafe code: the
//! views of memory that several threads share, in `memory`. May import: `model`, `call`, `cancel`, `counted`, `program`, `team`,
//! `profile`, `buffer`, `error`.
//!
//! Every view relies on three facts, cited by letter:
//!
//! - **(A)** Regions and ranges of a [`Program`] are those of its model's [`CheckedPlan`](far_format::CheckedPlan), or
//!   parts of them. The plan proves that they lie inside the arena, the weights section or one element's part of a
//!   port, that only the arena and outputs are written, and that operands of one step overlap only where its kernel
//!   allows. Of a region whose rows are tokens a view has the first rows, no more than the call has tokens; in a port
//!   these follow each other without a gap, so that they lie in what the call's tokens take.
//! - **(B)** [`check`] proved that each buffer of the caller is as long as its port is in this call, and
//!   [`Memory`] borrows them and the arena for as long as the views live.
//! - **(C)** The tasks of a phase write disjoint memory and read nothing that another of them writes, phases run one
//!   after another, elements of the batch too, and the team runs each task of a phase on one thread.
#![allow(unsafe_code)]

mod memory;
mod rows;
#[cfg(test)]
mod tests;

use std::time::Instant;

use far_kernels::Kernels;

use crate::buffer::{Buffer, Supply};
use crate::call::{Extent, Inputs, Integers, check};
use crate::cancel::Cancel;
use crate::counted::Counted;
use crate::error::{Error, Result, named};
use crate::model::Model;
use crate::profile::Profile;
use crate::program::Program;
use crate::team::Team;
use memory::{Element, Memory, Outputs};

/// A model and the program that its runs will follow, without the memory: what belongs together is made together here, so
/// that (A) holds.
#[derive(Debug)]
pub(crate) struct Prepared {
    model: Counted<Model>,
    kernels: Kernels,
    program: Program,
}

impl Prepared {
    /// For `threads` threads.
    pub(crate) fn new(model: Counted<Model>, kernels: Kernels, threads: usize) -> Result<Prepared> {
        let program = Program::new(model.plan(), threads, kernels)?;
        Ok(Prepared { model, kernels, program })
    }

    pub(crate) fn model(&self) -> &Counted<Model> {
        &self.model
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// f32 elements of the arena.
    pub(crate) fn arena_len(&self) -> usize {
        let arena = self.model.plan().arena_bytes.div_ceil(size_of::<f32>() as u64);
        usize::try_from(arena).unwrap_or(usize::MAX)
    }
}

/// A model made ready to run.
#[derive(Debug)]
pub(crate) struct Machine {
    model: Counted<Model>,
    kernels: Kernels,
    program: Program,
    integers: Integers,
    arena: Buffer,
    outputs: Outputs,
    cancel: Cancel,
}

impl Machine {
    /// Takes the arena.
    pub(crate) fn new(prepared: Prepared, supply: &mut Supply) -> Result<Machine> {
        let arena = supply.take(prepared.arena_len(), "the arena")?;
        let Prepared { model, kernels, program } = prepared;
        let integers = Integers::new(model.plan())?;
        let outputs = Outputs::new(model.outputs().len())?;
        Ok(Machine { model, kernels, program, integers, arena, outputs, cancel: Cancel::new()? })
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub(crate) fn model(&self) -> &Counted<Model> {
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

    /// Runs the whole program once for each element of the batch.
    pub(crate) fn run(
        &mut self,
        team: &mut Team,
        profile: Option<&mut Profile>,
        extent: Extent,
        inputs: Inputs<'_>,
        outputs: &mut [&mut [f32]],
    ) -> Result<()> {
        check(self.model.plan(), &self.integers, extent, inputs, outputs)?;
        self.cancel.begin();
        let ran = self.run_checked(team, profile, extent, inputs, outputs);
        // Whoever cancelled the run hears so from it, even where it was over already; a panic is worse.
        if self.cancel.end() { ran.and(Err(Error::Cancelled)) } else { ran }
    }

    fn run_checked(
        &mut self,
        team: &mut Team,
        mut profile: Option<&mut Profile>,
        extent: Extent,
        inputs: Inputs<'_>,
        outputs: &mut [&mut [f32]],
    ) -> Result<()> {
        let Machine { model, kernels, program, integers, arena, outputs: pointers, cancel } = self;
        let memory = Memory::bind(model, arena, extent, inputs, outputs, pointers);
        for index in 0..extent.batch {
            let tokens = integers.tokens(extent, inputs, index);
            // SAFETY: (B) and (C): no task runs.
            unsafe { memory.clear_padding(index, tokens) };
            let element = Element { index, tokens };
            for phase in &program.phases {
                let tasks = &program.tasks[phase.tasks.clone()];
                let task = |i: usize, scratch: &mut [f32]| {
                    if cancel.is_asked() {
                        return;
                    }
                    // SAFETY: (A) since the program was made from this model and the arena is as long as its plan says,
                    // and no element has more tokens than the call; (B) since `memory` was bound after the check; (C)
                    // since this loop waits for the team, which hands out each number once.
                    unsafe { memory.run(&tasks[i], element, *kernels, scratch) };
                };
                let start = profile.as_ref().map(|_| Instant::now());
                let done = if tokens >= phase.parallel_from {
                    team.run(tasks.len(), phase.order, &task)
                } else {
                    (0..tasks.len()).try_for_each(|i| team.run_here(&|_, scratch| task(i, scratch)))
                };
                if done.is_err() {
                    // Without memory for its name it is a defect all the same.
                    let step = named(&model.plan().steps[phase.step].name).unwrap_or_default();
                    return Err(Error::Panicked { step });
                }
                if cancel.is_asked() {
                    return Err(Error::Cancelled);
                }
                if let (Some(profile), Some(start)) = (profile.as_deref_mut(), start) {
                    profile.add(phase.step, start.elapsed());
                }
            }
        }
        if let Some(profile) = profile {
            profile.run_done();
        }
        Ok(())
    }
}
