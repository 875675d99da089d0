//! Models that describe themselves: `compile --meta`, what `inspect` tells, pictures, and the page of a report.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name);
    path.to_str().expect("a plain path").to_owned()
}

fn farc(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farc"));
    command.current_dir(folder).args(arguments).env_remove("FAR_SDK").env("NO_COLOR", "1");
    command
}

fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = farc(folder, arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).expect("text")
}

/// The first test images as pictures: what the metadata make of them is nearly what is in `images.npy`.
fn pictures(folder: &Path, count: usize) -> Vec<String> {
    let images: ndarray::Array4<f32> = ndarray_npy::read_npy(example("images.npy")).unwrap();
    let names = images.outer_iter().take(count).enumerate().map(|(i, image)| {
        let name = format!("{i}.pgm");
        let pixels = image.iter().map(|x| ((x * 0.353 + 0.286) * 255.0).round() as u8);
        let file: Vec<u8> = b"P5\n28 28\n255\n".iter().copied().chain(pixels).collect();
        fs::write(folder.join(&name), file).unwrap();
        name
    });
    names.collect()
}

#[test]
fn a_model_tells_what_it_sees() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (model, masks, meta) = (
        example("far-pruned-dense.onnx"),
        example("far-pruned-dense.masks.safetensors"),
        example("meta.yaml"),
    );
    let compile = ["compile", &model, "--masks", &masks, "--meta", &meta, "--target", "host", "-o", "x.far"];
    let text = prints(folder, &[&compile[..], &["--report", "x.html"]].concat());
    for part in
        ["found", "pruned", "(50.0 %), 3 to 32 in each", "chosen", "split_heads", "products", "x.html"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let (first, page) = (fs::read(folder.join("x.far")).unwrap(), fs::read(folder.join("x.html")).unwrap());
    prints(folder, &[&compile[..], &["--report", "x.html"]].concat());
    assert!(
        fs::read(folder.join("x.far")).unwrap() == first && fs::read(folder.join("x.html")).unwrap() == page
    );

    let text = prints(folder, &["inspect", "x.far"]);
    assert!(
        text.contains("labels    10: T-shirt/top, trouser") && text.contains("image     gray nchw"),
        "{text}"
    );

    let pictures = pictures(folder, 20);
    let images = pictures.iter().flat_map(|name| ["--image", name.as_str()]);
    let run: Vec<&str> = ["run", "x.far", "--json", "--top", "2"].into_iter().chain(images).collect();
    let report: Value = serde_json::from_str(&prints(folder, &run)).unwrap();
    let logits: ndarray::Array2<f32> = ndarray_npy::read_npy(example("far-pruned-dense.logits.npy")).unwrap();
    let labels: Vec<String> =
        fs::read_to_string(example("labels.txt")).unwrap().lines().map(String::from).collect();
    for (image, logits) in report["images"].as_array().unwrap().iter().zip(logits.outer_iter()) {
        let best = (0..10).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(
            (&image["top"][0]["class"], &image["top"][0]["label"]),
            (&best.into(), &labels[best].as_str().into())
        );
        assert_eq!(image["top"].as_array().unwrap().len(), 2);
    }
    let text = prints(folder, &["run", "x.far", "--image", "0.pgm", "--top", "1"]);
    assert!(text.starts_with("0.pgm\n") && text.contains(" %  "), "{text}");
}

#[test]
fn metadata_that_do_not_fit_are_refused_in_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = example("deit.onnx");
    for (text, parts) in [
        ("labels: [a, b]\n", &["error: bad-meta", "meta.yaml", "labels", "10 labels", "2 labels"][..]),
        ("image: {size: [32, 32]}\n", &["error: bad-meta", "image.size", "[28, 28]", "[32, 32]"][..]),
        ("label: []\n", &["error: bad-meta", "line 1", "did you mean `labels`?"][..]),
        ("description: \"a\\tb\"\n", &["error: bad-meta", "control characters"][..]),
    ] {
        fs::write(folder.join("meta.yaml"), text).unwrap();
        let arguments = ["compile", &model, "--meta", "meta.yaml", "--target", "host", "-o", "x.far"];
        let output = farc(folder, &arguments).assert().code(1).get_output().clone();
        let error = String::from_utf8(output.stderr).unwrap();
        for part in parts {
            assert!(error.contains(part), "no `{part}` in:\n{error}");
        }
        assert!(!folder.join("x.far").exists());
    }
}
