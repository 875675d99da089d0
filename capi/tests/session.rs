//! Running sessions through the C interface, and every way in which a run is refused.
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "calls of the C interface, with live handles and memory"
)]

mod common;

use std::ptr::{null, null_mut};

use common::{A, B, NARROW, WIDE, input, last_error, output, session_options as options, text};
use far::*;
use far_kernels::{Kernels, Precision};

const UNWRITTEN: f32 = -12345.0;

/// A model and a session that end with the test.
struct Fixture {
    model: *mut far_model,
    session: *mut far_session,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(null()).unwrap()
    }

    fn with(options: *const far_session_options) -> Result<Fixture, far_status> {
        let bytes = common::artifact();
        let (mut model, mut session) = (null_mut(), null_mut());
        unsafe {
            assert_eq!(far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model), FAR_OK);
            match far_session_new(model, options, &mut session) {
                FAR_OK => Ok(Fixture { model, session }),
                status => {
                    assert!(session.is_null(), "a failed call wrote its result");
                    far_model_free(model);
                    Err(status)
                }
            }
        }
    }

    fn run(&self, inputs: &[far_input], outputs: &[far_output]) -> far_status {
        unsafe {
            far_session_run(self.session, inputs.as_ptr(), inputs.len(), outputs.as_ptr(), outputs.len())
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        unsafe {
            far_session_free(self.session);
            far_model_free(self.model);
        }
    }
}

#[test]
fn runs_by_position() {
    let fixture = Fixture::new();
    for factor in [1.0, 2.0] {
        let a = A.map(|x| x * factor);
        let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
        let status = fixture.run(&[input(&a), input(&B)], &[output(&mut sum), output(&mut features)]);
        assert_eq!(status, FAR_OK, "{}", last_error());
        assert_eq!(sum.to_vec(), common::sum(&a, &B));
        assert_eq!(features.to_vec(), common::features(&a));
    }
}

#[test]
fn runs_by_name_in_any_order_and_with_dims() {
    let fixture = Fixture::new();
    let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
    let dims = [1, 2, 4];
    let a = far_input { name: c"a".as_ptr(), rank: 3, dims: dims.as_ptr(), ..input(&A) };
    let b = far_input { name: c"b".as_ptr(), rank: 2, dims: dims[1..].as_ptr(), ..input(&B) };
    let sum_out = far_output { name: c"sum".as_ptr(), ..output(&mut sum) };
    let features_out = far_output { name: c"features".as_ptr(), ..output(&mut features) };
    assert_eq!(fixture.run(&[b, a], &[features_out, sum_out]), FAR_OK, "{}", last_error());
    assert_eq!(sum.to_vec(), common::sum(&A, &B));
    assert_eq!(features.to_vec(), common::features(&A));
}

/// Changes one thing of a good call, which must then be refused without a byte written.
fn refused(expected: far_status, change: impl FnOnce(&mut [far_input; 2], &mut [far_output; 2])) -> String {
    let fixture = Fixture::new();
    let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
    let (mut inputs, mut outputs) = ([input(&A), input(&B)], [output(&mut sum), output(&mut features)]);
    change(&mut inputs, &mut outputs);
    assert_eq!(fixture.run(&inputs, &outputs), expected, "{}", last_error());
    assert_eq!((sum, features), ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]), "a refused run wrote");
    let message = last_error();
    // The session is as good as before.
    let status = fixture.run(&[input(&A), input(&B)], &[output(&mut sum), output(&mut features)]);
    assert_eq!(status, FAR_OK, "{}", last_error());
    message
}

#[test]
fn wrong_tensors_are_refused() {
    let message = refused(FAR_ERROR_SIZE, |_, outputs| outputs[1].size += 4);
    assert_eq!(message, "output `features`: expected `24` bytes (f32 of `[2, 3]`), got `28`");
    refused(FAR_ERROR_SIZE, |inputs, _| inputs[0].size -= 4);
    refused(FAR_ERROR_SIZE, |inputs, _| inputs[0].size = 0);
    refused(FAR_ERROR_SIZE, |inputs, _| inputs[0].size = usize::MAX);
    refused(FAR_ERROR_DTYPE, |inputs, _| inputs[0].dtype = 0);
    refused(FAR_ERROR_DTYPE, |_, outputs| outputs[0].dtype = 7);
    refused(FAR_ERROR_NULL_POINTER, |inputs, _| inputs[1].data = null());
    refused(FAR_ERROR_NULL_POINTER, |_, outputs| outputs[1].data = null_mut());
    refused(FAR_ERROR_NULL_POINTER, |inputs, _| inputs[1].rank = 2);
    refused(FAR_ERROR_ALIGNMENT, |inputs, _| inputs[1].data = inputs[1].data.wrapping_byte_add(1));
    refused(FAR_ERROR_ALIGNMENT, |_, outputs| outputs[1].data = outputs[1].data.wrapping_byte_add(2));
    refused(FAR_ERROR_STRUCT_SIZE, |inputs, _| inputs[0].struct_size = 0);
    refused(FAR_ERROR_STRUCT_SIZE, |inputs, _| inputs[1].struct_size = 40);
    refused(FAR_ERROR_STRUCT_SIZE, |_, outputs| outputs[1].struct_size = 56);
}

