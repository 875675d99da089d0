//! Softmax attention as exporters spell it.

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
    let fused = Model::with_opset(23).input("x", &[1, T, 6]).output("y").node("Attention", "x x x", "y");
    let error = fused.refused();
    assert_error(&error, ErrorKind::UnsupportedOp, Some("n1"), None);
    assert!(error.hint.unwrap().contains("opset_version"));
}
