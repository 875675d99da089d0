//! Teams of their own threads, and of a pool's. May import: the team.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::shared::SPIN;
use super::*;

fn team(threads: usize, scratch: usize) -> Team {
    Team::new(threads, Helpers::Started { cpus: &[] }, scratch, &mut Supply::allocator()).unwrap()
}

#[test]
fn every_task_runs_once() {
    for threads in [1, 2, 5] {
        let mut team = team(threads, 1);
        for count in [0, 1, 2, 7, 500] {
            for _ in 0..50 {
                let runs: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
                let count_run = |i: usize, _: &mut [f32]| {
                    runs[i].fetch_add(1, Ordering::Relaxed);
                };
                for order in [Order::FirstToLast, Order::FromBothEnds] {
                    team.run(count, order, &count_run).unwrap();
                }
                assert!(
                    runs.iter().all(|n| n.load(Ordering::Relaxed) == 2),
                    "{threads} threads, {count} tasks"
                );
            }
        }
    }
}

#[test]
fn the_caller_and_its_helper_begin_at_either_end() {
    let mut team = team(2, 0);
    for (order, first) in [(Order::FromBothEnds, [0, 7]), (Order::FirstToLast, [0, 1])] {
        let caller = thread::current().id();
        let (taken, met) = (AtomicU32::new(0), [(); 2].map(|()| AtomicU32::new(u32::MAX)));
        // Whoever has the first task waits with it until another has one too.
        let task = |i: usize, _: &mut [f32]| {
            if taken.fetch_add(1, Ordering::SeqCst) < 2 {
                let helper = usize::from(thread::current().id() != caller);
                met[helper].store(i as u32, Ordering::SeqCst);
                while taken.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            }
        };
        team.run(8, order, &task).unwrap();
        let mut met = met.map(|i| i.load(Ordering::SeqCst));
        if order == Order::FirstToLast {
            met.sort_unstable(); // either may be first
        }
        assert_eq!(met, first, "{order:?}");
    }
}

#[test]
fn sleeping_workers_wake() {
    let mut team = team(3, 0);
    for _ in 0..20 {
        thread::sleep(SPIN * 10);
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
        team.run(8, Order::FirstToLast, &task).unwrap();
        assert!(elsewhere.load(Ordering::Relaxed), "no worker woke");
    }
}

#[test]
fn idle_workers_sleep() {
    let team = team(3, 0);
    let start = Instant::now();
    while team.shared.sleeping() != 2 {
        assert!(start.elapsed() < Duration::from_secs(10), "workers still spin");
        thread::sleep(SPIN);
    }
}

#[test]
fn a_panic_is_reported_and_the_team_goes_on() {
    for threads in [1, 3] {
        let mut team = team(threads, 0);
        let ran = AtomicU32::new(0);
        let task = |i: usize, _: &mut [f32]| {
            ran.fetch_add(1, Ordering::Relaxed);
            assert!(i != 3, "a task's panic, as expected by this test");
        };
        assert!(team.run(9, Order::FirstToLast, &task).is_err());
        assert_eq!(ran.load(Ordering::Relaxed), 9);
        assert!(team.run(3, Order::FirstToLast, &task).is_ok());
        assert!(team.run_here(&|_, _| panic!("as expected by this test")).is_err());
        assert!(team.run_here(&|_, _| ()).is_ok());
    }
}

#[test]
fn scratch_is_each_threads_own() {
    let mut team = team(4, 64);
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
    team.run(200, Order::FirstToLast, &task).unwrap();
    assert!(!clash.load(Ordering::Relaxed));
}

/// Pools that do what a pool may do, and what it should not.
#[derive(Debug)]
enum TestPool {
    /// On the caller's thread, the last lane first.
    Backwards,
    /// A thread a lane.
    Threads,
    /// Each lane twice at once, and lanes that don't exist.
    Twice,
    Nothing,
    Panics,
}

