//! The command as its users meet it.

mod common;

use std::fs;

use common::{artifact, bad, command, folder, good, host, json, text};
use far_format::cpu::{Arch, Features};
use far_format::layout::Precision;
use far_format::plan::{Batch, Dim, Dtype, Embed, Operand, Place, Plan, Port, Step, StepOp, Tensor};
use far_format::{ArtifactParts, write};
use far_tool::npy::{self, Array, Data};
use serde_json::Value;
use tempfile::TempDir;

/// Sentences of up to 6 words out of 10, in batches of up to 3, with a mask: `states` are the words' rows of a table, row
/// `id` being `10 id, 10 id + 1`; `mean` is the mean of a sentence.
fn text_artifact() -> Vec<u8> {
    let numbers =
        |name: &str| Port { name: name.into(), dtype: Dtype::I64, dims: vec![Dim::Batch, Dim::Tokens] };
    let tensor = |place, rows, tokens| Tensor { place, rows, cols: 2, stride: 2, tokens };
    let operand = |tensor, rows| Operand { tensor, row: 0, col: 0, rows, cols: 2 };
    let floats = |name: &str, dims: &[Dim]| Port { name: name.into(), dtype: Dtype::F32, dims: dims.into() };
    let embed =
        StepOp::Embed(Embed { input: 0, table: 0, vocab: 10, precision: Precision::F32, out: operand(0, 6) });
    let mean = StepOp::MeanRows { x: operand(0, 6), out: operand(1, 1) };
    let plan = Plan {
        model: "text".into(),
        tensors: vec![tensor(Place::Output(0), 6, true), tensor(Place::Output(1), 1, false)],
        inputs: vec![numbers("words"), numbers("mask")],
        outputs: vec![
            floats("states", &[Dim::Batch, Dim::Tokens, Dim::Fixed(2)]),
            floats("mean", &[Dim::Batch, Dim::Fixed(2)]),
        ],
        steps: vec![Step { name: "embed".into(), op: embed }, Step { name: "mean".into(), op: mean }],
        tokens: 6,
        batch: Batch { most: 3, fixed: false },
        lengths: Some(1),
        ..Plan::default()
    };
    let weights: Vec<u8> = (0..20)
        .flat_map(|i| (i / 2 * 10 + i % 2).to_string().parse::<f32>().unwrap().to_le_bytes())
        .collect();
    let (arch, features) = (host(), Features::NONE);
    write(&ArtifactParts { arch, features, target: "test", plan: &plan, weights: &weights }).unwrap()
}

#[test]
fn run_stacks_a_batch() {
    let folder = folder();
    let line = "run model.far --input a.npy --input b=b.f32 --output positive=p.npy --output s.npy --threads 1 --json";
    let json = json(folder.path(), line);
    assert_eq!(json["runs"], 4);
    assert_eq!((&json["arch"], &json["target"]), (&host().name().into(), &"test".into()));
    assert_eq!(json["outputs"][0]["shape"], serde_json::json!([4, 2, 3]));
    assert_eq!(json["outputs"][1]["file"], "p.npy");
    assert!(json["kernels"][0].as_str().unwrap().starts_with("add_f32_"));

    let read = |name: &str| npy::read(&fs::read(folder.path().join(name)).unwrap()).unwrap();
    let sum: Vec<f32> = (0..24).map(|i| i as f32 - 11.5).collect();
    let positive: Vec<f32> = sum.iter().map(|x| x.max(0.0)).collect();
    assert_eq!(read("s.npy"), Array { shape: vec![4, 2, 3], data: sum.into() });
    assert_eq!(read("p.npy"), Array { shape: vec![4, 2, 3], data: positive.into() });
}

/// A folder with the model of sentences, and five of them of four words each: `words.npy` and `mask.npy`.
fn text_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let save = |name: &str, data| {
        fs::write(folder.path().join(name), npy::write(&Array { shape: vec![5, 4], data })).unwrap();
    };
    fs::write(folder.path().join("model.far"), text_artifact()).unwrap();
    save("words.npy", Data::I64((0..20).map(|i| i % 10).collect()));
    // Sentence i has min(i + 1, 4) words. As numbers of 32 bits, which the model's of 64 bits can be.
    save("mask.npy", Data::I32((0..20).map(|i| i32::from(i % 4 <= i / 4)).collect()));
    folder
}

