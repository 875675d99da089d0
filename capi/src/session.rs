//! Sessions: making one, running it, and what it says about itself.
//! May import: `ffi`, `log`, `status`, `options`, `port`, `tensor`, `model`, the engine's session.

use std::ffi::{c_char, c_void};
use std::mem;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use far_engine::{Cancel, Counted, Input, Session};
use far_format::CheckedPlan;

use crate::ffi::{Failure, Out, free_handle, guard, into_handle, lines, reference, vec_of};
use crate::log::{FAR_LOG_DEBUG, FAR_LOG_INFO, FAR_LOG_WARNING, Logger};
use crate::model::{Described, ask, far_model};
use crate::options::{self, far_session_options};
use crate::port::{Region, bind, check_disjoint};
use crate::status::{FAR_ERROR_BUSY, FAR_ERROR_INTERNAL, FAR_ERROR_POISONED, far_status};
use crate::strings::Strings;
use crate::tensor::{far_input, far_output};

/// What one run needs; one caller at a time.
pub struct far_session {
    model: Counted<Described>,
    running: Mutex<Running>,
    cancel: Cancel,
    kernels: Strings,
    /// The kernel of each step, as a position in `kernels`; past them for steps that have none.
    step_kernels: Vec<usize>,
    threads: usize,
    memory: u64,
    /// Addresses of the caller's memory that it lives in.
    lent: Range<usize>,
}

/// What a run changes.
struct Running {
    session: Session,
    /// The caller's memory for each input and output of this run.
    inputs: Vec<Option<Region>>,
    outputs: Vec<Option<Region>>,
    /// Capacity for the slices of a run; empty between runs.
    input_slices: Vec<Input<'static>>,
    output_slices: Vec<&'static mut [f32]>,
    /// Whether a run ended with a panic.
    poisoned: bool,
}

impl Running {
    /// After an internal error nobody knows what state the session is in.
    fn conclude(&mut self, result: Result<(), far_engine::Error>) -> Result<(), Failure> {
        let result = result.map_err(Failure::from);
        self.poisoned = matches!(&result, Err(failure) if failure.status() == FAR_ERROR_INTERNAL);
        result
    }
}

// A session may be used by one thread after another.
const _: () = {
    const fn moves_between_threads<T: Send>() {}
    moves_between_threads::<Running>();
};

// The header says that pointers to const may be used by many threads at once.
const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<far_session>();
};

impl far_session {
    /// # Safety
    ///
    /// As for [`options::engine`], for as long as the session lives. `memory` is the session's alone for as long.
    unsafe fn new(
        model: Counted<Described>,
        options: &far_session_options,
        memory: Option<&'static mut [f32]>,
        logger: Logger,
    ) -> Result<far_session, Failure> {
        // SAFETY: the same contract.
        let engine = unsafe { options::engine(options) }?;
        #[cfg(far_provoke)]
        crate::provoke::come_to(crate::provoke::Place::New);
        let shared = Counted::clone(&model.model);
        let lent = memory.as_deref().map_or(0..0, |memory| {
            let range = memory.as_ptr_range();
            range.start.addr()..range.end.addr()
        });
        let session = match memory {
            Some(memory) => Session::new_in(shared, &engine, memory),
            None => Session::new(shared, &engine),
        }?;
        let plan = model.model.plan();
        // No step runs more than two kernels.
        let (mut names, mut step_kernels) = (vec_of(2 * plan.steps.len())?, vec_of(plan.steps.len())?);
        for step in &plan.steps {
            let mut first = None;
            for name in session.kernels_of(&step.op) {
                let known = names.iter().position(|known| *known == name).unwrap_or(names.len());
                if known == names.len() {
                    names.push(name);
                }
                first.get_or_insert(known);
            }
            step_kernels.push(first.unwrap_or(usize::MAX));
        }
        describe(logger, options, &session, &names);
        Ok(far_session {
            kernels: Strings::new(names.iter())?,
            step_kernels,
            cancel: session.cancel().clone(),
            threads: session.threads(),
            memory: session.memory_bytes() as u64,
            lent,
            running: Mutex::new(Running {
                session,
                inputs: vec_of(model.inputs.len())?,
                outputs: vec_of(model.outputs.len())?,
                input_slices: vec_of(model.inputs.len())?,
                output_slices: vec_of(model.outputs.len())?,
                poisoned: false,
            }),
            model,
        })
    }

    pub(crate) fn plan(&self) -> &CheckedPlan {
        self.model.model.plan()
    }

    /// The kernel that does most of a step.
    pub(crate) fn step_kernel(&self, index: usize) -> *const c_char {
        self.kernels.get(self.step_kernels[index]).unwrap_or(c"".as_ptr())
    }

