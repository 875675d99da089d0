//! Time. May import: nothing of ours.

/// Seconds that this thread has run: what others do on the core in between is not counted.
pub fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec to write to.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "no clock for the thread's time");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds of the fastest call of at least five, over about a tenth of a second.
pub fn least_seconds(mut call: impl FnMut()) -> f64 {
    const ALL: f64 = 0.1;
    let begin = cpu_seconds();
    let mut least = f64::INFINITY;
    let mut calls = 0;
    while calls < 5 || cpu_seconds() - begin < ALL {
        let start = cpu_seconds();
        call();
        least = least.min(cpu_seconds() - start);
        calls += 1;
    }
    least
}
