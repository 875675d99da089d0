//! Artifacts for other machines than this, and at addresses of all kinds: refused by name, or loaded as documented. Under QEMU these
//! run on cores that lack what others have: dot products, half precision, matrix products, vectors.
#![allow(clippy::print_stdout, reason = "what was refused")]

mod common;

use common::{everything, host, noise, run};
use far_engine::{Error, ErrorKind, Model, ModelOptions, Session, SessionOptions};
use far_format::cpu::{Arch, Features};

#[test]
fn features_that_this_cpu_lacks_are_refused_by_name() {
    let present = far_kernels::cpu::detect();
    for (feature, arch, name) in Features::ALL.iter().copied() {
        let file = |features| everything().artifact_for(arch, features);
        let loaded = Model::from_bytes(&file(feature));
        if arch != host() {
            assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Architecture, "{name} on {arch}");
        } else if present.contains(feature) {
            assert!(loaded.is_ok(), "{name} is there, and was refused");
        } else {
            let error = loaded.unwrap_err();
            assert!(matches!(error, Error::Features { needed, .. } if needed == feature), "{error}");
            assert!(error.to_string().ends_with(&format!("missing `{name}`")), "{error}");
            println!("refused for want of `{name}`");
        }
    }
}

#[test]
fn other_architectures_are_refused_by_name() {
    for arch in Arch::ALL.into_iter().filter(|arch| *arch != host()) {
        let error = Model::from_bytes(&everything().artifact_for(arch, Features::NONE)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Architecture);
        let text = error.to_string();
        assert!(text.contains(arch.name()) && text.contains(host().name()), "{text}");
    }
}

/// Mapped or read, a file is the same model; what isn't one is refused the same way.
#[test]
fn from_files() {
    let path = std::env::temp_dir().join(format!("far-machine-{}.far", std::process::id()));
    let (x, artifact) = (noise(9, 64), everything().artifact());
    let expected = run(&mut Session::new(everything().model(), &SessionOptions::default()).unwrap(), &[&x]);
    for copy in [false, true] {
        let open = |path: &_| Model::open_with(path, &ModelOptions { copy, ..ModelOptions::default() });
        std::fs::write(&path, &artifact).unwrap();
        let model = open(&path).unwrap();
        assert_eq!(model.weight_bytes(), everything().model().weight_bytes());
        assert_eq!(run(&mut Session::new(model, &SessionOptions::default()).unwrap(), &[&x]), expected);
        std::fs::write(&path, &artifact[..artifact.len() - 1]).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corrupt);
        std::fs::write(&path, []).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::NotAnArtifact);
        std::fs::remove_file(&path).unwrap();
        let folder = std::env::temp_dir();
        for missing in [path.as_path(), folder.as_path()] {
            let error = open(missing).unwrap_err();
            assert!(matches!(&error, Error::Io { path, .. } if path == missing), "{error}");
        }
    }
}

/// Memory at every address is as good as a file; memory that is used in place begins at a multiple of 64.
#[test]
fn at_every_address() {
    let artifact = everything().artifact();
    let x = noise(9, 64);
    let expected = run(&mut Session::new(everything().model(), &SessionOptions::default()).unwrap(), &[&x]);
    let mut memory = vec![0; artifact.len() + 128];
    let first = memory.as_ptr().align_offset(64);
    for offset in 0..64 {
        memory[first + offset..][..artifact.len()].copy_from_slice(&artifact);
        let model = Model::from_bytes(&memory[first + offset..][..artifact.len()]).unwrap();
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        assert_eq!(run(&mut Session::new(model, &options).unwrap(), &[&x]), expected, "at 64 n + {offset}");
    }
    for offset in 0..64 {
        let mut copy = vec![0; artifact.len() + 128];
        let first = copy.as_ptr().align_offset(64);
        copy[first + offset..][..artifact.len()].copy_from_slice(&artifact);
        let copy: &'static [u8] = copy.leak();
        let loaded = Model::from_static(&copy[first + offset..][..artifact.len()]);
        match offset {
            0 => assert!(loaded.is_ok()),
            _ => assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Alignment, "at 64 n + {offset}"),
        }
    }
}
