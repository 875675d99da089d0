//! How long each step took. May import: nothing of this crate.

use std::time::Duration;

use crate::error::{Error, Result};

/// The time that steps took since the session was made, or since [`Session::reset_profile`](crate::Session::reset_profile).
#[derive(Clone, Debug)]
pub struct Profile {
    runs: u64,
    steps: Vec<Duration>,
}

impl Profile {
    pub(crate) fn new(steps: usize) -> Result<Profile> {
        let mut times = Vec::new();
        let bytes = steps * size_of::<Duration>();
        times.try_reserve_exact(steps).map_err(|_| Error::OutOfMemory { what: "the profile", bytes })?;
        times.resize(steps, Duration::ZERO);
        Ok(Profile { runs: 0, steps: times })
    }

    /// Completed runs.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Time in each step, over all runs, in order of [`Plan::steps`](far_format::plan::Plan::steps).
    pub fn steps(&self) -> &[Duration] {
        &self.steps
    }

    pub(crate) fn add(&mut self, step: usize, time: Duration) {
        self.steps[step] += time;
    }

    pub(crate) fn run_done(&mut self) {
        self.runs += 1;
    }

    pub(crate) fn reset(&mut self) {
        self.runs = 0;
        self.steps.fill(Duration::ZERO);
    }
}
