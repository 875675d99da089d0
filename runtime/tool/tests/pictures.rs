//! Photographs, references and machines: `run --image`, `verify`, `doctor MODEL`, `bench --cpu`.

mod common;

use std::fs;
use std::path::Path;

use common::{artifact, bad, command, far, folder, good, host, json, text};
use far_format::cpu::{Arch, Features};
use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Info, Labels, Meta, Normalization, Resize};
use far_format::plan::{Batch, Dim, Dtype, Operand, Place, Plan, Port, Step, StepOp, Tensor};
use far_format::{ArtifactParts, write};
use far_tool::npy::{self, Array};

/// The four pixels of a grey picture of 2×2 are the logits of its corners, in batches of up to two.
fn corners(meta: Meta) -> Vec<u8> {
    let port = |name: &str, dims: &[u32]| {
        let dims = [Dim::Batch].into_iter().chain(dims.iter().copied().map(Dim::Fixed)).collect();
        Port { name: name.into(), dtype: Dtype::F32, dims }
    };
    let tensor = |place| Tensor { place, rows: 1, cols: 4, stride: 4, tokens: false };
    let operand = |tensor| Operand { tensor, row: 0, col: 0, rows: 1, cols: 4 };
    let copy = StepOp::Copy { x: operand(0), out: operand(1) };
    let plan = Plan {
        model: "corners".into(),
        meta,
        tensors: [Place::Input(0), Place::Output(0)].map(tensor).into(),
        inputs: vec![port("image", &[1, 2, 2])],
        outputs: vec![port("logits", &[4])],
        steps: vec![Step { name: "copy".into(), op: copy }],
        batch: Batch { most: 2, fixed: false },
        ..Plan::default()
    };
    let (arch, features) = (host(), Features::NONE);
    write(&ArtifactParts { arch, features, target: "test", plan: &plan, weights: &[] }).unwrap()
}

fn meta() -> Meta {
    Meta {
        description: "Which corner is bright".into(),
        info: vec![Info { key: "licence".into(), value: "MIT".into() }],
        labels: Some(Labels {
            output: 0,
            names: ["top left", "top right", "bottom left", "bottom right"].map(String::from).into(),
        }),
        image: Some(Image {
            input: 0,
            layout: ImageLayout::Nchw,
            color: ImageColor::Gray,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            scale: 1.0 / 51.0,
            channels: vec![Normalization { mean: 1.0, std: 0.5 }],
        }),
    }
}

fn pictures(folder: &Path) {
    fs::write(folder.join("model.far"), corners(meta())).unwrap();
    for (name, bright) in [("a.pgm", 1), ("b.pgm", 3), ("c.pgm", 0)] {
        let pixels: Vec<u8> = (0..4).map(|i| if i == bright { 255 } else { 51 }).collect();
        fs::write(folder.join(name), [b"P5 2 2 255\n", &pixels[..]].concat()).unwrap();
    }
}

#[test]
fn pictures_are_classified() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let line = "run model.far --image a.pgm --image b.pgm --image c.pgm --top 2 --output y.npy";
    let report = json(folder.path(), &format!("{line} --json"));
    assert_eq!(report["runs"], 2, "batches of two");
    for (i, (file, class, label)) in
        [("a.pgm", 1, "top right"), ("b.pgm", 3, "bottom right"), ("c.pgm", 0, "top left")]
            .into_iter()
            .enumerate()
    {
        let image = &report["images"][i];
        assert_eq!((&image["file"], image["top"].as_array().unwrap().len()), (&file.into(), 2));
        assert_eq!((&image["top"][0]["class"], &image["top"][0]["label"]), (&class.into(), &label.into()));
        // (255 / 51 − 1) / ½ is 8, (51 / 51 − 1) / ½ is 0.
        let expected = 8f64.exp() / (8f64.exp() + 3.0);
        assert!((image["top"][0]["probability"].as_f64().unwrap() - expected).abs() < 1e-6);
    }
    let logits = npy::read(&fs::read(folder.path().join("y.npy")).unwrap()).unwrap();
    assert_eq!(
        logits,
        Array { shape: vec![3, 4], data: vec![0., 8., 0., 0., 0., 0., 0., 8., 8., 0., 0., 0.].into() }
    );
    let text = good(folder.path(), "run model.far --image b.pgm --top 1");
    assert!(text.starts_with("b.pgm\n   99.90 %  bottom right\nran      1 times"), "{text}");

    // A photograph of another size, in colour.
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/photo.jpg");
    let report = json(folder.path(), &format!("run model.far --image {photo} --json"));
    assert_eq!(report["images"][0]["top"].as_array().unwrap().len(), 4);
}

