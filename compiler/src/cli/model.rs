//! Reads the ONNX model that a command is given, with the data that it keeps in other files where the user allows it.
//! May import: `farc::onnx`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use farc::error::{Error, ErrorKind, Result};
use farc::onnx::{ImportOptions, embed_external_data};

/// What of the model may be read.
#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// Read weights that the model keeps in other files of its own folder
    #[arg(long)]
    allow_external_data: bool,
}

impl ModelArgs {
    /// The bytes of the model, its data inside.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let options = ImportOptions::default();
        let bytes = bounded(path, options.max_bytes)?;
        // An artifact starts otherwise than any model.
        if !self.allow_external_data || bytes.starts_with(&far_format::MAGIC) {
            return Ok(bytes);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        embed_external_data(bytes, folder, &options).map_err(|e| e.in_file(path))
    }
}

/// A file of at most so many bytes.
fn bounded(path: &Path, max: usize) -> Result<Vec<u8>> {
    let io = |e: std::io::Error| super::unreadable(path, "model", &e);
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(max as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() <= max {
        return Ok(bytes);
    }
    Err(Error::new(ErrorKind::LimitExceeded, "the file is too large")
        .expected(format!("at most {max} bytes"))
        .got("more")
        .in_file(path))
}
