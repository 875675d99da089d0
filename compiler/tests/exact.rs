//! Pruning is exact: a compiled, pruned model computes what the dense model computes with its weights masked and its
//! biases kept. Random ragged masks, also such as structured pruning would not leave, through the whole compiler and the
//! engine, judged by the f64 reference.

mod common;

use std::collections::BTreeMap;

use common::Numbers;
use far_engine::{Extent, Input};
use far_models::{Config, Form, Projection, Size, generate};
use farc::cost::CostModel;
use farc::ir::text::parse;
use farc::ir::{Direction, Graph, LstmUnit, MultiHeadLstm, Op, Port, Shape};
use farc::masks::Masks;
use farc::onnx::{ImportOptions, Imported, import_parameters};
use farc::passes::{self, PASSES, PassOptions};
use farc::precision::DtypeOptions;
use farc::report::Report;
use farc::target::Target;
use farc::verify::{self, HostRunner};
use farc::{Options, compile, emit, schedule};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Masks under construction.
#[derive(Default)]
struct Entries(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Entries {
    fn matrix(&mut self, name: String, rows: usize, cols: usize, mut keep: impl FnMut(usize, usize) -> bool) {
        let data = (0..rows * cols).map(|i| u8::from(keep(i / cols, i % cols))).collect();
        self.0.insert(name, (vec![rows, cols], data));
    }

    fn masks(&self) -> Masks {
        let views = self.0.iter().map(|(name, (shape, data))| {
            (name.as_str(), TensorView::new(Dtype::U8, shape.clone(), data).expect("a tensor"))
        });
        Masks::from_bytes(&safetensors::serialize(views, None).expect("a file")).expect("masks")
    }
}

/// What became of a hidden unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Live,
    /// Neither computed from anything but its bias, nor read.
    Gone,
    /// Computed from its bias, and from others like it, and still read.
    Ghost,
    /// Computed, but read by nobody outside.
    Unread,
}

/// The fates of one LSTM's units: with luck a whole head or direction shares one.
fn fates(numbers: &mut Numbers, hidden: usize) -> Vec<Fate> {
    let draw = |numbers: &mut Numbers| match numbers.below(8) {
        0..4 => Fate::Live,
        4 | 5 => Fate::Gone,
        6 => Fate::Ghost,
        _ => Fate::Unread,
    };
    let block = [1, hidden.div_ceil(3), hidden][numbers.below(3)];
    let common: Vec<Option<Fate>> =
        (0..3).map(|_| numbers.one_in(3).then(|| [Fate::Gone, Fate::Ghost][numbers.below(2)])).collect();
    (0..hidden)
        .map(|j| common[(j / block).min(2)].filter(|_| block > 1).unwrap_or_else(|| draw(numbers)))
        .collect()
}

