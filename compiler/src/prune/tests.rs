use super::report::{Cost, Part, Report, Row, block_of};
use super::*;
use crate::ir::text::parse;

/// Two blocks of two hidden units each; in both the second unit is twice as large in everything as the first, and the
/// second block is four times the first.
fn model() -> Graph {
    parse(
        r#"graph "g"
        input "x" %x : 3x1 dims 3x1
        %l = lstm %x {head 0 forward 0..1 -> 0..2: w @0, r @1, bias @2} : 3x2 # blocks.0.attn.lstm
        %y = linear %l {0..2 -> 0..1: @3} : 3x1 # blocks.0.attn.proj
        %m = lstm %y {head 0 forward 0..1 -> 0..2: w @4, r @5, bias @2} : 3x2 # blocks.1.attn.lstm
        %z = linear %m {0..2 -> 0..1: @6} : 3x1 # blocks.1.attn.proj
        output "z" %z dims 3x1
        @0: 8x1 = [1 2 1 2 1 2 1 2] @1: 8x2 = [1 0 0 2 1 0 0 2 1 0 0 2 1 0 0 2] @2: 1x8 = [0 0 0 0 0 0 0 0] @3: 2x1 = [1 2]
        @4: 8x1 = [4 8 4 8 4 8 4 8] @5: 8x2 = [4 0 0 8 4 0 0 8 4 0 0 8 4 0 0 8] @6: 2x1 = [4 8]"#,
    )
    .unwrap()
}

fn options(importance: Importance) -> Options {
    Options {
        goal: Goal::Sparsity(0.5),
        importance,
        mlp: false,
        dtype: Dtype::F32,
        import: ImportOptions::default(),
    }
}

#[track_caller]
fn assert_importance(of: Importance, expected: [[f64; 2]; 2]) {
    let (graph, origins) = (model(), Default::default());
    let found = candidates(Model { graph: &graph, origins: &origins }, &options(of));
    assert_eq!(found.groups, ["blocks.0", "blocks.1"].map(|block| (block.to_owned(), Part::Mixer)));
    for (got, expected) in found.importance.iter().flatten().zip(expected.as_flattened()) {
        assert!((got - expected).abs() < 1e-9, "{of:?}: {:?}", found.importance);
    }
}

#[test]
fn importance_is_a_norm_compared_within_the_block_or_the_model() {
    // Rows of W, rows of R, the column of R, the projection: 4 + 4 + 4 + 1 ones, and as many twos, fours and eights.
    let norms = [13f64.sqrt(), 52f64.sqrt()];
    let block = ((13.0 + 52.0) / 2.0f64).sqrt();
    assert_importance(Importance::Relative, [norms.map(|norm| norm / block); 2]);
    let model = ((13.0 + 52.0) * 17.0 / 4.0f64).sqrt();
    assert_importance(
        Importance::Absolute,
        [norms.map(|norm| norm / model), norms.map(|norm| 4.0 * norm / model)],
    );
}

#[test]
fn what_is_read_by_anything_but_products_is_skipped() {
    let graph = parse(
        r#"graph "g"
        input "x" %x : 3x1 dims 3x1
        %l = lstm %x {head 0 forward 0..1 -> 0..2: w @0, r @1, bias @2} : 3x2 # blocks.0.attn.lstm
        %n = layer_norm %l eps=0.00001 : 3x2 # blocks.0.norm
        %y = linear %n {0..2 -> 0..1: @3} : 3x1 # blocks.0.attn.proj
        output "y" %y dims 3x1
        @0: 8x1 = [1 2 1 2 1 2 1 2] @1: 8x2 = [1 0 0 2 1 0 0 2 1 0 0 2 1 0 0 2] @2: 1x8 = [0 0 0 0 0 0 0 0] @3: 2x1 = [1 2]"#,
    )
    .unwrap();
    let origins = Default::default();
    let found = candidates(Model { graph: &graph, origins: &origins }, &options(Importance::Relative));
    assert!(found.layers.is_empty());
    let why = "`blocks.0.norm` reads them".to_owned();
    assert_eq!(found.skipped, [Skipped { node: "blocks.0.attn.lstm".into(), why }]);
}

#[test]
fn blocks_of_paths() {
    assert_eq!(block_of("blocks.3.attn.lstm"), "blocks.3");
    assert_eq!(block_of("encoder.layer.11.attention.l.2"), "encoder.layer.11");
    assert_eq!(block_of("lstm"), "lstm");
    assert_eq!(block_of(""), "");
}

#[test]
fn pictures_are_sound_whatever_the_names() {
    let cost = Cost { parameters: 1, multiply_adds: 2, predicted_ms: 3.0 };
    let row = |part, head, direction, kept| Row {
        block: "<b & \"c\">\u{1}".into(),
        part,
        head,
        direction,
        kept,
        of: 4,
        importance: 1.0,
    };
    let rows = vec![
        row(Part::Mixer, Some(0), Some("forward"), 4),
        row(Part::Mixer, Some(0), Some("reverse"), 0),
        row(Part::Mlp, None, None, 2),
    ];
    let report = Report {
        model: "</svg>".into(),
        target: "host".into(),
        goal: Goal::Sparsity(0.5),
        importance: Importance::Relative,
        threshold: None,
        units: 12,
        kept: 6,
        before: cost,
        after: cost,
        rows,
        skipped: Vec::new(),
    };
    let picture = svg(&report);
    assert_eq!(picture.matches("<g>").count(), 3);
    assert_eq!(picture.matches("</svg>").count(), 1);
    assert!(
        picture.contains("&lt;b &amp; &quot;c&quot;&gt;\u{fffd}, head 0, reverse: 0 of 4 kept"),
        "{picture}"
    );
    for (open, close) in [("<text", "</text>"), ("<g>", "</g>"), ("<title>", "</title>")] {
        assert_eq!(picture.matches(open).count(), picture.matches(close).count());
    }
    assert!(svg(&Report { rows: Vec::new(), ..report }).ends_with("</svg>\n"));
}
