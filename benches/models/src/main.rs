//! `far-models`: writes seeded DeiT, FAR-DeiT and text encoder models to files.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use far_models::{Blocks, Config, Form, Gelu, Projection, Pruning, Size, text};

/// Write a seeded DeiT, FAR-DeiT or MiniLM-like model as ONNX, and its masks.
///
/// Same options, same bytes. Forms of one seed are the same function: monolithic, parallel and (with the same --prune
/// fraction) masks, zeros and ragged differ only in how they say it.
#[derive(Parser)]
#[command(name = "far-models", version)]
struct Cli {
    /// Dimensions to start from
    model: Model,
    /// How the LSTM reaches ONNX
    #[arg(long, value_enum, default_value = "monolithic")]
    form: FormArg,
    /// What follows the LSTM: `head-post`, or the older dense `single`
    #[arg(long, value_enum, default_value = "head-post")]
    projection: ProjectionArg,
    /// Dead hidden units: `none`, `masks:F`, `zeros:F` or `ragged:F` with F from 0 to 1
    #[arg(long, default_value = "none", value_parser = pruning)]
    prune: Pruning,
    /// Blocks to replace, from 0, by commas; all unless given
    #[arg(long, value_delimiter = ',')]
    replace: Option<Vec<usize>>,
    /// Form of GELU
    #[arg(long, value_enum, default_value = "erf")]
    gelu: GeluArg,
    /// ONNX operator set, 11 to 21
    #[arg(long, default_value_t = 17)]
    opset: i64,
    /// Write LayerNorm and GELU as primitives whatever the operator set
    #[arg(long)]
    decomposed: bool,
    /// Images of a batch; 0 leaves their number open
    #[arg(long, default_value = "1")]
    batch: Option<usize>,
    /// Seed of the numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    size: SizeArgs,
    /// File name without extension; made from the options unless given
    #[arg(long)]
    name: Option<String>,
    /// Folder to write NAME.onnx and NAME.masks.safetensors to
    #[arg(short, long, default_value = ".")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Model {
    #[value(name = "deit-tiny")]
    Tiny,
    #[value(name = "deit-small")]
    Small,
    #[value(name = "deit-base")]
    Base,
    #[value(name = "minilm")]
    MiniLm,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormArg {
    Attention,
    Monolithic,
    Parallel,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProjectionArg {
    HeadPost,
    Single,
}

#[derive(Clone, Copy, ValueEnum)]
enum GeluArg {
    Erf,
    Tanh,
}

/// Dimensions other than the model's.
#[derive(Args)]
#[command(next_help_heading = "Dimensions")]
struct SizeArgs {
    /// Height and width of the image in pixels
    #[arg(long)]
    image: Option<usize>,
    /// Height and width of a patch in pixels
    #[arg(long)]
    patch: Option<usize>,
    /// Channels of the image
    #[arg(long)]
    channels: Option<usize>,
    /// Model width
    #[arg(long)]
    width: Option<usize>,
    /// Heads
    #[arg(long)]
    heads: Option<usize>,
    /// Hidden units of one head and direction; width / heads unless given
    #[arg(long)]
    hidden: Option<usize>,
    /// Blocks
    #[arg(long)]
    depth: Option<usize>,
    /// Hidden units of the MLP; 4 · width unless given
    #[arg(long)]
    mlp: Option<usize>,
    /// Logits
    #[arg(long)]
    classes: Option<usize>,
    /// Add a distillation token and its head
    #[arg(long)]
    distilled: bool,
    /// Rows of the table of tokens
    #[arg(long)]
    vocabulary: Option<usize>,
    /// Rows of the table of positions
    #[arg(long)]
    positions: Option<usize>,
}

impl SizeArgs {
    fn apply(&self, base: Size) -> Size {
        let width = self.width.unwrap_or(base.width);
        let heads = self.heads.unwrap_or(base.heads);
        Size {
            image: self.image.unwrap_or(base.image),
            patch: self.patch.unwrap_or(base.patch),
            channels: self.channels.unwrap_or(base.channels),
            width,
            heads,
            hidden: self.hidden.unwrap_or(width / heads.max(1)),
            depth: self.depth.unwrap_or(base.depth),
            mlp: self.mlp.unwrap_or(width.saturating_mul(4)),
            classes: self.classes.unwrap_or(base.classes),
            distilled: self.distilled,
        }
    }
}

fn pruning(text: &str) -> Result<Pruning, String> {
    let (kind, fraction) = text.split_once(':').unwrap_or((text, ""));
    if kind == "none" && fraction.is_empty() {
        return Ok(Pruning::None);
    }
    let fraction = fraction.parse().map_err(|_| format!("expected KIND:FRACTION, got `{text}`"))?;
    match kind {
        "masks" => Ok(Pruning::Masks { fraction }),
        "zeros" => Ok(Pruning::Zeros { fraction }),
        "ragged" => Ok(Pruning::Ragged { fraction }),
        _ => Err(format!("expected `none`, `masks:F`, `zeros:F` or `ragged:F`, got `{text}`")),
    }
}

impl Cli {
    fn config(&self) -> Config {
        let base = match self.model {
            Model::Tiny => Size::TINY,
            Model::Small => Size::SMALL,
            Model::Base => Size::BASE,
            Model::MiniLm => text::Config::MINILM,
        };
        Config {
            size: self.size.apply(base),
            form: match self.form {
                FormArg::Attention => Form::Attention,
                FormArg::Monolithic => Form::Monolithic,
                FormArg::Parallel => Form::Parallel,
            },
            projection: match self.projection {
                ProjectionArg::HeadPost => Projection::HeadPost,
                ProjectionArg::Single => Projection::Single,
            },
            pruning: self.prune,
            replaced: self.replace.clone().map_or(Blocks::All, Blocks::Only),
            gelu: match self.gelu {
                GeluArg::Erf => Gelu::Erf,
                GeluArg::Tanh => Gelu::Tanh,
            },
            opset: self.opset,
            decomposed: self.decomposed,
            seed: self.seed,
            batch: self.batch.filter(|batch| *batch > 0),
        }
    }

    /// The text encoder, if it is one.
    fn text(&self) -> Option<text::Config> {
        let Model::MiniLm = self.model else { return None };
        let blocks = self.config();
        let plain = text::Config::new(blocks.size.clone());
        Some(text::Config {
            vocabulary: self.size.vocabulary.unwrap_or(plain.vocabulary),
            positions: self.size.positions.unwrap_or(plain.positions),
            blocks: Config { size: plain.blocks.size, ..blocks },
            ..text::Config::new(Size::SMALL)
        })
    }

    /// For example `far-deit-tiny-monolithic-masks50`.
    fn file_name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let word = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map(|v| v.get_name().to_owned()).unwrap_or_default()
        };
        let model = word(&|| self.model.to_possible_value());
        if matches!(self.form, FormArg::Attention) {
            return model;
        }
        let mut name = format!("far-{model}-{}", word(&|| self.form.to_possible_value()));
        if matches!(self.projection, ProjectionArg::Single) {
            name.push_str("-single");
        }
        let (kind, fraction) = match self.prune {
            Pruning::None => return name,
            Pruning::Masks { fraction } => ("masks", fraction),
            Pruning::Zeros { fraction } => ("zeros", fraction),
            Pruning::Ragged { fraction } => ("ragged", fraction),
        };
        format!("{name}-{kind}{}", (fraction * 100.0).round())
    }
}