/// Random masks for every LSTM and MLP of a model.
fn random_masks(numbers: &mut Numbers, graph: &Graph) -> Entries {
    let mut entries = Entries::default();
    let dead_mixer = numbers.one_in(6).then(|| [Fate::Gone, Fate::Ghost][numbers.below(2)]);
    for node in &graph.nodes {
        match &node.op {
            Op::MultiHeadLstm(lstm) => {
                let dead_direction = numbers.one_in(5).then(|| numbers.below(lstm.units.len()));
                for (i, unit) in lstm.units.iter().enumerate() {
                    let leaf = |of: &str| {
                        let reverse = if unit.direction == Direction::Reverse { "_reverse" } else { "" };
                        format!("{}.{of}_l0{reverse}", node.name)
                    };
                    let hidden = unit.hidden;
                    let mut fates = fates(numbers, hidden);
                    if let Some(fate) = dead_mixer.or((dead_direction == Some(i)).then_some(Fate::Gone)) {
                        fates.fill(fate);
                    }
                    let dense = !numbers.one_in(4);
                    let computed = |j: usize| matches!(fates[j], Fate::Live | Fate::Unread);
                    let mut some = |_: usize, _: usize| dense || !numbers.one_in(3);
                    entries.matrix(leaf("weight_ih"), 4 * hidden, unit.input.len(), |row, col| {
                        computed(row % hidden) && some(row, col)
                    });
                    let reads_ghosts = numbers.one_in(2);
                    let mut some = |_: usize, _: usize| dense || !numbers.one_in(3);
                    entries.matrix(leaf("weight_hh"), 4 * hidden, hidden, |row, col| {
                        let row = fates[row % hidden];
                        let read = match fates[col] {
                            Fate::Live => matches!(row, Fate::Live | Fate::Unread),
                            Fate::Gone => false,
                            Fate::Ghost => row != Fate::Gone && (reads_ghosts || row == Fate::Ghost),
                            Fate::Unread => row == Fate::Unread,
                        };
                        read && some(0, 0)
                    });
                    if fates.contains(&Fate::Gone) {
                        let keep = fates.iter().map(|fate| u8::from(*fate != Fate::Gone)).collect();
                        entries.0.insert(leaf("keep"), (vec![hidden], keep));
                    }
                }
            }
            Op::Linear(linear) if node.name.ends_with("fc1") => {
                let dead: Vec<bool> = (0..linear.cols).map(|_| numbers.one_in(4)).collect();
                let depth = graph.dims(node.inputs[0])[1];
                entries.matrix(format!("{}.weight", node.name), linear.cols, depth, |row, _| !dead[row]);
                if numbers.one_in(2) {
                    let keep = (0..linear.cols).map(|_| u8::from(!numbers.one_in(4))).collect();
                    entries.0.insert(format!("{}.keep", node.name), (vec![linear.cols], keep));
                }
            }
            _ => {}
        }
    }
    entries
}

/// One head to twelve, one hidden unit to 64.
fn random_config(numbers: &mut Numbers) -> Config {
    let heads = 1 + numbers.below(12);
    let most = (96 / heads).clamp(1, 64);
    let size = Size {
        image: [8, 12, 16][numbers.below(3)],
        patch: 4,
        channels: 1,
        // A norm of a few channels amplifies rounding.
        width: heads * (6_usize.div_ceil(heads) + numbers.below(4)),
        heads,
        hidden: [1, most, 1 + numbers.below(most)][numbers.below(3)],
        depth: 1 + numbers.below(2),
        mlp: 2 + numbers.below(24),
        classes: 5,
        distilled: numbers.one_in(4),
    };
    Config {
        form: [Form::Monolithic, Form::Parallel][numbers.below(2)],
        projection: [Projection::HeadPost, Projection::Single][numbers.below(2)],
        seed: numbers.bits() % 1000,
        ..Config::new(size)
    }
}

/// Compiles for this machine and lets the judge compare. Gives the report.
fn check(what: &str, onnx: &[u8], entries: &Entries, passes: PassOptions) -> Report {
    let target = Target::resolve("host").expect("the host is known");
    let masks = entries.masks();
    let options = Options { passes, ..Options::default() };
    let compiled = compile(onnx, Some(&masks), &target, &options)
        .unwrap_or_else(|e| panic!("{what}: {e} {:?} {:?} {:?}", e.place, e.expected, e.got));
    let Imported { graph, origins } = import_parameters(onnx, &ImportOptions::default()).expect("a model");
    let full = masks.expanded(&graph, &origins).expect("masks").to_safetensors().expect("masks");
    let options = verify::Options {
        tolerance: Some(5e-5),
        samples: Some(1),
        layers: false,
        ..verify::Options::default()
    };
    let verdict = verify::run(onnx, Some(&full), &compiled.artifact, &options, &HostRunner::default())
        .unwrap_or_else(|e| panic!("{what}: {e} {e:?}"));
    assert!(verdict.passed, "{what}: {:?}", verdict.outputs);
    assert!(verdict.outputs.iter().all(|output| output.difference.range[0].is_finite()), "{what}");
    compiled.report
}

