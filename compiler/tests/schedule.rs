//! Random graphs through schedule, artifact and engine, against the plain f64 evaluation of the graph. What shares
//! memory wrongly shows here, because every value of the graph is mixed into an output at the end.

use farc::ir::{
    Activation, Direction, Graph, Linear, LinearGroup, LstmUnit, MultiHeadLstm, Node, Op, Port, Shape,
    ValueId, WeightId, eval,
};
use farc::precision::DtypeOptions;
use farc::{emit, schedule, target};
use proptest::prelude::*;

/// A graph that grows by one operation for each number it is given.
struct Growing {
    graph: Graph,
    values: Vec<ValueId>,
    noise: u32,
}

impl Growing {
    fn new() -> Self {
        let mut growing = Self { graph: Graph::default(), values: Vec::new(), noise: 1 };
        let image = growing.graph.add_value("image", Shape::Image { channels: 2, height: 4, width: 6 });
        growing.graph.inputs.push(Port::new("image", image, &[1, 2, 4, 6]));
        let tokens = growing.graph.add_value("tokens", Shape::Matrix { rows: 5, cols: 12 });
        growing.graph.inputs.push(Port::new("tokens", tokens, &[5, 12]));
        let weight = growing.weight(2 * 2 * 3, 12);
        let op = Op::PatchEmbed { patch: [2, 3], weight, bias: None };
        growing.node(op, vec![image], 4, 12);
        growing.values.push(tokens);
        growing
    }

