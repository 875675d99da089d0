//! How much of the memory a run's kernels are given. May import: the crate's tests' models.

use std::cell::Cell;

use crate::test::{Call, Text};
use crate::{Session, SessionOptions};

thread_local! {
    /// Elements of the views that tasks of this thread had.
    static TOUCHED: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn touch(elements: usize) {
    TOUCHED.set(TOUCHED.get() + elements);
}

/// A session of one thread runs everything on its caller's.
fn touched(session: &mut Session, tokens: usize) -> usize {
    TOUCHED.set(0);
    Call::new(tokens, &[tokens]).run(session);
    TOUCHED.get()
}

#[test]
fn a_run_of_an_eighth_of_the_tokens_is_an_eighth_of_the_work() {
    let model = Text::varying(128, None).plan().model();
    let options = SessionOptions { threads: 1, ..SessionOptions::default() };
    let mut session = Session::new(model, &options).unwrap();
    let [one, two, few, all] = [1, 2, 16, 128].map(|tokens| touched(&mut session, tokens));
    // What a token takes, and what a run takes whatever its tokens.
    let (token, run) = (two - one, one - (two - one));
    assert!(token > 0 && run < token, "{run} elements for a run, {token} for a token");
    assert_eq!(few, run + 16 * token);
    assert_eq!(all, run + 128 * token);
}
