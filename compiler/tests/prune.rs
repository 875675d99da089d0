//! `farc::prune` on real and generated models: goals are met and no more is pruned than that takes; what the masks say is
//! what a compilation finds; and how accurate a pruned model is without fine-tuning.

#[path = "common/size.rs"]
mod size;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use far_models::{Config, Form, Projection, Pruning, Size, generate};
use farc::error::ErrorKind;
use farc::masks::Masks;
use farc::onnx::ImportOptions;
use farc::prune::{Goal, Importance, Options, Part, Pruned, prune};
use farc::target::Target;
use farc::{Compiled, compile};
use ndarray::{Array, Ix1, Ix4};
use ndarray_npy::read_npy;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use size::SMALL;

const HEADS: usize = 3;
const CLASSES: usize = 10;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn model(name: &str) -> Vec<u8> {
    fs::read(example(name)).expect("the example is there")
}

fn host() -> Target {
    Target::resolve("host").expect("a target")
}

fn options(goal: Goal, importance: Importance, mlp: bool) -> Options {
    Options { goal, importance, mlp, dtype: farc::precision::Dtype::F32, import: ImportOptions::default() }
}

fn pruned(model: &[u8], goal: Goal, mlp: bool) -> Pruned {
    let options = options(goal, Importance::Relative, mlp);
    prune(model, &host(), &options).unwrap_or_else(|e| panic!("{e} {e:?}"))
}

fn compiled(model: &[u8], masks: Option<&Masks>) -> Compiled {
    compile(model, masks, &host(), &farc::Options::default()).unwrap_or_else(|e| panic!("{e} {e:?}"))
}

fn small(form: Form, projection: Projection) -> Vec<u8> {
    let config = Config { form, projection, pruning: Pruning::None, seed: 11, ..Config::new(SMALL) };
    generate(&config).expect("a model").onnx
}

#[test]
fn masks_prune_what_the_report_says() {
    for (form, projection) in [
        (Form::Monolithic, Projection::HeadPost),
        (Form::Monolithic, Projection::Single),
        (Form::Parallel, Projection::HeadPost),
        (Form::Parallel, Projection::Single),
    ] {
        let model = small(form, projection);
        let name = format!("{form:?} {projection:?}");
        let Pruned { masks, report } = pruned(&model, Goal::Sparsity(0.5), false);
        assert_eq!((report.units, report.kept), (96, 48), "{name}");
        let found = compiled(&model, Some(&masks)).report;
        assert_eq!(found.totals.multiply_adds, report.after.multiply_adds, "{name}");
        assert_eq!(found.totals.predicted_ms, report.after.predicted_ms, "{name}");
        assert_eq!(found.compiled.hidden_units, 48, "{name}");
        assert_eq!(report.rows.len(), 12, "{name}: {:#?}", report.rows);
        let expected = (0..2).flat_map(|block| {
            (0..HEADS).flat_map(move |head| ["forward", "reverse"].map(|direction| (block, head, direction)))
        });
        for (row, (block, head, direction)) in report.rows.iter().zip(expected) {
            assert_eq!(row.block, format!("blocks.{block}"), "{name}");
            assert_eq!((row.head, row.direction, row.of), (Some(head), Some(direction), 8), "{name}");
        }
        for block in ["blocks.0.", "blocks.1."] {
            let kept = report.rows.iter().filter(|row| block.starts_with(&row.block)).map(|row| row.kept);
            let left = found.kept.iter().filter(|kept| kept.node.starts_with(block)).map(|kept| kept.hidden);
            assert_eq!(left.sum::<usize>(), kept.sum::<usize>(), "{name}: {block}");
        }
        let file = masks.to_safetensors().expect("a file");
        assert_eq!(Masks::from_bytes(&file).expect("masks"), masks, "{name}");
    }
}

