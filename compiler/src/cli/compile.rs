//! `farc compile`: a model to an artifact, or to the folder that an application links against.
//! May import: `farc`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches};
use farc::emit::{self, Form, Output};
use farc::error::{Error, ErrorKind, Result};
use farc::meta::Description;
use farc::onnx::ImportOptions;
use farc::passes::{PASSES, PassOptions};
use farc::precision::{Dtype, DtypeOptions, F16Arithmetic};
use farc::report;
use farc::target::Target;
use farc::{Options, compile};

use super::calibrate::{self, CalibrateArgs};
use super::model::ModelArgs;
use super::progress::Progress;
use super::{Reply, summary};

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
    #[command(flatten)]
    calibration: CalibrateArgs,
    /// Write what was found, chosen and saved as one page for a browser too
    #[arg(long, value_name = "PAGE.html")]
    report: Option<PathBuf>,
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
    let masks = args.masks.as_deref().map(|path| args.external.masks(path)).transpose()?;
    let import =
        ImportOptions { max_tokens: args.max_tokens, batch: args.batch, ..args.external.import_options() };
    let f16_arithmetic = if args.no_f16_arithmetic { F16Arithmetic::Never } else { F16Arithmetic::Auto };
    let dtype = DtypeOptions { dtype: args.dtype, dtype_for: args.dtype_for, f16_arithmetic };
    let meta = args.meta.as_deref().map(Description::read).transpose()?;
    let mut options = Options { import, passes, dtype, meta };
    let in_file = |e: Error| {
        // An error of the masks or the metadata is in their file.
        let file = match e.kind {
            ErrorKind::BadMask => args.masks.as_ref(),
            ErrorKind::BadMeta => args.meta.as_ref(),
            ErrorKind::BadOption => return e,
            _ => None,
        };
        e.in_file(file.unwrap_or(&args.model))
    };
    let found = args.calibration.run(&model, masks.as_ref(), &target, &options, json).map_err(in_file)?;
    let (chosen, calibration) = found.unzip();
    options.dtype = chosen.unwrap_or(options.dtype);
    let progress = Progress::new(json, format!("compiling {} for {}", args.model.display(), target.name));
    let mut compiled = compile(&model, masks.as_ref(), &target, &options).map_err(in_file)?;
    compiled.report.calibration = calibration;
    emit::write(&output, &compiled.artifact, &compiled.report.to_json(), &target)?;
    if let Some(path) = &args.report {
        let plan = far_format::read(&compiled.artifact)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the artifact is refused: {e}")))?
            .plan;
        let page = report::page(&compiled.report, &plan, &target.cpu.core);
        emit::write_file(path, page.as_bytes(), "report")?;
    }
    drop(progress);
    Ok(Reply::Text(if json {
        compiled.report.to_json()
    } else {
        let text = summary::text(&compiled.report, &target, &output, args.report.as_deref(), start.elapsed());
        text + &compiled.report.calibration.as_ref().map(calibrate::text).unwrap_or_default()
    }))
}

/// `PATTERN=DTYPE`.
fn exception(text: &str) -> Result<(String, Dtype), String> {
    let (pattern, dtype) = text.rsplit_once('=').ok_or("expected `PATTERN=DTYPE`")?;
    let dtype = dtype.parse().map_err(|e: farc::error::Error| e.expected.unwrap_or_default())?;
    Ok((pattern.to_owned(), dtype))
}