#[test]
fn wrong_shapes_are_refused() {
    let transposed = [4u64, 2];
    let message = refused(FAR_ERROR_SHAPE, |_, outputs| {
        (outputs[0].rank, outputs[0].dims) = (2, transposed.as_ptr());
    });
    assert_eq!(message, "output `sum`: expected dimensions `[2, 4]`, got `4` as number 0");
    refused(FAR_ERROR_SHAPE, |inputs, _| (inputs[0].rank, inputs[0].dims) = (2, transposed.as_ptr()));
    refused(FAR_ERROR_SHAPE, |inputs, _| (inputs[0].rank, inputs[0].dims) = (u32::MAX, transposed.as_ptr()));
    refused(FAR_ERROR_SHAPE, |inputs, _| inputs[0].dims = transposed.as_ptr());
}

#[test]
fn wrong_names_are_refused() {
    let message = refused(FAR_ERROR_NAME, |inputs, _| inputs[0].name = c"c".as_ptr());
    assert_eq!(message, "the model has no input `c`, it has `a`, `b`");
    refused(FAR_ERROR_NAME, |inputs, _| inputs[0].name = c"sum".as_ptr());
    refused(FAR_ERROR_NAME, |inputs, _| inputs[0].name = c"".as_ptr());
    refused(FAR_ERROR_NAME, |inputs, _| inputs[0].name = c"\xff\x01".as_ptr());
    // The second one is `b` by its position.
    let message = refused(FAR_ERROR_NAME, |inputs, _| inputs[0].name = c"b".as_ptr());
    assert_eq!(message, "input `b` is given twice, the second time as number 1");
}

#[test]
fn overlapping_memory_is_refused() {
    refused(FAR_ERROR_OVERLAP, |inputs, outputs| outputs[0].data = inputs[0].data.cast_mut());
    refused(FAR_ERROR_OVERLAP, |inputs, outputs| inputs[1].data = outputs[0].data);
    refused(FAR_ERROR_OVERLAP, |_, outputs| outputs[1].data = outputs[0].data);
    refused(FAR_ERROR_OVERLAP, |_, outputs| {
        outputs[1].data = outputs[0].data.wrapping_byte_add(outputs[0].size - 4);
    });
    // Inputs are only read and may share memory.
    let fixture = Fixture::new();
    let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
    let status = fixture.run(&[input(&A), input(&A)], &[output(&mut sum), output(&mut features)]);
    assert_eq!((status, sum.to_vec()), (FAR_OK, common::sum(&A, &A)));
}

#[test]
fn neighbours_do_not_overlap() {
    let fixture = Fixture::new();
    let mut memory = [UNWRITTEN; 2 * WIDE + WIDE + NARROW];
    memory[..WIDE].copy_from_slice(&A);
    memory[WIDE..2 * WIDE].copy_from_slice(&B);
    let (inputs, outputs) = memory.split_at_mut(2 * WIDE);
    let (a, b) = inputs.split_at(WIDE);
    let (sum, features) = outputs.split_at_mut(WIDE);
    assert_eq!(
        fixture.run(&[input(a), input(b)], &[output(sum), output(features)]),
        FAR_OK,
        "{}",
        last_error()
    );
    assert_eq!(features.to_vec(), common::features(a));
}

#[test]
fn wrong_counts_and_null_are_refused() {
    let fixture = Fixture::new();
    let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
    let (inputs, outputs) = ([input(&A), input(&B)], [output(&mut sum), output(&mut features)]);
    let (i, o, session) = (inputs.as_ptr(), outputs.as_ptr(), fixture.session);
    unsafe {
        assert_eq!(far_session_run(null_mut(), i, 2, o, 2), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_run(session, null(), 2, o, 2), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_run(session, i, 2, null(), 2), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_run(session, i.wrapping_byte_add(4), 2, o, 2), FAR_ERROR_ALIGNMENT);
        for count in [0, 1, 3, usize::MAX] {
            assert_eq!(far_session_run(session, i, count, o, 2), FAR_ERROR_COUNT);
            assert_eq!(far_session_run(session, i, 2, o, count), FAR_ERROR_COUNT);
        }
        assert_eq!(far_session_run(session, null(), 0, null(), 0), FAR_ERROR_COUNT);

        let (mut other, mut names, mut count, mut bytes) = (null_mut(), null(), 0, 0);
        assert_eq!(far_session_new(null(), null(), &mut other), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_new(fixture.model, null(), null_mut()), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_kernels(null(), &mut names, &mut count), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_kernels(session, null_mut(), &mut count), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_kernels(session, &mut names, null_mut()), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_threads(null(), &mut count), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_threads(session, null_mut()), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_memory_used(null(), &mut bytes), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_session_memory_used(session, null_mut()), FAR_ERROR_NULL_POINTER);
        assert_eq!((other, names, count, bytes), (null_mut(), null(), 0, 0));
        far_session_free(null_mut());
    }
    assert_eq!((sum, features), ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]));
}

