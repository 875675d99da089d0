//! The judge's operators, one at a time.

#![allow(clippy::result_large_err)] // as in farc itself

mod lstm;
mod onnx_package;

use farc::error::ErrorKind;
use farc::reference::{Keep, Model, Tensor, Values};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
    attribute_proto::AttributeType,
};

/// A model of one node; its inputs are `x0`, `x1`, … where given, its outputs `y0`, ….
fn single(op: &str, opset: i64, attributes: Vec<AttributeProto>, inputs: &[bool], outputs: usize) -> Vec<u8> {
    let value = |name: String| ValueInfoProto { name, ..Default::default() };
    let given: Vec<String> = inputs
        .iter()
        .enumerate()
        .map(|(i, &there)| if there { format!("x{i}") } else { String::new() })
        .collect();
    let output: Vec<String> = (0..outputs).map(|i| format!("y{i}")).collect();
    let graph = GraphProto {
        input: given.iter().filter(|name| !name.is_empty()).cloned().map(value).collect(),
        output: output.iter().cloned().map(value).collect(),
        node: vec![NodeProto {
            name: "node".into(),
            op_type: op.into(),
            input: given,
            output,
            attribute: attributes,
            ..Default::default()
        }],
        ..Default::default()
    };
    ModelProto {
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        graph: Some(graph),
        ..Default::default()
    }
    .encode_to_vec()
}

fn run(
    op: &str,
    opset: i64,
    attributes: Vec<AttributeProto>,
    inputs: &[Option<Tensor>],
    outputs: usize,
) -> farc::error::Result<Values> {
    let there: Vec<bool> = inputs.iter().map(Option::is_some).collect();
    run_model(&Model::load(&single(op, opset, attributes, &there, outputs))?, inputs)
}

fn run_model(model: &Model, inputs: &[Option<Tensor>]) -> farc::error::Result<Values> {
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let given: Vec<(&str, Tensor)> =
        names.iter().zip(inputs).filter_map(|(name, x)| Some((name.as_str(), x.clone()?))).collect();
    model.run(&given, Keep::Outputs)
}

fn real(shape: &[usize], data: &[f64]) -> Option<Tensor> {
    Some(Tensor::real(shape, data.to_vec()).expect("a shape that fits"))
}

fn int(shape: &[usize], data: &[i64]) -> Option<Tensor> {
    Some(Tensor::int(shape, data.to_vec()).expect("a shape that fits"))
}

fn reals(values: &Values, name: &str) -> Vec<f64> {
    values[name].as_real().expect("real numbers").iter().copied().collect()
}

fn int_attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int.into(), i, ..Default::default() }
}

fn text_attribute(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String.into(),
        s: text.as_bytes().to_vec(),
        ..Default::default()
    }
}

#[test]
fn softmax_before_13_takes_all_axes_from_the_given_one() {
    let x: Vec<f64> = (0..8).map(|i| f64::from(i) * 0.3).collect();
    let axis = vec![int_attribute("axis", 1)];
    let old = run("Softmax", 11, axis.clone(), &[real(&[2, 2, 2], &x)], 1).expect("valid");
    let flat = run("Softmax", 13, axis, &[real(&[2, 4], &x)], 1).expect("valid");
    assert_eq!(reals(&old, "y0"), reals(&flat, "y0"));
}

#[test]
fn mistakes_are_errors() {
    use ErrorKind::{BrokenModel, LimitExceeded, ShapeMismatch, UnsupportedAttribute, UnsupportedOp};
    let two = || real(&[2], &[1.0, 2.0]);
    let huge = || int(&[3], &[1 << 40, 1 << 40, 0]);
    let axis = |axis| vec![int_attribute("axis", axis)];
    type Case = (&'static str, Vec<AttributeProto>, Vec<Option<Tensor>>, ErrorKind);
    let cases: Vec<Case> = vec![
        ("Unheard", vec![], vec![two()], UnsupportedOp),
        ("Relu", axis(1), vec![two()], UnsupportedAttribute),
        ("Add", vec![], vec![two()], BrokenModel),
        ("Add", vec![], vec![two(), real(&[3], &[0.0; 3])], ShapeMismatch),
        ("Add", vec![], vec![two(), int(&[1], &[1])], BrokenModel),
        ("Div", vec![], vec![int(&[1], &[1]), int(&[1], &[0])], BrokenModel),
        ("Div", vec![], vec![int(&[1], &[i64::MIN]), int(&[1], &[-1])], BrokenModel),
        ("MatMul", vec![], vec![real(&[], &[1.0]), two()], ShapeMismatch),
        ("MatMul", vec![], vec![real(&[1, 3], &[0.0; 3]), two()], ShapeMismatch),
        ("ConstantOfShape", vec![], vec![huge()], LimitExceeded),
        ("Expand", vec![], vec![two(), huge()], ShapeMismatch),
        ("Expand", vec![], vec![real(&[1], &[1.0]), int(&[1], &[1 << 40])], LimitExceeded),
        ("Range", vec![], vec![int(&[], &[0]), int(&[], &[i64::MAX]), int(&[], &[1])], LimitExceeded),
        ("Range", vec![], vec![int(&[], &[0]), int(&[], &[1]), int(&[], &[0])], BrokenModel),
        ("Gather", axis(0), vec![two(), int(&[], &[2])], ShapeMismatch),
        ("Gather", axis(1), vec![two(), int(&[], &[0])], ShapeMismatch),
        ("Concat", axis(i64::MIN), vec![two(), two()], ShapeMismatch),
        ("Transpose", vec![], vec![], BrokenModel),
        ("Reshape", vec![], vec![two(), int(&[2], &[-1, -1])], ShapeMismatch),
        ("Reshape", vec![], vec![two(), int(&[2], &[i64::MIN, 0])], ShapeMismatch),
        ("Slice", vec![], vec![two(), int(&[1], &[0]), int(&[2], &[1, 1])], ShapeMismatch),
        ("Unsqueeze", vec![], vec![two(), int(&[2], &[0, 0])], ShapeMismatch),
        ("Cast", vec![int_attribute("to", 8)], vec![two()], UnsupportedAttribute),
        (
            "LSTM",
            vec![],
            vec![real(&[1, 1, 1], &[0.0]), real(&[1, 4, 2], &[0.0; 8]), real(&[1, 4, 1], &[0.0; 4])],
            ShapeMismatch,
        ),
    ];
    for (op, attributes, inputs, kind) in cases {
        let error = run(op, 17, attributes, &inputs, 1).expect_err(op);
        assert_eq!(error.kind, kind, "{op}: {error}");
        assert_eq!(error.place.node.as_deref(), Some("node"), "{op}: {error}");
    }
}

#[test]
fn broken_files_are_errors() {
    assert_eq!(Model::load(b"not a model").expect_err("broken").kind, ErrorKind::BrokenModel);
    let valid = single("Relu", 17, vec![], &[true], 1);
    for cut in 0..valid.len() {
        // A prefix may decode; it must not panic then either.
        if let Ok(model) = Model::load(&valid[..cut]) {
            drop(model.run(&[("x0", Tensor::real(&[1], vec![1.0]).expect("fits"))], Keep::All));
        }
    }
    let old = Model::load(&single("Relu", 9, vec![], &[true], 1)).expect_err("too old");
    assert_eq!(old.kind, ErrorKind::UnsupportedOp);
}
