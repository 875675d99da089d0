//! The steps of a session, and the time in each.
//! May import: `ffi`, `status`, `model`, `session`, the engine's profile.

use std::ffi::{CStr, c_char};

use far_format::plan::StepOp;

use crate::ffi::{Failure, Versioned, guard, reference, write_struct};
use crate::model::ask;
use crate::precision::{self, FAR_PRECISION_F32, far_precision};
use crate::session::far_session;
use crate::status::{FAR_ERROR_INDEX, far_status};

/// One step of a session, and the time in it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_step_profile {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Name of the step, from the source model.
    pub name: *const c_char,
    /// What it does, such as `gemm`.
    pub op: *const c_char,
    /// The kernel that does most of it; empty where it only moves elements.
    pub kernel: *const c_char,
    /// The precision of its weights and products.
    pub precision: far_precision,
    /// 0.
    pub reserved: u32,
    /// Completed runs.
    pub runs: u64,
    /// Time in the step, over all runs.
    pub nanoseconds: u64,
}

// SAFETY: `repr(C)`, `struct_size` first, integers and raw pointers only, 8 + 8 + 8 + 8 + 4 + 4 + 8 + 8 bytes.
unsafe impl Versioned for far_step_profile {
    const FIRST_SIZE: usize = 56;
    const DEFAULT: Self = far_step_profile {
        struct_size: size_of::<Self>(),
        name: std::ptr::null(),
        op: std::ptr::null(),
        kernel: std::ptr::null(),
        precision: FAR_PRECISION_F32,
        reserved: 0,
        runs: 0,
        nanoseconds: 0,
    };
}

/// What a step does, in one word.
fn op_name(op: &StepOp) -> &'static CStr {
    match op {
        StepOp::Gemm(_) => c"gemm",
        StepOp::Lstm(_) => c"lstm",
        StepOp::LayerNorm(_) => c"layer_norm",
        StepOp::Attention(_) => c"attention",
        StepOp::Map { .. } => c"map",
        StepOp::Add { .. } => c"add",
        StepOp::Copy { .. } => c"copy",
        StepOp::MeanRows { .. } => c"mean_rows",
        StepOp::Patches(_) => c"patches",
        StepOp::Embed(_) => c"embed",
        StepOp::Normalize { .. } => c"normalize",
    }
}

/// How many steps the model has.
///
/// # Safety
///
/// `session` is NULL or a live handle, `count` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_step_count(
    session: *const far_session,
    count: *mut usize,
) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(session, "session", count, "count", |session| session.plan().steps.len()) }
}

/// One step, and the time in it.
///
/// # Safety
///
/// `session` is NULL or a live handle, `profile` NULL or as [`write_struct`] wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_profile(
    session: *const far_session,
    index: usize,
    profile: *mut far_step_profile,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { reference(session, "session") }?;
        let steps = &session.plan().steps;
        let Some(step) = steps.get(index) else {
            return Err(Failure::new(
                FAR_ERROR_INDEX,
                format_args!("step `{index}`: the model has `{}`, counted from 0", steps.len()),
            ));
        };
        let (runs, time) = session.time_in(index)?;
        let value = far_step_profile {
            name: session.step_name(index),
            op: op_name(&step.op).as_ptr(),
            kernel: session.step_kernel(index),
            precision: precision::of(&step.op) as far_precision,
            runs,
            nanoseconds: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            ..far_step_profile::DEFAULT
        };
        // SAFETY: the caller's promise.
        unsafe { write_struct(profile, "profile", value) }
    })
}

/// Begins to time anew.
///
/// # Safety
///
/// `session` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_session_profile_reset(session: *mut far_session) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise. Shared: a second caller must find the lock taken.
        unsafe { reference(session, "session") }?.reset_profile()
    })
}
