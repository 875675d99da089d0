//! How a session runs, as C says it and as the engine takes it.
//! May import: `ffi`, `status`, `log`, `pool`, the engine's options.

use far_engine::{Isa, SessionOptions};

use crate::ffi::{Failure, Versioned, read_struct, reference, vec_of};
use crate::log::{Logger, far_logger};
use crate::pool::{far_thread_pool, lend};
use crate::status::{FAR_ERROR_OPTION, far_status};

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

/// Whether the time of each step is taken.
pub const FAR_SESSION_PROFILE: u32 = 1 << 0;

/// The most threads of a session.
pub const FAR_MAX_THREADS: u32 = far_engine::MAX_THREADS as u32;

/// How a session runs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_session_options {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Threads that compute; 0: one for each CPU the process may use, or of `cpus`.
    pub threads: u32,
    /// Kernels of no better instruction set are used.
    pub isa: far_isa,
    /// `FAR_SESSION_*`.
    pub flags: u32,
    /// CPUs at `cpus`.
    pub cpu_count: u32,
    /// A CPU for each thread; NULL: wherever the system puts them.
    pub cpus: *const u32,
    /// Threads to use instead of starting some; NULL: none.
    pub pool: *const far_thread_pool,
    /// Who hears of it; NULL: nobody.
    pub logger: *const far_logger,
}

// SAFETY: `repr(C)`, `struct_size` first, integers and raw pointers only, 8 + 4 + 4 + 4 + 4 + 8 + 8 + 8 bytes.
unsafe impl Versioned for far_session_options {
    const FIRST_SIZE: usize = 48;
    const DEFAULT: Self = far_session_options {
        struct_size: size_of::<Self>(),
        threads: 0,
        isa: FAR_ISA_BEST,
        flags: 0,
        cpu_count: 0,
        cpus: std::ptr::null(),
        pool: std::ptr::null(),
        logger: std::ptr::null(),
    };
}

fn refuse<T>(text: std::fmt::Arguments<'_>) -> Result<T, Failure> {
    let status: far_status = FAR_ERROR_OPTION;
    Err(Failure::new(status, text))
}

/// What the engine and the logger make of options.
///
/// # Safety
///
/// `options` is NULL or as [`read_struct`] wants it, its pointers are NULL or point at what the header says.
pub(crate) unsafe fn read(
    options: *const far_session_options,
) -> Result<(far_session_options, Logger), Failure> {
    if options.is_null() {
        return Ok((far_session_options::DEFAULT, Logger::NONE));
    }
    // SAFETY: the same contract.
    let options = unsafe { read_struct(options, "options") }?;
    // SAFETY: the same contract.
    let logger = unsafe { Logger::read(options.logger) }?;
    Ok((options, logger))
}

/// The engine's options.
///
/// # Safety
///
/// The pointers of `options` are NULL or point at what the header says; those of its pool hold until the last use of the
/// result.
pub(crate) unsafe fn engine(options: &far_session_options) -> Result<SessionOptions, Failure> {
    let isa = match options.isa {
        FAR_ISA_BEST => None,
        FAR_ISA_SCALAR => Some(Isa::Scalar),
        FAR_ISA_AVX2 => Some(Isa::Avx2),
        FAR_ISA_AVX512 => Some(Isa::Avx512),
        FAR_ISA_NEON => Some(Isa::Neon),
        FAR_ISA_RVV => Some(Isa::Rvv),
        other => return refuse(format_args!("`options.isa`: expected one of FAR_ISA_*, got `{other}`")),
    };
    if options.flags & !FAR_SESSION_PROFILE != 0 {
        return refuse(format_args!("`options.flags`: expected FAR_SESSION_*, got `{:#x}`", options.flags));
    }
    let count = options.cpu_count as usize;
    let known = far_engine::MAX_CPUS;
    if count > known {
        return refuse(format_args!("`options.cpu_count`: expected at most `{known}`, got `{count}`"));
    }
    let mut cpus = vec_of(count)?;
    for i in 0..count {
        // SAFETY: NULL, where the first is refused, or below the count, so readable by the contract.
        cpus.push(*unsafe { reference(options.cpus.wrapping_add(i), "options.cpus") }? as usize);
    }
    // SAFETY: the same contract.
    let pool = unsafe { lend(options.pool) }?;
    let profile = options.flags & FAR_SESSION_PROFILE != 0;
    Ok(SessionOptions { threads: options.threads as usize, isa, profile, cpus, pool })
}
