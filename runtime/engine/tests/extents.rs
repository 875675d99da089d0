//! Calls of any number of elements and tokens: bit for bit what a plan for just that gives.

mod common;

use common::{Builder, COLS, Call, Text, VOCAB, noise};
use far_engine::{Axis, Counted, Dtype, Error, ErrorKind, Extent, Input, Model, Session, SessionOptions};
use far_format::layout::Precision;
use far_format::plan::{Batch, Dim, Embed, Place, Port, StepOp};
use far_kernels::Kernels;

const MOST: usize = 100;

fn session(model: &Counted<Model>, threads: usize) -> Session {
    let options = SessionOptions { threads, ..SessionOptions::default() };
    Session::new(Counted::clone(model), &options).unwrap()
}

fn bits(outputs: &[Vec<f32>]) -> Vec<Vec<u32>> {
    outputs.iter().map(|output| output.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn fewer_tokens_give_what_a_plan_for_them_gives() {
    let varying = Text::varying(MOST, None).plan().model();
    let mut sessions: Vec<Session> = (1..=4).map(|threads| session(&varying, threads)).collect();
    assert!(sessions[3].threads() > 1, "nothing to share");
    // Back and forth, so that what a longer run left is met by a shorter one.
    for tokens in [MOST, 1, 64, 2, 15, 16, 17, 99, 33, 7] {
        let call = Call::new(tokens, &[tokens]);
        let expected = bits(&call.run(&mut session(&Text::fixed(tokens).plan().model(), 1)));
        for (threads, session) in (1..).zip(&mut sessions) {
            let found = bits(&call.run(session));
            assert_eq!(found, expected, "{tokens} tokens, {threads} threads");
        }
    }
}

#[test]
fn elements_of_a_padded_batch_give_what_they_give_alone() {
    for mask in [Dtype::I32, Dtype::I64] {
        let model = Text::varying(MOST, Some(mask)).plan().model();
        for (tokens, lengths) in
            [(40, &[40, 3, 1, 17][..]), (MOST, &[1, MOST, 64]), (9, &[2]), (1, &[1, 1, 1, 1, 1])]
        {
            let call = Call::new(tokens, lengths);
            for threads in 1..=4 {
                let mut session = session(&model, threads);
                let found = call.run(&mut session);
                for (i, own) in lengths.iter().enumerate() {
                    let alone = call.alone(i).run(&mut session);
                    let what = format!("element {i} of {lengths:?} of {tokens}, {threads} threads");
                    let (states, padding) =
                        found[0][i * tokens * COLS..][..tokens * COLS].split_at(own * COLS);
                    assert_eq!(bits(&[states.into()]), bits(&alone[..1]), "{what}");
                    assert!(padding.iter().all(|x| x.to_bits() == 0), "{what}");
                    for (found, alone) in found.iter().zip(&alone).skip(1) {
                        assert_eq!(
                            bits(&[found[i * alone.len()..][..alone.len()].into()]),
                            bits(std::slice::from_ref(alone)),
                            "{what}"
                        );
                    }
                }
            }
        }
    }
}

/// Steps over single rows, of enough tokens for several threads.
#[test]
fn rows_are_shared_whatever_their_number() {
    let (most, cols, vocab) = (1000, 256, 20);
    let mut b = Builder::new();
    (b.plan.tokens, b.plan.lengths) = (most as u32, None);
    let dims = |inner: &[Dim]| [&[Dim::Tokens], inner].concat();
    b.plan.inputs.push(Port { name: "ids".into(), dtype: Dtype::I32, dims: dims(&[]) });
    b.plan.outputs.push(Port {
        name: "sums".into(),
        dtype: Dtype::F32,
        dims: dims(&[Dim::Fixed(cols as u32)]),
    });
    let (table, positions) = (noise(1, vocab * cols), noise(2, most * cols));
    let (words, places) = (b.weights(&table), b.weights(&positions));
    let arena = b.work(4 * most * cols);
    let [x, out, places] = [Place::Arena(arena), Place::Output(0), Place::Weights(places)].map(|place| {
        let operand = b.tensor(place, most, cols, cols);
        b.plan.tensors.last_mut().unwrap().tokens = true;
        operand
    });
    b.step(StepOp::Embed(Embed {
        input: 0,
        table: words,
        vocab: vocab as u32,
        precision: Precision::F32,
        out: x,
    }));
    b.step(StepOp::Add { a: x, b: places, out: x });
    b.step(StepOp::Copy { x, out });

    let model = b.model();
    let ids: Vec<i32> = (0..most as i32).map(|i| i * 7 % vocab as i32).collect();
    for threads in 1..=4 {
        let mut session = session(&model, threads);
        assert_eq!(session.threads(), threads);
        for tokens in [most, 1, 999, 600, 513, 3] {
            let mut found = vec![f32::NAN; tokens * cols];
            let extent = Extent { batch: 1, tokens };
            session.run_extent(extent, &[Input::I32(&ids[..tokens])], &mut [&mut found]).unwrap();
            for (t, row) in found.chunks(cols).enumerate() {
                let word = &table[ids[t] as usize * cols..][..cols];
                let sums = word.iter().zip(&positions[t * cols..]).map(|(a, b)| a + b);
                assert!(row.iter().copied().eq(sums), "token {t} of {tokens}, {threads} threads");
            }
        }
    }
}

#[test]
fn a_mask_of_ones_is_none() {
    let call = Call::new(21, &[21, 21]);
    let with = call.run(&mut session(&Text::varying(MOST, Some(Dtype::I64)).plan().model(), 2));
    let without = call.run(&mut session(&Text::varying(MOST, None).plan().model(), 2));
    assert_eq!(bits(&with), bits(&without));
}

/// The bits that every architecture gives, as a sum of FNV-1a over them. They change only with the definition of the
/// numbers.
#[test]
fn every_architecture_gives_these_bits() {
    let model = Text::varying(MOST, Some(Dtype::I64)).plan().model();
    for isa in Kernels::available().map(|kernels| kernels.isa()) {
        let options = SessionOptions { isa: Some(isa), ..SessionOptions::default() };
        let mut session = Session::new(Counted::clone(&model), &options).unwrap();
        let outputs = Call::new(30, &[30, 11]).run(&mut session).concat();
        let bytes = outputs.iter().flat_map(|x| x.to_bits().to_le_bytes());
        let sum = bytes.fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        assert_eq!(sum, 0x4888_1c6b_b9cb_3399, "{isa}");
    }
}

#[test]
fn fixed_batches_and_plain_runs() {
    let mut b = Builder::new();
    let (x, out) = (b.input(2, 3), b.output(2, 3));
    b.step(StepOp::Add { a: x, b: x, out });
    for port in b.plan.inputs.iter_mut().chain(&mut b.plan.outputs) {
        port.dims.insert(0, Dim::Batch);
    }
    b.plan.batch = Batch { most: 4, fixed: true };
    let mut fixed = session(&b.model(), 1);
    let (x, mut out) = (noise(1, 24), vec![0.0; 24]);
    fixed.run(&[&x], &mut [&mut out]).unwrap();
    assert_eq!(out, x.iter().map(|x| x + x).collect::<Vec<f32>>());
    assert_eq!(fixed.model().fixed(), Some(Extent { batch: 4, tokens: 0 }));
    let short = Extent { batch: 3, tokens: 0 };
    let error = fixed.run_extent(short, &[Input::F32(&x[..18])], &mut [&mut out[..18]]).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Extent, "batch: expected `4`, got `3`")
    );

    // Where calls differ, or inputs aren't f32, a plain run doesn't say enough.
    let mut text = session(&Text::varying(MOST, None).plan().model(), 1);
    assert_eq!(text.model().fixed(), None);
    assert!(matches!(text.run(&[], &mut []).unwrap_err(), Error::ExtentUnknown));
    let mut text = session(&Text::fixed(2).plan().model(), 1);
    let floats: &[f32] = &[0.0; 2];
    let (mut a, mut b, mut c) = ([7.0; 2 * COLS], [7.0; COLS], [7.0; 7]);
    let error = text.run(&[floats, floats], &mut [&mut a, &mut b, &mut c]).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::PortType, "input `0` (`words`): expected i64 elements, got f32")
    );
    assert_eq!((a, b, c), ([7.0; 2 * COLS], [7.0; COLS], [7.0; 7]));
}

