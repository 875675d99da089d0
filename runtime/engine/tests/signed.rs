//! Artifacts that must be signed: what is refused, and by which error; what signing costs where nobody asks for it; and the most
//! that a caller accepts.

mod common;

use std::path::{Path, PathBuf};

use common::{everything, noise, run};
use ed25519_compact::{KeyPair, Seed};
use far_engine::signature::{MAX_SIGNATURES, PublicKey, Signature, beside, decode, encode};
use far_engine::{
    Counted, Error, ErrorKind, Limit, Limits, Model, ModelOptions, Session, SessionOptions, Signed,
};

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

fn key(pair: &KeyPair) -> PublicKey {
    PublicKey::new(*pair.pk).unwrap()
}

fn sign(pair: &KeyPair, artifact: &[u8]) -> Signature {
    Signature { key: *pair.pk, bytes: *pair.sk.sign(artifact, None) }
}

fn load(artifact: &[u8], signatures: &[u8], key: PublicKey) -> Result<Counted<Model>, Error> {
    let signed = Some(Signed { key, signatures: Some(signatures) });
    Model::from_bytes_with(artifact, &ModelOptions { signed, ..ModelOptions::default() })
}

fn refused(artifact: &[u8], signatures: &[u8], key: PublicKey) -> ErrorKind {
    load(artifact, signatures, key).unwrap_err().kind()
}

/// A file of its own in the system's folder, with its signatures; both go with it.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(name: &str, artifact: &[u8], signatures: &[u8]) -> OnDisk {
        let path = std::env::temp_dir().join(format!("far-{name}-{}.far", std::process::id()));
        std::fs::write(&path, artifact).unwrap();
        std::fs::write(beside(&path).unwrap(), signatures).unwrap();
        OnDisk(path)
    }

    fn open(&self, options: &ModelOptions<'_>) -> Result<Counted<Model>, Error> {
        Model::open_with(&self.0, options)
    }

    fn signatures(&self) -> PathBuf {
        beside(&self.0).unwrap()
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        // What a test removed itself is gone already.
        let _ = (std::fs::remove_file(&self.0), std::fs::remove_file(self.signatures()));
    }
}

fn demanding(key: PublicKey) -> ModelOptions<'static> {
    ModelOptions { signed: Some(Signed { key, signatures: None }), ..ModelOptions::default() }
}

#[test]
fn every_byte_is_signed() {
    let (maker, artifact) = (pair(1), everything().artifact());
    let signatures = encode(&[sign(&maker, &artifact)]);
    assert!(load(&artifact, &signatures, key(&maker)).is_ok());
    // All of the header, then every part of the file: metadata, plan, zeros between, weights.
    let places = (0..128).chain((128..artifact.len()).step_by(artifact.len() / 400));
    let mut altered = artifact.clone();
    for place in places.chain([artifact.len() - 1]) {
        altered[place] ^= 1 << (place % 8);
        let error = load(&altered, &signatures, key(&maker)).unwrap_err();
        assert!(matches!(error, Error::Signature { key: named } if named == key(&maker)), "{place}: {error}");
        altered[place] ^= 1 << (place % 8);
    }
    assert!(load(&altered, &signatures, key(&maker)).is_ok());
}

#[test]
fn a_file_that_was_cut_or_grew_is_corrupt() {
    let (maker, artifact) = (pair(1), everything().artifact());
    let signatures = encode(&[sign(&maker, &artifact)]);
    for length in [0, 1, 8, 107, 108, 127, artifact.len() / 2, artifact.len() - 1] {
        assert_eq!(refused(&artifact[..length], &signatures, key(&maker)), ErrorKind::Corrupt, "{length}");
    }
    assert_eq!(refused(&[&artifact[..], &[0]].concat(), &signatures, key(&maker)), ErrorKind::Corrupt);
}

