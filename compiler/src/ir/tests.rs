//! The verifier finds each broken invariant; edits keep a graph whole.

use std::collections::BTreeSet;

use super::text::{Detail, parse, print};
use super::{Graph, Op, Use, ValueId, WeightId, verify};
use crate::error::ErrorKind;

const SOUND: &str = r#"graph "g"
input "image" %image : 1x4x4 dims 1x1x4x4
%p = patch_embed %image 2x2 weight=@0 bias=@1 : 4x2 # patch
%n = layer_norm %p eps=1e-6 scale=@1 shift=@1 : 4x2 # norm
%l = lstm %n {head 0 forward 0..2 -> 0..1: w @0, r @2, bias @3} {head 0 reverse 0..2 -> 1..2: w @0, r @2, bias @3} : 4x2 # lstm
%y = linear %l {0..2 -> 0..1: @4, bias @5} {1..2 -> 1..2: @5} residual=%p : 4x2 # proj
%a = attention %y %y %y heads=2 scale=0.5 : 4x2 # attn
%s = add %a %y : 4x2 # add
output "y" %s dims 1x4x2
@0: 4x2 = [1 2 3 4 5 6 7 8]
@1: 1x2 = [1 2]
@2: 4x1 = [1 2 3 4]
@3: 1x4 = [1 2 3 4]
@4: 2x1 = [1 2]
@5: 1x1 = [1]
"#;

fn sound() -> Graph {
    parse(SOUND).unwrap()
}

#[test]
fn each_change_of_the_text_is_found() {
    verify(&sound()).unwrap();
    for (old, new, what) in [
        ("image : 1x4x4 dims 1x1x4x4", "image : 1x4x4 dims 1x1x4x5", "`16` elements"),
        ("image : 1x4x4", "image : 0x4x4", "impossible shape"),
        ("2x2 weight", "3x2 weight", "patches don't tile"),
        ("weight=@0", "weight=@1", "constant of the wrong shape: expected `4x2`, got `1x2`"),
        ("%p eps", "%image eps", "a matrix is needed"),
        ("eps=1e-6", "eps=0", "epsilon"),
        ("eps=1e-6", "eps=inf", "epsilon"),
        ("scale=@1", "scale=@0", "expected `1x2`, got `4x2`"),
        ("0..2 -> 0..1: w", "0..3 -> 0..1: w", "within `0..2`, got `0..3`"),
        ("reverse 0..2 -> 1..2", "reverse 0..2 -> 0..1", "first column `1`, got `0`"),
        ("reverse 0..2 -> 1..2", "reverse 0..2 -> 2..3", "first column `1`, got `2`"),
        ("reverse 0..2 -> 1..2", "reverse 0..2 -> 1..1", "impossible number of hidden units"),
        ("reverse 0..2 -> 1..2", "reverse 0..2 -> 1..3", "expected `8x2`"),
        ("{1..2 -> 1..2: @5}", "{1..2 -> 0..1: @5}", "a range from `1` on"),
        ("{1..2 -> 1..2: @5}", "{1..2 -> 1..3: @5}", "within `0..2`, got `1..3`"),
        ("{1..2 -> 1..2: @5}", "{1..2 -> 1..1: @5}", "columns are empty"),
        ("{1..2 -> 1..2: @5}", "{0..2 -> 1..2: @5}", "expected `2x1`, got `1x1`"),
        ("bias @5", "bias @4", "expected `1x1`, got `2x1`"),
        ("residual=%p : 4x2", "residual=%p : 4x3", "residual of the wrong shape"),
        ("heads=2", "heads=3", "a divisor of `2`"),
        ("heads=2", "heads=0", "a divisor of `2`"),
        ("scale=0.5", "scale=inf", "not finite"),
        ("add %a %y", "add %a", "wrong number of inputs: expected `2`, got `1`"),
        ("add %a %y : 4x2", "add %a %y : 2x4", "output of the wrong shape: expected `4x2`, got `2x4`"),
        ("add %a %y : 4x2", "mean_rows %a : 4x2", "expected `1x2`"),
        ("add %a %y : 4x2", "slice_rows %a 3..5 : 2x2", "rows out of range"),
        ("add %a %y : 4x2", "slice_cols %a 1..1 : 4x2", "empty slice"),
        ("add %a %y : 4x2", "concat_rows : 4x2", "nothing to concatenate"),
        ("dims 1x4x2", "dims 1x4x3", "`8` elements"),
        ("output \"y\" %s dims 1x4x2", "", "no output"),
        ("output \"y\" %s dims 1x4x2", "output \"y\" %s dims 8 output \"y\" %s dims 8", "same name"),
    ] {
        let text = SOUND.replace(old, new);
        assert_ne!(text, SOUND, "{old:?} is not there");
        let error = verify(&parse(&text).unwrap()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidIr);
        assert!(error.to_string().contains(what), "{new:?}: {error}");
    }
}

