//! Files that are broken, too large, or made to cost more than they should.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::{FunctionProto, SparseTensorProto, TensorProto};

use super::{Model, assert_error, tensor};
use crate::error::ErrorKind;
use crate::onnx::{ImportOptions, import, inspect};

fn relu() -> Model {
    Model::new().input("x", &[1, 5, 6]).output("y").node("Relu", "x", "y")
}

#[test]
fn not_onnx() {
    for bytes in [&b""[..], b"hello", &[0xff; 100]] {
        let error = import(bytes, &ImportOptions::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BrokenModel, "{error:?}");
        assert!(error.hint.is_some());
    }
}

#[test]
fn truncated_or_changed_anywhere() {
    let bytes = relu().noise("w", &[6, 2]).node("MatMul", "y w", "z").output("z").bytes();
    let options = ImportOptions::default();
    for length in 0..bytes.len() {
        assert!(import(&bytes[..length], &options).is_err(), "accepted {length} of {} bytes", bytes.len());
    }
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << bit;
            // It may well be a sound model; it must not panic.
            let _ = import(&changed, &options).map(|graph| crate::ir::verify(&graph).unwrap());
            let _ = inspect(&changed, &options);
        }
    }
}

#[test]
fn an_output_that_is_listed_twice() {
    assert_error(&relu().output("y").refused(), ErrorKind::BrokenModel, None, Some("y"));
}

