//! The rules of plans, each broken once.

mod common;

use common::{GATES, H, IMAGE, OUT, POSITION, WEIGHTS_BYTES, X, Y, operand, parts, plan, port, weights};
use far_format::cpu::Arch;
use far_format::layout::Activation;
use far_format::plan::{Attention, Dim, Gemm, LstmUnit, Patches, Place, Plan, Step, StepOp, Tensor};
use far_format::{CheckedPlan, Error, Problem, Region, Space, Subject, write};

fn refusal(plan: Plan) -> String {
    match CheckedPlan::new(plan, Arch::Aarch64, WEIGHTS_BYTES) {
        Err(error) => error.to_string(),
        Ok(_) => "accepted".into(),
    }
}

/// The fields of a step of the common plan, to change one of them.
macro_rules! change {
    ($plan:ident, $step:literal, $variant:ident, |$op:ident| $change:expr) => {{
        let StepOp::$variant($op) = &mut $plan.steps[$step].op else { panic!("step {}", $step) };
        $change;
    }};
}

#[test]
fn the_common_plan_keeps_them() {
    let plan = CheckedPlan::new(plan(), Arch::Aarch64, WEIGHTS_BYTES).unwrap();
    let region = plan.region(&operand(GATES, 1, 8, 1, 16));
    assert_eq!(region, Region { start: 32 + 32 + 8, rows: 1, cols: 16, stride: 32, ..region });
    assert!(region.space == Space::Arena && !region.tokens);
}

#[test]
fn tensors() {
    type Change = fn(&mut Tensor);
    let cases: [(u32, Change, &str); 10] = [
        (X, |t| t.rows = 0, "tensor `1`: `rows` is out of range: expected 1 or more, got `0`"),
        (X, |t| t.cols = 0, "tensor `1`: `cols` is out of range: expected 1 or more, got `0`"),
        (X, |t| t.stride = 3, "tensor `1`: `stride` is out of range: expected at least `cols`, got `3`"),
        (
            X,
            |t| t.place = Place::Arena(32),
            "tensor `1`: `place` is unaligned: expected a multiple of `64`, got `32`",
        ),
        (
            X,
            |t| t.place = Place::Arena(1216),
            "tensor `1`: `place` reaches outside: expected its end within the arena of `304`, got `312`",
        ),
        (
            X,
            |t| (t.rows, t.stride) = (u32::MAX, u32::MAX),
            "tensor `1`: `place` reaches outside: expected its end within the arena of `304`, got `18446744060824649734`",
        ),
        (
            POSITION,
            |t| t.place = Place::Weights(u64::MAX - 63),
            "tensor `6`: `place` reaches outside: expected its end within the weights section of `304`, got `4611686018427387896`",
        ),
        (IMAGE, |t| t.place = Place::Input(1), "tensor `0`: `place` is number `1` of `1`"),
        (OUT, |t| t.place = Place::Output(9), "tensor `5`: `place` is number `9` of `1`"),
        (
            IMAGE,
            |t| t.rows = 1,
            "tensor `0`: `rows × cols` is out of range: expected the number of its port's elements, got `4`",
        ),
    ];
    for (tensor, change, expected) in cases {
        let mut plan = plan();
        change(&mut plan.tensors[tensor as usize]);
        assert_eq!(refusal(plan), expected);
    }
}

#[test]
fn ports_and_sizes() {
    type Change = fn(&mut Plan);
    let cases: [(Change, &str); 6] = [
        (
            |p| p.arena_bytes = 1 << 33,
            "plan: `arena_bytes` is out of range: expected at most 2^32, got `8589934592`",
        ),
        (
            |p| p.inputs[0].dims = vec![Dim::Fixed(1), Dim::Fixed(0)],
            "input `0` (`image`): `dims` is out of range: expected 1 or more elements, 2^30 or fewer in all ports, got `0`",
        ),
        (
            |p| p.outputs[0].dims = vec![Dim::Fixed(u32::MAX); 3],
            "output `0` (`logits`): `dims` is out of range: expected 1 or more elements, 2^30 or fewer in all ports, \
             got `18446744073709551615`",
        ),
        (|p| p.inputs.push(p.inputs[0].clone()), "input `1` (`image`): `name` is the same as an earlier one"),
        (
            |p| p.outputs.push(port("tokens", &[2])),
            "output `1` (`tokens`): `dims` is read before all of it is written (output 1 element 0, 1×2 by 2)",
        ),
        (
            |p| p.outputs[0].dims = vec![Dim::Fixed(5)],
            "tensor `5`: `rows × cols` is out of range: expected the number of its port's elements, got `4`",
        ),
    ];
    for (change, expected) in cases {
        let mut plan = plan();
        change(&mut plan);
        assert_eq!(refusal(plan), expected);
    }
}

