//! `--limit`: each can be lowered and raised, and an error beyond one says which it was and how to raise it.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use zip::write::SimpleFileOptions;

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name);
    path.to_str().unwrap().to_owned()
}

fn farc(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farc"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// Compiles the pruned example with these limits: what its error says, if it fails.
fn compile(folder: &Path, masks: &str, limits: &[&str]) -> Option<Value> {
    let model = example("far-pruned-dense.onnx");
    let mut arguments =
        vec!["compile", &model, "--masks", masks, "--target", "host", "-o", "out.far", "--json"];
    for limit in limits {
        arguments.extend(["--limit", limit]);
    }
    let output = farc(folder, &arguments);
    match output.status.code() {
        Some(0) => None,
        Some(1) => Some(serde_json::from_slice::<Value>(&output.stderr).unwrap()["error"].take()),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// An npz file with one array of a million bytes, which packs well.
fn npz(folder: &Path) -> PathBuf {
    let mut header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 1000), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("blocks.0.mlp.fc1.weight.npy", SimpleFileOptions::default()).unwrap();
    for part in [&b"\x93NUMPY\x01\x00\x76\x00"[..], &header, &vec![1; 1_000_000]] {
        zip.write_all(part).unwrap();
    }
    let path = folder.join("masks.npz");
    fs::write(&path, zip.finish().unwrap().into_inner()).unwrap();
    path
}

#[test]
fn each_is_kept_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let masks = example("far-pruned-dense.masks.safetensors");
    let packed = npz(folder.path());
    for (name, least, masks) in [
        ("model-bytes", 1000, masks.as_str()),
        ("nodes", 100, &masks),
        ("elements", 1000, &masks),
        ("depth", 1, &masks),
        ("mask-bytes", 100, &masks),
        ("unpacked-mask-bytes", 999_999, packed.to_str().unwrap()),
    ] {
        let error = compile(folder.path(), masks, &[&format!("{name}={least}")]).expect(name);
        assert_eq!(error["kind"], "limit-exceeded", "{name}: {error}");
        assert!(error["hint"].as_str().unwrap().contains(&format!("`--limit {name}=N`")), "{name}: {error}");
        assert!(error["expected"].as_str().unwrap().contains(&least.to_string()), "{name}: {error}");
        // The last one counts.
        if name != "unpacked-mask-bytes" {
            let again =
                compile(folder.path(), masks, &[&format!("{name}={least}"), &format!("{name}=1000000000")]);
            assert_eq!(again, None, "{name}");
        }
    }
    assert_eq!(compile(folder.path(), &masks, &[]), None);
    // Beyond the limit on what is unpacked the file is read, and fits no parameter.
    let error = compile(folder.path(), packed.to_str().unwrap(), &["unpacked-mask-bytes=1000200"]).unwrap();
    assert_eq!(error["kind"], "bad-mask", "{error}");
}

#[test]
fn every_command_that_reads_models_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = example("far-pruned-dense.onnx");
    let masks = example("far-pruned-dense.masks.safetensors");
    assert_eq!(compile(folder.path(), &masks, &[]), None);
    for arguments in [
        &["inspect", &model, "--limit", "nodes=10"][..],
        &["inspect", &model, "--ir", "--limit", "elements=10"],
        &["inspect", &model, "--masks", &masks, "--limit", "mask-bytes=10"],
        &["inspect", &model, "--why", "--masks", &masks, "--limit", "mask-bytes=10"],
        &["verify", &model, "out.far", "--limit", "model-bytes=10"],
        &["verify", &model, "out.far", "--masks", &masks, "--limit", "mask-bytes=10"],
        &["prune", &model, "--sparsity", "0.5", "-o", "x.safetensors", "--limit", "elements=10"],
    ] {
        let output = farc(folder.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains("--limit"), "{arguments:?}: {error}");
    }
}

#[test]
fn what_is_no_limit() {
    let folder = tempfile::tempdir().unwrap();
    for (limit, says) in [
        ("nodes", "expected `NAME=N`"),
        ("cups=3", "expected one of `model-bytes`, `nodes`"),
        ("nodes=many", "expected a whole number, got `many`"),
        ("nodes=-1", "expected a whole number"),
    ] {
        let output = farc(folder.path(), &["inspect", "model.onnx", "--limit", limit]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{limit}: {error}");
        assert!(error.contains(says), "{limit}: {error}");
    }
    // The help has each with its default.
    let help = farc(folder.path(), &["compile", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for said in
        ["`model-bytes` (", "2147483647", "`nodes` (", "65536", "`depth` (", "; 24)", "`mask-bytes` ("]
    {
        assert!(help.contains(said), "no `{said}` in the help");
    }
}
