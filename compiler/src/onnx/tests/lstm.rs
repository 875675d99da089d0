//! The LSTM operator: what it becomes, and each thing that it may not have.

use tract_onnx::pb::GraphProto;

use super::{Model, assert_error, ops};
use crate::error::ErrorKind;
use crate::ir::{Direction, Graph, MultiHeadLstm, Op};

const T: i64 = 5;
const D: i64 = 6;
const H: i64 = 3;

/// A model whose input is `[1, T, D]`, and the weights of an LSTM.
fn base(directions: i64) -> Model {
    Model::new()
        .input("x", &[1, T, D])
        .output("y")
        .noise("w", &[directions, 4 * H, D])
        .noise("r", &[directions, 4 * H, H])
        .noise("b", &[directions, 8 * H])
        .node("Transpose", "x", "xt")
        .ints("perm", &[1, 0, 2])
}

/// `Y` as `[1, T, directions·H]`, the way that PyTorch exports it.
fn finish(model: Model, directions: i64) -> Model {
    model
        .node("Transpose", "Y", "Yt")
        .ints("perm", &[0, 2, 1, 3])
        .i64s("shape", &[0, 0, -1])
        .node("Reshape", "Yt shape", "Yr")
        .node("Transpose", "Yr", "y")
        .ints("perm", &[1, 0, 2])
        .named(&format!("out{directions}"))
}

fn lstm(directions: i64, direction: &str) -> Model {
    base(directions).node("LSTM", "xt w r b", "Y").string("direction", direction).int("hidden_size", H)
}

fn units(graph: &Graph) -> &MultiHeadLstm {
    let [node] = &graph.nodes[..] else { panic!("{:?}", graph.nodes) };
    let Op::MultiHeadLstm(lstm) = &node.op else { panic!("{:?}", node.op) };
    lstm
}

fn directions(graph: &Graph) -> Vec<Direction> {
    units(graph).units.iter().map(|unit| unit.direction).collect()
}

#[test]
fn each_direction() {
    use Direction::{Forward, Reverse};
    for (count, name, expected) in [
        (1, "forward", vec![Forward]),
        (1, "reverse", vec![Reverse]),
        (2, "bidirectional", vec![Forward, Reverse]),
    ] {
        let graph = finish(lstm(count, name), count).check();
        assert_eq!(directions(&graph), expected);
        assert_eq!(units(&graph).units[0].input, 0..D as usize);
    }
}

#[test]
fn the_bias_may_be_left_out() {
    let model = base(1).node("LSTM", "xt w r", "Y").int("hidden_size", H);
    assert_eq!(units(&finish(model, 1).check()).units.len(), 1);
}

#[test]
fn states_that_turn_out_zero_are_accepted() {
    let model = base(1)
        .zeros("zero", &[1, 1, 1])
        .i64s("one", &[1])
        .i64s("index", &[1])
        .i64s("size", &[H])
        .node("Shape", "xt", "s")
        .node("Gather", "s index", "batch")
        .node("Concat", "one batch size", "dims")
        .int("axis", 0)
        .node("Expand", "zero dims", "h0")
        .node("ConstantOfShape", "dims", "c0")
        .node("LSTM", "xt w r b _ h0 c0", "Y Yh Yc")
        .int("hidden_size", H);
    assert_eq!(units(&finish(model, 1).check()).units.len(), 1);
}

#[test]
fn sequence_lengths_that_change_nothing_are_accepted() {
    let lengths = |n: i64| {
        let tensor = tract_onnx::pb::TensorProto {
            int32_data: vec![n as i32],
            ..super::tensor("n", tract_onnx::pb::tensor_proto::DataType::Int32, &[1])
        };
        finish(base(1).constant(tensor).node("LSTM", "xt w r b n", "Y").int("hidden_size", H), 1)
    };
    assert_eq!(units(&lengths(T).import().unwrap()).units.len(), 1);
    assert_error(
        &lengths(T - 1).refused(),
        ErrorKind::UnsupportedAttribute,
        Some("n2"),
        Some("sequence_lens"),
    );
}

