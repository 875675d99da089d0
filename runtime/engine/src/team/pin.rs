//! Puts threads on CPUs. May import: `error`.

use std::io;

use super::worker::Worker;
use crate::error::{CpuProblem, Error, Result};

/// More CPUs than these can't be listed.
pub const MAX_CPUS: usize = libc::CPU_SETSIZE as usize;

/// Whether a list of CPUs can be one for each of so many threads, as far as that shows without trying.
pub(crate) fn check(cpus: &[usize], threads: usize) -> Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    if cpus.len() < threads {
        return Err(Error::Cpus { expected: threads, found: cpus.len() });
    }
    // SAFETY: asks for a number.
    let count = usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }).unwrap_or(0);
    for (i, cpu) in cpus.iter().copied().enumerate() {
        let refuse = |problem| Err(Error::Cpu { cpu, problem });
        if cpu >= count.min(MAX_CPUS) {
            return refuse(CpuProblem::Missing { last: count.saturating_sub(1) });
        }
        if cpus[..i].contains(&cpu) {
            return refuse(CpuProblem::Twice);
        }
    }
    Ok(())
}

/// Keeps a thread of the team on one CPU.
pub(super) fn pin(worker: &Worker, cpu: usize) -> Result<()> {
    // SAFETY: joining takes the worker, so that it was not joined.
    unsafe { keep(worker.thread(), cpu) }
}

/// Keeps the calling thread on one CPU: the first of [`SessionOptions::cpus`](crate::SessionOptions::cpus), for a program
/// that wants it there.
///
/// # Errors
/// There is no such CPU, or the process may not use it.
pub fn pin_caller(cpu: usize) -> Result<()> {
    // SAFETY: a thread is not joined before it ends.
    unsafe { keep(libc::pthread_self(), cpu) }
}

/// Keeps a thread on one CPU.
///
/// # Safety
/// The thread was not joined.
unsafe fn keep(thread: libc::pthread_t, cpu: usize) -> Result<()> {
    // SAFETY: a set of CPUs is bits, of which none is a valid set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let refuse = |status| {
        let problem = CpuProblem::System(io::Error::from_raw_os_error(status));
        Err(Error::Cpu { cpu, problem })
    };
    if cpu >= MAX_CPUS {
        return refuse(libc::EINVAL);
    }
    // SAFETY: the set has a bit of that number.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the caller's promise makes the thread's number its own; the set is as long as stated.
    let status = unsafe { libc::pthread_setaffinity_np(thread, size_of_val(&set), &set) };
    if status == 0 { Ok(()) } else { refuse(status) }
}
