//! Writes what was compiled: one file, or a folder with everything an application needs. Either all of it is there
//! afterwards or nothing has changed. May import: the rest of `emit`, `target`, `error`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use super::Sdk;
use super::embed::{self, CName};
use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The artifact alone: a name that ends in `.far`.
    Far,
    /// A relocatable ELF file with the artifact as a constant, and a header: `.o`.
    Object,
    /// The same in C: `.c`.
    C,
    /// A folder: any other name.
    Folder,
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The artifact alone: the name ends in `.far`.
    File(PathBuf),
    /// The artifact as a constant in an object file, and a header beside it.
    Object(PathBuf, CName),
    /// The same in C.
    C(PathBuf, CName),
    /// `model.far`, `include/`, `lib/TRIPLE/` and `report.json`.
    Folder(PathBuf),
}

impl Output {
    /// By the form, which the name must fit; without one, by the name.
    pub fn of(path: &Path, form: Option<Form>) -> Result<Output> {
        let extension = path.extension().and_then(OsStr::to_str);
        let of_name = match extension {
            Some("far") => Form::Far,
            Some("o") => Form::Object,
            Some("c") => Form::C,
            _ => Form::Folder,
        };
        let form = form.unwrap_or(of_name);
        let needed = match form {
            Form::Far => Some("far"),
            Form::Object => Some("o"),
            Form::C => Some("c"),
            Form::Folder => None,
        };
        if let Some(needed) = needed.filter(|_| form != of_name) {
            return Err(Error::new(ErrorKind::BadInput, "the output's name is not that of its form")
                .in_file(path)
                .expected(format!("a name that ends in `.{needed}`"))
                .got(extension.map_or("none of the kind".to_owned(), |other| format!("`.{other}`")))
                .hint("without `--emit`, the name alone decides"));
        }
        let path = path.to_path_buf();
        Ok(match form {
            Form::Far => Output::File(path),
            Form::Object => CName::of(&path).map(|name| Output::Object(path, name))?,
            Form::C => CName::of(&path).map(|name| Output::C(path, name))?,
            Form::Folder => Output::Folder(path),
        })
    }
}

/// Writes the artifact in its form, or the folder. `report` is JSON text.
pub fn write(output: &Output, artifact: &[u8], report: &str, target: &Target) -> Result<()> {
    match output {
        Output::File(path) => write_file(path, artifact, "artifact"),
        Output::Object(path, name) => {
            let object = embed::object(name, artifact, target.arch)?;
            write_with_header(path, &object, "object file", name, target)
        }
        Output::C(path, name) => {
            let header = path.with_extension("h");
            let header = header.file_name().unwrap_or_default().to_string_lossy();
            let c = embed::c(name, artifact, &header);
            write_with_header(path, c.as_bytes(), "C file", name, target)
        }
        Output::Folder(path) => write_folder(path, artifact, report, &target.triple),
    }
}

fn write_with_header(path: &Path, bytes: &[u8], what: &str, name: &CName, target: &Target) -> Result<()> {
    let header = path.with_extension("h");
    let files = [
        Aside::write(&header, embed::header(name, &target.name).as_bytes(), "header")?,
        Aside::write(path, bytes, what)?,
    ];
    files.into_iter().try_for_each(Aside::publish)
}

/// Writes one file, which an error calls `what`: all of it, or the old one stays.
pub fn write_file(path: &Path, bytes: &[u8], what: &str) -> Result<()> {
    Aside::write(path, bytes, what)?.publish()
}

/// A file that is written, but not yet under its name.
struct Aside<'a> {
    file: NamedTempFile,
    path: &'a Path,
    message: String,
}

