//! `run` allocates nothing, on no thread.
#![allow(unsafe_code)] // an allocator is unsafe by its trait

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Builder, Call, Text, noise};
use far_engine::{Dtype, Extent, Input, Session, SessionOptions};
use far_format::layout::{Activation, Precision, attention_work_bytes, lstm_weight_len, panels_len};
use far_format::plan::{Attention, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, StepOp};
use far_kernels::pack::HOST;

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The fewest calls of the allocator in one of some repetitions. Others may call it meanwhile: threads while they start, and the
/// tests' own main thread when it says that one takes long. What `work` itself allocates is there each time.
fn fewest_calls(mut work: impl FnMut()) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..5 {
        let before = CALLS.load(Ordering::SeqCst);
        work();
        fewest = fewest.min(CALLS.load(Ordering::SeqCst) - before);
        if fewest == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    fewest
}

#[test]
fn run_allocates_nothing() {
    let (tokens, cols, heads, hidden) = (60, 64, 2, 32);
    let mut b = Builder::new();
    let (x, y, out) = (b.input(tokens, cols), b.arena(tokens, cols), b.output(1, cols));
    let (gates, z) = (b.arena(tokens, 8 * hidden), b.arena(tokens, cols));
    let work = b.work(attention_work_bytes(tokens, heads, cols / heads));
    let weights = b.weights(&noise(1, panels_len(cols, 8 * hidden)));
    let recurrent = b.weights(&noise(2, lstm_weight_len(Precision::F32, HOST, hidden)));
    let n = 8 * hidden as u32;
    b.step(StepOp::LayerNorm(LayerNorm { x, out: y, eps: 1e-6, affine: None }));
    b.step(StepOp::Attention(Attention { q: y, k: y, v: y, out: z, heads: heads as u32, scale: 0.2, work }));
    b.step(StepOp::Add { a: z, b: y, out: z });
    let groups = vec![GemmGroup { a_col: 0, k: cols as u32, out_col: 0, n, weights }];
    b.step(StepOp::Gemm(Gemm {
        a: z,
        out: gates,
        residual: None,
        act: Activation::None,
        precision: Precision::F32,
        groups,
    }));
    let unit = |i: u32| LstmUnit {
        gate_col: i * n / 2,
        hidden: 32,
        out_col: i * 32,
        reverse: i == 1,
        weights: recurrent,
    };
    b.step(StepOp::Lstm(Lstm { gates, out: y, precision: Precision::F32, units: vec![unit(0), unit(1)] }));
    b.step(StepOp::Map { act: Activation::Gelu, x: y, out: y });
    b.step(StepOp::MeanRows { x: y, out });

    let input = noise(3, tokens * cols);
    let mut output = vec![0.0; cols];
    for threads in [1, 3] {
        for profile in [false, true] {
            let options = SessionOptions { threads, profile, ..SessionOptions::default() };
            let mut session = Session::new(b.model(), &options).unwrap();
            let calls = fewest_calls(|| {
                for _ in 0..20 {
                    session.run(&[&input], &mut [&mut output]).unwrap();
                }
            });
            assert_eq!(calls, 0, "{threads} threads");
        }
    }
    runs_of_any_extent_allocate_nothing();
    assert!(CALLS.load(Ordering::SeqCst) > 100, "the allocator counts");
}

/// Part of the test above: two tests at once would count each other's.
fn runs_of_any_extent_allocate_nothing() {
    let model = Text::varying(100, Some(Dtype::I64)).plan().model();
    for threads in [1, 3] {
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let mut session = Session::new(model.clone(), &options).unwrap();
        let calls = [Call::new(100, &[100, 31, 1]), Call::new(12, &[12]), Call::new(7, &[3; 5])];
        let masks = calls.each_ref().map(Call::mask);
        let mut outputs = calls.each_ref().map(|call| call.outputs(&session));
        let mut slices = outputs.each_mut().map(|o| o.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let allocated = fewest_calls(|| {
            for ((call, mask), outputs) in calls.iter().zip(&masks).zip(&mut slices) {
                let inputs = |words| [Input::I64(words), Input::I32(&call.types), Input::I64(mask)];
                session.run_extent(call.extent, &inputs(&call.words), outputs).unwrap();
                // And neither do calls that are refused for what is in them.
                let wrong = [
                    session.run_extent(call.extent, &inputs(mask), &mut outputs[..0]),
                    session.run_extent(Extent { tokens: 101, ..call.extent }, &inputs(&call.words), outputs),
                    session.run_extent(
                        call.extent,
                        &[Input::I64(&call.words), Input::I32(&call.types), Input::I64(&call.words)],
                        outputs,
                    ),
                ];
                assert!(wrong.iter().all(Result::is_err));
            }
        });
        assert_eq!(allocated, 0, "{threads} threads");
    }
}
