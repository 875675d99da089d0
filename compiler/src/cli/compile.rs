//! `farc compile`: a model to an artifact, or to the folder that an application links against.
//! May import: `farc`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches};
use farc::emit::{self, Form, Output};
use farc::error::{ErrorKind, Result};
use farc::masks::Masks;
use farc::meta::Description;
use farc::onnx::ImportOptions;
use farc::passes::{PASSES, PassOptions};
use farc::precision::{Dtype, DtypeOptions, F16Arithmetic};
use farc::report::{Calls, Report};
use farc::target::Target;
use farc::{Options, compile};
use indicatif::ProgressBar;

use super::model::ModelArgs;
use super::{Reply, show};

/// Compile an ONNX model for a target
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    #[command(flatten)]
    external: ModelArgs,
    /// A board, an architecture, `host`, or a path to a YAML file; `farc targets` lists them
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// Pruning masks: 0/1 matrices by parameter name, or keep-lists of hidden units; safetensors or npz
    #[arg(long, value_name = "FILE")]
    masks: Option<PathBuf>,
    /// What the artifact says of itself: description, labels, how an image becomes an input; YAML or JSON
    #[arg(long, value_name = "FILE")]
    meta: Option<PathBuf>,
    /// Most tokens of a call, where the model leaves their number open; shorter calls cost proportionally less
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Elements of a batch: up to N where the model leaves it open (1 unless said), exactly the model's where it is fixed
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// How weights are stored and multiplied: `f32`, `f16`, `bf16` (x86-64 with AVX-512 only) or `int8`
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: Dtype,
    /// Another dtype for the modules that a pattern fits, e.g. `blocks.*.mlp.fc1=f32`; may be repeated, the last that fits
    /// counts
    #[arg(long, value_name = "PATTERN=DTYPE", value_parser = exception)]
    dtype_for: Vec<(String, Dtype)>,
    /// Compute in f32 where `f16` would compute in half precision, so that the bits are those of every other machine
    #[arg(long)]
    no_f16_arithmetic: bool,
    /// A name that ends in `.far` gets the artifact alone; one in `.o` or `.c` the artifact as a constant, with a header
    /// beside it; any other becomes a folder with artifact, headers, libraries and report
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// The form of the output; by default what its name says
    #[arg(long, value_enum, value_name = "FORM")]
    emit: Option<Emit>,
}

/// As on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Emit {
    /// model.far alone
    Far,
    /// An object file for the linker: constants `far_model_NAME` and `far_model_NAME_size`, with NAME.h
    Obj,
    /// The same in C
    C,
    /// model.far, include/, lib/TRIPLE/ and report.json
    Folder,
}

impl From<Emit> for Form {
    fn from(emit: Emit) -> Form {
        match emit {
            Emit::Far => Form::Far,
            Emit::Obj => Form::Object,
            Emit::C => Form::C,
            Emit::Folder => Form::Folder,
        }
    }
}

/// Adds `--no-PASS` for each pass, so that the option list is the list of passes.
pub(super) fn with_pass_options(command: clap::Command) -> clap::Command {
    let passes: BTreeSet<_> = PASSES.iter().map(|pass| (pass.name, pass.about)).collect();
    command.mut_subcommand("compile", |compile| {
        passes.into_iter().fold(compile, |compile, (name, about)| {
            compile.arg(
                Arg::new(name)
                    .long(option(name))
                    .action(ArgAction::SetTrue)
                    .help(format!("Don't {about}"))
                    .help_heading("Passes to leave out"),
            )
        })
    })
}

fn option(pass: &str) -> String {
    format!("no-{}", pass.replace('_', "-"))
}

