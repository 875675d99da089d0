//! Softmax attention as exporters spell it.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;

use super::{Model, assert_error, ops};
use crate::error::ErrorKind;
use crate::ir::{Graph, Op};

const T: i64 = 5;

/// Queries, keys and values of 2 heads of 3 as `[1, 2, T, 3]`, from one product.
fn heads() -> Model {
    let model = Model::new()
        .input("x", &[1, T, 6])
        .output("y")
        .noise("w", &[6, 18])
        .i64s("five", &[1, T, 3, 2, 3])
        .scalar("scale", 0.57735026)
        .scalar("root", 0.7598357)
        .scalar("inverse", 1.7320508)
        .node("MatMul", "x w", "qkv")
        .node("Reshape", "qkv five", "r")
        .node("Transpose", "r", "t")
        .ints("perm", &[2, 0, 3, 1, 4]);
    ["q", "k", "v"].iter().enumerate().fold(model, |model, (index, name)| {
        let i = format!("i{name}");
        model.node("Constant", "", &i).int("value_int", index as i64).node("Gather", &format!("t {i}"), name)
    })
}

fn keys_transposed(model: Model, from: &str) -> Model {
    model.node("Transpose", from, "kt").ints("perm", &[0, 1, 3, 2])
}

fn finish(model: Model) -> Model {
    model
        .node("Softmax", "s", "p")
        .int("axis", -1)
        .node("MatMul", "p v", "o")
        .node("Transpose", "o", "ot")
        .ints("perm", &[0, 2, 1, 3])
        .i64s("join", &[1, T, 6])
        .node("Reshape", "ot join", "y")
}

fn assert_attention(graph: &Graph) {
    assert_eq!(ops(graph), ["linear", "slice_cols", "slice_cols", "slice_cols", "attention"]);
    let Op::Attention { heads, scale } = graph.nodes[4].op else { panic!("{:?}", graph.nodes) };
    assert_eq!(heads, 2);
    assert!((scale - 0.57735026).abs() < 1e-6, "{scale}");
}

#[test]
fn the_scale_is_a_number() {
    // Each is one, their product is too large for f32.
    let model = heads().scalar("large", 1e30).node("Mul", "q large", "qs");
    let model = keys_transposed(model, "k").node("Mul", "kt large", "ks").node("MatMul", "qs ks", "s");
    let error = finish(model).refused();
    assert_eq!((error.kind, error.place.field.as_deref()), (ErrorKind::UnsupportedAttribute, Some("scale")));
}

#[test]
fn the_scale_may_stand_anywhere() {
    let before = keys_transposed(heads().node("Mul", "q scale", "qs"), "k").node("MatMul", "qs kt", "s");
    let after = keys_transposed(heads(), "k").node("MatMul", "q kt", "s0").node("Mul", "scale s0", "s");
    let divided = keys_transposed(heads(), "k").node("MatMul", "q kt", "s0").node("Div", "s0 inverse", "s");
    let both = keys_transposed(heads().node("Mul", "q root", "qs"), "k")
        .node("Mul", "kt root", "ks")
        .node("MatMul", "qs ks", "s");
    let keys = keys_transposed(heads().node("Div", "k inverse", "ks"), "ks").node("MatMul", "q kt", "s");
    for model in [before, after, divided, both, keys] {
        assert_attention(&finish(model).check());
    }
}

#[test]
fn a_scale_computed_from_the_shape() {
    let model = heads()
        .i64s("from", &[-1])
        .i64s("to", &[i64::MAX])
        .scalar("one", 1.0)
        .node("Shape", "q", "shape")
        .node("Slice", "shape from to", "d")
        .node("Cast", "d", "df")
        .int("to", 1)
        .node("Sqrt", "df", "root_d")
        .node("Div", "one root_d", "scale_d")
        .node("Sqrt", "scale_d", "half")
        .node("Mul", "q half", "qs")
        .node("Transpose", "k", "kt")
        .ints("perm", &[0, 1, 3, 2])
        .node("Mul", "kt half", "ks")
        .node("MatMul", "qs ks", "s");
    assert_attention(&finish(model).check());
}

#[test]
fn heads_without_a_batch_axis() {
    let model = heads()
        .i64s("three", &[-1, T, 3])
        .i64s("four", &[1, 2, 3, T])
        .node("Reshape", "k three", "k3")
        .node("Transpose", "k3", "k3t")
        .ints("perm", &[0, 2, 1])
        .node("Reshape", "k3t four", "kt")
        .node("Mul", "q scale", "qs")
        .node("MatMul", "qs kt", "s");
    assert_attention(&finish(model).check());
}

#[test]
fn interleaved_heads_are_put_in_order() {
    // [T, heads, 3, d]: each head's queries, keys and values beside each other.
    let model = Model::new()
        .input("x", &[1, T, 18])
        .output("y")
        .i64s("five", &[1, T, 2, 3, 3])
        .node("Reshape", "x five", "r")
        .node("Transpose", "r", "t")
        .ints("perm", &[3, 0, 2, 1, 4])
        .node("Split", "t", "q4 k4 v4")
        .int("axis", 0)
        .i64s("zero", &[0])
        .node("Squeeze", "q4 zero", "q")
        .node("Squeeze", "k4 zero", "k")
        .node("Squeeze", "v4 zero", "v")
        .node("Transpose", "k", "kt")
        .ints("perm", &[0, 1, 3, 2])
        .node("MatMul", "q kt", "s");
    let graph = finish(model).check();
    assert_eq!(ops(&graph).last(), Some(&"attention"));
}

