//! What an artifact says about itself. May import: `json`.

use std::collections::BTreeMap;

use far_format::Artifact;
use far_format::cpu::Arch;
use far_format::layout::{Precision, gemm_weight_len, lstm_weight_len, table_row_len};
use far_format::meta::{Image, Meta, Resize};
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
        ("meta", meta_json(plan)),
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

/// The metadata, with the ports that it speaks of by name.
fn meta_json(plan: &Plan) -> Json {
    let Meta { description, info, labels, image } = &plan.meta;
    let info = info.iter().map(|entry| (entry.key.as_str().into(), entry.value.as_str().into()));
    let labels = labels.as_ref().map(|labels| {
        let output = plan.outputs.get(labels.output as usize).map(|port| port.name.as_str());
        Json::Object(vec![
            ("output", output.into()),
            ("names", Json::list(labels.names.iter().map(String::as_str))),
        ])
    });
    let image = image.as_ref().map(|image| {
        let input = plan.inputs.get(image.input as usize).map(|port| port.name.as_str());
        let mut fields = vec![
            ("input", input.into()),
            ("layout", image.layout.name().into()),
            ("color", image.color.name().into()),
            ("resize", image.resize.name().into()),
        ];
        match image.resize {
            Resize::Stretch => {}
            Resize::Crop { shorter } => fields.push(("shorter", shorter.into())),
            Resize::Pad { value } => fields.push(("pad", u32::from(value).into())),
        }
        fields.extend([
            ("filter", image.filter.name().into()),
            ("scale", image.scale.into()),
            ("mean", Json::list(image.channels.iter().map(|channel| channel.mean))),
            ("std", Json::list(image.channels.iter().map(|channel| channel.std))),
        ]);
        Json::Object(fields)
    });
    Json::Object(vec![
        ("description", description.as_str().into()),
        ("info", Json::Map(info.collect())),
        ("labels", labels.into()),
        ("image", image.into()),
    ])
}

/// The metadata for people: nothing where there is none.
fn meta_lines(plan: &Plan) -> Vec<String> {
    let Meta { description, info, labels, image } = &plan.meta;
    let mut lines = Vec::new();
    if !description.is_empty() {
        lines.push(format!("about     {description}"));
    }
    lines.extend(info.iter().map(|entry| format!("{:9} {}", entry.key, entry.value)));
    if let Some(labels) = labels {
        let first: Vec<&str> = labels.names.iter().take(3).map(String::as_str).collect();
        let more = if labels.names.len() > first.len() { ", …" } else { "" };
        lines.push(format!("labels    {}: {}{more}", labels.names.len(), first.join(", ")));
    }
    lines.extend(image.as_ref().map(|image| format!("image     {}", image_text(image))));
    lines
}

fn image_text(image: &Image) -> String {
    let resize = match image.resize {
        Resize::Stretch => "stretched".to_owned(),
        Resize::Crop { shorter } => format!("shorter side to {shorter}, middle cut out"),
        Resize::Pad { value } => format!("whole, the rest {value}"),
    };
    let numbers = |of: fn(&far_format::meta::Normalization) -> f32| {
        image.channels.iter().map(|channel| of(channel).to_string()).collect::<Vec<_>>().join(" ")
    };
    let mean = numbers(|channel| channel.mean);
    let std = numbers(|channel| channel.std);
    format!(
        "{} {}, {resize} ({}), × {}, − mean {mean}, / std {std}",
        image.color.name(),
        image.layout.name(),
        image.filter.name(),
        image.scale
    )
}

/// For people.
pub fn text(artifact: &Artifact<'_>) -> String {
    let (header, plan) = (&artifact.header, &artifact.plan);
    let mut lines = vec![
        format!("model     {}", plan.model),
        format!("target    {} ({}, needs features: {})", header.target, header.arch, header.features),
        format!("format    version {}", header.version),
    ];
    lines.extend(meta_lines(plan));
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
        let name = if steps == 1 { "step" } else { "steps" };
        lines.push(format!("          {bytes} bytes of {steps} {name} in {precision}"));
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