#[test]
fn an_output_that_is_empty() {
    let constant = relu().noise("z", &[0]).output("z");
    assert_error(&constant.refused(), ErrorKind::ShapeMismatch, None, Some("z"));
    let model = Model::new().input("x", &[1, 5, 6]).i64s("three", &[3]).i64s("axis", &[2]);
    let slice = model.node("Slice", "x three three axis", "y").output("y");
    assert_error(&slice.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
}

#[test]
fn an_image_without_axes() {
    let model = Model::new().input("x", &[]).noise("w", &[2, 3, 2, 2]).node("Conv", "x w", "y").output("y");
    assert_error(&model.refused(), ErrorKind::ShapeMismatch, None, Some("x"));
}

#[test]
fn limits() {
    let kind =
        |options: &ImportOptions| import(&relu().noise("w", &[6, 2]).bytes(), options).map_err(|e| e.kind);
    assert!(kind(&ImportOptions::default()).is_ok());
    let limited = Err(ErrorKind::LimitExceeded);
    assert_eq!(kind(&ImportOptions { max_bytes: 10, ..Default::default() }).map(drop), limited);
    assert_eq!(kind(&ImportOptions { max_nodes: 0, ..Default::default() }).map(drop), limited);
    assert_eq!(kind(&ImportOptions { max_elements: 11, ..Default::default() }).map(drop), limited);
}

#[test]
fn constants_that_grow() {
    let limited =
        |m: &Model, node: &str| assert_error(&m.refused(), ErrorKind::LimitExceeded, Some(node), None);
    let base = || {
        Model::new().input("x", &[1, 5, 6]).output("y").noise("w", &[1, 1]).i64s("huge", &[1 << 20, 1 << 20])
    };
    limited(&base().node("Expand", "w huge", "e").node("Add", "x e", "y"), "n1");
    limited(&base().node("ConstantOfShape", "huge", "e").node("Add", "x e", "y"), "n1");
    let range = base()
        .node("Constant", "", "zero")
        .int("value_int", 0)
        .node("Constant", "", "end")
        .int("value_int", i64::MAX)
        .node("Constant", "", "one")
        .int("value_int", 1)
        .node("Range", "zero end one", "r")
        .node("Gather", "w r", "g")
        .node("Add", "x g", "y");
    limited(&range, "n4");
    // Each is allowed, all together are not.
    let mut many = Model::new()
        .input("x", &[1, 5, 6])
        .output("y")
        .zeros("w", &[1])
        .i64s("large", &[1 << 20])
        .i64s("zero", &[0]);
    let mut sum = "x".to_owned();
    for i in 0..40 {
        many = many.node("Expand", "w large", &format!("e{i}")).node(
            "Gather",
            &format!("e{i} zero"),
            &format!("g{i}"),
        );
        many = many.node("Add", &format!("{sum} g{i}"), &format!("s{i}"));
        sum = format!("s{i}");
    }
    let many = many.node("Identity", &sum, "y");
    let options = ImportOptions { max_elements: 1 << 22, ..Default::default() };
    assert_eq!(import(&many.bytes(), &options).unwrap_err().kind, ErrorKind::LimitExceeded);
}

#[test]
fn tensors_that_grow() {
    let mut doubled = Model::new().input("x", &[1, 5, 6]).output("y").node("Identity", "x", "t0");
    for i in 0..40 {
        doubled = doubled.node("Concat", &format!("t{i} t{i}"), &format!("t{}", i + 1)).int("axis", 2);
    }
    let doubled = doubled.node("Identity", "t40", "y");
    assert_eq!(doubled.refused().kind, ErrorKind::LimitExceeded);
    let long = Model::new().input("x", &[1, 1 << 40, 1]).output("y").node("Relu", "x", "y");
    assert_error(&long.refused(), ErrorKind::LimitExceeded, None, Some("x"));
    let deep = Model::new().input("x", &[1; 40]).output("y").node("Relu", "x", "y");
    assert_error(&deep.refused(), ErrorKind::LimitExceeded, None, Some("x"));
}

#[test]
fn data_elsewhere_or_of_another_kind() {
    let external = TensorProto { data_location: Some(1), ..tensor("w", DataType::Float, &[6]) };
    let error = relu().constant(external).refused();
    assert_error(&error, ErrorKind::BrokenModel, None, Some("w"));
    let hint = error.hint.unwrap();
    assert!(hint.contains("--allow-external-data") && hint.contains("external_data=False"), "{hint}");
    let mut sparse = relu();
    sparse.graph.sparse_initializer.push(SparseTensorProto::default());
    assert_eq!(sparse.refused().kind, ErrorKind::UnsupportedOp);
    let mut function = relu();
    function.proto.functions.push(FunctionProto::default());
    assert_eq!(function.refused().kind, ErrorKind::UnsupportedOp);
}

#[test]
fn operator_sets() {
    for (version, fine) in [(10, false), (11, true), (24, true), (25, false)] {
        let model = Model::with_opset(version).input("x", &[1, 5, 6]).output("y").node("Relu", "x", "y");
        assert_eq!(model.import().is_ok(), fine, "{version}");
    }
    let mut none = relu();
    none.proto.opset_import.clear();
    assert_eq!(none.refused().kind, ErrorKind::BrokenModel);
    let mut foreign = relu();
    foreign.graph.node[0].domain = "com.microsoft".into();
    let error = foreign.refused();
    assert_error(&error, ErrorKind::UnsupportedOp, Some("n1"), None);
    assert!(error.what.contains("com.microsoft::Relu"), "{error}");
}

#[test]
fn unknown_operators_and_attributes() {
    let op = Model::new().input("x", &[1, 5, 6]).output("y").node("Selu", "x", "y");
    let error = op.refused();
    assert_error(&error, ErrorKind::UnsupportedOp, Some("n1"), None);
    assert!(error.what.contains("`Selu`") && error.hint.is_some(), "{error:?}");
    let attribute = relu().float("slope", 0.5).refused();
    assert_error(&attribute, ErrorKind::UnsupportedAttribute, Some("n1"), Some("slope"));
    let twice = relu().node("Concat", "x x", "z").int("axis", 1).int("axis", 2).output("z").refused();
    assert_error(&twice, ErrorKind::BrokenModel, Some("n2"), Some("axis"));
    let wrong_type = relu().node("Concat", "x x", "z").float("axis", 1.0).output("z").refused();
    assert_error(&wrong_type, ErrorKind::BrokenModel, Some("n2"), Some("axis"));
    // Nodes that no output needs may be anything.
    assert!(relu().node("Selu", "x", "unused").import().is_ok());
}

#[test]
fn names_and_order() {
    let broken = |m: Model, node: Option<&str>, field: Option<&str>| {
        assert_error(&m.refused(), ErrorKind::BrokenModel, node, field)
    };
    broken(relu().node("Relu", "x", "y"), Some("n2"), Some("y"));
    broken(relu().node("Relu", "y", "x"), Some("n2"), Some("x"));
    broken(relu().noise("w", &[1]).noise("w", &[1]), None, Some("w"));
    broken(relu().input("x", &[1, 2]), None, Some("x"));
    broken(relu().node("Relu", "nowhere", "z").output("z"), Some("n2"), Some("nowhere"));
    broken(relu().output("z"), None, Some("z"));
    broken(Model::new().input("x", &[1, 5, 6]), None, None);
    broken(
        Model::new().input("x", &[1, 5, 6]).output("y").node("Add", "x z", "y").node("Relu", "y", "z"),
        Some("n1"),
        None,
    );
    broken(Model::new().input("x", &[1, 5, 6]).output("y").node("Add", "x", "y"), Some("n1"), None);
    // Out of order in the file is no harm.
    let backwards =
        Model::new().input("x", &[1, 5, 6]).output("y").node("Relu", "a", "y").node("Tanh", "x", "a");
    assert_eq!(super::ops(&backwards.check()), ["activation", "activation"]);
}

#[test]
fn inputs() {
    let input =
        |r#type, dims| Model::new().declared_input("x", r#type, dims).output("y").node("Relu", "x", "y");
    let number = |n| Some(Dim::DimValue(n));
    let symbol = |s: &str| Some(Dim::DimParam(s.into()));
    let open = input(DataType::Float, vec![symbol("batch"), number(5), number(6)]);
    assert_eq!(open.import().unwrap().inputs[0].dims, super::fixed(&[1, 5, 6]));
    let tokens = input(DataType::Float, vec![number(1), symbol("tokens"), number(6)]);
    let error = tokens.refused();
    assert_error(&error, ErrorKind::ShapeMismatch, None, Some("x"));
    assert!(error.hint.unwrap().contains("--max-tokens"));
    let ids = input(DataType::Int64, vec![number(1), number(5)]);
    assert_error(&ids.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    for (r#type, dims) in [(DataType::Bool, vec![number(1), number(5)]), (DataType::Int64, vec![number(5)])] {
        assert_eq!(input(r#type, dims).refused().place.field.as_deref(), Some("x"));
    }
    let empty = input(DataType::Float, vec![number(1), number(0)]);
    assert_error(&empty.refused(), ErrorKind::ShapeMismatch, None, Some("x"));
    // A vector is one row.
    assert_eq!(
        super::ops(&Model::new().input("x", &[6]).output("y").node("Relu", "x", "y").check()),
        ["activation"]
    );
    // A constant may be an output, and an input may have its value as a constant.
    let known = relu().noise("c", &[2, 3]).input("c", &[2, 3]).output("c").import().unwrap();
    assert_eq!((known.inputs.len(), known.outputs.len()), (1, 2));
}

#[test]
fn what_inspect_says() {
    let info = inspect(&relu().noise("w", &[6, 2]).bytes(), &ImportOptions::default()).unwrap();
    assert_eq!(
        (info.name.as_str(), info.parameters, info.ops["Relu"], info.opsets["ai.onnx"]),
        ("test", 12, 1, 17)
    );
    assert_eq!(
        (info.inputs[0].dtype.as_str(), &info.inputs[0].dims[..]),
        ("FLOAT", &["1", "5", "6"].map(String::from)[..])
    );
}
