//! Moving data: what is free, what becomes an op, and what is refused.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;

use super::{Model, assert_error, ops};
use crate::error::ErrorKind;
use crate::ir::Op;

fn tokens() -> Model {
    Model::new().input("x", &[1, 5, 6]).output("y")
}

#[test]
fn heads_there_and_back_cost_nothing() {
    let model = tokens()
        .i64s("split", &[0, -1, 3, 2])
        .i64s("join", &[1, 5, 6])
        .node("Reshape", "x split", "a")
        .node("Transpose", "a", "b")
        .ints("perm", &[2, 0, 1, 3])
        .node("Transpose", "b", "c")
        .ints("perm", &[1, 2, 0, 3])
        .node("Reshape", "c join", "d")
        .node("Flatten", "d", "e")
        .int("axis", 2)
        .node("Relu", "e", "y");
    assert_eq!(ops(&model.check()), ["activation"]);
}

#[test]
fn split_and_concat_put_together_again_are_free() {
    let model = tokens()
        .i64s("sizes", &[1, 2, 3])
        .node("Split", "x sizes", "a b c")
        .int("axis", 2)
        .node("Concat", "a b c", "d")
        .int("axis", -1)
        .node("Relu", "d", "y");
    assert_eq!(ops(&model.check()), ["activation"]);
    let swapped = tokens().node("Split", "x", "a b").int("axis", 2).node("Concat", "b a", "y").int("axis", 2);
    assert_eq!(ops(&swapped.check()), ["slice_cols", "slice_cols", "concat_cols"]);
}

#[test]
fn older_operator_sets_have_their_parameters_in_attributes() {
    let model = Model::with_opset(11)
        .input("x", &[1, 5, 6])
        .output("y")
        .node("Split", "x", "a b")
        .int("axis", 2)
        .ints("split", &[2, 4])
        .node("Unsqueeze", "b", "c")
        .ints("axes", &[0, 4])
        .node("Squeeze", "c", "d")
        .ints("axes", &[-1])
        .node("Squeeze", "d", "y");
    let graph = model.check();
    assert_eq!(graph.outputs[0].dims, super::fixed(&[5, 4]));
}

