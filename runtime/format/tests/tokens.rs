//! The rules of plans whose tokens and batches vary, each broken once.

mod common;

use common::{CLS, E, POOLED, STATES, TABLE, WEIGHTS_BYTES, operand, text};
use far_format::CheckedPlan;
use far_format::cpu::Arch;
use far_format::layout::{Activation, Precision, attention_work_bytes};
use far_format::plan::{
    Attention, Batch, Dim, Dtype, Embed, Gemm, GemmGroup, Lstm, LstmUnit, Operand, Patches, Place, Plan,
    Step, StepOp, Tensor,
};

fn refusal(plan: Plan) -> String {
    match CheckedPlan::new(plan, Arch::Aarch64, WEIGHTS_BYTES) {
        Err(error) => error.to_string(),
        Ok(_) => "accepted".into(),
    }
}

type Change = fn(&mut Plan);

fn assert_refusals(cases: &[(Change, &str)]) {
    for (change, expected) in cases {
        let mut plan = text();
        change(&mut plan);
        assert_eq!(refusal(plan), *expected);
    }
}

#[test]
fn rows_that_are_tokens_are_told_apart() {
    let plan = CheckedPlan::new(text(), Arch::Aarch64, WEIGHTS_BYTES).unwrap();
    let (all, first) = (plan.region(&operand(E, 0, 1, 6, 2)), plan.region(&operand(E, 0, 0, 1, 4)));
    assert_eq!((all.rows, all.tokens, first.rows, first.tokens), (6, true, 1, false));
    let ports = [&plan.inputs[0], &plan.outputs[0], &plan.outputs[2]];
    assert_eq!(ports.map(|port| port.elements(2, 5)), [10, 40, 8]);
}

#[test]
fn batches() {
    assert_refusals(&[
        (
            |p| p.batch.most = 0,
            "plan: `batch.most` is out of range: expected 1 or more, 65536 or fewer, got `0`",
        ),
        (
            |p| p.batch.most = 65537,
            "plan: `batch.most` is out of range: expected 1 or more, 65536 or fewer, got `65537`",
        ),
        (
            |p| p.outputs[1].dims = vec![Dim::Fixed(4)],
            "output `1` (`pooled`): `dims` is out of range: expected the batch as the first dimension and as no other, \
             got `0`",
        ),
        (
            |p| p.outputs[1].dims = vec![Dim::Fixed(4), Dim::Batch],
            "output `1` (`pooled`): `dims` is out of range: expected the batch as the first dimension and as no other, \
             got `1`",
        ),
        (
            |p| p.outputs[1].dims.push(Dim::Batch),
            "output `1` (`pooled`): `dims` is out of range: expected the batch as the first dimension and as no other, \
             got `2`",
        ),
        // Of one element the dimension need not be there, but may.
        (
            |p| {
                p.batch = Batch { most: 1, fixed: false };
                p.outputs[1].dims = vec![Dim::Fixed(4)];
            },
            "accepted",
        ),
        (|p| p.batch = Batch { most: 65536, fixed: true }, "accepted"),
    ]);
    let batch = Batch { most: 2, fixed: true };
    assert_eq!(
        refusal(Plan { batch, ..Plan::default() }),
        "plan: `batch.most` is out of range: expected an input, where a call has several elements, got `2`"
    );
}

#[test]
fn ports_with_tokens() {
    const DIMS: &str =
        "`dims` is out of range: expected tokens once and as rows, where the plan has tokens, got";
    let cases: [(Change, String); 5] = [
        (|p| p.tokens = 0, format!("input `0` (`ids`): {DIMS} `1`")),
        (|p| p.outputs[0].dims.swap(1, 2), format!("output `0` (`states`): {DIMS} `1`")),
        (|p| p.inputs[0].dims.push(Dim::Tokens), format!("input `0` (`ids`): {DIMS} `2`")),
        (
            |p| p.outputs[0].dims[2] = Dim::Fixed(1 << 30),
            "output `0` (`states`): `dims` is out of range: expected 1 or more elements, 2^30 or fewer in all ports, got \
             `6442450944`"
                .into(),
        ),
        (
            |p| {
                p.inputs.truncate(1);
                p.inputs[0].dims[1] = Dim::Fixed(6);
                p.lengths = None;
            },
            "plan: `tokens` is out of range: expected an input that has them, where their number varies, got `6`".into(),
        ),
    ];
    for (change, expected) in cases {
        let mut plan = text();
        change(&mut plan);
        assert_eq!(refusal(plan), expected);
    }
}

