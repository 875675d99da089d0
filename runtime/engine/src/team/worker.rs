//! A thread of the team's own, started by the system's interface: that of the standard library ends the process where memory is
//! short. May import: `counted`, `buffer`, `error`.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use super::shared::Shared;
use crate::buffer::Buffer;
use crate::counted::Counted;
use crate::error::{Error, Result};

/// Bytes of a worker's stack, as Rust's own threads have: kernels keep their memory elsewhere.
const STACK: usize = 2 << 20;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is a session's own.
pub fn is_worker() -> bool {
    IS_WORKER.get()
}

/// A running thread, which [`join`](Self::join) ends.
#[derive(Debug)]
pub(super) struct Worker(libc::pthread_t);

// SAFETY: a thread's number, which some systems write as a pointer, means the same on every thread.
unsafe impl Send for Worker {}
// SAFETY: as above.
unsafe impl Sync for Worker {}

/// What a worker needs.
struct Start {
    shared: Counted<Shared>,
    scratch: Mutex<Buffer>,
}

impl Worker {
    /// Starts the worker of that number, counted from 1.
    pub(super) fn start(number: usize, shared: Counted<Shared>, scratch: Buffer) -> Result<Worker> {
        let start = Counted::new(Start { shared, scratch: Mutex::new(scratch) })?;
        let failed =
            |status| Err(Error::Spawn { running: number, source: io::Error::from_raw_os_error(status) });
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: memory for attributes, which are initialised by this.
        let status = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
        if status != 0 {
            return failed(status);
        }
        // SAFETY: initialised above. A size that the system refuses leaves its own, which will do.
        unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
        let raw = start.into_raw();
        let mut thread = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised; `main` takes the pointer as it is meant.
        let status = unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), main, raw) };
        // SAFETY: initialised above, and not used again.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        if status != 0 {
            // SAFETY: no thread was started that would take it.
            drop(unsafe { Counted::<Start>::from_raw(raw) });
            return failed(status);
        }
        // SAFETY: set where a thread was started.
        let thread = unsafe { thread.assume_init() };
        let name = name(number);
        if let Ok(name) = CStr::from_bytes_until_nul(&name) {
            // SAFETY: a thread that was not joined, and a string of at most 15 bytes. Without a name it works as well.
            unsafe { libc::pthread_setname_np(thread, name.as_ptr()) };
        }
        Ok(Worker(thread))
    }

    pub(super) fn thread(&self) -> libc::pthread_t {
        self.0
    }

    /// Waits for its end.
    pub(super) fn join(self) {
        // SAFETY: a thread that was started, and is joined once. It has no result.
        unsafe { libc::pthread_join(self.0, null_mut()) };
    }
}

/// `far-1` and so on, as the system's tools show it.
fn name(number: usize) -> [u8; 16] {
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"far-");
    let digits = 1 + number.checked_ilog10().unwrap_or(0) as usize;
    let mut left = number;
    for place in name[4..].iter_mut().take(digits.min(11)).rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    name
}

/// A worker's life. What it runs is caught, so that no panic reaches the end of it.
extern "C" fn main(start: *mut c_void) -> *mut c_void {
    IS_WORKER.set(true);
    // SAFETY: what `start` gave up for this thread, once.
    let start = unsafe { Counted::<Start>::from_raw(start) };
    let mut scratch = start.scratch.lock().unwrap_or_else(PoisonError::into_inner);
    start.shared.work(scratch.as_mut_slice());
    drop(scratch);
    null_mut()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        for (number, expected) in [(0, "far-0"), (1, "far-1"), (9, "far-9"), (10, "far-10"), (255, "far-255")]
        {
            let name = super::name(number);
            assert_eq!(std::str::from_utf8(&name[..expected.len()]).unwrap(), expected);
            assert!(name[expected.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
