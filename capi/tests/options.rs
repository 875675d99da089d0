//! What a session's options bring: memory, threads and ears of the caller's, cancellation, the time in each step.
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "calls of the C interface, with live handles and memory"
)]

mod common;

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use common::{SIDE, input, last_error, output, session_options, text};
use far::*;

/// A session of the wide model.
struct Wide {
    model: *mut far_model,
    session: *mut far_session,
}

impl Wide {
    fn model() -> *mut far_model {
        let (bytes, mut model) = (common::wide_artifact(), null_mut());
        let status = unsafe { far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model) };
        assert_eq!(status, FAR_OK, "{}", last_error());
        model
    }

    fn new(options: far_session_options) -> Result<Wide, far_status> {
        let (model, mut session) = (Wide::model(), null_mut());
        match unsafe { far_session_new(model, &options, &mut session) } {
            FAR_OK => Ok(Wide { model, session }),
            status => {
                assert!(session.is_null(), "a failed call wrote its result");
                unsafe { far_model_free(model) };
                Err(status)
            }
        }
    }

    fn run(&self) -> Result<Vec<f32>, far_status> {
        let x: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 97) as f32 / 50.0 - 0.9).collect();
        let mut y = vec![0.0; SIDE * SIDE];
        match unsafe { far_session_run(self.session, &input(&x), 1, &output(&mut y), 1) } {
            FAR_OK => Ok(y),
            status => Err(status),
        }
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        unsafe {
            far_session_free(self.session);
            far_model_free(self.model);
        }
    }
}

fn expected() -> Vec<f32> {
    Wide::new(far_session_options { threads: 1, ..session_options() }).unwrap().run().unwrap()
}

#[test]
fn a_session_lives_in_the_callers_memory() {
    #[repr(align(64))]
    struct Line([u8; 64]);
    let (model, expected) = (Wide::model(), expected());
    for threads in [1, 3] {
        let options = far_session_options { threads, ..session_options() };
        let (mut size, mut arena, mut used) = (0, 0, 0);
        unsafe {
            assert_eq!(far_session_memory_size(model, &options, &mut size), FAR_OK, "{}", last_error());
            assert_eq!(far_model_arena_size(model, &mut arena), FAR_OK);
        }
        assert!(size as u64 >= arena && size.is_multiple_of(64), "{size} bytes for an arena of {arena}");
        let mut memory: Vec<Line> = (0..size / 64 + 1).map(|_| Line([9; 64])).collect();
        let start: *mut c_void = memory.as_mut_ptr().cast();
        let mut session = null_mut();
        let mut new =
            |memory, size| unsafe { far_session_new_in(model, &options, memory, size, &mut session) };
        assert_eq!(new(start, size - 1), FAR_ERROR_SIZE);
        let text = format!("`memory`: expected at least `{size}` bytes, got `{}`; hint: ", size - 1);
        assert!(last_error().starts_with(&text), "{}", last_error());
        assert_eq!(new(start.wrapping_byte_add(32), size), FAR_ERROR_ALIGNMENT);
        assert_eq!(new(null_mut(), size), FAR_ERROR_NULL_POINTER);
        assert_eq!(new(start, usize::MAX), FAR_ERROR_SIZE);
        assert_eq!(new(start, size), FAR_OK, "{}", last_error());

        let wide = Wide { model: null_mut(), session };
        assert_eq!(wide.run().unwrap(), expected);
        assert_eq!(unsafe { far_session_memory_used(session, &mut used) }, FAR_OK);
        assert!(used <= size as u64);
        // Neither inputs nor outputs may be part of it.
        let overlapping = far_output { data: start, ..output(&mut vec![0.0; SIDE * SIDE]) };
        let x = vec![0.0; SIDE * SIDE];
        let status = unsafe { far_session_run(session, &input(&x), 1, &overlapping, 1) };
        assert_eq!(status, FAR_ERROR_OVERLAP, "{}", last_error());
        drop(wide);
        assert!(memory[size / 64].0 == [9; 64], "memory past the end was written");
    }
    unsafe { far_model_free(model) };
}

/// Of a pool: how often it was called, and a session to cancel then.
#[derive(Default)]
struct Pool {
    jobs: AtomicUsize,
    lanes: AtomicUsize,
    cancels: AtomicPtr<far_session>,
}

impl Pool {
    fn options(&self) -> far_thread_pool {
        far_thread_pool {
            struct_size: size_of::<far_thread_pool>(),
            parallel_for: Some(parallel_for),
            context: (&raw const *self).cast_mut().cast(),
        }
    }
}

/// A thread a lane.
unsafe extern "C" fn parallel_for(
    context: *mut c_void,
    count: usize,
    lane: far_lane_function,
    job: *mut c_void,
) {
    let pool = unsafe { &*context.cast::<Pool>() };
    pool.jobs.fetch_add(1, Ordering::Relaxed);
    pool.lanes.fetch_max(count, Ordering::Relaxed);
    let cancels = pool.cancels.load(Ordering::Relaxed);
    if !cancels.is_null() {
        assert_eq!(unsafe { far_session_cancel(cancels) }, FAR_OK);
    }
    let job = job.expose_provenance();
    std::thread::scope(|scope| {
        for i in 0..count {
            scope.spawn(move || unsafe { lane.unwrap()(std::ptr::with_exposed_provenance_mut(job), i) });
        }
    });
}

