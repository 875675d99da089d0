//! `farc inspect --why`: what each rewrite chose for a target, and what that saved. May import: `farc`.

use std::path::Path;

use farc::error::{ErrorKind, Result};
use farc::masks::Masks;
use farc::onnx::ImportOptions;
use farc::passes::Saved;
use farc::report::Report;
use farc::target::Target;
use farc::{Options, compile};

use super::show;

/// Compiles a model without writing it, and says why it became what it is.
pub(super) fn run(
    model: &[u8],
    import: ImportOptions,
    masks: Option<(&Path, Masks)>,
    target: &str,
    json: bool,
) -> Result<String> {
    let target = Target::resolve(target)?;
    let (path, masks) = masks.unzip();
    let options = Options { import, ..Options::default() };
    let report =
        compile(model, masks.as_ref(), &target, &options).map(|compiled| compiled.report).map_err(|e| {
            match path {
                Some(path) if e.kind == ErrorKind::BadMask => e.in_file(path),
                _ => e,
            }
        })?;
    if !json {
        return Ok(text(&report, &target));
    }
    let json = serde_json::json!({
        "model": report.model,
        "target": report.target,
        "passes": report.passes.passes,
        "gate_scaling": report.gate_scaling,
        "totals": report.totals,
    });
    Ok(format!("{json:#}\n"))
}

fn text(report: &Report, target: &Target) -> String {
    let mut text = format!("compiled for {} ({})\n\n", target.name, target.cpu.core);
    let rows = report.passes.passes.iter().map(|entry| {
        let by = if entry.by_cost { "cost" } else { "always" };
        let mut cells = vec![entry.pass.to_owned(), by.to_owned(), entry.count.to_string()];
        cells.extend(saved(&entry.saved));
        cells
    });
    let scaling = &report.gate_scaling;
    let scaled = vec![
        "gate scaling".into(),
        "always".into(),
        String::new(),
        format!("{} multiplications", show::millions(scaling.multiplications)),
        "0".into(),
        format!("{:.3} ms", scaling.predicted_ms),
    ];
    let header =
        ["rewrite", "chosen by", "changes", "multiply-adds saved", "bytes saved", "predicted time saved"];
    text += &show::table(&header, &[2, 3, 4, 5], rows.chain([scaled]));
    for entry in report.passes.passes.iter().filter(|entry| !entry.notes.is_empty()) {
        text += &format!("\n{}\n", entry.pass);
        for note in &entry.notes {
            text += &format!("  {note}\n");
        }
    }
    text + &format!("\npredicted  {:.3} ms a run on one core\n", report.totals.predicted_ms)
}

/// A difference as people read it; nothing where there is none.
fn saved(saved: &Saved) -> [String; 3] {
    let count = |n: i64, show: &dyn Fn(u64) -> String| match n {
        0 => "0".into(),
        1.. => show(n.unsigned_abs()),
        _ => format!("−{}", show(n.unsigned_abs())),
    };
    let time = match saved.predicted_ms {
        0.0 => "0".into(),
        ms => format!("{ms:.3} ms").replace('-', "−"),
    };
    [count(saved.multiply_adds, &show::millions), count(saved.weight_bytes, &show::bytes), time]
}
