//! What is linked into the SDK's files: crates by cargo's own account, and what compilers add.
//! May import: `command`, `error`, `platform`, `workspace`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::command;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::workspace::Workspace;

/// The packages whose files are shipped.
pub(crate) const SHIPPED: [&str; 3] = ["libfar", "far-tool", "farc"];

/// A package that is linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression.
    pub(crate) license: String,
    /// Where its licence texts are.
    pub(crate) folder: PathBuf,
    /// SHA-256 of what the registry gave; `None`: it is of this repository.
    pub(crate) checksum: Option<String>,
    /// Names and versions of what it is linked with.
    pub(crate) dependencies: BTreeSet<(String, String)>,
    /// In which of [`SHIPPED`] it is.
    pub(crate) shipped_in: BTreeSet<&'static str>,
}

/// Software that comes with compilers, not with cargo.
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) license: &'static str,
    /// Where it is linked.
    pub(crate) linked: &'static str,
    /// Where its licence texts are: on the system, or in cargo's target folder.
    pub(crate) texts: &'static [&'static str],
}

/// All of it.
pub(crate) const SYSTEM: [System; 3] = [
    System {
        name: "rust-std",
        license: "MIT OR Apache-2.0",
        linked: "libfar.a, libfar.so, far, farc",
        texts: &["/usr/share/doc/libstd-rust-web-dev/copyright", "/usr/share/doc/rustc-web/copyright"],
    },
    System {
        name: "libgcc",
        license: "GPL-3.0-or-later WITH GCC-exception-3.1",
        linked: "libfar.so, far",
        texts: &["/usr/share/doc/gcc-12-base/copyright"],
    },
    System {
        name: "musl",
        license: "MIT",
        linked: "far",
        texts: &[
            "cross/musl/amd64/usr/share/doc/musl-dev/copyright",
            "cross/musl/arm64/usr/share/doc/musl-dev/copyright",
            "cross/musl/riscv64/usr/share/doc/musl-dev/copyright",
        ],
    },
];

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    resolve: Resolve,
}

#[derive(serde::Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(serde::Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(serde::Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(serde::Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(serde::Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// The crates in what is shipped for these platforms, sorted by name and version.
pub(crate) fn linked(workspace: &Workspace, platforms: &[&Platform]) -> Result<Vec<Package>> {
    let mut cargo = workspace.cargo("metadata");
    cargo.args(["--format-version=1", "--locked"]);
    cargo.args(platforms.iter().flat_map(|platform| ["--filter-platform", platform.rust]));
    let text = command::stdout(&mut cargo)?;
    let lock = workspace.root.join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).map_err(Error::io("read", &lock))?;
    from_metadata(&text, &checksums(&lock))
}

fn from_metadata(text: &str, checksums: &BTreeMap<(String, String), String>) -> Result<Vec<Package>> {
    let metadata: Metadata = serde_json::from_str(text)
        .map_err(|error| Error::Unexpected(format!("cannot read the output of cargo metadata: {error}")))?;
    let packages: BTreeMap<&str, &MetadataPackage> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let linked = |dependency: &&Dependency| {
        let normal = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        // A procedural macro runs in the compiler.
        let is_macro = |package: &&MetadataPackage| {
            package.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
        };
        normal && !packages.get(dependency.pkg.as_str()).is_some_and(is_macro)
    };
    let edges: BTreeMap<&str, Vec<&str>> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node.deps.iter().filter(linked).map(|dep| dep.pkg.as_str()).collect()))
        .collect();
    let mut found: BTreeMap<(String, String), Package> = BTreeMap::new();
    for root in SHIPPED {
        let Some(first) = metadata.packages.iter().find(|package| package.name == root) else {
            return Err(Error::Unexpected(format!("cargo knows no package `{root}`")));
        };
        let mut seen = BTreeSet::new();
        let mut open = vec![first.id.as_str()];
        while let Some(id) = open.pop() {
            let Some(package) = packages.get(id).filter(|_| seen.insert(id)) else { continue };
            let to = edges.get(id).map(Vec::as_slice).unwrap_or_default();
            open.extend(to);
            let key = |package: &MetadataPackage| (package.name.clone(), package.version.clone());
            let entry = found.entry(key(package)).or_insert_with(|| Package {
                name: package.name.clone(),
                version: package.version.clone(),
                license: package.license.clone().unwrap_or_default().replace('/', " OR "),
                folder: package.manifest_path.parent().unwrap_or(Path::new("")).to_owned(),
                checksum: checksums.get(&key(package)).cloned(),
                dependencies: to.iter().filter_map(|id| packages.get(id)).map(|p| key(p)).collect(),
                shipped_in: BTreeSet::new(),
            });
            entry.shipped_in.insert(root);
        }
    }
    let found: Vec<_> = found.into_values().collect();
    match found.iter().find(|package| package.license.is_empty()) {
        Some(package) => Err(Error::Unexpected(format!("package `{}` names no licence", package.name))),
        None => Ok(found),
    }
}

/// From Cargo.lock, whose entries are lines `name = "…"`, `version = "…"`, …, `checksum = "…"`.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |entry: &str, name: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let entries = lock.split("[[package]]");
    entries
        .filter_map(|entry| {
            Some(((field(entry, "name")?, field(entry, "version")?), field(entry, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n\n\
                    [[package]]\nname = \"far\"\nversion = \"0.1.0\"\n";
        let expected = BTreeMap::from([(("a".to_owned(), "1.0.0".to_owned()), "00ff".to_owned())]);
        assert_eq!(checksums(lock), expected);
    }

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |name: &str, kind: &str| {
            format!(
                r#"{{"id":"{name}","name":"{name}","version":"1.0.0","license":"MIT/Apache-2.0","manifest_path":"/x/{name}/Cargo.toml","targets":[{{"kind":["{kind}"]}}]}}"#
            )
        };
        let packages = [
            package("libfar", "lib"),
            package("far-tool", "bin"),
            package("farc", "bin"),
            package("a", "lib"),
            package("b", "lib"),
            package("macros", "proc-macro"),
            package("built", "lib"),
        ];
        let dep = |name: &str, kind: &str| format!(r#"{{"pkg":"{name}","dep_kinds":[{{"kind":{kind}}}]}}"#);
        let node = |name: &str, deps: &[String]| format!(r#"{{"id":"{name}","deps":[{}]}}"#, deps.join(","));
        let nodes = [
            node("libfar", &[dep("a", "null"), dep("built", "\"build\""), dep("macros", "null")]),
            node("a", &[dep("b", "null")]),
            node("farc", &[dep("b", "null"), dep("built", "\"dev\"")]),
        ];
        let text =
            format!(r#"{{"packages":[{}],"resolve":{{"nodes":[{}]}}}}"#, packages.join(","), nodes.join(","));
        let found = from_metadata(&text, &BTreeMap::new()).unwrap();
        let names: Vec<_> = found.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "far-tool", "farc", "libfar"]);
        assert_eq!(found[0].license, "MIT OR Apache-2.0");
        assert_eq!(found[1].shipped_in, BTreeSet::from(["libfar", "farc"]));
    }
}
