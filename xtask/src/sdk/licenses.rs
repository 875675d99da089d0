//! The texts of the licences of all that is linked. May import: `packages`, `error`, `workspace`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::packages::{Package, SYSTEM};
use crate::error::{Error, Result};
use crate::workspace::{Workspace, copy, create_dir, write};

/// Our own licences, in the root of the repository; also the texts of packages that name them and bring none.
const OWN: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Writes `licenses/`: a folder for each package, and a list of them.
pub(crate) fn install(workspace: &Workspace, packages: &[Package], sdk: &Path) -> Result<()> {
    let folder = sdk.join("licenses");
    create_dir(&folder)?;
    for name in OWN {
        copy(&workspace.root.join(name), &sdk.join(name))?;
    }
    let mut list = String::from(
        "# Licences of what is linked\n\n| package | version | licence (SPDX) | in | texts |\n| --- | --- | --- | --- | --- |\n",
    );
    for package in packages {
        let name = format!("{}-{}", package.name, package.version);
        let texts = texts(package)?;
        let place = match texts.is_empty() {
            true => "those of the SDK".to_owned(),
            false => format!("`{name}/`"),
        };
        let files: Vec<_> = package.shipped_in.iter().map(|shipped| file_of(shipped)).collect();
        line(&mut list, &package.name, &package.version, &package.license, &files.join(", "), &place);
        install_texts(&folder.join(&name), &texts)?;
    }
    for system in &SYSTEM {
        let texts: Vec<_> = system
            .texts
            .iter()
            .map(|text| workspace.target.join(text))
            .filter(|text| text.is_file())
            .collect();
        let place = match texts.first() {
            None => "with the compiler".to_owned(),
            Some(_) => format!("`{}/`", system.name),
        };
        line(&mut list, system.name, "of the toolchain", system.license, system.linked, &place);
        install_texts(&folder.join(system.name), &texts[..texts.len().min(1)])?;
    }
    write(&folder.join("README.md"), &list)
}

fn line(list: &mut String, name: &str, version: &str, license: &str, linked: &str, texts: &str) {
    let _ = writeln!(list, "| {name} | {version} | {license} | {linked} | {texts} |"); // to a string: can't fail
}

/// The shipped files of a package.
fn file_of(package: &str) -> &str {
    match package {
        "libfar" => "libfar.a, libfar.so",
        "far-tool" => "far",
        other => other,
    }
}

fn install_texts(folder: &Path, texts: &[PathBuf]) -> Result<()> {
    for text in texts {
        create_dir(folder)?;
        if let Some(name) = text.file_name() {
            copy(text, &folder.join(name))?;
        }
    }
    Ok(())
}

/// The files of a package that hold a licence or must be shown with it.
fn texts(package: &Package) -> Result<Vec<PathBuf>> {
    if package.checksum.is_none() {
        return Ok(Vec::new());
    }
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
        entries.map(|entry| entry.map(|e| e.path()).map_err(Error::io("list", folder))).collect()
    };
    let mut files = list(&package.folder)?;
    for folder in ["LICENSES", "licenses"].map(|name| package.folder.join(name)) {
        if folder.is_dir() {
            files.extend(list(&folder)?.into_iter().filter(|file| file.is_file()));
        }
    }
    let is_text = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let begins = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        let inside = file.parent() != Some(package.folder.as_path());
        file.is_file() && (inside || begins.iter().any(|begin| name.starts_with(begin)))
    };
    files.retain(is_text);
    files.sort();
    Ok(files)
}