#[test]
fn operands() {
    let cases = [
        (operand(7, 0, 0, 2, 4), "step `5` (`blocks.5`): `x` is number `7` of `7`"),
        (
            operand(Y, 1, 0, 2, 3),
            "step `5` (`blocks.5`): `x` reaches outside: expected its end within the tensor's rows of `2`, got `3`",
        ),
        (
            operand(Y, 0, 2, 2, 3),
            "step `5` (`blocks.5`): `x` reaches outside: expected its end within the tensor's columns of `4`, got `5`",
        ),
        (
            operand(Y, u32::MAX, 0, u32::MAX, 3),
            "step `5` (`blocks.5`): `x` reaches outside: expected its end within the tensor's rows of `2`, got `8589934590`",
        ),
        (
            operand(Y, 0, 0, 0, 3),
            "step `5` (`blocks.5`): `x` is out of range: expected 1 or more rows and columns, got `0`",
        ),
        (
            operand(Y, 0, 0, 2, 2),
            "step `5` (`blocks.5`): `out` has the wrong shape: expected `2×2`, got `2×3`",
        ),
    ];
    for (x, expected) in cases {
        let mut plan = plan();
        plan.steps[5].op = StepOp::Copy { x, out: operand(H, 0, 1, 2, 3) };
        assert_eq!(refusal(plan), expected);
    }
}

#[test]
fn gemm() {
    type Change = fn(&mut Gemm);
    let cases: [(Change, &str); 12] = [
        (|g| g.groups.clear(), "`groups` is out of range: expected 1 or more, got `0`"),
        (|g| g.groups[0].n = 0, "`group.n` is out of range: expected 1 or more, got `0`"),
        (
            |g| g.groups[0].a_col = 1,
            "`group.k` reaches outside: expected its end within the operand's columns of `4`, got `5`",
        ),
        (
            |g| g.groups[0].out_col = u32::MAX,
            "`group.n` reaches outside: expected its end within the operand's columns of `4`, got `4294967299`",
        ),
        (
            |g| g.groups[0].weights = 898,
            "`group.weights` is unaligned: expected a multiple of `64`, got `898`",
        ),
        (
            |g| g.groups[0].weights = 960,
            "`group.weights` reaches outside: expected its end within the weights section of `304`, got `320`",
        ),
        (|g| g.groups.push(g.groups[0]), "`group.out_col` overlaps `group.out_col`"),
        (|g| g.a = operand(Y, 0, 0, 2, 4), "`out` overlaps `a`"),
        (|g| g.out = operand(Y, 0, 0, 1, 4), "`out` has the wrong shape: expected `2×4`, got `1×4`"),
        (
            |g| g.out = operand(POSITION, 0, 0, 2, 4),
            "`out` would be written, but inputs and weights are read only",
        ),
        (
            |g| g.residual = Some(operand(Y, 0, 0, 2, 3)),
            "`residual` has the wrong shape: expected `2×4`, got `2×3`",
        ),
        (
            |g| {
                (g.a, g.out, g.residual) = (
                    operand(GATES, 0, 0, 2, 4),
                    operand(GATES, 0, 8, 2, 4),
                    Some(operand(GATES, 0, 10, 2, 4)),
                )
            },
            "`out` overlaps `residual`",
        ),
    ];
    for (change, expected) in cases {
        let mut plan = plan();
        change!(plan, 8, Gemm, |gemm| change(gemm));
        assert_eq!(refusal(plan), format!("step `8` (`blocks.8`): {expected}"));
    }
    // Depth 0: nothing of `a` is read, the result is the bias.
    let mut plan = plan();
    change!(plan, 8, Gemm, |gemm| gemm.groups[0].k = 0);
    assert_eq!(refusal(plan), "accepted");
}

