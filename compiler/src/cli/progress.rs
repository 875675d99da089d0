//! A sign of life for work that may take long: on a terminal only, and gone before anything else is said.
//! May import: nothing of ours.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressBar;

/// Moves until it is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Says what is being done, unless a program listens.
    pub(super) fn new(json: bool, message: String) -> Progress {
        if json || !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
