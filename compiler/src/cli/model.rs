//! Reads the ONNX model that a command is given, with the data that it keeps in other files where the user allows it, and the limits
//! on models and masks. May import: `farc::{onnx, masks}`, `far_tool`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use far_tool::limits;
use farc::error::{Error, ErrorKind, Result};
use farc::masks::{MaskLimits, Masks};
use farc::onnx::{ImportOptions, embed_external_data};

/// What of the model may be read.
#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// Read weights that the model keeps in other files of its own folder
    #[arg(long)]
    allow_external_data: bool,
    #[arg(long = "limit", value_name = "NAME=N", value_parser = limit, help = limits_help())]
    limits: Vec<(Limit, u64)>,
}

/// What is limited, and how much of it is accepted unless the command line says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    ModelBytes,
    Nodes,
    Elements,
    Depth,
    MaskBytes,
    UnpackedMaskBytes,
}

/// Each with its name and what it counts.
const LIMITS: [(Limit, &str, &str); 6] = [
    (Limit::ModelBytes, "model-bytes", "bytes of the model with its external data"),
    (Limit::Nodes, "nodes", "nodes of the model"),
    (Limit::Elements, "elements", "elements of its constants, given or computed"),
    (Limit::Depth, "depth", "levels of messages in messages"),
    (Limit::MaskBytes, "mask-bytes", "bytes of a mask file"),
    (Limit::UnpackedMaskBytes, "unpacked-mask-bytes", "bytes of what an npz file unpacks to"),
];

impl Limit {
    fn default(self) -> u64 {
        let (model, masks) = (ImportOptions::default(), MaskLimits::default());
        match self {
            Limit::ModelBytes => model.max_bytes as u64,
            Limit::Nodes => model.max_nodes as u64,
            Limit::Elements => model.max_elements as u64,
            Limit::Depth => model.max_depth as u64,
            Limit::MaskBytes => masks.bytes,
            Limit::UnpackedMaskBytes => masks.unpacked,
        }
    }
}

fn limits_help() -> String {
    let names = LIMITS.map(|(limit, name, what)| format!("`{name}` ({what}; {})", limit.default()));
    format!(
        "Accept at most N of what hostile files could have too many of, instead of what is in parentheses: {}; may be repeated",
        names.join(", ")
    )
}

/// `NAME=N`.
fn limit(text: &str) -> Result<(Limit, u64), String> {
    let pair = text.split_once('=').ok_or("expected `NAME=N`")?;
    limits::choose(pair, &LIMITS.map(|(limit, name, _)| (name, limit)))
}

impl ModelArgs {
    /// The bytes of the model, its data inside.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let options = self.import_options();
        let bytes = bounded(path, options.max_bytes)?;
        // An artifact starts otherwise than any model.
        if !self.allow_external_data || bytes.starts_with(&far_format::MAGIC) {
            return Ok(bytes);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        embed_external_data(bytes, folder, &options).map_err(|e| e.in_file(path))
    }

    /// The limits on models, with nothing said of tokens and batches.
    pub(super) fn import_options(&self) -> ImportOptions {
        let most = |limit| usize::try_from(self.most(limit)).unwrap_or(usize::MAX);
        ImportOptions {
            max_bytes: most(Limit::ModelBytes),
            max_nodes: most(Limit::Nodes),
            max_elements: most(Limit::Elements),
            max_depth: most(Limit::Depth),
            ..ImportOptions::default()
        }
    }

    /// The limits on mask files.
    pub(super) fn mask_limits(&self) -> MaskLimits {
        MaskLimits { bytes: self.most(Limit::MaskBytes), unpacked: self.most(Limit::UnpackedMaskBytes) }
    }

    /// Reads a mask file within them.
    pub(super) fn masks(&self, path: &Path) -> Result<Masks> {
        Masks::read_within(path, &self.mask_limits())
    }

    /// What was said last, or the default.
    fn most(&self, limit: Limit) -> u64 {
        let said = self.limits.iter().rev().find(|(of, _)| *of == limit);
        said.map_or(limit.default(), |(_, most)| *most)
    }
}

/// A file of at most so many bytes.
fn bounded(path: &Path, max: usize) -> Result<Vec<u8>> {
    let io = |e: std::io::Error| super::unreadable(path, "model", &e);
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take((max as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() <= max {
        return Ok(bytes);
    }
    Err(Error::new(ErrorKind::LimitExceeded, "the file is too large")
        .expected(format!("at most {max} bytes"))
        .got("more")
        .hint("`--limit model-bytes=N` accepts more")
        .in_file(path))
}
