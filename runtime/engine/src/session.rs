//! One caller's use of a model: arena, threads, kernels. May import: everything of this crate.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use far_format::plan::StepOp;
use far_kernels::Isa;

use crate::call::{Extent, Input, Inputs};
use crate::error::{Error, Result};
use crate::exec::Machine;
use crate::isa::choose_kernels;
use crate::model::Model;
use crate::profile::Profile;
use crate::team::Team;

/// Most threads of a session.
pub const MAX_THREADS: usize = 256;

/// How a session runs.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Threads, the caller's included; 0 for one on each CPU that the process may use. At most [`MAX_THREADS`].
    /// The results' bits don't depend on it.
    pub threads: usize,
    /// Kernels no better than these. The environment variable [`FAR_ISA`](crate::ISA_VARIABLE) limits too. The
    /// results' bits don't depend on it.
    pub isa: Option<Isa>,
    /// Whether to time each step.
    pub profile: bool,
}

/// A model ready to run: its arena, threads and kernels. Any thread may own it; one at a time runs it.
#[derive(Debug)]
pub struct Session {
    machine: Machine,
    team: Team,
    profile: Option<Profile>,
}

impl Session {
    /// Allocates everything that runs will need. Threads that no step of this model could use are not started.
    ///
    /// # Errors
    /// An option that can't be met, no memory for the arena, or no more threads.
    pub fn new(model: Arc<Model>, options: &SessionOptions) -> Result<Session> {
        let threads = match options.threads {
            0 => available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS),
            found if found > MAX_THREADS => return Err(Error::Threads { limit: MAX_THREADS, found }),
            threads => threads,
        };
        let profile = options.profile.then(|| Profile::new(model.plan().steps.len())).transpose()?;
        let machine = Machine::new(model, choose_kernels(options.isa)?, threads)?;
        let program = machine.program();
        let parallel = program.phases.iter().filter(|phase| phase.parallel_from != usize::MAX);
        let widest = parallel.map(|phase| phase.tasks.len()).max().unwrap_or(1);
        let team = Team::new(threads.min(widest), program.scratch)?;
        Ok(Session { machine, team, profile })
    }

    /// One inference of a model whose inputs are all f32 and whose calls are all of one extent: reads `inputs` and
    /// writes `outputs`, in the order of the model's ports and row-major. Allocates nothing. On an error outputs may be
    /// partly written, except that none is when the call is wrong.
    ///
    /// # Errors
    /// [`Error::PortCount`], [`Error::PortType`] and [`Error::PortLength`] where the buffers don't fit the ports,
    /// [`Error::ExtentUnknown`] where calls differ.
    pub fn run(&mut self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) -> Result<()> {
        let extent = self.model().fixed().ok_or(Error::ExtentUnknown)?;
        self.machine.run(&mut self.team, self.profile.as_mut(), extent, Inputs::F32(inputs), outputs)
    }

    /// One call of any model, as large as `extent` says: ports are as long as their
    /// [`elements`](crate::Port::elements) at that extent. Each element of the batch is computed by itself and gives the bits
    /// that it gives alone. Where the model has an attention mask, an element has the tokens that its row of the mask
    /// has ones; the rows of outputs past them are zeros. Allocates nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::Extent`], [`Error::TokenId`] and [`Error::Mask`] where the call can't be this
    /// model's. Nothing is written then.
    pub fn run_extent(
        &mut self,
        extent: Extent,
        inputs: &[Input<'_>],
        outputs: &mut [&mut [f32]],
    ) -> Result<()> {
        self.machine.run(&mut self.team, self.profile.as_mut(), extent, Inputs::Any(inputs), outputs)
    }

    /// The model that it runs.
    pub fn model(&self) -> &Arc<Model> {
        self.machine.model()
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.machine.kernels().isa()
    }

    /// Names of the kernels that its steps run, each once, in order of first use.
    pub fn kernels(&self) -> Vec<&'static str> {
        let kernels = self.machine.kernels();
        let mut names = Vec::new();
        for step in &self.model().plan().steps {
            let used: &[&'static str] = match &step.op {
                StepOp::Gemm(_) => &[kernels.gemm().name()],
                StepOp::Lstm(_) => &[kernels.lstm().name()],
                StepOp::LayerNorm(_) => &[kernels.layer_norm().name()],
                StepOp::Attention(_) => &[kernels.gemm().name(), kernels.softmax().name()],
                StepOp::Map { .. } => &[kernels.map().name()],
                StepOp::Add { .. } => &[kernels.add().name()],
                StepOp::Patches(_)
                | StepOp::Copy { .. }
                | StepOp::MeanRows { .. }
                | StepOp::Embed(_)
                | StepOp::Normalize { .. } => &[],
            };
            for name in used {
                if !names.contains(name) {
                    names.push(*name);
                }
            }
        }
        names
    }

    /// Threads that run it, the caller's included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Bytes of its arena and of its threads' scratch memory.
    pub fn memory_bytes(&self) -> usize {
        (self.machine.arena_len() + self.threads() * self.machine.program().scratch) * size_of::<f32>()
    }

    /// The time in each step, where [`SessionOptions::profile`] asked for it.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Begins to time anew.
    pub fn reset_profile(&mut self) {
        if let Some(profile) = &mut self.profile {
            profile.reset();
        }
    }
}
