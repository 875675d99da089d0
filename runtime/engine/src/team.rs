//! The thread team: the caller and its helpers take the tasks of one job after another off the two ends of one list. The helpers
//! are threads of the session's own, or whatever the caller's pool runs. One of the places that hold unsafe code: a job
//! borrows from its caller's stack, and threads are started and put on CPUs by the system's interface. May import: `buffer`, `counted`, `error`.
//!
//! A worker that has nothing to do spins for a while, then sleeps. A job waits for the tasks that were taken, never
//! for a worker that took none, so that a sleeping or preempted worker costs nothing but its own help.
#![allow(unsafe_code)]

mod pin;
mod shared;
mod worker;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::buffer::{Buffer, Supply};
use crate::counted::Counted;
use crate::error::{Error, Result};
use shared::{MAX_TASKS, Shared, Who};
use worker::Worker;

pub(crate) use pin::check as check_cpus;
pub use pin::{MAX_CPUS, pin_caller};
pub use worker::is_worker;

/// What each task of a job does: its number, and memory of the thread that runs it.
pub(crate) type Task<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// In what order threads take a job's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All from the first on: for tasks of which the longest come first.
    FirstToLast,
    /// The caller from the first on, its helpers from the last back: where tasks are rows from the first to the last, each thread meets much the same
    /// rows in one job after the other, and finds them in its own core's caches.
    FromBothEnds,
}

/// A task panicked; the others have run.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Threads of a caller's own that a session may use instead of starting some.
pub trait Pool: fmt::Debug + Send + Sync {
    /// Calls `lane` with each number from 0 to `count - 1`, on whatever threads, this one included, in any order and at the
    /// same time or not, and returns when all calls have ended. Of calls that are left out the work is done by the others
    /// or by the caller, so that nothing but speed depends on them.
    fn run(&self, count: usize, lane: &(dyn Fn(usize) + Sync));
}

/// Who helps the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Helpers<'a> {
    /// Threads to start, each but the caller's on a CPU of its own where any are given.
    Started { cpus: &'a [usize] },
    /// Those of a pool.
    Lent(&'a Counted<dyn Pool>),
}

/// The caller and its helpers.
#[derive(Debug)]
pub(crate) struct Team {
    shared: Counted<Shared>,
    crew: Crew,
}

#[derive(Debug)]
enum Crew {
    Started {
        workers: Vec<Worker>,
        /// The caller's.
        scratch: Buffer,
    },
    Lent {
        pool: Counted<dyn Pool>,
        /// Scratch memory of each lane; the first is the caller's too, when no lane runs.
        lanes: Vec<Mutex<Buffer>>,
    },
}

impl Team {
    /// `threads` in all, the caller's included; each has `scratch` f32 elements of its own.
    pub(crate) fn new(
        threads: usize,
        helpers: Helpers<'_>,
        scratch: usize,
        supply: &mut Supply,
    ) -> Result<Team> {
        let shared = Counted::new(Shared::new())?;
        let mut scratch_of = || supply.take(scratch, "a thread's scratch memory");
        match helpers {
            Helpers::Lent(pool) => {
                let mut lanes = vec_of(threads)?;
                for _ in 0..threads {
                    lanes.push(Mutex::new(scratch_of()?));
                }
                Ok(Team { shared, crew: Crew::Lent { pool: Counted::clone(pool), lanes } })
            }
            Helpers::Started { cpus } => {
                let scratch = scratch_of()?;
                let mut team =
                    Team { shared, crew: Crew::Started { workers: vec_of(threads - 1)?, scratch } };
                for running in 1..threads {
                    team.start(running, scratch_of()?, cpus.get(running).copied())?;
                }
                Ok(team)
            }
        }
    }

    /// Starts one more worker, on a CPU if one is given.
    fn start(&mut self, running: usize, scratch: Buffer, cpu: Option<usize>) -> Result<()> {
        let Crew::Started { workers, .. } = &mut self.crew else {
            unreachable!("a pool's threads run already")
        };
        let worker = Worker::start(running, self.shared.clone(), scratch)?;
        let pinned = cpu.map_or(Ok(()), |cpu| pin::pin(&worker, cpu));
        workers.push(worker); // also where it can't be pinned: dropping the team ends it
        pinned
    }

    /// Threads, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        match &self.crew {
            Crew::Started { workers, .. } => workers.len() + 1,
            Crew::Lent { lanes, .. } => lanes.len(),
        }
    }

    /// Runs one task on the caller's thread.
    pub(crate) fn run_here(&mut self, task: &Task<'_>) -> Result<(), Panicked> {
        let scratch = match &mut self.crew {
            Crew::Started { scratch, .. } => scratch,
            Crew::Lent { lanes, .. } => lanes[0].get_mut().unwrap_or_else(PoisonError::into_inner),
        };
        let scratch = scratch.as_mut_slice();
        catch_unwind(AssertUnwindSafe(|| task(0, scratch))).map_err(|_| Panicked)
    }

    /// Runs tasks `0..count`, and returns when all have ended.
    pub(crate) fn run(&mut self, count: usize, order: Order, task: &Task<'_>) -> Result<(), Panicked> {
        let mut first = 0;
        while first < count {
            let part = (count - first).min(MAX_TASKS);
            self.run_part(first, part, order, task);
            first += part;
        }
        self.shared.take_panic()
    }

    fn run_part(&mut self, first: usize, count: usize, order: Order, task: &Task<'_>) {
        let shared = &*self.shared;
        match &mut self.crew {
            Crew::Started { scratch, .. } => shared.run_job(first, count, order, task, || {
                shared.wake(count - 1);
                shared.drain(Who::Caller, scratch.as_mut_slice());
            }),
            Crew::Lent { pool, lanes } => shared.run_job(first, count, order, task, || {
                let lanes = &lanes[..count.min(lanes.len())];
                // A lane that is called twice at once has its memory once.
                let lane = |n: usize| {
                    if let Some(Ok(mut scratch)) = lanes.get(n).map(Mutex::try_lock) {
                        let who = if n == 0 { Who::Caller } else { Who::Helper };
                        shared.drain(who, scratch.as_mut_slice());
                    }
                };
                let lent = catch_unwind(AssertUnwindSafe(|| pool.run(lanes.len(), &lane)));
                // What the pool left out. Where every lane is at work, each ends only when no task is left.
                (0..lanes.len()).for_each(lane);
                if let Err(panic) = lent {
                    std::panic::resume_unwind(panic);
                }
            }),
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.close();
        if let Crew::Started { workers, .. } = &mut self.crew {
            for worker in workers.drain(..) {
                worker.join();
            }
        }
    }
}

fn vec_of<T>(capacity: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let bytes = capacity.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(capacity)
        .map_err(|_| Error::OutOfMemory { what: "the session's threads", bytes })?;
    Ok(vec)
}

#[cfg(test)]
mod tests;