#[test]
fn whose_signature_it_is() {
    let (maker, other, artifact) = (pair(1), pair(2), everything().artifact());
    let (mine, theirs) = (sign(&maker, &artifact), sign(&other, &artifact));
    // Signed by another; and by the maker, where another is asked for.
    let error = load(&artifact, &encode(&[theirs]), key(&maker)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OtherKey);
    let (expected, found) = (key(&maker).to_string(), key(&other).to_string());
    let text = error.to_string();
    assert!(text.contains(&format!("expected `{expected}`, got `{found}`")), "{text}");
    assert_eq!(refused(&artifact, &encode(&[mine]), key(&other)), ErrorKind::OtherKey);
    // Another's signature that claims to be the maker's.
    let claimed = Signature { key: mine.key, ..theirs };
    assert_eq!(refused(&artifact, &encode(&[claimed]), key(&maker)), ErrorKind::Signature);
    // Of several one suffices, wherever it stands.
    for signatures in [[mine, theirs], [theirs, mine], [claimed, mine]] {
        assert!(load(&artifact, &encode(&signatures), key(&maker)).is_ok());
    }
    assert_eq!(refused(&artifact, &encode(&[theirs, claimed]), key(&maker)), ErrorKind::Signature);
}

#[test]
fn signatures_are_read_as_they_are_written() {
    let (maker, artifact) = (pair(1), everything().artifact());
    let mine = sign(&maker, &artifact);
    let good = encode(&[mine]);
    assert_eq!(decode(&good).unwrap().collect::<Vec<_>>(), [mine]);
    let many = encode(&[mine; MAX_SIGNATURES + 1]);
    assert_eq!(decode(&many).unwrap().count(), MAX_SIGNATURES);
    let too_many = [&many[..], &good[8..]].concat();
    let (cut, none, longer) = (&good[..good.len() - 1], &good[..8], [&good[..], &[0]].concat());
    let mut other = good.clone();
    other[0] ^= 1;
    for wrong in [&[][..], cut, none, &longer, &other, &too_many] {
        let error = load(&artifact, wrong, key(&maker)).unwrap_err();
        assert!(matches!(error, Error::SignatureFile { found } if found == wrong.len()), "{error}");
    }
}

/// A signature has one form: who has one can't make another of it.
#[test]
fn signatures_and_keys_in_other_forms_are_refused() {
    // The order of the group, little-endian.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (maker, artifact) = (pair(1), everything().artifact());
    let mut other = sign(&maker, &artifact);
    let mut carry = 0;
    for (byte, order) in other.bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    assert_eq!(refused(&artifact, &encode(&[other]), key(&maker)), ErrorKind::Signature);

    // Points of small order fit too many signatures; and bytes that are no point, or one in a second encoding.
    let (mut one, mut not_reduced) = ([0; 32], [0xff; 32]);
    one[0] = 1;
    not_reduced[0] = 0xee;
    not_reduced[31] = 0x7f;
    for bytes in [[0; 32], one, [0xff; 32], not_reduced] {
        assert_eq!(PublicKey::new(bytes).unwrap_err().kind(), ErrorKind::Option, "{bytes:?}");
    }
}

#[test]
fn files_with_signatures_beside_them() {
    let (maker, other, artifact) = (pair(1), pair(2), everything().artifact());
    let file = OnDisk::new("signed", &artifact, &encode(&[sign(&maker, &artifact)]));
    let model = file.open(&demanding(key(&maker))).unwrap();
    // What was verified is what runs, whatever becomes of the file.
    std::fs::write(&file.0, []).unwrap();
    let x = noise(9, 64);
    let expected = run(&mut Session::new(everything().model(), &SessionOptions::default()).unwrap(), &[&x]);
    assert_eq!(run(&mut Session::new(model, &SessionOptions::default()).unwrap(), &[&x]), expected);
    std::fs::write(&file.0, &artifact).unwrap();

    assert_eq!(file.open(&demanding(key(&other))).unwrap_err().kind(), ErrorKind::OtherKey);
    // Given signatures go before those of the file.
    let theirs = encode(&[sign(&other, &artifact)]);
    let given = ModelOptions {
        signed: Some(Signed { key: key(&other), signatures: Some(&theirs) }),
        ..ModelOptions::default()
    };
    assert!(file.open(&given).is_ok());

    std::fs::write(file.signatures(), vec![b'F'; 1 << 20]).unwrap();
    assert_eq!(file.open(&demanding(key(&maker))).unwrap_err().kind(), ErrorKind::SignatureFile);
    std::fs::remove_file(file.signatures()).unwrap();
    let error = file.open(&demanding(key(&maker))).unwrap_err();
    assert!(matches!(&error, Error::Unsigned { path: Some(path) } if *path == file.signatures()), "{error}");
    std::fs::create_dir(file.signatures()).unwrap();
    let error = file.open(&demanding(key(&maker))).unwrap_err();
    std::fs::remove_dir(file.signatures()).unwrap();
    assert!(matches!(&error, Error::Io { path, .. } if *path == file.signatures()), "{error}");
    let missing = Model::open_with(Path::new("/no/such.far"), &demanding(key(&maker))).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
}

