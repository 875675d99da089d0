//! Replaces a model so that power may fail at any moment: its place holds the old file or the new one, whole, and beside it are
//! signatures of what it holds. May import: `error`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use far_engine::signature::{self, Signature};

use crate::error::{Error, Result};

/// The file that is meant by a target: itself, or of the model's name in a folder.
pub fn place(model: &Path, target: &Path) -> PathBuf {
    match model.file_name() {
        Some(name) if target.is_dir() => target.join(name),
        _ => target.to_path_buf(),
    }
}

/// Replaces a model and its signatures, which lie in files of their own: while the model is replaced, those of the old one and the
/// new one are there, so that at every moment one fits. Of eight signatures or more the old ones may not find room.
///
/// # Errors
/// As [`write`]; where the model couldn't be written, its signatures may be there beside the old ones.
pub fn replace(place: &Path, bytes: &[u8], signatures: &[Signature]) -> Result<()> {
    let beside = signature::beside(place)?;
    let old = old_signatures(&beside);
    let left: Vec<Signature> = old.iter().filter(|old| !signatures.contains(old)).copied().collect();
    if !signatures.is_empty() {
        write(&beside, &signature::encode(&[signatures, &left].concat()))?;
    }
    write(place, bytes)?;
    match signatures {
        [] if old.is_empty() => Ok(()),
        // They are of the model that was replaced.
        [] => fs::remove_file(&beside).map_err(|source| Error::File { write: true, path: beside, source }),
        _ if left.is_empty() => Ok(()),
        _ => write(&beside, &signature::encode(signatures)),
    }
}

/// The signatures that are there; none where there is no file of them, or another.
fn old_signatures(path: &Path) -> Vec<Signature> {
    let file = fs::read(path).unwrap_or_default();
    signature::decode(&file).map(Iterator::collect).unwrap_or_default()
}

/// The signatures beside a model that is to be installed; none where there is no file of them.
///
/// # Errors
/// The file can't be read, or is another.
pub fn signatures(model: &Path) -> Result<Vec<Signature>> {
    let path = signature::beside(model)?;
    match fs::read(&path) {
        Ok(file) => match signature::decode(&file) {
            Ok(signatures) => Ok(signatures.collect()),
            Err(error) => Err(Error::Model { path, source: Box::new(error) }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::File { write: false, path, source }),
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
