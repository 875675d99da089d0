//! Replaces a file so that power may fail at any moment: its place holds the old file or the new one, whole. May import: `error`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The file that is meant by a target: itself, or of the model's name in a folder.
pub fn place(model: &Path, target: &Path) -> PathBuf {
    match model.file_name() {
        Some(name) if target.is_dir() => target.join(name),
        _ => target.to_path_buf(),
    }
}

/// Writes beside the place, waits until the disk has it, and renames it over what is there; programs that have that one open keep it.
///
/// # Errors
/// The system refuses: the disk is full, the folder can't be written. Nothing of the new file is left behind then.
pub fn write(place: &Path, bytes: &[u8]) -> Result<()> {
    let error = |source| Error::File { write: true, path: place.into(), source };
    let folder = match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = place.file_name().ok_or_else(|| error(io::ErrorKind::InvalidInput.into()))?;
    // Hidden, and of no other process; one that a crash left behind is replaced by the next of the same number.
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}.part", std::process::id()));
    let aside = folder.join(aside);
    let written = write_whole(&aside, bytes).and_then(|()| fs::rename(&aside, place));
    if let Err(source) = written {
        let _ = fs::remove_file(&aside); // it may not be there
        return Err(error(source));
    }
    // The name, too, has to reach the disk.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(error)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
