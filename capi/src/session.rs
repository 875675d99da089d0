//! Sessions: making one, running it, and what it says about itself.
//! May import: `ffi`, `status`, `port`, `tensor`, `model`, the engine's session.

use std::ffi::{CString, c_char};
use std::mem;
use std::sync::{Arc, Mutex, TryLockError};

use far_engine::{Input, Isa, Session, SessionOptions};

use crate::ffi::{
    Failure, Out, Versioned, c_string, free_handle, guard, into_handle, read_struct, reference, vec_of,
};
use crate::model::{Described, ask, far_model};
use crate::port::{Region, bind, check_disjoint};
use crate::status::{FAR_ERROR_BUSY, FAR_ERROR_INTERNAL, FAR_ERROR_OPTION, FAR_ERROR_POISONED, far_status};
use crate::tensor::{far_input, far_output};

/// Instruction set.
pub type far_isa = i32;

/// The best that the CPU has.
pub const FAR_ISA_BEST: far_isa = 0;
/// Portable code.
pub const FAR_ISA_SCALAR: far_isa = 1;
/// AVX2 with FMA.
pub const FAR_ISA_AVX2: far_isa = 2;
/// AVX-512.
pub const FAR_ISA_AVX512: far_isa = 3;
/// Advanced SIMD of aarch64.
pub const FAR_ISA_NEON: far_isa = 4;
/// Vector extension 1.0 of riscv64.
pub const FAR_ISA_RVV: far_isa = 5;

/// How a session runs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_session_options {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Threads that compute; 0: one for each CPU the process may use.
    pub threads: u32,
    /// Kernels of no better instruction set are used.
    pub isa: far_isa,
}

// SAFETY: `repr(C)`, `struct_size` first, integers only, 8 + 4 + 4 bytes.
unsafe impl Versioned for far_session_options {
    const FIRST_SIZE: usize = 16;
    const DEFAULT: Self =
        far_session_options { struct_size: size_of::<Self>(), threads: 0, isa: FAR_ISA_BEST };
}

/// What one run needs; one caller at a time.
pub struct far_session {
    model: Arc<Described>,
    running: Mutex<Running>,
    kernels: Kernels,
    threads: usize,
    memory: u64,
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

/// Names as a list for C.
struct Kernels {
    pointers: Vec<*const c_char>,
    /// What `pointers` point at.
    _names: Vec<CString>,
}

impl Kernels {
    fn new(names: &[&str]) -> Result<Kernels, Failure> {
        let (mut owned, mut pointers) = (vec_of(names.len())?, vec_of(names.len())?);
        for name in names {
            let name = c_string(format_args!("{name}"))?;
            pointers.push(name.as_ptr());
            owned.push(name);
        }
        Ok(Kernels { pointers, _names: owned })
    }
}

fn engine_options(options: &far_session_options) -> Result<SessionOptions, Failure> {
    let isa = match options.isa {
        FAR_ISA_BEST => None,
        FAR_ISA_SCALAR => Some(Isa::Scalar),
        FAR_ISA_AVX2 => Some(Isa::Avx2),
        FAR_ISA_AVX512 => Some(Isa::Avx512),
        FAR_ISA_NEON => Some(Isa::Neon),
        FAR_ISA_RVV => Some(Isa::Rvv),
        other => {
            return Err(Failure::new(
                FAR_ERROR_OPTION,
                format_args!("`options.isa`: expected one of FAR_ISA_*, got `{other}`"),
            ));
        }
    };
    Ok(SessionOptions { threads: options.threads as usize, isa, ..SessionOptions::default() })
}

impl far_session {
    fn new(model: Arc<Described>, options: &far_session_options) -> Result<far_session, Failure> {
        let session = Session::new(Arc::clone(&model.model), &engine_options(options)?)?;
        Ok(far_session {
            kernels: Kernels::new(&session.kernels())?,
            threads: session.threads(),
            memory: session.memory_bytes() as u64,
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
        let mut guard = match self.running.try_lock() {
            Ok(running) => running,
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    FAR_ERROR_BUSY,
                    format_args!(
                        "the session is running in another thread; hint: make a session for each thread"
                    ),
                ));
            }
            Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
        };
        let running = &mut *guard;
        if running.poisoned {
            return Err(poisoned());
        }
        let mut extents = self.model.extents;
        // SAFETY: this function's own contract.
        unsafe {
            bind(&self.model.inputs, inputs, input_count, &mut extents, &mut running.inputs)?;
            bind(&self.model.outputs, outputs, output_count, &mut extents, &mut running.outputs)?;
        }
        check_disjoint(&running.inputs, &running.outputs)?;

