//! `farc compile --calibrate`: its options, its progress, what a person wants to know afterwards. May import:
//! `farc::calibrate`.

use std::io::IsTerminal;
use std::path::PathBuf;

use farc::Options;
use farc::calibrate::{Budget, Calibration, Data, Progress, Score, calibrate};
use farc::error::Result;
use farc::masks::Masks;
use farc::precision::DtypeOptions;
use farc::target::Target;
use indicatif::{ProgressBar, ProgressStyle};

use super::show;

/// Options of a compilation that calibrates.
#[derive(clap::Args)]
pub(super) struct CalibrateArgs {
    /// Run the model on these data, find the layers whose lower precision costs accuracy, and keep the worst in a higher one
    /// until the answers are as good as asked for: a `.npy` file, or a folder of such files
    #[arg(long, value_name = "DIR|X.npy", help_heading = "Calibration")]
    calibrate: Option<PathBuf>,
    /// Most points (parts of a hundred) of the data whose largest output may be another than in f32
    #[arg(long, value_name = "POINTS", requires = "calibrate", value_parser = points, help_heading = "Calibration")]
    max_drop: Option<f64>,
    /// Most that 1 − cosine between the outputs and those of f32 may be, on average; 0.001 unless this or `--max-drop` says
    #[arg(long, value_name = "X", requires = "calibrate", value_parser = error, help_heading = "Calibration")]
    max_error: Option<f64>,
    /// The class of each of the data, so that the accuracy is shown too; `labels.npy` of the folder unless said
    #[arg(long, value_name = "FILE", requires = "calibrate", help_heading = "Calibration")]
    labels: Option<PathBuf>,
}

fn points(text: &str) -> Result<f64, String> {
    let points = text.parse().ok().filter(|points| (0.0..=100.0).contains(points));
    points.ok_or_else(|| "expected `0` to `100` points".into())
}

fn error(text: &str) -> Result<f64, String> {
    let error = text.parse().ok().filter(|error| (0.0..=2.0).contains(error));
    error.ok_or_else(|| "expected `0` (the same direction) to `2` (the opposite)".into())
}

impl CalibrateArgs {
    /// Calibrates, if that was asked for.
    pub(super) fn run(
        &self,
        model: &[u8],
        masks: Option<&Masks>,
        target: &Target,
        options: &Options,
        json: bool,
    ) -> Result<Option<(DtypeOptions, Calibration)>> {
        let Some(path) = &self.calibrate else { return Ok(None) };
        let mut data = Data::read(path)?;
        if let Some(labels) = &self.labels {
            data = data.with_labels(labels)?;
        }
        let budget = match (self.max_error, self.max_drop) {
            (None, None) => Budget::default(),
            (max_error, max_drop) => Budget { max_error, max_drop },
        };
        let bar = bar(json);
        let tell = |progress: Progress<'_>| {
            bar.set_length(progress.of as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(progress.what.to_owned());
        };
        let found = calibrate(model, masks, target, options, &data, &budget, &mut { tell });
        bar.finish_and_clear();
        found.map(Some)
    }
}

/// Moves on a terminal only.
fn bar(json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("calibrating {bar:32} {pos}/{len} {eta} {wide_msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What was found and chosen.
pub(super) fn text(calibration: &Calibration) -> String {
    let Calibration { samples, budget, f32_accuracy, asked, kept, layers, dtype_for, .. } = calibration;
    let mut allowed = Vec::new();
    allowed.extend(budget.max_error.map(|most| format!("an error of {most:e}")));
    allowed.extend(budget.max_drop.map(|most| format!("{most} points")));
    let accuracy =
        f32_accuracy.map_or(String::new(), |accuracy| format!("; accuracy in f32 {accuracy:.2} %"));
    let mut text = format!(
        "\ncalibrated on {samples} inputs, at most {}{accuracy}\n\nas asked   {}\n",
        allowed.join(" and "),
        score(asked)
    );
    match dtype_for.is_empty() {
        true => text += "kept       all layers as asked\n",
        false => text += &format!("kept       {}\n", score(kept)),
    }
    let rows = layers.iter().map(|layer| {
        vec![
            layer.name.clone(),
            layer.op.into(),
            format!("{:.1e}", layer.error_alone),
            layer.kept_as.into(),
            show::bytes(layer.bytes),
        ]
    });
    text += "\n";
    text += &show::table(&["layer", "op", "error alone", "kept as", "bytes"], &[2, 4], rows);
    if !dtype_for.is_empty() {
        let options = dtype_for.iter().map(|exception| format!(" --dtype-for '{exception}'"));
        text += &format!("\nthe same without data:{}\n", options.collect::<String>());
    }
    text
}

fn score(score: &Score) -> String {
    let mut text = format!("error {:.1e} (worst {:.1e})", score.error, score.worst);
    if let Some(drop) = score.drop {
        text += &format!(", another top-1 in {drop:.2} %");
    }
    if let Some(accuracy) = score.accuracy {
        text += &format!(", accuracy {accuracy:.2} %");
    }
    text
}
