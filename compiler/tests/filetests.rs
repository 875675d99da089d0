//! Golden files of the passes, `filetests/PASS/*.ir`: a header `; pass: NAME` (and `; target: NAME`), a graph, a line `; ---`, what the pass
//! reports, and the graph that it makes. `FARC_BLESS=1` writes anew what stands behind the line. Whatever the text,
//! both graphs must mean the same.

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use farc::cost::CostModel;
use farc::ir::text::{Detail, parse, print};
use farc::ir::verify;
use farc::passes::{self, PASSES};

const SEPARATOR: &str = "; ---\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn golden_files() {
    let bless = std::env::var_os("FARC_BLESS").is_some();
    let mut failures = String::new();
    for path in files(&folder()).iter().flat_map(|folder| files(folder)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let (source, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let got = transform(&path, source);
        if got != expected {
            if bless {
                std::fs::write(&path, format!("{}\n{SEPARATOR}{got}", source.trim_end())).unwrap();
            } else {
                writeln!(failures, "{}:\n{got}", path.display()).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "run again with FARC_BLESS=1 and review the change:\n{failures}");
}

fn transform(path: &Path, source: &str) -> String {
    let name = source.lines().next().and_then(|line| line.strip_prefix("; pass: "));
    let name = name.unwrap_or_else(|| panic!("{}: no header `; pass: NAME`", path.display()));
    let folder = path.parent().unwrap().file_name().unwrap();
    assert_eq!(folder.to_str(), Some(name), "{}: a file lies in the folder of its pass", path.display());
    let target = source.lines().find_map(|line| line.strip_prefix("; target: ")).unwrap_or("x86_64");
    let costs = CostModel::of(&farc::target::find(target).unwrap());
    let before =
        parse(source).unwrap_or_else(|error| panic!("{}: {error} {:?}", path.display(), error.place));
    verify(&before).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut after = before.clone();
    let entry = passes::find(name)
        .unwrap()
        .run(&mut after, &costs)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    common::assert_same_meaning(&before, &after, &path.display().to_string());
    let mut text = format!("; changes: {}\n", entry.count);
    let (a, b) = (entry.before, entry.after);
    if (a.multiply_adds, a.weight_bytes) != (b.multiply_adds, b.weight_bytes) {
        writeln!(
            text,
            "; multiply-adds: {} -> {}, bytes: {} -> {}",
            a.multiply_adds, b.multiply_adds, a.weight_bytes, b.weight_bytes
        )
        .unwrap();
    }
    for note in &entry.notes {
        writeln!(text, "; {note}").unwrap();
    }
    text + &print(&after, Detail::Full)
}

#[test]
fn every_pass_has_files_that_show_it_at_work_and_at_rest() {
    for pass in PASSES {
        let texts: Vec<_> = files(&folder().join(pass.name))
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(
            texts.iter().any(|text| !text.contains("; changes: 0\n")),
            "{}: a file where it fires",
            pass.name
        );
        assert!(
            texts.iter().any(|text| text.contains("; changes: 0\n")),
            "{}: a file where it must not",
            pass.name
        );
    }
}
