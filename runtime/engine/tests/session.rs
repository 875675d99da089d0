//! Models and sessions as their users meet them.

mod common;

use std::sync::Mutex;
use std::{env, fs, process, thread};

use common::{Builder, host, noise, run};
use far_engine::{Cancel, Counted, Error, ErrorKind, Isa, MAX_THREADS, Model, Pool, Session, SessionOptions};
use far_format::cpu::{Arch, Features};
use far_format::layout::{Activation, Precision, panels_len};
use far_format::plan::{Gemm, GemmGroup, StepOp};
use far_kernels::pack;
use far_kernels::pack::HOST;

/// Two inputs, two outputs, one product large enough for several threads.
fn small() -> Builder {
    let mut b = Builder::new();
    let (x, y) = (b.input(64, 48), b.input(64, 80));
    let (a, out, sum) = (b.arena(64, 80), b.output(64, 80), b.output(64, 80));
    let w = noise(1, 48 * 80);
    let mut packed = vec![0.0; panels_len(48, 80)];
    pack::gemm(Precision::F32, HOST, 48, 80, |k, n| w[k * 80 + n], None, &mut packed);
    let weights = b.weights(&packed);
    let groups = vec![GemmGroup { a_col: 0, k: 48, out_col: 0, n: 80, weights }];
    b.step(StepOp::Gemm(Gemm {
        a: x,
        out: a,
        residual: None,
        act: Activation::Tanh,
        precision: Precision::F32,
        groups,
    }));
    b.step(StepOp::Copy { x: a, out });
    b.step(StepOp::Add { a, b: y, out: sum });
    b
}

fn session(threads: usize) -> Session {
    Session::new(small().model(), &SessionOptions { threads, ..SessionOptions::default() }).unwrap()
}

#[test]
fn a_mapped_file_gives_what_memory_gives() {
    let path = env::temp_dir().join(format!("far-engine-{}.far", process::id()));
    fs::write(&path, small().artifact()).unwrap();
    let mapped = Model::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(mapped.header().target, "test");
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let found = run(&mut Session::new(mapped, &SessionOptions::default()).unwrap(), &[&x, &y]);
    assert_eq!(found, run(&mut session(1), &[&x, &y]));
}

/// The artifact in memory that stays, so many bytes past a multiple of 64.
fn constant(artifact: &[u8], past: usize) -> &'static [u8] {
    let room = vec![0; artifact.len() + 128].leak();
    let begin = room.as_ptr().align_offset(64) + past;
    room[begin..][..artifact.len()].copy_from_slice(artifact);
    &room[begin..][..artifact.len()]
}

#[test]
fn a_constant_gives_what_a_copy_gives() {
    let artifact = small().artifact();
    let model = Model::from_static(constant(&artifact, 0)).unwrap();
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let found = run(&mut Session::new(model, &SessionOptions::default()).unwrap(), &[&x, &y]);
    assert_eq!(found, run(&mut session(1), &[&x, &y]));

    let error = Model::from_static(constant(&artifact, 4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Alignment);
    assert!(error.to_string().ends_with("a multiple of `64`, got one plus `4`"), "{error}");
    assert_eq!(Model::from_static(&[]).unwrap_err().kind(), ErrorKind::NotAnArtifact);
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let missing = Model::open("does/not/exist.far".as_ref()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(missing.to_string().starts_with("can't read `does/not/exist.far`: "), "{missing}");
    assert_eq!(Model::open(&env::temp_dir()).unwrap_err().kind(), ErrorKind::Io);
    let path = env::temp_dir().join(format!("far-engine-empty-{}.far", process::id()));
    fs::write(&path, []).unwrap();
    let empty = Model::open(&path).unwrap_err();
    fs::remove_file(&path).unwrap();
    assert_eq!(empty.kind(), ErrorKind::NotAnArtifact);
    assert_eq!(Model::from_bytes(&small().artifact()[..1000]).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn artifacts_for_others_are_refused() {
    for arch in Arch::ALL.into_iter().filter(|arch| *arch != host()) {
        let error = Model::from_bytes(&small().artifact_for(arch, Features::NONE)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Architecture);
        let expected = format!("it is for `{arch}`, this library for `{}`", host());
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    let all = Features::ALL
        .iter()
        .filter(|(_, arch, _)| *arch == host())
        .fold(Features::NONE, |all, f| all.with(f.0));
    let present = far_kernels::cpu::detect();
    match Model::from_bytes(&small().artifact_for(host(), all)) {
        Ok(_) => assert!(present.contains(all)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Features);
            assert!(
                error.to_string().contains(&format!("missing `{}`", all.missing_from(present))),
                "{error}"
            );
        }
    }
}

#[test]
fn wrong_buffers_are_errors_and_nothing_is_written() {
    let mut session = session(1);
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let (mut a, mut b) = (vec![7.0; 64 * 80], vec![7.0; 64 * 80]);
    let error = session.run(&[&x], &mut [&mut a, &mut b]).unwrap_err();
    assert_eq!(error.to_string(), "wrong number of inputs: expected `2`, got `1`");
    let error = session.run(&[&x, &y], &mut [&mut a]).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::PortCount, "wrong number of outputs: expected `2`, got `1`")
    );
    let error = session.run(&[&x, &y[1..]], &mut [&mut a, &mut b]).unwrap_err();
    assert_eq!(error.to_string(), "input `1` (`in1`): expected `5120` f32 elements, got `5119`");
    let error = session.run(&[&x, &y], &mut [&mut a[..0], &mut b]).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::PortLength, "output `0` (`out0`): expected `5120` f32 elements, got `0`")
    );
    assert!(a.iter().chain(&b).all(|value| *value == 7.0));
    session.run(&[&x, &y], &mut [&mut a, &mut b]).unwrap();
    assert!(a.iter().chain(&b).all(|value| *value != 7.0));
}

