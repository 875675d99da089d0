//! Calls of any number of elements and tokens through the C interface, and every way in which one is refused.
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "calls of the C interface, with live handles and memory"
)]

mod common;

use std::ptr::{null, null_mut};

use common::{COLS, last_error, mask, output, word, words};
use far::*;

const UNWRITTEN: f32 = -12345.0;

/// A session of the text fixture that ends with the test.
struct Text(*mut far_session);

impl Text {
    fn new() -> Text {
        let bytes = common::text_artifact();
        let (mut model, mut session) = (null_mut(), null_mut());
        unsafe {
            assert_eq!(far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model), FAR_OK);
            assert_eq!(far_session_new(model, null(), &mut session), FAR_OK);
            far_model_free(model);
        }
        Text(session)
    }

    fn run(&self, inputs: &[far_input], outputs: &[far_output]) -> far_status {
        unsafe { far_session_run(self.0, inputs.as_ptr(), inputs.len(), outputs.as_ptr(), outputs.len()) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        unsafe { far_session_free(self.0) };
    }
}

const IDS: [i64; 6] = [3, 9, 0, 1, 2, 7];
const ONES: [i32; 6] = [1; 6];

#[test]
fn dims_say_how_large_a_call_is() {
    let text = Text::new();
    for dims in [[1u64, 6], [2, 3], [3, 2], [1, 1], [3, 1]] {
        let [batch, tokens] = dims.map(|dim| dim as usize);
        let len = batch * tokens;
        let (mut states, mut mean) = (vec![UNWRITTEN; len * COLS], vec![UNWRITTEN; batch * COLS]);
        let status = text.run(
            &[words(&IDS[..len], &dims), mask(&ONES[..len], &dims)],
            &[output(&mut states), output(&mut mean)],
        );
        assert_eq!(status, FAR_OK, "{dims:?}: {}", last_error());
        let rows = IDS[..len].iter().flat_map(|id| (0..COLS).map(|col| word(*id, col)));
        assert_eq!(states, rows.collect::<Vec<_>>());
        for (element, mean) in mean.chunks(COLS).enumerate() {
            let own = &IDS[element * tokens..][..tokens];
            for (col, mean) in mean.iter().enumerate() {
                let expected = own.iter().map(|id| word(*id, col)).sum::<f32>() / tokens as f32;
                assert_eq!(*mean, expected, "{dims:?}");
            }
        }
    }
}

#[test]
fn masks_say_how_long_an_element_is() {
    let text = Text::new();
    let dims = [2, 3];
    let (mut states, mut mean) = ([UNWRITTEN; 24], [UNWRITTEN; 8]);
    // What is past the ones is no id.
    let ids = [3, -1, -1, 1, 2, 99];
    let status = text.run(
        &[words(&ids, &dims), mask(&[1, 0, 0, 1, 1, 0], &dims)],
        &[output(&mut states), output(&mut mean)],
    );
    assert_eq!(status, FAR_OK, "{}", last_error());
    assert_eq!(states[..4], [30.0, 31.0, 32.0, 33.0]);
    assert_eq!((states[4..12].to_vec(), states[20..].to_vec()), (vec![0.0; 8], vec![0.0; 4]));
    assert_eq!(mean, [30.0, 31.0, 32.0, 33.0, 15.0, 16.0, 17.0, 18.0]);
}

/// Changes one thing of a good call, which must then be refused without a byte written.
fn refused(expected: far_status, change: impl FnOnce(&mut [far_input; 2], &mut [far_output; 2])) -> String {
    let text = Text::new();
    let dims = [2, 3];
    let (mut states, mut mean) = ([UNWRITTEN; 24], [UNWRITTEN; 8]);
    let (mut inputs, mut outputs) =
        ([words(&IDS, &dims), mask(&ONES, &dims)], [output(&mut states), output(&mut mean)]);
    change(&mut inputs, &mut outputs);
    assert_eq!(text.run(&inputs, &outputs), expected, "{}", last_error());
    assert!(states.iter().chain(&mean).all(|x| *x == UNWRITTEN), "a refused run wrote");
    let message = last_error();
    let status =
        text.run(&[words(&IDS, &dims), mask(&ONES, &dims)], &[output(&mut states), output(&mut mean)]);
    assert_eq!(status, FAR_OK, "{}", last_error());
    message
}

