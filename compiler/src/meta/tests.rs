//! Metadata files: what they mean for ports, and what is refused.

use std::fs;

use super::*;

fn port(name: &str, dims: &[Dim]) -> Port {
    Port { name: name.into(), dtype: Dtype::F32, dims: dims.into() }
}

fn image_port() -> Port {
    port("image", &[Dim::Batch, Dim::Fixed(3), Dim::Fixed(224), Dim::Fixed(192)])
}

fn outputs() -> [Port; 2] {
    [port("features", &[Dim::Fixed(1), Dim::Fixed(5)]), port("logits", &[Dim::Fixed(1), Dim::Fixed(2)])]
}

fn resolve(text: &str) -> Result<Meta> {
    Description::from_yaml(text)?.resolve(&[image_port()], &outputs())
}

const FULL: &str = "\
description: Cats and dogs
info: {licence: MIT, author: A. Author, version: 1}
labels: [cat, 'no']
image:
  size: [224, 192]
  color: bgr
  resize: crop
  shorter: 256
  filter: bicubic
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
";

#[test]
fn all_of_it_is_found() {
    let meta = resolve(FULL).unwrap();
    assert_eq!(meta.description, "Cats and dogs");
    let info: Vec<_> = meta.info.iter().map(|i| (i.key.as_str(), i.value.as_str())).collect();
    assert_eq!(info, [("author", "A. Author"), ("licence", "MIT"), ("version", "1")]);
    assert_eq!(meta.labels, Some(Labels { output: 1, names: vec!["cat".into(), "no".into()] }));
    let image = meta.image.unwrap();
    assert_eq!((image.input, image.layout, image.color), (0, ImageLayout::Nchw, ImageColor::Bgr));
    assert_eq!((image.resize, image.filter), (Resize::Crop { shorter: 256 }, Filter::Bicubic));
    assert_eq!(image.scale, 1.0 / 255.0);
    assert_eq!(image.channels[2], Normalization { mean: 0.406, std: 0.225 });
}

#[test]
fn json_is_yaml_and_little_is_enough() {
    let meta = resolve(r#"{"image": {}, "labels": ["a", "b"]}"#).unwrap();
    let image = meta.image.unwrap();
    assert_eq!((image.resize, image.color), (Resize::Stretch, ImageColor::Rgb));
    assert_eq!(image.channels, [Normalization { mean: 0.0, std: 1.0 }; 3]);
    assert_eq!(resolve("{}").unwrap(), Meta::default());
}

#[test]
fn what_does_not_fit_is_named() {
    for (from, to, field) in [
        ("labels: [cat, 'no']", "labels: [cat]", "output"),
        ("labels: [cat, 'no']", "labels: [cat]\noutput: logits", "labels"),
        ("labels:", "output: logit\nlabels:", "output"),
        ("size: [224, 192]", "size: [192, 224]", "image.size"),
        ("color: bgr", "color: gray", "image.color"),
        ("color: bgr", "color: brg", "image.color"),
        ("shorter: 256", "shorter: 200", "image.shorter"),
        ("resize: crop", "resize: pad", "image.shorter"),
        ("resize: crop", "resize: fit", "image.resize"),
        ("filter: bicubic", "filter: lanczos", "image.filter"),
        ("mean: [0.485, ", "mean: [", "image.mean"),
        ("mean: [0.485, ", "mean: [.nan, ", "image.mean"),
        ("std: [0.229, ", "std: [0, ", "image.std"),
        ("color: bgr", "scale: -1", "image.scale"),
        ("color: bgr", "layout: nhwc", "image.input"),
        ("color: bgr", "input: picture", "image.input"),
        ("  color: bgr", "  colour: bgr", "colour"),
    ] {
        assert!(FULL.contains(from), "test is out of date: no `{from}`");
        let error = resolve(&FULL.replacen(from, to, 1)).expect_err(to);
        assert_eq!(error.kind, ErrorKind::BadMeta, "{to}");
        assert_eq!(error.place.field.as_deref(), Some(field), "{to}: {error:?}");
    }
    let error = resolve("infos: {}").unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `info`?"));
    for broken in ["a", "- 1", "image: [", "info: {a: {b: 1}}", "labels: 1", "description: &a x\noutput: *a"]
    {
        assert_eq!(resolve(broken).unwrap_err().kind, ErrorKind::BadMeta, "{broken}");
    }
}

#[test]
fn labels_may_be_a_file_of_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("labels.txt"), "tench, Tinca tinca\r\ngoldfish\n").unwrap();
    fs::write(at("meta.yaml"), "labels: labels.txt\n").unwrap();
    let description = Description::read(&at("meta.yaml")).unwrap();
    let meta = description.resolve(&[], &outputs()).unwrap();
    assert_eq!(meta.labels.unwrap().names, ["tench, Tinca tinca", "goldfish"]);
    for name in ["/etc/passwd", "../labels.txt", "''"] {
        fs::write(at("meta.yaml"), format!("labels: {name}\n")).unwrap();
        let error = Description::read(&at("meta.yaml")).unwrap_err();
        assert_eq!(error.place.field.as_deref(), Some("labels"), "{name}: {error:?}");
    }
    fs::write(at("meta.yaml"), "labels: none.txt\n").unwrap();
    let error = Description::read(&at("meta.yaml")).unwrap_err();
    assert_eq!((error.kind, error.place.file), (ErrorKind::Io, Some(at("none.txt"))));
}

#[test]
fn thousands_of_labels_are_read() {
    let names: Vec<String> = (0..21_843).map(|i| format!("- class {i}\n")).collect();
    let description = Description::from_yaml(&format!("labels:\n{}", names.concat())).unwrap();
    let port = port("y", &[Dim::Fixed(21_843)]);
    assert_eq!(description.resolve(&[], &[port]).unwrap().labels.unwrap().names.len(), 21_843);
}