#[test]
fn all_forms_of_a_model_are_pruned_alike() {
    let kept = |form, projection| {
        let report = pruned(&small(form, projection), Goal::Sparsity(0.4), false).report;
        report.rows.iter().map(|row| row.kept).collect::<Vec<_>>()
    };
    let expected = kept(Form::Monolithic, Projection::HeadPost);
    assert_eq!(kept(Form::Parallel, Projection::HeadPost), expected);
    assert_eq!(kept(Form::Parallel, Projection::Single), kept(Form::Monolithic, Projection::Single));
}

#[test]
fn goals_are_met_with_the_fewest_units() {
    let model = small(Form::Monolithic, Projection::HeadPost);
    let before = pruned(&model, Goal::Sparsity(0.0), true).report.before;
    let goals = [
        Goal::Parameters(before.parameters * 7 / 10),
        Goal::MultiplyAdds(before.multiply_adds * 7 / 10),
        Goal::LatencyMs(before.predicted_ms * 0.92),
    ];
    for goal in goals {
        let report = pruned(&model, goal, true).report;
        let met = |cost: &farc::prune::Cost| match goal {
            Goal::Sparsity(_) => true,
            Goal::Parameters(most) => cost.parameters <= most,
            Goal::MultiplyAdds(most) => cost.multiply_adds <= most,
            Goal::LatencyMs(most) => cost.predicted_ms <= most,
        };
        assert!(met(&report.after) && !met(&report.before), "{goal:?}: {report:#?}");
        let one_less = (report.units - report.kept - 1) as f64 / report.units as f64;
        assert!(!met(&pruned(&model, Goal::Sparsity(one_less), true).report.after), "{goal:?}");
    }
    let enough = pruned(&model, Goal::MultiplyAdds(before.multiply_adds), true).report;
    assert_eq!(enough.kept, enough.units, "nothing to do");
}

#[test]
fn something_always_stays_and_goals_may_be_out_of_reach() {
    let model = small(Form::Parallel, Projection::Single);
    let options = |goal| options(goal, Importance::Relative, true);
    let most = pruned(&model, Goal::Sparsity(1.0 - 4.0 / 128.0), true).report;
    assert_eq!(most.kept, 4, "a unit of each mixer and each MLP");
    for part in [Part::Mixer, Part::Mlp] {
        for block in ["blocks.0", "blocks.1"] {
            let rows = most.rows.iter().filter(|row| row.part == part && row.block == block);
            assert_eq!(rows.map(|row| row.kept).sum::<usize>(), 1, "{part:?} {block}");
        }
    }
    for goal in [
        Goal::Sparsity(1.0),
        Goal::Sparsity(f64::NAN),
        Goal::Sparsity(-0.1),
        Goal::Parameters(10),
        Goal::MultiplyAdds(1),
        Goal::LatencyMs(1e-9),
        Goal::LatencyMs(f64::NAN),
    ] {
        let error = prune(&model, &host(), &options(goal)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfReach, "{goal:?}: {error}");
        assert!(error.expected.is_some() && error.got.is_some(), "{error}");
    }
    let attention = small(Form::Attention, Projection::HeadPost);
    let only_lstms = Options { mlp: false, ..options(Goal::Sparsity(0.5)) };
    assert_eq!(prune(&attention, &host(), &only_lstms).unwrap_err().kind, ErrorKind::OutOfReach);
    assert_eq!(pruned(&attention, Goal::Sparsity(0.5), true).report.kept, 16);
}

#[test]
fn units_that_are_dead_already_go_first() {
    let size = Size { heads: 2, width: 8, ..Size::TINY };
    let size = Size { image: 8, patch: 4, channels: 1, hidden: 8, depth: 2, mlp: 8, classes: 3, ..size };
    let config = Config { pruning: Pruning::Zeros { fraction: 0.5 }, ..Config::new(size) };
    let model = generate(&config).expect("a model").onnx;
    let dead = compiled(&model, None).report;
    let part = 1.0 - dead.compiled.hidden_units as f64 / dead.imported.hidden_units as f64;
    let report = pruned(&model, Goal::Sparsity(part), false).report;
    assert_eq!(report.after, report.before, "{report:#?}");
}