#[test]
fn integers_and_lengths() {
    assert_refusals(&[
        (
            |p| p.outputs[1].dtype = Dtype::I64,
            "output `1` (`pooled`): `dtype` has the wrong element type: expected f32, got `i64`",
        ),
        (|p| p.lengths = Some(2), "plan: `lengths` is number `2` of `2`"),
        (
            |p| p.inputs[1].dtype = Dtype::F32,
            "plan: `lengths` has the wrong element type: expected a port of integers, got `f32`",
        ),
        (
            |p| p.inputs[1].dims[1] = Dim::Fixed(6),
            "plan: `lengths` has a fixed number of rows: expected tokens",
        ),
        (
            |p| p.inputs[1].dims.push(Dim::Fixed(2)),
            "plan: `lengths` is out of range: expected an input of one integer a row, got `12`",
        ),
        (|p| p.lengths = None, "accepted"),
        (|p| p.lengths = Some(0), "accepted"),
        (
            |p| p.tensors[E as usize].place = Place::Input(0),
            "tensor `0`: `place` has the wrong element type: expected a port of f32, got `i64`",
        ),
    ]);
}

#[test]
fn tensors() {
    assert_refusals(&[
        (
            |p| p.tensors[E as usize].rows = 5,
            "tensor `0`: `rows` is out of range: expected as many as the plan has tokens, got `5`",
        ),
        (
            |p| p.tensors[STATES as usize].tokens = false,
            "tensor `2`: `tokens` has a fixed number of rows: expected tokens",
        ),
        (
            |p| {
                let pooled = &mut p.tensors[POOLED as usize];
                (pooled.rows, pooled.tokens) = (6, true);
            },
            "tensor `3`: `tokens` has tokens as rows: expected a fixed number",
        ),
        // The same rows of a constant: a run of fewer tokens would add more than it has.
        (
            |p| p.tensors[TABLE as usize].tokens = false,
            "step `1` (`step.1`): `b` has a fixed number of rows: expected tokens",
        ),
    ]);
}

#[test]
fn operands_have_all_tokens_or_the_first() {
    for (row, rows, accepted) in [(0, 1, true), (1, 1, false), (0, 2, false), (5, 1, false), (0, 5, false)] {
        let mut plan = text();
        let out = operand(if rows == 1 { CLS } else { STATES }, 0, 0, rows, 4);
        plan.steps
            .push(Step { name: "part".into(), op: StepOp::Copy { x: operand(E, row, 0, rows, 4), out } });
        let expected = if accepted {
            "accepted".to_string()
        } else {
            let expected = "expected all rows of a tensor whose rows are tokens, or the first";
            format!("step `6` (`part`): `x` is out of range: {expected}, got `{rows}`")
        };
        assert_eq!(refusal(plan), expected, "{rows} rows from {row}");
    }
}

/// Adds tensors: six rows of `cols` at an offset of a larger arena.
fn with_tensors(tensors: &[(u64, u32, bool)]) -> Plan {
    let mut plan = text();
    plan.arena_bytes = 8192;
    for (offset, cols, tokens) in tensors {
        let place = Place::Arena(*offset);
        plan.tensors.push(Tensor { place, rows: 6, cols: *cols, stride: *cols, tokens: *tokens });
    }
    plan
}

fn push(plan: &mut Plan, op: StepOp) {
    plan.steps.push(Step { name: "extra".into(), op });
}

