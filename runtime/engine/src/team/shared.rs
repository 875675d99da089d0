//! One shared counter: the job that is under way, who takes its tasks, who sleeps. May import: nothing of this crate.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Order, Panicked, Task};

/// How long a thread looks for work before it sleeps: longer than most steps, far shorter than a human's blink.
pub(super) const SPIN: Duration = Duration::from_micros(50);

/// Most tasks that are handed out at once: what either count of a [`Ticket`] holds.
pub(super) const MAX_TASKS: usize = (1 << Ticket::BITS) - 1;

/// A job: its tasks are numbered from `first` on.
#[derive(Clone, Copy, Debug)]
struct Job {
    task: *const Task<'static>,
    first: usize,
}

/// Who takes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Caller,
    Helper,
}

/// The tasks of the job that nobody has taken, from `next` to before `end`, and whether all threads take them in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    in_order: bool,
    next: usize,
    end: usize,
}

impl Ticket {
    /// Of `next`, and of `end`.
    const BITS: u32 = 20;

    /// As one word. Tickets of two jobs may be the same word: who takes a task off a job that it meant to be another has a task
    /// of this one all the same.
    fn word(self) -> u64 {
        (self.in_order as u64) << (2 * Self::BITS) | (self.next as u64) << Self::BITS | self.end as u64
    }

    fn of(word: u64) -> Ticket {
        let low = |word: u64| (word & MAX_TASKS as u64) as usize;
        Ticket { in_order: word >> (2 * Self::BITS) != 0, next: low(word >> Self::BITS), end: low(word) }
    }

    /// What is left when one is taken, and which that is.
    fn take(mut self, who: Who) -> Option<(Ticket, usize)> {
        if self.next == self.end {
            return None;
        }
        let taken = if self.in_order || who == Who::Caller {
            self.next += 1;
            self.next - 1
        } else {
            self.end -= 1;
            self.end
        };
        Some((self, taken))
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    /// A [`Ticket`]'s word.
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

impl Shared {
    pub(super) fn new() -> Shared {
        Shared {
            ticket: AtomicU64::new(0),
            unfinished: AtomicU32::new(0),
            job: UnsafeCell::new(Job { task: &|_: usize, _: &mut [f32]| (), first: 0 }),
            panicked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            caller_sleeps: AtomicBool::new(false),
            lock: Mutex::new(()),
            work: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// Runs a job of at most [`MAX_TASKS`] tasks from number `first` on: announces it, lets `take_part` take its tasks on
    /// this thread and others, and returns when all of them have ended.
    pub(super) fn run_job(
        &self,
        first: usize,
        count: usize,
        order: Order,
        task: &Task<'_>,
        take_part: impl FnOnce(),
    ) {
        assert!(count <= MAX_TASKS && self.unfinished.load(Ordering::Acquire) == 0);
        // SAFETY: only the lifetime changes. The job is over before `task` ends: this function returns, and can't
        // unwind before that, only when no task is unfinished, and the pointer is used only by unfinished tasks.
        let task: *const Task<'static> = unsafe { std::mem::transmute::<&Task<'_>, &Task<'static>>(task) };
        // SAFETY: no task is unfinished: nobody reads `job`. Only this function writes it, for one caller at a time.
        unsafe { *self.job.get() = Job { task, first } };
        self.unfinished.store(count as u32, Ordering::Relaxed);
        let ticket = Ticket { in_order: order == Order::FirstToLast, next: 0, end: count };
        self.ticket.store(ticket.word(), Ordering::SeqCst);
        if catch_unwind(AssertUnwindSafe(take_part)).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.wait_until_done();
    }

    /// Runs tasks of the job until nobody has to take one.
    pub(super) fn drain(&self, who: Who, scratch: &mut [f32]) {
        while let Some(task) = self.take(who) {
            self.run(task, scratch);
        }
    }

    /// Whether a task panicked since this was asked before.
    pub(super) fn take_panic(&self) -> Result<(), Panicked> {
        if self.panicked.swap(false, Ordering::Relaxed) { Err(Panicked) } else { Ok(()) }
    }

    /// Ends [`work`](Self::work) on all threads.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        drop(self.guard());
        self.work.notify_all();
    }

    /// What a worker does until the team is dropped.
    pub(super) fn work(&self, scratch: &mut [f32]) {
        let mut idle_since = None;
        while !self.closing.load(Ordering::Relaxed) {
            if let Some(task) = self.take(Who::Helper) {
                self.run(task, scratch);
                idle_since = None;
            } else if idle_since.get_or_insert_with(Instant::now).elapsed() < SPIN {
                pause();
            } else {
                self.sleep();
                idle_since = None;
            }
        }
    }

    /// How many workers sleep.
    #[cfg(test)]
    pub(super) fn sleeping(&self) -> u32 {
        self.sleepers.load(Ordering::SeqCst)
    }

    fn has_work(&self) -> bool {
        let ticket = Ticket::of(self.ticket.load(Ordering::SeqCst));
        ticket.next != ticket.end
    }

    /// Takes a task: its job, and its number in `first`.
    fn take(&self, who: Who) -> Option<Job> {
        let mut word = self.ticket.load(Ordering::Acquire);
        loop {
            let (left, taken) = Ticket::of(word).take(who)?;
            match self.ticket.compare_exchange_weak(word, left.word(), Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => {
                    // SAFETY: a task of this job was just taken and hasn't ended: the caller doesn't write `job`.
                    let job = unsafe { *self.job.get() };
                    return Some(Job { first: job.first + taken, ..job });
                }
                Err(now) => word = now,
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
    pub(super) fn wake(&self, count: usize) {
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
    (0..8).for_each(|_| std::hint::spin_loop());
}