#[test]
fn options() {
    let model = small().model();
    let new = |options: &SessionOptions| Session::new(Counted::clone(&model), options);
    let threads = |threads| SessionOptions { threads, ..SessionOptions::default() };
    assert_eq!(new(&threads(1)).unwrap().threads(), 1);
    assert_eq!(new(&threads(3)).unwrap().threads(), 3);
    // No step of this model can be cut into so many tasks.
    assert!(new(&threads(MAX_THREADS)).unwrap().threads() < MAX_THREADS);
    let error = new(&threads(MAX_THREADS + 1)).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Option, "threads: expected at most `256`, got `257`")
    );
    let foreign = Isa::ALL.into_iter().find(|isa| isa.arch().is_some_and(|arch| arch != host()));
    let error = new(&SessionOptions { isa: foreign, ..SessionOptions::default() }).unwrap_err();
    assert!(matches!(error, Error::Isa { .. }) && error.kind() == ErrorKind::Option);
}

#[test]
fn it_says_what_runs() {
    let options =
        SessionOptions { threads: 2, isa: Some(Isa::Scalar), profile: true, ..SessionOptions::default() };
    let mut session = Session::new(small().model(), &options).unwrap();
    assert_eq!(session.isa(), Isa::Scalar);
    let kernels = session.kernels();
    assert!(kernels.len() == 2 && kernels[0].starts_with("gemm_f32_") && kernels[0].ends_with("_scalar"));
    assert_eq!(kernels[1], "add_f32_scalar");
    assert!(session.memory_bytes() >= session.model().plan().arena_bytes as usize);

    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    for _ in 0..3 {
        run(&mut session, &[&x, &y]);
    }
    let profile = session.profile().unwrap();
    assert_eq!((profile.runs(), profile.steps().len()), (3, 3));
    assert!(profile.steps().iter().all(|time| !time.is_zero()));
    session.reset_profile();
    assert!(session.profile().unwrap().steps().iter().all(|time| time.is_zero()));
    assert!(self::session(1).profile().is_none());
}

#[test]
fn a_model_is_shared_and_sessions_move() {
    let model = small().model();
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let expected = run(&mut session(1), &[&x, &y]);
    thread::scope(|scope| {
        for threads in [1, 2, 3] {
            let mut session = Session::new(
                Counted::clone(&model),
                &SessionOptions { threads, ..SessionOptions::default() },
            )
            .unwrap();
            let (x, y, expected) = (&x, &y, &expected);
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(&run(&mut session, &[x, y]), expected);
                }
            });
        }
    });
}

/// Memory as a caller lends it: `len` elements from a cache line on, none of them zero.
fn lent(len: usize) -> &'static mut [f32] {
    let memory: &'static mut [f32] = Box::leak(vec![7.0; len + 16].into_boxed_slice());
    let start = memory.as_ptr().align_offset(64);
    &mut memory[start..][..len]
}