/// Runs a call that is wrong, which must write nothing, and then one that is right.
fn refusal(change: impl FnOnce(&mut Call, &mut Vec<i64>)) -> (Error, Call) {
    let model = Text::varying(MOST, Some(Dtype::I64)).plan().model();
    let mut session = session(&model, 2);
    let good = Call::new(6, &[6, 2, 4]);
    let (mut bad, mut mask) = (good.clone(), good.mask());
    change(&mut bad, &mut mask);
    let mut outputs = good.outputs(&session);
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let inputs = [Input::I64(&bad.words), Input::I32(&bad.types), Input::I64(&mask)];
    let error = session.run_extent(bad.extent, &inputs, &mut slices).unwrap_err();
    assert!(outputs.iter().flatten().all(|x| x.is_nan()), "a refused call wrote");
    good.run_into(&mut session, &mut outputs).unwrap();
    assert!(outputs.iter().flatten().all(|x| !x.is_nan()));
    (error, bad)
}

#[test]
fn extents_that_cannot_be_are_errors() {
    for (extent, axis, least, most) in [
        (Extent { batch: 0, tokens: 6 }, Axis::Batch, 1, 5),
        (Extent { batch: 6, tokens: 6 }, Axis::Batch, 1, 5),
        (Extent { batch: usize::MAX, tokens: usize::MAX }, Axis::Batch, 1, 5),
        (Extent { batch: 3, tokens: 0 }, Axis::Tokens, 1, MOST),
        (Extent { batch: 3, tokens: MOST + 1 }, Axis::Tokens, 1, MOST),
    ] {
        let (error, _) = refusal(|call, _| call.extent = extent);
        let found = if axis == Axis::Batch { extent.batch } else { extent.tokens };
        assert_eq!(error.to_string(), format!("{axis}: expected `{least}` to `{most}`, got `{found}`"));
        assert_eq!(error.kind(), ErrorKind::Extent);
    }
    // A fixed number of tokens is not the caller's to say.
    let mut fixed = session(&Text::fixed(6).plan().model(), 1);
    let error = fixed.run_extent(
        Extent { batch: 1, tokens: 6 },
        &[Input::I64(&[0; 6]), Input::I32(&[0; 6])],
        &mut [&mut [0.0; 6 * COLS], &mut [0.0; COLS], &mut [0.0; 7]],
    );
    assert_eq!(error.unwrap_err().to_string(), "tokens: expected `0`, got `6`");
}