    pub(crate) fn step_name(&self, index: usize) -> *const c_char {
        self.model.step_names.get(index).unwrap_or(c"".as_ptr())
    }

    /// Completed runs, and the time in a step.
    pub(crate) fn time_in(&self, index: usize) -> Result<(u64, Duration), Failure> {
        let running = self.lock()?;
        let profile = running.session.profile();
        Ok(profile.map_or((0, Duration::ZERO), |profile| (profile.runs(), profile.steps()[index])))
    }

    /// Begins to time anew.
    pub(crate) fn reset_profile(&self) -> Result<(), Failure> {
        self.lock()?.session.reset_profile();
        Ok(())
    }

    /// What a run changes, for who comes first.
    fn lock(&self) -> Result<MutexGuard<'_, Running>, Failure> {
        match self.running.try_lock() {
            Ok(running) if running.poisoned => Err(poisoned()),
            Ok(running) => Ok(running),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                FAR_ERROR_BUSY,
                format_args!(
                    "the session is running in another thread; hint: make a session for each thread"
                ),
            )),
            Err(TryLockError::Poisoned(_)) => Err(poisoned()),
        }
    }

    /// # Safety
    ///
    /// The arrays are as [`bind`] wants them; the data of each input is readable and constant, that of each
    /// output is the caller's to write, for the sizes stated, during the call.
    unsafe fn run(
        &self,
        inputs: *const far_input,
        input_count: usize,
        outputs: *const far_output,
        output_count: usize,
    ) -> Result<(), Failure> {
        let mut guard = self.lock()?;
        let running = &mut *guard;
        let mut extents = self.model.extents;
        // SAFETY: this function's own contract.
        unsafe {
            bind(&self.model.inputs, inputs, input_count, &mut extents, &mut running.inputs)?;
            bind(&self.model.outputs, outputs, output_count, &mut extents, &mut running.outputs)?;
        }
        check_disjoint(&running.inputs, &running.outputs, &self.lent)?;

        let mut inputs = recycle(mem::take(&mut running.input_slices));
        // SAFETY: readable and constant by the contract; no output is part of it, checked above.
        inputs.extend(running.inputs.iter().flatten().map(|region| unsafe { region.as_input() }));
        let mut outputs = recycle(mem::take(&mut running.output_slices));
        // SAFETY: the caller's to write by the contract; part of no input or other output, checked above.
        outputs.extend(running.outputs.iter().flatten().map(|region| unsafe { region.as_output() }));
        #[cfg(far_provoke)]
        crate::provoke::come_to(crate::provoke::Place::Run);
        let result = running.session.run_extent(extents.extent(), &inputs, &mut outputs);
        running.input_slices = recycle(inputs);
        running.output_slices = recycle(outputs);
        running.conclude(result)
    }
}

fn poisoned() -> Failure {
    Failure::new(
        FAR_ERROR_POISONED,
        format_args!(
            "an earlier run of this session ended with an internal error; hint: free it and make another"
        ),
    )
}

/// The capacity of a vector for elements of the same size: collecting an emptied vector into another one
/// reuses its memory.
fn recycle<T, U>(mut vec: Vec<T>) -> Vec<U> {
    const { assert!(size_of::<T>() == size_of::<U>() && align_of::<T>() == align_of::<U>()) };
    vec.clear();
    vec.into_iter().filter_map(|_| None).collect()
}

/// Says what was made.
fn describe(logger: Logger, options: &far_session_options, session: &Session, kernels: &[&str]) {
    logger.say(
        FAR_LOG_INFO,
        format_args!(
            "made a session of model `{}`: {} threads, kernels of {}, {} bytes",
            session.model().plan().model,
            session.threads(),
            session.isa(),
            session.memory_bytes()
        ),
    );
    let (asked, best) = (options.threads as usize, far_kernels::Kernels::best().isa());
    if session.threads() < asked {
        let threads = session.threads();
        logger.say(
            FAR_LOG_WARNING,
            format_args!("of `{asked}` threads the model can use `{threads}`, the others are not started"),
        );
    }
    if session.isa() != best {
        let isa = session.isa();
        logger.say(
            FAR_LOG_WARNING,
            format_args!(
                "kernels are limited to `{isa}`, this CPU has `{best}`; hint: see option `isa` and FAR_ISA"
            ),
        );
    }
    for kernel in kernels {
        logger.say(FAR_LOG_DEBUG, format_args!("kernel `{kernel}`"));
    }
}

