//! The thread team: the caller and its workers take the tasks of one job after another off one shared counter. One of
//! the places that hold unsafe code: a job borrows from its caller's stack. May import: `buffer`, `error`.
//!
//! A worker that has nothing to do spins for [`SPIN`], then sleeps. A job waits for the tasks that were taken, never
//! for a worker that took none, so that a sleeping or preempted worker costs nothing but its own help.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::buffer::Buffer;
use crate::error::{Error, Result};

/// How long a thread looks for work before it sleeps: longer than most steps, far shorter than a human's blink.
const SPIN: Duration = Duration::from_micros(50);

/// Most tasks that are handed out at once: the bits of a [ticket](Shared::ticket) that count them.
const MAX_TASKS: usize = (1 << TASK_BITS) - 1;
const TASK_BITS: u32 = 24;

/// What each task of a job does: its number, and memory of the thread that runs it.
pub(crate) type Task<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// A task panicked; the others have run.
#[derive(Debug)]
pub(crate) struct Panicked;

/// The caller and its workers.
#[derive(Debug)]
pub(crate) struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    scratch: Buffer,
}

/// A job: `count` tasks from number `first` on, the last one first taken being `first + count - left`.
#[derive(Clone, Copy, Debug)]
struct Job {
    task: *const Task<'static>,
    first: usize,
    count: usize,
}

#[derive(Debug)]
struct Shared {
    /// The number of the job, then in the low [`TASK_BITS`] bits how many of its tasks nobody has taken yet. 40 bits
    /// of job numbers come round after days of the shortest jobs, which no thread sleeps through between two of its
    /// own instructions.
    ticket: AtomicU64,
    /// Tasks of the job that have not ended.
    unfinished: AtomicU32,
    /// The job. Written by the caller only, while no task is unfinished; read only by who has taken a task of it.
    job: UnsafeCell<Job>,
    panicked: AtomicBool,
    closing: AtomicBool,
    /// How many workers sleep, or are about to.
    sleepers: AtomicU32,
    /// Whether the caller sleeps, or is about to.
    caller_sleeps: AtomicBool,
    lock: Mutex<()>,
    work: Condvar,
    done: Condvar,
}

// SAFETY: everything but `job` is `Sync` by itself. `job` is written while no task is unfinished and before the ticket
// announces its tasks (release), and read after a task was taken off that ticket (acquire) and before it ends (release,
// which the caller acquires before it writes again): reads and writes never meet. What it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used under the rules above on whatever thread.
unsafe impl Send for Shared {}

impl Team {
    /// `threads` in all, the caller's included; each has `scratch` f32 elements of its own.
    pub(crate) fn new(threads: usize, scratch: usize) -> Result<Team> {
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            unfinished: AtomicU32::new(0),
            job: UnsafeCell::new(Job { task: &|_: usize, _: &mut [f32]| (), first: 0, count: 0 }),
            panicked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            caller_sleeps: AtomicBool::new(false),
            lock: Mutex::new(()),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let scratch_of = || Buffer::new(scratch, "a thread's scratch memory");
        let mut team = Team { shared, workers: Vec::new(), scratch: scratch_of()? };
        for running in 1..threads {
            let (shared, mut scratch) = (Arc::clone(&team.shared), scratch_of()?);
            let worker = thread::Builder::new()
                .name(format!("far-{running}"))
                .spawn(move || shared.work(scratch.as_mut_slice()))
                .map_err(|source| Error::Spawn { running, source })?;
            team.workers.push(worker);
        }
        Ok(team)
    }

    /// Threads, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs one task on the caller's thread.
    pub(crate) fn run_here(&mut self, task: &Task<'_>) -> Result<(), Panicked> {
        let scratch = self.scratch.as_mut_slice();
        catch_unwind(AssertUnwindSafe(|| task(0, scratch))).map_err(|_| Panicked)
    }

    /// Runs tasks `0..count`, in this order as far as threads start them, and returns when all have ended.
    pub(crate) fn run(&mut self, count: usize, task: &Task<'_>) -> Result<(), Panicked> {
        let mut first = 0;
        while first < count {
            let part = (count - first).min(MAX_TASKS);
            self.run_part(first, part, task);
            first += part;
        }
        if self.shared.panicked.swap(false, Ordering::Relaxed) { Err(Panicked) } else { Ok(()) }
    }