#[test]
fn what_the_text_cannot_say_is_found_too() {
    type Damage = fn(&mut Graph);
    let broken: [(&str, Damage); 10] = [
        ("no such value", |g| g.nodes[1].inputs[0] = ValueId(99)),
        ("no such value", |g| g.nodes[1].output = ValueId(99)),
        ("no such value", |g| g.outputs[0].value = ValueId(99)),
        ("no such constant", |g| g.nodes[1].op = Op::Constant(WeightId(99))),
        ("read before it is produced", |g| g.nodes.swap(0, 1)),
        ("produced twice", |g| g.nodes[1].output = g.nodes[0].output),
        ("never produced", |g| {
            g.nodes.pop();
        }),
        ("same name", |g| g.values[1].name = g.values[0].name.clone()),
        ("size is not its shape", |g| g.weights[0].dims = [3, 2]),
        ("same value", |g| {
            let mut port = g.inputs[0].clone();
            port.name.push('2');
            g.inputs.push(port);
        }),
    ];
    for (what, break_it) in broken {
        let mut graph = sound();
        if what.contains("constant") {
            graph.nodes[1].inputs.clear();
        }
        break_it(&mut graph);
        let error = verify(&graph).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
}

#[test]
fn errors_name_the_node_and_the_field() {
    let error = verify(&parse(&SOUND.replace("bias @5", "bias @4")).unwrap()).unwrap_err();
    assert_eq!(error.place.node.as_deref(), Some("proj"));
    assert_eq!(error.place.field.as_deref(), Some("bias"));
}

#[test]
fn sort_restores_an_order_and_refuses_a_circle() {
    let mut graph = sound();
    let before = print(&graph, Detail::Full);
    graph.sort().unwrap();
    assert_eq!(print(&graph, Detail::Full), before, "a sorted graph stays as it is");
    graph.nodes.reverse();
    graph.sort().unwrap();
    verify(&graph).unwrap();
    graph.nodes[0].inputs[0] = graph.nodes[5].output;
    assert!(graph.sort().unwrap_err().to_string().contains("its own result"));
}

#[test]
fn use_lists_know_every_reader() {
    let mut graph = sound();
    let y = graph.nodes[3].output;
    let expected: Vec<_> =
        [(4, 0), (4, 1), (4, 2), (5, 1)].into_iter().map(|(node, slot)| Use::Input { node, slot }).collect();
    assert_eq!(graph.use_lists()[y.0 as usize], expected);
    assert_eq!(graph.producers()[y.0 as usize], Some(3));
    graph.replace_uses(graph.nodes[5].output, y);
    graph.remove_nodes(&BTreeSet::from([4, 5]));
    verify(&graph).unwrap();
    assert_eq!(graph.use_lists()[y.0 as usize], [Use::Output(0)]);
}

const TEXT: &str = r#"graph "text"
tokens 5
batch 1..4
input "ids" %ids : Txid dims BxT i64
input "mask" %mask : Txid dims BxT i32
input "kind" %kind : 2xid dims Bx2 i64
lengths "mask"
%k = embedding %kind @0 : 2x2
%x = embedding %ids @0 : Tx2
%p = positions @1 : Tx2
%s = add %x %p : Tx2
%n = normalize %s eps=1e-12 : Tx2
%t = slice_rows %n 0..1 : 1x2
output "y" %n dims BxTx2
output "t" %t dims Bx2
output "k" %k dims Bx2x2
@0: 3x2 = [1 2 3 4 5 6]
@1: 5x2 = [1 2 3 4 5 6 7 8 9 10]
"#;

#[test]
fn rows_that_vary_are_kept_apart_from_others() {
    let graph = parse(TEXT).unwrap();
    verify(&graph).unwrap();
    assert_eq!(parse(&print(&graph, Detail::Full)).unwrap(), graph);
    for (old, new, what) in [
        ("tokens 5", "tokens 6", "another number of rows"),
        ("tokens 5\n", "", "impossible shape"),
        ("batch 1..4", "batch 0", "impossible batch"),
        ("batch 1..4\n", "", "the batch is not the outermost"),
        ("ids : Txid dims BxT i64", "ids : Txid dims TxB i64", "the batch is not the outermost"),
        ("ids : Txid dims BxT i64", "ids : Txid dims Bx5 i64", "vary otherwise"),
        ("ids : Txid dims BxT i64", "ids : Txid dims BxT", "another type"),
        ("kind : 2xid dims Bx2 i64", "kind : 2xid dims Bx2 f32", "another type"),
        ("lengths \"mask\"", "lengths \"kind\"", "mask of another shape"),
        ("embedding %ids", "embedding %mask", "the attention mask is read"),
        ("add %x %p : Tx2", "embedding %x @0 : Tx2", "ids are needed"),
        ("add %x %p", "add %x %k", "inputs differ in shape"),
        ("normalize %s", "normalize %ids", "a matrix is needed"),
        ("eps=1e-12", "eps=0", "epsilon"),
        ("slice_rows %n 0..1 : 1x2", "slice_rows %n 0..2 : 2x2", "rows out of range"),
        ("slice_rows %n 0..1 : 1x2", "slice_rows %n 0..1 : Tx2", "output of the wrong shape"),
        ("slice_rows %n 0..1 : 1x2", "concat_rows %n %n : 1x2", "whose number varies"),
        ("slice_rows %n 0..1 : 1x2", "concat_cols %n %k : 1x2", "fit together"),
        ("y\" %n dims BxTx2", "y\" %n dims Bx5x2", "vary otherwise"),
    ] {
        let text = TEXT.replace(old, new);
        assert_ne!(text, TEXT, "{old:?} is not there");
        let error = parse(&text).and_then(|graph| verify(&graph)).unwrap_err();
        assert!(error.to_string().contains(what), "{new:?}: {error}");
    }
}
