use super::{Detail, parse, print};
use crate::error::ErrorKind;
use crate::ir::{Graph, Op, Port, Shape, verify};

const TINY: &str = r#"graph "tiny \"one\""
input "image" %image : 2x4x4 dims 1x2x4x4
input "n" %"odd name" : 4x3 dims 4x3
input "kinds" %kinds : 4xid dims 4 i32
%patches = patch_embed %image 2x2 weight=@0 bias=@1 : 4x3 # patch
%table = embedding %kinds @1 : 4x3
%sum = add %patches %table : 4x3
%both = add %sum %"odd name" : 4x3
%norm = layer_norm %both eps=1e-6 scale=@1 shift=@1 : 4x3 # " led by a space"
%lstm = lstm %norm {head 0 forward 0..2 -> 0..1: w @2, r @3, bias @4} {head 0 reverse 1..1 -> 1..2: w @5, r @3, bias @4} : 4x2 # blocks.0.attn.lstm
%proj = linear %lstm {0..2 -> 0..1: @6, bias @7} {0..0 -> 2..3: @8} act=gelu_tanh residual=%both : 4x3 # proj
%c = constant @9 : 1x3
%rows = concat_rows %c %proj : 5x3
%cols = concat_cols %rows %rows : 5x6
%some = slice_cols %cols 1..5 : 5x4
%one = slice_rows %some 0..1 : 1x4
%mixed = attention %one %one %one heads=2 scale=0.70710677 : 1x4
%back = reverse_rows %mixed : 1x4
%act = activation %back tanh : 1x4
%moved = affine %act : 1x4
%unit = normalize %moved eps=1e-12 : 1x4
%mean = mean_rows %unit : 1x4
output "y" %mean dims 1x4
output "sum" %both dims 12
@0: 8x3 = [
  1 2 3
  4 5 6
  7 8 9
  10 11 12
  0.1 1e-5 1.5e30
  -0 inf -inf
  1e-45 3.4028235e38 1.6777216e7
  0.001 1234567 1.2345678e7
]
@1: 1x3 = [0.5 nan.7fc00000 nan.ffc00001]
@2: 4x2 = [
  1 2
  3 4
  5 6
  7 8
]
@3: 4x1 = [
  1
  2
  3
  4
]
@4: 1x4 = [1 2 3 4]
@5: 4x0 = []
@6: 2x1 = [
  1
  2
]
@7: 1x1 = [3]
@8: 0x1 = []
@9: 1x3 = [1 2 3]
"#;

#[test]
fn print_after_parse_gives_the_same_text() {
    let graph = parse(TINY).unwrap();
    verify(&graph).unwrap();
    let text = print(&graph, Detail::Full);
    assert_eq!(text, TINY);
    let again = parse(&text).unwrap();
    assert_eq!(again.values, graph.values);
    assert_eq!(again.nodes, graph.nodes);
    for (a, b) in again.weights.iter().zip(&graph.weights) {
        let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&a.data), bits(&b.data));
    }
}

#[test]
fn numbers_keep_their_bits() {
    let mut state = 0x1234_5678_u32;
    let mut data: Vec<f32> = vec![f32::MIN_POSITIVE, f32::MAX, f32::EPSILON, 0.1, 1e7, 1e-4];
    for _ in 0..5000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        data.push(f32::from_bits(state));
    }
    let mut graph = Graph::default();
    let bits: Vec<_> = data.iter().map(|x| x.to_bits()).collect();
    let weight = graph.add_weight(1, data.len(), data);
    let value = graph.insert_node(0, "", "c", Op::Constant(weight), vec![]).unwrap();
    graph.outputs.push(Port::new("y", value, &[bits.len()]));
    let again = parse(&print(&graph, Detail::Full)).unwrap();
    assert_eq!(again.weights[0].data.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), bits);
}

#[test]
fn unused_things_are_left_out_and_the_rest_renumbered() {
    let mut graph =
        parse("graph \"g\" input \"x\" %x : 1x1 dims 1 output \"x\" %x dims 1 @0: 1x1 = [7]").unwrap();
    graph.add_value("unused", Shape::Matrix { rows: 1, cols: 1 });
    let again = parse(&print(&graph, Detail::Full)).unwrap();
    assert!(again.weights.is_empty());
    assert_eq!(again.values.len(), 1);
    graph.normalise();
    assert_eq!(again, graph);
}

#[test]
fn a_summary_is_refused_with_a_hint() {
    let graph = parse(TINY).unwrap();
    let text = print(&graph, Detail::Summary);
    assert!(text.contains("@9: 1x3 # crc32 "), "{text}");
    let error = parse(&text).unwrap_err();
    assert!(error.hint.unwrap().contains("in full"));
}

#[test]
fn errors_say_where() {
    for (text, what, line) in [
        ("", "got the end", (1, 1)),
        ("graph \"g\"\n%x = nonsense : 1x1", "`nonsense`", (2, 6)),
        ("graph \"g\"\n%y = add %x %x : 1x1", "`%x`", (2, 10)),
        ("graph \"g\"\ninput \"x\" %x : 1x1 dims 1\n%x = add %x %x : 1x1", "twice", (3, 1)),
        ("graph \"g\"\ninput \"x\" %x : 1 dims 1", "two or three", (2, 16)),
        ("graph \"g\"\n@0: 1x2 = [1 2 3]", "`1x2` elements", (2, 17)),
        ("graph \"g\"\n@0: 4294967296x4294967296 = []", "elements", (2, 30)),
        ("graph \"g\"\n@1: 1x1 = [1]", "`@0`", (2, 1)),
        ("graph \"g\"\n%c = constant @4000000000 : 1x1", "`@4000000000`", (2, 15)),
        ("graph \"g\" ; fine\n  ?", "`?`", (2, 3)),
        ("graph \"g", "the end", (1, 7)),
        ("graph \"\\u{110000}\"", "escape", (1, 7)),
        ("graph \"g\"\n@0: 1x1 = [NaN]", "a number", (2, 12)),
        ("graph \"g\"\ninput \"x\" %x : 3x9 dims 27\n%y = slice_rows %x 2..1 : 1x9", "range", (3, 20)),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidIr);
        assert!(error.to_string().contains(what), "{text:?}: {error}");
        assert_eq!(error.place.line, Some(line), "{text:?}: {error}");
    }
}

#[test]
fn every_truncation_is_read_or_refused() {
    for end in (0..TINY.len()).filter(|end| TINY.is_char_boundary(*end)) {
        if let Ok(graph) = parse(&TINY[..end]) {
            // Whatever still parses must be safe to look at.
            let _ = verify(&graph);
        }
    }
}