#[test]
fn ports_that_differ_are_errors() {
    for (extent, expected) in [
        (Extent { batch: 3, tokens: 5 }, "input `0` (`words`): expected `15` i64 elements, got `18`"),
        (Extent { batch: 2, tokens: 6 }, "input `0` (`words`): expected `12` i64 elements, got `18`"),
    ] {
        let (error, _) = refusal(|call, _| call.extent = extent);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::PortLength, expected));
    }
    let (error, _) = refusal(|call, _| call.types.truncate(17));
    assert_eq!(error.to_string(), "input `1` (`types`): expected `18` i32 elements, got `17`");
    let (error, _) = refusal(|_, mask| mask.push(0));
    assert_eq!(error.to_string(), "input `2` (`mask`): expected `18` i64 elements, got `19`");
}

#[test]
fn ids_outside_of_their_table_are_errors() {
    for (id, at) in [(VOCAB as i64, 0), (-1, 13), (i64::MAX, 15), (i64::MIN, 5)] {
        let (error, _) = refusal(|call, _| call.words[at] = id);
        let (element, position) = (at / 6, at % 6);
        let expected = format!(
            "input `words`: element `{element}`, position `{position}`: expected an id below `{VOCAB}`, got `{id}`"
        );
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::TokenId, expected));
    }
    let (error, _) = refusal(|call, _| call.types[7] = 2);
    assert_eq!(
        error.to_string(),
        "input `types`: element `1`, position `1`: expected an id below `2`, got `2`"
    );
    // What is not an element's own is not looked up.
    let model = Text::varying(MOST, Some(Dtype::I64)).plan().model();
    let mut session = session(&model, 1);
    let mut call = Call::new(6, &[6, 2, 4]);
    let expected = bits(&call.run(&mut session));
    call.words[8..12].fill(-100);
    assert_eq!(bits(&call.run(&mut session)), expected);
}

#[test]
fn masks_that_are_none_are_errors() {
    for (at, value, found) in
        [(0, 0, (0, 0, 0)), (6, 0, (1, 0, 0)), (1, 2, (0, 1, 2)), (11, 1, (1, 5, 1)), (14, -1, (2, 2, -1))]
    {
        let (error, _) = refusal(|_, mask| mask[at] = value);
        let (element, position, found) = found;
        let expected = format!(
            "input `mask`: element `{element}`, position `{position}`: expected ones, at least one, then zeros, got \
             `{found}`"
        );
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Mask, expected));
    }
}
