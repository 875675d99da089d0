//! Sessions: making one, running it, and what it says about itself.
//! May import: `ffi`, `status`, `tensor`, `model`, the engine's session.

use std::ffi::{CString, c_char};
use std::sync::{Mutex, TryLockError};

use far_engine::{Session, SessionOptions};
use far_kernels::Isa;

use crate::ffi::{
    Failure, Out, Versioned, c_string, free_handle, guard, into_handle, read_struct, reference, vec_of,
};
use crate::model::{ask, far_model};
use crate::status::{FAR_ERROR_BUSY, FAR_ERROR_OPTION, FAR_ERROR_POISONED, far_status};
use crate::tensor::{Region, bind, check_disjoint, far_input, far_output};

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
    const DEFAULT: Self = far_session_options { struct_size: size_of::<Self>(), threads: 0, isa: FAR_ISA_BEST };
}

/// What one run needs; one caller at a time.
pub struct far_session {
    running: Mutex<Running>,
    /// The strings that `kernel_names` points at.
    #[expect(dead_code, reason = "keeps the strings alive")]
    kernels: Vec<CString>,
    kernel_names: Vec<*const c_char>,
    threads: usize,
    memory: u64,
}