#[test]
fn run_takes_sentences_in_batches() {
    let folder = text_folder();
    let mut means = Vec::new();
    for (options, calls) in [("", 2), ("--batch 1", 5), ("--batch 2 --tokens 4", 3)] {
        let line =
            format!("run model.far --input words.npy --input mask.npy --output mean=m.npy {options} --json");
        let json = json(folder.path(), &line);
        assert_eq!(json["runs"], calls);
        assert_eq!(json["outputs"][0]["shape"], serde_json::json!([5, 4, 2]));
        let mean = npy::read(&fs::read(folder.path().join("m.npy")).unwrap()).unwrap();
        assert_eq!(mean.shape, [5, 2]);
        means.push(mean.data.into_f32().unwrap());
    }
    // Words 0; 4 and 5; 8, 9 and 0; 2 to 5; 6 to 9.
    assert_eq!(means[0], [0.0, 1.0, 45.0, 46.0, 170.0 / 3.0, 173.0 / 3.0, 35.0, 36.0, 75.0, 76.0]);
    assert!(means.iter().all(|mean| *mean == means[0]));
}

#[test]
fn bare_integers_need_the_number_of_tokens() {
    let folder = text_folder();
    let words: Vec<u8> = [1i64, 2, 3, 4, 5, 6].iter().flat_map(|i| i.to_le_bytes()).collect();
    let ones: Vec<u8> = [1i64, 1, 1].iter().flat_map(|i| i.to_le_bytes()).collect();
    fs::write(folder.path().join("words.i64"), words).unwrap();
    fs::write(folder.path().join("ones.i64"), ones).unwrap();
    let line = "run model.far --input words.i64 --input ones.i64 --output mean=m.npy";
    assert_eq!(
        bad(folder.path(), line, 2),
        "error: `--tokens`: expected a number, as no input's shape says it
hint: `far --help` lists commands and options
"
    );
    // Two sentences of three words; one mask for both.
    good(folder.path(), &format!("{line} --tokens 3"));
    let mean = npy::read(&fs::read(folder.path().join("m.npy")).unwrap()).unwrap();
    assert_eq!(mean, Array { shape: vec![2, 2], data: vec![20.0, 21.0, 50.0, 51.0].into() });
}

#[test]
fn wrong_sentences_are_explained() {
    let folder = text_folder();
    let save = |name: &str, shape: &[usize], data| {
        let file = npy::write(&Array { shape: shape.into(), data });
        fs::write(folder.path().join(name), file).unwrap();
    };
    save("unknown.npy", &[1, 4], Data::I64(vec![1, 2, 10, 3]));
    save("long.npy", &[1, 7], Data::I64(vec![1; 7]));
    save("three.npy", &[5, 3], Data::I64(vec![1; 15]));
    save("floats.npy", &[5, 4], Data::F32(vec![1.0; 20]));
    save("holes.npy", &[1, 4], Data::I64(vec![1, 0, 1, 0]));
    let cases = [
        (
            "unknown.npy --input mask.npy",
            "input `words`: element `2`, position `2`: expected an id below `10`, got `10`",
        ),
        ("long.npy --input long.npy", "tokens: expected `1` to `6`, got `7`"),
        (
            "words.npy --input three.npy",
            "input `mask`: expected shape `[1, 4], or a multiple of its leading dimension`, got `[5, 3]`",
        ),
        ("floats.npy --input mask.npy", "input `words`: element type: expected i64, got f32"),
        (
            "words.npy --input holes.npy",
            "input `mask`: element `0`, position `2`: expected ones, at least one, then zeros, got `1`",
        ),
        (
            "unknown.npy --input mask.npy --batch 2",
            "input `words`: element `2`, position `2`: expected an id below `10`, got `10`",
        ),
        ("words.npy --input mask.npy --batch 4", "batch: expected `1` to `3`, got `4`"),
        ("words.npy --input mask.npy --tokens 7", "tokens: expected `1` to `6`, got `7`"),
        (
            "words.npy --input mask.npy --tokens 3",
            "input `words`: expected shape `[1, 3], or a multiple of its leading dimension`, got `[5, 4]`",
        ),
    ];
    for (inputs, expected) in cases {
        let found = bad(folder.path(), &format!("run model.far --input {inputs}"), 1);
        assert_eq!(
            found,
            format!(
                "error: {expected}
"
            )
        );
    }
    // Where the number of tokens is fixed, there is none to say.
    fs::write(folder.path().join("fixed.far"), artifact(host())).unwrap();
    let found = bad(folder.path(), "bench fixed.far --tokens 4", 1);
    assert_eq!(
        found,
        "error: tokens: expected `0`, got `4`
"
    );
}

