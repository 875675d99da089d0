//! `--limit`: what is accepted of a model.

mod common;

use common::{artifact, bad, folder, good, host};

const COMMANDS: [&str; 5] = [
    "info model.far",
    "verify model.far",
    "bench model.far --runs 1 --warmup 0",
    "run model.far --input a.npy --input b.f32",
    "install model.far place.far",
];

#[test]
fn more_than_accepted_is_refused() {
    let folder = folder();
    let size = artifact(host()).len();
    for command in COMMANDS {
        for (limit, what, found) in [
            (format!("file-size={}", size - 1), "bytes of the file", size),
            ("tensors=3".into(), "tensors", 4),
            ("steps=1".into(), "steps", 2),
            ("batch=0".into(), "elements of a batch", 1),
        ] {
            let error = bad(folder.path(), &format!("{command} --limit {limit}"), 1);
            let (_, most) = limit.split_once('=').unwrap();
            let expected =
                format!("model.far`: more {what} than accepted: expected at most `{most}`, got `{found}`");
            assert!(
                error.contains(&expected) && error.contains("hint: raise `--limit`"),
                "{command}: {error}"
            );
        }
    }
    assert!(!folder.path().join("place.far").exists());
}

#[test]
fn as_much_as_accepted_is_not() {
    let folder = folder();
    let limits = format!("--limit file-size={} --limit steps=2 --limit tensors=4", artifact(host()).len());
    for command in COMMANDS.into_iter().filter(|command| !command.starts_with("run")) {
        good(
            folder.path(),
            &format!("{command} {limits} --limit arena-size=1000000 --limit tokens=1 --limit batch=1"),
        );
    }
}

#[test]
fn another_limit_is_a_mistake_of_usage() {
    let folder = folder();
    for (limit, problem) in [
        ("steps", "expected `NAME=N`, got `steps`"),
        (
            "step=1",
            "expected one of `file-size`, `arena-size`, `tensors`, `steps`, `tokens`, `batch`, got `step`",
        ),
        ("steps=-1", "expected a whole number, got `-1`"),
    ] {
        let error = bad(folder.path(), &format!("verify model.far --limit {limit}"), 2);
        assert!(error.contains(&format!("`--limit`: {problem}")), "{error}");
    }
    assert!(bad(folder.path(), "doctor model.far --limit steps=1", 2).contains("--limit"));
}