#[test]
fn lstm() {
    type Change = fn(&mut Vec<LstmUnit>);
    let cases: [(Change, &str); 6] = [
        (Vec::clear, "`units` is out of range: expected 1 or more, got `0`"),
        (|u| u[0].hidden = 0, "`unit.hidden` is out of range: expected 1 or more, got `0`"),
        (
            |u| u[0].hidden = u32::MAX,
            "`unit.out_col` reaches outside: expected its end within the operand's columns of `1`, got `4294967295`",
        ),
        (
            |u| u[0].gate_col = 1,
            "`unit.gate_col` reaches outside: expected its end within the operand's columns of `32`, got `33`",
        ),
        (
            |u| u[0].weights = 1152,
            "`unit.weights` reaches outside: expected its end within the weights section of `304`, got `320`",
        ),
        (|u| u.push(u[0]), "`unit.out_col` overlaps `unit.out_col`"),
    ];
    for (change, expected) in cases {
        let mut plan = plan();
        change!(plan, 4, Lstm, |lstm| change(&mut lstm.units));
        assert_eq!(refusal(plan), format!("step `4` (`blocks.4`): {expected}"));
    }
    let mut plan = plan();
    change!(plan, 4, Lstm, |lstm| lstm.out = operand(GATES, 0, 8, 2, 1));
    assert_eq!(refusal(plan), "step `4` (`blocks.4`): `out` overlaps `gates`");
}

#[test]
fn layer_norm() {
    for eps in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let mut plan = plan();
        change!(plan, 2, LayerNorm, |norm| norm.eps = eps);
        let expected = format!("`eps` is out of range: expected finite and above 0, got `{eps}`");
        assert_eq!(refusal(plan), format!("step `2` (`blocks.2`): {expected}"));
    }
    let mut plan = plan();
    change!(plan, 2, LayerNorm, |norm| norm.affine = Some(1216));
    assert_eq!(
        refusal(plan),
        "step `2` (`blocks.2`): `affine` reaches outside: expected its end within the weights section of `304`, got `312`"
    );
}

#[test]
fn attention() {
    type Change = fn(&mut Attention);
    let cases: [(Change, &str); 10] = [
        (
            |a| a.heads = 0,
            "`heads` is out of range: expected a divisor of the columns of `q`, 4096 or less, got `0`",
        ),
        (
            |a| a.heads = 3,
            "`heads` is out of range: expected a divisor of the columns of `q`, 4096 or less, got `3`",
        ),
        (|a| a.scale = f32::NAN, "`scale` is out of range: expected finite, got `NaN`"),
        (|a| a.work = 450, "`work` is unaligned: expected a multiple of `64`, got `450`"),
        (|a| a.work = 512, "`work` reaches outside: expected its end within the arena of `304`, got `320`"),
        (|a| a.work = 384, "`work` overlaps `q`"),
        (|a| a.k = operand(H, 0, 0, 1, 4), "`k` has the wrong shape: expected `2×4`, got `1×4`"),
        (|a| a.out = operand(H, 0, 0, 2, 4), "`out` overlaps `q`"),
        (|a| a.v = operand(Y, 0, 0, 2, 4), "`out` overlaps `v`"),
        (|a| a.out = operand(GATES, 0, 0, 2, 5), "`out` has the wrong shape: expected `2×4`, got `2×5`"),
    ];
    for (change, expected) in cases {
        let mut plan = plan();
        change!(plan, 6, Attention, |attention| change(attention));
        assert_eq!(refusal(plan), format!("step `6` (`blocks.6`): {expected}"));
    }
}

