//! The runtime's crates as sources, with the interface for Rust that is an example: a workspace of its own.
//! May import: `command`, `error`, `workspace`.

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::error::{Error, Result};
use crate::workspace::{Workspace, cargo_program, copy, write};

/// What git is asked for: no tests, which need more than is here.
pub(crate) const SOURCES: [&str; 5] = [
    ":(glob)runtime/*/src/**",
    ":(glob)runtime/*/Cargo.toml",
    ":(glob)runtime/*/*.rs",
    ":(glob)runtime/*/*.md",
    ":(exclude)examples/rust/tests",
];

const MEMBERS: &str = "# The crates for Rust programs: `far = { path = \"examples/rust\" }`.\n[workspace]\nresolver = \"3\"\n\
                       members = [\"runtime/format\", \"runtime/kernels\", \"runtime/engine\", \"runtime/tool\", \
                       \"examples/rust\"]\n\n";

/// Parts of the repository's own manifest that these crates inherit.
const PARTS: [&str; 3] = ["[workspace.package]", "[workspace.dependencies]", "[workspace.lints."];

/// Makes the sources that are in the SDK a workspace, with the versions of other crates that the libraries are built with.
pub(crate) fn install(workspace: &Workspace, sdk: &Path) -> Result<()> {
    let root = workspace.root.join("Cargo.toml");
    let text = std::fs::read_to_string(&root).map_err(Error::io("read", &root))?;
    let manifest = sdk.join("Cargo.toml");
    write(&manifest, &cut(&text))?;
    copy(&workspace.root.join("Cargo.lock"), &sdk.join("Cargo.lock"))?;
    // Takes what is not needed out of the lock file, and asks for no package's source: those for other systems may not be here.
    let mut cargo = Command::new(cargo_program());
    cargo.args(["update", "--workspace", "--offline", "--quiet", "--manifest-path"]).arg(&manifest);
    command::run(&mut cargo).map(drop)
}

/// A manifest of the members above.
fn cut(manifest: &str) -> String {
    let mut parts = MEMBERS.to_owned();
    let mut wanted = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            wanted = PARTS.iter().any(|part| line.starts_with(part));
        }
        if wanted {
            parts += line;
            parts.push('\n');
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inherited_stays() {
        let manifest = "[workspace]\nmembers = [\"compiler\"]\n\n[workspace.package]\nversion = \"1.0.0\"\n\n\
                        [workspace.lints.rust]\nunsafe_code = \"deny\"\n\n[profile.release]\nopt-level = 3\n";
        let cut = cut(manifest);
        assert!(cut.contains("\"examples/rust\"]\n\n[workspace.package]\nversion = \"1.0.0\"\n"), "{cut}");
        assert!(
            cut.contains("unsafe_code") && !cut.contains("compiler") && !cut.contains("profile"),
            "{cut}"
        );
    }
}