#[test]
fn batch_first_is_a_matter_of_axes() {
    let plain = finish(lstm(2, "bidirectional"), 2).import().unwrap();
    let model = Model::new()
        .input("x", &[1, T, D])
        .output("y")
        .noise("w", &[2, 4 * H, D])
        .noise("r", &[2, 4 * H, H])
        .noise("b", &[2, 8 * H])
        .node("LSTM", "x w r b", "Y")
        .string("direction", "bidirectional")
        .int("layout", 1)
        .i64s("shape", &[0, 0, -1])
        .node("Reshape", "Y shape", "y");
    let graph = model.import().unwrap();
    assert_eq!(graph.outputs[0].dims, plain.outputs[0].dims);
    assert_eq!((&graph.nodes[0].op, &graph.weights), (&plain.nodes[0].op, &plain.weights));
}

#[test]
fn flipped_twice_is_the_other_direction() {
    let flip = |m: Model, from: &str, to: &str| m.node("Slice", &format!("{from} start end axis step"), to);
    let model = base(1).i64s("start", &[-1]).i64s("end", &[i64::MIN]).i64s("axis", &[0]).i64s("step", &[-1]);
    let model = flip(model, "xt", "flipped").node("LSTM", "flipped w r b", "Z").int("hidden_size", H);
    let graph = finish(flip(model, "Z", "Y"), 1).check();
    assert_eq!(directions(&graph), [Direction::Reverse]);
}

#[test]
fn parallel_heads_read_ranges_of_one_value() {
    let mut model = base(1).i64s("sizes", &[2, 4]).noise("wa", &[1, 4 * H, 2]).noise("wb", &[1, 4 * H, 4]);
    model = model
        .node("Split", "xt sizes", "xa xb")
        .int("axis", -1)
        .node("LSTM", "xa wa r b", "Ya")
        .int("hidden_size", H)
        .node("LSTM", "xb wb r b", "Yb")
        .string("direction", "reverse")
        .int("hidden_size", H)
        .node("Concat", "Ya Yb", "Y")
        .int("axis", 1);
    let graph = finish(model, 2).check();
    assert_eq!(ops(&graph), ["lstm", "lstm", "concat_cols"]);
    let ranges = graph.nodes.iter().filter_map(|node| match &node.op {
        Op::MultiHeadLstm(lstm) => Some((node.inputs[0], lstm.units[0].input.clone())),
        _ => None,
    });
    let input = graph.inputs[0].value;
    assert_eq!(ranges.collect::<Vec<_>>(), [(input, 0..2), (input, 2..6)]);
}

#[test]
fn a_permutation_of_channels_goes_into_the_weights() {
    let model = base(2)
        .i64s("order", &[3, 0, 5, 1, 2, 4])
        .node("Gather", "xt order", "p")
        .int("axis", 2)
        .node("LSTM", "p w r b", "Y")
        .string("direction", "bidirectional")
        .int("hidden_size", H);
    assert_eq!(ops(&finish(model, 2).check()), ["lstm"]);
}

#[test]
fn standard_activations_may_be_named() {
    let named = |list: &[&str]| finish(lstm(1, "forward").strings("activations", list), 1);
    assert_eq!(ops(&named(&["Sigmoid", "Tanh", "Tanh"]).check()), ["lstm"]);
    assert_eq!(ops(&named(&["sigmoid", "tanh", "tanh"]).import().unwrap()), ["lstm"]);
    for list in [&["Sigmoid", "Tanh", "Relu"][..], &["HardSigmoid", "Tanh", "Tanh"], &["Sigmoid", "Tanh"]] {
        assert_error(
            &named(list).refused(),
            ErrorKind::UnsupportedAttribute,
            Some("n2"),
            Some("activations"),
        );
    }
}

