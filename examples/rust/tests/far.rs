//! The interface on two small models, and the program as its users meet it.

use std::fs;
use std::process::Command;

use ed25519_compact::{KeyPair, Seed};
use far_engine::signature::{Signature, beside, encode};
use far_format::cpu::{Arch, Features};
use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Labels, Meta, Normalization, Resize};
use far_format::plan::{Batch, Dim, Dtype, Operand, Place, Plan, Port, Step, StepOp, Tensor};
use far_format::{ArtifactParts, write};
use far_run::{Extent, Input, Model};

/// The four pixels of a grey picture of 2×2 are the logits.
fn artifact(batch: Batch, meta: Meta) -> Vec<u8> {
    let port = |name: &str, dims: &[u32]| Port {
        name: name.into(),
        dtype: Dtype::F32,
        dims: [Dim::Batch].into_iter().chain(dims.iter().copied().map(Dim::Fixed)).collect(),
    };
    let tensor = |place| Tensor { place, rows: 1, cols: 4, stride: 4, tokens: false };
    let operand = |tensor| Operand { tensor, row: 0, col: 0, rows: 1, cols: 4 };
    let plan = Plan {
        model: "corners".into(),
        meta,
        tensors: [Place::Input(0), Place::Output(0)].map(tensor).into(),
        inputs: vec![port("image", &[1, 2, 2])],
        outputs: vec![port("logits", &[4])],
        steps: vec![Step { name: "copy".into(), op: StepOp::Copy { x: operand(0), out: operand(1) } }],
        batch,
        ..Plan::default()
    };
    let (arch, features) = (Arch::HOST.expect("a known machine"), Features::NONE);
    write(&ArtifactParts { arch, features, target: "test", plan: &plan, weights: &[] }).expect("a sound plan")
}

fn meta() -> Meta {
    Meta {
        labels: Some(Labels { output: 0, names: ["a", "b", "c", "d"].map(String::from).into() }),
        image: Some(Image {
            input: 0,
            layout: ImageLayout::Nchw,
            color: ImageColor::Gray,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            scale: 1.0 / 255.0,
            channels: vec![Normalization { mean: 0.0, std: 0.5 }],
        }),
        ..Meta::default()
    }
}

#[test]
fn calls_of_one_size() {
    let model = Model::from_bytes(&artifact(Batch::default(), meta())).unwrap();
    assert_eq!((model.name(), model.input_len(0), model.input_len(1)), ("corners", 4, 0));
    let mut session = model.session(1).unwrap();
    let outputs = session.run(&[&[0.0, 1.0, 3.0, 3.0]]).unwrap();
    assert_eq!(outputs[0], [0.0, 1.0, 3.0, 3.0]);
    assert_eq!(far_run::argmax(&outputs[0]).and_then(|class| model.label(class)), Some("c"));
    assert!(session.run(&[&[0.0; 3]]).is_err());
    let picture = far_run::decode(b"P5 2 2 255\n\x00\xff\x00\x00").unwrap();
    assert_eq!(model.prepare(picture), Some(Ok(vec![0.0, 2.0, 0.0, 0.0])));
}

#[test]
fn calls_that_differ() {
    let model = Model::from_bytes(&artifact(Batch { most: 3, fixed: false }, Meta::default())).unwrap();
    let mut session = model.session(1).unwrap();
    assert!(session.run(&[&[0.0; 4]]).is_err(), "how large it is must be said");
    let extent = Extent { batch: 2, tokens: 0 };
    let outputs = session.run_call(extent, &[Input::F32(&[1.0; 8])]).unwrap();
    assert_eq!(outputs, [&[1.0f32; 8][..]]);
    assert!(session.run_call(Extent { batch: 4, tokens: 0 }, &[Input::F32(&[1.0; 16])]).is_err());
    assert_eq!((model.label(0), model.prepare(far_run::decode(b"P2 1 1 1 1").unwrap())), (None, None));
}

#[test]
fn the_program_names_what_it_sees() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("model.far"), artifact(Batch::default(), meta())).unwrap();
    fs::write(at("b.pgm"), b"P5 2 2 255\n\x00\xff\x00\x00").unwrap();
    let run = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_classify"));
        let output = program.args(arguments).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["model.far", "b.pgm"]), (Some(0), "b.pgm: b (logit 2.0000)\n".into()));
    let (status, said) = run(&["model.far", "none.pgm"]);
    assert!(status == Some(1) && said.starts_with("error: "), "{said}");
    assert_eq!(run(&["model.far"]).0, Some(2));
}

#[test]
fn only_what_its_maker_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.far");
    let artifact = artifact(Batch::default(), meta());
    let [maker, other] = [1, 2].map(|seed| KeyPair::from_seed(Seed::new([seed; 32])));
    fs::write(&path, &artifact).expect("a file");
    assert!(Model::open_signed(&path, *maker.pk).unwrap_err().to_string().contains("no signature"));
    let signature = Signature { key: *maker.pk, bytes: *maker.sk.sign(&artifact, None) };
    fs::write(beside(&path).expect("a path"), encode(&[signature])).expect("a file");
    assert_eq!(Model::open_signed(&path, *maker.pk).expect("a signed model").name(), "corners");
    assert!(Model::open_signed(&path, *other.pk).unwrap_err().to_string().contains("another key"));
    assert!(Model::open_signed(&path, [0; 32]).is_err());
}