#[test]
fn a_callers_memory_is_all_that_is_needed() {
    let model = small().model();
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let expected = run(&mut session(1), &[&x, &y]);
    for threads in [1, 3] {
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let bytes = Session::memory_size(Counted::clone(&model), &options).unwrap();
        assert!(bytes >= 64 * 80 * 4 && bytes.is_multiple_of(64), "{bytes}");
        let mut session = Session::new_in(Counted::clone(&model), &options, lent(bytes / 4)).unwrap();
        assert_eq!(run(&mut session, &[&x, &y]), expected);
        assert!(session.memory_bytes() <= bytes);
        let error = Session::new_in(Counted::clone(&model), &options, lent(bytes / 4 - 1)).unwrap_err();
        let expected = format!("session's memory: expected at least `{bytes}` bytes, got `{}`", bytes - 4);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::MemorySize, expected));
        let error =
            Session::new_in(Counted::clone(&model), &options, &mut lent(bytes / 4 + 1)[1..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Alignment);
    }
}

/// Cancels whenever it is used, while it holds something to cancel.
#[derive(Debug, Default)]
struct Canceller(Mutex<Option<Cancel>>);

impl Pool for Canceller {
    fn run(&self, count: usize, lane: &(dyn Fn(usize) + Sync)) {
        if let Some(cancel) = &*self.0.lock().unwrap() {
            assert!(cancel.cancel(), "a run is in progress");
        }
        (0..count).for_each(lane);
    }
}

#[test]
fn a_run_ends_where_it_is_cancelled_and_the_session_goes_on() {
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let canceller = Counted::new(Canceller::default()).unwrap();
    let options = SessionOptions {
        threads: 3,
        pool: Some(canceller.clone().into()),
        profile: true,
        ..SessionOptions::default()
    };
    let mut session = Session::new(small().model(), &options).unwrap();
    assert_eq!(session.threads(), 3);
    assert!(!session.cancel().cancel(), "no run is in progress");
    let expected = run(&mut session, &[&x, &y]);
    assert_eq!(expected, run(&mut self::session(1), &[&x, &y]));

    *canceller.0.lock().unwrap() = Some(session.cancel().clone());
    let (mut a, mut b) = (vec![7.0; 64 * 80], vec![7.0; 64 * 80]);
    let error = session.run(&[&x, &y], &mut [&mut a, &mut b]).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Cancelled, "the run was cancelled"));
    assert!(b.iter().all(|value| *value == 7.0), "steps after the cancelled one ran");
    assert_eq!(session.profile().unwrap().runs(), 1);
    // A call that is refused is no run.
    assert_eq!(session.run(&[&x], &mut [&mut a, &mut b]).unwrap_err().kind(), ErrorKind::PortCount);

    *canceller.0.lock().unwrap() = None;
    assert!(!session.cancel().cancel());
    assert_eq!(run(&mut session, &[&x, &y]), expected);
}

#[test]
fn runs_are_cancelled_from_other_threads() {
    let mut session = session(2);
    let cancel = session.cancel().clone();
    let (x, y) = (noise(2, 64 * 48), noise(3, 64 * 80));
    let expected = run(&mut self::session(1), &[&x, &y]);
    let (mut a, mut b) = (vec![0.0; 64 * 80], vec![0.0; 64 * 80]);
    let found = thread::scope(|scope| {
        // Whoever finds a run ends it, and that run only.
        let found = scope.spawn(move || {
            (0..100)
                .filter(|_| {
                    thread::yield_now();
                    while !cancel.cancel() {
                        thread::yield_now();
                    }
                    true
                })
                .count()
        });
        let mut cancelled = 0;
        while !found.is_finished() {
            match session.run(&[&x, &y], &mut [&mut a, &mut b]) {
                Ok(()) => assert_eq!((&a, &b), (&expected[0], &expected[1])),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Cancelled);
                    cancelled += 1;
                }
            }
        }
        assert!(cancelled > 0);
        found.join().unwrap()
    });
    assert_eq!(found, 100);
    assert_eq!(run(&mut session, &[&x, &y]), expected);
}

#[test]
fn cpus_and_a_pool_exclude_each_other() {
    let new = |options: SessionOptions| Session::new(small().model(), &options);
    let pool: Option<Counted<dyn Pool>> = Some(Counted::new(Canceller::default()).unwrap().into());
    let error = new(SessionOptions { cpus: vec![0], pool, ..SessionOptions::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Option);
    let error = new(SessionOptions { cpus: vec![0], threads: 2, ..SessionOptions::default() }).unwrap_err();
    assert!(matches!(error, Error::Cpus { expected: 2, found: 1 }), "{error}");
    let error = new(SessionOptions { cpus: vec![1 << 20], ..SessionOptions::default() }).unwrap_err();
    assert!(matches!(error, Error::Cpu { cpu: 1048576, .. }), "{error}");
    let session = new(SessionOptions { cpus: vec![0], ..SessionOptions::default() }).unwrap();
    assert_eq!(session.threads(), 1);
}