#[test]
fn sentences_are_described_and_timed() {
    let folder = text_folder();
    let info = json(folder.path(), "info model.far --json");
    let words = serde_json::json!({ "name": "words", "dtype": "i64", "dims": ["batch", "tokens"] });
    assert_eq!(info["inputs"][0], words);
    assert_eq!(info["outputs"][0]["dims"], serde_json::json!(["batch", "tokens", 2]));
    assert_eq!(info["batch"], serde_json::json!({ "most": 3, "fixed": false }));
    assert_eq!((&info["tokens"], &info["lengths"]), (&6.into(), &"mask".into()));
    let text = good(folder.path(), "info model.far");
    assert!(
        text.contains(
            "input     words i64 [batch, tokens]
"
        ),
        "{text}"
    );
    assert!(
        text.contains(
            "batch     1 to 3
tokens    1 to 6, an element's own by mask
"
        ),
        "{text}"
    );

    for (options, batch, tokens) in [("", 1, 6), ("--batch 3 --tokens 2", 3, 2)] {
        let bench = json(folder.path(), &format!("bench model.far --runs 3 {options} --json"));
        assert_eq!((&bench["batch"], &bench["tokens"]), (&batch.into(), &tokens.into()));
    }
    let error = bad(folder.path(), "bench model.far --batch 4", 1);
    assert_eq!(
        error,
        "error: batch: expected `1` to `3`, got `4`
"
    );
}

#[test]
fn run_for_people() {
    let folder = folder();
    let out = good(folder.path(), "run model.far --input b.f32 --input b.f32 --output sum=s.npy");
    assert!(out.starts_with("ran      1 times on "), "{out}");
    assert!(
        out.ends_with("output   sum [1, 2, 3] -> s.npy\noutput   positive [1, 2, 3] -> not written\n"),
        "{out}"
    );
}

#[test]
fn wrong_inputs_are_explained() {
    let folder = folder();
    let save = |name: &str, shape: &[usize]| {
        let array = Array { shape: shape.into(), data: vec![0.0; shape.iter().product()].into() };
        fs::write(folder.path().join(name), npy::write(&array)).unwrap();
    };
    save("wide.npy", &[1, 2, 4]);
    save("three.npy", &[3, 2, 3]);
    save("none.npy", &[0, 2, 3]);
    fs::write(folder.path().join("odd.f32"), [0; 5]).unwrap();
    let run = |inputs: &str, status| bad(folder.path(), &format!("run model.far {inputs}"), status);
    let cases = [
        ("--input a.npy", 1, "error: no `--input` for `b`\n"),
        (
            "--input wide.npy --input b.f32",
            1,
            "error: input `a`: expected shape `[1, 2, 3], or a multiple of its leading dimension`, got `[1, 2, 4]`\n",
        ),
        (
            "--input a.npy --input three.npy",
            1,
            "error: input `b`: expected as many runs as the inputs before it, `4`, got `3`\n",
        ),
        (
            "--input none.npy --input none.npy",
            1,
            "error: input `a`: expected shape `1 or more in the leading dimension`, got `[0, 2, 3]`\n",
        ),
        (
            "--input odd.f32 --input b.f32",
            1,
            "error: `odd.f32`: f32 data: expected a multiple of `4` bytes, got `5`\n",
        ),
        (
            "--input a.npy --input a=b.f32",
            2,
            "error: `--input`: expected one file for `a`, got `b.f32` too\nhint: `far --help` lists commands and options\n",
        ),
        (
            "--input a.npy --input a.npy --input a.npy",
            2,
            "error: `--input`: expected one file for each of `a`, `b`, got `3` files\nhint: `far --help` lists commands and options\n",
        ),
    ];
    for (inputs, status, expected) in cases {
        assert_eq!(run(inputs, status), expected);
    }
    let missing = run("--input nothing.npy --input b.f32", 1);
    assert!(missing.starts_with("error: can't read `nothing.npy`: "), "{missing}");
    let nowhere = run("--input a.npy --input b.f32 --output no/folder/x.npy", 1);
    assert!(nowhere.starts_with("error: can't write `no/folder/x.npy`: "), "{nowhere}");
}

#[test]
fn wrong_models_are_explained() {
    let folder = folder();
    let other = Arch::ALL.into_iter().find(|arch| *arch != host()).unwrap();
    fs::write(folder.path().join("other.far"), artifact(other)).unwrap();
    fs::write(folder.path().join("short.far"), &artifact(host())[..1000]).unwrap();
    let missing = bad(folder.path(), "bench nothing.far", 1);
    assert!(missing.starts_with("error: can't read `nothing.far`: "), "{missing}");
    assert_eq!(
        bad(folder.path(), "bench other.far", 1),
        format!(
            "error: `other.far`: artifact for another architecture: it is for `{other}`, this library for `{}`\n\
             hint: compile the model with `--target` for this machine\n",
            host()
        )
    );
    assert_eq!(
        bad(folder.path(), "info short.far", 1),
        "error: `short.far`: truncated: expected `65536` bytes, got `1000`\nhint: copy the file again\n"
    );
    // What it says can be read anywhere.
    assert_eq!(json(folder.path(), "info other.far --json")["arch"], other.name());
}