/// Makes a session of a model.
///
/// # Safety
///
/// `model` is NULL or a live handle, `options` NULL or as [`options::read`] wants it, its pool's function and context hold
/// until the session is freed, `session` is NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_new(
    model: *const far_model,
    options: *const far_session_options,
    session: *mut *mut far_session,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, session) = unsafe { (reference(model, "model")?, Out::new(session, "session")?) };
        // SAFETY: the caller's promise.
        let (options, logger) = unsafe { options::read(options) }?;
        // SAFETY: the caller's promise.
        let made = logger.hear(unsafe { far_session::new(model.share(), &options, None, logger) })?;
        session.set(into_handle(made)?);
        Ok(())
    })
}

/// Bytes that a session of these options needs for [`far_session_new_in`].
///
/// # Safety
///
/// `model` is NULL or a live handle, `options` NULL or as [`options::read`] wants it, `size` NULL or may be written
/// through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_memory_size(
    model: *const far_model,
    options: *const far_session_options,
    size: *mut usize,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, size) = unsafe { (reference(model, "model")?, Out::new(size, "size")?) };
        // SAFETY: the caller's promise.
        let (options, logger) = unsafe { options::read(options) }?;
        // SAFETY: the caller's promise; the options are not used after this call.
        let bytes = unsafe { memory_size(model, &options) };
        size.set(logger.hear(bytes)?);
        Ok(())
    })
}

/// # Safety
///
/// As for [`options::engine`].
unsafe fn memory_size(model: &far_model, options: &far_session_options) -> Result<usize, Failure> {
    // SAFETY: the same contract.
    let engine = unsafe { options::engine(options) }?;
    Ok(Session::memory_size(Counted::clone(&model.share().model), &engine)?)
}

/// Makes a session in memory of the caller's.
///
/// # Safety
///
/// As for [`far_session_new`]; `memory` is NULL or has `size` bytes that are the session's alone until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_new_in(
    model: *const far_model,
    options: *const far_session_options,
    memory: *mut c_void,
    size: usize,
    session: *mut *mut far_session,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, session) = unsafe { (reference(model, "model")?, Out::new(session, "session")?) };
        // SAFETY: the caller's promise.
        let (options, logger) = unsafe { options::read(options) }?;
        // SAFETY: the caller's promise.
        let made = logger.hear(unsafe { memory_size(model, &options) }.and_then(|needed| {
            // SAFETY: the caller's promise: the memory is the session's for as long as it lives, which is as good as static.
            let memory = unsafe { lines(memory, size, needed, "memory") }?;
            // SAFETY: the caller's promise.
            unsafe { far_session::new(model.share(), &options, Some(memory), logger) }
        }))?;
        session.set(into_handle(made)?);
        Ok(())
    })
}

/// Gives a session back.
///
/// # Safety
///
/// `session` is NULL or a handle that is used by nobody else and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_free(session: *mut far_session) {
    // SAFETY: the caller's promise; handles come from `into_handle`.
    unsafe { free_handle(session) };
}

/// Runs the model once.
///
/// # Safety
///
/// `session` is NULL or a live handle. `inputs` and `outputs` are NULL or as many structs as the counts say,
/// each as [`read_struct`] wants it, with names that are NULL or strings, dims that are NULL or of the stated
/// rank, and data that is NULL or of the stated size: readable and constant for inputs, the caller's to write
/// for outputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_run(
    session: *mut far_session,
    inputs: *const far_input,
    input_count: usize,
    outputs: *const far_output,
    output_count: usize,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise. Shared: a second caller must find the lock taken.
        let session = unsafe { reference(session, "session") }?;
        // SAFETY: the caller's promise.
        unsafe { session.run(inputs, input_count, outputs, output_count) }
    })
}

/// Ends the run in progress.
///
/// # Safety
///
/// `session` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_cancel(session: *const far_session) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(session, "session") }?.cancel.cancel();
        Ok(())
    })
}

/// The names of the kernels that run.
///
/// # Safety
///
/// `session` is NULL or a live handle; `names` and `count` are NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_kernels(
    session: *const far_session,
    names: *mut *const *const c_char,
    count: *mut usize,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { reference(session, "session") }?;
        // SAFETY: the caller's promise.
        let (names, count) = unsafe { (Out::new(names, "names")?, Out::new(count, "count")?) };
        names.set(session.kernels.as_ptr());
        count.set(session.kernels.len());
        Ok(())
    })
}

/// How many threads compute.
///
/// # Safety
///
/// `session` is NULL or a live handle, `threads` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_threads(session: *const far_session, threads: *mut usize) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(session, "session", threads, "threads", |session| session.threads) }
}

/// Bytes of memory that the session holds.
///
/// # Safety
///
/// `session` is NULL or a live handle, `size` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_memory_used(session: *const far_session, size: *mut u64) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(session, "session", size, "size", |session| session.memory) }
}

#[cfg(test)]
mod tests;
