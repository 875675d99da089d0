//! The command line as its users meet it: exit status, what is said, and that nothing half done is left behind.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use prost::Message;
use tempfile::TempDir;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, attribute_proto};

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name);
    path.to_str().expect("a plain path").to_owned()
}

fn farc(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farc"));
    command.current_dir(folder).args(arguments).env_remove("FAR_SDK").env("NO_COLOR", "1");
    command
}

/// Runs, and gives what was printed.
fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = farc(folder, arguments).assert().success().get_output().clone();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Fails as the user's problem, says all of `parts` on standard error and nothing on standard output.
fn fails(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let before = files(folder);
    let output = farc(folder, arguments).assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    for part in parts {
        assert!(error.contains(part), "no `{part}` in:\n{error}");
    }
    assert_eq!(files(folder), before, "something was left behind");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn compiled(folder: &Path, target: &str) -> String {
    let model = example("far-parallel.onnx");
    prints(folder, &["compile", &model, "--target", target, "-o", "model.far", "--json"])
}

/// An SDK whose libraries are empty files.
fn sdk(folder: &Path, triple: &str) -> PathBuf {
    let sdk = folder.join("sdk");
    fs::create_dir_all(sdk.join("include")).expect("a folder");
    fs::create_dir_all(sdk.join("lib").join(triple)).expect("a folder");
    for file in
        ["include/far.h".into(), format!("lib/{triple}/libfar.a"), format!("lib/{triple}/libfar.so.0")]
    {
        fs::write(sdk.join(file), "").expect("a file");
    }
    std::os::unix::fs::symlink("libfar.so.0", sdk.join("lib").join(triple).join("libfar.so"))
        .expect("a link");
    sdk
}

#[test]
fn an_artifact_is_compiled_inspected_run_and_timed() {
    let folder = folder();
    let report = json(&compiled(folder.path(), "host"));
    assert_eq!(report["target"]["name"], "host");
    assert_eq!(
        report["totals"]["artifact_bytes"],
        fs::metadata(folder.path().join("model.far")).unwrap().len()
    );
    assert!(report["totals"]["predicted_ms"].as_f64().unwrap() > 0.0);

    let text = prints(folder.path(), &["inspect", "model.far"]);
    assert!(text.contains("lstm") && text.contains("image") && text.contains("logits"), "{text}");
    assert_eq!(
        json(&prints(folder.path(), &["inspect", "model.far", "--json"]))["outputs"][0]["name"],
        "logits"
    );

    let images = format!("image={}", example("images.npy"));
    let run =
        ["run", "model.far", "--input", &images, "--output", "logits=y.npy", "--threads", "1", "--json"];
    let report = json(&prints(folder.path(), &run));
    assert_eq!(report["runs"], 1000);
    assert_eq!(report["outputs"][0]["shape"], serde_json::json!([1000, 10]));
    assert!(!report["kernels"].as_array().unwrap().is_empty());
    let got: ndarray::Array2<f32> = ndarray_npy::read_npy(folder.path().join("y.npy")).unwrap();
    let expected: ndarray::Array2<f32> = ndarray_npy::read_npy(example("far-parallel.logits.npy")).unwrap();
    let largest = (&got - &expected).iter().fold(0f32, |m, d| m.max(d.abs()));
    assert!(largest < 2e-3, "{largest}");

    let bench =
        ["bench", "model.far", "--runs", "3", "--warmup", "1", "--threads", "1", "--profile", "--json"];
    let report = json(&prints(folder.path(), &bench));
    for key in ["min_ms", "p50_ms", "p90_ms", "p99_ms", "load_ms", "peak_rss_bytes"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}: {report}");
    }
    assert!(!report["steps"].as_array().unwrap().is_empty());
}