        let mut inputs = recycle(mem::take(&mut running.input_slices));
        // SAFETY: readable and constant by the contract; no output is part of it, checked above.
        inputs.extend(running.inputs.iter().flatten().map(|region| unsafe { region.as_input() }));
        let mut outputs = recycle(mem::take(&mut running.output_slices));
        // SAFETY: the caller's to write by the contract; part of no input or other output, checked above.
        outputs.extend(running.outputs.iter().flatten().map(|region| unsafe { region.as_output() }));
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

/// Makes a session of a model.
///
/// # Safety
///
/// `model` is NULL or a live handle, `options` NULL or as [`read_struct`] wants it, `session` NULL or may be
/// written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_new(
    model: *const far_model,
    options: *const far_session_options,
    session: *mut *mut far_session,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, session) = unsafe { (reference(model, "model")?, Out::new(session, "session")?) };
        let options = if options.is_null() {
            far_session_options::DEFAULT
        } else {
            // SAFETY: the caller's promise.
            unsafe { read_struct(options, "options") }?
        };
        session.set(into_handle(far_session::new(model.share(), &options)?)?);
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
        names.set(session.kernels.pointers.as_ptr());
        count.set(session.kernels.pointers.len());
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
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::status::{FAR_ERROR_BUSY, FAR_ERROR_POISONED, FAR_OK};
    use crate::test::{A, B, NARROW, WIDE, input, last_error, output};

    fn session() -> far_session {
        let model = far_engine::Model::from_bytes(&crate::test::artifact()).unwrap();
        far_session::new(far_model::new(model).unwrap().share(), &far_session_options::DEFAULT).unwrap()
    }

    fn run(session: &mut far_session) -> far_status {
        let (mut sum, mut features) = ([0.0; WIDE], [0.0; NARROW]);
        let (inputs, outputs) = ([input(&A), input(&B)], [output(&mut sum), output(&mut features)]);
        // SAFETY: memory of this function.
        unsafe { far_session_run(session, inputs.as_ptr(), 2, outputs.as_ptr(), 2) }
    }

    #[test]
    fn a_second_run_at_the_same_time_is_refused() {
        let mut session = session();
        let handle: *mut far_session = &mut session;
        // SAFETY: only shared references are made of the handle.
        let other = unsafe { &*handle }.running.lock().unwrap();
        // SAFETY: NULL is refused later than the lock.
        let status = unsafe { far_session_run(handle, std::ptr::null(), 0, std::ptr::null(), 0) };
        assert_eq!(status, FAR_ERROR_BUSY);
        drop(other);
        assert_eq!(run(&mut session), FAR_OK);
    }

    #[test]
    fn a_session_that_panicked_is_poisoned() {
        let mut session = session();
        assert_eq!(run(&mut session), FAR_OK);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _running = session.running.lock().unwrap();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(run(&mut session), FAR_ERROR_POISONED);
    }

    #[test]
    fn a_session_whose_step_panicked_is_poisoned() {
        let mut session = session();
        let panicked = far_engine::Error::Panicked { step: "linear".to_string() };
        let failure = session.running.lock().unwrap().conclude(Err(panicked)).unwrap_err();
        assert_eq!(failure.status(), FAR_ERROR_INTERNAL);
        assert!(last_error().contains("`linear`"), "{}", last_error());
        assert_eq!(run(&mut session), FAR_ERROR_POISONED);
    }

    #[test]
    fn capacity_is_recycled() {
        let vec: Vec<&'static [f32]> = Vec::with_capacity(5);
        let (memory, capacity) = (vec.as_ptr().addr(), vec.capacity());
        let recycled: Vec<&[f32]> = recycle(vec);
        assert_eq!((recycled.as_ptr().addr(), recycled.capacity()), (memory, capacity));
    }
}
