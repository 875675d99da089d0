//! What the tests of this package share: the libraries under test, and the host's C compilers.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The folder of package libfar.
pub fn capi() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The symbols that the current binary interface exports, from its committed list.
pub fn committed_symbols() -> BTreeSet<&'static str> {
    include_str!("../../abi/far-1.symbols").lines().collect()
}

/// The two libraries that C programs link.
#[derive(Clone, Debug)]
pub struct Libraries {
    /// `libfar.a`
    pub archive: PathBuf,
    /// `libfar.so`
    pub shared: PathBuf,
}

/// Builds both libraries in the profile and the target folder of the running test.
pub fn libraries() -> &'static Libraries {
    static LIBRARIES: OnceLock<Libraries> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let target = target_folder();
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(capi()).args(["build", "--package", "libfar", "--lib", "--message-format=json"]);
        cargo.arg("--target-dir").arg(target);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = succeed(&mut cargo);
        let files: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "far")
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|file| file.as_str().map(PathBuf::from))
            .collect();
        let named = |name: &str| {
            let file = files.iter().find(|file| file.file_name().is_some_and(|n| n == name));
            file.unwrap_or_else(|| panic!("cargo built no {name}, only {files:?}")).clone()
        };
        Libraries { archive: named("libfar.a"), shared: named("libfar.so") }
    })
}

/// The target folder of the running test.
pub fn target_folder() -> PathBuf {
    // TARGET/PROFILE/deps/test
    let test = env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(3).expect("a test lies three folders deep in the target folder").to_path_buf()
}

/// The C compiler, as the variable CC says.
pub fn cc() -> Command {
    Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
}

/// The C++ compiler, as the variable CXX says.
pub fn cxx() -> Command {
    Command::new(env::var_os("CXX").unwrap_or_else(|| "c++".into()))
}

/// Runs a command that must end with status 0.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