impl Pool for TestPool {
    fn run(&self, count: usize, lane: &(dyn Fn(usize) + Sync)) {
        let all_at_once = |lanes: usize| {
            thread::scope(|scope| {
                for n in 0..lanes {
                    scope.spawn(move || lane(n % (count + 1)));
                }
            });
        };
        match self {
            TestPool::Backwards => (0..count).rev().for_each(lane),
            TestPool::Threads => all_at_once(count),
            TestPool::Twice => all_at_once(2 * count + 2),
            TestPool::Nothing => {}
            TestPool::Panics => panic!("as expected by this test"),
        }
    }
}

#[test]
fn a_pool_runs_every_task_once_whatever_it_does() {
    for pool in [TestPool::Backwards, TestPool::Threads, TestPool::Twice, TestPool::Nothing, TestPool::Panics]
    {
        let panics = matches!(pool, TestPool::Panics);
        let pool: Counted<dyn Pool> = Counted::new(pool).unwrap().into();
        let mut team = Team::new(4, Helpers::Lent(&pool), 32, &mut Supply::allocator()).unwrap();
        assert_eq!(team.threads(), 4);
        for count in [1, 3, 4, 100] {
            let runs: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
            let task = |i: usize, scratch: &mut [f32]| {
                scratch.fill(i as f32);
                std::hint::black_box(&mut *scratch);
                assert!(scratch.iter().all(|x| *x == i as f32), "memory of one lane has two users");
                runs[i].fetch_add(1, Ordering::Relaxed);
            };
            assert_eq!(team.run(count, Order::FirstToLast, &task).is_err(), panics);
            assert!(runs.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{count} tasks of {pool:?}");
        }
        assert!(team.run_here(&|_, scratch| assert_eq!(scratch.len(), 32)).is_ok());
    }
}

#[test]
fn a_task_that_panics_in_a_pool_is_reported() {
    let pool: Counted<dyn Pool> = Counted::new(TestPool::Threads).unwrap().into();
    let mut team = Team::new(3, Helpers::Lent(&pool), 0, &mut Supply::allocator()).unwrap();
    assert!(team.run(9, Order::FirstToLast, &|i, _| assert!(i != 4, "as expected by this test")).is_err());
    assert!(team.run(9, Order::FirstToLast, &|_, _| ()).is_ok());
}

#[test]
fn workers_stay_on_their_cpus() {
    let allowed = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        line.trim().to_string()
    };
    let cpu = |list: &str| -> usize { list.split([',', '-']).next_back().unwrap().parse().unwrap() };
    let (mine, last) = (allowed(), cpu(&allowed()));
    let helpers = Helpers::Started { cpus: &[0, last] };
    let mut team = Team::new(2, helpers, 0, &mut Supply::allocator()).unwrap();
    let (here, seen) = (thread::current().id(), Mutex::new(None));
    let start = Instant::now();
    while seen.lock().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "the worker never helped");
        let task = |_: usize, _: &mut [f32]| {
            if thread::current().id() == here {
                thread::sleep(Duration::from_millis(1));
            } else {
                *seen.lock().unwrap() = Some(allowed());
            }
        };
        team.run(8, Order::FirstToLast, &task).unwrap();
    }
    assert_eq!(seen.into_inner().unwrap().unwrap(), last.to_string());
    assert_eq!(allowed(), mine, "the caller's thread was moved");
}

#[test]
fn cpus_that_cannot_be_are_refused() {
    assert!(check_cpus(&[], 9).is_ok());
    let error = check_cpus(&[0], 2).unwrap_err().to_string();
    assert_eq!(error, "cpus: expected at least one for each of `2` threads, got `1`");
    let error = check_cpus(&[0, 0], 2).unwrap_err().to_string();
    assert_eq!(error, "cpus: can't keep a thread on CPU `0`: it is listed twice");
    let error = check_cpus(&[usize::MAX], 1).unwrap_err().to_string();
    assert!(error.contains("this machine has CPUs 0 to "), "{error}");
}
