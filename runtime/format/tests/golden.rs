//! Artifacts of the first days of format 1 (`data/golden`, made by far-engine's test of the same name): every one of them is read,
//! and written again to the same bytes, for ever; one of any other version is refused.

mod common;

use std::fs;
use std::path::Path;

use common::repair;
use far_format::cpu::Arch;
use far_format::layout::Precision;
use far_format::{ArtifactParts, ErrorKind, VERSION, read, write};

/// Name and bytes of each.
fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "far"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_precision_and_architecture_is_there() {
    let names: Vec<String> = golden().into_iter().map(|(name, _)| name).collect();
    for arch in Arch::ALL {
        for precision in Precision::ALL.into_iter().filter(|p| p.features(arch).is_some()) {
            let name = format!("image-{}-{arch}", precision.name());
            assert!(names.contains(&name), "`{name}` is missing in {names:?}");
        }
        assert!(names.contains(&format!("text-mixed-{arch}")), "{names:?}");
    }
}

#[test]
fn each_is_read_and_written_again_to_the_same_bytes() {
    for (name, bytes) in golden() {
        let artifact = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let header = &artifact.header;
        assert!(name.ends_with(&format!("-{}", header.arch)), "{name} is for {}", header.arch);
        assert_eq!((header.version, artifact.plan.model.as_str()), (1, "golden"));
        let labels = artifact.plan.meta.labels.as_ref().map_or(0, |labels| labels.names.len());
        assert_eq!(labels, if name.starts_with("image") { 5 } else { 0 });
        let parts = ArtifactParts {
            arch: header.arch,
            features: header.features,
            target: &header.target,
            plan: &artifact.plan,
            weights: artifact.weights,
        };
        assert!(write(&parts).unwrap() == bytes, "{name} is written otherwise now");
    }
}

#[test]
fn other_versions_are_refused_older_and_newer() {
    assert_eq!(VERSION, 1);
    for (name, bytes) in golden() {
        for version in [0, 2, 3, u16::MAX] {
            let mut other = bytes.clone();
            other[8..10].copy_from_slice(&version.to_le_bytes());
            repair(&mut other);
            let error = read(&other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Version, "{name}: {error}");
            let expected = format!("artifact of format version `{version}`, this library reads version `1`");
            assert!(error.to_string().starts_with(&expected), "{name}: {error}");
        }
    }
}