#[test]
fn wrong_dims_are_refused() {
    let message = refused(FAR_ERROR_SHAPE, |inputs, _| (inputs[0].dims, inputs[0].rank) = (null(), 0));
    assert_eq!(
        message,
        "input `words`: expected dimensions `[1 to 3, 1 to 6]`, got none; hint: set `dims` and `rank`"
    );
    let message = refused(FAR_ERROR_SHAPE, |inputs, _| (inputs[1].dims, inputs[1].rank) = (null(), 0));
    assert_eq!(message, "input `mask`: expected dimensions `[2, 3]`, got none; hint: set `dims` and `rank`");
    for (dims, message) in [
        (&[4u64, 3][..], "input `words`: expected dimensions `[1 to 3, 1 to 6]`, got `4` as number 0"),
        (&[2, 7], "input `words`: expected dimensions `[1 to 3, 1 to 6]`, got `7` as number 1"),
        (&[0, 3], "input `words`: expected dimensions `[1 to 3, 1 to 6]`, got `0` as number 0"),
        (
            &[2, u64::MAX],
            "input `words`: expected dimensions `[1 to 3, 1 to 6]`, got `18446744073709551615` as number 1",
        ),
        (&[2, 3, 1], "input `words`: expected dimensions `[1 to 3, 1 to 6]`, got `3` of them"),
        (&[3, 3], "input `words`: expected `72` bytes (i64 of `[3, 3]`), got `48`"),
    ] {
        let status = if message.contains("bytes") { FAR_ERROR_SIZE } else { FAR_ERROR_SHAPE };
        let found = refused(status, |inputs, _| {
            (inputs[0].dims, inputs[0].rank) = (dims.as_ptr(), dims.len() as u32);
        });
        assert_eq!(found, message);
    }
    let other = [3u64, 2];
    let message = refused(FAR_ERROR_SHAPE, |inputs, _| inputs[1].dims = other.as_ptr());
    assert_eq!(message, "input `mask`: expected dimensions `[2, 3]`, got `3` as number 0");
    let other = [2u64, 2, 4];
    let message =
        refused(FAR_ERROR_SHAPE, |_, outputs| (outputs[0].dims, outputs[0].rank) = (other.as_ptr(), 3));
    assert_eq!(message, "output `states`: expected dimensions `[2, 3, 4]`, got `2` as number 1");
    let message = refused(FAR_ERROR_SIZE, |_, outputs| outputs[1].size = 16);
    assert_eq!(message, "output `mean`: expected `32` bytes (f32 of `[2, 4]`), got `16`");
}

#[test]
fn wrong_integers_are_refused() {
    let message = refused(FAR_ERROR_DTYPE, |inputs, _| inputs[0].dtype = FAR_DTYPE_I32);
    assert_eq!(message, "input `words`: expected dtype `3` (FAR_DTYPE_I64), got `2`");
    refused(FAR_ERROR_DTYPE, |inputs, _| inputs[1].dtype = FAR_DTYPE_F32);
    let message =
        refused(FAR_ERROR_ALIGNMENT, |inputs, _| inputs[0].data = inputs[0].data.wrapping_byte_add(4));
    assert!(message.starts_with("input `words`: expected data at a multiple of `8`, got "), "{message}");
    let ids = [3i64, 9, 0, 1, 10, 7];
    let message = refused(FAR_ERROR_TOKEN_ID, |inputs, _| inputs[0].data = ids.as_ptr().cast());
    assert_eq!(message, "input `words`: element `1`, position `1`: expected an id below `10`, got `10`");
    let ids = [-1i64, 9, 0, 1, 2, 7];
    refused(FAR_ERROR_TOKEN_ID, |inputs, _| inputs[0].data = ids.as_ptr().cast());
    let ones = [1, 1, 1, 0, 1, 1];
    let message = refused(FAR_ERROR_MASK, |inputs, _| inputs[1].data = ones.as_ptr().cast());
    assert_eq!(
        message,
        "input `mask`: element `1`, position `0`: expected ones, at least one, then zeros, got `0`"
    );
}