#[test]
fn every_command_says_how_weights_are_stored() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    let compile = |rest: &[&str]| {
        let arguments = ["compile", &model, "--target", "host", "-o", "model.far"];
        prints(folder.path(), &[&arguments[..], rest].concat())
    };
    let except = ["--dtype", "int8", "--dtype-for", "blocks.*.mlp.fc1=f32", "--dtype-for", "head=f16"];
    let text = compile(&except);
    for part in ["in f32 of 4 steps", "in f16 of 1 step,", "in int8 of "] {
        assert!(text.contains(part), "{text}");
    }
    let report = json(&compile(&[&except[..], &["--json"]].concat()));
    let steps = report["steps"].as_array().unwrap();
    let step = |name: &str| steps.iter().find(|step| step["name"] == name).expect("a step");
    assert_eq!(step("blocks.0.mlp.fc1")["precision"], "f32");
    assert_eq!(step("blocks.0.mlp.fc2")["precision"], "int8");
    assert_eq!(step("blocks.0.norm1")["precision"], serde_json::Value::Null);
    let stored = report["totals"]["precisions"].as_array().unwrap();
    let bytes: u64 = stored.iter().map(|stored| stored["bytes"].as_u64().unwrap()).sum();
    assert!(stored.len() == 3 && bytes <= report["totals"]["weight_bytes"].as_u64().unwrap(), "{stored:?}");

    let text = prints(folder.path(), &["inspect", "model.far"]);
    assert!(
        text.contains("steps in int8")
            && text.contains("of 1 step in f16")
            && text.contains("int8     384→96"),
        "{text}"
    );
    let info = json(&prints(folder.path(), &["inspect", "model.far", "--json"]));
    assert_eq!(&info["precisions"], &report["totals"]["precisions"]);
    let bench = prints(folder.path(), &["bench", "model.far", "--runs", "1", "--threads", "1", "--profile"]);
    assert!(bench.contains("weights  int8, f32, f16\n") && bench.contains("gemm_i8_"), "{bench}");
}

