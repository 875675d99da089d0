//! Checksums of the folder, and the folder as one file: the same content gives the same bytes.
//! May import: `command`, `error`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::{Error, Result};
use crate::workspace::write;

/// The time of everything in the archive where `SOURCE_DATE_EPOCH` says none: the first that all file systems can hold.
const EPOCH: &str = "315532800";

/// Writes `SHA256SUMS` of all files, sorted, as `sha256sum --check` reads it.
pub(crate) fn sums(folder: &Path) -> Result<()> {
    let mut files = files(folder)?;
    files.retain(|file| file != Path::new("SHA256SUMS"));
    let mut sha256sum = Command::new("sha256sum");
    let text = command::stdout(sha256sum.current_dir(folder).arg("--").args(&files))?;
    write(&folder.join("SHA256SUMS"), &format!("{text}\n"))
}

/// Packs a folder into `FOLDER.tar.gz` beside it.
pub(crate) fn archive(folder: &Path) -> Result<PathBuf> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(Error::Unexpected(format!("`{}` is no folder in another", folder.display())));
    };
    let epoch = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| EPOCH.to_owned());
    let mut file = folder.as_os_str().to_owned();
    file.push(".tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(parent).args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=gnu",
    ]);
    tar.args(["--mode=u+rw,go=rX", "--use-compress-program=gzip -n9", "--create"]);
    tar.arg(format!("--mtime=@{epoch}")).arg("--file").arg(&file).arg(name);
    command::run(&mut tar)?;
    Ok(PathBuf::from(file))
}

/// All plain files below a folder, sorted, from there. Links are left out.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in std::fs::read_dir(&current).map_err(Error::io("list", &current))? {
            let path = entry.map_err(Error::io("list", &current))?.path();
            let kind = path.symlink_metadata().map_err(Error::io("read", &path))?.file_type();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.extend(path.strip_prefix(folder).map(Path::to_owned));
            }
        }
    }
    found.sort();
    Ok(found)
}
