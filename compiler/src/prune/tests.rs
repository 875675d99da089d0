use super::importance;
use super::report::{Cost, Part, Report, Row, block_of};
use super::*;
use crate::ir::text::parse;

/// Two hidden units a direction; the second forward one is twice as large in everything as the first.
fn model() -> Graph {
    parse(
        r#"graph "g"
        input "x" %x : 3x1 dims 3x1
        %l = lstm %x {head 0 forward 0..1 -> 0..2: w @0, r @1, bias @2} : 3x2 # blocks.0.attn.lstm
        %y = linear %l {0..2 -> 0..1: @3} : 3x1 # blocks.0.attn.proj
        output "y" %y dims 3x1
        @0: 8x1 = [1 2 1 2 1 2 1 2] @1: 8x2 = [1 0 0 2 1 0 0 2 1 0 0 2 1 0 0 2] @2: 1x8 = [0 0 0 0 0 0 0 0] @3: 2x1 = [1 2]"#,
    )
    .unwrap()
}

fn options(importance: Importance) -> Options {
    Options { goal: Goal::Sparsity(0.5), importance, mlp: false, import: ImportOptions::default() }
}

#[test]
fn importance_counts_rows_and_columns() {
    let (graph, origins) = (model(), Default::default());
    let model = Model { graph: &graph, origins: &origins };
    let found = candidates(model, &options(Importance::Relative));
    // The first unit has 4 ones in W, 4 in R, in rows that are its column too, and one in the projection; the second has
    // as many twos.
    let absolute = candidates(model, &options(Importance::Absolute)).importance;
    assert_eq!(absolute, [[13f64.sqrt(), 52f64.sqrt()]]);
    // The rms of 1 and 2 is √2.5.
    let [first, second] = found.importance[0][..] else { panic!("{:?}", found.importance) };
    assert!((first - (1.0f64 / 2.5).sqrt()).abs() < 1e-9, "{first}");
    assert!((second - 2.0 * first).abs() < 1e-9, "{second}");
    assert_eq!(found.groups, [("blocks.0".to_owned(), Part::Mixer)]);

    // The scale of a block makes no difference.
    let mut scaled = graph.clone();
    scaled.weights.iter_mut().for_each(|w| w.data = w.data.iter().map(|x| x * 8.0).collect());
    let model = Model { graph: &scaled, origins: &origins };
    assert_eq!(importance::of(model, &found.layers, &found.groups, Importance::Relative), found.importance);
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
