//! The file as a whole: round trip, layout, damage.

mod common;

use common::{described, file, parts, plan, repair, section, text, weights};
use far_format::cpu::{Arch, Features};
use far_format::meta::{Info, Labels, Normalization, Resize};
use far_format::{ArtifactParts, Error, ErrorKind, MAGIC, Section, WEIGHTS_ALIGNMENT, read, write};
use proptest::prelude::*;

/// What `read` accepts, `write` gives back byte for byte.
fn assert_canonical(file: &[u8]) {
    let Ok(artifact) = read(file) else { return };
    let header = &artifact.header;
    let parts = ArtifactParts {
        arch: header.arch,
        features: header.features,
        target: &header.target,
        plan: &artifact.plan,
        weights: artifact.weights,
    };
    assert!(write(&parts).expect("what was read can be written") == file, "not canonical");
}

#[test]
fn round_trip() {
    let file = file();
    assert_eq!(file, self::file(), "same input, same bytes");
    let artifact = read(&file).unwrap();
    assert_eq!(*artifact.plan, plan());
    assert_eq!(artifact.weights, weights());
    assert_eq!((artifact.header.arch, artifact.header.features), (Arch::Aarch64, Features::NEON));
    assert_eq!((artifact.header.target.as_str(), artifact.header.version), ("raspberry-pi-5", 1));
    assert_canonical(&file);

    for plan in [text(), described()] {
        let file = write(&parts(&plan, &weights())).unwrap();
        assert_eq!(*read(&file).unwrap().plan, plan);
        assert_canonical(&file);
    }
}

#[test]
fn an_empty_plan_is_an_artifact() {
    let plan = Default::default();
    let file = write(&parts(&plan, &[])).unwrap();
    assert_eq!(file.len(), WEIGHTS_ALIGNMENT);
    assert_eq!(*read(&file).unwrap().plan, plan);
}