#[test]
fn patches() {
    type Change = fn(&mut Patches);
    let cases: [(Change, &str); 4] = [
        (|p| p.channels = 3, "`channels` is out of range: expected a divisor of the image's rows, got `3`"),
        (|p| p.patch_height = 0, "`patch_height` is out of range: expected a divisor of the height, got `0`"),
        (|p| p.patch_width = 3, "`patch_width` is out of range: expected a divisor of the width, got `3`"),
        (|p| p.patch_width = 1, "`out` has the wrong shape: expected `4×2`, got `2×4`"),
    ];
    for (change, expected) in cases {
        let mut plan = plan();
        change!(plan, 0, Patches, |patches| change(patches));
        assert_eq!(refusal(plan), format!("step `0` (`blocks.0`): {expected}"));
    }
}

#[test]
fn the_small_steps() {
    let (x, y) = (operand(X, 0, 0, 2, 4), operand(Y, 0, 0, 2, 4));
    let mean = |x, out| StepOp::MeanRows { x, out };
    let cases = [
        (
            StepOp::Map { act: Activation::Tanh, x, out: operand(IMAGE, 0, 0, 2, 4) },
            "`out` would be written, but inputs and weights are read only",
        ),
        (
            StepOp::Map { act: Activation::Tanh, x: operand(X, 0, 0, 2, 3), out: operand(X, 0, 1, 2, 3) },
            "`out` overlaps `x`",
        ),
        (
            StepOp::Add { a: x, b: operand(Y, 0, 0, 1, 4), out: y },
            "`b` has the wrong shape: expected `2×4`, got `1×4`",
        ),
        (
            StepOp::Add { a: operand(X, 0, 0, 1, 4), b: operand(Y, 0, 0, 1, 4), out: operand(X, 0, 0, 2, 4) },
            "`out` has the wrong shape: expected `1×4`, got `2×4`",
        ),
        (StepOp::Copy { x, out: x }, "`out` overlaps `x`"),
        (mean(y, operand(Y, 0, 0, 1, 4)), "`out` overlaps `x`"),
        (mean(y, operand(OUT, 0, 0, 1, 3)), "`out` has the wrong shape: expected `1×4`, got `1×3`"),
    ];
    for (op, expected) in cases {
        let mut plan = plan();
        plan.steps.push(Step { name: "extra".into(), op });
        assert_eq!(refusal(plan), format!("step `10` (`extra`): {expected}"));
    }
}

#[test]
fn nothing_is_read_before_it_is_written() {
    for (step, field) in [(0, "a"), (2, "a"), (3, "gates"), (4, "q"), (5, "q")] {
        let mut plan = plan();
        plan.steps.remove(step);
        let refusal = refusal(plan);
        assert!(
            refusal.contains(&format!("`{field}` is read before all of it is written")),
            "{step}: {refusal}"
        );
    }
    // The working memory of attention is no result, not even of what lay there before.
    let mut plan = plan();
    plan.tensors.push(Tensor { place: Place::Arena(448), rows: 2, cols: 4, stride: 4, tokens: false });
    let scratch = operand(7, 0, 0, 2, 4);
    let copy = |x, out| Step { name: "copy".into(), op: StepOp::Copy { x, out } };
    plan.steps.insert(6, copy(operand(H, 0, 0, 2, 4), scratch));
    assert!(CheckedPlan::new(plan.clone(), Arch::Aarch64, WEIGHTS_BYTES).is_ok());
    plan.steps.push(copy(scratch, operand(X, 0, 0, 2, 4)));
    let region = Region { space: Space::Arena, start: 112, rows: 2, cols: 4, stride: 4, tokens: false };
    let (subject, problem) = (Subject::Step(11, "copy".into()), Problem::Unwritten { region });
    assert_eq!(
        CheckedPlan::new(plan, Arch::Aarch64, WEIGHTS_BYTES),
        Err(Error::Plan { subject, field: "x", problem })
    );
}

#[test]
fn the_writer_refuses_too() {
    let mut plan = plan();
    plan.arena_bytes = 64;
    assert!(matches!(write(&parts(&plan, &weights())), Err(Error::Plan { .. })));
    let odd = [0; 3];
    assert!(write(&parts(&Plan::default(), &odd)).is_err());
}
