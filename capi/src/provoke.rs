//! Panics on demand, for the test that C programs survive them. Part of builds with `--cfg far_provoke` only, which no
//! build that is shipped has: `abi/far-1.symbols` lacks its function. May import: nothing of ours.

use std::sync::atomic::{AtomicU32, Ordering};

/// Where a panic is wanted.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Place {
    /// In a run, on the caller's thread.
    Run = 1,
    /// In a step of a run, where the threads of a caller's pool are to help.
    Step = 2,
    /// While a session is made.
    New = 3,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Has libfar panic once, when it comes to a place.
#[unsafe(no_mangle)]
pub extern "C" fn far_provoke_panic(place: u32) {
    NEXT.store(place, Ordering::SeqCst);
}

/// Panics where it is wanted.
pub(crate) fn come_to(place: Place) {
    let wanted = NEXT.compare_exchange(place as u32, 0, Ordering::SeqCst, Ordering::SeqCst);
    assert!(wanted.is_err(), "as expected by this test");
}
