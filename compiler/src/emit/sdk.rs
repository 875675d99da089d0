//! Where the libraries for the boards are. May import: `error`.
//!
//! An SDK is a folder with `include/far.h`, `lib/TRIPLE/libfar.a`, `lib/TRIPLE/libfar.so` and `bin/TRIPLE/far`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// An SDK on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    root: PathBuf,
}

impl Sdk {
    /// The folder that the environment variable `FAR_SDK` names; without it, the folder above farc's own or the folder
    /// `sdk` in that, whichever is an SDK.
    pub fn find() -> Result<Sdk> {
        if let Some(root) = env::var_os("FAR_SDK") {
            let root = PathBuf::from(root);
            return match is_sdk(&root) {
                true => Ok(Sdk { root }),
                false => Err(missing("`FAR_SDK` names a folder that is no SDK")
                    .in_file(root.join("include/far.h"))
                    .expected("`include/far.h` in it")
                    .got("no such file")),
            };
        }
        let above = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()));
        above
            .into_iter()
            .flat_map(|above| [above.clone(), above.join("sdk")])
            .find(|root| is_sdk(root))
            .map(|root| Sdk { root })
            .ok_or_else(|| missing("there is no SDK beside farc, and `FAR_SDK` is not set"))
    }

    /// The headers.
    pub fn include(&self) -> PathBuf {
        self.root.join("include")
    }

    /// The files of libfar for a target: `libfar.a`, `libfar.so` and, as that may be a link, what it leads to.
    pub fn libraries(&self, triple: &str) -> Result<Vec<PathBuf>> {
        let folder = self.root.join("lib").join(triple);
        existing(folder.join("libfar.a"), triple)?;
        existing(folder.join("libfar.so"), triple)?;
        let entries = fs::read_dir(&folder).map_err(|e| missing(&e.to_string()).in_file(&folder))?;
        let is_libfar = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libfar") && !name.ends_with(".debug")
        };
        let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_libfar).collect();
        files.sort();
        Ok(files)
    }

    /// The program `far` for a target: runs artifacts on a board, or here under QEMU.
    pub fn board_tool(&self, triple: &str) -> Result<PathBuf> {
        existing(self.root.join("bin").join(triple).join("far"), triple)
    }
}

fn is_sdk(root: &Path) -> bool {
    root.join("include/far.h").is_file()
}

fn existing(path: PathBuf, triple: &str) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    let what = format!("the SDK has nothing for `{triple}`");
    Err(missing(&what).in_file(path).expected("a file").got("no such file"))
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::MissingTool, what)
        .hint("`cargo xtask sdk` builds it; `-o NAME.far` writes the artifact alone and needs none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_sdk(folder.path()));
        fs::create_dir_all(folder.path().join("include")).unwrap();
        fs::write(folder.path().join("include/far.h"), "").unwrap();
        assert!(is_sdk(folder.path()));
        let sdk = Sdk { root: folder.path().into() };
        let error = sdk.libraries("riscv64gc-unknown-linux-gnu").unwrap_err();
        assert_eq!(error.kind, ErrorKind::MissingTool);
        assert!(error.place.file.unwrap().ends_with("lib/riscv64gc-unknown-linux-gnu/libfar.a"));
        assert!(error.hint.unwrap().contains("cargo xtask sdk"));
    }
}
