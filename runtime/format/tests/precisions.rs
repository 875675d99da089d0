//! The rules about precisions, each broken once, and sizes of packed weights against the specification's formulas.

mod common;

use common::{WEIGHTS_BYTES, operand, plan, text};
use far_format::cpu::{Arch, Features};
use far_format::layout::{
    Activation, MAX_INT8_DEPTH, Precision, gemm_weight_len, lstm_weight_len, table_row_len,
};
use far_format::plan::{Dim, Dtype, Embed, Gemm, GemmGroup, Place, Plan, Port, Step, StepOp, Tensor};
use far_format::{ArtifactParts, CheckedPlan, Error, Section, read, write};
use proptest::prelude::*;

/// The common plan with all of its weights in one precision, which take no more than f32.
fn reduced(precision: Precision) -> Plan {
    let mut plan = plan();
    set(&mut plan, precision);
    plan
}

fn set(plan: &mut Plan, precision: Precision) {
    for step in &mut plan.steps {
        match &mut step.op {
            StepOp::Gemm(gemm) => gemm.precision = precision,
            StepOp::Lstm(lstm) => lstm.precision = precision,
            StepOp::Embed(embed) => embed.precision = precision,
            _ => {}
        }
    }
}

fn refusal(plan: Plan, arch: Arch, weights: usize) -> String {
    match CheckedPlan::new(plan, arch, weights) {
        Err(error) => error.to_string(),
        Ok(plan) => {
            assert_eq!(plan.arch(), arch);
            "accepted".into()
        }
    }
}

#[test]
fn every_architecture_has_its_own() {
    let of = |arch| Precision::ALL.into_iter().filter(move |p| p.features(arch).is_some());
    for arch in Arch::ALL {
        for precision in Precision::ALL {
            // Scales of four numbers take more than these: room for them.
            let refusal = refusal(reduced(precision), arch, 4 * WEIGHTS_BYTES);
            if of(arch).any(|known| known == precision) {
                assert_eq!(refusal, "accepted", "{precision} on {arch}");
            } else {
                let expected = format!("expected one that the architecture has, got `{}`", precision as u8);
                assert_eq!(
                    refusal,
                    format!("step `3` (`blocks.3`): `precision` is out of range: {expected}")
                );
            }
        }
    }
    assert_eq!(of(Arch::X86_64).count(), 4);
    assert!(of(Arch::Riscv64).eq(of(Arch::Aarch64)) && !of(Arch::Aarch64).any(|p| p == Precision::Bf16));
}

#[test]
fn recurrences_have_them_too() {
    let mut plan = plan();
    let StepOp::Lstm(lstm) = &mut plan.steps[4].op else { panic!("step 4") };
    lstm.precision = Precision::Bf16;
    let expected = "expected one that the architecture has, got `2`";
    assert_eq!(
        refusal(plan, Arch::Aarch64, WEIGHTS_BYTES),
        format!("step `4` (`blocks.4`): `precision` is out of range: {expected}")
    );
}

#[test]
fn tables_are_stored_in_some_of_them() {
    for precision in Precision::ALL {
        let mut plan = text();
        set(&mut plan, precision);
        let expected = match table_row_len(precision, 4) {
            Some(_) => "accepted".into(),
            None => format!(
                "step `0` (`step.0`): `precision` is out of range: expected 0 (f32), 1 (f16) or 3 (int8), got `{}`",
                precision as u8
            ),
        };
        assert_eq!(refusal(plan, Arch::X86_64, WEIGHTS_BYTES), expected);
    }
}