#[test]
fn a_dtype_that_cannot_be_is_refused() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    let compile = |target, rest: &[&'static str], parts: &[&str]| {
        let arguments = ["compile", &model, "--target", target, "-o", "model.far"];
        fails(folder.path(), &[&arguments[..], rest].concat(), parts);
    };
    compile(
        "raspberry-pi-5",
        &["--dtype", "bf16"],
        &["`raspberry-pi-5` has no products in bfloat16", "x86_64", "aarch64", "`int8` is a quarter"],
    );
    compile(
        "x86_64",
        &["--dtype-for", "blocks.0.mlp.fc3=int8"],
        &["`blocks.0.mlp.fc3` fits no step that has weights", "`blocks.0.mlp.fc1`", "farc inspect"],
    );
    for wrong in [["--dtype", "int4"], ["--dtype-for", "head"], ["--dtype-for", "head=half"]] {
        let arguments = ["compile", &model, "--target", "x86_64", "-o", "model.far", wrong[0], wrong[1]];
        let output = farc(folder.path(), &arguments).assert().code(2).get_output().clone();
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(
            error.contains(wrong[1]) && (error.contains("`int8`") || error.contains("PATTERN=DTYPE")),
            "{error}"
        );
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn an_artifact_is_judged_by_its_model() {
    let folder = folder();
    compiled(folder.path(), "host");
    let model = example("far-parallel.onnx");
    let verdict = json(&prints(
        folder.path(),
        &["verify", &model, "model.far", "--seed", "7", "--samples", "1", "--json"],
    ));
    assert_eq!(verdict["passed"], true);
    assert!(verdict["layers"].as_array().unwrap().len() > 8, "{verdict}");

    // Another model with the same ports.
    let other = example("deit.onnx");
    let verify = ["verify", &other, "model.far", "--samples", "1", "--no-layers"];
    let output = farc(folder.path(), &verify).assert().code(1).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stdout).contains("DIFFERENT"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: mismatch"));
}

#[test]
fn people_get_a_summary() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    let text = prints(folder.path(), &["compile", &model, "--target", "raspberry-pi-5", "-o", "model.far"]);
    for part in
        ["compiled", "found", "pruned", "work", "artifact", "memory", "predicted", "Cortex-A76", "model.far"]
    {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn a_folder_gets_everything_an_application_needs() {
    let folder = folder();
    let sdk = sdk(folder.path(), "aarch64-unknown-linux-gnu");
    let model = example("far-parallel.onnx");
    let arguments = ["compile", &model, "--target", "raspberry-pi-4", "-o", "out"];
    for _ in 0..2 {
        farc(folder.path(), &arguments).env("FAR_SDK", &sdk).assert().success();
        for file in ["model.far", "report.json", "include/far.h", "lib/aarch64-unknown-linux-gnu/libfar.so"] {
            assert!(folder.path().join("out").join(file).is_file(), "{file}");
        }
        let library = folder.path().join("out/lib/aarch64-unknown-linux-gnu/libfar.so");
        assert_eq!(fs::read_link(library).unwrap(), Path::new("libfar.so.0"));
        assert_eq!(files(folder.path()).len(), 2, "only `out` and `sdk`");
    }
    let report = fs::read_to_string(folder.path().join("out/report.json")).unwrap();
    assert_eq!(json(&report)["target"]["arch"], "aarch64");
}

#[test]
fn a_folder_without_an_sdk_is_an_error() {
    let model = example("far-parallel.onnx");
    let arguments = ["compile", &model, "--target", "visionfive-2", "-o", "out"];
    let folder = folder();
    let sdk = sdk(folder.path(), "aarch64-unknown-linux-gnu");
    let output = farc(folder.path(), &arguments).env("FAR_SDK", &sdk).assert().code(1).get_output().clone();
    let error = String::from_utf8(output.stderr).unwrap();
    for part in ["riscv64gc-unknown-linux-gnu", "libfar.a", "cargo xtask sdk", "-o NAME.far"] {
        assert!(error.contains(part), "no `{part}` in:\n{error}");
    }
    assert_eq!(files(folder.path()), [sdk], "no partial output");
}

#[test]
fn a_folder_that_farc_did_not_write_is_not_replaced() {
    let folder = folder();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/thesis.tex"), "").unwrap();
    let model = example("far-parallel.onnx");
    let arguments = ["compile", &model, "--target", "host", "-o", "out"];
    fails(folder.path(), &arguments, &["out", "expected", "model.far"]);
}

#[test]
fn a_missing_file() {
    let arguments = ["compile", "no-such.onnx", "--target", "host", "-o", "x.far"];
    fails(folder().path(), &arguments, &["error: io", "no-such.onnx", "help:"]);
}

#[test]
fn a_broken_onnx() {
    let folder = folder();
    let whole = fs::read(example("far-parallel.onnx")).unwrap();
    fs::write(folder.path().join("broken.onnx"), &whole[..whole.len() / 2]).unwrap();
    let arguments = ["compile", "broken.onnx", "--target", "host", "-o", "x.far"];
    fails(folder.path(), &arguments, &["error: broken-model", "broken.onnx"]);
}

/// The parallel example with its first node of one operator changed.
fn changed(folder: &Path, op: &str, change: impl FnOnce(&mut NodeProto)) {
    let bytes = fs::read(example("far-parallel.onnx")).unwrap();
    let mut model = ModelProto::decode(&bytes[..]).unwrap();
    let nodes = &mut model.graph.as_mut().expect("a graph").node;
    change(nodes.iter_mut().find(|n| n.op_type == op).expect("such a node"));
    fs::write(folder.join("changed.onnx"), model.encode_to_vec()).unwrap();
}

#[test]
fn an_unknown_op() {
    let folder = folder();
    changed(folder.path(), "Add", |node| node.op_type = "Frobnicate".into());
    let arguments = ["compile", "changed.onnx", "--target", "host", "-o", "x.far"];
    fails(
        folder.path(),
        &arguments,
        &["error: unsupported-op", "changed.onnx", "`Frobnicate`", "at node", "help:"],
    );
}

#[test]
fn an_unsupported_lstm_attribute() {
    let folder = folder();
    let clip = AttributeProto {
        name: "clip".into(),
        r#type: attribute_proto::AttributeType::Float as i32,
        f: 3.0,
        ..Default::default()
    };
    changed(folder.path(), "LSTM", |node| node.attribute.push(clip));
    let arguments = ["compile", "changed.onnx", "--target", "host", "-o", "x.far"];
    fails(folder.path(), &arguments, &["error: unsupported-attribute", "clip", "at node", "help:"]);
}

#[test]
fn an_unknown_board_with_a_near_match() {
    let model = example("far-parallel.onnx");
    let arguments = ["compile", &model, "--target", "rasberry-pi5", "-o", "x.far"];
    fails(folder().path(), &arguments, &["error: unknown-target", "`rasberry-pi5`", "`raspberry-pi-5`"]);
}

#[test]
fn a_yaml_with_an_unknown_key() {
    let folder = folder();
    let yaml = include_str!("../../targets/raspberry-pi-5.yaml").replace("clock_mhz", "clock_mzh");
    fs::write(folder.path().join("mine.yaml"), yaml).unwrap();
    let model = example("far-parallel.onnx");
    let arguments = ["compile", &model, "--target", "mine.yaml", "-o", "x.far"];
    let parts = ["error: bad-target", "mine.yaml", "line 9", "`clock_mzh`", "did you mean `clock_mhz`?"];
    fails(folder.path(), &arguments, &parts);
}

/// A mask file with one f32 entry of ones, but for a zero in front.
fn mask(folder: &Path, name: &str, dims: &[usize]) {
    let len: usize = dims.iter().product();
    let mut data = 0f32.to_le_bytes().to_vec();
    data.extend((1..len).flat_map(|_| 1f32.to_le_bytes()));
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, dims.to_vec(), &data).unwrap();
    fs::write(folder.join("m.safetensors"), safetensors::serialize([(name, view)], None).unwrap()).unwrap();
}

#[test]
fn a_mask_that_fits_no_parameter() {
    let folder = folder();
    mask(folder.path(), "blocks.9.attn.lstm.weight_ih_l0", &[384, 96]);
    let model = example("far-pruned-dense.onnx");
    let arguments = ["compile", &model, "--target", "host", "--masks", "m.safetensors", "-o", "x.far"];
    fails(
        folder.path(),
        &arguments,
        &["error: bad-mask", "m.safetensors", "blocks.9.attn.lstm.weight_ih_l0", "help:"],
    );
}

#[test]
fn a_mask_of_the_wrong_shape() {
    let folder = folder();
    mask(folder.path(), "blocks.0.attn.lstm.weight_ih_l0", &[4, 5]);
    let model = example("far-pruned-dense.onnx");
    let arguments = ["compile", &model, "--target", "host", "--masks", "m.safetensors", "-o", "x.far"];
    fails(folder.path(), &arguments, &["error: bad-mask", "expected", "384", "got", "5"]);
}

#[test]
fn a_mask_file_that_is_missing() {
    let model = example("far-pruned-dense.onnx");
    let arguments = ["compile", &model, "--target", "host", "--masks", "no.safetensors", "-o", "x.far"];
    fails(folder().path(), &arguments, &["error: io", "no.safetensors"]);
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let folder = folder();
    let arguments = ["compile", "no-such.onnx", "--target", "host", "-o", "x.far", "--json"];
    let output = farc(folder.path(), &arguments).assert().code(1).get_output().clone();
    assert!(output.stdout.is_empty());
    let error = json(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(error["error"]["kind"], "io");
    assert_eq!(error["error"]["where"]["file"], "no-such.onnx");
}

#[test]
fn a_broken_artifact() {
    let folder = folder();
    compiled(folder.path(), "host");
    let mut bytes = fs::read(folder.path().join("model.far")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(folder.path().join("bad.far"), bytes).unwrap();
    for arguments in
        [&["inspect", "bad.far"][..], &["run", "bad.far", "--input", "x.npy"], &["bench", "bad.far"]]
    {
        fails(folder.path(), arguments, &["error: bad-artifact", "bad.far", "checksum"]);
    }
}

#[test]
fn an_input_of_the_wrong_shape() {
    let folder = folder();
    compiled(folder.path(), "host");
    ndarray_npy::write_npy(folder.path().join("x.npy"), &ndarray::Array1::<f32>::zeros(7)).unwrap();
    let arguments = ["run", "model.far", "--input", "x.npy", "--output", "y.npy"];
    fails(folder.path(), &arguments, &["error: bad-input", "image", "7"]);
}

#[test]
fn usage_has_a_status_of_its_own() {
    let folder = folder();
    farc(folder.path(), &["compile"]).assert().code(2);
    farc(folder.path(), &["frobnicate"]).assert().code(2);
    farc(folder.path(), &["--help"]).assert().success();
}

#[test]
fn targets_are_listed_and_shown_with_their_sources() {
    let folder = folder();
    let text = prints(folder.path(), &["targets"]);
    for name in ["raspberry-pi-zero-2w", "visionfive-2", "sifive-x280", "riscv64-v", "x86_64"] {
        assert!(text.contains(name), "no `{name}` in:\n{text}");
    }
    let text = prints(folder.path(), &["targets", "visionfive-2"]);
    assert!(text.contains("Linux device tree"), "{text}");
    let target = json(&prints(folder.path(), &["targets", "raspberry-pi-5", "--json"]));
    assert_eq!(target["cpu"]["clock_mhz"]["value"], 2400);
    fails(folder.path(), &["targets", "raspberry-pi-55"], &["error: unknown-target"]);
}

#[test]
fn a_pass_can_be_left_out() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    let arguments = ["compile", &model, "--target", "host", "-o", "x.far", "--no-fold-layer-norm", "--json"];
    let report = json(&prints(folder.path(), &arguments));
    let passes: Vec<_> =
        report["passes"]["passes"].as_array().unwrap().iter().map(|p| p["pass"].clone()).collect();
    assert!(
        passes.contains(&"split_heads".into()) && !passes.contains(&"fold_layer_norm".into()),
        "{passes:?}"
    );
}

#[test]
fn an_onnx_model_is_inspected() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    let text = prints(folder.path(), &["inspect", &model]);
    assert!(text.contains("LSTM") && text.contains("opsets"), "{text}");
    assert!(
        json(&prints(folder.path(), &["inspect", &model, "--json"]))["ops"]["LSTM"].as_u64().unwrap() > 0
    );
    assert!(prints(folder.path(), &["inspect", &model, "--ir"]).starts_with("graph"));
}

#[test]
fn rewrites_say_why_and_what_they_saved() {
    let folder = folder();
    let (model, masks) = (example("far-pruned-dense.onnx"), example("far-pruned-dense.masks.safetensors"));
    let text =
        prints(folder.path(), &["inspect", &model, "--why", "--masks", &masks, "--target", "raspberry-pi-5"]);
    for part in [
        "raspberry-pi-5",
        "split_heads",
        "cost",
        "gate scaling",
        "` and `",
        "folded, ",
        " µs for ",
        "predicted",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let why = json(&prints(folder.path(), &["inspect", &model, "--why", "--masks", &masks, "--json"]));
    let passes = why["passes"].as_array().unwrap();
    let saved = |name: &str, what: &str| {
        let entry = passes.iter().find(|entry| entry["pass"] == name).unwrap_or_else(|| panic!("no {name}"));
        entry["saved"][what].as_f64().unwrap()
    };
    for pass in ["remove_dead_units", "split_heads", "trim_rows", "split_linear", "fold_linears"] {
        for what in ["multiply_adds", "weight_bytes", "predicted_ms"] {
            assert!(saved(pass, what) > 0.0, "{pass} {what}: {why}");
        }
    }
    assert!(why["gate_scaling"]["multiplications"].as_u64().unwrap() > 0);
    fails(folder.path(), &["inspect", "model.far", "--why"], &["can't be read"]);
    compiled(folder.path(), "host");
    fails(folder.path(), &["inspect", "model.far", "--why"], &["an artifact has no graph any more"]);
}

#[test]
fn a_verdict_says_what_it_found() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    for (dtype, word) in [("f32", "same  on 1 "), ("int8", "within tolerance: ")] {
        prints(folder.path(), &["compile", &model, "--target", "host", "--dtype", dtype, "-o", "m.far"]);
        let text = prints(folder.path(), &["verify", &model, "m.far", "--samples", "1", "--no-layers"]);
        assert!(text.starts_with(word), "{text}");
    }
}

/// The first of the example's images, in a shape of which `cut` leaves something.
fn some_images(path: &Path, cut: &[ndarray::SliceInfoElem]) {
    let images: ndarray::ArrayD<f32> = ndarray_npy::read_npy(example("images.npy")).unwrap();
    ndarray_npy::write_npy(path, &images.slice(cut).to_owned()).unwrap();
}

#[test]
fn calibration_is_on_the_command_line() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    some_images(&file("image.npy"), ndarray::s![..4, .., .., ..].as_ref());
    some_images(&file("narrow.npy"), ndarray::s![..4, .., .., ..7].as_ref());
    fs::create_dir(file("empty")).unwrap();
    let model = example("far-parallel.onnx");
    let compile = ["compile", &model, "--target", "host", "--dtype", "int8", "-o", "m.far"];
    let with = |more: &[&'static str]| [&compile[..], more].concat();

    let text = prints(folder.path(), &with(&["--calibrate", "image.npy", "--max-error", "2"]));
    for part in ["calibrated on 4 inputs, at most an error of 2e0", "all layers as asked", "error alone"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let report =
        json(&prints(folder.path(), &with(&["--calibrate", "image.npy", "--max-error", "0", "--json"])));
    let kept = report["calibration"]["layers"].as_array().unwrap();
    assert!(kept.iter().all(|layer| layer["kept_as"] == "f32"), "{report}");

    fs::remove_file(file("m.far")).unwrap();
    for (data, parts) in [
        ("missing.npy", &["missing.npy"][..]),
        ("narrow.npy", &["narrow.npy", "shape"]),
        ("empty", &["empty", ".npy"]),
    ] {
        fails(folder.path(), &with(&["--calibrate", data]), parts);
    }
    let refused = farc(folder.path(), &with(&["--max-error", "0.1"])).assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--calibrate"));
}

#[test]
fn artifacts_are_compared_with_each_other() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    compiled(folder.path(), "host");
    prints(folder.path(), &["compile", &model, "--target", "x86_64", "--no-trim-rows", "-o", "other.far"]);
    let verify = ["verify", &model, "model.far", "--against", "other.far", "--samples", "1"];
    let text = prints(folder.path(), &verify);
    for part in ["from the other artifact, for x86_64", "cosine", "ulp", "same top-1", "1 of 1"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let verdict = json(&prints(folder.path(), &[&verify[..], &["--json"]].concat()));
    assert_eq!(verdict["against"]["passed"], true);
    assert!(verdict["against"]["unmatched"].as_u64().unwrap() > 0);
    prints(folder.path(), &["compile", &example("deit.onnx"), "--target", "host", "-o", "other.far"]);
    let output = farc(folder.path(), &verify).assert().code(1).get_output().clone();
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("DIFFERENT  from the other artifact"), "{text}");
    assert!(error.contains("differs from the other artifact's"), "{error}");
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = folder();
    let model = example("far-parallel.onnx");
    let prune = ["prune", &model, "--sparsity", "0.1", "-o", "nowhere/m.safetensors"];
    let output = farc(folder.path(), &prune).assert().code(1).get_output().clone();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the folder above it must exist") && !error.contains(".farc-"), "{error}");
}

/// A small text encoder in the folder, and ids and a mask for three elements of five tokens.
fn encoder(folder: &Path) {
    use far_models::text::{Config, generate};
    use far_tool::npy::{Array, Data, write};
    let size = far_models::Size { width: 24, heads: 3, hidden: 8, depth: 1, mlp: 40, ..Config::MINILM };
    let config = Config { vocabulary: 20, positions: 16, ..Config::new(size) };
    fs::write(folder.join("text.onnx"), generate(&config).expect("valid").onnx).expect("a file");
    let array = |data: Vec<i64>| write(&Array { shape: vec![3, 5], data: Data::I64(data) });
    let file = |name: &str, data| fs::write(folder.join(name), array(data)).expect("a file");
    file("ids.npy", (0..15).map(|i| i * 7 % 20).collect());
    file("mask.npy", [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]].concat());
    file("types.npy", vec![0; 15]);
    file("odd.npy", [[1, 1, 1, 1, 1], [0, 1, 0, 0, 0], [1, 1, 1, 1, 0]].concat());
}

