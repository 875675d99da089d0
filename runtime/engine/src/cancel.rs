//! Ending a run from another thread. May import: `counted`, `error`.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::counted::Counted;
use crate::error::Result;

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const CANCELLED: u8 = 2;

/// Ends the run in progress of one [`Session`](crate::Session), from any thread and at any time.
#[derive(Clone, Debug)]
pub struct Cancel(Counted<AtomicU8>);

impl Cancel {
    pub(crate) fn new() -> Result<Cancel> {
        Ok(Cancel(Counted::new(AtomicU8::new(IDLE))?))
    }

    /// Makes the run in progress end with [`Error::Cancelled`](crate::Error::Cancelled) before its next tasks, and says
    /// whether there is one. A run that begins later is not affected.
    pub fn cancel(&self) -> bool {
        let found = self.0.compare_exchange(RUNNING, CANCELLED, Ordering::Relaxed, Ordering::Relaxed);
        found.is_ok() || found == Err(CANCELLED)
    }

    /// A run begins.
    pub(crate) fn begin(&self) {
        self.0.store(RUNNING, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CANCELLED
    }

    /// The run ends; whether it was cancelled. Asked of the same variable in one step, so that a cancellation that found
    /// the run is never lost.
    pub(crate) fn end(&self) -> bool {
        self.0.swap(IDLE, Ordering::Relaxed) == CANCELLED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_is_meant() {
        let cancel = Cancel::new().unwrap();
        assert!(!cancel.cancel());
        cancel.begin();
        assert!(!cancel.is_asked());
        assert!(cancel.cancel() && cancel.cancel() && cancel.is_asked());
        assert!(cancel.end());
        assert!(!cancel.cancel() && !cancel.is_asked());
        cancel.begin();
        assert!(!cancel.is_asked() && !cancel.end());
    }
}
