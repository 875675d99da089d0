//! What only the inside of a session shows. May import: the session.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::ffi::Versioned;
use crate::status::{FAR_ERROR_BUSY, FAR_ERROR_POISONED, FAR_OK};
use crate::test::{A, B, NARROW, WIDE, input, last_error, output};

fn session() -> far_session {
    let model = far_engine::Model::from_bytes(&crate::test::artifact()).unwrap();
    let model = far_model::new(model).unwrap().share();
    // SAFETY: the default options have no pointers.
    unsafe { far_session::new(model, &far_session_options::DEFAULT, None, Logger::NONE) }.unwrap()
}

fn run(session: &mut far_session) -> far_status {
    let (mut sum, mut features) = ([0.0; WIDE], [0.0; NARROW]);
    let (inputs, outputs) = ([input(&A), input(&B)], [output(&mut sum), output(&mut features)]);
    // SAFETY: memory of this function.
    unsafe { far_session_run(session, inputs.as_ptr(), 2, outputs.as_ptr(), 2) }
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let mut session = session();
    let handle: *mut far_session = &mut session;
    // SAFETY: only shared references are made of the handle.
    let other = unsafe { &*handle }.running.lock().unwrap();
    // SAFETY: NULL is refused later than the lock.
    let status = unsafe { far_session_run(handle, std::ptr::null(), 0, std::ptr::null(), 0) };
    assert_eq!(status, FAR_ERROR_BUSY);
    drop(other);
    assert_eq!(run(&mut session), FAR_OK);
}

#[test]
fn a_session_that_panicked_is_poisoned() {
    let mut session = session();
    assert_eq!(run(&mut session), FAR_OK);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _running = session.running.lock().unwrap();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    assert_eq!(run(&mut session), FAR_ERROR_POISONED);
}

#[test]
fn a_session_whose_step_panicked_is_poisoned() {
    let mut session = session();
    let panicked = far_engine::Error::Panicked { step: "linear".to_string() };
    let failure = session.running.lock().unwrap().conclude(Err(panicked)).unwrap_err();
    assert_eq!(failure.status(), FAR_ERROR_INTERNAL);
    assert!(last_error().contains("`linear`"), "{}", last_error());
    assert_eq!(run(&mut session), FAR_ERROR_POISONED);
}

#[test]
fn capacity_is_recycled() {
    let vec: Vec<&'static [f32]> = Vec::with_capacity(5);
    let (memory, capacity) = (vec.as_ptr().addr(), vec.capacity());
    let recycled: Vec<&[f32]> = recycle(vec);
    assert_eq!((recycled.as_ptr().addr(), recycled.capacity()), (memory, capacity));
}
