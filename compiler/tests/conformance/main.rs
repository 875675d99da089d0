//! The ONNX backend's own node cases for the operators that FAR models are made of, against what farc compiles of them: each
//! gives the case's own numbers, or is refused by an error that names what. The table is docs/conformance.md.
//!
//! The cases are made at test time by `cases.py` with the `onnx` package; where there is none, the test says so and passes.
//! `FARC_BLESS=1` writes the table anew.

#![allow(clippy::result_large_err)] // as in farc itself

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use far_engine::{Extent, Input};
use farc::error::Error;
use farc::target::Target;
use farc::{Options, compile};
use serde::Deserialize;

/// Largest difference allowed, relative to the number: the cases are computed in f32.
const TOLERANCE: f64 = 1e-5;

/// Cases have one element and a fixed number of tokens.
const ONE: Extent = Extent { batch: 1, tokens: 0 };

#[derive(Deserialize)]
struct Index {
    /// Of the `onnx` package.
    version: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    operator: String,
    name: String,
    several_outputs: bool,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    input: Array,
    outputs: Vec<Array>,
}

#[derive(Deserialize)]
struct Array {
    dims: Vec<usize>,
    data: Vec<f64>,
}

/// What came of a case.
enum Outcome {
    Passes,
    /// Refused as it is; the first output alone passes.
    FirstPasses(Error),
    Refused(Error),
}

impl Outcome {
    fn describe(&self) -> String {
        match self {
            Self::Passes => "passes".into(),
            Self::FirstPasses(error) => {
                format!("passes without its optional outputs; with them: {}", text(error))
            }
            Self::Refused(error) => format!("refused: {}", text(error)),
        }
    }
}

/// The error on one line of a table.
fn text(error: &Error) -> String {
    let mut text = error.what.clone();
    if let (Some(expected), Some(got)) = (&error.expected, &error.got) {
        write!(text, ": expected {expected}, got {got}").expect("a string takes all");
    }
    text.replace('|', "\\|")
}

/// The cases, or why there are none.
fn index(folder: &Path) -> Result<Index, String> {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases.py");
    let known = Command::new(&python).args(["-c", "import onnx"]).output();
    match known {
        Err(e) => return Err(format!("`{}` can't be started: {e}", python.display())),
        Ok(output) if !output.status.success() => return Err("Python has no package `onnx`".into()),
        Ok(_) => {}
    }
    let output =
        Command::new(&python).arg("-B").arg(script).arg(folder).output().expect("it was there a moment ago");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(folder.join("index.json")).expect("the script has written it");
    Ok(serde_json::from_str(&text).expect("the script writes JSON"))
}

/// Compiles the model and runs it on each input. Panics if a number is wrong.
fn run(onnx: &Path, case: &Case) -> Result<(), Error> {
    let target = Target::resolve("host").expect("the host is known");
    let onnx = fs::read(onnx).expect("the script has written it");
    let artifact = compile(&onnx, None, &target, &Options::default())?.artifact;
    let plan = far_format::read(&artifact).expect("a sound artifact").plan;
    let model = far_engine::Model::from_bytes(&artifact).expect("a model");
    let mut session = far_engine::Session::new(model, &Default::default()).expect("a session");
    for run in &case.runs {
        let input: Vec<f32> = run.input.data.iter().map(|v| *v as f32).collect();
        let mut outputs: Vec<Vec<f32>> =
            plan.outputs.iter().map(|port| vec![f32::NAN; port.elements(1, 0)]).collect();
        let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        session.run_extent(ONE, &[Input::F32(&input)], &mut slices).expect("a run");
        for ((got, right), port) in outputs.iter().zip(&run.outputs).zip(&plan.outputs) {
            let dims: Vec<usize> = port.dims.iter().map(|d| d.of(1, 0)).collect();
            assert_eq!(dims, right.dims, "{}", case.name);
            for (got, right) in got.iter().zip(&right.data) {
                let difference = (f64::from(*got) - right).abs();
                let close = difference <= TOLERANCE * (1.0 + right.abs());
                assert!(close, "{}: {got} instead of {right}", case.name);
            }
        }
    }
    Ok(())
}

fn outcome(folder: &Path, case: &Case) -> Outcome {
    let Err(error) = run(&folder.join(format!("{}.onnx", case.name)), case) else { return Outcome::Passes };
    if case.several_outputs && run(&folder.join(format!("{}.first.onnx", case.name)), case).is_ok() {
        return Outcome::FirstPasses(error);
    }
    Outcome::Refused(error)
}

const INTRODUCTION: &str = "# Conformance

What farc makes of the ONNX backend's own node cases for the operators that FAR models are made of. Each gives the case's own
numbers or is refused by an error that says what; the test `conformance` of package `farc` makes the cases anew with the
`onnx` package and fails if one gives other numbers, or if this page says something else.

farc compiles models, not nodes, so a case's inputs after the first are made constants, as weights are, and a batch of
several sequences of an LSTM is given one sequence at a time. Names that end in `_expanded` are the operator spelled out in
primitives, as its definition in the standard has it.
";

fn page(index: &Index, outcomes: &[Outcome]) -> String {
    let mut tables: BTreeMap<&str, Vec<(&Case, &Outcome)>> = BTreeMap::new();
    for (case, outcome) in index.cases.iter().zip(outcomes) {
        tables.entry(&case.operator).or_default().push((case, outcome));
    }
    let mut page = INTRODUCTION.to_owned();
    write!(page, "\nCases of version {} of the package.\n", index.version).expect("a string takes all");
    for (operator, rows) in tables {
        let passed = rows.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Refused(_))).count();
        write!(
            page,
            "\n## {operator}: {passed} of {} pass\n\n| case | outcome |\n| --- | --- |\n",
            rows.len()
        )
        .expect("a string takes all");
        for (case, outcome) in rows {
            let name = case.name.strip_prefix("test_").unwrap_or(&case.name);
            writeln!(page, "| `{name}` | {} |", outcome.describe()).expect("a string takes all");
        }
    }
    page
}

/// Says something that is seen although the test passes.
fn say(what: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "conformance: {what}");
}

#[test]
fn each_case_passes_or_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = match index(folder.path()) {
        Ok(index) => index,
        Err(why) => return say(&format!("SKIPPED: {why}; install it with `pip install onnx`")),
    };
    assert!(index.cases.len() > 50, "{} cases", index.cases.len());
    let outcomes: Vec<Outcome> = index.cases.iter().map(|case| outcome(folder.path(), case)).collect();
    let page = page(&index, &outcomes);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    if std::env::var_os("FARC_BLESS").is_some() {
        fs::write(&path, &page).expect("docs/ can be written");
    }
    let shown = fs::read_to_string(&path).expect("the page is there");
    if !shown.contains(&format!("version {} of the package", index.version)) {
        return say(&format!(
            "the page is of another version of `onnx` than {}: not compared",
            index.version
        ));
    }
    for (shown, page) in shown.lines().zip(page.lines()) {
        assert_eq!(shown, page, "docs/conformance.md: FARC_BLESS=1 writes it anew");
    }
    assert_eq!(
        shown.lines().count(),
        page.lines().count(),
        "docs/conformance.md: FARC_BLESS=1 writes it anew"
    );
}