#[test]
fn steps_with_tokens_and_without() {
    const FIXED: u32 = 5;
    const WIDE: u32 = 6;
    let all = |t| operand(t, 0, 0, 6, 4);
    let wide = |col, cols| operand(WIDE, 0, col, 6, cols);
    let gemm = |a, out, residual| {
        let groups = vec![GemmGroup { a_col: 0, k: 4, out_col: 0, n: 4, weights: 0 }];
        StepOp::Gemm(Gemm { a, out, residual, act: Activation::None, precision: Precision::F32, groups })
    };
    let lstm = |gates, out| {
        let units = vec![LstmUnit { gate_col: 0, hidden: 1, out_col: 0, reverse: true, weights: 0 }];
        StepOp::Lstm(Lstm { gates, out, precision: Precision::F32, units })
    };
    let attention =
        |q, k, out| StepOp::Attention(Attention { q, k, v: k, out, heads: 1, scale: 1.0, work: 4096 });
    let embed =
        |input, out| StepOp::Embed(Embed { input, table: 0, vocab: 1, precision: Precision::F32, out });
    let (tokens, fixed) =
        ("has a fixed number of rows: expected tokens", "has tokens as rows: expected a fixed number");
    let cases: [(StepOp, String); 15] = [
        (gemm(all(E), all(STATES), None), "accepted".into()),
        (gemm(all(E), all(FIXED), None), format!("`out` {tokens}")),
        (gemm(all(E), all(STATES), Some(all(FIXED))), format!("`residual` {tokens}")),
        (lstm(wide(0, 32), operand(STATES, 0, 0, 6, 1)), "accepted".into()),
        (lstm(wide(0, 32), operand(FIXED, 0, 0, 6, 1)), format!("`out` {tokens}")),
        (attention(all(E), all(E), all(STATES)), "accepted".into()),
        (attention(all(E), all(FIXED), all(STATES)), format!("`k` {tokens}")),
        (attention(all(FIXED), all(FIXED), all(STATES)), format!("`out` {fixed}")),
        (StepOp::Map { act: Activation::Tanh, x: all(FIXED), out: all(E) }, format!("`out` {fixed}")),
        (StepOp::Normalize { x: all(E), out: all(FIXED), eps: 1.0 }, format!("`out` {tokens}")),
        (
            StepOp::Normalize { x: all(E), out: all(E), eps: 0.0 },
            "`eps` is out of range: expected finite and above 0, got `0`".into(),
        ),
        (
            StepOp::Patches(Patches {
                image: all(E),
                channels: 1,
                patch_height: 1,
                patch_width: 4,
                out: all(FIXED),
            }),
            format!("`image` {fixed}"),
        ),
        (embed(0, all(FIXED)), "`input` has tokens as rows: expected a fixed number".into()),
        (embed(2, all(E)), "`input` is number `2` of `2`".into()),
        (
            StepOp::Embed(Embed { input: 0, table: 1152, vocab: 5, precision: Precision::F32, out: all(E) }),
            "`table` reaches outside: expected its end within the weights section of `304`, got `308`".into(),
        ),
    ];
    for (op, expected) in cases {
        let mut plan = with_tensors(&[(1024, 4, false), (2048, 32, true)]);
        push(&mut plan, StepOp::MeanRows { x: all(E), out: operand(FIXED, 0, 0, 1, 4) });
        push(&mut plan, gemm(all(E), wide(0, 4), None));
        for col in (4..32).step_by(4) {
            push(&mut plan, StepOp::Copy { x: wide(0, 4), out: wide(col, 4) });
        }
        // All of the tensor whose rows aren't tokens.
        for row in 1..6 {
            push(
                &mut plan,
                StepOp::Copy { x: operand(FIXED, 0, 0, 1, 4), out: operand(FIXED, row, 0, 1, 4) },
            );
        }
        let step = plan.steps.len();
        push(&mut plan, op);
        let found = refusal(plan);
        let place = format!("step `{step}` (`extra`): ");
        assert_eq!(found.strip_prefix(&place).unwrap_or(&found), expected);
    }
}

#[test]
fn embeddings_of_fixed_rows() {
    let mut plan = text();
    plan.inputs.push(plan.inputs[0].clone());
    plan.inputs[2].name = "type".into();
    plan.inputs[2].dims = vec![Dim::Batch, Dim::Fixed(1)];
    let out = operand(CLS, 0, 0, 1, 4);
    push(&mut plan, StepOp::Embed(Embed { input: 2, table: 0, vocab: 1, precision: Precision::F32, out }));
    assert_eq!(refusal(plan.clone()), "accepted");
    let mut two = plan.clone();
    two.inputs[2].dims[1] = Dim::Fixed(2);
    assert_eq!(
        refusal(two),
        "step `6` (`extra`): `input` is out of range: expected an input of one integer a row, got `2`"
    );
    let mut floats = plan.clone();
    floats.inputs[2].dtype = Dtype::F32;
    assert_eq!(
        refusal(floats),
        "step `6` (`extra`): `input` has the wrong element type: expected a port of integers, got `f32`"
    );
    let StepOp::Embed(embed) = &mut plan.steps[6].op else { panic!("the step above") };
    embed.vocab = 0;
    assert_eq!(refusal(plan), "step `6` (`extra`): `vocab` is out of range: expected 1 or more, got `0`");
}

