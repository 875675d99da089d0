//! The text of a metadata file, YAML or JSON, and of the file of labels that it may name. May import: `meta`, `error`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::Description;
use crate::error::{Error, ErrorKind, Result};
use crate::target::nearest;

/// Most bytes of the file and of its file of labels.
const MAX_BYTES: u64 = 4 << 20;

/// Most labels; the artifact's limit.
const MAX_LABELS: usize = 65_536;

/// Names of classes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Labels {
    /// As they are.
    Names(Vec<String>),
    /// In a file of the same folder, one a line.
    File(String),
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of labels, or the name of a file of them")
            }
            fn visit_str<E: de::Error>(self, file: &str) -> Result<Labels, E> {
                Ok(Labels::File(file.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Labels, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(Labels::Names(names))
            }
        }
        from.deserialize_any(Either)
    }
}

impl Description {
    /// Reads a metadata file, and its file of labels.
    ///
    /// # Errors
    ///
    /// `Io` where a file can't be read, `LimitExceeded` beyond 4 MiB, `BadMeta` for what the text says.
    pub fn read(path: &Path) -> Result<Description> {
        let mut description = Self::from_yaml(&text(path, "metadata")?).map_err(|e| e.in_file(path))?;
        if let Some(Labels::File(name)) = &description.labels {
            let file = beside(path, name).map_err(|e| e.in_file(path))?;
            let names = text(&file, "labels")?.lines().map(|line| line.trim().to_owned()).collect();
            description.labels = Some(Labels::Names(names));
        }
        Ok(description)
    }

    /// Reads YAML, and so JSON too.
    ///
    /// # Errors
    ///
    /// `BadMeta`, with the line.
    pub fn from_yaml(text: &str) -> Result<Description> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_events: MAX_LABELS + 4096,
                max_nodes: MAX_LABELS + 4096,
                max_aliases: 0,
                max_anchors: 0,
            },
        };
        serde_saphyr::from_str_with_options(text, options).map_err(yaml_error)
    }
}

/// A file in the folder of the metadata.
fn beside(path: &Path, name: &str) -> Result<std::path::PathBuf> {
    let relative = Path::new(name);
    if name.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::new(ErrorKind::BadMeta, "the labels are in another folder")
            .at_field("labels")
            .expected("a list, or a file in the folder of the metadata")
            .got(format!("`{name}`")));
    }
    Ok(path.parent().unwrap_or(Path::new("")).join(relative))
}

fn text(path: &Path, what: &str) -> Result<String> {
    let io =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("the {what} can't be read: {e}")).in_file(path);
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("the file of the {what} is too large"))
            .expected(format!("at most {MAX_BYTES} bytes"))
            .got("more")
            .in_file(path));
    }
    String::from_utf8(bytes).map_err(|e| {
        Error::new(ErrorKind::BadMeta, format!("the file of the {what} is not UTF-8: {e}")).in_file(path)
    })
}

/// The reader's error in our terms.
fn yaml_error(error: serde_saphyr::Error) -> Error {
    let error = error.without_snippet();
    let location = error.location();
    let ours = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let keys = expected.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
            let ours = Error::new(ErrorKind::BadMeta, format!("the metadata have an unknown key `{field}`"))
                .at_field(field.clone())
                .expected(format!("one of {keys}"))
                .got(format!("`{field}`"));
            match nearest(field, expected.iter().copied()) {
                Some(near) => ours.hint(format!("did you mean `{near}`?")),
                None => ours.hint("free keys go below `info`"),
            }
        }
        other => Error::new(ErrorKind::BadMeta, format!("the metadata's YAML is broken: {other}"))
            .hint("`docs/tool.md` shows one"),
    };
    match location {
        Some(at) => ours.at_line(at.line() as usize, at.column() as usize),
        None => ours,
    }
}