impl<'a> Aside<'a> {
    fn write(path: &'a Path, bytes: &[u8], what: &str) -> Result<Aside<'a>> {
        let message = format!("the {what} can't be written");
        let write = || {
            if path.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            let mut file = new_file(parent(path))?;
            file.write_all(bytes)?;
            Ok(file)
        };
        let file = write().map_err(|e| io_error(&message, path, e))?;
        Ok(Aside { file, path, message })
    }

    fn publish(self) -> Result<()> {
        let Aside { file, path, message } = self;
        file.persist(path).map(drop).map_err(|e| io_error(&message, path, e.error))
    }
}

fn write_folder(path: &Path, artifact: &[u8], report: &str, triple: &str) -> Result<()> {
    let replaces = is_replaceable(path)?;
    let sdk = Sdk::find()?;
    let libraries = sdk.libraries(triple)?;
    let io = |e| io_error("the output folder can't be written", path, e);
    let aside = new_folder(parent(path)).map_err(io)?;
    let fill = || -> io::Result<()> {
        fs::write(aside.path().join("model.far"), artifact)?;
        fs::write(aside.path().join("report.json"), report)?;
        let include = aside.path().join("include");
        fs::create_dir(&include)?;
        for entry in fs::read_dir(sdk.include())? {
            let header = entry?.path();
            if header.is_file() {
                copy_into(&header, &include)?;
            }
        }
        let lib = aside.path().join("lib").join(triple);
        fs::create_dir_all(&lib)?;
        libraries.iter().try_for_each(|library| copy_into(library, &lib))
    };
    fill().map_err(io)?;
    if replaces {
        let aside_too = new_folder(parent(path)).map_err(io)?;
        let old = aside_too.path().join("old");
        fs::rename(path, &old).map_err(io)?;
        publish(aside, path).map_err(|e| match fs::rename(&old, path) {
            Ok(()) => io(e),
            Err(_) => io(e).hint(format!("the old folder is at `{}`", aside_too.keep().display())),
        })
    } else {
        publish(aside, path).map_err(io)
    }
}

fn publish(folder: TempDir, path: &Path) -> io::Result<()> {
    fs::rename(folder.path(), path)?;
    let _moved = folder.keep();
    Ok(())
}

/// Whether a folder is in the way that an earlier run made. Anything else in the way is an error.
fn is_replaceable(path: &Path) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let ours = path.join("model.far").is_file();
    let empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if path.is_dir() && (ours || empty()) {
        return Ok(true);
    }
    Err(Error::new(ErrorKind::Io, "the output exists and is no folder that farc wrote")
        .in_file(path)
        .expected("nothing, an empty folder, or one with `model.far` in it")
        .got(if path.is_dir() { "another folder" } else { "a file" })
        .hint("choose another name; a name that ends in `.far` gets the artifact alone"))
}

/// Copies a file under its own name. A link beside its target stays a link.
fn copy_into(file: &Path, folder: &Path) -> io::Result<()> {
    let copy = folder.join(file.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    #[cfg(unix)]
    if let Ok(target) = fs::read_link(file)
        && target.components().count() == 1
    {
        return std::os::unix::fs::symlink(target, copy);
    }
    fs::copy(file, copy).map(drop)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".farc-");
    #[cfg(unix)]
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn new_folder(folder: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".farc-");
    #[cfg(unix)]
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(folder)
}

fn io_error(what: &str, path: &Path, error: io::Error) -> Error {
    // Errors of temporary files also say the file's name, which means nothing to anybody.
    let why = match error.get_ref() {
        Some(_) => io::Error::from(error.kind()).to_string(),
        None => error.to_string(),
    };
    let ours = Error::new(ErrorKind::Io, format!("{what}: {why}")).in_file(path);
    match error.kind() {
        io::ErrorKind::NotFound => ours.hint("the folder above it must exist"),
        _ => ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_what_is_written() {
        let of = |path: &str, form| Output::of(Path::new(path), form);
        assert_eq!(of("a/b.far", None).unwrap(), Output::File("a/b.far".into()));
        assert_eq!(of("a/b", None).unwrap(), Output::Folder("a/b".into()));
        assert_eq!(of("a/b.far", Some(Form::Folder)).unwrap(), Output::Folder("a/b.far".into()));
        assert!(matches!(of("a/b.o", None).unwrap(), Output::Object(..)));
        assert!(matches!(of("a/b.c", Some(Form::C)).unwrap(), Output::C(..)));
        for (path, form, needed) in
            [("a/b.c", Form::Object, ".o"), ("a/b", Form::C, ".c"), ("b.o", Form::Far, ".far")]
        {
            let error = of(path, Some(form)).unwrap_err();
            assert!(error.expected.is_some_and(|expected| expected.contains(needed)), "{path}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.far");
        for bytes in [&b"first"[..], b"2nd"] {
            write_file(&path, bytes, "artifact").unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn foreign_folders_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_replaceable(&folder.path().join("new")).unwrap());
        assert!(is_replaceable(folder.path()).unwrap(), "it is empty");
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert_eq!(is_replaceable(folder.path()).unwrap_err().kind, ErrorKind::Io);
        fs::write(folder.path().join("model.far"), "").unwrap();
        assert!(is_replaceable(folder.path()).unwrap());
    }

    #[test]
    fn a_missing_parent_is_an_error_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_file(&folder.path().join("no/x.far"), b"", "artifact").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Io);
        assert!(error.hint.is_some());
    }
}
