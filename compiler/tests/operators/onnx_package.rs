//! Answers of the `onnx` package: `data/operators.py` says how they were made.

use serde_json::Value as Json;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

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

fn cases() -> Vec<Json> {
    serde_json::from_str(include_str!("../data/operators.json")).expect("valid JSON")
}

fn inputs(case: &Json) -> Vec<Option<Tensor>> {
    case["inputs"].as_array().expect("inputs").iter().map(tensor).collect()
}

fn model(case: &Json) -> Vec<u8> {
    let attributes = case["attributes"].as_object().expect("attributes");
    let attributes = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let there: Vec<bool> = inputs(case).iter().map(Option::is_some).collect();
    let outputs = case["outputs"].as_array().expect("outputs").len();
    let op = case["op"].as_str().expect("a name");
    single(op, case["opset"].as_i64().expect("a number"), attributes, &there, outputs)
}

/// Files that lie may be refused or give nonsense; they must not panic, hang or eat the memory.
#[test]
fn damaged_files_are_survived() {
    let mut rng = fastrand::Rng::with_seed(1);
    for case in cases() {
        let (bytes, inputs) = (model(&case), inputs(&case));
        for _ in 0..200 {
            let mut bytes = bytes.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            drop(Model::load(&bytes).and_then(|model| run_model(&model, &inputs)));
        }
    }
}

#[test]
fn agrees() {
    let cases = cases();
    assert!(cases.len() > 100);
    for case in &cases {
        let expected = case["outputs"].as_array().expect("outputs");
        let model = Model::load(&model(case)).expect("a valid file");
        let got = run_model(&model, &inputs(case)).unwrap_or_else(|e| panic!("{e} in {case}"));
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