#[test]
fn larger_structs_are_read_at_their_own_stride() {
    #[repr(C)]
    struct Newer<T> {
        known: T,
        unknown: u64,
    }
    let fixture = Fixture::new();
    let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
    let outputs = [output(&mut sum), output(&mut features)];
    let run = |unknown| {
        let newer = [&A, &B].map(|data| Newer {
            known: far_input { struct_size: size_of::<Newer<far_input>>(), ..input(data) },
            unknown,
        });
        unsafe { far_session_run(fixture.session, (&raw const newer).cast(), 2, outputs.as_ptr(), 2) }
    };
    assert_eq!(run(1), FAR_ERROR_STRUCT_SIZE);
    assert_eq!(run(0), FAR_OK, "{}", last_error());
    assert_eq!(sum.to_vec(), common::sum(&A, &B));
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let refuse = |options: far_session_options| Fixture::with(&options).err();
    assert_eq!(refuse(far_session_options { isa: 99, ..options() }), Some(FAR_ERROR_OPTION));
    assert_eq!(refuse(far_session_options { isa: -1, ..options() }), Some(FAR_ERROR_OPTION));
    assert_eq!(refuse(far_session_options { threads: u32::MAX, ..options() }), Some(FAR_ERROR_OPTION));
    assert_eq!(refuse(far_session_options { struct_size: 1, ..options() }), Some(FAR_ERROR_STRUCT_SIZE));
    let foreign = if cfg!(target_arch = "aarch64") { FAR_ISA_RVV } else { FAR_ISA_NEON };
    assert_eq!(refuse(far_session_options { isa: foreign, ..options() }), Some(FAR_ERROR_OPTION));
}

fn kernels(fixture: &Fixture) -> Vec<String> {
    let (mut names, mut count) = (null(), 0);
    assert_eq!(unsafe { far_session_kernels(fixture.session, &mut names, &mut count) }, FAR_OK);
    (0..count).map(|i| text(unsafe { *names.add(i) })).collect()
}

#[test]
fn kernels_are_the_best_of_the_machine_unless_limited() {
    if std::env::var_os("FAR_ISA").is_some() {
        return; // limited from outside
    }
    let best = Kernels::best();
    let expected = [best.add().name(), best.map().name(), best.gemm(Precision::F32).name()];
    assert_eq!(kernels(&Fixture::new()), expected);

    let scalar = far_session_options { isa: FAR_ISA_SCALAR, ..options() };
    let names = kernels(&Fixture::with(&scalar).unwrap());
    assert!(names.iter().all(|name| name.ends_with("scalar")), "{names:?}");
}

#[test]
fn says_what_it_takes() {
    let fixture = Fixture::with(&far_session_options { threads: 1, ..options() }).unwrap();
    let (mut threads, mut bytes) = (0, 0);
    unsafe {
        assert_eq!(far_session_threads(fixture.session, &mut threads), FAR_OK);
        assert_eq!(far_session_memory_used(fixture.session, &mut bytes), FAR_OK);
    }
    assert_eq!(threads, 1);
    assert!((64..1 << 20).contains(&bytes), "{bytes} bytes");
}

#[test]
fn sessions_of_one_model_run_in_many_threads() {
    let fixture = Fixture::new();
    let model = fixture.model.expose_provenance();
    std::thread::scope(|scope| {
        for worker in 0..4u8 {
            scope.spawn(move || {
                let model = std::ptr::with_exposed_provenance_mut(model);
                let mut session = null_mut();
                assert_eq!(unsafe { far_session_new(model, null(), &mut session) }, FAR_OK);
                let fixture = Fixture { model: null_mut(), session };
                let a = A.map(|x| x + f32::from(worker));
                for _ in 0..100 {
                    let (mut sum, mut features) = ([UNWRITTEN; WIDE], [UNWRITTEN; NARROW]);
                    let status =
                        fixture.run(&[input(&a), input(&B)], &[output(&mut sum), output(&mut features)]);
                    assert_eq!(status, FAR_OK, "{}", last_error());
                    assert_eq!(
                        (sum.to_vec(), features.to_vec()),
                        (common::sum(&a, &B), common::features(&a))
                    );
                }
            });
        }
    });
}