#[test]
fn a_text_encoder_is_compiled_judged_run_and_timed() {
    let folder = folder();
    let folder = folder.path();
    encoder(folder);
    let compile = ["compile", "text.onnx", "--target", "host", "-o", "text.far"];
    fails(folder, &compile, &["no fixed size", "--max-tokens"]);
    let said = prints(folder, &[&compile[..], &["--max-tokens", "9", "--batch", "2"]].concat());
    assert!(said.contains("1 to 2 elements of 1 to 9 tokens"), "{said}");
    let info = prints(folder, &["inspect", "text.far"]);
    assert!(info.contains("i64") && info.contains("tokens"), "{info}");
    let ir = prints(folder, &["inspect", "text.onnx", "--ir", "--max-tokens", "9"]);
    assert!(ir.contains("Txid dims 1xT i64") && ir.contains("lengths \"attention_mask\""), "{ir}");
    assert!(prints(folder, &["inspect", "text.onnx"]).contains("INT64 [batch_size, sequence_length]"));

    let verdict = json(&prints(folder, &["verify", "text.onnx", "text.far", "--json"]));
    assert_eq!((verdict["passed"].as_bool(), verdict["samples"].as_u64()), (Some(true), Some(6)));
    let inputs = ["--input", "ids.npy", "--input", "mask.npy", "--input", "types.npy"];
    let given = [&["verify", "text.onnx", "text.far", "--json"][..], &inputs].concat();
    assert_eq!(json(&prints(folder, &given))["samples"].as_u64(), Some(3));

    let run = [&["run", "text.far", "--json", "--output", "out.npy"][..], &inputs].concat();
    let report = json(&prints(folder, &run));
    assert_eq!(report["outputs"][0]["shape"], serde_json::json!([3, 24]));
    let odd = ["run", "text.far", "--input", "ids.npy", "--input", "odd.npy", "--input", "types.npy"];
    fails(folder, &odd, &["attention_mask"]);
    let bench =
        ["bench", "text.far", "--runs", "2", "--warmup", "0", "--json", "--tokens", "4", "--batch", "2"];
    assert!(json(&prints(folder, &bench))["p50_ms"].as_f64().is_some());
    fails(folder, &["bench", "text.far", "--tokens", "10"], &["10"]);
}