#[test]
fn a_session_runs_on_the_callers_threads_and_is_cancelled() {
    let pool = Pool::default();
    let lent = pool.options();
    let options = far_session_options { threads: 3, pool: &lent, ..session_options() };
    let wide = Wide::new(options).unwrap();
    assert_eq!(unsafe { far_session_cancel(wide.session) }, FAR_OK, "nothing to cancel");
    assert_eq!(wide.run().unwrap(), expected());
    assert_eq!((pool.jobs.load(Ordering::Relaxed), pool.lanes.load(Ordering::Relaxed)), (3, 3));

    pool.cancels.store(wide.session, Ordering::Relaxed);
    assert_eq!(wide.run().unwrap_err(), FAR_ERROR_CANCELLED);
    assert_eq!(last_error(), "the run was cancelled");
    assert_eq!(pool.jobs.load(Ordering::Relaxed), 4, "steps after the cancelled one ran");
    pool.cancels.store(null_mut(), Ordering::Relaxed);
    assert_eq!(unsafe { far_session_cancel(wide.session) }, FAR_OK);
    assert_eq!(wide.run().unwrap(), expected());
    assert_eq!(unsafe { far_session_cancel(null()) }, FAR_ERROR_NULL_POINTER);
}

#[test]
fn a_run_is_cancelled_by_another_thread() {
    let wide = Wide::new(far_session_options { threads: 2, ..session_options() }).unwrap();
    let session = wide.session.expose_provenance();
    let (expected, done) = (expected(), &AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while done.load(Ordering::Relaxed) == 0 {
                let session = std::ptr::with_exposed_provenance(session);
                assert_eq!(unsafe { far_session_cancel(session) }, FAR_OK);
                std::thread::yield_now();
            }
        });
        let start = std::time::Instant::now();
        while wide.run() != Err(FAR_ERROR_CANCELLED) {
            assert!(start.elapsed().as_secs() < 20, "no run was cancelled");
        }
        done.store(1, Ordering::Relaxed);
    });
    assert_eq!(wide.run().unwrap(), expected);
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let refuse = |options: far_session_options| Wide::new(options).err().unwrap();
    let (pool, cpus) = (Pool::default(), [0, 0, u32::MAX]);
    let good = far_session_options { threads: 1, ..session_options() };
    let listed = far_session_options { cpu_count: 1, cpus: cpus.as_ptr(), ..good };
    assert!(Wide::new(listed).unwrap().run().is_ok());
    assert_eq!(refuse(far_session_options { cpu_count: 2, ..listed }), FAR_ERROR_OPTION);
    assert_eq!(last_error(), "cpus: can't keep a thread on CPU `0`: it is listed twice");
    assert_eq!(refuse(far_session_options { cpus: &cpus[2], ..listed }), FAR_ERROR_OPTION);
    assert_eq!(refuse(far_session_options { threads: 2, ..listed }), FAR_ERROR_OPTION);
    assert_eq!(refuse(far_session_options { cpus: null(), ..listed }), FAR_ERROR_NULL_POINTER);
    assert_eq!(refuse(far_session_options { cpu_count: u32::MAX, ..listed }), FAR_ERROR_OPTION);
    assert_eq!(refuse(far_session_options { pool: &pool.options(), ..listed }), FAR_ERROR_OPTION);
    let odd = cpus.as_ptr().wrapping_byte_add(1);
    assert_eq!(refuse(far_session_options { cpus: odd, ..listed }), FAR_ERROR_ALIGNMENT);
    assert_eq!(refuse(far_session_options { flags: 2, ..good }), FAR_ERROR_OPTION);
    let empty = far_thread_pool { parallel_for: None, ..pool.options() };
    assert_eq!(refuse(far_session_options { pool: &empty, ..good }), FAR_ERROR_NULL_POINTER);
    let small = far_thread_pool { struct_size: 16, ..pool.options() };
    assert_eq!(refuse(far_session_options { pool: &small, ..good }), FAR_ERROR_STRUCT_SIZE);
}

/// Messages by level.
type Heard = Vec<(far_log_level, String)>;

unsafe extern "C" fn hear(context: *mut c_void, level: far_log_level, message: *const c_char) {
    unsafe { &mut *context.cast::<Heard>() }.push((level, text(message)));
    // What fails in here is not what the caller is told.
    assert_eq!(unsafe { far_model_name(null(), null_mut()) }, FAR_ERROR_NULL_POINTER);
}

fn logger(heard: &mut Heard, level: far_log_level) -> far_logger {
    let context = (&raw mut *heard).cast();
    far_logger { struct_size: size_of::<far_logger>(), log: Some(hear), context, level, reserved: 0 }
}

