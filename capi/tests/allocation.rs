//! A run through the C interface allocates nothing, whatever its inputs.
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

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn runs_allocate_nothing() {
    calls_of_any_size_allocate_nothing();
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
