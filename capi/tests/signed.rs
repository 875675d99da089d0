//! Signatures and limits through the C interface: each way in which they refuse a model, by its status and with a way out.
#![allow(
    unsafe_code,
    reason = "the C interface is unsafe to call; each call passes live handles and memory of the test"
)]
#![allow(clippy::undocumented_unsafe_blocks)]

mod common;

use std::ffi::CString;
use std::path::PathBuf;
use std::ptr::null_mut;

use ed25519_compact::{KeyPair, Seed};
use far::*;
use far_engine::signature::{Signature, encode};

use common::last_error;

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

fn signed_by(pair: &KeyPair, artifact: &[u8]) -> Vec<u8> {
    encode(&[Signature { key: *pair.pk, bytes: *pair.sk.sign(artifact, None) }])
}

fn open(bytes: &[u8], options: &far_model_options) -> far_status {
    let mut model = null_mut();
    let status = unsafe { far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), options, &mut model) };
    assert_eq!(status != FAR_OK, model.is_null(), "a failed call wrote its result");
    unsafe { far_model_free(model) };
    status
}

fn with(key: &[u8; 32], signature: &[u8]) -> far_model_options {
    far_model_options {
        public_key: key.as_ptr(),
        signature: signature.as_ptr().cast(),
        signature_size: signature.len(),
        ..far_model_options::default()
    }
}

/// What a call answers, and what its message hints at.
fn refused(bytes: &[u8], options: &far_model_options, status: far_status, hint: &str) {
    assert_eq!(open(bytes, options), status, "{}", last_error());
    let message = last_error();
    let hinted = message.split_once("hint: ").is_some_and(|(_, after)| after.contains(hint));
    assert!(hinted, "expected a hint of `{hint}` in `{message}`");
}

#[test]
fn signatures_are_demanded() {
    let (maker, other, artifact) = (pair(1), pair(2), common::artifact());
    let (mine, theirs) = (signed_by(&maker, &artifact), signed_by(&other, &artifact));
    let demanding = with(&maker.pk, &mine);
    assert_eq!(open(&artifact, &demanding), FAR_OK);
    let mut altered = artifact.clone();
    *altered.last_mut().unwrap() ^= 1;
    refused(&altered, &demanding, FAR_ERROR_SIGNATURE, "copy artifact and signatures again");
    assert_eq!(open(&artifact[..artifact.len() - 1], &demanding), FAR_ERROR_CORRUPT);
    refused(&artifact, &with(&maker.pk, &theirs), FAR_ERROR_OTHER_KEY, "`options.public_key`");
    refused(&artifact, &with(&maker.pk, &mine[..9]), FAR_ERROR_SIGNATURE_FILE, "copy the file of signatures");
    let unsigned = far_model_options { public_key: maker.pk.as_ptr(), ..far_model_options::default() };
    refused(&artifact, &unsigned, FAR_ERROR_UNSIGNED, "`options.signature`");
    refused(&artifact, &with(&[0; 32], &mine), FAR_ERROR_OPTION, "farc keygen");
    let keyless = far_model_options { public_key: std::ptr::null(), ..demanding };
    assert_eq!(open(&artifact, &keyless), FAR_ERROR_OPTION);
}

#[test]
fn files_need_their_signatures_beside_them() {
    let (maker, artifact) = (pair(1), common::artifact());
    let path = std::env::temp_dir().join(format!("far-signed-{}.far", std::process::id()));
    let beside = PathBuf::from(format!("{}.sig", path.display()));
    std::fs::write(&path, &artifact).unwrap();
    let text = CString::new(path.to_str().unwrap()).unwrap();
    let demanding = far_model_options { public_key: maker.pk.as_ptr(), ..far_model_options::default() };
    let open = || {
        let mut model = null_mut();
        let status = unsafe { far_model_open(text.as_ptr(), &demanding, &mut model) };
        unsafe { far_model_free(model) };
        status
    };
    assert_eq!(open(), FAR_ERROR_UNSIGNED);
    assert!(last_error().contains(beside.to_str().unwrap()), "{}", last_error());
    assert!(last_error().contains("hint: sign it with `farc sign`"), "{}", last_error());
    std::fs::write(&beside, signed_by(&maker, &artifact)).unwrap();
    assert_eq!(open(), FAR_OK);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(open(), FAR_ERROR_FILE_NOT_FOUND);
    std::fs::remove_file(&beside).unwrap();
}

#[test]
fn limits_are_kept_and_named() {
    type Set = fn(&mut far_model_options, u32);
    let (fixture, words) = (common::artifact(), common::text_artifact());
    let size = fixture.len() as u32;
    let cases: [(&str, &[u8], u32, Set); 6] = [
        ("max_file_size", &fixture, size, |options, most| options.max_file_size = most.into()),
        ("max_arena_size", &fixture, 64, |options, most| options.max_arena_size = most.into()),
        ("max_tensors", &fixture, 5, |options, most| options.max_tensors = most),
        ("max_steps", &fixture, 3, |options, most| options.max_steps = most),
        ("max_tokens", &words, 6, |options, most| options.max_tokens = most),
        ("max_batch", &words, 3, |options, most| options.max_batch = most),
    ];
    for (name, artifact, needed, set) in cases {
        let mut options = far_model_options::default();
        set(&mut options, needed);
        assert_eq!(open(artifact, &options), FAR_OK, "{name}");
        set(&mut options, needed - 1);
        refused(artifact, &options, FAR_ERROR_LIMIT, &format!("raise `options.{name}`"));
    }
}