/// The part of the images that are classified right.
fn accuracy(artifact: &[u8]) -> f64 {
    let images: Array<f32, Ix4> = read_npy(example("images.npy")).expect("images");
    let labels: Array<i64, Ix1> = read_npy(example("labels.npy")).expect("labels");
    let model = far_engine::Model::from_bytes(artifact).expect("a model");
    let mut session = far_engine::Session::new(model, &Default::default()).expect("a session");
    let images = images.as_slice().expect("standard layout").chunks_exact(28 * 28);
    let right = images.zip(&labels).filter(|(image, label)| {
        let mut logits = [f32::NAN; CLASSES];
        session.run(&[*image], &mut [&mut logits]).expect("a run");
        let best = (0..CLASSES).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        best == usize::try_from(**label).ok()
    });
    right.count() as f64 / labels.len() as f64
}

/// The shipped masks say which units of the monolithic form live: as keep-lists for the parallel form, of which the
/// former was made by pruning and fine-tuning.
fn shipped_for_parallel() -> Masks {
    let file = model("far-pruned-dense.masks.safetensors");
    let file = SafeTensors::deserialize(&file).expect("masks");
    let mut lists: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, mask) in file.iter() {
        let Some((module, direction)) = name.split_once(".lstm.weight_hh_l0") else { continue };
        let hidden = mask.shape()[1];
        let rows = mask.data().chunks(hidden).take(hidden);
        let keep: Vec<u8> = rows.map(|row| u8::from(row.iter().any(|byte| *byte != 0))).collect();
        for (head, keep) in keep.chunks(hidden / HEADS).enumerate() {
            lists.insert(format!("{module}.l.{head}.keep_l0{direction}"), keep.to_vec());
        }
    }
    let views = lists.iter().map(|(name, keep)| {
        (name.as_str(), TensorView::new(Dtype::U8, vec![keep.len()], keep).expect("a tensor"))
    });
    Masks::from_bytes(&serialize(views, None).expect("a file")).expect("masks")
}

/// The figures of `docs/prune.md`.
#[test]
#[allow(clippy::print_stdout)] // they are what it is run for
fn accuracy_without_fine_tuning() {
    let parallel = model("far-parallel.onnx");
    let tuned = model("far-pruned-dense.onnx");
    let score = |title: &str, model: &[u8], masks: Option<&Masks>| {
        let found = compiled(model, masks);
        let (units, part) = (found.report.compiled.hidden_units, accuracy(&found.artifact));
        println!("{title:32} {units:3} units, {:4.1} %", 100.0 * part);
        part
    };
    let ours = |model: &[u8], sparsity, importance| {
        let options = options(Goal::Sparsity(sparsity), importance, false);
        prune(model, &host(), &options).unwrap_or_else(|e| panic!("{e} {e:?}")).masks
    };
    let shipped = Masks::read(&example("far-pruned-dense.masks.safetensors")).expect("masks");
    println!("before pruning and fine-tuning:");
    let dense = score("dense", &parallel, None);
    score("shipped masks", &parallel, Some(&shipped_for_parallel()));
    for sparsity in [0.1, 0.3, 0.5] {
        let masks = ours(&parallel, sparsity, Importance::Relative);
        let part = score(&format!("relative, sparsity {sparsity}"), &parallel, Some(&masks));
        let masks = ours(&parallel, sparsity, Importance::Absolute);
        let absolute = score(&format!("absolute, sparsity {sparsity}"), &parallel, Some(&masks));
        assert!(sparsity > 0.3 || part > absolute, "{sparsity}: relative {part}, absolute {absolute}");
        assert!(sparsity > 0.3 || part > dense - 0.02, "{part}");
        assert!(sparsity < 0.5 || absolute > dense - 0.04, "{absolute}, dense {dense}");
    }
    println!("after:");
    score("shipped masks", &tuned, Some(&shipped));
    score("relative, sparsity 0.5", &tuned, Some(&ours(&tuned, 0.5, Importance::Relative)));
    let again = ours(&tuned, 0.5, Importance::Absolute);
    assert!(again == shipped, "the norms find again what was pruned at training");
}

