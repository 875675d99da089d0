//! The examples in C, C++ and Python, built as their users build them, on a model with metadata; and the unit for systemd.

#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use far_abi_check::{capi, libraries, succeed};
use support::Bench;

fn examples() -> PathBuf {
    capi().join("../examples")
}

/// Builds an example's targets with its own Makefile, in a copy.
fn make(bench: &Bench, example: &str, flags: &str, targets: &[&str]) -> PathBuf {
    let folder = bench.path().join(example);
    fs::create_dir(&folder).expect("a folder");
    for entry in fs::read_dir(examples().join(example)).expect("the example") {
        let file = entry.expect("a file of the example").path();
        if file.is_file() {
            fs::copy(&file, folder.join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    let mut make = Command::new("make");
    make.current_dir(&folder).args(targets).arg(format!("{flags}=-O1 -Wall -Wextra -Wpedantic -Werror"));
    make.arg(format!("FAR_INCLUDE={}", capi().join("include").display()));
    make.arg(format!("FAR_LIB={}", libraries().archive.parent().expect("a folder").display()));
    succeed(&mut make);
    folder
}

/// Standard output, where it ends well.
fn prints(program: &Path, arguments: &[&str], folder: &Path) -> String {
    let output = succeed(Command::new(program).args(arguments).current_dir(folder));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn small_programs_in_c() {
    let bench = Bench::new();
    let folder = make(&bench, "c", "CFLAGS", &["small"]);
    let run = |name: &str, arguments: &[&str]| prints(&folder.join(name), arguments, bench.path());
    // Of zeros every pixel is the same: the first class is the answer.
    assert!(run("minimal", &["image.far"]).starts_with("class 0 (red), logit "));
    let text = run("from_memory", &["image.far"]);
    assert!(
        text.starts_with("image: 65536 bytes proved, needs features none and 0 bytes of arena"),
        "{text}"
    );
    let text = run("own_memory", &["image.far", "100"]);
    assert!(text.starts_with("100 runs in ") && text.contains(" of 4194304 bytes of its own"), "{text}");
    for name in ["minimal", "from_memory", "own_memory"] {
        let output = Command::new(folder.join(name)).arg("nothing.far").output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.starts_with("error: "), "{name}: {error}");
    }
}

#[test]
fn a_camera_in_cpp() {
    let bench = Bench::new();
    let folder = make(&bench, "cpp", "CXXFLAGS", &[]);
    let camera = folder.join("camera");
    // The second of four pixels is white; classes are pixels.
    let white = [&b"P6\n# a comment\n2 2\n255\n"[..], &[0, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 0]].concat();
    let gray = [&b"P5 2 2 255\n"[..], &[0, 0, 0, 200]].concat();
    fs::write(bench.path().join("white.ppm"), white).expect("a picture");
    fs::write(bench.path().join("gray.pgm"), gray).expect("a picture");
    let text = prints(&camera, &["image.far", "white.ppm", "gray.pgm", "--threads", "1"], bench.path());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("frame      0  green            class 1"), "{text}");
    assert!(lines[1].starts_with("frame      1  grün            class 3"), "{text}");
    assert!(text.contains("\n2 frames answered, 0 dropped") && text.contains("latency  p50 "), "{text}");
    let paced = ["image.far", "white.ppm", "--frames", "20", "--fps", "200", "--quiet"];
    let text = prints(&camera, &paced, bench.path());
    assert!(!text.contains("frame  ") && text.contains(" ms ") && text.contains('#'), "{text}");

    fs::write(bench.path().join("short.ppm"), "P6 2 2 255\n..").expect("a picture");
    for (arguments, status, expected) in [
        (&["image.far", "short.ppm"][..], 1, "error: short.ppm: is cut short\n"),
        (&["fixture.far", "white.ppm"][..], 1, "error: the model doesn't say how an image becomes an input"),
        (&["image.far"][..], 2, "usage: camera "),
    ] {
        let output =
            Command::new(&camera).args(arguments).current_dir(bench.path()).output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{error}");
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_package_in_python() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED the example in Python: `{python}` has no numpy; hint: `pip install numpy`, or set PYTHON"
        );
        return;
    }
    let bench = Bench::new();
    let mut test = Command::new(&python);
    test.args(["-m", "unittest", "discover", "tests"]).current_dir(examples().join("python"));
    test.env("PYTHONDONTWRITEBYTECODE", "1").env("FAR_LIBRARY", &libraries().shared);
    test.env("FAR_TEST_KEY", bench.path().join("maker.pub"));
    succeed(test.env("FAR_TEST_MODEL", bench.path().join("image.far")));
}

#[test]
fn a_package_for_training() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let installed = Command::new(&python).args(["-c", "import far_distill, pytest"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED examples/distill: `{python}` has no far_distill; hint: `pip install './examples/distill[tests]'`, or set PYTHON"
        );
        return;
    }
    let shared = &libraries().shared;
    let mut test = Command::new(&python);
    test.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).current_dir(examples().join("distill"));
    test.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", examples().join("python"));
    // Built beside the libraries where the whole workspace is tested; without it, pytest says what it skipped.
    test.env(
        "FARC",
        shared.ancestors().map(|folder| folder.join("farc")).find(|farc| farc.is_file()).unwrap_or_default(),
    );
    succeed(test.env("FAR_LIBRARY", shared));
}

#[test]
fn a_unit_for_systemd() {
    let unit = fs::read_to_string(examples().join("systemd/far-camera.service")).expect("the unit");
    // The program is not installed here.
    let unit = unit.replace("/usr/local/bin/far-camera ", "/bin/true ");
    let bench = Bench::new();
    let path = bench.path().join("far-camera.service");
    fs::write(&path, unit).expect("a file");
    match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // What it says of other units of this machine is not ours.
            let ours: Vec<&str> = said.lines().filter(|line| line.contains("far-camera")).collect();
            assert!(ours.is_empty(), "{said}");
        }
        Err(_) => eprintln!("SKIPPED systemd-analyze verify: there is none"),
    }
}
