//! Spellings of GELU and LayerNorm, and arithmetic with constants.

use super::{Model, assert_error, ops};
use crate::error::ErrorKind;
use crate::ir::{self, Activation, Op};

fn tokens() -> Model {
    Model::new().input("x", &[1, 5, 6]).output("y")
}

fn only_activation(model: &Model) -> Activation {
    match &model.check().nodes[..] {
        [node] => match node.op {
            Op::Activation(act) => act,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn erf() -> Model {
    tokens().scalar("r2", 2f32.sqrt()).scalar("ir2", 0.5f32.sqrt()).scalar("one", 1.0).scalar("half", 0.5)
}

#[test]
fn gelu_by_erf_in_every_association() {
    let gate = |m: Model| m.node("Div", "x r2", "a").node("Erf", "a", "e").node("Add", "e one", "g");
    let spellings = [
        gate(erf()).node("Mul", "x g", "p").node("Mul", "p half", "y"),
        gate(erf()).node("Mul", "x half", "h").node("Mul", "h g", "y"),
        gate(erf()).node("Mul", "half x", "h").node("Mul", "g h", "y"),
        gate(erf()).node("Mul", "g half", "h").node("Mul", "h x", "y"),
        erf()
            .node("Mul", "ir2 x", "a")
            .node("Erf", "a", "e")
            .node("Add", "one e", "g")
            .node("Mul", "half g", "h")
            .node("Mul", "x h", "y"),
        erf()
            .node("Mul", "ir2 x", "a")
            .node("Erf", "a", "e")
            .node("Mul", "e half", "h")
            .node("Add", "h half", "g")
            .node("Mul", "x g", "y"),
    ];
    for spelling in spellings {
        assert_eq!(only_activation(&spelling), Activation::Gelu);
    }
}

#[test]
fn gelu_by_tanh_in_every_association() {
    let base = || {
        erf()
            .scalar("c", 0.044715)
            .scalar("root", (2.0 / std::f32::consts::PI).sqrt())
            .scalar("three", 3.0)
            .scalar("two", 2.0)
    };
    let outer = |m: Model| {
        m.node("Tanh", "i", "t").node("Add", "t one", "g").node("Mul", "x half", "h").node("Mul", "h g", "y")
    };
    let spellings = [
        base()
            .node("Pow", "x three", "x3")
            .node("Mul", "x3 c", "cx")
            .node("Add", "x cx", "s")
            .node("Mul", "s root", "i"),
        base()
            .node("Mul", "x x", "x2")
            .node("Mul", "x2 x", "x3")
            .node("Mul", "c x3", "cx")
            .node("Add", "cx x", "s")
            .node("Mul", "root s", "i"),
        base()
            .node("Pow", "x two", "x2")
            .node("Mul", "x2 c", "cx")
            .node("Add", "cx one", "s")
            .node("Mul", "x root", "rx")
            .node("Mul", "rx s", "i"),
    ];
    for spelling in spellings {
        assert_eq!(only_activation(&outer(spelling)), Activation::GeluTanh);
    }
}

#[test]
fn gelu_operator_and_simple_activations() {
    let model = |approximate| Model {
        ..Model::with_opset(20)
            .input("x", &[1, 5, 6])
            .output("y")
            .node("Gelu", "x", "y")
            .string("approximate", approximate)
    };
    assert_eq!(only_activation(&model("none")), Activation::Gelu);
    assert_eq!(only_activation(&model("tanh")), Activation::GeluTanh);
    assert_error(&model("fast").refused(), ErrorKind::UnsupportedAttribute, Some("n1"), Some("approximate"));
    assert_eq!(only_activation(&tokens().node("Tanh", "x", "y")), Activation::Tanh);
    assert_eq!(only_activation(&tokens().node("Relu", "x", "y")), Activation::Relu);
    // Of a multiple, too.
    let scaled = tokens().scalar("two", 2.0).node("Mul", "x two", "a").node("Tanh", "a", "y");
    assert_eq!(ops(&scaled.check()), ["affine", "activation"]);
}

#[test]
fn almost_gelu_is_refused() {
    let gate = |m: Model, by: &str| {
        m.node("Div", &format!("x {by}"), "a").node("Erf", "a", "e").node("Add", "e one", "g")
    };
    let wrong_argument = gate(erf().scalar("s", 1.5), "s").node("Mul", "x g", "y");
    assert_error(&wrong_argument.refused(), ErrorKind::UnsupportedOp, Some("n2"), None);
    let other_factor = gate(erf().noise("z", &[6]).node("Add", "x z", "u"), "r2").node("Mul", "u g", "y");
    assert_error(&other_factor.refused(), ErrorKind::UnsupportedOp, Some("n5"), None);
    let wrong_shift = erf()
        .node("Div", "x r2", "a")
        .node("Erf", "a", "e")
        .node("Add", "e half", "g")
        .node("Mul", "x g", "y");
    assert_error(&wrong_shift.refused(), ErrorKind::UnsupportedOp, Some("n4"), None);
    let erf_alone = erf().node("Div", "x r2", "a").node("Erf", "a", "y");
    assert_error(&erf_alone.refused(), ErrorKind::UnsupportedOp, None, Some("y"));
}

fn norm() -> Model {
    tokens()
        .scalar("eps", 1e-5)
        .scalar("two", 2.0)
        .scalar("half", 0.5)
        .scalar("neg", -0.5)
        .scalar("one", 1.0)
        .noise("w", &[6])
        .noise("b", &[6])
}

fn product_of_means(model: Model) -> Model {
    model.node("ReduceMean", "x", "m").ints("axes", &[-1]).node("Mul", "m m", "mm")
}

/// The variance as the mean of the squares less the square of the mean.
fn mean_of_squares(model: Model) -> Model {
    model
        .node("Mul", "x x", "xx")
        .node("ReduceMean", "xx", "mxx")
        .ints("axes", &[-1])
        .node("Sub", "mxx mm", "v")
        .node("Add", "v eps", "ve")
        .node("Sqrt", "ve", "sd")
        .node("Sub", "x m", "d")
        .node("Div", "d sd", "n")
}

#[test]
fn layer_norm_in_every_spelling() {
    let centred = |m: Model| m.node("ReduceMean", "x", "m").ints("axes", &[-1]).node("Sub", "x m", "d");
    let square = |m: Model| m.node("Pow", "d two", "q");
    let product = |m: Model| m.node("Mul", "d d", "q");
    let variance = |m: Model| m.node("ReduceMean", "q", "v").ints("axes", &[2]).node("Add", "v eps", "ve");
    let affine = |m: Model| m.node("Mul", "n w", "s").node("Add", "b s", "y");
    let spellings = [
        variance(square(centred(norm()))).node("Sqrt", "ve", "sd").node("Div", "d sd", "n"),
        variance(product(centred(norm()))).node("Pow", "ve half", "sd").node("Div", "d sd", "n"),
        variance(square(centred(norm())))
            .node("Sqrt", "ve", "sd")
            .node("Reciprocal", "sd", "r")
            .node("Mul", "d r", "n"),
        variance(square(centred(norm()))).node("Pow", "ve neg", "r").node("Mul", "r d", "n"),
        variance(square(centred(norm())))
            .node("Sqrt", "ve", "sd")
            .node("Div", "one sd", "r")
            .node("Mul", "d r", "n"),
        mean_of_squares(product_of_means(norm())),
        mean_of_squares(norm().node("ReduceMean", "x", "m").ints("axes", &[-1]).node("Pow", "m two", "mm")),
    ];
    for spelling in spellings {
        let graph = affine(spelling).check();
        assert!(
            matches!(
                graph.nodes[..],
                [ir::Node { op: Op::LayerNorm { eps: 1e-5, scale: Some(_), shift: Some(_) }, .. }]
            ),
            "{:?}",
            graph.nodes
        );
    }
}

#[test]
fn layer_norm_operator() {
    let graph =
        norm().node("LayerNormalization", "x w b", "y").int("axis", -1).float("epsilon", 1e-6).check();
    assert!(matches!(graph.nodes[0].op, Op::LayerNorm { eps: 1e-6, scale: Some(_), shift: Some(_) }));
    // Several axes that are together the channels.
    let deep = Model::new().input("x", &[1, 5, 2, 3]).output("y").noise("w", &[2, 3]).noise("b", &[2, 3]);
    let deep = deep.node("LayerNormalization", "x w b", "y").int("axis", 2);
    assert_eq!(ops(&deep.import().unwrap()), ["layer_norm"]);
    let refused = |m: Model| m.refused();
    let half = Model::new().input("x", &[1, 5, 2, 3]).output("y").noise("w", &[3]);
    let half = refused(half.node("LayerNormalization", "x w", "y").int("axis", 3));
    assert_error(&half, ErrorKind::UnsupportedAttribute, Some("n1"), Some("axis"));
    let no_axis = refused(norm().noise("w2", &[5, 6]).node("LayerNormalization", "x w2", "y").int("axis", 1));
    assert_error(&no_axis, ErrorKind::UnsupportedAttribute, Some("n1"), Some("axis"));
    let statistics = refused(norm().node("LayerNormalization", "x w b", "y mean").output("mean"));
    assert_error(&statistics, ErrorKind::UnsupportedOp, Some("n1"), Some("mean"));
    let zero = refused(norm().node("LayerNormalization", "x w b", "y").float("epsilon", 0.0));
    assert_error(&zero, ErrorKind::UnsupportedAttribute, Some("n1"), Some("epsilon"));
    let short = refused(norm().noise("s", &[5]).node("LayerNormalization", "x s", "y"));
    assert_error(&short, ErrorKind::ShapeMismatch, Some("n1"), Some("Scale"));
}

#[test]
fn a_tensor_with_another_reader_keeps_its_value() {
    let model = norm()
        .node("LayerNormalization", "x w", "n")
        .node("Add", "n b", "a")
        .node("Mul", "a w", "s")
        .node("Add", "n s", "y");
    assert_eq!(ops(&model.check()), ["layer_norm", "affine", "affine", "add"]);
}

#[test]
fn sums_of_any_number() {
    let model =
        tokens().noise("b", &[6]).noise("c", &[1, 5, 1]).node("Sum", "x b x c", "s").node("Sum", "s", "y");
    assert_eq!(ops(&model.check()), ["affine", "add", "constant", "add"]);
}

#[test]
fn arithmetic_with_constants() {
    let model = tokens()
        .noise("v", &[6])
        .noise("col", &[1, 1, 6])
        .noise("m", &[1, 5, 6])
        .noise("rows", &[5, 1])
        .scalar("s", 3.0)
        .node("Add", "v x", "a")
        .node("Mul", "a col", "b")
        .node("Sub", "v b", "c")
        .node("Sub", "c v", "d")
        .node("Div", "d v", "e")
        .node("Add", "e m", "f")
        .node("Sub", "m f", "g")
        .node("Sub", "g m", "h")
        .node("Add", "h rows", "i")
        .node("Sub", "s i", "j")
        .node("Neg", "j", "k")
        .node("Div", "k s", "y");
    model.check();
}

#[test]
fn arithmetic_of_two_tensors() {
    let two = || Model::new().input("x", &[1, 5, 6]).input("z", &[1, 5, 6]).output("y");
    assert_eq!(ops(&two().node("Add", "x z", "y").check()), ["add"]);
    assert_eq!(ops(&two().node("Sub", "x z", "y").check()), ["affine", "add"]);
    assert_error(&two().node("Mul", "x z", "y").refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    let broadcast =
        Model::new().input("x", &[1, 5, 6]).input("z", &[1, 1, 6]).output("y").node("Add", "x z", "y");
    assert_error(&broadcast.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
    let flipped = two()
        .i64s("start", &[-1])
        .i64s("end", &[i64::MIN])
        .i64s("axis", &[1])
        .i64s("step", &[-1])
        .node("Slice", "x start end axis step", "r")
        .node("Add", "r z", "y");
    assert_eq!(ops(&flipped.check()), ["reverse_rows", "add"]);
}

#[test]
fn growing_and_row_dependent_constants_are_refused() {
    let grow = tokens().noise("m", &[3, 5, 6]).node("Add", "x m", "y");
    assert_error(&grow.refused(), ErrorKind::ShapeMismatch, Some("n1"), None);
    let by_row = tokens().noise("m", &[5, 6]).node("Mul", "x m", "y");
    assert_error(&by_row.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    let power = tokens().noise("m", &[6]).node("Pow", "x m", "y");
    assert_error(&power.refused(), ErrorKind::UnsupportedOp, Some("n1"), None);
    let square = tokens().scalar("two", 2.0).node("Pow", "x two", "y");
    assert_error(&square.refused(), ErrorKind::UnsupportedOp, None, Some("y"));
}