#[test]
fn a_pruned_artifact_is_the_dense_model_with_masked_weights() {
    // Models in which something was found to do, by pass, and those whose dead mixers vanished.
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    let mut without_mixer = 0;
    for seed in 0..64 {
        let mut numbers = Numbers::new(seed);
        let config = random_config(&mut numbers);
        let onnx = generate(&config).expect("a model").onnx;
        let Imported { graph, .. } = import_parameters(&onnx, &ImportOptions::default()).expect("a model");
        let entries = random_masks(&mut numbers, &graph);
        let what = format!("seed {seed}, {config:?}");
        let report = check(&what, &onnx, &entries, PassOptions::default());
        for entry in report.passes.passes.iter().filter(|entry| entry.count > 0) {
            *done.entry(entry.pass).or_default() += 1;
        }
        without_mixer += usize::from(report.compiled.layers < report.imported.layers.min(config.size.depth));
        let off = PASSES[numbers.below(PASSES.len())].name;
        let passes = PassOptions::default().without(off).expect("a pass");
        check(&format!("{what}, without {off}"), &onnx, &entries, passes);
    }
    for pass in ["remove_dead_units", "fold_series", "split_heads", "fold_linears"] {
        assert!(done.get(pass).is_some_and(|count| *count > 2), "{pass} had nothing to do: {done:?}");
    }
    assert!(without_mixer > 1, "{without_mixer}");
}

/// A unit that is read but whose every weight is masked, in each of its roles, and where its removal pays.
#[test]
fn constant_series_are_evaluated_ahead_where_that_pays() {
    let size = Size {
        image: 32,
        patch: 4,
        channels: 1,
        width: 16,
        heads: 1,
        hidden: 64,
        depth: 1,
        mlp: 8,
        classes: 5,
        distilled: false,
    };
    for form in [Form::Monolithic, Form::Parallel] {
        for (fed, ghosts) in [(false, 48), (true, 48), (true, 64), (false, 64), (true, 1)] {
            let onnx =
                generate(&Config { form, seed: 5, ..Config::new(size.clone()) }).expect("a model").onnx;
            let Imported { graph, .. } =
                import_parameters(&onnx, &ImportOptions::default()).expect("a model");
            let mut entries = Entries::default();
            for node in &graph.nodes {
                let Op::MultiHeadLstm(_) = &node.op else { continue };
                for direction in ["", "_reverse"] {
                    let leaf = |of: &str| format!("{}.{of}_l0{direction}", node.name);
                    entries.matrix(leaf("weight_ih"), 256, 16, |row, _| row % 64 >= ghosts);
                    entries.matrix(leaf("weight_hh"), 256, 64, |row, col| {
                        if row % 64 < ghosts { col < ghosts } else { fed || col >= ghosts }
                    });
                }
            }
            let what = format!("{form:?}, fed {fed}, {ghosts} ghosts");
            let report = check(&what, &onnx, &entries, PassOptions::default());
            let entry =
                report.passes.passes.iter().find(|entry| entry.pass == "fold_series").expect("it ran");
            assert_eq!(entry.notes.len(), 1, "{what}: {entry:?}");
            let left = report.compiled.hidden_units;
            match ghosts {
                1 => assert_eq!((entry.count, left), (0, 128), "{what}: {entry:?}"),
                _ => assert_eq!((entry.count, left), (2 * ghosts, 2 * (64 - ghosts)), "{what}: {entry:?}"),
            }
            assert!(entry.saved.predicted_ms >= 0.0, "{what}: {entry:?}");
            let off = PassOptions::default().without("fold_series").expect("a pass");
            let kept = check(&what, &onnx, &entries, off).compiled.hidden_units;
            assert_eq!(kept, 128, "{what}");
        }
    }
}

