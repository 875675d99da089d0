//! `farc verify`: an artifact against the model that it was compiled from, or another artifact. May import: `farc::{verify, masks, onnx}`;
//! far-format, far-tool (.npy).

use std::path::{Path, PathBuf};

use far_engine::SessionOptions;
use far_format::Header;
use far_format::layout::Precision;
use far_tool::npy;
use farc::error::{Error, ErrorKind, Result};
use farc::masks::{Masks, Match};
use farc::onnx::{self, ImportOptions, Imported};
use farc::verify::{
    self, Against, Difference, Given, HostRunner, Layer, Options, Output, Runner, Side, Tolerance, Verdict,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::foreign::{self, QemuRunner};
use super::model::ModelArgs;
use super::progress::Progress;
use super::run::SessionArgs;
use super::{Reply, show};

/// Judge an artifact by an independent f64 run of its ONNX model, output by output and layer by layer
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    #[command(flatten)]
    external: ModelArgs,
    /// The artifact, of whatever architecture
    #[arg(value_name = "ARTIFACT.far")]
    artifact: PathBuf,
    /// The pruning masks that the artifact was compiled with
    #[arg(long, value_name = "FILE")]
    masks: Option<PathBuf>,
    /// An input: .npy (f32, i32 or i64 as the model's); without it seeded noise, token ids and masks. Where sizes vary the
    /// shape says how many tokens and elements
    #[arg(long, value_name = "[NAME=]FILE")]
    input: Vec<String>,
    /// Seed of the inputs that are made
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Runs: how many inputs to make (4 unless said), or how many of those given to use (all unless said)
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Most difference allowed, as a part of the range of an output; unless said what goes with the artifact's precision
    /// (docs/verify.md), and with it a least cosine
    #[arg(long, value_name = "X")]
    tolerance: Option<f64>,
    /// Compare with another artifact of the same model too, of whatever architecture: outputs, and the steps that both
    /// have
    #[arg(long, value_name = "OTHER.far")]
    against: Option<PathBuf>,
    /// Outputs only
    #[arg(long)]
    no_layers: bool,
    #[command(flatten)]
    session: SessionArgs,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let model = args.external.read(&args.model)?;
    let artifact = super::read(&args.artifact, "artifact")?;
    let masks = args.masks.as_deref().map(|path| masks(args, path, &model)).transpose()?;
    let header = foreign::header(&args.artifact)?;
    let options = Options {
        tolerance: args.tolerance,
        seed: args.seed,
        samples: args.samples,
        inputs: args.input.iter().map(|argument| given(argument)).collect::<Result<_>>()?,
        layers: !args.no_layers,
    };
    let runner = runner(header, args.session.threads);
    let progress =
        Progress::new(json, format!("judging {} by {}", args.artifact.display(), args.model.display()));
    let verdict = verify::run(&model, masks.as_deref(), &artifact, &options, &*runner).map_err(|e| {
        let file = match e.kind {
            ErrorKind::BadMask => args.masks.as_ref().unwrap_or(&args.model),
            ErrorKind::BadArtifact | ErrorKind::Mismatch => &args.artifact,
            _ => &args.model,
        };
        e.in_file(file)
    })?;
    let verdict = match &args.against {
        Some(path) => verdict.with(against(args, path, &artifact, &options, &*runner)?),
        None => verdict,
    };
    drop(progress);
    let passed = verdict.passed;
    // Strings, numbers and lists only: nothing that JSON can't say.
    let text =
        if json { serde_json::to_string_pretty(&verdict).unwrap_or_default() + "\n" } else { text(&verdict) };
    match passed {
        true => Ok(Reply::Text(text)),
        false => {
            let error = verdict.into_result().err().map(|e| e.in_file(&args.artifact));
            Ok(Reply::Both(text, error))
        }
    }
}

/// What runs artifacts of that kind.
fn runner(header: Header, threads: usize) -> Box<dyn Runner> {
    match foreign::is_foreign(&header) {
        true => Box::new(QemuRunner { header, threads }),
        false => Box::new(HostRunner { options: SessionOptions { threads, ..SessionOptions::default() } }),
    }
}

fn against(
    args: &Args,
    path: &Path,
    artifact: &[u8],
    options: &Options,
    runner: &dyn Runner,
) -> Result<Against> {
    let other = super::read(path, "artifact")?;
    let other_runner = self::runner(foreign::header(path)?, args.session.threads);
    let sides = (Side { artifact, runner }, Side { artifact: &other, runner: &*other_runner });
    verify::against(sides.0, sides.1, options).map_err(|e| e.in_file(path))
}

/// A mask file as the judge reads it: matrices by the model's own names. The judge reads such files by itself; keep-lists,
/// other containers and other names are brought into that form.
fn masks(args: &Args, path: &Path, model: &[u8]) -> Result<Vec<u8>> {
    let in_masks = |e: Error| e.in_file(path);
    let limits = args.external.mask_limits();
    let bytes = limits.read(path)?;
    let masks = Masks::from_bytes_within(&bytes, &limits).map_err(in_masks)?;
    let Imported { mut graph, origins } =
        onnx::import_parameters(model, &import_options(args)?).map_err(|e| e.in_file(&args.model))?;
    let expanded = masks.expanded(&graph, &origins).map_err(in_masks)?;
    let report = masks.apply(&mut graph, &origins).map_err(in_masks)?;
    let by_path = report.masks.iter().all(|mask| mask.matched == Match::Path);
    let known = |tensor: TensorView<'_>| matches!(tensor.dtype(), Dtype::F32 | Dtype::U8 | Dtype::BOOL);
    let plain = SafeTensors::deserialize(&bytes).is_ok_and(|file| file.iter().all(|(_, t)| known(t)));
    match by_path && plain && masks.is_full() {
        true => Ok(bytes),
        false => expanded.to_safetensors(),
    }
}

