//! The judge's operators, one at a time: against answers of the `onnx` package (`data/operators.py`), and for what that
//! does not know against small numbers worked out here.

use farc::error::ErrorKind;
use farc::reference::{Keep, Model, Tensor, Values};
use prost::Message;
use serde_json::Value as Json;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType,
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
    let model = Model::load(&single(op, opset, attributes, &there, outputs))?;
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

mod onnx_package {
    use super::*;

    fn tensor(json: &Json) -> Option<Tensor> {
        let shape: Vec<usize> = serde_json::from_value(json.get("shape")?.clone()).expect("sizes");
        let data = json["data"].clone();
        let tensor = match json["kind"].as_str() {
            Some("real") => Tensor::real(&shape, serde_json::from_value(data).expect("numbers")),
            Some("int") => Tensor::int(&shape, serde_json::from_value(data).expect("integers")),
            _ => Tensor::bool(&shape, serde_json::from_value(data).expect("truth values")),
        };
        Some(tensor.expect("a shape that fits"))
    }

    fn attribute(name: &str, json: &Json) -> AttributeProto {
        let mut attribute = AttributeProto { name: name.into(), ..Default::default() };
        let kind = match json {
            Json::Number(n) => match n.as_i64() {
                Some(i) => {
                    attribute.i = i;
                    AttributeType::Int
                }
                None => {
                    attribute.f = n.as_f64().expect("a number") as f32;
                    AttributeType::Float
                }
            },
            Json::String(s) => {
                attribute.s = s.as_bytes().to_vec();
                AttributeType::String
            }
            Json::Array(list) if list.iter().all(Json::is_i64) => {
                attribute.ints = list.iter().filter_map(Json::as_i64).collect();
                AttributeType::Ints
            }
            Json::Array(list) => {
                attribute.floats = list.iter().filter_map(Json::as_f64).map(|f| f as f32).collect();
                AttributeType::Floats
            }
            other => {
                let values = tensor(&other["tensor"]).expect("a tensor");
                attribute.t = Some(TensorProto {
                    dims: values.shape().iter().map(|&d| d as i64).collect(),
                    data_type: DataType::Int64.into(),
                    int64_data: values.as_int().expect("integers").iter().copied().collect(),
                    ..Default::default()
                });
                AttributeType::Tensor
            }
        };
        attribute.r#type = kind.into();
        attribute
    }

    #[test]
    fn agrees() {
        let cases: Vec<Json> = serde_json::from_str(include_str!("data/operators.json")).expect("valid JSON");
        assert!(cases.len() > 100);
        for case in &cases {
            let op = case["op"].as_str().expect("a name");
            let attributes = case["attributes"].as_object().expect("attributes");
            let attributes = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
            let inputs: Vec<Option<Tensor>> =
                case["inputs"].as_array().expect("inputs").iter().map(tensor).collect();
            let expected = case["outputs"].as_array().expect("outputs");
            let got = run(op, case["opset"].as_i64().expect("a number"), attributes, &inputs, expected.len())
                .unwrap_or_else(|e| panic!("{e} in {case}"));
            for (i, expected) in expected.iter().enumerate() {
                let (got, expected) = (&got[&format!("y{i}")], tensor(expected).expect("a tensor"));
                assert_eq!(got.shape(), expected.shape(), "{case}");
                match (got, &expected) {
                    (Tensor::Real(got), Tensor::Real(expected)) => {
                        for (got, expected) in got.iter().zip(expected) {
                            let close = (got - expected).abs() <= 1e-12 * (1.0 + expected.abs());
                            assert!(close, "{got} instead of {expected} in {case}");
                        }
                    }
                    _ => assert_eq!(got, &expected, "{case}"),
                }
            }
        }
    }
}

mod lstm {
    use super::*;

    const STEPS: usize = 5;
    const HIDDEN: usize = 2;

    /// Numbers with no symmetry to hide behind.
    fn wave(len: usize, phase: f64) -> Vec<f64> {
        (0..len).map(|i| (1.3 * i as f64 + phase).sin() * 0.8).collect()
    }

    /// Weights of a bidirectional node over one feature, the inputs from W on.
    fn weights() -> [Option<Tensor>; 3] {
        [
            real(&[2, 4 * HIDDEN, 1], &wave(8 * HIDDEN, 0.1)),
            real(&[2, 4 * HIDDEN, HIDDEN], &wave(8 * HIDDEN * HIDDEN, 0.7)),
            real(&[2, 8 * HIDDEN], &wave(16 * HIDDEN, 1.9)),
        ]
    }

    fn bidirectional(x: &[f64], batch: usize, lengths: Option<Tensor>) -> Values {
        let [w, r, b] = weights();
        let x = real(&[x.len() / batch, batch, 1], x);
        run("LSTM", 17, vec![text_attribute("direction", "bidirectional")], &[x, w, r, b, lengths], 3)
            .expect("a valid node")
    }

    /// `Y` of one sequence of a batch: by step, then direction, then unit.
    fn sequence(y: &Tensor, b: usize, steps: usize) -> Vec<f64> {
        let y = y.as_real().expect("real numbers");
        let mut out = Vec::new();
        for t in 0..steps {
            for d in 0..2 {
                out.extend((0..HIDDEN).map(|h| y[[t, d, b, h]]));
            }
        }
        out
    }

