//! The C example, built by its own Makefile and run on a model, images and labels made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use far_abi_check::{capi, libraries, succeed};
use far_format::ArtifactParts;
use far_format::cpu::{Arch, Features};
use far_format::layout::{Activation, Precision, panels_len};
use far_format::plan::{Dim, Dtype, Gemm, GemmGroup, Operand, Place, Plan, Port, Step, StepOp, Tensor};
use far_kernels::pack::HOST;
use serde_json::Value;
use tempfile::TempDir;

const PIXELS: usize = 4;
const CLASSES: usize = 3;

/// Three images; the classifier below answers 1, 2, 0.
const IMAGES: [[f32; PIXELS]; 3] = [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 1.0]];

/// The logit of class `n` is pixel `n` plus half of the last pixel.
fn classifier() -> Vec<u8> {
    let tensor =
        |place, cols: usize| Tensor { place, rows: 1, cols: cols as u32, stride: cols as u32, tokens: false };
    let whole = |tensor, cols: usize| Operand { tensor, row: 0, col: 0, rows: 1, cols: cols as u32 };
    let port = |name: &str, dims: &[u32]| {
        let dims = dims.iter().copied().map(Dim::Fixed).collect();
        Port { name: name.to_string(), dtype: Dtype::F32, dims }
    };
    let group = GemmGroup { a_col: 0, k: PIXELS as u32, out_col: 0, n: CLASSES as u32, weights: 0 };
    let (a, out) = (whole(0, PIXELS), whole(1, CLASSES));
    let linear = Gemm {
        a,
        out,
        residual: None,
        act: Activation::None,
        precision: Precision::F32,
        groups: vec![group],
    };
    let plan = Plan {
        model: "tiny".to_string(),
        tensors: vec![tensor(Place::Input(0), PIXELS), tensor(Place::Output(0), CLASSES)],
        inputs: vec![port("image", &[1, 1, 2, 2])],
        outputs: vec![port("logits", &[1, CLASSES as u32])],
        steps: vec![Step { name: "head".to_string(), op: StepOp::Gemm(linear) }],
        ..Plan::default()
    };
    let mut weights = vec![0.0; panels_len(PIXELS, CLASSES)];
    let weight = |k, n| if k == n { 1.0 } else { f32::from(k == PIXELS - 1) / 2.0 };
    far_kernels::pack::gemm(Precision::F32, HOST, PIXELS, CLASSES, weight, None, &mut weights);
    let weights: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let arch = Arch::HOST.expect("libfar is built for a known architecture");
    far_format::write(&ArtifactParts {
        arch,
        features: Features::NONE,
        target: "test",
        plan: &plan,
        weights: &weights,
    })
    .expect("the plan keeps the rules of the format")
}

fn logits() -> Vec<f32> {
    IMAGES.iter().flat_map(|image| image[..CLASSES].iter().map(|x| x + image[PIXELS - 1] / 2.0)).collect()
}

fn npy(descr: &str, shape: &str, data: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    header.extend(std::iter::repeat_n(' ', (64 - (11 + header.len()) % 64) % 64));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&u16::try_from(header.len()).expect("a short header").to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    data.into_iter().for_each(|element| file.extend_from_slice(&element));
    file
}

fn floats(values: impl IntoIterator<Item = f32>) -> impl Iterator<Item = Vec<u8>> {
    values.into_iter().map(|x| x.to_le_bytes().to_vec())
}

struct Example {
    folder: TempDir,
    program: PathBuf,
}

