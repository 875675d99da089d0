//! Token ids, attention masks, lengths, open sizes and batches; judged by the reference at several lengths.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;

use super::{Model, assert_error, ops};
use crate::error::{Error, ErrorKind};
use crate::ir::{self, Dtype, Graph, Shape, eval};
use crate::onnx::{ImportOptions, import};
use crate::reference::{self, Keep, Tensor};

const MOST: usize = 6;

/// Adds nodes to a model.
type Change = fn(Model) -> Model;

fn open(name: &str) -> Option<Dim> {
    Some(Dim::DimParam(name.into()))
}

fn number(n: i64) -> Option<Dim> {
    Some(Dim::DimValue(n))
}

/// Ids and a mask of any batch and length.
fn inputs() -> Model {
    Model::new().declared_input("ids", DataType::Int64, vec![open("batch"), open("tokens")]).declared_input(
        "mask",
        DataType::Int64,
        vec![open("batch"), open("tokens")],
    )
}

/// Tokens `x`, from a table of 5 rows.
fn embedded() -> Model {
    inputs().noise("table", &[5, 6]).node("Gather", "table ids", "x")
}

fn options(batch: Option<usize>) -> ImportOptions {
    ImportOptions { max_tokens: Some(MOST), batch, ..ImportOptions::default() }
}

fn imported(model: &Model, batch: Option<usize>) -> Result<Graph, Error> {
    let graph = import(&model.bytes(), &options(batch))?;
    ir::verify(&graph).unwrap();
    Ok(graph)
}

fn refused(model: &Model) -> Error {
    match imported(model, None) {
        Err(error) => error,
        Ok(graph) => panic!("not refused:\n{}", ir::text::print(&graph, ir::text::Detail::Summary)),
    }
}

