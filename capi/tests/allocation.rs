//! A run through the C interface allocates nothing, whatever its inputs, and neither does any question; a session in the caller's
//! memory allocates little.
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "an allocator that counts, and calls of the C interface"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{A, B, NARROW, WIDE, input, mask, output, words};
use far::*;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Bytes that are allocated now.
static BYTES: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(size.wrapping_sub(layout.size()), Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn runs_allocate_nothing() {
    calls_of_any_size_allocate_nothing();
    a_session_in_the_callers_memory_allocates_little();
    let bytes = common::artifact();
    for threads in [1, 2] {
        let options = far_session_options { threads, ..common::session_options() };
        let (mut model, mut session) = (null_mut(), null_mut());
        unsafe {
            assert_eq!(far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model), FAR_OK);
            assert_eq!(far_session_new(model, &options, &mut session), FAR_OK);
        }
        let (mut sum, mut features) = ([0.0; WIDE], [0.0; NARROW]);
        let named = far_input { name: c"b".as_ptr(), ..input(&B) };
        let (inputs, outputs) = ([input(&A), named], [output(&mut sum), output(&mut features)]);
        let refused = [far_input { size: 1, ..input(&A) }, named];

        // A session's very first run counts as well.
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..3 {
            let status = unsafe { far_session_run(session, inputs.as_ptr(), 2, outputs.as_ptr(), 2) };
            assert_eq!(status, FAR_OK);
            let status = unsafe { far_session_run(session, refused.as_ptr(), 2, outputs.as_ptr(), 2) };
            assert_eq!(status, FAR_ERROR_SIZE);
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "allocations with {threads} threads");
        unsafe {
            far_session_free(session);
            far_model_free(model);
        }
    }
}

/// Part of the test above: two tests at once would count each other's.
fn calls_of_any_size_allocate_nothing() {
    let bytes = common::text_artifact();
    let (mut model, mut session) = (null_mut(), null_mut());
    unsafe {
        assert_eq!(far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model), FAR_OK);
        assert_eq!(far_session_new(model, null(), &mut session), FAR_OK);
    }
    let (ids, wrong_ids) = ([1i64, 2, 3, 4, 5, 0], [1i64, 2, 3, 4, 5, 10]);
    let (ones, holes) = ([1i32; 6], [1, 1, 1, 1, 0, 1]);
    let (mut states, mut mean) = ([0.0; 24], [0.0; 12]);
    let run = |ids: &[i64], mask_of: &[i32], dims: &[u64; 2], states: &mut [f32], mean: &mut [f32]| unsafe {
        let (inputs, outputs) = ([words(ids, dims), mask(mask_of, dims)], [output(states), output(mean)]);
        far_session_run(session, inputs.as_ptr(), 2, outputs.as_ptr(), 2)
    };
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for dims in [[2, 3], [1, 6], [3, 2]] {
        let mean = &mut mean[..dims[0] as usize * 4];
        assert_eq!(run(&ids, &ones, &dims, &mut states, mean), FAR_OK);
        assert_eq!(run(&wrong_ids, &ones, &dims, &mut states, mean), FAR_ERROR_TOKEN_ID);
        assert_eq!(run(&ids, &[2; 6], &dims, &mut states, mean), FAR_ERROR_MASK);
        assert_eq!(run(&ids, &ones, &[4, 1], &mut states, mean), FAR_ERROR_SHAPE);
    }
    assert_eq!(run(&ids, &holes, &[1, 6], &mut states, &mut mean[..4]), FAR_ERROR_MASK);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    unsafe {
        far_session_free(session);
        far_model_free(model);
    }
}

/// Part of the test above, as well.
fn a_session_in_the_callers_memory_allocates_little() {
    #[repr(align(64))]
    struct Line(#[expect(dead_code, reason = "only its size counts")] [u8; 64]);
    let (bytes, mut model, mut session) = (common::wide_artifact(), null_mut(), null_mut());
    let options = far_session_options { threads: 1, flags: FAR_SESSION_PROFILE, ..common::session_options() };
    let (mut size, mut count) = (0, 0);
    unsafe {
        assert_eq!(far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model), FAR_OK);
        assert_eq!(far_session_memory_size(model, &options, &mut size), FAR_OK);
    }
    let mut memory: Vec<Line> = (0..size / 64).map(|_| Line([0; 64])).collect();
    let before = BYTES.load(Ordering::Relaxed);
    let status =
        unsafe { far_session_new_in(model, &options, memory.as_mut_ptr().cast(), size, &mut session) };
    assert_eq!(status, FAR_OK);
    let kept = BYTES.load(Ordering::Relaxed) - before;
    assert!(kept < 8 << 10 && kept < size / 4, "{kept} bytes besides the {size} of the caller's");

    let (x, mut y) = ([0.5; common::SIDE * common::SIDE], [0.0; common::SIDE * common::SIDE]);
    let (inputs, outputs) = ([input(&x)], [output(&mut y)]);
    let mut step = far_step_profile {
        struct_size: size_of::<far_step_profile>(),
        name: null(),
        op: null(),
        kernel: null(),
        precision: 0,
        reserved: 0,
        runs: 0,
        nanoseconds: 0,
    };
    let (mut names, mut about, mut bits) = (null(), null(), 0);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    unsafe {
        assert_eq!(far_session_run(session, inputs.as_ptr(), 1, outputs.as_ptr(), 1), FAR_OK);
        assert_eq!(far_session_profile(session, 1, &mut step), FAR_OK);
        assert_eq!(far_session_profile_reset(session), FAR_OK);
        assert_eq!(far_session_cancel(session), FAR_OK);
        assert_eq!(far_session_kernels(session, &mut names, &mut count), FAR_OK);
        assert_eq!(far_session_step_count(session, &mut count), FAR_OK);
        assert_eq!(far_model_name(model, &mut about), FAR_OK);
        assert_eq!(far_model_precisions(model, &mut bits, &mut about), FAR_OK);
        assert_eq!(far_model_labels(model, null_mut(), &mut names, &mut count), FAR_OK);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    unsafe {
        far_session_free(session);
        far_model_free(model);
    }
}
