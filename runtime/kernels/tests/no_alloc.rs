//! Kernels don't allocate: every kernel of every set, and every variant, runs under an allocator that counts.
#![allow(unsafe_code)] // a global allocator is unsafe to implement

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{Matrix, Random, gemms, lstms, sets};
use far_format::layout::{gemm_weight_len, lstm_weight_len, padded_hidden};
use far_kernels::pack::HOST;
use far_kernels::{
    Activation, AddArgs, GemmArgs, LayerNormArgs, LstmArgs, MapArgs, SoftmaxArgs, lstm_state_len,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_kernel_allocates() {
    let (m, n, k, hidden) = (29, 37, 11, 24);
    let mut random = Random::new(1);
    let mut matrix = |rows, cols| Matrix::filled(rows, cols, 1, |row| random.fill(row, 1.0));
    let (a, residual, gates) = (matrix(m, k), matrix(m, n), matrix(m, 4 * padded_hidden(hidden)));
    let (mut out, mut states) = (matrix(m, n), matrix(m, hidden));
    for gemm in gemms() {
        let weights = vec![0.5; gemm_weight_len(gemm.precision(), HOST, k, n)];
        let mut scratch = vec![0.0; gemm.scratch_len(m, k)];
        let before = COUNT.get();
        for act in [Activation::None, Activation::Gelu] {
            let (residual, scratch, out) = (Some(residual.view()), &mut scratch[..], out.view_mut());
            gemm.run(GemmArgs { a: a.view(), weights: &weights, act, residual, scratch, out });
        }
        assert_eq!(COUNT.get(), before, "{} allocated", gemm.name());
    }
    for lstm in lstms() {
        let weights = vec![0.1; lstm_weight_len(lstm.precision(), HOST, hidden)];
        let mut state = vec![0.0; lstm_state_len(lstm.precision(), hidden)];
        let before = COUNT.get();
        lstm.run(LstmArgs {
            gates: gates.view(),
            weights: &weights,
            reverse: false,
            state: &mut state,
            out: states.view_mut(),
        });
        assert_eq!(COUNT.get(), before, "{} allocated", lstm.name());
    }
    for set in sets(|k| k.map().name()) {
        let before = COUNT.get();
        let (x, affine) = (residual.view(), None);
        set.layer_norm().run(LayerNormArgs { x, eps: 1e-6, affine, out: out.view_mut() });
        set.softmax().run(SoftmaxArgs { scale: 1.0, x: out.view_mut() });
        set.map().run(MapArgs { act: Activation::Tanh, x, out: out.view_mut() });
        set.add().run(AddArgs { a: x, b: x, out: out.view_mut() });
        assert_eq!(COUNT.get(), before, "kernels of {} allocated", set.isa());
    }
}