/// Writes the files and prints their paths.
fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let text = cli.text();
    let config = text.as_ref().map_or_else(|| cli.config(), |text| text.blocks.clone());
    fs::create_dir_all(&cli.out)
        .map_err(|e| format!("cannot make the folder `{}`: {e}", cli.out.display()))?;
    let name = cli.file_name();
    let onnx = cli.out.join(format!("{name}.onnx"));
    if let Pruning::Masks { .. } = config.pruning {
        let masks = cli.out.join(format!("{name}.masks.safetensors"));
        far_models::write_masks(&config, &masks)?;
        println!("{}", masks.display());
    }
    write_aside(&onnx, |to| match &text {
        Some(text) => Ok(text::write(text, to)?),
        None => Ok(far_models::write(&config, to)?),
    })?;
    println!("{}", onnx.display());
    Ok(())
}

/// Writes a file beside `path` and renames it when it is complete.
fn write_aside(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let aside = path.with_extension(format!("onnx.{}.part", std::process::id()));
    let attempt = || -> Result<(), Box<dyn Error>> {
        let file = File::create(&aside).map_err(|e| format!("cannot create `{}`: {e}", aside.display()))?;
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        to.flush()?;
        fs::rename(&aside, path).map_err(|e| format!("cannot rename to `{}`: {e}", path.display()))?;
        Ok(())
    };
    attempt().inspect_err(|_| {
        // The first error is the one to report; a file that was never made can't be removed.
        let _ = fs::remove_file(&aside);
    })
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