#[test]
fn a_logger_hears_what_was_opened_made_and_refused() {
    let mut heard = Heard::new();
    let listening = logger(&mut heard, FAR_LOG_DEBUG);
    let options = far_model_options { logger: &listening, ..far_model_options::default() };
    let (bytes, mut model) = (common::wide_artifact(), null_mut());
    let (data, size) = (bytes.as_ptr().cast(), bytes.len());
    assert_eq!(unsafe { far_model_open_memory(data, size - 1, &options, &mut model) }, FAR_ERROR_CORRUPT);
    assert_eq!(heard, [(FAR_LOG_ERROR, last_error())]);
    heard.clear();
    assert_eq!(unsafe { far_model_open_memory(data, size, &options, &mut model) }, FAR_OK);
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[0].1.starts_with("opened model `wide` for target `test`: 3 steps, "), "{heard:?}");
    assert_eq!(heard[1], (FAR_LOG_DEBUG, "input `x`: at most 4096 elements of f32".to_string()));
    unsafe { far_model_free(model) };

    heard.clear();
    let listening = logger(&mut heard, FAR_LOG_WARNING);
    let options = far_session_options { logger: &listening, ..session_options() };
    let wide = Wide::new(far_session_options { threads: 200, ..options }).unwrap();
    assert!(wide.run().is_ok());
    let expected = "of `200` threads the model can use `";
    assert!(heard.iter().any(|(level, text)| *level == FAR_LOG_WARNING && text.starts_with(expected)));
    assert!(heard.iter().all(|(level, _)| *level <= FAR_LOG_WARNING), "{heard:?}");
    heard.clear();
    assert_eq!(Wide::new(far_session_options { threads: 257, ..options }).err(), Some(FAR_ERROR_OPTION));
    assert_eq!(heard, [(FAR_LOG_ERROR, "threads: expected at most `256`, got `257`".to_string())]);

    for (wrong, status) in [
        (far_logger { log: None, ..listening }, FAR_ERROR_NULL_POINTER),
        (far_logger { level: 0, ..listening }, FAR_ERROR_OPTION),
        (far_logger { level: 5, ..listening }, FAR_ERROR_OPTION),
        (far_logger { reserved: 1, ..listening }, FAR_ERROR_OPTION),
        (far_logger { struct_size: 31, ..listening }, FAR_ERROR_STRUCT_SIZE),
    ] {
        assert_eq!(Wide::new(far_session_options { logger: &wrong, ..options }).err(), Some(status));
    }
}

fn profile(session: *const far_session, index: usize) -> Result<far_step_profile, far_status> {
    let mut profile = far_step_profile {
        struct_size: size_of::<far_step_profile>(),
        name: null(),
        op: null(),
        kernel: null(),
        precision: -1,
        reserved: 1,
        runs: 1,
        nanoseconds: 1,
    };
    match unsafe { far_session_profile(session, index, &mut profile) } {
        FAR_OK => Ok(profile),
        status => Err(status),
    }
}

#[test]
fn steps_are_timed_where_asked_for() {
    let options = far_session_options { threads: 2, ..session_options() };
    for flags in [0, FAR_SESSION_PROFILE] {
        let wide = Wide::new(far_session_options { flags, ..options }).unwrap();
        let (session, mut count) = (wide.session, 0);
        assert_eq!(unsafe { far_session_step_count(session, &mut count) }, FAR_OK);
        assert_eq!(count, 3);
        for _ in 0..2 {
            wide.run().unwrap();
        }
        for (index, name) in ["first", "second", "third"].into_iter().enumerate() {
            let step = profile(session, index).unwrap();
            assert_eq!((text(step.name).as_str(), text(step.op).as_str()), (name, "gemm"));
            assert!(text(step.kernel).starts_with("gemm_f32_"), "{}", text(step.kernel));
            assert_eq!((step.precision, step.reserved), (FAR_PRECISION_F32, 0));
            assert_eq!((step.runs, step.nanoseconds > 0), if flags == 0 { (0, false) } else { (2, true) });
        }
        assert_eq!(unsafe { far_session_profile_reset(session) }, FAR_OK);
        let step = profile(session, 0).unwrap();
        assert_eq!((step.runs, step.nanoseconds), (0, 0));
        assert_eq!(profile(session, 3).err(), Some(FAR_ERROR_INDEX));
        assert_eq!(last_error(), "step `3`: the model has `3`, counted from 0");
        assert_eq!(profile(null(), 0).err(), Some(FAR_ERROR_NULL_POINTER));
        unsafe {
            assert_eq!(far_session_profile(session, 0, null_mut()), FAR_ERROR_NULL_POINTER);
            assert_eq!(far_session_step_count(session, null_mut()), FAR_ERROR_NULL_POINTER);
            assert_eq!(far_session_profile_reset(null_mut()), FAR_ERROR_NULL_POINTER);
        }
    }
}
