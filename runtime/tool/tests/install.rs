//! `far install`: whatever happens, the place holds a whole model, and nothing else is left behind.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{artifact, bad, folder, good, host, json};

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether the command runs as it is, without an emulator.
fn is_native() -> bool {
    let prefix = format!("CARGO_TARGET_{}", std::env::consts::ARCH.to_uppercase());
    !std::env::vars().any(|(name, _)| name.starts_with(&prefix) && name.ends_with("_RUNNER"))
}

#[test]
fn to_a_file_or_into_a_folder() {
    let folder = folder();
    let board = folder.path().join("board");
    fs::create_dir(&board).unwrap();
    assert!(good(folder.path(), "install model.far board").starts_with("installed `board/model.far`, "));
    fs::write(board.join("old.far"), "an older one").unwrap();
    let json = json(folder.path(), "install model.far board/old.far --json");
    assert_eq!((&json["file"], &json["bytes"]), (&"board/old.far".into(), &artifact(host()).len().into()));
    for name in ["model.far", "old.far"] {
        assert_eq!(fs::read(board.join(name)).unwrap(), artifact(host()));
    }
    assert_eq!(names(&board), ["model.far", "old.far"]);
    good(&board, "install model.far new.far"); // into the folder where it is
}

#[test]
fn what_is_not_sound_stays_outside() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("place.far"), artifact(host())).unwrap();
    let mut damaged = artifact(host());
    damaged.pop();
    fs::write(at("damaged.far"), damaged).unwrap();
    let before = names(folder.path());
    let error = bad(folder.path(), "install damaged.far place.far", 1);
    assert!(error.contains("damaged.far") && error.contains("copy the file again"), "{error}");
    assert_eq!(fs::read(at("place.far")).unwrap(), artifact(host()));
    let error = bad(folder.path(), "install model.far no/such/folder.far", 1);
    assert!(error.starts_with("error: can't write `no/such/folder.far`: No such file"), "{error}");
    let error = bad(folder.path(), "install model.far /proc/model.far", 1);
    assert!(error.starts_with("error: can't write `/proc/model.far`: "), "{error}");
    assert!(bad(folder.path(), "install model.far", 2).contains("no TARGET given"));
    assert_eq!(names(folder.path()), before);
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !is_native() {
        return;
    }
    let folder = folder();
    let place = folder.path().join("place.far");
    fs::write(&place, artifact(host())).unwrap();
    let before = names(folder.path());
    // A file can't become larger than a few blocks, which the system says in the words for a file, not a disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" install model.far place.far"]);
    let output = shell.arg(env!("CARGO_BIN_EXE_far")).current_dir(folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: can't write `place.far`: File too large"), "{error}");
    assert_eq!(fs::read(&place).unwrap(), artifact(host()));
    assert_eq!(names(folder.path()), before);
}

/// As if power failed: the process ends at some moment or other.
#[test]
fn the_place_is_whole_at_every_moment() {
    if !is_native() {
        return;
    }
    let folder = folder();
    let place = folder.path().join("place.far");
    let (old, new) = (b"an older one, whatever it was".to_vec(), artifact(host()));
    let (mut stayed, mut replaced) = (0, 0);
    for i in 0..100 {
        fs::write(&place, &old).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_far"));
        command.args(["install", "model.far", "place.far"]).current_dir(folder.path());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(100 * i));
        child.kill().unwrap();
        child.wait().unwrap();
        match fs::read(&place).unwrap() {
            found if found == old => stayed += 1,
            found if found == new => replaced += 1,
            found => panic!("neither the old file nor the new: {} bytes", found.len()),
        }
    }
    assert!(stayed > 0 && stayed + replaced == 100, "{stayed} stayed, {replaced} were replaced");
}
