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
pub fn least_seconds(call: impl FnMut()) -> f64 {
    least_of(5, 0.1, call)
}

/// What part of the rate of `peak` the other call reaches, which do `of_peak` and `of_call` of the same: the median of 15 turns. A core's clock
/// depends on what it did in the last milliseconds and on its neighbours, so that a limit is to be measured beside what it limits.
pub fn part_of((of_peak, mut peak): (f64, impl FnMut()), (of_call, mut call): (f64, impl FnMut())) -> f64 {
    let mut parts = [(); 15].map(|()| {
        let seconds = least_of(2, 0.004, &mut call);
        of_call / seconds * (least_of(2, 0.002, &mut peak) / of_peak)
    });
    parts.sort_by(f64::total_cmp);
    parts[parts.len() / 2]
}

/// Seconds of the fastest of at least so many calls, over at least so many seconds.
fn least_of(count: usize, all: f64, mut call: impl FnMut()) -> f64 {
    let begin = cpu_seconds();
    let mut least = f64::INFINITY;
    let mut calls = 0;
    while calls < count || cpu_seconds() - begin < all {
        let start = cpu_seconds();
        call();
        least = least.min(cpu_seconds() - start);
        calls += 1;
    }
    least
}