/// What a run of few tokens leaves unwritten must not be read, however tensors share the arena.
#[test]
fn rows_that_a_run_lacks_are_not_read() {
    const A: u32 = 5;
    const B: u32 = 6;
    let all = |t, cols| operand(t, 0, 0, 6, cols);
    let write =
        |t| StepOp::Embed(Embed { input: 0, table: 0, vocab: 1, precision: Precision::F32, out: all(t, 4) });
    let read = |x: Operand| StepOp::MeanRows { x, out: operand(POOLED, 0, 0, 1, x.cols) };
    let unwritten = |plan: Plan| refusal(plan).contains("`x` is read before all of it is written");

    // Fixed rows where tokens were written: but for the first they may not be there.
    let mut plan = with_tensors(&[(1024, 4, true), (1024, 4, false)]);
    push(&mut plan, write(A));
    push(&mut plan, read(operand(B, 0, 0, 1, 4)));
    assert_eq!(refusal(plan.clone()), "accepted");
    push(&mut plan, read(all(B, 4)));
    assert!(unwritten(plan));

    // Tokens where fixed rows were written are there.
    let mut plan = with_tensors(&[(1024, 4, true), (1024, 4, false)]);
    push(&mut plan, StepOp::Copy { x: all(E, 4), out: all(STATES, 4) });
    for row in 0..6 {
        push(&mut plan, StepOp::MeanRows { x: all(E, 4), out: operand(B, row, 0, 1, 4) });
    }
    push(&mut plan, read(all(A, 4)));
    assert_eq!(refusal(plan), "accepted");

    // The same rows at the same places are the same tokens; wider ones are others.
    for (cols, accepted) in [(4, true), (2, false), (8, false)] {
        let mut plan = with_tensors(&[(1024, 4, true), (1024, cols, true)]);
        push(&mut plan, write(A));
        push(&mut plan, read(all(B, cols.min(4))));
        assert_eq!(!unwritten(plan), accepted, "{cols} columns");
    }

    // Tokens that another tensor's tokens were written over are gone.
    let mut plan = with_tensors(&[(1024, 4, true), (1088, 4, true)]);
    push(&mut plan, write(A));
    push(&mut plan, write(B));
    push(&mut plan, read(all(B, 4)));
    assert_eq!(refusal(plan.clone()), "accepted");
    push(&mut plan, read(all(A, 4)));
    assert!(unwritten(plan));

    // Wherever it reaches: here it covers all of it.
    let mut plan = with_tensors(&[(1024, 4, true), (1024, 8, true)]);
    push(&mut plan, write(A));
    push(
        &mut plan,
        StepOp::Embed(Embed { input: 0, table: 0, vocab: 1, precision: Precision::F32, out: all(B, 8) }),
    );
    push(&mut plan, read(all(A, 4)));
    assert!(unwritten(plan));

    // What is written of them later is there again, and only that.
    for (col, accepted) in [(0, true), (2, false)] {
        let mut plan = with_tensors(&[(1024, 4, true), (1088, 4, true)]);
        push(&mut plan, write(A));
        push(&mut plan, write(B));
        push(&mut plan, StepOp::Copy { x: all(E, 2), out: all(A, 2) });
        push(&mut plan, read(operand(A, 0, col, 6, 2)));
        assert_eq!(!unwritten(plan), accepted, "columns from {col}");
    }

    // And so are those where attention worked.
    let mut plan = with_tensors(&[(1024, 4, true)]);
    push(&mut plan, write(A));
    let (q, work) = (all(E, 4), 1088);
    let attention = Attention { q, k: q, v: q, out: all(STATES, 4), heads: 1, scale: 1.0, work };
    assert!(attention_work_bytes(6, 1, 4) > 0);
    push(&mut plan, StepOp::Attention(attention));
    push(&mut plan, read(all(A, 4)));
    assert!(unwritten(plan));

    // An output with tokens is written whole only if its tokens are.
    let mut plan = text();
    plan.steps[2].op = StepOp::Copy { x: operand(E, 0, 0, 1, 4), out: operand(STATES, 0, 0, 1, 4) };
    assert!(refusal(plan).starts_with("output `0` (`states`): `dims` is read before all of it is written"));
}

/// Where there is at most one token, its row is a row like any other.
#[test]
fn at_most_one_token() {
    let mut plan = text();
    plan.tokens = 1;
    for tensor in &mut plan.tensors[..3] {
        tensor.rows = 1;
    }
    for step in &mut plan.steps {
        match &mut step.op {
            StepOp::Embed(embed) => embed.out.rows = 1,
            StepOp::Add { a, b, out } => (a.rows, b.rows, out.rows) = (1, 1, 1),
            StepOp::Copy { x, out } => (x.rows, out.rows) = (1, 1),
            StepOp::MeanRows { x, .. } => x.rows = 1,
            _ => {}
        }
    }
    assert_eq!(refusal(plan), "accepted");
}