#[test]
fn info() {
    let folder = folder();
    let json = json(folder.path(), "info model.far --json");
    assert_eq!(json["model"], "sum");
    assert_eq!(json["inputs"][1], serde_json::json!({ "name": "b", "dtype": "f32", "dims": [1, 2, 3] }));
    assert_eq!(json["steps"][1], serde_json::json!({ "name": "act", "op": "map", "precision": null }));
    let text = good(folder.path(), "info model.far");
    assert!(text.contains("output    positive f32 [1, 2, 3]\n"), "{text}");
    assert!(text.ends_with("steps     2: 1 add, 1 map\n"), "{text}");
}

#[test]
fn bench() {
    let folder = folder();
    let json = json(folder.path(), "bench model.far --runs 9 --warmup 1 --threads 1 --profile --json");
    let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"));
    assert!(number("min_ms") > 0.0);
    assert!(number("min_ms") <= number("p50_ms") && number("p50_ms") <= number("p90_ms"));
    assert!(number("p90_ms") <= number("p99_ms") && number("load_ms") > 0.0);
    assert_eq!((number("runs"), number("threads"), number("arena_bytes")), (9.0, 1.0, 0.0));
    assert_eq!((&json["arch"], &json["kernels"].as_array().unwrap().len()), (&host().name().into(), &2));
    assert_eq!(json["steps"][0]["name"], "add");
    assert!(number("first_ms") > 0.0 && json["cpus"].as_array().unwrap().is_empty());
    let table = good(folder.path(), "bench model.far --runs 2 --threads 1 --profile");
    assert!(table.contains("add         add\n") && table.contains("100.0 %"), "{table}");
    assert!(good(folder.path(), "bench model.far --runs 1").starts_with("model    sum for test\n"));
}

#[test]
fn doctor() {
    let folder = folder();
    let json = json(folder.path(), "doctor --json");
    assert_eq!(json["arch"], host().name());
    assert_eq!(json["available"].as_array().unwrap().last().unwrap(), "scalar");
    assert_eq!(json["isa"], json["available"][0]);
    let scalar = |value: &str| command().args(["doctor", "--json"]).env("FAR_ISA", value).output().unwrap();
    let limited: Value = serde_json::from_slice(&scalar("scalar").stdout).unwrap();
    assert_eq!(limited["isa"], "scalar");
    let unknown = scalar("mmx");
    assert_eq!(unknown.status.code(), Some(1));
    let message = text(&unknown.stderr);
    assert!(
        message.starts_with("error: environment variable `FAR_ISA`: expected one of `scalar"),
        "{message}"
    );
    let text = good(folder.path(), "doctor");
    assert!(text.contains("\narchitecture  ") || text.starts_with("architecture  "), "{text}");
    assert!(!json["features_found_by"].as_str().unwrap().is_empty());
}

#[test]
fn usage() {
    let folder = folder();
    let hint = "hint: `far --help` lists commands and options\n";
    let cases = [
        ("", "command: expected `info`, `run`, `bench`, `verify`, `doctor` or `install`, got none"),
        ("play", "command: expected `info`, `run`, `bench`, `verify`, `doctor` or `install`, got `play`"),
        ("info", "no MODEL.far given"),
        ("info model.far other.far", "unexpected argument \"other.far\""),
        ("info model.far --threads 2", "invalid option '--threads'"),
        ("bench model.far --threads 1000", "`--threads`: expected a number from `0` to `256`, got `1000`"),
        ("bench model.far --runs 0", "`--runs`: expected a number from `1` to `1000000`, got `0`"),
        ("bench model.far --runs", "missing argument for option '--runs'"),
        ("doctor model.far b.far", "unexpected argument \"b.far\""),
        (
            "bench model.far --cpu 1-x",
            "`--cpu`: expected numbers and ranges such as `0,2` or `4-7`, got `1-x`",
        ),
        (
            "verify model.far --golden a.npy",
            "`--golden`: expected the model's 2 inputs, then one output or more, got `1` files",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(bad(folder.path(), line, 2), format!("error: {expected}\n{hint}"));
    }
    for line in ["--help", "help", "run --help", "-h"] {
        assert!(good(folder.path(), line).starts_with("far: runs compiled models"));
    }
    assert_eq!(good(folder.path(), "--version"), format!("far {}\n", env!("CARGO_PKG_VERSION")));
}
