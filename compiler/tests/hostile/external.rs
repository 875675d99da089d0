//! Models that keep their weights in other files: refused, unless the user allows it and the files are the model's own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use assert_cmd::Command;
use far_models::{Config, Size};
use prost::Message;
use tempfile::TempDir;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};

const SMALL: Size = Size {
    image: 8,
    patch: 4,
    channels: 1,
    width: 6,
    heads: 2,
    hidden: 3,
    depth: 1,
    mlp: 5,
    classes: 3,
    distilled: false,
};

/// The data of every initializer, one behind the other.
const DATA: &str = "weights/model.data";

fn entries(location: &str, offset: impl ToString, length: impl ToString) -> Vec<StringStringEntryProto> {
    let pair = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    vec![
        pair("location", location.into()),
        pair("offset", offset.to_string()),
        pair("length", length.to_string()),
    ]
}

/// `inline.onnx`, and `model.onnx` with its data in [`DATA`], in a folder `m` of a folder.
fn models() -> (TempDir, ModelProto) {
    let folder = tempfile::tempdir().expect("a folder");
    let onnx = far_models::generate(&Config::new(SMALL)).expect("a model").onnx;
    fs::create_dir_all(folder.path().join("m/weights")).expect("a folder");
    fs::write(folder.path().join("m/inline.onnx"), &onnx).expect("a file");
    let mut model = ModelProto::decode(&onnx[..]).expect("a model");
    let mut data = Vec::new();
    for tensor in initializers(&mut model).iter_mut().filter(|t| !t.raw_data.is_empty()) {
        tensor.external_data = entries(DATA, data.len(), tensor.raw_data.len());
        tensor.data_location = Some(1);
        data.append(&mut tensor.raw_data);
    }
    assert!(!data.is_empty());
    fs::write(folder.path().join("m").join(DATA), &data).expect("a file");
    write(&folder, &model);
    (folder, model)
}

fn initializers(model: &mut ModelProto) -> &mut Vec<TensorProto> {
    &mut model.graph.as_mut().expect("a graph").initializer
}

fn write(folder: &TempDir, model: &ModelProto) {
    fs::write(folder.path().join("m/model.onnx"), model.encode_to_vec()).expect("a file");
}

/// The model with another entry for its first external tensor.
fn changed(folder: &TempDir, model: &ModelProto, entries: Vec<StringStringEntryProto>) {
    let mut model = model.clone();
    let tensors = initializers(&mut model);
    let tensor = tensors.iter_mut().find(|t| !t.external_data.is_empty()).expect("an external tensor");
    tensor.external_data = entries;
    write(folder, &model);
}

fn farc(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farc"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1");
    command
}

/// `farc compile m/model.onnx --allow-external-data` says all of `parts`, and writes nothing.
#[track_caller]
fn refused(folder: &TempDir, parts: &[&str]) {
    let arguments = ["compile", "m/model.onnx", "--allow-external-data", "--target", "host", "-o", "x.far"];
    let output = farc(folder.path(), &arguments).assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).expect("text");
    // Long messages are broken into lines.
    let flat = error
        .split(|c: char| c.is_whitespace() || c == '│')
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    for part in parts {
        assert!(flat.contains(part), "no `{part}` in:\n{error}");
    }
    assert!(!folder.path().join("x.far").exists());
}

#[test]
fn refused_unless_allowed() {
    let (folder, _) = models();
    let commands: [&[&str]; 4] = [
        &["compile", "m/model.onnx", "--target", "host", "-o", "x.far"],
        &["inspect", "m/model.onnx", "--ir"],
        &["prune", "m/model.onnx", "--sparsity", "0.5", "-o", "x.safetensors"],
        &["verify", "m/model.onnx", "inline.far"],
    ];
    farc(folder.path(), &["compile", "m/inline.onnx", "--target", "host", "-o", "inline.far"])
        .assert()
        .success();
    for arguments in commands {
        let output = farc(folder.path(), arguments).assert().code(1).get_output().clone();
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains("--allow-external-data"), "{arguments:?}:\n{error}");
    }
    // Looking at a model needs no weights.
    farc(folder.path(), &["inspect", "m/model.onnx"]).assert().success();
}

#[test]
fn the_same_artifact_as_with_the_data_inside() {
    let (folder, _) = models();
    let farc = |arguments: &[&str]| farc(folder.path(), arguments).assert().success();
    farc(&["compile", "m/inline.onnx", "--target", "host", "-o", "inline.far"]);
    farc(&["compile", "m/model.onnx", "--allow-external-data", "--target", "host", "-o", "external.far"]);
    let bytes = |name: &str| fs::read(folder.path().join(name)).expect("an artifact");
    assert_eq!(bytes("inline.far"), bytes("external.far"));
    farc(&["verify", "m/model.onnx", "external.far", "--allow-external-data"]);
    farc(&["inspect", "m/model.onnx", "--allow-external-data", "--ir"]);
    farc(&["prune", "m/model.onnx", "--allow-external-data", "--sparsity", "0.5", "-o", "masks.safetensors"]);
}

#[test]
fn from_within_the_models_folder() {
    let (folder, _) = models();
    let arguments = ["compile", "model.onnx", "--allow-external-data", "--target", "host", "-o", "../x.far"];
    farc(&folder.path().join("m"), &arguments).assert().success();
}