    fn run_part(&mut self, first: usize, count: usize, task: &Task<'_>) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. The job is over before `task` ends: this function returns, and can't
        // unwind before that, only when no task is unfinished, and the pointer is used only by unfinished tasks.
        let task: *const Task<'static> = unsafe { std::mem::transmute::<&Task<'_>, &Task<'static>>(task) };
        // SAFETY: `&mut self` and the end of the job before show that no task is unfinished: nobody reads `job`.
        unsafe { *shared.job.get() = Job { task, first, count } };
        shared.unfinished.store(count as u32, Ordering::Relaxed);
        let number = (shared.ticket.load(Ordering::Relaxed) >> TASK_BITS) + 1;
        shared.ticket.store((number << TASK_BITS) | count as u64, Ordering::SeqCst);
        shared.wake(count - 1);

        while let Some(job) = shared.take() {
            shared.run(job, self.scratch.as_mut_slice());
        }
        shared.wait_until_done();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        drop(self.shared.guard());
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's tasks are caught, so that it can't end by a panic; nothing to do if it did.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// What a worker does until the team is dropped.
    fn work(&self, scratch: &mut [f32]) {
        let mut idle_since = None;
        while !self.closing.load(Ordering::Relaxed) {
            if let Some(job) = self.take() {
                self.run(job, scratch);
                idle_since = None;
            } else if idle_since.get_or_insert_with(Instant::now).elapsed() < SPIN {
                pause();
            } else {
                self.sleep();
                idle_since = None;
            }
        }
    }

    fn has_work(&self) -> bool {
        self.ticket.load(Ordering::SeqCst) & MAX_TASKS as u64 != 0
    }

    /// Takes a task: its job, and its number in `first`.
    fn take(&self) -> Option<Job> {
        let mut ticket = self.ticket.load(Ordering::Acquire);
        loop {
            let left = (ticket & MAX_TASKS as u64) as usize;
            if left == 0 {
                return None;
            }
            match self.ticket.compare_exchange_weak(ticket, ticket - 1, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => {
                    // SAFETY: a task of this job was just taken and hasn't ended: the caller doesn't write `job`.
                    let job = unsafe { *self.job.get() };
                    return Some(Job { first: job.first + (job.count - left), ..job });
                }
                Err(now) => ticket = now,
            }
        }
    }

    /// Runs the task that was taken.
    fn run(&self, job: Job, scratch: &mut [f32]) {
        // SAFETY: the task was taken and hasn't ended, so that its caller still waits in `run_part`.
        let task = unsafe { &*job.task };
        if catch_unwind(AssertUnwindSafe(|| task(job.first, scratch))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        if self.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 && self.caller_sleeps.load(Ordering::SeqCst) {
            drop(self.guard());
            self.done.notify_one();
        }
    }

    /// Wakes workers for `count` tasks.
    fn wake(&self, count: usize) {
        let sleepers = self.sleepers.load(Ordering::SeqCst) as usize;
        if sleepers > 0 && count > 0 {
            drop(self.guard());
            if count < sleepers {
                (0..count).for_each(|_| self.work.notify_one());
            } else {
                self.work.notify_all();
            }
        }
    }

    /// Sleeps until there is work. Whoever announces work looks at `sleepers` after that, and this looks for work
    /// after it counted itself there: one of the two sees the other. The lock is held from that look to the wait, so
    /// that no wake-up falls between them.
    fn sleep(&self) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.guard();
        while !self.has_work() && !self.closing.load(Ordering::SeqCst) {
            guard = self.work.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn wait_until_done(&self) {
        let start = Instant::now();
        while self.unfinished.load(Ordering::Acquire) != 0 {
            if start.elapsed() < SPIN {
                pause();
                continue;
            }
            self.caller_sleeps.store(true, Ordering::SeqCst);
            let mut guard = self.guard();
            while self.unfinished.load(Ordering::SeqCst) != 0 {
                guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            self.caller_sleeps.store(false, Ordering::SeqCst);
        }
    }

    fn guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A short rest between two looks.
fn pause() {
    (0..32).for_each(|_| std::hint::spin_loop());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let mut team = Team::new(threads, 1).unwrap();
            for count in [0, 1, 2, 7, 500] {
                for _ in 0..50 {
                    let runs: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
                    let count_run = |i: usize, _: &mut [f32]| {
                        runs[i].fetch_add(1, Ordering::Relaxed);
                    };
                    team.run(count, &count_run).unwrap();
                    assert!(
                        runs.iter().all(|n| n.load(Ordering::Relaxed) == 1),
                        "{threads} threads, {count} tasks"
                    );
                }
            }
        }
    }

    #[test]
    fn sleeping_workers_wake() {
        let mut team = Team::new(3, 0).unwrap();
        for _ in 0..20 {
            thread::sleep(SPIN * 10);
            assert_eq!(team.shared.ticket.load(Ordering::Relaxed) & MAX_TASKS as u64, 0);
            let (here, elsewhere) = (thread::current().id(), AtomicBool::new(false));
            let start = Instant::now();
            let task = |_: usize, _: &mut [f32]| {
                if thread::current().id() == here {
                    // Leave the other tasks to the workers.
                    while !elsewhere.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(10) {
                        thread::yield_now();
                    }
                } else {
                    elsewhere.store(true, Ordering::Relaxed);
                }
            };
            team.run(8, &task).unwrap();
            assert!(elsewhere.load(Ordering::Relaxed), "no worker woke");
        }
    }

    #[test]
    fn idle_workers_sleep() {
        let team = Team::new(3, 0).unwrap();
        let start = Instant::now();
        while team.shared.sleepers.load(Ordering::SeqCst) != 2 {
            assert!(start.elapsed() < Duration::from_secs(10), "workers still spin");
            thread::sleep(SPIN);
        }
    }

    #[test]
    fn a_panic_is_reported_and_the_team_goes_on() {
        for threads in [1, 3] {
            let mut team = Team::new(threads, 0).unwrap();
            let ran = AtomicU32::new(0);
            let task = |i: usize, _: &mut [f32]| {
                ran.fetch_add(1, Ordering::Relaxed);
                assert!(i != 3, "a task's panic, as expected by this test");
            };
            assert!(team.run(9, &task).is_err());
            assert_eq!(ran.load(Ordering::Relaxed), 9);
            assert!(team.run(3, &task).is_ok());
            assert!(team.run_here(&|_, _| panic!("as expected by this test")).is_err());
            assert!(team.run_here(&|_, _| ()).is_ok());
        }
    }

    #[test]
    fn scratch_is_each_threads_own() {
        let mut team = Team::new(4, 64).unwrap();
        let clash = AtomicBool::new(false);
        let task = |i: usize, scratch: &mut [f32]| {
            for _ in 0..100 {
                scratch.fill(i as f32);
                std::hint::black_box(&mut *scratch);
                if scratch.iter().any(|x| *x != i as f32) {
                    clash.store(true, Ordering::Relaxed);
                }
            }
        };
        team.run(200, &task).unwrap();
        assert!(!clash.load(Ordering::Relaxed));
    }
}