impl Example {
    fn new() -> Example {
        let folder = TempDir::new().expect("a folder");
        for file in ["classify.c", "npy.h", "Makefile"] {
            fs::copy(capi().join("../examples/c").join(file), folder.path().join(file))
                .expect("a file of the example");
        }
        let mut make = Command::new("make");
        make.current_dir(folder.path()).arg("CFLAGS=-O1 -Wall -Wextra -Wpedantic -Werror");
        make.arg(format!("FAR_INCLUDE={}", capi().join("include").display()));
        make.arg(format!("FAR_LIB={}", libraries().archive.parent().expect("a folder").display()));
        succeed(&mut make);

        let labels = [1i64, 2, 2].map(|label| label.to_le_bytes().to_vec());
        for (name, content) in [
            ("model.far", classifier()),
            ("images.npy", npy("<f4", "3, 1, 2, 2", floats(IMAGES.into_iter().flatten()))),
            ("labels.npy", npy("<i8", "3,", labels)),
            ("logits.npy", npy("<f4", "3, 3", floats(logits()))),
            ("off.npy", npy("<f4", "3, 3", floats(logits().into_iter().map(|x| x + 0.25)))),
            ("nan.npy", npy("<f4", "3, 3", floats([f32::NAN; 9]))),
        ] {
            fs::write(folder.path().join(name), content).expect("a file of the test");
        }
        Example { program: folder.path().join("classify"), folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let arguments = arguments.iter().map(|argument| {
            let is_file = Path::new(argument).extension().is_some();
            if is_file { self.folder.path().join(argument).into_os_string() } else { (*argument).into() }
        });
        Command::new(&self.program).args(arguments).output().expect("the program runs")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the program prints JSON")
    }
}

fn fnv1a64(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[test]
fn classifies_and_scores() {
    let example = Example::new();
    let answer = example.json(&["model.far", "images.npy", "labels.npy", "logits.npy", "--json"]);
    assert_eq!(answer["arch"], std::env::consts::ARCH);
    assert_eq!(answer["images"], 3);
    assert!((answer["top1"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-6);
    assert_eq!(answer["max_abs_diff"], 0.0);
    assert_eq!(answer["logits_range"], 3.5);
    assert_eq!(answer["arena_bytes"], 0);
    assert_eq!(answer["logits_fnv1a64"], fnv1a64(logits().into_iter().flat_map(f32::to_le_bytes)));
    let kernels = answer["kernels"].as_array().unwrap();
    assert!(kernels[0].as_str().unwrap().starts_with("gemm_f32"), "{kernels:?}");

    let answer =
        example.json(&["model.far", "images.npy", "labels.npy", "off.npy", "--json", "--count", "2"]);
    assert_eq!(answer["images"], 2);
    assert_eq!(answer["top1"], 1.0);
    assert_eq!(answer["max_abs_diff"], 0.25);

    let answer =
        example.json(&["model.far", "images.npy", "labels.npy", "nan.npy", "--json", "--threads", "2"]);
    assert_eq!(answer["max_abs_diff"], Value::Null);
    let answer = example.json(&["--json", "model.far", "images.npy", "labels.npy"]);
    assert_eq!(answer["max_abs_diff"], Value::Null);

    let output = example.run(&["model.far", "images.npy", "labels.npy", "logits.npy"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("image    2  predicted 0") && text.contains("wrong"), "{text}");
    assert!(text.contains("top-1     66.7 %"), "{text}");
}

#[test]
fn says_what_is_wrong() {
    let example = Example::new();
    for (arguments, status, message) in [
        (&["model.far", "images.npy"][..], 2, "missing argument `LABELS.npy`"),
        (&["model.far", "images.npy", "labels.npy", "--count", "0"], 2, "not a number of images: `0`"),
        (&["model.far", "images.npy", "labels.npy", "--threads"], 2, "not a number of threads: ``"),
        (&["model.far", "images.npy", "labels.npy", "--fast"], 2, "unknown argument `--fast`"),
        (&["images.npy", "images.npy", "labels.npy"], 1, "FAR_ERROR_NOT_AN_ARTIFACT"),
        (&["none.far", "images.npy", "labels.npy"], 1, "FAR_ERROR_FILE_NOT_FOUND"),
        (&["model.far", "none.npy", "labels.npy"], 1, "can't be opened"),
        (&["model.far", "labels.npy", "labels.npy"], 1, "has another element type than expected"),
        (&["model.far", "model.far", "labels.npy"], 1, "is not a .npy file"),
        (&["model.far", "logits.npy", "labels.npy"], 1, "has images of another size than the model's"),
    ] {
        let output = example.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.contains(message), "{arguments:?}: expected `{message}` in `{text}`");
        assert!(output.stdout.is_empty());
    }
}
