//! Where the names of nodes come from.

use super::Model;

fn names(model: &Model) -> Vec<String> {
    model.import().unwrap().nodes.into_iter().map(|node| node.name).collect()
}

fn product(weight: &str, bias: &str) -> Model {
    Model::new()
        .input("x", &[1, 5, 6])
        .output("y")
        .noise(weight, &[6, 4])
        .noise(bias, &[4])
        .node("MatMul", &format!("x {weight}"), "p")
        .node("Add", &format!("p {bias}"), "y")
}

#[test]
fn the_scope_of_the_node() {
    let mut model = product("onnx::MatMul_7", "blocks.0.attn.pre_proj.bias");
    for (path, expected) in [
        ("/blocks.0/attn/pre_proj/MatMul", "blocks.0.attn.pre_proj"),
        ("/blocks/blocks.0/norm1/MatMul_1", "blocks.0.norm1"),
        ("/head/MatMul", "head"),
    ] {
        model.graph.node[0].name = path.into();
        assert_eq!(names(&model), [expected]);
    }
}

#[test]
fn the_parameters() {
    assert_eq!(names(&product("blocks.0.fc1.weight", "b")), ["blocks.0.fc1"]);
    assert_eq!(names(&product("val_3", "blocks.0.fc1.bias")), ["blocks.0.fc1"]);
    let folded = Model::new()
        .input("x", &[1, 5, 6])
        .output("y")
        .noise("blocks.1.fc2.weight", &[4, 6])
        .node("Transpose", "blocks.1.fc2.weight", "w")
        .node("MatMul", "x w", "y");
    assert_eq!(names(&folded), ["blocks.1.fc2"]);
}

#[test]
fn the_node_itself_otherwise() {
    assert_eq!(names(&product("w", "b")), ["n1"]);
    let mut unnamed = product("w", "b");
    unnamed.graph.node[0].name.clear();
    assert_eq!(names(&unnamed), ["matmul"]);
}