#[test]
fn memory_needs_its_signatures_given() {
    let (maker, artifact) = (pair(1), everything().artifact());
    let error = Model::from_bytes_with(&artifact, &demanding(key(&maker))).unwrap_err();
    assert!(matches!(error, Error::Unsigned { path: None }), "{error}");
    let copy: &'static [u8] = vec![0; artifact.len() + 64].leak();
    let error = Model::from_static_with(copy, &demanding(key(&maker))).unwrap_err();
    assert!(matches!(error, Error::Unsigned { path: None }), "{error}");
}

/// Signatures are looked at where a key asks for them, and nowhere else.
#[test]
fn nobody_looks_at_signatures_without_a_key() {
    let artifact = everything().artifact();
    let file = OnDisk::new("unasked", &artifact, b"no signatures");
    assert!(file.open(&ModelOptions::default()).is_ok());
    assert!(file.open(&ModelOptions { copy: true, ..ModelOptions::default() }).is_ok());
}

#[test]
fn what_is_more_than_a_caller_accepts() {
    type Set = fn(&mut Limits, u64);
    let model = everything().model();
    let (artifact, plan) = (everything().artifact(), model.plan());
    let file = OnDisk::new("limits", &artifact, &[]);
    let here: &'static [u8] = {
        let bytes = vec![0; artifact.len() + 64].leak();
        let start = bytes.as_ptr().align_offset(64);
        bytes[start..][..artifact.len()].copy_from_slice(&artifact);
        &bytes[start..][..artifact.len()]
    };
    let cases: [(Limit, u64, Set); 5] = [
        (Limit::FileBytes, artifact.len() as u64, |limits, most| limits.file_bytes = most),
        (Limit::ArenaBytes, plan.arena_bytes, |limits, most| limits.arena_bytes = most),
        (Limit::Tensors, plan.tensors.len() as u64, |limits, most| limits.tensors = most),
        (Limit::Steps, plan.steps.len() as u64, |limits, most| limits.steps = most),
        (Limit::Batch, 1, |limits, most| limits.batch = most),
    ];
    for (limit, needed, set) in cases {
        for most in [needed, needed - 1, 0] {
            let mut options = ModelOptions::default();
            set(&mut options.limits, most);
            let copied = ModelOptions { copy: true, ..options };
            for loaded in [
                file.open(&options),
                file.open(&copied),
                Model::from_bytes_with(&artifact, &options),
                Model::from_static_with(here, &options),
            ] {
                match loaded {
                    Ok(_) => assert_eq!(most, needed, "{limit}"),
                    Err(Error::Artifact(far_format::Error::Exceeded { limit: named, most: said, found })) => {
                        assert_eq!((named, said, found), (limit, most, needed));
                        assert_ne!(most, needed);
                    }
                    Err(other) => panic!("{limit}: {other}"),
                }
            }
        }
    }
    // A file that is too large isn't hashed, whatever its signatures say.
    let maker = pair(1);
    let limits = Limits { file_bytes: 1, ..Limits::default() };
    let options = ModelOptions { limits, ..demanding(key(&maker)) };
    for loaded in [file.open(&options), Model::from_bytes_with(&artifact, &options)] {
        assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Exceeded);
    }
}

#[test]
fn tokens_are_limited() {
    let text = common::Text::varying(6, None).plan().model();
    let (tokens, batch) = (u64::from(text.plan().tokens), u64::from(text.plan().batch.most));
    assert!(tokens > 1 && batch > 1);
    let artifact = common::Text::varying(6, None).plan().artifact();
    let load = |limits| Model::from_bytes_with(&artifact, &ModelOptions { limits, ..Default::default() });
    assert!(load(Limits { tokens, batch, ..Limits::default() }).is_ok());
    for (limits, what) in [
        (Limits { tokens: tokens - 1, ..Limits::default() }, "tokens"),
        (Limits { batch: batch - 1, ..Limits::default() }, "elements of a batch"),
    ] {
        let error = load(limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exceeded);
        assert!(error.to_string().starts_with(&format!("more {what} than accepted")), "{error}");
    }
}