fn farc(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farc"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1");
    command
}

fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = farc(folder, arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn from_the_command_line_to_a_verified_artifact() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("model.onnx"), small(Form::Monolithic, Projection::HeadPost)).expect("a model");
    let prune = ["prune", "model.onnx", "--sparsity", "0.6", "--mlp", "-o", "m.safetensors"];
    let text = prints(folder, &[&prune[..], &["--table", "--svg", "heat.svg"]].concat());
    for part in ["51 of 128 hidden units", "direction", "blocks.1", "reverse", "heat.svg"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    assert!(fs::read_to_string(folder.join("heat.svg")).expect("a picture").starts_with("<svg "));
    let report: serde_json::Value =
        serde_json::from_str(&prints(folder, &[&prune[..], &["--json"]].concat())).expect("JSON");
    assert_eq!((&report["units"], &report["kept"]), (&128.into(), &51.into()));
    assert_eq!(report["goal"]["sparsity"], 0.6);

    let compile =
        ["compile", "model.onnx", "--masks", "m.safetensors", "--target", "host", "-o", "model.far"];
    let compiled: serde_json::Value =
        serde_json::from_str(&prints(folder, &[&compile[..], &["--json"]].concat())).expect("JSON");
    assert_eq!(compiled["masks"]["masks"][0]["matched"], "path");
    assert_eq!(compiled["totals"]["multiply_adds"], report["after"]["multiply_adds"]);
    prints(folder, &["verify", "model.onnx", "model.far", "--masks", "m.safetensors"]);

    let matches = prints(folder, &["inspect", "model.onnx", "--masks", "m.safetensors"]);
    assert!(matches.contains("blocks.0.attn.lstm.weight_hh_l0_reverse"), "{matches}");
    assert!(matches.contains("matched by") && matches.contains("path"), "{matches}");
}

#[test]
fn the_command_line_refuses_what_makes_no_sense() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("model.onnx"), small(Form::Monolithic, Projection::HeadPost)).expect("a model");
    let fails = |arguments: &[&str], code, part: &str| {
        let all = [&["prune", "model.onnx", "-o", "m.safetensors"], arguments].concat();
        let output = farc(folder, &all).assert().code(code).get_output().clone();
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains(part), "no `{part}` in:\n{error}");
        assert!(!folder.join("m.safetensors").exists() && !folder.join("heat.svg").exists());
    };
    fails(&[], 2, "--sparsity");
    fails(&["--sparsity", "0.5", "--macs", "1M"], 2, "cannot be used with");
    fails(&["--latency", "2"], 2, "--target");
    fails(&["--params", "many"], 2, "expected a number such as");
    fails(&["--macs", "1", "--svg", "heat.svg"], 1, "out-of-reach");
    fails(&["--sparsity", "1.5"], 2, "`0` to `1`");
    fails(&["--latency", "2", "--target", "toaster"], 1, "unknown-target");
}

/// Keep-lists and npz are brought into the form that the judge reads.
#[test]
fn keep_lists_are_verified_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let masks = shipped_for_parallel();
    fs::write(folder.join("keep.safetensors"), masks.to_safetensors().expect("a file")).expect("a file");
    let model = example("far-parallel.onnx");
    let model = model.to_str().expect("a plain path");
    let masks = ["--masks", "keep.safetensors"];
    prints(folder, &[&["compile", model, "--target", "host", "-o", "m.far"], &masks[..]].concat());
    prints(folder, &[&["verify", model, "m.far", "--samples", "1", "--no-layers"], &masks[..]].concat());
    let without = farc(folder, &["verify", model, "m.far", "--samples", "1", "--no-layers"]).assert().code(1);
    assert!(!without.get_output().stdout.is_empty());
}