/// What the steps need of the weights section is what the specification says, to the word.
#[test]
fn weights_end_inside_their_section() {
    let step = |name: &str, op| Step { name: name.into(), op };
    let end = |precision, arch| {
        let (gemm, lstm) = (gemm_weight_len(precision, arch, 4, 32), lstm_weight_len(precision, arch, 1));
        (gemm, lstm, gemm.max(lstm))
    };
    for arch in Arch::ALL {
        for precision in Precision::ALL.into_iter().filter(|p| p.features(arch).is_some()) {
            let (gemm, lstm, most) = end(precision, arch);
            let mut plan = reduced(precision);
            for step in &mut plan.steps {
                match &mut step.op {
                    StepOp::Gemm(gemm) => gemm.groups.iter_mut().for_each(|group| group.weights = 0),
                    StepOp::Lstm(lstm) => lstm.units.iter_mut().for_each(|unit| unit.weights = 0),
                    _ => {}
                }
            }
            assert_eq!(refusal(plan.clone(), arch, 4 * most), "accepted", "{precision} on {arch}");
            let (at, field) = if gemm >= lstm { (3, "group.weights") } else { (4, "unit.weights") };
            let expected = format!(
                "step `{at}` (`blocks.{at}`): `{field}` reaches outside: expected its end within the weights section of `{}`, got `{most}`",
                most - 1
            );
            assert_eq!(refusal(plan, arch, 4 * most - 4), expected, "{precision} on {arch}");
        }
    }
    let table = |precision| {
        let out = operand(0, 0, 0, 2, 5);
        let port = |name: &str, dtype, dims: &[u32]| Port {
            name: name.into(),
            dtype,
            dims: dims.iter().copied().map(Dim::Fixed).collect(),
        };
        Plan {
            tensors: vec![Tensor { place: Place::Output(0), rows: 2, cols: 5, stride: 5, tokens: false }],
            inputs: vec![port("ids", Dtype::I64, &[2])],
            outputs: vec![port("out", Dtype::F32, &[2, 5])],
            steps: vec![step("embed", StepOp::Embed(Embed { input: 0, table: 0, vocab: 3, precision, out }))],
            ..Plan::default()
        }
    };
    for (precision, row) in [(Precision::F32, 5), (Precision::F16, 3), (Precision::Int8, 3)] {
        assert_eq!(refusal(table(precision), Arch::Riscv64, 4 * 3 * row), "accepted");
        assert_eq!(
            refusal(table(precision), Arch::Riscv64, 4 * 3 * row - 4),
            format!(
                "step `0` (`embed`): `table` reaches outside: expected its end within the weights section of `{}`, got `{}`",
                3 * row - 1,
                3 * row
            )
        );
    }
}

#[test]
fn int8_sums_have_an_end() {
    let deep = |cols: u32, precision| {
        let tensor = |place, cols| Tensor { place, rows: 1, cols, stride: cols, tokens: false };
        let port = |name: &str, cols| Port {
            name: name.into(),
            dtype: Dtype::F32,
            dims: vec![Dim::Fixed(1), Dim::Fixed(cols)],
        };
        let group = GemmGroup { a_col: 0, k: cols, out_col: 0, n: 1, weights: 0 };
        let gemm = Gemm {
            a: operand(0, 0, 0, 1, cols),
            out: operand(1, 0, 0, 1, 1),
            residual: None,
            act: Activation::None,
            precision,
            groups: vec![group],
        };
        Plan {
            tensors: vec![tensor(Place::Input(0), cols), tensor(Place::Output(0), 1)],
            inputs: vec![port("x", cols)],
            outputs: vec![port("y", 1)],
            steps: vec![Step { name: "deep".into(), op: StepOp::Gemm(gemm) }],
            ..Plan::default()
        }
    };
    let most = MAX_INT8_DEPTH as u32;
    let weights = 1 << 26;
    assert_eq!(refusal(deep(most, Precision::Int8), Arch::X86_64, weights), "accepted");
    assert_eq!(refusal(deep(most + 1, Precision::F16), Arch::X86_64, weights), "accepted");
    assert_eq!(
        refusal(deep(most + 1, Precision::Int8), Arch::X86_64, weights),
        "step `0` (`deep`): `group.k` is out of range: expected at most 2^17 in int8, got `131073`"
    );
}