#[test]
fn tokens_are_sliced_flipped_and_gathered() {
    let slice = |start: i64, end: i64, step: i64| {
        tokens().i64s("start", &[start]).i64s("end", &[end]).i64s("axis", &[1]).i64s("step", &[step]).node(
            "Slice",
            "x start end axis step",
            "y",
        )
    };
    assert_eq!(ops(&slice(1, i64::MAX, 1).check()), ["slice_rows"]);
    assert_eq!(ops(&slice(0, 5, 1).check()), [""; 0]);
    assert_eq!(ops(&slice(-1, i64::MIN, -1).check()), ["reverse_rows"]);
    assert_eq!(ops(&slice(3, 0, -1).check()), ["slice_rows", "reverse_rows"]);
    assert_eq!(ops(&slice(0, 5, 2).check()), ["slice_rows", "slice_rows", "slice_rows", "concat_rows"]);
    assert_error(&slice(4, 4, 1).refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    assert_error(&slice(0, 5, 0).refused(), ErrorKind::ShapeMismatch, Some("n1"), Some("steps"));
    let class = tokens()
        .f32s("w", &[6, 1], &[0.5; 6])
        .node("Constant", "", "i")
        .int("value_int", 0)
        .node("Gather", "x i", "g")
        .int("axis", 1)
        .node("MatMul", "g w", "y");
    assert_eq!(ops(&class.check()), ["slice_rows", "linear"]);
    assert_eq!(class.import().unwrap().outputs[0].dims, super::fixed(&[1, 1]));
    let out_of_range = tokens().i64s("i", &[5]).node("Gather", "x i", "y").int("axis", 1);
    assert_error(&out_of_range.refused(), ErrorKind::ShapeMismatch, Some("n1"), Some("indices"));
}

#[test]
fn slices_of_flipped_tokens() {
    let model = tokens()
        .i64s("back", &[4, 3, 2, 1, 0])
        .i64s("start", &[1])
        .i64s("end", &[3])
        .i64s("axis", &[1])
        .noise("m", &[5, 6])
        .node("Gather", "x back", "r")
        .int("axis", 1)
        .node("Add", "r m", "s")
        .node("Slice", "s start end axis", "y");
    model.check();
}

#[test]
fn a_class_token_is_put_in_front() {
    let model = tokens()
        .noise("cls", &[1, 1, 6])
        .noise("pos", &[1, 6, 6])
        .i64s("shape", &[1, -1, -1])
        .node("ConstantOfShape", "three", "ones")
        .i64s("three", &[3])
        .node("Cast", "ones", "zeros")
        .int("to", 7)
        .node("Add", "shape two", "wanted")
        .i64s("two", &[0])
        .node("Equal", "wanted zeros", "never")
        .node("Where", "never zeros one", "target")
        .i64s("one", &[1])
        .node("Expand", "cls target", "token")
        .node("Concat", "token x", "c")
        .int("axis", 1)
        .node("Add", "c pos", "y");
    assert_eq!(ops(&model.check()), ["constant", "concat_rows", "constant", "add"]);
}

#[test]
fn a_mean_over_tokens() {
    for keep in [0, 1] {
        let model = tokens().node("ReduceMean", "x", "y").ints("axes", &[1]).int("keepdims", keep);
        assert_eq!(ops(&model.check()), ["mean_rows"]);
    }
    let input = Model::with_opset(18).input("x", &[1, 5, 6]).output("y").i64s("axes", &[-2]).node(
        "ReduceMean",
        "x axes",
        "y",
    );
    assert_eq!(ops(&input.check()), ["mean_rows"]);
    let all = tokens().node("ReduceMean", "x", "y").ints("axes", &[1, 2]);
    assert_error(&all.refused(), ErrorKind::UnsupportedOp, Some("n1"), Some("axes"));
}

#[test]
fn one_token_is_like_any_row() {
    let model = tokens()
        .i64s("a", &[0])
        .i64s("b", &[1])
        .i64s("axis", &[1])
        .node("Slice", "x a b axis", "first")
        .node("Concat", "x first", "c")
        .int("axis", 1)
        .node("Relu", "c", "y");
    assert_eq!(ops(&model.check()), ["slice_rows", "concat_rows", "activation"]);
    let beside = tokens()
        .i64s("i", &[0])
        .i64s("j", &[3])
        .node("Gather", "x i", "a")
        .int("axis", 1)
        .node("Gather", "x j", "b")
        .int("axis", 1)
        .node("Concat", "a b", "y")
        .int("axis", 2);
    assert_eq!(ops(&beside.check()), ["slice_rows", "slice_rows", "concat_cols"]);
}

#[test]
fn constants_beside_tokens() {
    let model = tokens().noise("c", &[1, 5, 2]).node("Concat", "x c", "y").int("axis", 2);
    assert_eq!(ops(&model.check()), ["constant", "concat_cols"]);
}

#[test]
fn nothing_that_does_nothing_is_left() {
    let model = tokens()
        .node("Identity", "x", "a")
        .node("Dropout", "a", "b")
        .node("Cast", "b", "c")
        .int("to", 1)
        .node("Shape", "c", "shape")
        .node("Expand", "c shape", "y");
    // rten has no Dropout in this build.
    let graph = model.import().unwrap();
    assert_eq!((graph.nodes.len(), graph.outputs[0].value), (0, graph.inputs[0].value));
    let half = tokens().node("Cast", "x", "y").int("to", 10);
    assert_error(&half.refused(), ErrorKind::UnsupportedAttribute, Some("n1"), Some("to"));
}

/// `[6, 2]` in f16: 1, −0.5, 2^−24, 0, ….
fn half_weights() -> Model {
    let mut bits = vec![0x3c00, 0xb800, 1];
    bits.resize(12, 0);
    tokens().constant(TensorProto { int32_data: bits, ..super::tensor("h", DataType::Float16, &[6, 2]) })
}

#[test]
fn floats_of_16_bits_are_widened_where_the_model_says_so() {
    let graph =
        half_weights().node("Cast", "h", "w").int("to", 1).node("MatMul", "x w", "y").import().unwrap();
    assert_eq!(graph.weights[0].data[..4], [1.0, -0.5, 2f32.powi(-24), 0.0]);
    // They may be moved before, and narrowed and widened again.
    let moved = half_weights()
        .node("Transpose", "h", "ht")
        .node("Concat", "ht ht", "hh")
        .int("axis", 0)
        .node("Cast", "hh", "w4")
        .int("to", 1)
        .node("Transpose", "w4", "w")
        .node("MatMul", "x w", "y");
    assert_eq!(moved.import().unwrap().weights[0].data[..4], [1.0, -0.5, 1.0, -0.5]);
    let third = tokens().f32s("third", &[1], &[1.0 / 3.0]).node("Cast", "third", "h").int("to", 10);
    let third = third.node("Cast", "h", "w").int("to", 1).node("Mul", "x w", "y").import().unwrap();
    assert_eq!(third.weights[0].data[..], [0.333_251_95; 6]);
}

#[test]
fn floats_of_16_bits_are_not_computed_with() {
    let refused = |m: Model, node: &str| {
        let error = m.refused();
        assert_error(&error, ErrorKind::UnsupportedOp, Some(node), None);
        assert_eq!(error.got.as_deref(), Some("f16"), "{error:?}");
        assert!(error.hint.unwrap().contains("`Cast`"));
    };
    refused(half_weights().node("MatMul", "x h", "y"), "n1");
    let sum =
        half_weights().node("Add", "h h", "s").node("Cast", "s", "w").int("to", 1).node("MatMul", "x w", "y");
    refused(sum, "n1");
    refused(
        half_weights().node("Sqrt", "h", "s").node("Cast", "s", "w").int("to", 1).node("MatMul", "x w", "y"),
        "n1",
    );
    let input = Model::new()
        .declared_input("x", DataType::Float16, vec![Some(Dim::DimValue(1)), Some(Dim::DimValue(6))])
        .output("y")
        .node("Relu", "x", "y");
    assert_error(&input.refused(), ErrorKind::UnsupportedOp, None, Some("x"));
}

#[test]
fn casts_to_the_type_of_something_else() {
    let model = tokens().i64s("three", &[3]).node("CastLike", "three x", "c").node("CastLike", "x c", "t");
    let graph = model.node("Mul", "t c", "y").import().unwrap();
    assert_eq!((ops(&graph), &graph.weights[0].data[..]), (vec!["affine"], &[3.0; 6][..]));
    let narrowed = half_weights().node("CastLike", "x h", "y").refused();
    assert_error(&narrowed, ErrorKind::UnsupportedOp, Some("n1"), None);
}

#[test]
fn tokens_and_channels_are_not_mixed() {
    let mixed = tokens().i64s("shape", &[1, 10, 3]).node("Reshape", "x shape", "y");
    assert_error(&mixed.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    let transposed = tokens().node("Transpose", "x", "y").ints("perm", &[0, 2, 1]);
    assert_error(&transposed.refused(), ErrorKind::UnsupportedOp, None, Some("y"));
    let wrong = tokens().i64s("shape", &[1, 5, 7]).node("Reshape", "x shape", "y");
    assert_error(&wrong.refused(), ErrorKind::ShapeMismatch, Some("n1"), Some("shape"));
    let open = tokens().i64s("shape", &[-1, -1]).node("Reshape", "x shape", "y");
    assert_error(&open.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
    let perm = tokens().node("Transpose", "x", "y").ints("perm", &[0, 1, 1]);
    assert_error(&perm.refused(), ErrorKind::BrokenModel, Some("n1"), Some("axes"));
    let parts = tokens().i64s("sizes", &[2, 2]).node("Split", "x sizes", "y z").int("axis", 2);
    assert_error(&parts.refused(), ErrorKind::ShapeMismatch, Some("n1"), Some("split"));
    let rest = Model::new()
        .input("x", &[1, 5, 6])
        .input("z", &[1, 4, 6])
        .output("y")
        .node("Concat", "x z", "y")
        .int("axis", 2);
    assert_error(&rest.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
}

#[test]
fn axes_of_the_same_size_are_told_apart() {
    // Five tokens of five heads of five.
    let model = Model::new()
        .input("x", &[1, 5, 25])
        .output("y")
        .i64s("split", &[1, 5, 5, 5])
        .i64s("join", &[1, 5, 25])
        .node("Reshape", "x split", "a")
        .node("Transpose", "a", "b")
        .ints("perm", &[0, 2, 1, 3])
        .node("Transpose", "b", "c")
        .ints("perm", &[0, 2, 3, 1])
        .node("Reshape", "c join", "d")
        .noise("w", &[25, 3])
        .node("MatMul", "d w", "y");
    assert!(matches!(model.check().nodes[0].op, Op::Linear(_)));
}
