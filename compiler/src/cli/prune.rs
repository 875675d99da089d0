//! `farc prune`: masks for a model, by what its hidden units count. May import: `farc`.

use std::path::PathBuf;

use farc::emit;
use farc::error::{Error, ErrorKind, Result};
use farc::precision::Dtype;
use farc::prune::{self, Goal, Importance, Options, Part, Report, Row};
use farc::target::Target;

use super::model::ModelArgs;
use super::progress::Progress;
use super::{Reply, show};

/// Make pruning masks: drop the hidden units that matter least until a goal is met
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    #[command(flatten)]
    external: ModelArgs,
    #[command(flatten)]
    goal: GoalArgs,
    /// What the cost is predicted for: a board, an architecture, `host` (unless said), or a path to a YAML file
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// What the cost is predicted in: `f32`, `f16`, `bf16` or `int8`, as for `farc compile`
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: Dtype,
    /// Compare the norms of units in all of the model, not only in their block: for models that were trained with a
    /// regulariser over these norms
    #[arg(long)]
    absolute: bool,
    /// Prune hidden units of the MLPs too
    #[arg(long)]
    mlp: bool,
    /// Where the masks go: safetensors
    #[arg(short, long, value_name = "MASKS.safetensors", value_parser = output)]
    output: PathBuf,
    /// Say what is kept of each block, head and direction
    #[arg(long)]
    table: bool,
    /// Draw what is kept of each block, head and direction
    #[arg(long, value_name = "HEAT.svg")]
    svg: Option<PathBuf>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct GoalArgs {
    /// Prune this part of all hidden units, 0 to 1
    #[arg(long, value_name = "F", value_parser = part)]
    sparsity: Option<f64>,
    /// Prune until so many weights and biases are left, e.g. `4.2M`
    #[arg(long, value_name = "N", value_parser = count)]
    params: Option<u64>,
    /// Prune until one run takes so many multiply-adds, e.g. `850M`
    #[arg(long, value_name = "N", value_parser = count)]
    macs: Option<u64>,
    /// Prune until one run is predicted to take so many milliseconds on one core of `--target`
    #[arg(long, value_name = "MS", requires = "target", value_parser = milliseconds)]
    latency: Option<f64>,
}

impl GoalArgs {
    fn goal(&self) -> Option<Goal> {
        let GoalArgs { sparsity, params, macs, latency } = self;
        (sparsity.map(Goal::Sparsity))
            .or(params.map(Goal::Parameters))
            .or(macs.map(Goal::MultiplyAdds))
            .or(latency.map(Goal::LatencyMs))
    }
}

/// From none to all.
fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "expected `0` to `1`".into())
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let ms = text.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms > 0.0);
    ms.ok_or_else(|| "expected a number of milliseconds above `0`".into())
}

/// A name that says another format would be a lie.
fn output(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|end| end.eq_ignore_ascii_case("npz")) {
        true => Err("masks are written as safetensors, not as npz".into()),
        false => Ok(path),
    }
}

/// A number, in thousands, millions or billions with `k`, `M` or `G` behind it.
fn count(text: &str) -> Result<u64, String> {
    let units = [('k', 1e3), ('M', 1e6), ('G', 1e9)];
    let unit = units.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(*suffix)?, *unit)));
    let (number, unit) = unit.unwrap_or((text, 1.0));
    let value: f64 = number.parse().map_err(|_| "expected a number such as `850M`".to_owned())?;
    let value = (value * unit).round();
    match (0.0..=1e18).contains(&value) {
        true => Ok(value as u64),
        false => Err("expected `0` to `1e18`".into()),
    }
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let goal = args.goal.goal();
    let goal =
        goal.ok_or_else(|| Error::new(ErrorKind::Internal, "a command line without a goal was let through"))?;
    let target = Target::resolve(args.target.as_deref().unwrap_or("host"))?;
    let model = args.external.read(&args.model)?;
    let importance = if args.absolute { Importance::Absolute } else { Importance::Relative };
    let options = Options {
        goal,
        importance,
        mlp: args.mlp,
        dtype: args.dtype,
        import: args.external.import_options(),
    };
    let progress = Progress::new(json, format!("pruning {} for {}", args.model.display(), target.name));
    let pruned = prune::prune(&model, &target, &options).map_err(|e| e.in_file(&args.model))?;
    drop(progress);
    if let Some(path) = &args.svg {
        emit::write_file(path, prune::svg(&pruned.report).as_bytes(), "picture")?;
    }
    emit::write_file(&args.output, &pruned.masks.to_safetensors()?, "mask file")?;
    Ok(Reply::Text(match json {
        // Strings, numbers and lists only: nothing that JSON can't say.
        true => serde_json::to_string_pretty(&pruned.report).unwrap_or_default() + "\n",
        false => summary(args, &pruned.report, &target),
    }))
}

/// What a person wants to know afterwards.
fn summary(args: &Args, report: &Report, target: &Target) -> String {
    let Report { before, after, .. } = report;
    let mut text = format!("{:10} {} of {} hidden units\n", "kept", report.kept, report.units);
    let mut change = |title: &str, before: String, after: String| {
        text += &format!("{title:10} {before} → {after}\n");
    };
    change("parameters", show::millions(before.parameters), show::millions(after.parameters));
    change(
        "work",
        show::millions(before.multiply_adds),
        show::millions(after.multiply_adds) + " multiply-adds",
    );
    let core = format!(" ms a run on one core ({}, {})", target.name, target.cpu.core);
    change("predicted", format!("{:.2}", before.predicted_ms), format!("{:.2}{core}", after.predicted_ms));
    if report.kept == report.units && !matches!(report.goal, Goal::Sparsity(_)) {
        text += &format!("{:10} the model meets the goal as it is\n", "nothing");
    }
    for skipped in &report.skipped {
        text += &format!("{:10} {}: {}\n", "not pruned", skipped.node, skipped.why);
    }
    text += &format!("{:10} {}\n", "wrote", args.output.display());
    if let Some(path) = &args.svg {
        text += &format!("{:10} {}\n", "wrote", path.display());
    }
    if args.table {
        text += "\n";
        text += &show::table(
            &["block", "part", "head", "direction", "kept", "of", "importance"],
            &[2, 4, 5, 6],
            report.rows.iter().map(cells),
        );
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.block.clone(),
        match row.part {
            Part::Mixer => "mixer".into(),
            Part::Mlp => "mlp".into(),
        },
        row.head.map(|head| head.to_string()).unwrap_or_default(),
        row.direction.unwrap_or_default().into(),
        row.kept.to_string(),
        row.of.to_string(),
        format!("{:.3}", row.importance),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_units() {
        assert_eq!(count("850M"), Ok(850_000_000));
        assert_eq!(count("4.2k"), Ok(4200));
        assert_eq!(count("17"), Ok(17));
        for bad in ["", "M", "-1", "nan", "1e30", "12Q"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_have_ranges() {
        assert_eq!((part("0.25"), milliseconds("1e2")), (Ok(0.25), Ok(100.0)));
        for bad in ["-0.1", "1.5", "nan", "half"] {
            assert!(part(bad).is_err(), "{bad}");
        }
        for bad in ["0", "-1", "inf", "nan", "soon"] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
        assert!(output("masks.npz").is_err() && output("masks.safetensors").is_ok());
    }
}
