//! Which parameter a name means.

use super::*;
use crate::ir::Origin;
use crate::masks::Match;

/// An LSTM, whose module's name is `lstm`, between two products.
fn mixer(lstm: &str, direction: &str) -> String {
    format!(
        r#"%a = linear %x {{0..2 -> 0..2: @0}} : 3x2 # blocks.0.attn.pre_proj
        %l = lstm %a {{head 0 {direction} 0..2 -> 0..1: w @1, r @2, bias @3}} : 3x1 # {lstm}
        %b = linear %l {{0..1 -> 0..2: @4}} : 3x2 # blocks.0.attn.proj
        "#
    )
}

fn graph(nodes: &str) -> Graph {
    parse(&format!(
        r#"graph "g"
        input "x" %x : 3x2 dims 3x2
        {nodes}
        output "y" %b dims 3x2
        @0: 2x2 = [1 2 3 4] @1: 4x2 = [1 2 3 4 5 6 7 8] @2: 4x1 = [1 2 3 4] @3: 1x4 = [1 2 3 4] @4: 1x2 = [1 2]"#
    ))
    .unwrap()
}

fn matched(graph: &Graph, name: &str, dims: [usize; 2]) -> Result<Match, Error> {
    let ones = vec![1; dims[0] * dims[1]];
    let masks = Masks::from_bytes(&file(name, Dtype::U8, &dims, &ones))?;
    masks.apply(&mut graph.clone(), &Origins::default()).map(|report| report.masks[0].matched)
}

#[test]
fn by_path_and_by_its_end() {
    let graph = graph(&mixer("blocks.0.attn.lstm", "forward"));
    let ih = |path: &str| matched(&graph, &format!("{path}.weight_ih_l0"), [4, 2]);
    assert_eq!(ih("blocks.0.attn.lstm").unwrap(), Match::Path);
    assert_eq!(ih("module.blocks.0.attn.lstm").unwrap(), Match::PathEnd);
    assert_eq!(ih("attn.lstm").unwrap(), Match::PathEnd);
    // Not the end of a path, but of a word.
    assert!(ih("ttn.lstm").is_err() && ih("blocks.0.attn.other").is_err() && ih("").is_err());
    assert_eq!(matched(&graph, "module.blocks.0.attn.proj.weight", [2, 1]).unwrap(), Match::PathEnd);
}

#[test]
fn by_neighbours_where_the_path_is_lost() {
    let lost = graph(&mixer("node_lstm_3", "forward"));
    let ih = "blocks.0.attn.lstm.weight_ih_l0";
    assert_eq!(matched(&lost, ih, [4, 2]).unwrap(), Match::Neighbours);
    assert_eq!(matched(&lost, "node_lstm_3.weight_ih_l0", [4, 2]).unwrap(), Match::Path);
    assert!(matched(&lost, "blocks.1.attn.lstm.weight_ih_l0", [4, 2]).is_err(), "another block");
    assert!(matched(&lost, "blocks.0.attn.other.weight", [2, 1]).is_err(), "products keep their paths");
}

#[test]
fn several_that_fit_are_an_error() {
    let pair = graph(
        r#"%a = linear %x {0..2 -> 0..2: @0} : 3x2 # blocks.0.attn.pre_proj
        %l = lstm %a {head 0 forward 0..2 -> 0..1: w @1, r @2, bias @3} : 3x1 # node_lstm_1
        %m = lstm %a {head 0 forward 0..2 -> 0..1: w @1, r @2, bias @3} : 3x1 # node_lstm_2
        %c = concat_cols %l %m : 3x2 # cat
        %b = linear %c {0..2 -> 0..2: @0} : 3x2 # blocks.1.attn.pre_proj"#,
    );
    let error = matched(&pair, "blocks.0.attn.lstm.weight_ih_l0", [4, 2]).unwrap_err();
    assert!(error.what.contains("`node_lstm_1.weight_ih_l0`, `node_lstm_2.weight_ih_l0`"), "{error}");
    assert_eq!((error.expected.as_deref(), error.got.as_deref()), (Some("`1`"), Some("`2`")));
    let error = matched(&pair, "pre_proj.weight", [2, 2]).unwrap_err();
    assert!(error.what.contains("several"), "{error}");

    let two = [("attn.lstm.weight_hh_l0", [4, 1]), ("blocks.0.attn.lstm.weight_hh_l0", [4, 1])];
    let views = two.map(|(name, dims)| (name, TensorView::new(Dtype::U8, dims.to_vec(), &[1; 4]).unwrap()));
    let masks = Masks::from_bytes(&serialize(views, None).unwrap()).unwrap();
    let mut graph = graph(&mixer("blocks.0.attn.lstm", "forward"));
    let error = masks.apply(&mut graph, &Origins::default()).unwrap_err();
    assert!(error.what.contains("two masks for one parameter"), "{error}");
}

#[test]
fn a_single_direction_goes_by_either_name() {
    let graph = graph(&mixer("blocks.0.attn.backward", "reverse"));
    for name in ["weight_hh_l0", "weight_hh_l0_reverse"] {
        assert_eq!(matched(&graph, &format!("blocks.0.attn.backward.{name}"), [4, 1]).unwrap(), Match::Path);
    }
}

#[test]
fn columns_that_the_importer_moved_are_masked_where_they_are() {
    let mut graph = graph(&mixer("blocks.0.attn.lstm", "forward"));
    let output = graph.nodes[0].output;
    let masks = file("blocks.0.attn.pre_proj.weight", Dtype::U8, &[2, 2], &[1, 0, 1, 1]);
    let masks = Masks::from_bytes(&masks).unwrap();
    let mut origins = Origins::default();
    origins.insert(output, Origin { columns: Some(vec![1, 0]), ..Origin::default() });
    masks.apply(&mut graph, &origins).unwrap();
    let weights = graph.nodes[0].op.weights();
    // Row 0, column 1 of PyTorch's out × in: input channel 1 stands in row 0 of the IR's in × out.
    assert_eq!(&graph.weight(weights[0]).data[..], [0.0, 2.0, 3.0, 4.0]);

    origins.insert(output, Origin { columns: Some(vec![1, 1]), ..Origin::default() });
    let error = masks.apply(&mut graph, &origins).unwrap_err();
    assert!(error.what.contains("added up"), "{error}");
}
