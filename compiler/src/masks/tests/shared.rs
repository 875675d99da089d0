//! One matrix in several places: for all heads of one product, or in several nodes.

use safetensors::tensor::Dtype;

use super::{error, f32s, file};
use crate::ir::text::parse;
use crate::ir::{Graph, Op, Origin, Origins};
use crate::masks::Masks;

/// Two heads of two channels, each multiplied by the same matrix, and what reads that.
fn heads() -> Graph {
    parse(
        r#"graph "g"
        input "x" %x : 3x4 dims 3x4
        %h = linear %x {0..2 -> 0..3: @0, bias @1} {2..4 -> 3..6: @0, bias @1} : 3x6 # attn.head_proj
        %a = activation %h gelu : 3x6 # attn.act
        %y = linear %a {0..6 -> 0..1: @2} : 3x1 # attn.post_proj
        output "y" %y dims 3x1
        @0: 2x3 = [1 2 3 4 5 6]
        @1: 1x3 = [7 8 9]
        @2: 6x1 = [1 2 3 4 5 6]"#,
    )
    .unwrap_or_else(|e| panic!("{e} {:?}", e.place))
}

fn applied(
    graph: &mut Graph,
    origins: &Origins,
    name: &str,
    shape: &[usize],
    mask: &[f32],
) -> (usize, usize) {
    let masks = Masks::from_bytes(&file(name, Dtype::F32, shape, &f32s(mask))).unwrap();
    let report = masks.apply(graph, origins).unwrap_or_else(|e| panic!("{e} {e:?}"));
    (report.masks[0].masked, report.masks[0].zeroed)
}

#[test]
fn one_matrix_for_all_heads_is_masked_once_for_all() {
    let mut graph = heads();
    // Out × in: output 1 no longer reads input 0.
    let mask = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0];
    let counts = applied(&mut graph, &Origins::default(), "attn.head_proj.weight", &[3, 2], &mask);
    assert_eq!(counts, (1, 1));
    let Op::Linear(linear) = &graph.nodes[0].op else { panic!() };
    assert_eq!(linear.groups[0].weight, linear.groups[1].weight, "heads go on sharing it");
    assert_eq!(&graph.weight(linear.groups[0].weight).data[..], [1.0, 0.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_keep_list_of_one_matrix_for_all_heads_prunes_the_unit_of_each() {
    let mut graph = heads();
    let counts = applied(&mut graph, &Origins::default(), "attn.head_proj.keep", &[3], &[1.0, 0.0, 1.0]);
    assert_eq!(counts, (1, 4));
    let weights = |node: usize| graph.weight(graph.nodes[node].op.weights()[0]).data.to_vec();
    assert_eq!(weights(0), [1.0, 0.0, 3.0, 4.0, 0.0, 6.0]);
    assert_eq!(weights(2), [1.0, 0.0, 3.0, 4.0, 0.0, 6.0]);
}

/// Two modules that read one initializer: PyTorch knows it by the first one's name only.
#[test]
fn a_constant_of_several_nodes_is_masked_in_all_of_them() {
    let tied = || {
        let graph = parse(
            r#"graph "g"
            input "x" %x : 3x2 dims 3x2
            %a = linear %x {0..2 -> 0..2: @0} : 3x2 # heads.0.proj
            %b = linear %a {0..2 -> 0..2: @1} : 3x2 # heads.1.proj
            %c = linear %b {0..2 -> 0..2: @2} : 3x2 # heads.2.proj
            output "y" %c dims 3x2
            @0: 2x2 = [1 2 3 4]
            @1: 2x2 = [1 2 3 4]
            @2: 2x2 = [1 2 3 4]"#,
        )
        .unwrap_or_else(|e| panic!("{e} {:?}", e.place));
        let mut origins = Origins::default();
        for (node, name) in graph.nodes.iter().zip(["onnx::MatMul_7", "onnx::MatMul_7", "onnx::MatMul_8"]) {
            origins.insert(node.output, Origin { initializer: Some(name.into()), ..Origin::default() });
        }
        (graph, origins)
    };
    for name in ["heads.0.proj.weight", "heads.1.proj.weight"] {
        let (mut graph, origins) = tied();
        assert_eq!(applied(&mut graph, &origins, name, &[2, 2], &[1.0, 0.0, 1.0, 1.0]), (1, 1));
        let weights = |node: usize| graph.weight(graph.nodes[node].op.weights()[0]).data.to_vec();
        assert_eq!(weights(0), [1.0, 2.0, 0.0, 4.0], "{name}");
        assert_eq!(weights(1), weights(0), "{name}");
        assert_eq!(weights(2), [1.0, 2.0, 3.0, 4.0], "another constant with the same numbers: {name}");
    }
    // A module that runs twice is one parameter; without knowing that, a name for two nodes is ambiguous.
    let (mut graph, origins) = tied();
    graph.nodes[1].name = "heads.0.proj".into();
    assert_eq!(applied(&mut graph, &origins, "heads.0.proj.weight", &[2, 2], &[0.0; 4]), (4, 4));
    let refused = error("twice.weight", Dtype::F32, &[3, 3], &f32s(&[1.0; 9]));
    assert!(refused.what.contains("several parameters"), "{refused}");
}
