//! `far-bench-models`: writes the models that are measured, each as ONNX and compiled for a target.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use far_bench::models::{compile, generated};
use farc::precision::Dtype;
use farc::target::Target;

/// Write NAME.onnx, NAME.DTYPE.far and NAME.DTYPE.report.json of the models whose name contains one of the texts, or of all.
///
/// Prints the names. An ONNX file that is there already and the same keeps its time stamp.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Parts of names
    names: Vec<String>,
    /// Folder to write to
    #[arg(short, long, default_value = ".")]
    out: PathBuf,
    /// A board, an architecture, `host`, or a YAML file: as for `farc compile`
    #[arg(long, default_value = "host")]
    target: String,
    /// What to compile for, by commas: as for `farc compile --dtype`
    #[arg(long, value_name = "DTYPE", value_delimiter = ',', default_value = "f32")]
    dtype: Vec<Dtype>,
    /// Only print the names
    #[arg(long)]
    list: bool,
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let wanted =
        |name: &str| cli.names.is_empty() || cli.names.iter().any(|part| name.contains(part.as_str()));
    let target = Target::resolve(&cli.target)?;
    fs::create_dir_all(&cli.out).map_err(|e| format!("cannot create `{}`: {e}", cli.out.display()))?;
    for entry in generated().into_iter().filter(|entry| wanted(&entry.name)) {
        println!("{}", entry.name);
        if cli.list {
            continue;
        }
        let path = |extension: &str| cli.out.join(format!("{}.{extension}", entry.name));
        let onnx = far_models::generate(&entry.config)?.onnx;
        if fs::read(path("onnx")).ok().as_ref() != Some(&onnx) {
            fs::write(path("onnx"), &onnx)?;
        }
        for dtype in &cli.dtype {
            let compiled = compile(&onnx, &target, *dtype).map_err(|e| format!("{}: {e}", entry.name))?;
            fs::write(path(&format!("{dtype}.far")), &compiled.artifact)?;
            fs::write(path(&format!("{dtype}.report.json")), compiled.report.to_json())?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
