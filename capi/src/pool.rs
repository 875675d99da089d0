//! A thread pool of the caller's.
//! May import: `ffi`, the engine's pools.

use std::ffi::c_void;

use far_engine::{Counted, Pool};

use crate::ffi::{Failure, Versioned, guard, read_struct};
use crate::status::FAR_ERROR_NULL_POINTER;

/// One lane of a job.
pub type far_lane_function = Option<unsafe extern "C" fn(job: *mut c_void, lane: usize)>;

/// What runs the lanes of a job.
pub type far_parallel_for_function = Option<
    unsafe extern "C" fn(context: *mut c_void, count: usize, lane: far_lane_function, job: *mut c_void),
>;

/// A thread pool.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_thread_pool {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Calls `lane(job, i)` for each `i` below `count`.
    pub parallel_for: far_parallel_for_function,
    /// First argument of `parallel_for`.
    pub context: *mut c_void,
}

// SAFETY: `repr(C)`, `struct_size` first, pointers only, 8 + 8 + 8 bytes; a function pointer may be any bits that are not 0.
unsafe impl Versioned for far_thread_pool {
    const FIRST_SIZE: usize = 24;
    const DEFAULT: Self =
        far_thread_pool { struct_size: size_of::<Self>(), parallel_for: None, context: std::ptr::null_mut() };
}

/// What [`far_thread_pool`] promises, kept for a session.
#[derive(Debug)]
struct Lent {
    parallel_for: unsafe extern "C" fn(*mut c_void, usize, far_lane_function, *mut c_void),
    context: *mut c_void,
}

// SAFETY: the header says that the function is called with its context on whatever thread runs the session.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Pool for Lent {
    fn run(&self, count: usize, lane: &(dyn Fn(usize) + Sync)) {
        #[cfg(far_provoke)]
        crate::provoke::come_to(crate::provoke::Place::Step);
        let mut job: &(dyn Fn(usize) + Sync) = lane;
        // SAFETY: the function is as the header says: it calls `run_lane` with this job, and returns when all calls have
        // ended.
        unsafe { (self.parallel_for)(self.context, count, Some(run_lane), (&raw mut job).cast()) };
    }
}

/// # Safety
///
/// `job` is what [`Lent::run`] gave to the function that calls this, which has not returned yet.
unsafe extern "C" fn run_lane(job: *mut c_void, lane: usize) {
    guard(|| {
        // SAFETY: this function's own contract; nobody changes the job.
        let job = unsafe { &*job.cast::<&(dyn Fn(usize) + Sync)>().cast_const() };
        job(lane);
        Ok(())
    });
}

/// A caller's pool for the engine.
///
/// # Safety
///
/// `pool` is NULL or as [`read_struct`] wants it; its function and context hold until the last use of the result.
pub(crate) unsafe fn lend(pool: *const far_thread_pool) -> Result<Option<Counted<dyn Pool>>, Failure> {
    if pool.is_null() {
        return Ok(None);
    }
    // SAFETY: the same contract.
    let far_thread_pool { parallel_for, context, .. } = unsafe { read_struct(pool, "options.pool") }?;
    let Some(parallel_for) = parallel_for else {
        return Err(Failure::new(
            FAR_ERROR_NULL_POINTER,
            format_args!("`options.pool.parallel_for` is NULL"),
        ));
    };
    Ok(Some(Counted::new(Lent { parallel_for, context })?.into()))
}