#[test]
fn other_formulas_are_refused() {
    let attribute = |m: Model, field: &str| {
        let error = finish(m, 1).refused();
        assert_error(&error, ErrorKind::UnsupportedAttribute, Some("n2"), Some(field));
        assert!(error.hint.is_some() && error.expected.is_some() && error.got.is_some(), "{error:?}");
    };
    attribute(lstm(1, "forward").float("clip", 3.0), "clip");
    attribute(lstm(1, "forward").int("input_forget", 1), "input_forget");
    attribute(lstm(1, "forward").floats("activation_alpha", &[0.5]), "activation_alpha");
    attribute(lstm(1, "forward").floats("activation_beta", &[0.5]), "activation_beta");
    attribute(lstm(1, "sideways"), "direction");
    attribute(lstm(1, "forward").int("layout", 2), "layout");
    attribute(lstm(1, "forward").int("linear_before_reset", 1), "linear_before_reset");
    let with = |inputs: &str| {
        base(1).noise("s", &[1, 1, H]).noise("p", &[1, 3 * H]).node("LSTM", inputs, "Y").int("hidden_size", H)
    };
    attribute(with("xt w r b _ s"), "initial_h");
    attribute(with("xt w r b _ _ s"), "initial_c");
    attribute(with("xt w r b _ _ _ p"), "P");
    assert_eq!(
        ops(&finish(base(1).zeros("p", &[1, 3 * H]).node("LSTM", "xt w r b _ _ _ p", "Y"), 1)
            .import()
            .unwrap()),
        ["lstm"]
    );
}

#[test]
fn hidden_states_after_the_last_step() {
    for (count, direction) in [(1, "forward"), (1, "reverse"), (2, "bidirectional")] {
        let read = |m: Model, inputs: &str| {
            m.node("LSTM", inputs, "Y h").string("direction", direction).int("hidden_size", H).output("h")
        };
        let graph = finish(read(base(count), "xt w r b"), count).check();
        assert_eq!(graph.port_dims(&graph.outputs[1]), [count as usize, 1, H as usize]);
        // Over a sequence that is turned round, the last step is the first token's.
        let flipped = base(count)
            .i64s("start", &[-1])
            .i64s("end", &[i64::MIN])
            .i64s("axis", &[0])
            .i64s("step", &[-1])
            .node("Slice", "xt start end axis step", "flipped");
        finish(read(flipped, "flipped w r b"), count).check();
    }
    // Nobody reads the whole sequence.
    let model = base(2)
        .node("LSTM", "xt w r b", "_ h")
        .string("direction", "bidirectional")
        .int("hidden_size", H)
        .output("h");
    let last =
        Model { graph: GraphProto { output: model.graph.output[1..].to_vec(), ..model.graph }, ..model };
    assert_eq!(
        ops(&last.check()),
        ["lstm", "slice_rows", "slice_rows", "slice_cols", "slice_cols", "concat_cols"]
    );
}

#[test]
fn cell_states_can_not_be_read() {
    let model = base(1).node("LSTM", "xt w r b", "_ _ Yc").int("hidden_size", H).node("Identity", "Yc", "y");
    assert_error(&model.refused(), ErrorKind::UnsupportedOp, Some("n2"), Some("Yc"));
}

#[test]
fn weights_of_the_wrong_shape_are_refused() {
    let shape = |m: Model, field: &str| {
        assert_error(&finish(m, 1).refused(), ErrorKind::ShapeMismatch, Some("n2"), Some(field))
    };
    let lstm = |m: Model, inputs: &str| m.node("LSTM", inputs, "Y").int("hidden_size", H);
    shape(lstm(base(1).noise("w2", &[1, 4 * H, D + 1]), "xt w2 r b"), "W");
    shape(lstm(base(1).noise("r2", &[1, 4 * H, H + 1]), "xt w r2 b"), "R");
    shape(lstm(base(1).noise("b2", &[1, 4 * H]), "xt w r b2"), "B");
    shape(lstm(base(2), "xt w r b"), "W");
    shape(base(1).node("LSTM", "x w r b", "Y").int("layout", 0), "X");
}

#[test]
fn time_must_run_over_the_tokens() {
    let model = Model::new()
        .input("x", &[T, D, 1])
        .output("y")
        .noise("w", &[1, 4 * H, T])
        .noise("r", &[1, 4 * H, H])
        .node("Transpose", "x", "t")
        .ints("perm", &[1, 2, 0])
        .node("LSTM", "t w r", "y");
    assert_error(&model.refused(), ErrorKind::UnsupportedOp, Some("n2"), Some("X"));
}