/// The graph, whose answer is the judge's at several lengths, and the same for a batch.
fn check(model: &Model) -> Graph {
    let graph = imported(model, None).unwrap_or_else(|e| panic!("{e} {e:?}"));
    let judge = reference::Model::load(&model.bytes()).unwrap();
    for tokens in [1, 2, MOST - 1, MOST] {
        let ids: Vec<i64> = (0..tokens as i64).map(|t| t * 3 % 5).collect();
        let of = |name: &str| if name == "mask" { vec![1; tokens] } else { ids.clone() };
        let ports: Vec<&str> = graph.inputs.iter().map(|port| port.name.as_str()).collect();
        let tensors = ports.iter().map(|name| (*name, Tensor::int(&[1, tokens], of(name)).unwrap()));
        let values =
            judge.run(&tensors.collect::<Vec<_>>(), Keep::Outputs).unwrap_or_else(|e| panic!("{e:?}"));
        let floats: Vec<Vec<f32>> =
            ports.iter().map(|name| of(name).iter().map(|id| *id as f32).collect()).collect();
        let got = eval::outputs(&graph, &floats.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        for (port, got) in graph.outputs.iter().zip(got) {
            let expected = values[&port.name].as_real().unwrap();
            assert_eq!(got.len(), expected.len(), "{tokens} tokens");
            for (got, expected) in got.iter().zip(&expected) {
                assert!(
                    (got - expected).abs() < 1e-5 * (1.0 + got.abs()),
                    "{got} for {expected}, {tokens} tokens"
                );
            }
        }
    }
    let batch = imported(model, Some(4)).unwrap_or_else(|e| panic!("in a batch: {e} {e:?}"));
    assert_eq!(ops(&batch), ops(&graph), "the graph is that of one element");
    assert!(batch.outputs.iter().all(|port| port.dims[0] == ir::Dim::Batch));
    graph
}

/// `[batch, 1, 1, tokens]` of the mask, as floats.
fn wide_mask(model: Model) -> Model {
    model
        .i64s("axes", &[1, 2])
        .scalar("one", 1.0)
        .scalar("least", f32::MIN)
        .node("Unsqueeze", "mask axes", "m4")
        .node("Cast", "m4", "mf")
        .int("to", 1)
        .node("Sub", "one mf", "inverted")
}

/// Attention of `x` with itself, 2 heads of 3; `mask` makes `s` of the scores `s0`.
fn attention(model: Model, mask: impl FnOnce(Model) -> Model) -> Model {
    let model = model.i64s("split", &[0, 0, 2, 3]).i64s("join", &[0, 0, 6]).node("Reshape", "x split", "h");
    let model =
        ["q", "v"].iter().fold(model, |m, name| m.node("Transpose", "h", name).ints("perm", &[0, 2, 1, 3]));
    mask(model.node("Transpose", "h", "k").ints("perm", &[0, 2, 3, 1]).node("MatMul", "q k", "s0"))
        .node("Softmax", "s", "p")
        .int("axis", -1)
        .node("MatMul", "p v", "o")
        .node("Transpose", "o", "ot")
        .ints("perm", &[0, 2, 1, 3])
        .node("Reshape", "ot join", "y")
        .output("y")
}

#[test]
fn ids_and_positions() {
    let model = embedded()
        .noise("places", &[16, 6])
        .i64s("zero", &[0])
        .i64s("axis", &[1])
        .node("Constant", "", "start")
        .int("value_int", 0)
        .node("Constant", "", "step")
        .int("value_int", 1)
        .node("Shape", "ids", "shape")
        .node("Gather", "shape step", "length")
        .node("Range", "start length step", "range")
        .node("Gather", "places range", "rows")
        .node("Add", "x rows", "y")
        .output("y");
    let graph = check(&model);
    assert_eq!(ops(&graph), ["embedding", "positions", "add"]);
    assert_eq!(graph.weight(graph.nodes[1].op.weights()[0]).dims, [MOST, 6]);
    assert_eq!(
        (graph.inputs[0].dtype, graph.value(graph.inputs[0].value).shape),
        (Dtype::I64, Shape::TokenIds)
    );
    assert_eq!(graph.outputs[0].dims, [ir::Dim::Fixed(1), ir::Dim::Tokens, ir::Dim::Fixed(6)]);
    assert_eq!(graph.lengths, None, "nobody reads the mask");
}

#[test]
fn what_masks_scores_leaves_the_attention() {
    let spellings: [(&str, Change); 5] = [
        ("added", |m| wide_mask(m).node("Mul", "inverted least", "bias").node("Add", "s0 bias", "s")),
        ("filled", |m| {
            wide_mask(m)
                .node("Cast", "inverted", "b")
                .int("to", 9)
                .node("Where", "b least inverted", "bias")
                .node("Add", "bias s0", "s")
        }),
        ("subtracted", |m| {
            wide_mask(m).scalar("much", 1e4).node("Mul", "inverted much", "bias").node("Sub", "s0 bias", "s")
        }),
        ("chosen", |m| {
            wide_mask(m)
                .scalar("never", f32::NEG_INFINITY)
                .node("Cast", "m4", "b")
                .int("to", 9)
                .node("Not", "b", "n")
                .node("Where", "n never s0", "s")
        }),
        ("compared", |m| {
            wide_mask(m).scalar("nothing", 0.0).node("Equal", "mf nothing", "n").node(
                "Where",
                "n least s0",
                "s",
            )
        }),
    ];
    for (name, mask) in spellings {
        let graph = check(&attention(embedded(), mask));
        assert_eq!(ops(&graph), ["embedding", "attention"], "{name}");
        assert_eq!(graph.lengths, Some(1), "{name}");
        assert_eq!(graph.uses(graph.inputs[1].value), 0, "{name}");
    }
}

#[test]
fn a_softmax_that_is_mended_is_one() {
    let mut model = attention(embedded(), |m| m.scalar("nothing", 0.0).node("Identity", "s0", "s"));
    let at = model.graph.node.iter().position(|node| node.op_type == "Softmax").unwrap();
    let after = model.graph.node.split_off(at + 1);
    model = model.node("IsNaN", "p", "bad").node("Where", "bad nothing p", "mended");
    model.graph.node.extend(after);
    let product = model
        .graph
        .node
        .iter_mut()
        .find(|node| node.input.first().is_some_and(|i| i == "p") && node.op_type == "MatMul");
    product.unwrap().input[0] = "mended".into();
    assert_eq!(ops(&check(&model)), ["embedding", "attention"]);
}

#[test]
fn masks_that_do_not_mask_are_refused() {
    let wrong: [Change; 6] = [
        |m| m.node("Add", "s0 mf", "s"),
        |m| m.scalar("little", -1.0).node("Mul", "inverted little", "bias").node("Add", "s0 bias", "s"),
        |m| m.node("Where", "b s0 inverted", "s").node("Identity", "s0", "unused"),
        |m| m.i64s("last", &[0, 1, 3, 2]).node("Mul", "s0 mf", "s"),
        |m| m.noise("bias", &[1, 2, 1, 1]).node("Add", "s0 bias", "s"),
        |m| {
            m.node("Transpose", "mf", "t")
                .ints("perm", &[0, 1, 3, 2])
                .node("Mul", "t least", "bias")
                .node("Add", "s0 bias", "s")
        },
    ];
    for (index, mask) in wrong.into_iter().enumerate() {
        let error =
            refused(&attention(embedded(), |m| mask(wide_mask(m).node("Cast", "m4", "b").int("to", 9))));
        assert_eq!(error.kind, ErrorKind::UnsupportedOp, "{index}: {error:?}");
        assert!(error.place.node.is_some() && error.hint.is_some(), "{index}: {error:?}");
    }
}

#[test]
fn inputs_that_are_two_things_are_refused() {
    let ids_as_mask =
        embedded().scalar("one", 1.0).node("Cast", "ids", "f").int("to", 1).node("Sub", "one f", "n");
    let error = refused(&ids_as_mask.node("Mul", "x n", "y").output("y"));
    assert_error(&error, ErrorKind::UnsupportedOp, Some("n2"), None);
    assert!(error.what.contains("token ids"), "{error:?}");
    let mask_as_ids = inputs()
        .noise("table", &[5, 6])
        .node("Cast", "mask", "f")
        .int("to", 1)
        .node("Gather", "table mask", "x")
        .node("Relu", "x", "y")
        .node("Relu", "f", "z")
        .output("y")
        .output("z");
    assert_eq!(refused(&mask_as_ids).kind, ErrorKind::UnsupportedOp);
    let arithmetic = embedded().node("Relu", "mask", "y").output("y");
    assert_error(&refused(&arithmetic), ErrorKind::UnsupportedOp, Some("n2"), None);
    let column =
        embedded().node("Gather", "table ids", "c").int("axis", 1).node("Relu", "c", "y").output("y");
    assert_error(&refused(&column), ErrorKind::UnsupportedOp, Some("n2"), Some("axis"));
}

/// The mean of `x` over the tokens that count, by `sum` and `count`.
fn mean(model: Model) -> Model {
    model.scalar("tiny", 1e-9).node("Clip", "count tiny", "c").node("Div", "sum c", "y").output("y")
}

#[test]
fn means_in_every_spelling() {
    let floats = || embedded().i64s("at", &[1]).node("Cast", "mask", "f").int("to", 1);
    let column = |m: Model| m.i64s("end", &[2]).node("Unsqueeze", "f end", "f3");
    let narrow = column(floats())
        .node("Mul", "x f3", "kept")
        .node("ReduceSum", "kept at", "sum")
        .int("keepdims", 0)
        .node("ReduceSum", "f at", "count");
    let wide = column(floats())
        .node("Shape", "x", "shape")
        .node("Expand", "f3 shape", "fw")
        .node("Mul", "fw x", "kept")
        .node("ReduceSum", "kept at", "sum")
        .node("ReduceSum", "fw at", "count");
    let product = floats()
        .node("Unsqueeze", "f at", "row")
        .node("MatMul", "row x", "sum3")
        .node("Squeeze", "sum3 at", "sum")
        .node("ReduceSum", "f at", "count");
    for model in [narrow, wide, product] {
        assert_eq!(ops(&check(&mean(model))), ["embedding", "mean_rows"]);
    }
    let counted = embedded()
        .i64s("at", &[1])
        .node("ReduceSum", "x at", "sum")
        .int("keepdims", 0)
        .node("Shape", "x", "shape")
        .node("Gather", "shape at", "length")
        .node("Cast", "length", "n")
        .int("to", 1)
        .node("Div", "sum n", "y")
        .output("y");
    assert_eq!(ops(&check(&counted)), ["embedding", "mean_rows"]);
    let half = embedded()
        .i64s("at", &[1])
        .scalar("two", 2.0)
        .node("ReduceSum", "x at", "sum")
        .node("Div", "sum two", "y")
        .output("y");
    assert_eq!(refused(&half).kind, ErrorKind::UnsupportedOp);
    let all = embedded().i64s("all", &[1, 2]).node("ReduceSum", "x all", "y").output("y");
    assert_error(&refused(&all), ErrorKind::UnsupportedOp, Some("n2"), Some("axes"));
}

#[test]
fn l2_normalisation_in_every_spelling() {
    let base = || embedded().i64s("last", &[-1]).scalar("tiny", 1e-12).node("Shape", "x", "shape");
    let norm = |m: Model| m.node("ReduceL2", "x", "n").ints("axes", &[-1]);
    let clipped =
        norm(base()).node("Clip", "n tiny", "c").node("Expand", "c shape", "w").node("Div", "x w", "y");
    let at_most = norm(base()).node("Max", "tiny n", "c").node("Div", "x c", "y");
    let squares = base()
        .scalar("two", 2.0)
        .node("Abs", "x", "a")
        .node("Pow", "a two", "s")
        .node("ReduceSum", "s last", "n2")
        .node("Sqrt", "n2", "n")
        .node("Clip", "n tiny", "c")
        .node("Div", "x c", "y");
    let product = base()
        .node("Mul", "x x", "s")
        .node("ReduceSum", "s last", "n2")
        .node("Clip", "n2 tiny", "c2")
        .node("Sqrt", "c2", "c")
        .node("Div", "x c", "y");
    let one = base().node("LpNormalization", "x", "y").int("axis", -1);
    for model in [clipped, at_most, squares, product, one] {
        assert_eq!(ops(&check(&model.output("y"))), ["embedding", "normalize"]);
    }
    let other = base().node("LpNormalization", "x", "y").int("p", 1).output("y");
    assert_error(&refused(&other), ErrorKind::UnsupportedAttribute, Some("n3"), Some("p"));
    let axis = base().node("ReduceL2", "x", "n").ints("axes", &[1]).node("Div", "x n", "y").output("y");
    assert_error(&refused(&axis), ErrorKind::UnsupportedOp, Some("n3"), Some("axes"));
    let above = norm(base()).node("Clip", "n tiny tiny", "c").node("Div", "x c", "y").output("y");
    assert_error(&refused(&above), ErrorKind::UnsupportedOp, Some("n4"), None);
}

#[test]
fn lstms_take_the_mask_for_their_lengths() {
    let lstm = |m: Model| {
        m.noise("w", &[2, 12, 6])
            .noise("r", &[2, 12, 3])
            .node("Transpose", "x", "t")
            .ints("perm", &[1, 0, 2])
            .node("LSTM", "t w r _ lengths", "h")
            .string("direction", "bidirectional")
            .int("hidden_size", 3)
            .node("Transpose", "h", "ht")
            .ints("perm", &[2, 0, 1, 3])
            .i64s("flat", &[0, 0, 6])
            .node("Reshape", "ht flat", "y")
            .output("y")
    };
    let counted = |keep| {
        let model = embedded().i64s("at", &[1]).node("ReduceSum", "mask at", "sum").int("keepdims", keep);
        lstm(model.node("Cast", "sum", "lengths").int("to", 6))
    };
    let graph = check(&counted(0));
    assert_eq!((ops(&graph), graph.lengths), (vec!["embedding", "lstm"], Some(1)));
    assert_eq!(refused(&counted(1)).place.field.as_deref(), Some("sequence_lens"));
    let constant = lstm(embedded()).i64s("lengths", &[MOST as i64]);
    assert_eq!(refused(&constant).kind, ErrorKind::UnsupportedAttribute, "not the length of every call");
}

#[test]
fn what_depends_on_the_length_is_refused() {
    let gather = |index: i64| {
        embedded()
            .node("Constant", "", "i")
            .int("value_int", index)
            .node("Gather", "x i", "y")
            .int("axis", 1)
            .output("y")
    };
    assert_eq!(ops(&check(&gather(0))), ["embedding", "slice_rows"]);
    for index in [1, -1] {
        assert_eq!(refused(&gather(index)).kind, ErrorKind::UnsupportedOp, "{index}");
    }
    let half = embedded()
        .i64s("at", &[1])
        .i64s("two", &[2])
        .i64s("zero", &[0])
        .node("Shape", "x", "shape")
        .node("Gather", "shape at", "length")
        .node("Div", "length two", "half")
        .node("Slice", "x zero half at", "y")
        .output("y");
    assert_eq!(refused(&half).kind, ErrorKind::UnsupportedOp);
    let root = embedded()
        .i64s("at", &[1])
        .node("Shape", "x", "shape")
        .node("Gather", "shape at", "length")
        .node("Cast", "length", "f")
        .int("to", 1)
        .node("Div", "x f", "y")
        .output("y");
    let error = refused(&root);
    assert!(error.what.contains("number of tokens"), "{error:?}");
    assert_eq!(error.place.field.as_deref(), Some("constant"));
    let more = embedded().noise("cls", &[1, 1, 6]).node("Concat", "cls x", "y").int("axis", 1).output("y");
    assert!(refused(&more).what.contains("number of tokens varies"));
}

#[test]
fn elements_of_a_batch_stay_apart() {
    let batched = |m: Model| imported(&m.output("y"), Some(4)).err();
    let fine = embedded().node("Relu", "x", "y");
    assert!(batched(fine).is_none());
    // Heads may be merged with the batch in between, as long as they come apart again.
    let merged = embedded()
        .i64s("split", &[0, 0, 2, 3])
        .i64s("merge_rest", &[2, 3])
        .i64s("join", &[0, 0, 6])
        .node("Reshape", "x split", "h")
        .node("Transpose", "h", "q")
        .ints("perm", &[0, 2, 1, 3])
        .i64s("any", &[-1])
        .node("Shape", "q", "sq")
        .node("Gather", "sq merge_rest", "rest")
        .node("Concat", "any rest", "merge")
        .int("axis", 0)
        .node("Reshape", "q merge", "m")
        .node("Transpose", "m", "mt")
        .ints("perm", &[0, 2, 1])
        .node("Relu", "mt", "r")
        .node("Shape", "q", "s0")
        .node("Shape", "r", "s1")
        .i64s("first", &[0, 1])
        .i64s("last", &[1, 2])
        .node("Gather", "s0 first", "front")
        .node("Gather", "s1 last", "back")
        .node("Concat", "front back", "shape")
        .int("axis", 0)
        .node("Reshape", "r shape", "k")
        .node("Transpose", "k", "t")
        .ints("perm", &[0, 3, 1, 2])
        .node("Reshape", "t join", "y");
    assert_eq!(ops(&imported(&merged.output("y"), Some(4)).unwrap()), ["embedding", "activation"]);
    let first = embedded().node("Constant", "", "i").int("value_int", 0).node("Gather", "x i", "y");
    let mixed = embedded().i64s("flat", &[-1, 6]).node("Reshape", "x flat", "y");
    let differs = embedded().noise("each", &[5, 1, 6]).node("Add", "x each", "y");
    let joined = embedded().noise("more", &[1, 5, 6]).node("Concat", "x more", "y").int("axis", 0);
    let constant = embedded().noise("c", &[5, 6]).node("Identity", "c", "y");
    for (index, model) in [first, mixed, differs, joined, constant].into_iter().enumerate() {
        let error = batched(model).unwrap_or_else(|| panic!("{index} not refused"));
        assert!(
            matches!(error.kind, ErrorKind::UnsupportedOp | ErrorKind::ShapeMismatch),
            "{index}: {error:?}"
        );
    }
}

#[test]
fn a_mask_makes_a_fixed_number_of_tokens_vary() {
    let fixed = |dims: [i64; 2]| {
        let dims = || dims.iter().map(|d| number(*d)).collect::<Vec<_>>();
        Model::new()
            .declared_input("ids", DataType::Int32, dims())
            .declared_input("mask", DataType::Int32, dims())
            .noise("table", &[5, 6])
            .node("Gather", "table ids", "x")
    };
    let graph = |m: &Model| import(&m.bytes(), &ImportOptions::default()).unwrap();
    let masked = graph(&attention(fixed([1, 7]), |m| {
        wide_mask(m).node("Mul", "inverted least", "bias").node("Add", "s0 bias", "s")
    }));
    assert_eq!((masked.tokens, masked.lengths), (7, Some(1)));
    assert_eq!(masked.inputs[0].dims, [ir::Dim::Fixed(1), ir::Dim::Tokens]);
    let plain = graph(&fixed([3, 7]).node("Relu", "x", "y").output("y"));
    assert_eq!((plain.tokens, plain.batch.most, plain.batch.fixed), (0, 3, true));
    assert_eq!(plain.value(plain.inputs[0].value).shape, Shape::Ids { rows: 7 });
    assert_eq!(plain.outputs[0].dims, [ir::Dim::Batch, ir::Dim::Fixed(7), ir::Dim::Fixed(6)]);
}

#[test]
fn sizes_that_contradict_are_refused() {
    let two = |a: Vec<Option<Dim>>, b: Vec<Option<Dim>>| {
        Model::new()
            .declared_input("ids", DataType::Int64, a)
            .declared_input("types", DataType::Int64, b)
            .noise("table", &[5, 6])
            .node("Gather", "table ids", "x")
            .node("Gather", "table types", "z")
            .node("Add", "x z", "y")
            .output("y")
    };
    let batches = two(vec![number(2), number(4)], vec![number(3), number(4)]);
    let error = import(&batches.bytes(), &ImportOptions::default()).unwrap_err();
    assert_error(&error, ErrorKind::ShapeMismatch, None, Some("batch"));
    let halves = two(vec![number(1), open("t")], vec![number(1), number(4)]);
    assert_error(&refused(&halves), ErrorKind::ShapeMismatch, None, Some("types"));
    let no_batch = Model::new().input("x", &[5, 6]).output("y").node("Relu", "x", "y");
    let options = ImportOptions { batch: Some(2), ..ImportOptions::default() };
    let error = import(&no_batch.bytes(), &options).unwrap_err();
    assert_error(&error, ErrorKind::ShapeMismatch, None, Some("batch"));
    let rows = Model::new().input("x", &[2, 5, 6]).output("y").node("Relu", "x", "y");
    let batched = import(&rows.bytes(), &options).unwrap();
    assert_eq!((batched.batch.most, batched.batch.fixed), (2, true));
}