#[test]
fn the_header_says_what_the_steps_need() {
    let weights = vec![0; 4 * WEIGHTS_BYTES];
    let cases = [
        (Arch::X86_64, Precision::Bf16, Features::AVX512_BF16),
        (Arch::Aarch64, Precision::F16Arith, Features::FP16),
        (Arch::Riscv64, Precision::F16Arith, Features::ZVFH),
    ];
    for (arch, precision, needed) in cases {
        let plan = reduced(precision);
        assert_eq!(plan.features(arch), needed);
        let parts = |features| ArtifactParts { arch, features, target: "t", plan: &plan, weights: &weights };
        let (section, field, expected) = (Section::Header, "features", "all that the steps need");
        let lacking = Error::Field { section, field, expected, found: 0 };
        assert_eq!(write(&parts(Features::NONE)), Err(lacking.clone()));
        let mut file = write(&parts(needed)).unwrap();
        assert_eq!(read(&file).unwrap().header.features, needed);
        file[16..24].fill(0);
        common::repair(&mut file);
        assert_eq!(read(&file), Err(lacking));
    }
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        assert!(Arch::ALL.into_iter().all(|arch| reduced(precision).features(arch).is_empty()));
    }
}

#[test]
fn a_precision_is_one_of_five() {
    let plan = reduced(Precision::Int8);
    let weights = vec![0; 4 * WEIGHTS_BYTES];
    let (arch, features, target) = (Arch::Aarch64, Features::NONE, "t");
    let file = write(&ArtifactParts { arch, features, target, plan: &plan, weights: &weights }).unwrap();
    let zero = reduced(Precision::F32);
    let other = write(&ArtifactParts { arch, features, target, plan: &zero, weights: &weights }).unwrap();
    let (start, len) = common::section(&file, 1);
    let places: Vec<usize> = (start..start + len).filter(|at| file[*at] != other[*at]).collect();
    assert_eq!(places.len(), 3, "one byte a product and recurrence");
    for at in places {
        let mut file = file.clone();
        file[at] = 5;
        common::repair(&mut file);
        assert!(read(&file).unwrap_err().to_string().contains("expected 0 to 4, got `5`"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Sizes are the specification's, panel by panel, and saturate.
    #[test]
    fn sizes(k in 0usize..300, n in 1usize..100, hidden in 1usize..300, arch in prop::sample::select(Arch::ALL.to_vec())) {
        let (panels, lanes) = (n.div_ceil(16) * 16, 4 * hidden.next_multiple_of(8));
        for precision in Precision::ALL {
            let (gemm, lstm) = match precision {
                Precision::F32 => (panels * (k + 1), lanes * hidden),
                Precision::Int8 if arch == Arch::Riscv64 => {
                    let (header, deep) = (2 + k.div_ceil(256), 4 * k.div_ceil(16));
                    (panels * (header + deep), lanes * (2 + 4 * hidden.div_ceil(16)))
                }
                Precision::Int8 => (panels * (k.div_ceil(4) + 2), lanes * (hidden.div_ceil(4) + 1)),
                _ => (panels * (k.div_ceil(2) + 1), lanes * hidden.div_ceil(2)),
            };
            prop_assert_eq!(gemm_weight_len(precision, arch, k, n), gemm);
            prop_assert_eq!(lstm_weight_len(precision, arch, hidden), lstm);
            prop_assert!(gemm_weight_len(precision, arch, usize::MAX, n) >= usize::MAX / 4);
            prop_assert!(lstm_weight_len(precision, arch, usize::MAX) >= usize::MAX / 4);
        }
    }

    /// What is written reads back, whatever the precisions.
    #[test]
    fn plans_of_mixed_precisions_survive(
        picks in prop::collection::vec(prop::sample::select(Precision::ALL.to_vec()), 3),
        arch in prop::sample::select(Arch::ALL.to_vec()),
    ) {
        let mut plan = plan();
        let mut picks = picks.into_iter();
        for step in &mut plan.steps {
            match &mut step.op {
                StepOp::Gemm(gemm) => gemm.precision = picks.next().unwrap(),
                StepOp::Lstm(lstm) => lstm.precision = picks.next().unwrap(),
                _ => {}
            }
        }
        let weights = vec![7; 4 * WEIGHTS_BYTES];
        let features = plan.features(arch);
        let parts = ArtifactParts { arch, features, target: "t", plan: &plan, weights: &weights };
        let known = plan.steps.iter().all(|s| s.op.precision().is_none_or(|p| p.features(arch).is_some()));
        let file = write(&parts);
        prop_assert_eq!(file.is_ok(), known);
        if let Ok(file) = file {
            let artifact = read(&file).unwrap();
            prop_assert_eq!(&*artifact.plan, &plan);
            prop_assert_eq!(artifact.header.features, features);
        }
    }
}
