//! The command as a process, and a small model.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use far_format::cpu::{Arch, Features};
use far_format::layout::Activation;
use far_format::plan::{Dim, Dtype, Operand, Place, Plan, Port, Step, StepOp, Tensor};
use far_format::{ArtifactParts, write};
use far_tool::npy::{self, Array, Data};
use serde_json::Value;
use tempfile::TempDir;

/// `sum = a + b` and `positive = relu(sum)`, two by three.
pub fn artifact(arch: Arch) -> Vec<u8> {
    let port =
        |name: &str| Port { name: name.into(), dtype: Dtype::F32, dims: [1, 2, 3].map(Dim::Fixed).into() };
    let tensor = |place| Tensor { place, rows: 2, cols: 3, stride: 3, tokens: false };
    let operand = |tensor| Operand { tensor, row: 0, col: 0, rows: 2, cols: 3 };
    let add = StepOp::Add { a: operand(0), b: operand(1), out: operand(2) };
    let relu = StepOp::Map { act: Activation::Relu, x: operand(2), out: operand(3) };
    let plan = Plan {
        model: "sum".into(),
        tensors: [Place::Input(0), Place::Input(1), Place::Output(0), Place::Output(1)].map(tensor).into(),
        inputs: vec![port("a"), port("b")],
        outputs: vec![port("sum"), port("positive")],
        steps: vec![Step { name: "add".into(), op: add }, Step { name: "act".into(), op: relu }],
        ..Plan::default()
    };
    write(&ArtifactParts { arch, features: Features::NONE, target: "test", plan: &plan, weights: &[] })
        .unwrap()
}

pub fn host() -> Arch {
    Arch::HOST.unwrap()
}

/// A folder with a model and its inputs: `a.npy` has four runs, `b.f32` one.
pub fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("model.far"), artifact(host())).unwrap();
    let a = Array { shape: vec![4, 2, 3], data: Data::F32((0..24).map(|i| i as f32 - 12.0).collect()) };
    fs::write(at("a.npy"), npy::write(&a)).unwrap();
    let b: Vec<u8> = [0.5f32; 6].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(at("b.f32"), b).unwrap();
    folder
}

/// The command, through the emulator that cargo was told to run this architecture's programs with, if any.
pub fn command() -> Command {
    let prefix = format!("CARGO_TARGET_{}", std::env::consts::ARCH.to_uppercase());
    let runner = std::env::vars().find(|(name, _)| name.starts_with(&prefix) && name.ends_with("_RUNNER"));
    let runner = runner.map(|(_, value)| value).unwrap_or_default();
    let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_far")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_remove("FAR_ISA");
    command
}

pub fn far(folder: &Path, line: &str) -> Output {
    let mut command = command();
    command.current_dir(folder).args(line.split_whitespace()).output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs, must succeed and say nothing on standard error; standard output.
pub fn good(folder: &Path, line: &str) -> String {
    let output = far(folder, line);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "far {line}");
    text(&output.stdout).to_string()
}

/// Runs, must fail with that status and say nothing on standard output; standard error.
pub fn bad(folder: &Path, line: &str, status: i32) -> String {
    let output = far(folder, line);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(status), ""), "far {line}");
    text(&output.stderr).to_string()
}

pub fn json(folder: &Path, line: &str) -> Value {
    serde_json::from_str(&good(folder, line)).unwrap()
}