/// Sizes that the model leaves open, as the artifact has them.
fn import_options(args: &Args) -> Result<ImportOptions> {
    let artifact = super::read(&args.artifact, "artifact")?;
    let plan = far_format::read(&artifact)
        .map_err(|e| Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}")))?
        .plan;
    let max_tokens = (plan.tokens > 0).then_some(plan.tokens as usize);
    Ok(ImportOptions { max_tokens, ..args.external.import_options() })
}

/// `[NAME=]FILE`; a file of that whole name goes before a name.
fn given(argument: &str) -> Result<Given> {
    let (name, path) = match argument.split_once('=') {
        Some((name, path)) if !Path::new(argument).exists() => (Some(name.to_owned()), path),
        _ => (None, argument),
    };
    let bad = |message: String| Error::new(ErrorKind::BadInput, message).in_file(path);
    let values = npy::read(&super::read(Path::new(path), "input")?).map_err(bad)?;
    Ok(Given { name, values })
}

fn text(verdict: &Verdict) -> String {
    let Verdict { passed, precision, allowed, seed, samples, masks, isa, kernels, outputs, layers, .. } =
        verdict;
    let inputs = match seed {
        Some(seed) => format!("{samples} seeded inputs (seed {seed})"),
        None => format!("{samples} inputs given"),
    };
    let masks = if *masks > 0 { format!(", {masks} masks") } else { String::new() };
    let mut text = format!("{}  on {inputs}{masks}\n", judged(*passed, outputs));
    text += &format!("allowed  {}: {precision}\n", shown(allowed));
    text += &format!("ran      {isa}: {}\n\n", kernels.join(", "));
    text += &tables(outputs, layers, verdict.first_deviating.as_ref(), *samples);
    if let Some(against) = &verdict.against {
        let Against { passed, allowed, target, isa, kernels, outputs, layers, unmatched, .. } = against;
        let word = judged(*passed, outputs);
        text += &format!("\n{word}  from the other artifact, for {target}\n");
        text += &format!("allowed  {}\n", shown(allowed));
        text += &format!("ran      {isa}: {}\n\n", kernels.join(", "));
        text += &tables(outputs, layers, against.first_deviating.as_ref(), *samples);
        if *unmatched > 0 {
            text += &format!("\n{unmatched} steps are not in the other artifact, or in another shape\n");
        }
    }
    text
}

/// What the outputs are called: the same where they differ no more than f32 may, whatever is allowed.
fn judged(passed: bool, outputs: &[Output]) -> String {
    let exact = Tolerance::of(Precision::F32);
    let relative = outputs.iter().map(|output| output.difference.relative).fold(0.0, f64::max);
    let cosine = outputs.iter().map(|output| output.difference.cosine).fold(1.0, f64::min);
    if !passed {
        "DIFFERENT".into()
    } else if outputs.iter().all(|output| exact.allows(&output.difference)) {
        "same".into()
    } else {
        format!("within tolerance: {relative:.1e} of an output's range, cosine {cosine:.6}")
    }
}

fn shown(allowed: &Tolerance) -> String {
    let cosine =
        if allowed.cosine > 0.0 { format!(", a cosine of {}", allowed.cosine) } else { String::new() };
    format!("{:e} of an output's range{cosine}", allowed.tolerance)
}

/// Outputs and layers with how they differ, and the first layer of the model that deviates once more.
fn tables(outputs: &[Output], layers: &[Layer], first: Option<&String>, samples: usize) -> String {
    let cells = |d: &Difference| {
        let ulp = if d.max_ulp == u32::MAX { "NaN".into() } else { d.max_ulp.to_string() };
        [format!("{:.2e}", d.relative), format!("{:.2e}", d.max_abs), ulp, format!("{:.9}", d.cosine)]
    };
    let top1 = |n: &Option<usize>| n.map_or("-".into(), |n| format!("{n} of {samples}"));
    let rows = outputs.iter().map(|output| {
        [vec![output.name.clone()], cells(&output.difference).to_vec(), vec![top1(&output.top1)]].concat()
    });
    let header = ["output", "of range", "largest", "ulp", "cosine", "same top-1"];
    let mut text = show::table(&header, &[1, 2, 3, 4, 5], rows);
    if !layers.is_empty() {
        text += "\n";
        let rows = layers.iter().map(|layer| {
            let mark = if layer.deviates { "differs" } else { "" };
            let precision = layer.precision.unwrap_or("-").to_owned();
            [vec![layer.name.clone(), precision], cells(&layer.difference).to_vec(), vec![mark.into()]]
                .concat()
        });
        let header = ["layer", "weights", "of range", "largest", "ulp", "cosine", ""];
        text += &show::table(&header, &[2, 3, 4, 5], rows);
    }
    if let Some(first) = layers.iter().find(|layer| Some(&layer.name) == first) {
        let [relative, largest, ulp, cosine] = cells(&first.difference);
        text += &format!(
            "\nfirst    `{}` differs by {relative} of its range: at most {largest}, {ulp} ulp; cosine {cosine}\n",
            first.name
        );
    }
    text
}
