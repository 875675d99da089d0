//! `farc inspect`: what is in a file. May import: `farc::{onnx, ir, masks, passes, report}`; far-format, far-tool.

use std::path::PathBuf;

use far_format::layout::Precision;
use far_format::plan::StepOp;
use farc::error::{Error, ErrorKind, Result};
use farc::ir::text::{self, Detail};
use farc::masks::MaskReport;
use farc::onnx::{self, ImportOptions, Imported, ModelInfo, TensorInfo};
use farc::report;

use super::model::ModelArgs;
use super::{Reply, show, why};

/// Say what is in an ONNX model or an artifact
#[derive(clap::Args)]
pub(super) struct Args {
    /// An ONNX model or a `.far` artifact
    file: PathBuf,
    #[command(flatten)]
    external: ModelArgs,
    /// Import the ONNX model and print its graph, constants as shape and checksum
    #[arg(long)]
    ir: bool,
    /// Say which parameter of the ONNX model each entry of a mask file fits, and how that was found
    #[arg(long, value_name = "FILE", conflicts_with = "ir")]
    masks: Option<PathBuf>,
    /// Compile the ONNX model (with `--masks`, if given) without writing anything, and say what was rewritten, why, and
    /// what it saved
    #[arg(long, conflicts_with = "ir")]
    why: bool,
    /// What `--why` compiles for: a board, an architecture, `host` (unless said), or a path to a YAML file
    #[arg(long, value_name = "TARGET", requires = "why")]
    target: Option<String>,
    /// Most tokens of a call, where the model leaves their number open
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Elements of a batch, where the model leaves their number open
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let bytes = args.external.read(&args.file)?;
    let text = match bytes.starts_with(&far_format::MAGIC) {
        true => artifact(args, &bytes, json),
        false => model(args, &bytes, json),
    };
    text.map(Reply::Text).map_err(|e| e.in_file(&args.file))
}

fn artifact(args: &Args, bytes: &[u8], json: bool) -> Result<String> {
    if args.ir || args.why || args.masks.is_some() {
        return Err(Error::new(ErrorKind::BadInput, "an artifact has no graph any more, only steps")
            .hint("leave out `--ir`, `--why` and `--masks`, or give the ONNX model"));
    }
    let artifact = far_format::read(bytes)
        .map_err(|e| Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}")))?;
    if json {
        return Ok(format!("{}\n", far_tool::info::json(&artifact)));
    }
    let rows = artifact.plan.steps.iter().enumerate().map(|(i, step)| {
        let out = report::output(&step.op);
        let size = format!("{}×{}", out.rows, out.cols);
        vec![
            i.to_string(),
            step.name.clone(),
            far_tool::info::op_name(&step.op).into(),
            size,
            step.op.precision().map_or("", Precision::name).into(),
            detail(&step.op),
        ]
    });
    let table = show::table(&["step", "module", "op", "out", "weights", ""], &[0, 3], rows);
    Ok(format!("{}\n{table}", far_tool::info::text(&artifact)))
}

fn detail(op: &StepOp) -> String {
    match op {
        StepOp::Gemm(gemm) => {
            let act = match gemm.act {
                far_format::layout::Activation::None => String::new(),
                act => format!(", {act:?}").to_lowercase(),
            };
            let residual = if gemm.residual.is_some() { ", residual" } else { "" };
            let k: Vec<String> = match gemm.groups.len() {
                0..=4 => gemm.groups.iter().map(|g| format!("{}→{}", g.k, g.n)).collect(),
                n => vec![format!("{n} groups")],
            };
            format!("{}{act}{residual}", k.join(" "))
        }
        StepOp::Lstm(lstm) => {
            let units: Vec<String> = lstm
                .units
                .iter()
                .map(|u| format!("{}{}", u.hidden, if u.reverse { "←" } else { "→" }))
                .collect();
            units.join(" ")
        }
        StepOp::Attention(attention) => format!("{} heads", attention.heads),
        StepOp::Embed(embed) => format!("{} rows", embed.vocab),
        _ => String::new(),
    }
}

fn model(args: &Args, bytes: &[u8], json: bool) -> Result<String> {
    let options =
        ImportOptions { max_tokens: args.max_tokens, batch: args.batch, ..args.external.import_options() };
    if args.ir {
        let graph = onnx::import(bytes, &options)?;
        let text = text::print(&graph, Detail::Summary);
        return Ok(if json { format!("{}\n", serde_json::json!({ "ir": text })) } else { text });
    }
    if args.why {
        let target = args.target.as_deref().unwrap_or("host");
        let masks = args.masks.as_deref().map(|path| Ok((path, args.external.masks(path)?))).transpose()?;
        return why::run(bytes, options, masks, target, json);
    }
    if let Some(path) = &args.masks {
        let Imported { mut graph, origins } = onnx::import_parameters(bytes, &options)?;
        let report = args.external.masks(path)?.apply(&mut graph, &origins).map_err(|e| e.in_file(path))?;
        return Ok(match json {
            true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
            false => matches(&report),
        });
    }
    let info = onnx::inspect(bytes, &options)?;
    Ok(match json {
        // Strings, numbers and lists only: nothing that JSON can't say.
        true => serde_json::to_string_pretty(&info).unwrap_or_default() + "\n",
        false => describe(&info),
    })
}

fn matches(report: &MaskReport) -> String {
    let dims = |dims: &[usize]| dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    let rows = report.masks.iter().map(|mask| {
        vec![
            mask.parameter.clone(),
            mask.node.clone(),
            mask.matched.describe().into(),
            dims(&mask.dims),
            mask.masked.to_string(),
            mask.zeroed.to_string(),
        ]
    });
    show::table(&["mask", "module", "matched by", "shape", "pruned", "not zero before"], &[3, 4, 5], rows)
}

fn describe(info: &ModelInfo) -> String {
    let mut text = format!("model     {} (ONNX, IR version {})\n", info.name, info.ir_version);
    text += &format!("producer  {}\n", info.producer);
    let opsets: Vec<String> =
        info.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    text += &format!("opsets    {}\n", opsets.join(", "));
    let port = |t: &TensorInfo| format!("{} {} [{}]\n", t.name, t.dtype, t.dims.join(", "));
    for input in &info.inputs {
        text += &format!("input     {}", port(input));
    }
    for output in &info.outputs {
        text += &format!("output    {}", port(output));
    }
    text += &format!("parameters {}\n\n", info.parameters);
    let mut ops: Vec<(&String, &usize)> = info.ops.iter().collect();
    ops.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
    text + &show::table(
        &["op", "nodes"],
        &[1],
        ops.into_iter().map(|(op, n)| vec![op.clone(), n.to_string()]),
    )
}
