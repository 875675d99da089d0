//! What an artifact says about itself. May import: `json`.

use std::collections::BTreeMap;

use far_format::Artifact;
use far_format::cpu::Arch;
use far_format::layout::{Precision, gemm_weight_len, lstm_weight_len, table_row_len};
use far_format::plan::{Dim, Plan, Port, StepOp};

use crate::json::Json;

/// The name of a step's operation.
pub fn op_name(op: &StepOp) -> &'static str {
    match op {
        StepOp::Gemm(_) => "gemm",
        StepOp::Lstm(_) => "lstm",
        StepOp::LayerNorm(_) => "layer_norm",
        StepOp::Attention(_) => "attention",
        StepOp::Patches(_) => "patches",
        StepOp::Map { .. } => "map",
        StepOp::Add { .. } => "add",
        StepOp::Copy { .. } => "copy",
        StepOp::MeanRows { .. } => "mean_rows",
        StepOp::Embed(_) => "embed",
        StepOp::Normalize { .. } => "normalize",
    }
}

/// The steps whose weights are of one precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// How they are stored and multiplied.
    pub precision: Precision,
    /// How many steps.
    pub steps: usize,
    /// Bytes of their weights, each counted once.
    pub bytes: u64,
}

/// How the weights of products, recurrences and tables are stored. Constants and the parameters of norms are f32 beside them.
pub fn stored(plan: &Plan, arch: Arch) -> Vec<Stored> {
    let mut known: BTreeMap<Precision, (usize, BTreeMap<u64, usize>)> = BTreeMap::new();
    for step in &plan.steps {
        let Some(precision) = step.op.precision() else { continue };
        let (steps, words) = known.entry(precision).or_default();
        *steps += 1;
        match &step.op {
            StepOp::Gemm(gemm) => words.extend(gemm.groups.iter().map(|group| {
                (group.weights, gemm_weight_len(precision, arch, group.k as usize, group.n as usize))
            })),
            StepOp::Lstm(lstm) => words.extend(
                lstm.units
                    .iter()
                    .map(|unit| (unit.weights, lstm_weight_len(precision, arch, unit.hidden as usize))),
            ),
            StepOp::Embed(embed) => {
                let row = table_row_len(precision, embed.out.cols as usize).unwrap_or_default();
                words.insert(embed.table, row.saturating_mul(embed.vocab as usize));
            }
            _ => {}
        }
    }
    let stored = known.into_iter().map(|(precision, (steps, words))| {
        let words: u64 = words.values().map(|len| *len as u64).sum();
        Stored { precision, steps, bytes: 4 * words }
    });
    stored.collect()
}

/// For programs.
pub fn json(artifact: &Artifact<'_>) -> Json {
    let (header, plan) = (&artifact.header, &artifact.plan);
    let port = |port: &Port| {
        let dims = port.dims.iter().map(|dim| match dim {
            Dim::Fixed(len) => (*len).into(),
            dim => dim.to_string().as_str().into(),
        });
        Json::Object(vec![
            ("name", port.name.as_str().into()),
            ("dtype", port.dtype.name().into()),
            ("dims", Json::List(dims.collect())),
        ])
    };
    let batch = vec![("most", plan.batch.most.into()), ("fixed", plan.batch.fixed.into())];
    let lengths = plan.lengths.and_then(|n| plan.inputs.get(n as usize));
    let steps = plan.steps.iter();
    let steps = steps.map(|step| {
        let precision = step.op.precision().map(Precision::name);
        Json::Object(vec![
            ("name", step.name.as_str().into()),
            ("op", op_name(&step.op).into()),
            ("precision", precision.into()),
        ])
    });
    let stored = stored(plan, header.arch).into_iter().map(|stored| {
        Json::Object(vec![
            ("precision", stored.precision.name().into()),
            ("steps", stored.steps.into()),
            ("bytes", stored.bytes.into()),
        ])
    });
    Json::Object(vec![
        ("version", u64::from(header.version).into()),
        ("model", plan.model.as_str().into()),
        ("target", header.target.as_str().into()),
        ("arch", header.arch.name().into()),
        ("features", Json::list(header.features.names())),
        ("inputs", Json::List(plan.inputs.iter().map(port).collect())),
        ("outputs", Json::List(plan.outputs.iter().map(port).collect())),
        ("batch", Json::Object(batch)),
        ("tokens", (plan.tokens > 0).then_some(plan.tokens).into()),
        ("lengths", lengths.map(|port| port.name.as_str()).into()),
        ("arena_bytes", plan.arena_bytes.into()),
        ("weights_bytes", artifact.weights.len().into()),
        ("precisions", Json::List(stored.collect())),
        ("tensors", plan.tensors.len().into()),
        ("steps", Json::List(steps.collect())),
    ])
}

/// For people.
pub fn text(artifact: &Artifact<'_>) -> String {
    let (header, plan) = (&artifact.header, &artifact.plan);
    let mut lines = vec![
        format!("model     {}", plan.model),
        format!("target    {} ({}, needs features: {})", header.target, header.arch, header.features),
        format!("format    version {}", header.version),
    ];
    for (side, ports) in [("input ", &plan.inputs), ("output", &plan.outputs)] {
        for port in ports {
            let dims: Vec<String> = port.dims.iter().map(Dim::to_string).collect();
            lines.push(format!("{side}    {} {} [{}]", port.name, port.dtype, dims.join(", ")));
        }
    }
    if plan.batch.most > 1 {
        let least = if plan.batch.fixed { plan.batch.most } else { 1 };
        lines.push(format!("batch     {least} to {}", plan.batch.most));
    }
    if plan.tokens > 0 {
        let mask = plan.lengths.and_then(|n| plan.inputs.get(n as usize));
        let mask = mask.map_or(String::new(), |port| format!(", an element's own by {}", port.name));
        lines.push(format!("tokens    1 to {}{mask}", plan.tokens));
    }
    lines.push(format!("weights   {} bytes", artifact.weights.len()));
    for Stored { precision, steps, bytes } in stored(plan, header.arch) {
        lines.push(format!("          {bytes} bytes of {steps} steps in {precision}"));
    }
    lines.push(format!("arena     {} bytes", plan.arena_bytes));
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in plan.steps.iter().map(|step| op_name(&step.op)) {
        match counts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    lines.push(format!("steps     {}: {}", plan.steps.len(), counts.join(", ")));
    lines.push(String::new());
    lines.join("\n")
}
