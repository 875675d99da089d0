//! Matrix products with constants, patch embeddings, and what is folded into them.

use super::{Model, assert_error, ops};
use crate::error::ErrorKind;
use crate::ir::{Linear, Op};

fn tokens() -> Model {
    Model::new().input("x", &[1, 5, 6]).output("y")
}

fn only_linear(model: &Model) -> Linear {
    let graph = model.check();
    match &graph.nodes[..] {
        [node] => match &node.op {
            Op::Linear(linear) => linear.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn matmul_takes_its_bias() {
    let model =
        tokens().noise("w", &[6, 4]).noise("b", &[4]).node("MatMul", "x w", "p").node("Add", "b p", "y");
    let linear = only_linear(&model);
    assert_eq!((linear.cols, linear.groups.len()), (4, 1));
    assert!(linear.groups[0].bias.is_some());
}

#[test]
fn a_vector_is_a_matrix_of_one_column() {
    let graph = tokens().noise("w", &[6]).node("MatMul", "x w", "y").check();
    assert_eq!((ops(&graph), graph.port_dims(&graph.outputs[0])), (vec!["linear"], vec![1, 5]));
}

#[test]
fn a_second_addition_is_not_a_bias() {
    let model = tokens()
        .noise("w", &[6, 4])
        .noise("b", &[4])
        .node("MatMul", "x w", "p")
        .node("Add", "p b", "q")
        .node("Add", "q b", "y");
    assert_eq!(ops(&model.check()), ["linear", "affine"]);
    let shared = tokens()
        .noise("w", &[6, 4])
        .noise("b", &[4])
        .node("MatMul", "x w", "p")
        .node("Add", "p b", "q")
        .node("Add", "q p", "y");
    assert_eq!(ops(&shared.check()), ["linear", "affine", "add"]);
}

#[test]
fn gemm_in_all_variants() {
    let base = || {
        Model::new()
            .input("x", &[5, 6])
            .output("y")
            .noise("w", &[6, 4])
            .noise("wt", &[4, 6])
            .noise("b", &[1, 4])
    };
    assert!(only_linear(&base().node("Gemm", "x w b", "y")).groups[0].bias.is_some());
    only_linear(&base().node("Gemm", "x w", "y").float("alpha", 0.5));
    only_linear(&base().node("Gemm", "x wt b", "y").int("transB", 1).float("alpha", 2.0).float("beta", 0.25));
    only_linear(&base().scalar("s", 0.5).node("Gemm", "x w s", "y"));
    let transposed = base().node("Gemm", "x w", "y").int("transA", 1);
    assert_error(&transposed.refused(), ErrorKind::UnsupportedAttribute, Some("n1"), Some("transA"));
    let rows = base().noise("c", &[5, 4]).node("Gemm", "x w c", "y").float("beta", 0.5);
    assert_eq!(ops(&rows.check()), ["linear", "constant", "add"]);
    let tall = base().noise("c", &[6, 4]).node("Gemm", "x w c", "y");
    assert_error(&tall.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
    let deep = base().noise("w3", &[5, 4]).node("Gemm", "x w3", "y");
    assert_error(&deep.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
}

#[test]
fn one_matrix_for_all_heads_or_one_each() {
    let heads = |m: Model| m.i64s("split", &[1, 5, 3, 2]).node("Reshape", "x split", "h");
    let joined = |m: Model| m.i64s("join", &[1, 5, -1]).node("Reshape", "p join", "y");
    let shared = joined(heads(tokens()).noise("w", &[2, 4]).node("MatMul", "h w", "p"));
    let linear = only_linear(&shared);
    assert_eq!(linear.groups.len(), 3);
    assert_eq!(linear.groups[0].weight, linear.groups[2].weight);
    let each = heads(tokens())
        .noise("w", &[3, 2, 4])
        .node("Transpose", "h", "t")
        .ints("perm", &[0, 2, 1, 3])
        .node("MatMul", "t w", "q")
        .node("Transpose", "q", "p")
        .ints("perm", &[0, 2, 1, 3]);
    let linear = only_linear(&joined(each));
    assert_eq!(linear.groups.len(), 3);
    assert_ne!(linear.groups[0].weight, linear.groups[2].weight);
    assert_eq!((linear.groups[2].input.clone(), linear.groups[2].output.clone()), (4..6, 8..12));
}

#[test]
fn a_permutation_of_channels_goes_into_the_weights() {
    let model = tokens()
        .i64s("split", &[1, 5, 3, 2])
        .i64s("join", &[1, 5, 6])
        .noise("w", &[6, 4])
        .node("Reshape", "x split", "h")
        .node("Transpose", "h", "t")
        .ints("perm", &[0, 1, 3, 2])
        .node("Reshape", "t join", "j")
        .node("MatMul", "j w", "y");
    only_linear(&model);
    let repeated = tokens()
        .i64s("some", &[5, 1, 1])
        .noise("w", &[3, 4])
        .node("Gather", "x some", "g")
        .int("axis", 2)
        .node("MatMul", "g w", "y");
    only_linear(&repeated);
}

#[test]
fn channels_of_several_tensors() {
    let model = Model::new()
        .input("x", &[1, 5, 6])
        .input("z", &[1, 5, 2])
        .output("y")
        .i64s("a", &[1])
        .i64s("b", &[4])
        .i64s("axis", &[2])
        .noise("w", &[5, 4])
        .node("Slice", "x a b axis", "s")
        .node("Concat", "z s", "c")
        .int("axis", -1)
        .node("MatMul", "c w", "y");
    assert_eq!(ops(&model.check()), ["concat_cols", "linear"]);
}

#[test]
fn constants_from_the_left_are_refused() {
    let model = tokens().noise("w", &[4, 5]).node("MatMul", "w x", "y");
    assert_error(&model.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    let wrong = tokens().noise("w", &[5, 4]).node("MatMul", "x w", "y");
    assert_error(&wrong.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
}

fn image() -> Model {
    Model::new().input("x", &[1, 2, 4, 6]).output("y").noise("w", &[5, 2, 2, 3]).noise("b", &[5])
}

#[test]
fn patch_embedding_by_flatten_or_by_transposition() {
    let conv = |m: Model| m.node("Conv", "x w b", "c").ints("kernel_shape", &[2, 3]).ints("strides", &[2, 3]);
    let flat = conv(image())
        .i64s("shape", &[1, 5, -1])
        .node("Reshape", "c shape", "f")
        .node("Transpose", "f", "y")
        .ints("perm", &[0, 2, 1]);
    assert_eq!(ops(&flat.check()), ["patch_embed"]);
    let nhwc = conv(image())
        .i64s("shape", &[1, -1, 5])
        .node("Transpose", "c", "t")
        .ints("perm", &[0, 2, 3, 1])
        .node("Reshape", "t shape", "y");
    assert_eq!(ops(&nhwc.check()), ["patch_embed"]);
    let pooled = conv(image()).node("ReduceMean", "c", "y").ints("axes", &[2, 3]).int("keepdims", 0);
    assert_eq!(ops(&pooled.check()), ["patch_embed", "mean_rows"]);
}

#[test]
fn other_convolutions_are_refused() {
    let conv = |m: Model| m.node("Conv", "x w b", "y");
    let field = |m: Model| m.refused().place.field.unwrap_or_default();
    let strides = |m: Model| m.ints("strides", &[2, 3]);
    assert_eq!(field(conv(image())), "strides");
    assert_eq!(field(strides(conv(image())).ints("pads", &[1, 0, 0, 0])), "pads");
    assert_eq!(field(strides(conv(image())).ints("dilations", &[2, 1])), "dilations");
    assert_eq!(field(strides(conv(image())).int("group", 2)), "group");
    assert_eq!(field(strides(conv(image())).string("auto_pad", "SAME_UPPER")), "auto_pad");
    assert_eq!(field(strides(conv(image())).int("groups", 1)), "groups");
    let channels =
        Model::new().input("x", &[1, 3, 4, 6]).output("y").noise("w", &[5, 2, 2, 3]).node("Conv", "x w", "y");
    assert_error(&channels.refused(), ErrorKind::ShapeMismatch, Some("n1"), Some("W"));
    let ragged = strides(
        Model::new().input("x", &[1, 2, 4, 7]).output("y").noise("w", &[5, 2, 2, 3]).node("Conv", "x w", "y"),
    );
    assert_error(&ragged.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
    let channels_first = strides(image().node("Conv", "x w b", "y"));
    assert_error(&channels_first.refused(), ErrorKind::UnsupportedOp, None, Some("y"));
}
