//! One caller's use of a model: arena, threads, kernels. May import: everything of this crate.

use far_format::plan::StepOp;
use far_kernels::{Isa, Precision};

use crate::buffer::{Supply, padded};
use crate::call::{Extent, Input, Inputs};
use crate::cancel::Cancel;
use crate::counted::Counted;
use crate::error::{Error, Result};
use crate::exec::{Machine, Prepared};
use crate::isa::choose_kernels;
use crate::model::Model;
use crate::profile::Profile;
use crate::system;
use crate::team::{Helpers, Pool, Team, check_cpus};

/// Most threads of a session.
pub const MAX_THREADS: usize = 256;

/// How a session runs.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Threads, the caller's included; 0 for one on each CPU that the process may use, or on each of `cpus`. At most
    /// [`MAX_THREADS`]. The results' bits don't depend on it.
    pub threads: usize,
    /// Kernels no better than these. The environment variable [`FAR_ISA`](crate::ISA_VARIABLE) limits too. The
    /// results' bits don't depend on it.
    pub isa: Option<Isa>,
    /// Whether to time each step.
    pub profile: bool,
    /// A CPU for each thread, or none. The first is for the caller's thread, which stays where the caller puts it; the
    /// session's own threads are kept on the others, one each.
    pub cpus: Vec<usize>,
    /// Threads to use instead of starting some.
    pub pool: Option<Counted<dyn Pool>>,
}

impl SessionOptions {
    fn threads(&self) -> Result<usize> {
        let threads = match self.threads {
            0 if !self.cpus.is_empty() => self.cpus.len(),
            0 => system::cpus().min(MAX_THREADS),
            threads => threads,
        };
        if threads > MAX_THREADS {
            return Err(Error::Threads { limit: MAX_THREADS, found: threads });
        }
        if self.pool.is_some() && !self.cpus.is_empty() {
            return Err(Error::CpusOfPool);
        }
        check_cpus(&self.cpus, threads)?;
        Ok(threads)
    }

    fn helpers(&self) -> Helpers<'_> {
        match &self.pool {
            Some(pool) => Helpers::Lent(pool),
            None => Helpers::Started { cpus: &self.cpus },
        }
    }
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
    pub fn new(model: Counted<Model>, options: &SessionOptions) -> Result<Session> {
        let (prepared, threads) = prepare(model, options)?;
        Session::with(prepared, threads, options, Supply::allocator())
    }

    /// As [`new`](Self::new), with the arena and all scratch memory in `memory`, which begins at a multiple of 64 bytes and
    /// has [`memory_size`](Self::memory_size) bytes. What a session keeps besides is its list of tasks and its threads.
    ///
    /// # Errors
    /// As [`new`](Self::new); memory that is too small or doesn't begin where it must.
    pub fn new_in(
        model: Counted<Model>,
        options: &SessionOptions,
        memory: &'static mut [f32],
    ) -> Result<Session> {
        let (prepared, threads) = prepare(model, options)?;
        let supply = Supply::lent(memory, memory_len(&prepared, threads))?;
        Session::with(prepared, threads, options, supply)
    }

    /// Bytes that a session of these options needs for [`new_in`](Self::new_in).
    ///
    /// # Errors
    /// An option that can't be met.
    pub fn memory_size(model: Counted<Model>, options: &SessionOptions) -> Result<usize> {
        let (prepared, threads) = prepare(model, options)?;
        Ok(memory_len(&prepared, threads).saturating_mul(size_of::<f32>()))
    }

    fn with(
        prepared: Prepared,
        threads: usize,
        options: &SessionOptions,
        mut supply: Supply,
    ) -> Result<Session> {
        let steps = prepared.model().plan().steps.len();
        let profile = options.profile.then(|| Profile::new(steps)).transpose()?;
        let machine = Machine::new(prepared, &mut supply)?;
        let team = Team::new(threads, options.helpers(), machine.program().scratch, &mut supply)?;
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
    pub fn model(&self) -> &Counted<Model> {
        self.machine.model()
    }

    /// What ends its run in progress, from another thread.
    pub fn cancel(&self) -> &Cancel {
        self.machine.cancel()
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.machine.kernels().isa()
    }

    /// Names of the kernels that its steps run, each once, in order of first use.
    pub fn kernels(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for step in &self.model().plan().steps {
            for name in self.kernels_of(&step.op) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Names of the kernels that a step of its model runs, the one that does most of it first; none where it only moves
    /// elements.
    pub fn kernels_of(&self, op: &StepOp) -> impl Iterator<Item = &'static str> + use<> {
        let kernels = self.machine.kernels();
        let names = match op {
            StepOp::Gemm(gemm) => [Some(kernels.gemm(gemm.precision).name()), None],
            StepOp::Lstm(lstm) => [Some(kernels.lstm(lstm.precision).name()), None],
            StepOp::LayerNorm(_) => [Some(kernels.layer_norm().name()), None],
            StepOp::Attention(_) => {
                [Some(kernels.gemm(Precision::F32).name()), Some(kernels.softmax().name())]
            }
            StepOp::Map { .. } => [Some(kernels.map().name()), None],
            StepOp::Add { .. } => [Some(kernels.add().name()), None],
            StepOp::Patches(_)
            | StepOp::Copy { .. }
            | StepOp::MeanRows { .. }
            | StepOp::Embed(_)
            | StepOp::Normalize { .. } => [None, None],
        };
        names.into_iter().flatten()
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

/// The program, and how many threads will follow it: not more than one of its phases can use.
fn prepare(model: Counted<Model>, options: &SessionOptions) -> Result<(Prepared, usize)> {
    let threads = options.threads()?;
    let prepared = Prepared::new(model, choose_kernels(options.isa)?, threads)?;
    let parallel = prepared.program().phases.iter().filter(|phase| phase.parallel_from != usize::MAX);
    let widest = parallel.map(|phase| phase.tasks.len()).max().unwrap_or(1);
    Ok((prepared, threads.min(widest)))
}

/// f32 elements of the arena and of the scratch memory of so many threads, in one piece.
fn memory_len(prepared: &Prepared, threads: usize) -> usize {
    let scratch = threads.saturating_mul(padded(prepared.program().scratch));
    padded(prepared.arena_len()).saturating_add(scratch)
}