/// Runs a graph with one input and one output on this machine.
fn run(graph: &Graph, tokens: usize, input: &[f32], len: usize) -> Vec<f32> {
    let target = Target::resolve("host").expect("the host is known");
    let scheduled = schedule::plan(graph, &target, &DtypeOptions::default()).expect("a schedule");
    let artifact = emit::artifact(&scheduled, &target).expect("an artifact");
    let model = far_engine::Model::from_bytes(&artifact).expect("a model");
    let mut session = far_engine::Session::new(model, &Default::default()).expect("a session");
    let mut output = vec![f32::NAN; len];
    let extent = Extent { batch: 1, tokens };
    session.run_extent(extent, &[Input::F32(input)], &mut [&mut output]).expect("a run");
    output
}

/// Tables hold the most tokens; a call with fewer reads the first rows.
#[test]
fn series_are_exact_for_any_number_of_tokens() {
    let file = include_str!("filetests/fold_series/a_table_for_the_gates.ir");
    let source = file.split("; ---").next().unwrap_or_default();
    let varying = [
        ("graph \"g\"", "graph \"g\"\ntokens 3"),
        (": 3x", ": Tx"),
        ("dims 3x", "dims 1xTx"),
        ("reverse", "forward"),
    ];
    let source = varying.iter().fold(source.to_owned(), |text, (from, to)| text.replace(from, to));
    let graph = parse(&source).unwrap_or_else(|e| panic!("{e} {:?}", e.place));
    let target = Target::resolve("host").expect("the host is known");
    let passed = |options: &PassOptions| {
        let (mut graph, mut report) = (graph.clone(), passes::Report::default());
        passes::run(&mut graph, &CostModel::of(&target), options, &mut report).expect("a graph");
        (
            graph,
            report.passes.iter().map(|entry| entry.count * usize::from(entry.pass == "fold_series")).sum(),
        )
    };
    let (folded, count): (_, usize) = passed(&PassOptions::default());
    let (whole, none): (_, usize) = passed(&PassOptions::default().without("fold_series").expect("a pass"));
    assert_eq!((count, none), (8, 0));
    for tokens in 1..=3 {
        let input = Numbers::new(9).reals(2 * tokens, 1.0);
        let (got, expected) =
            (run(&folded, tokens, &input, input.len()), run(&whole, tokens, &input, input.len()));
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-6, "{tokens} tokens: {got} for {expected}");
        }
    }
}

/// An LSTM over rows of two channels, in one direction; or forward, with its input and its output reversed.
fn one_direction(numbers: &Numbers, [rows, hidden]: [usize; 2], flipped: bool) -> Graph {
    let (mut graph, mut numbers) = (Graph::default(), numbers.clone());
    let mut x = graph.add_value("x", Shape::Matrix { rows, cols: 2 });
    graph.inputs.push(Port::new("x", x, &[rows, 2]));
    let mut weight = |rows, cols| graph.add_weight(rows, cols, numbers.reals(rows * cols, 0.7));
    let (w, r, bias) = (weight(4 * hidden, 2), weight(4 * hidden, hidden), weight(1, 4 * hidden));
    let direction = if flipped { Direction::Forward } else { Direction::Reverse };
    let unit = LstmUnit { head: 0, direction, input: 0..2, output: 0, hidden, w, r, bias };
    let lstm = Op::MultiHeadLstm(MultiHeadLstm { units: vec![unit] });
    let ops = if flipped { vec![Op::ReverseRows, lstm, Op::ReverseRows] } else { vec![lstm] };
    for op in ops {
        x = graph.insert_node(graph.nodes.len(), "v", "v", op, vec![x]).expect("it fits");
    }
    graph.outputs.push(Port::new("y", x, &[rows, hidden]));
    graph
}

#[test]
fn reverse_is_forward_on_the_reversed_input_reversed() {
    for seed in 0..24 {
        let mut numbers = Numbers::new(seed);
        let dims = [1 + numbers.below(9), 1 + numbers.below(64)];
        let input = numbers.reals(2 * dims[0], 1.0);
        let output = |flipped| run(&one_direction(&numbers, dims, flipped), 0, &input, dims[0] * dims[1]);
        assert_eq!(output(false), output(true), "seed {seed}, {dims:?}");
    }
}
