//! `far verify`: whether an artifact is sound, and answers as a reference does. May import: `far_tool`, `far_format`.

use far_tool::verify::{self, Report, Sound};
use far_tool::{Error, Result, npy};

use super::Reply;
use super::args::{Args, model_error};

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let file = args.read_model()?;
    let signed = args.verify(&file)?;
    let artifact =
        far_format::read_within(&file, &args.limits).map_err(|error| model_error(args.model(), error))?;
    let sound = Sound::of(&artifact, file.len());
    let mut comparisons = Vec::new();
    if !args.golden.is_empty() {
        let inputs = artifact.plan.inputs.len();
        if args.golden.len() <= inputs {
            let expected = format!("the model's {inputs} inputs, then one output or more");
            return Err(Error::Usage(format!(
                "`--golden`: expected {expected}, got `{}` files",
                args.golden.len()
            )));
        }
        let mut arrays = Vec::new();
        for path in &args.golden {
            let wrong = |message| Error::Array { path: path.clone(), message };
            arrays.push(npy::read(&super::read(path)?).map_err(wrong)?);
        }
        let golden = arrays.split_off(inputs);
        let (mut session, _) = args.open()?;
        comparisons = verify::golden(&mut session, arrays, &golden)?;
    }
    let report = Report { signed, sound, comparisons, tolerance: args.tolerance };
    let text = if args.json { format!("{}\n", report.json()) } else { report.text() };
    Ok(Reply { text, good: report.passed() })
}