#[test]
fn masks_and_other_softmaxes_are_refused() {
    let scores = || keys_transposed(heads(), "k").node("MatMul", "q kt", "s0");
    let mask = finish(scores().noise("mask", &[1, 1, T, T]).node("Add", "s0 mask", "s"));
    let error = mask.refused();
    assert_error(&error, ErrorKind::UnsupportedOp, Some("n12"), None);
    assert!(error.hint.unwrap().contains("no input of the model"));
    let axis = scores().node("Softmax", "s0", "y").int("axis", 2);
    assert_error(&axis.refused(), ErrorKind::UnsupportedAttribute, Some("n12"), Some("axis"));
    let logits = Model::new().input("x", &[1, 5]).output("y").node("Softmax", "x", "y");
    assert_error(&logits.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    let product =
        Model::new().input("x", &[1, T, 6]).input("z", &[1, 6, 4]).output("y").node("MatMul", "x z", "y");
    assert_error(&product.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
}

/// `Attention` on the heads, and its result as `[1, T, 6]`.
fn one_operator(inputs: &str) -> Model {
    heads().node("Attention", inputs, "o")
}

fn join(model: Model) -> Model {
    model
        .node("Transpose", "o", "ot")
        .ints("perm", &[0, 2, 1, 3])
        .i64s("join", &[1, T, 6])
        .node("Reshape", "ot join", "y")
}

#[test]
fn the_operator_is_what_it_stands_for() {
    let spelled =
        finish(keys_transposed(heads().node("Mul", "q scale", "qs"), "k").node("MatMul", "qs kt", "s"));
    let spelled = spelled.import().unwrap();
    let default = join(one_operator("q k v")).import().unwrap();
    assert_attention(&default);
    assert_eq!(default.nodes[4].inputs, spelled.nodes[4].inputs);
    let given =
        join(one_operator("q k v").float("scale", 0.25).int("is_causal", 0).int("qk_matmul_output_mode", 0));
    let given = given.import().unwrap();
    assert!(matches!(given.nodes[4].op, Op::Attention { heads: 2, scale: 0.25 }), "{:?}", given.nodes[4]);
    // Heads side by side.
    let joined = Model::new()
        .input("x", &[1, T, 6])
        .output("y")
        .noise("w", &[6, 18])
        .node("MatMul", "x w", "qkv")
        .node("Split", "qkv", "q k v")
        .int("axis", 2)
        .node("Attention", "q k v", "y")
        .int("q_num_heads", 2)
        .int("kv_num_heads", 2);
    let joined = joined.import().unwrap();
    assert_attention(&joined);
    assert_eq!(joined.port_dims(&joined.outputs[0]), [1, T as usize, 6]);
}

#[test]
fn what_the_operator_may_not_have() {
    let attribute = |m: Model, field: &str| {
        assert_error(&join(m).refused(), ErrorKind::UnsupportedAttribute, Some("n10"), Some(field));
    };
    attribute(one_operator("q k v").int("is_causal", 1), "is_causal");
    attribute(one_operator("q k v").float("softcap", 30.0), "softcap");
    attribute(one_operator("q k v").int("softmax_precision", 10), "softmax_precision");
    attribute(one_operator("q k v").int("window", 1), "window");
    let mask = join(one_operator("q k v mask").noise("mask", &[T, T])).refused();
    assert_error(&mask, ErrorKind::UnsupportedOp, Some("n10"), None);
    assert!(mask.hint.unwrap().contains("position biases"));
    let second = join(one_operator("q k v").output("past"));
    let mut second = second.clone();
    second.graph.node[9].output.push("past".into());
    assert_error(&second.refused(), ErrorKind::UnsupportedOp, Some("n10"), Some("past"));
    let heads =
        Model::new().input("x", &[1, T, 6]).output("y").node("Attention", "x x x", "y").int("q_num_heads", 4);
    assert_error(&heads.refused(), ErrorKind::ShapeMismatch, Some("n1"), Some("q_num_heads"));
    let fewer_keys = Model::new()
        .input("x", &[1, T, 6])
        .noise("w", &[6, 3])
        .output("y")
        .node("MatMul", "x w", "k")
        .node("Attention", "x k k", "y")
        .int("q_num_heads", 2)
        .int("kv_num_heads", 1);
    assert_error(&fewer_keys.refused(), ErrorKind::UnsupportedOp, Some("n2"), None);
}

#[test]
fn the_operator_may_have_the_models_mask() {
    let masked = |to: i64| {
        let open = |rest: &[i64]| {
            std::iter::once(None).chain(rest.iter().map(|d| Some(Dim::DimValue(*d)))).collect::<Vec<_>>()
        };
        Model::with_opset(23)
            .declared_input("x", DataType::Float, open(&[T, 6]))
            .declared_input("m", DataType::Int64, open(&[T]))
            .output("y")
            .noise("w", &[6, 18])
            .i64s("axes", &[1, 2])
            .node("MatMul", "x w", "qkv")
            .node("Split", "qkv", "q k v")
            .int("axis", 2)
            .node("Cast", "m", "numbers")
            .int("to", to)
            .node("Unsqueeze", "numbers axes", "mask")
            .node("Attention", "q k v mask", "y")
            .int("q_num_heads", 2)
            .int("kv_num_heads", 2)
    };
    assert_attention(&masked(DataType::Bool as i64).import().unwrap());
    // Ones and zeros that are added to the scores mask nothing.
    let added = masked(DataType::Float as i64).refused();
    assert_error(&added, ErrorKind::UnsupportedOp, Some("n5"), None);
}
