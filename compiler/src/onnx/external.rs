//! Brings tensors whose data lie in other files into the model, so that everything else sees one file.
//! May import: `error`, `proto`, `tensor`, protobuf types.
//!
//! A model from somewhere else names the files, so it could name any: only plain files inside the model's own folder are
//! opened, symbolic links resolved, and only as many bytes are read as the tensor's shape says.

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::{ImportOptions, proto, tensor};
use crate::error::{Error, ErrorKind, Result};

/// The same model with the data of all its tensors inside. `folder` is the one that the model's file is in; files in it and
/// below it may be read, together with the model no more than `options.max_bytes`.
///
/// # Errors
///
/// `BrokenModel` for a file that is no ONNX model, for a path that leads out of the folder, and for an offset or length that
/// does not fit; `LimitExceeded` beyond `options`; `Io` for what can't be read; `UnsupportedAttribute` for a checksum.
pub fn embed_external_data(bytes: Vec<u8>, folder: &Path, options: &ImportOptions) -> Result<Vec<u8>> {
    let (mut model, mut graph) = proto::parse(&bytes, options)?;
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let tensors = graph.initializer.iter_mut().chain(attributes.filter_map(|a| a.t.as_mut()));
    let mut tensors = tensors.filter(|t| tensor::is_external(t)).peekable();
    if tensors.peek().is_none() {
        return Ok(bytes);
    }
    let io = |e: std::io::Error| {
        Error::new(ErrorKind::Io, format!("the model's folder can't be opened: {e}")).in_file(folder)
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let left = options.max_bytes.saturating_sub(bytes.len());
    let mut files = Files { folder: folder.canonicalize().map_err(io)?, max: options.max_bytes, left };
    for tensor in tensors {
        let data = files.read(tensor).map_err(|e| e.at_field(&tensor.name))?;
        tensor.raw_data = data;
        tensor.external_data.clear();
        tensor.data_location = None;
    }
    model.graph = Some(graph);
    Ok(model.encode_to_vec())
}

/// Where a tensor's data are.
struct Entry<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

fn entry(tensor: &TensorProto) -> Result<Entry<'_>> {
    let broken = |what: String| Error::new(ErrorKind::BrokenModel, what);
    let (mut location, mut offset, mut length) = (None, None, None);
    for pair in &tensor.external_data {
        let (key, value) = (pair.key.as_str(), pair.value.as_str());
        let number = || {
            value.parse::<u64>().map_err(|_| {
                broken(format!("`{key}` of external data is no size"))
                    .expected("bytes")
                    .got(format!("`{value}`"))
            })
        };
        let twice = match key {
            "location" => location.replace(value).is_some(),
            "offset" => offset.replace(number()?).is_some(),
            "length" => length.replace(number()?).is_some(),
            _ => {
                return Err(Error::new(
                    ErrorKind::UnsupportedAttribute,
                    format!("unsupported entry `{key}` of external data"),
                )
                .expected("`location`, `offset`, `length`")
                .got(format!("`{key}`"))
                .hint("save the model anew with `onnx.save`"));
            }
        };
        if twice {
            return Err(broken(format!("`{key}` of external data is given twice")));
        }
    }
    let location = location.ok_or_else(|| broken("external data have no `location`".into()))?;
    Ok(Entry { location, offset: offset.unwrap_or(0), length })
}

/// The files beside a model.
struct Files {
    /// Canonical.
    folder: PathBuf,
    /// Most bytes of the model and all that is read.
    max: usize,
    /// Bytes that may still be read.
    left: usize,
}

impl Files {
    /// The tensor's data: exactly what its shape and type take.
    fn read(&mut self, tensor: &TensorProto) -> Result<Vec<u8>> {
        if !tensor.raw_data.is_empty() {
            return Err(Error::new(
                ErrorKind::BrokenModel,
                "a tensor has data both inside and outside of the file",
            ));
        }
        let Entry { location, offset, length } = entry(tensor)?;
        let needed = size(tensor)?;
        let path = self.resolve(location)?;
        let io = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("external data `{location}` can't be read: {e}")).in_file(&path)
        };
        let mut file = File::open(&path).map_err(io)?;
        let available = file.metadata().map_err(io)?.len();
        let length = length.unwrap_or_else(|| available.saturating_sub(offset));
        if length != needed as u64 {
            return Err(Error::new(
                ErrorKind::BrokenModel,
                "external data don't have the size of their tensor",
            )
            .expected(format!("{needed} bytes for {:?}", tensor.dims))
            .got(format!("{length} bytes")));
        }
        if offset.checked_add(length).is_none_or(|end| end > available) {
            return Err(Error::new(
                ErrorKind::BrokenModel,
                format!("external data end behind the file `{location}`"),
            )
            .expected(format!("at most {available} bytes"))
            .got(format!("{length} bytes from {offset} on"))
            .hint("the file may be truncated, or belong to another model"));
        }
        self.left = self.left.checked_sub(needed).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, "the model and its external data are too large")
                .expected(format!("at most {} bytes", self.max))
                .got("more")
                .hint("`--limit model-bytes=N` accepts more")
        })?;
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut data = Vec::with_capacity(needed);
        file.take(length).read_to_end(&mut data).map_err(io)?;
        if data.len() != needed {
            return Err(io(IoKind::UnexpectedEof.into()));
        }
        Ok(data)
    }

    /// The file that a location names, if it is a plain one inside the folder.
    fn resolve(&self, location: &str) -> Result<PathBuf> {
        let refused = |expected: &str| {
            Error::new(ErrorKind::BrokenModel, "external data outside of the model's folder")
                .expected(expected)
                .got(format!("`{location}`"))
                .hint("put the file beside the model, and save the model anew with `onnx.save`")
        };
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        // A backslash is a separator elsewhere, and a NUL ends a path early.
        let odd = location.is_empty() || location.contains(['\\', '\0']);
        if odd || !Path::new(location).components().all(inside) {
            return Err(refused("a relative path without `..`"));
        }
        let named = self.folder.join(location);
        let io = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("external data `{location}` can't be read: {e}"))
                .in_file(&named)
                .hint("the file belongs beside the model")
        };
        let path = named.canonicalize().map_err(io)?;
        if !path.starts_with(&self.folder) {
            return Err(refused("a file inside the folder, links followed"));
        }
        // Before it is opened: opening a pipe would wait for its other end.
        if !fs::metadata(&path).map_err(io)?.is_file() {
            return Err(refused("a plain file"));
        }
        Ok(path)
    }
}

/// Bytes that the tensor's data take.
fn size(tensor: &TensorProto) -> Result<usize> {
    let elements = tensor::elements(&tensor::shape(&tensor.dims)?)?;
    let r#type = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let size = match r#type {
        DataType::Double | DataType::Int64 => 8,
        DataType::Float | DataType::Int32 => 4,
        DataType::Float16 => 2,
        DataType::Bool => 1,
        other => return Err(tensor::unsupported_type(other, tensor.data_type)),
    };
    elements.checked_mul(size).ok_or_else(|| {
        Error::new(ErrorKind::LimitExceeded, "a tensor is too large to be addressed")
            .expected("fewer elements")
            .got(format!("{:?}", tensor.dims))
    })
}
