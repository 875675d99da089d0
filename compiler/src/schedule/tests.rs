//! Tests of whole schedules: what is copied, what is shared, and that the artifact's reader accepts them.

use far_format::CheckedPlan;
use far_format::cpu::Arch;
use far_format::plan::{Place, StepOp};

use super::{Scheduled, plan};
use crate::ir::{
    Activation, Direction, Graph, Linear, LinearGroup, LstmUnit, MultiHeadLstm, Node, Op, Port, Shape,
    ValueId,
};
use crate::precision::{Dtype, DtypeOptions};
use crate::target;

fn matrix(rows: usize, cols: usize) -> Shape {
    Shape::Matrix { rows, cols }
}

/// A graph under construction.
#[derive(Default)]
struct Builder(Graph);

impl Builder {
    fn input(&mut self, shape: Shape) -> ValueId {
        let value = self.0.add_value("x", shape);
        let dims = match shape {
            Shape::Matrix { rows, cols } => vec![1, rows, cols],
            Shape::Image { channels, height, width } => vec![1, channels, height, width],
            other => panic!("{other:?}"),
        };
        let name = self.0.value(value).name.clone();
        self.0.inputs.push(Port::new(name, value, &dims));
        value
    }

    fn node(&mut self, op: Op, inputs: &[ValueId], rows: usize, cols: usize) -> ValueId {
        let output = self.0.add_value("v", matrix(rows, cols));
        let name = format!("node{}", self.0.nodes.len());
        self.0.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    fn weight(&mut self, rows: usize, cols: usize) -> crate::ir::WeightId {
        let seed = self.0.weights.len() as f32;
        let data: Vec<f32> = (0..rows * cols).map(|i| (i as f32 + seed).sin()).collect();
        self.0.add_weight(rows, cols, data)
    }

    fn linear(&mut self, x: ValueId, n: usize, residual: Option<ValueId>) -> ValueId {
        let [rows, k] = self.0.dims(x);
        let (weight, bias) = (self.weight(k, n), Some(self.weight(1, n)));
        let groups = vec![LinearGroup { input: 0..k, output: 0..n, weight, bias }];
        let op = Op::Linear(Linear { cols: n, groups, act: Activation::None, residual: residual.is_some() });
        let inputs: Vec<_> = [x].into_iter().chain(residual).collect();
        self.node(op, &inputs, rows, n)
    }

    fn norm(&mut self, x: ValueId) -> ValueId {
        let [rows, cols] = self.0.dims(x);
        self.node(Op::LayerNorm { eps: 1e-6, scale: None, shift: None }, &[x], rows, cols)
    }

    fn output(mut self, values: &[ValueId]) -> Graph {
        for (i, value) in values.iter().enumerate() {
            let dims = self.0.dims(*value);
            self.0.outputs.push(Port::new(format!("y{i}"), *value, &dims));
        }
        self.0
    }
}

/// Schedules, and proves that the plan keeps the artifact's rules.
fn scheduled(graph: &Graph) -> Scheduled {
    let scheduled = plan(graph, &target::find("x86_64").unwrap(), &DtypeOptions::default()).unwrap();
    if let Err(error) = CheckedPlan::new(scheduled.plan.clone(), Arch::X86_64, scheduled.weights.len()) {
        panic!("{error}\n{:#?}", scheduled.plan);
    }
    assert_eq!(scheduled.costs.len(), scheduled.plan.steps.len());
    scheduled
}

fn copies(scheduled: &Scheduled) -> usize {
    scheduled.plan.steps.iter().filter(|s| matches!(s.op, StepOp::Copy { .. })).count()
}

#[test]
fn a_residual_block_runs_in_place_and_ends_in_the_callers_memory() {
    let mut b = Builder::default();
    let x = b.input(matrix(5, 8));
    let stream = b.linear(x, 8, None);
    let normed = b.norm(stream);
    let inner = b.linear(normed, 16, None);
    let sum = b.linear(inner, 8, Some(stream));
    let last = b.norm(sum);
    let s = scheduled(&b.output(&[last]));
    assert_eq!(copies(&s), 0);
    // The stream, the sum and its norm are one matrix: the output. Only `normed` and `inner` need the arena.
    assert_eq!(s.plan.arena_bytes, (5 * 8 * 4u64).next_multiple_of(64) + 5 * 16 * 4);
    let StepOp::Gemm(gemm) = &s.plan.steps[3].op else { panic!("{:?}", s.plan.steps[3]) };
    assert_eq!(gemm.residual, Some(gemm.out));
    assert_eq!(s.plan.tensors[gemm.out.tensor as usize].place, Place::Output(0));
}

#[test]
fn joins_and_slices_cost_nothing() {
    let mut b = Builder::default();
    let x = b.input(matrix(6, 8));
    let left = b.linear(x, 4, None);
    let right = b.linear(x, 12, None);
    let joined = b.node(Op::ConcatCols, &[left, right], 6, 16);
    let cols = b.node(Op::SliceCols { start: 2, len: 10 }, &[joined], 6, 10);
    let rows = b.node(Op::SliceRows { start: 1, len: 4 }, &[cols], 4, 10);
    let y = b.linear(rows, 3, None);
    let s = scheduled(&b.output(&[y]));
    assert_eq!(s.plan.steps.len(), 3);
    let StepOp::Gemm(gemm) = &s.plan.steps[2].op else { panic!("{:?}", s.plan.steps[2]) };
    assert_eq!((gemm.a.row, gemm.a.col, gemm.a.rows, gemm.a.cols), (1, 2, 4, 10));
}

#[test]
fn what_has_no_free_place_is_copied() {
    let mut b = Builder::default();
    let x = b.input(matrix(2, 8));
    let token = b.weight(1, 8);
    let token = b.node(Op::Constant(token), &[], 1, 8);
    let made = b.linear(x, 8, None);
    // A constant, an input, and a value twice.
    let joined = b.node(Op::ConcatRows, &[token, x, made, made], 7, 8);
    let s = scheduled(&b.output(&[joined, x, made]));
    assert_eq!(copies(&s), 5, "{:#?}", s.plan.steps);
}

#[test]
fn a_part_that_is_read_after_the_whole_was_overwritten_is_kept_apart() {
    let mut b = Builder::default();
    let x = b.input(matrix(3, 8));
    let part = b.linear(x, 8, None);
    let other = b.linear(x, 8, None);
    let joined = b.node(Op::ConcatRows, &[part, other], 6, 8);
    let normed = b.norm(joined);
    let late = b.linear(part, 4, None);
    let s = scheduled(&b.output(&[normed, late]));
    assert_eq!(copies(&s), 1, "{:#?}", s.plan.steps);
}

#[test]
fn a_slice_that_is_read_later_keeps_its_source() {
    let mut b = Builder::default();
    let x = b.input(matrix(3, 8));
    let source = b.linear(x, 8, None);
    let slice = b.node(Op::SliceRows { start: 0, len: 1 }, &[source], 1, 8);
    let normed = b.norm(source);
    let late = b.linear(slice, 4, None);
    let s = scheduled(&b.output(&[normed, late]));
    let StepOp::LayerNorm(norm) = &s.plan.steps[1].op else { panic!("{:?}", s.plan.steps[1]) };
    assert_ne!(norm.x.tensor, norm.out.tensor);
}

#[test]
fn a_residual_that_is_also_the_input_is_not_overwritten() {
    let mut b = Builder::default();
    let x = b.input(matrix(3, 8));
    let both = b.linear(x, 8, None);
    let slice = b.node(Op::SliceCols { start: 0, len: 4 }, &[both], 3, 4);
    let y = b.linear(slice, 8, Some(both));
    scheduled(&b.output(&[y]));
}

#[test]
fn columns_that_no_group_writes_become_zero() {
    let mut b = Builder::default();
    let x = b.input(matrix(2, 4));
    let weight = b.weight(2, 3);
    let groups = vec![LinearGroup { input: 1..3, output: 2..5, weight, bias: None }];
    let op = Op::Linear(Linear { cols: 9, groups, act: Activation::Gelu, residual: false });
    let y = b.node(op, &[x], 2, 9);
    let s = scheduled(&b.output(&[y]));
    let StepOp::Gemm(gemm) = &s.plan.steps[0].op else { panic!("{:?}", s.plan.steps[0]) };
    let columns: Vec<_> = gemm.groups.iter().map(|g| (g.k, g.out_col, g.n)).collect();
    assert_eq!(columns, [(0, 0, 2), (2, 2, 3), (0, 5, 4)]);
}

#[test]
fn units_with_the_same_input_share_one_product() {
    let mut b = Builder::default();
    let x = b.input(matrix(4, 6));
    let mut units = Vec::new();
    let mut output = 0;
    for (head, hidden, direction) in
        [(0, 3, Direction::Forward), (0, 5, Direction::Reverse), (1, 17, Direction::Forward)]
    {
        let (w, r, bias) = (b.weight(4 * hidden, 3), b.weight(4 * hidden, hidden), b.weight(1, 4 * hidden));
        units.push(LstmUnit { head, direction, input: head * 3..head * 3 + 3, output, hidden, w, r, bias });
        output += hidden;
    }
    let y = b.node(Op::MultiHeadLstm(MultiHeadLstm { units }), &[x], 4, output);
    let s = scheduled(&b.output(&[y]));
    let [gates, lstm] = &s.plan.steps[..] else { panic!("{:#?}", s.plan.steps) };
    let (StepOp::Gemm(gemm), StepOp::Lstm(lstm)) = (&gates.op, &lstm.op) else {
        panic!("{gates:?} {lstm:?}")
    };
    assert_eq!(gates.name, "node0.gates");
    assert_eq!(
        gemm.groups.iter().map(|g| (g.a_col, g.out_col, g.n)).collect::<Vec<_>>(),
        [(0, 0, 64), (3, 64, 96)]
    );
    assert_eq!(lstm.units.iter().map(|u| u.gate_col).collect::<Vec<_>>(), [0, 32, 64]);
    assert_eq!(lstm.units.iter().map(|u| u.reverse).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn the_same_graph_gives_the_same_bytes_and_equal_weights_are_stored_once() {
    let graph = || {
        let mut b = Builder::default();
        let x = b.input(Shape::Image { channels: 2, height: 4, width: 6 });
        let weight = b.weight(2 * 2 * 3, 8);
        let a = b.node(Op::PatchEmbed { patch: [2, 3], weight, bias: None }, &[x], 4, 8);
        let c = b.node(Op::PatchEmbed { patch: [2, 3], weight, bias: None }, &[x], 4, 8);
        let q = b.node(Op::Attention { heads: 2, scale: 0.5 }, &[a, c, c], 4, 8);
        let m = b.node(Op::MeanRows, &[q], 1, 8);
        let s = b.weight(1, 8);
        let y = b.node(Op::Affine { scale: Some(s), shift: None }, &[m], 1, 8);
        let z = b.node(Op::ReverseRows, &[q], 4, 8);
        b.output(&[y, z])
    };
    let (first, second) = (scheduled(&graph()), scheduled(&graph()));
    assert_eq!(first.plan, second.plan);
    assert_eq!(first.weights, second.weights);
    let patch_panels = (12 + 1) * 16 * 4;
    assert_eq!(first.weights.len(), patch_panels + 8 * 2 * 16 * 4);
}

#[test]
fn rows_that_would_share_cache_sets_are_kept_apart() {
    let mut b = Builder::default();
    let x = b.input(matrix(3, 8));
    let wide = b.linear(x, 512, None);
    let y = b.linear(wide, 512, None);
    let scheduled = scheduled(&b.output(&[y]));
    let stride = |arena: bool| {
        let tensors = scheduled.plan.tensors.iter();
        tensors
            .filter(move |t| matches!(t.place, Place::Arena(_)) == arena && t.cols == 512)
            .map(|t| t.stride)
    };
    assert_eq!(stride(true).collect::<Vec<_>>(), [528]);
    assert_eq!(stride(false).collect::<Vec<_>>(), [512], "the caller's memory is as dense as its port says");
    assert_eq!(scheduled.plan.arena_bytes, 3 * 528 * 4);
}

#[test]
fn only_products_that_round_their_rows_take_the_short_gelu() {
    let mut b = Builder::default();
    let x = b.input(matrix(2, 4));
    let weight = b.weight(4, 4);
    let groups = vec![LinearGroup { input: 0..4, output: 0..4, weight, bias: None }];
    let op = Op::Linear(Linear { cols: 4, groups, act: Activation::Gelu, residual: false });
    let y = b.node(op, &[x], 2, 4);
    let graph = b.output(&[y]);
    for (dtype, expected) in [
        (Dtype::F32, Activation::Gelu),
        (Dtype::F16, Activation::Gelu),
        (Dtype::Bf16, Activation::GeluShort),
        (Dtype::Int8, Activation::GeluShort),
    ] {
        let options = DtypeOptions { dtype, ..DtypeOptions::default() };
        let s = plan(&graph, &target::find("x86_64").unwrap(), &options).unwrap();
        let StepOp::Gemm(gemm) = &s.plan.steps[0].op else { panic!("{:?}", s.plan.steps[0]) };
        assert_eq!(gemm.act, expected, "{dtype:?}");
    }
}