#[test]
fn layout_is_the_specifications() {
    let file = file();
    assert_eq!(file[..8], MAGIC);
    assert_eq!(file[8..16], [1, 0, 2, 0, 3, 0, 0, 0]);
    assert_eq!(file[16..24], Features::NEON.0.to_le_bytes());
    assert_eq!(file[24..32], (file.len() as u64).to_le_bytes());
    let (meta, meta_len) = section(&file, 0);
    assert_eq!((meta, meta_len), (128, 4 + 14 + 4 + 4 + 4 + 4 + 1 + 1));
    assert_eq!(&file[132..146], b"raspberry-pi-5");
    let (plan, _) = section(&file, 1);
    assert_eq!(plan, 192);
    // The arena; no tokens, a batch of always one, no lengths; the number of tensors.
    assert_eq!(file[plan..plan + 8], [192, 4, 0, 0, 0, 0, 0, 0]);
    assert_eq!(file[plan + 8..plan + 22], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 7, 0, 0, 0]);
    // The first tensor: input 0, 2 × 4, stride 4, no tokens.
    assert_eq!(file[plan + 22..plan + 40], [2, 0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(section(&file, 2), (65536, 1216));
}

#[test]
fn truncated_anywhere_is_refused() {
    let file = file();
    for len in 0..file.len() {
        let error = read(&file[..len]).unwrap_err();
        let expected = if len < 8 { ErrorKind::NotAnArtifact } else { ErrorKind::Corrupt };
        assert_eq!(error.kind(), expected, "{len} bytes: {error}");
    }
    let longer = [&file[..], &[0]].concat();
    assert_eq!(
        read(&longer).unwrap_err().to_string(),
        format!("bytes after the end: expected `{}` bytes, got `{}`", file.len(), file.len() + 1)
    );
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut file = file();
    let (plan, len) = section(&file, 1);
    // All of header, names, plan and the padding between; then one bit in each byte of padding and weights.
    let bits = (0..(plan + len) * 8).chain((plan + len..file.len()).map(|byte| byte * 8 + byte % 8));
    for bit in bits {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&file).is_err(), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn flipped_bits_with_right_checksums_never_panic() {
    for plan in [plan(), text(), described()] {
        let original = write(&parts(&plan, &weights())).unwrap();
        let (plan, len) = section(&original, 1);
        let mut accepted = 0;
        for bit in 0..(plan + len) * 8 {
            let mut file = original.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            repair(&mut file);
            if read(&file).is_ok_and(|artifact| artifact.plan.arena_bytes < 1 << 20) {
                assert_canonical(&file);
                accepted += 1;
            }
        }
        assert!(accepted > 0, "names may differ");
    }
}

/// A change of the header, with its checksum made right, and how the refusal begins.
#[test]
fn headers_that_lie_are_refused() {
    let change = |at: usize, value: &[u8]| {
        let mut file = file();
        file[at..at + value.len()].copy_from_slice(value);
        repair(&mut file);
        read(&file).unwrap_err().to_string()
    };
    let cases: [(usize, &[u8], &str); 10] = [
        (0, b"\x7fELF", "not a far artifact"),
        (8, &[0, 0], "artifact of format version `0`, this library reads version `1`"),
        (10, &[9, 0], "header: `architecture`: expected 1 (x86_64), 2 (aarch64) or 3 (riscv64), got `9`"),
        (12, &[4], "header: `sections`: expected 3, got `4`"),
        (16, &[1], "header: `features`: expected features of its architecture, got `1`"),
        (23, &[128], "header: `features`: expected features of its architecture, got `9223372036854775808`"),
        (24, &[0], "bytes after the end: expected `66560` bytes, got `66752`"),
        (32, &[7], "header: `section number`: expected sections 1, 2, 3 in this order, got `7`"),
        (
            40,
            &[129],
            "header: `section offset`: expected the first aligned byte after the section before, got `129`",
        ),
        (48, &[255; 8], "header: `section offset`: expected sections that fill the file, got `66752`"),
    ];
    for (at, value, expected) in cases {
        let message = change(at, value);
        assert!(message.starts_with(expected), "byte {at}: {message}");
    }
    let mut file = file();
    file[120] = 1;
    let error =
        Error::Field { section: Section::Meta, field: "bytes before it", expected: "zeros", found: 108 };
    assert_eq!(read(&file), Err(error));
}

#[test]
fn names_are_text() {
    for (name, ok) in [("blocks.0", true), ("Übung", true), ("", true), ("a\0b", false), ("\x1b[2J", false)]
    {
        let mut plan = plan();
        plan.steps[0].name = name.into();
        assert_eq!(write(&parts(&plan, &weights())).is_ok(), ok, "{name:?}");
    }
    let mut plan = plan();
    plan.model = "x".repeat(1025);
    let error = Error::Limit { section: Section::Meta, field: "model", limit: 1024, found: 1025 };
    assert_eq!(write(&parts(&plan, &weights())), Err(error));
    let mut file = file();
    file[132] = 0xff;
    repair(&mut file);
    assert_eq!(read(&file), Err(Error::Text { section: Section::Meta, field: "target" }));
}

#[test]
fn counts_are_limited_before_memory_is_taken() {
    let mut file = file();
    let (plan, len) = section(&file, 1);
    file[plan + 18..plan + 22].copy_from_slice(&u32::MAX.to_le_bytes());
    repair(&mut file);
    let limit = (len as u64 - 22) / 18;
    let error =
        Error::Limit { section: Section::Plan, field: "Plan.tensors", limit, found: u64::from(u32::MAX) };
    assert_eq!(read(&file), Err(error));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Several words of the plan or of what comes before it overwritten, with the checksums made right.
    #[test]
    fn overwritten_words_never_panic(
        original in prop::sample::select(vec![plan(), text(), described()]),
        part in 0usize..2,
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            0u32, 1, 2, 3, 4, 5, 7, 8, 15, 16, 64, 128, 1216, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, u32::MAX,
        ])), 1..4),
    ) {
        let mut file = write(&parts(&original, &weights())).unwrap();
        let (start, len) = section(&file, part);
        for (at, word) in changes {
            let at = start + at.index(len - 3);
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        repair(&mut file);
        assert_canonical(&file);
    }

    /// Any metadata is written and read back, or refused.
    #[test]
    fn metadata_round_trips(
        description in ".{0,40}", info in prop::collection::vec((".{0,4}", ".{0,8}"), 0..4),
        names in prop::collection::vec(".{0,8}", 3..6), scale: f32, mean: f32, std: f32, shorter in 0u32..20_000,
    ) {
        let mut plan = described();
        let info = info.into_iter().map(|(key, value)| Info { key, value });
        plan.meta.info = info.collect();
        plan.meta.description = description;
        plan.meta.labels = Some(Labels { output: 0, names });
        let image = plan.meta.image.as_mut().unwrap();
        (image.scale, image.channels[0]) = (scale, Normalization { mean, std });
        image.resize = Resize::Crop { shorter };
        if let Ok(file) = write(&parts(&plan, &weights())) {
            prop_assert_eq!(&*read(&file).unwrap().plan, &plan);
            assert_canonical(&file);
        }
    }

    /// Sections cut short, with the checksums and lengths made right.
    #[test]
    fn shortened_plans_never_panic(cut in any::<prop::sample::Index>()) {
        let mut file = file();
        let (_, len) = section(&file, 1);
        let len = cut.index(len);
        let start = section(&file, 1).0;
        file[start + len..65536].fill(0);
        file[32 + 24 + 16..][..8].copy_from_slice(&(len as u64).to_le_bytes());
        repair(&mut file);
        let error = read(&file).unwrap_err();
        prop_assert!(matches!(error, Error::Ended { .. } | Error::Limit { .. }), "{error}");
    }
}