    #[test]
    fn sequence_lens_is_running_each_sequence_by_itself() {
        let (long, short) = (wave(STEPS, 0.3), wave(3, 2.2));
        let mut both = Vec::new();
        for (t, &value) in long.iter().enumerate() {
            // What stands after a sequence's end must not matter.
            both.extend([value, short.get(t).copied().unwrap_or(1e9)]);
        }
        let together = bidirectional(&both, 2, int(&[2], &[STEPS as i64, 3]));
        for (b, x) in [&long, &short].into_iter().enumerate() {
            let alone = bidirectional(x, 1, None);
            assert_eq!(sequence(&together["y0"], b, x.len()), sequence(&alone["y0"], 0, x.len()));
            let tail = sequence(&together["y0"], b, STEPS).split_off(x.len() * 2 * HIDDEN);
            assert!(tail.iter().all(|&v| v == 0.0), "{tail:?}");
            for last in ["y1", "y2"] {
                let together = together[last].as_real().expect("real numbers");
                let alone = alone[last].as_real().expect("real numbers");
                for (d, h) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    assert_eq!(together[[d, b, h]], alone[[d, 0, h]]);
                }
            }
        }
    }

    #[test]
    fn reverse_is_forward_on_the_sequence_turned_round() {
        let [w, r, b] = weights();
        let half = |x: Option<Tensor>| {
            let x = x.expect("given");
            let x = x.as_real().expect("real numbers").index_axis(ndarray::Axis(0), 0).to_owned();
            let shape = [&[1], x.shape()].concat();
            real(&shape, x.as_slice().expect("standard layout"))
        };
        let [w, r, b] = [w, r, b].map(half);
        let mut x = wave(STEPS, 0.3);
        let go = |direction: &str, x: &[f64]| {
            let inputs = [real(&[STEPS, 1, 1], x), w.clone(), r.clone(), b.clone()];
            reals(
                &run("LSTM", 17, vec![text_attribute("direction", direction)], &inputs, 1).expect("valid"),
                "y0",
            )
        };
        let reverse = go("reverse", &x);
        let forward = go("forward", &x);
        x.reverse();
        let turned: Vec<f64> = go("forward", &x).chunks(HIDDEN).rev().flatten().copied().collect();
        assert_eq!(reverse, turned);
        assert_ne!(reverse, forward);
    }

    /// One unit and one step, all weights 0: the biases are what the gates see.
    fn gates(bias: [f64; 4], c: f64, attributes: Vec<AttributeProto>, peepholes: Option<Tensor>) -> [f64; 2] {
        let b = [bias.to_vec(), vec![0.0; 4]].concat();
        let inputs = [
            real(&[1, 1, 1], &[0.0]),
            real(&[1, 4, 1], &[0.0; 4]),
            real(&[1, 4, 1], &[0.0; 4]),
            real(&[1, 8], &b),
            None,
            None,
            real(&[1, 1, 1], &[c]),
            peepholes,
        ];
        let out = run("LSTM", 17, attributes, &inputs, 3).expect("a valid node");
        ["y1", "y2"].map(|name| reals(&out, name)[0])
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn close(got: [f64; 2], expected: [f64; 2]) {
        assert!(
            got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-15),
            "{got:?} instead of {expected:?}"
        );
    }

    #[test]
    fn gates_by_hand() {
        // Biases of the gates i, o, f, c.
        let [i, o, f, c] = [0.3, -0.2, 0.9, 0.5];
        let cell = sigmoid(f) * 2.0 + sigmoid(i) * c.tanh();
        close(gates([i, o, f, c], 2.0, vec![], None), [sigmoid(o) * cell.tanh(), cell]);

        let coupled = (1.0 - sigmoid(i)) * 2.0 + sigmoid(i) * c.tanh();
        let attributes = vec![int_attribute("input_forget", 1)];
        close(gates([i, o, f, c], 2.0, attributes, None), [sigmoid(o) * coupled.tanh(), coupled]);

        // Peepholes of i, o, f: o looks at the new cell.
        let cell = sigmoid(f + 0.7 * 2.0) * 2.0 + sigmoid(i + 0.1 * 2.0) * c.tanh();
        let output = sigmoid(o - 0.4 * cell) * cell.tanh();
        close(gates([i, o, f, c], 2.0, vec![], real(&[1, 3], &[0.1, -0.4, 0.7])), [output, cell]);
    }

    #[test]
    fn clip_bounds_what_enters_the_activations() {
        let clip = AttributeProto {
            name: "clip".into(),
            r#type: AttributeType::Float.into(),
            f: 0.25,
            ..Default::default()
        };
        let cell = sigmoid(0.25) * 2.0 + sigmoid(0.1) * (-0.25f64).tanh();
        close(gates([0.1, -3.0, 5.0, -5.0], 2.0, vec![clip], None), [sigmoid(-0.25) * 0.25f64.tanh(), cell]);
    }

    #[test]
    fn other_activations() {
        let activations = |names: [&str; 3]| AttributeProto {
            name: "activations".into(),
            r#type: AttributeType::Strings.into(),
            strings: names.map(|n| n.as_bytes().to_vec()).into(),
            ..Default::default()
        };
        let cell = 0.5f64.tanh() * 2.0 + 0.3f64.tanh() * 1.5;
        let got = gates([0.3, 0.4, 0.5, 1.5], 2.0, vec![activations(["Tanh", "relu", "Sigmoid"])], None);
        close(got, [0.4f64.tanh() * sigmoid(cell), cell]);

        let refused = run(
            "LSTM",
            17,
            vec![activations(["Sigmoid", "Affine", "Tanh"])],
            &[real(&[1, 1, 1], &[0.0]), real(&[1, 4, 1], &[0.0; 4]), real(&[1, 4, 1], &[0.0; 4])],
            1,
        );
        assert_eq!(refused.expect_err("not supported").kind, ErrorKind::UnsupportedAttribute);
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
    let cases: Vec<(&str, Vec<AttributeProto>, Vec<Option<Tensor>>, ErrorKind)> = vec![
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