#[test]
fn paths_that_lead_out_of_the_folder() {
    let (folder, model) = models();
    fs::write(folder.path().join("secret"), [0; 4096]).expect("a file");
    let absolute = folder.path().join("m").join(DATA);
    let absolute = absolute.to_str().expect("a plain path");
    for location in
        ["../secret", "weights/../../secret", "weights/../weights/model.data", absolute, "/etc/passwd", ""]
    {
        changed(&folder, &model, entries(location, 0, 4));
        let got = format!("got `{location}`");
        refused(
            &folder,
            &["external data outside of the model's folder", "a relative path without `..`", &got],
        );
    }
    for location in ["..\\secret", "C:\\secret", "weights/model.data\0.png"] {
        changed(&folder, &model, entries(location, 0, 4));
        refused(&folder, &["external data outside of the model's folder", "a relative path without `..`"]);
    }
}

#[test]
fn links_are_followed_and_then_judged() {
    let (folder, model) = models();
    let at = |name: &str| folder.path().join(name);
    fs::copy(at("m").join(DATA), at("secret")).expect("a copy");
    symlink("../secret", at("m/link")).expect("a link");
    symlink("..", at("m/up")).expect("a link");
    let size = fs::metadata(at("secret")).expect("a file").len();
    for location in ["link", "up/secret", "up/m/../secret"] {
        changed(&folder, &model, entries(location, 0, size));
        refused(&folder, &["external data outside of the model's folder"]);
    }
    // One that stays inside is the user's own affair.
    fs::rename(at("m").join(DATA), at("m/data")).expect("a move");
    symlink("../data", at("m").join(DATA)).expect("a link");
    write(&folder, &model);
    let arguments = ["compile", "m/model.onnx", "--allow-external-data", "--target", "host", "-o", "x.far"];
    farc(folder.path(), &arguments).assert().success();
}

#[test]
fn what_is_no_plain_file() {
    let (folder, model) = models();
    changed(&folder, &model, entries("weights", 0, 4));
    refused(&folder, &["external data outside of the model's folder", "a plain file"]);
    changed(&folder, &model, entries("missing.data", 0, 4));
    refused(&folder, &["error: io", "external data `missing.data` can't be read"]);
    // Nobody writes into this pipe: opening it would wait for ever.
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("m/pipe")).status();
    if pipe.is_ok_and(|status| status.success()) {
        changed(&folder, &model, entries("pipe", 0, 4));
        refused(&folder, &["a plain file", "`pipe`"]);
    }
}

#[test]
fn sizes_that_do_not_fit() {
    let (folder, model) = models();
    let first = model.graph.as_ref().and_then(|g| g.initializer.iter().find(|t| !t.external_data.is_empty()));
    let length: u64 = first.expect("an external tensor").external_data[2].value.parse().expect("a size");
    let total = fs::metadata(folder.path().join("m").join(DATA)).expect("a file").len();
    changed(&folder, &model, entries(DATA, 0, length - 1));
    refused(&folder, &["external data don't have the size of their tensor", &format!("{length} bytes for")]);
    changed(&folder, &model, entries(DATA, total - length + 1, length));
    refused(&folder, &["external data end behind the file", &format!("at most {total} bytes")]);
    changed(&folder, &model, entries(DATA, u64::MAX, length));
    refused(&folder, &["external data end behind the file"]);
    for (offset, length) in [("-1", "4"), ("0", "four"), ("0", "99999999999999999999")] {
        changed(&folder, &model, entries(DATA, offset, length));
        refused(&folder, &["of external data is no size"]);
    }
}

#[test]
fn entries_that_are_not_honoured() {
    let (folder, model) = models();
    let with = |key: &str, value: &str| {
        let mut all = entries(DATA, 0, 4);
        all.push(StringStringEntryProto { key: key.into(), value: value.into() });
        changed(&folder, &model, all);
    };
    with("checksum", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    refused(&folder, &["unsupported entry `checksum` of external data", "`location`, `offset`, `length`"]);
    with("offset", "0");
    refused(&folder, &["`offset` of external data is given twice"]);
    changed(&folder, &model, entries(DATA, 0, 4).split_off(1));
    refused(&folder, &["external data have no `location`"]);
}

/// A hundred thousand tensors of the same megabyte are a hundred gigabytes.
#[test]
fn one_range_read_again_and_again() {
    let (folder, model) = models();
    let bytes = 1usize << 20;
    fs::write(folder.path().join("m/big"), vec![0; bytes]).expect("a file");
    let options = farc::onnx::ImportOptions { max_bytes: 8 * bytes, ..Default::default() };
    let mut model = model.clone();
    let tensor = TensorProto {
        data_type: 1,
        dims: vec![bytes as i64 / 4],
        data_location: Some(1),
        external_data: entries("big", 0, bytes),
        ..Default::default()
    };
    initializers(&mut model)
        .extend((0..100).map(|i| TensorProto { name: format!("big{i}"), ..tensor.clone() }));
    let error = farc::onnx::embed_external_data(model.encode_to_vec(), &folder.path().join("m"), &options);
    let error = error.expect_err("more than is allowed");
    assert_eq!(error.kind, farc::error::ErrorKind::LimitExceeded);
    assert_eq!(error.expected.expect("a limit"), format!("at most {} bytes", 8 * bytes));
}