    fn random(&mut self) -> f32 {
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.noise >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn weight(&mut self, rows: usize, cols: usize) -> WeightId {
        let data: Vec<f32> = (0..rows * cols).map(|_| self.random() * 0.5).collect();
        self.graph.add_weight(rows, cols, data)
    }

    fn node(&mut self, op: Op, inputs: Vec<ValueId>, rows: usize, cols: usize) {
        let output = self.graph.add_value("v", Shape::Matrix { rows, cols });
        let name = format!("node{}", self.graph.nodes.len());
        self.graph.nodes.push(Node { name, op, inputs, output });
        self.values.push(output);
    }

    fn pick(&self, n: usize) -> (ValueId, usize, usize) {
        let value = self.values[n % self.values.len()];
        let [rows, cols] = self.graph.dims(value);
        (value, rows, cols)
    }

    /// The value of the same shape as `like` that `n` falls on; there is at least `like` itself.
    fn pick_like(&self, n: usize, like: ValueId) -> ValueId {
        let dims = self.graph.dims(like);
        let same: Vec<_> = self.values.iter().filter(|v| self.graph.dims(**v) == dims).collect();
        *same[n % same.len()]
    }

    fn group(&mut self, input: std::ops::Range<usize>, output: std::ops::Range<usize>) -> LinearGroup {
        let weight = self.weight(input.len(), output.len());
        let bias = output.start.is_multiple_of(2).then(|| self.weight(1, output.len()));
        LinearGroup { input, output, weight, bias }
    }

    fn grow(&mut self, op: u8, a: usize, b: usize) {
        let (x, rows, cols) = self.pick(a);
        let other = self.pick_like(b, x);
        match op % 13 {
            0 => {
                let groups = vec![self.group(0..cols, 0..9)];
                let linear = Linear { cols: 9, groups, act: Activation::Gelu, residual: false };
                self.node(Op::Linear(linear), vec![x], rows, 9);
            }
            1 | 2 => {
                // The first and the last column stay zero, plus the residual.
                let groups = if cols > 3 {
                    vec![self.group(1..cols, 1..2), self.group(0..0, 2..cols - 1)]
                } else {
                    vec![self.group(0..cols, 0..cols)]
                };
                let linear = Linear { cols, groups, act: Activation::Relu, residual: true };
                self.node(Op::Linear(linear), vec![x, other], rows, cols);
            }
            3 => {
                let scale = b.is_multiple_of(2).then(|| self.weight(1, cols));
                self.node(Op::LayerNorm { eps: 1e-3, scale, shift: None }, vec![x], rows, cols);
            }
            4 => self.node(Op::Add, vec![x, other], rows, cols),
            5 => self.node(Op::Activation([Activation::None, Activation::Tanh][b % 2]), vec![x], rows, cols),
            6 => {
                let len = 1 + b % rows;
                self.node(Op::SliceRows { start: rows - len, len }, vec![x], len, cols);
            }
            7 => {
                let len = 1 + b % cols;
                self.node(Op::SliceCols { start: cols - len, len }, vec![x], rows, len);
            }
            8 if rows < 20 => {
                let token = self.weight(1, cols);
                self.node(Op::Constant(token), vec![], 1, cols);
                let token = *self.values.last().expect("just added");
                self.node(Op::ConcatRows, vec![token, x, other], 1 + 2 * rows, cols);
            }
            9 if cols < 40 => self.node(Op::ConcatCols, vec![other, x], rows, 2 * cols),
            10 => {
                let mut units = Vec::new();
                let mut output = 0;
                for (head, hidden) in [(0, 1 + b % 9), (0, 3)] {
                    let direction = if head == units.len() { Direction::Forward } else { Direction::Reverse };
                    let (w, r) = (self.weight(4 * hidden, cols), self.weight(4 * hidden, hidden));
                    let bias = self.weight(1, 4 * hidden);
                    units.push(LstmUnit { head, direction, input: 0..cols, output, hidden, w, r, bias });
                    output += hidden;
                }
                self.node(Op::MultiHeadLstm(MultiHeadLstm { units }), vec![x], rows, output);
            }
            11 => {
                let heads = if cols % 2 == 0 { 2 } else { 1 };
                self.node(Op::Attention { heads, scale: 0.4 }, vec![x, other, x], rows, cols);
            }
            12 => self.node(Op::ReverseRows, vec![x], rows, cols),
            _ => self.node(Op::MeanRows, vec![x], 1, cols),
        }
    }

    /// Every value's mean is an output, but for a few that are outputs themselves.
    fn finish(mut self) -> Graph {
        for (i, value) in self.values.clone().into_iter().enumerate() {
            let [rows, cols] = self.graph.dims(value);
            let (value, dims) = if i % 4 == 0 {
                (value, vec![rows, cols])
            } else {
                self.node(Op::MeanRows, vec![value], 1, cols);
                (*self.values.last().expect("just added"), vec![1, cols])
            };
            self.graph.outputs.push(Port::new(format!("y{i}"), value, &dims));
        }
        self.graph
    }
}

fn run(graph: &Graph, inputs: &[&[f32]], threads: usize) -> Vec<Vec<f32>> {
    let target = target::host().expect("the host is known");
    let scheduled = schedule::plan(graph, &target, &DtypeOptions::default()).expect("a schedule");
    let artifact = emit::artifact(&scheduled, &target).expect("an artifact");
    let model = far_engine::Model::from_bytes(&artifact).expect("a model");
    let options = far_engine::SessionOptions { threads, ..Default::default() };
    let mut session =
        far_engine::Session::new(far_engine::Counted::clone(&model), &options).expect("a session");
    let mut outputs: Vec<Vec<f32>> =
        model.outputs().iter().map(|p| vec![f32::NAN; p.elements(1, 0)]).collect();
    let mut views: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    session.run(inputs, &mut views).expect("a run");
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_schedule_computes_what_the_graph_means(
        ops in prop::collection::vec((any::<u8>(), 0usize..64, 0usize..64), 1..14)
    ) {
        let mut growing = Growing::new();
        ops.iter().for_each(|(op, a, b)| growing.grow(*op, *a, *b));
        let image: Vec<f32> = (0..48).map(|_| growing.random()).collect();
        let tokens: Vec<f32> = (0..60).map(|_| growing.random()).collect();
        let graph = growing.finish();
        let inputs = [&image[..], &tokens[..]];
        let expected = eval::outputs(&graph, &inputs).expect("the graph means something");
        let got = run(&graph, &inputs, 1);
        for (i, (expected, got)) in expected.iter().zip(&got).enumerate() {
            let range = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
            for (e, g) in expected.iter().zip(got) {
                // Not less: a LayerNorm of nearly equal numbers amplifies rounding.
                prop_assert!((e - f64::from(*g)).abs() <= 2e-3 * range, "output {i}: {e} and {g}");
            }
        }
        let bits = |ys: &[Vec<f32>]| ys.iter().flatten().map(|y| y.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&got), bits(&run(&graph, &inputs, 3)));
    }
}