#[test]
fn what_is_wrong_with_pictures_is_told() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    fs::write(folder.path().join("mute.far"), corners(Meta::default())).unwrap();
    fs::write(folder.path().join("short.pgm"), "P5 2 2 255\n\x01").unwrap();
    fs::write(folder.path().join("x.gif"), "GIF89a").unwrap();
    for (line, status, expected) in [
        (
            "mute.far --image a.pgm",
            1,
            "error: the model doesn't say how an image becomes an input\nhint: compile it with `--meta`, ",
        ),
        ("model.far --image short.pgm", 1, "error: `short.pgm`: pixels: expected `4` bytes, got `1`"),
        ("model.far --image x.gif", 1, "error: `x.gif`: expected a JPEG, PNG or Netpbm (PGM, PPM) picture"),
        ("model.far --image none.jpg", 1, "error: can't read `none.jpg`"),
        (
            "model.far --image a.pgm --input a.npy",
            2,
            "error: `--input`: expected none, as the images are the only input",
        ),
        ("model.far --image a.pgm --top 0", 2, "error: `--top`"),
    ] {
        let error = bad(folder.path(), &format!("run {line}"), status);
        assert!(error.starts_with(expected), "{line}: {error}");
    }
}

#[test]
fn info_tells_the_metadata() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let text = good(folder.path(), "info model.far");
    for part in [
        "about     Which corner is bright\n",
        "licence   MIT\n",
        "labels    4: top left, top right, bottom left, …\n",
        "image     gray nchw, stretched (bilinear), × 0.019607844, − mean 1, / std 0.5\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let info = json(folder.path(), "info model.far --json");
    let meta = &info["meta"];
    assert_eq!(meta["info"]["licence"], "MIT");
    assert_eq!(
        (&meta["labels"]["output"], &meta["labels"]["names"][3]),
        (&"logits".into(), &"bottom right".into())
    );
    assert_eq!((&meta["image"]["color"], &meta["image"]["std"][0]), (&"gray".into(), &0.5.into()));
}

#[test]
fn verify_compares_with_a_reference() {
    let folder = folder();
    let line = "run model.far --input a.npy --input b.f32 --output sum.npy --output positive.npy";
    good(folder.path(), line);
    let b = Array { shape: vec![1, 2, 3], data: vec![0.5; 6].into() };
    fs::write(folder.path().join("b.npy"), npy::write(&b)).unwrap();

    let text = good(folder.path(), "verify model.far");
    assert!(
        text.starts_with("sound    65536 bytes, all checksums match; 2 steps over 4 tensors keep"),
        "{text}"
    );
    let golden = "verify model.far --golden a.npy b.npy sum.npy positive.npy";
    let text = good(folder.path(), &format!("{golden} --tolerance 0"));
    assert!(text.ends_with("passed   positive: all 24 numbers have the same bits\n"), "{text}");

    let sum = npy::read(&fs::read(folder.path().join("sum.npy")).unwrap()).unwrap();
    let mut changed = sum.data.into_f32().unwrap();
    changed[3] += 0.01;
    let changed = Array { shape: sum.shape, data: changed.into() };
    fs::write(folder.path().join("sum.npy"), npy::write(&changed)).unwrap();
    let output = far(folder.path(), &format!("{golden} --json"));
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["passed"], &report["sound"]), (&false.into(), &true.into()));
    assert_eq!(
        (&report["outputs"][0]["same_bits"], &report["outputs"][1]["passed"]),
        (&23.into(), &true.into())
    );
    good(folder.path(), &format!("{golden} --tolerance 0.01"));

    let mut broken = fs::read(folder.path().join("model.far")).unwrap();
    broken[200] ^= 1;
    fs::write(folder.path().join("broken.far"), broken).unwrap();
    let error = bad(folder.path(), "verify broken.far", 1);
    assert!(error.contains("checksum differs") && error.contains("hint: copy the file again"), "{error}");
    let error = bad(folder.path(), "verify model.far --golden a.npy b.npy a.npy b.npy", 1);
    assert!(error.starts_with("error: input `positive`: the reference has shape `[1, 2, 3]`"), "{error}");
}

#[test]
fn doctor_says_whether_a_model_will_run() {
    let folder = folder();
    let text = good(folder.path(), "doctor model.far");
    assert!(
        text.contains("\nmodel.far will run here\n") && text.contains("  tried: its first run took "),
        "{text}"
    );
    let other = Arch::ALL.into_iter().find(|arch| *arch != host()).unwrap();
    fs::write(folder.path().join("other.far"), artifact(other)).unwrap();
    fs::write(folder.path().join("text.far"), "thesis").unwrap();
    for (file, because) in [
        ("other.far", format!("because it was compiled for {other} (target `test`), and this machine is")),
        ("text.far", "because the file can't be used anywhere: not a far artifact".to_owned()),
    ] {
        let output = far(folder.path(), &format!("doctor {file}"));
        assert_eq!(output.status.code(), Some(1));
        let text = common::text(&output.stdout);
        assert!(text.contains(&format!("{file} will NOT run here")) && text.contains(&because), "{text}");
    }
    let report = json(folder.path(), "doctor model.far --json");
    assert_eq!(
        (&report["model"]["runs"], &report["model"]["reasons"]),
        (&true.into(), &serde_json::json!([]))
    );
}

#[test]
fn bench_keeps_its_threads_on_cpus() {
    let folder = folder();
    // Whichever this process may use.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0").trim();
    let first: usize = allowed.split([',', '-']).next().unwrap().parse().unwrap();
    let report = json(folder.path(), &format!("bench model.far --runs 2 --cpu {first} --json"));
    assert_eq!((&report["threads"], &report["cpus"]), (&1.into(), &serde_json::json!([first])));
    let output =
        command().args(["bench", "model.far", "--cpu", "1000"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}