pub(super) fn run(args: Args, matches: Option<&ArgMatches>, json: bool) -> Result<Reply> {
    let start = Instant::now();
    let target = Target::resolve(&args.target)?;
    let output = Output::of(&args.output, args.emit.map(Form::from))?;
    let mut passes = PassOptions::default();
    for pass in PASSES {
        if matches.is_some_and(|m| m.get_flag(pass.name)) {
            passes = passes.without(pass.name)?;
        }
    }
    let model = args.external.read(&args.model)?;
    let masks = args.masks.as_deref().map(Masks::read).transpose()?;
    let import = ImportOptions { max_tokens: args.max_tokens, batch: args.batch, ..ImportOptions::default() };
    let f16_arithmetic = if args.no_f16_arithmetic { F16Arithmetic::Never } else { F16Arithmetic::Auto };
    let dtype = DtypeOptions { dtype: args.dtype, dtype_for: args.dtype_for, f16_arithmetic };
    let meta = args.meta.as_deref().map(Description::read).transpose()?;
    let options = Options { import, passes, dtype, meta };
    let progress = progress(json);
    progress.set_message(format!("compiling {} for {}", args.model.display(), target.name));
    let compiled = compile(&model, masks.as_ref(), &target, &options).map_err(|e| {
        // An error of the masks or the metadata is in their file.
        let file = match e.kind {
            ErrorKind::BadMask => args.masks.as_ref(),
            ErrorKind::BadMeta => args.meta.as_ref(),
            _ => None,
        };
        e.in_file(file.unwrap_or(&args.model))
    })?;
    emit::write(&output, &compiled.artifact, &compiled.report.to_json(), &target)?;
    progress.finish_and_clear();
    Ok(Reply::Text(if json {
        compiled.report.to_json()
    } else {
        summary(&compiled.report, &target, &output, start.elapsed())
    }))
}

/// `PATTERN=DTYPE`.
fn exception(text: &str) -> Result<(String, Dtype), String> {
    let (pattern, dtype) = text.rsplit_once('=').ok_or("expected `PATTERN=DTYPE`")?;
    let dtype = dtype.parse().map_err(|e: farc::error::Error| e.expected.unwrap_or_default())?;
    Ok((pattern.to_owned(), dtype))
}

/// Moves on a terminal only.
fn progress(json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// How large calls may be.
fn extents(calls: &Calls) -> String {
    let batch = match (calls.batch, calls.batch_fixed) {
        (1, _) => "1 element".to_owned(),
        (most, true) => format!("{most} elements"),
        (most, false) => format!("1 to {most} elements"),
    };
    let each = if calls.masked { ", in each as many as its mask has ones" } else { "" };
    match calls.tokens {
        0 => batch,
        most => format!("{batch} of 1 to {most} tokens{each}"),
    }
}

/// What a person wants to know afterwards.
fn summary(report: &Report, target: &Target, output: &Output, time: Duration) -> String {
    let (before, after, totals) = (report.imported, report.compiled, &report.totals);
    let mut lines = Vec::new();
    let mut line = |title: &str, text: String| lines.push(format!("{title:10} {text}\n"));
    let name = if report.model.is_empty() { "the model" } else { &report.model };
    line("compiled", format!("{name} for {} ({}) in {:.2} s", target.name, target.arch, time.as_secs_f64()));
    let calls = report.calls;
    if calls.tokens > 0 || calls.batch > 1 {
        line("calls", extents(&calls));
    }
    line(
        "found",
        format!(
            "{} recurrent blocks, {} heads × directions, {} hidden units; {} attention blocks",
            after.layers, after.recurrences, before.hidden_units, after.attentions
        ),
    );
    line("pruned", format!("{} of {} hidden units are left", after.hidden_units, before.hidden_units));
    line(
        "work",
        format!(
            "{} multiply-adds as imported, {} as compiled",
            show::millions(totals.imported_multiply_adds),
            show::millions(totals.multiply_adds)
        ),
    );
    line(
        "artifact",
        format!(
            "{}, of which weights {}",
            show::bytes(totals.artifact_bytes),
            show::bytes(totals.weight_bytes)
        ),
    );
    let precisions = totals.precisions.iter();
    let precisions =
        precisions.map(|p| format!("{} in {} of {} steps", show::bytes(p.bytes), p.precision, p.steps));
    line("weights", precisions.collect::<Vec<_>>().join(", "));
    line("memory", format!("{} of arena for each session", show::bytes(totals.arena_bytes)));
    line("predicted", format!("{:.2} ms a run on one core ({})", totals.predicted_ms, target.cpu.core));
    line(
        "wrote",
        match output {
            Output::File(path) => path.display().to_string(),
            Output::Object(path, _) | Output::C(path, _) => {
                format!("{}, {}", path.display(), path.with_extension("h").display())
            }
            Output::Folder(path) => {
                let lib = format!("lib/{}/", target.triple);
                format!("{}: model.far, include/, {lib}, report.json", path.display())
            }
        },
    );
    lines.concat()
}
