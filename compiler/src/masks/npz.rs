//! Npz, NumPy's zip of arrays → entries. Entries are read as a stream and never beyond a limit, whatever sizes the file
//! claims. May import: `error`, `element`; far-tool (headers of arrays).

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use far_tool::npy;
use zip::ZipArchive;

use super::element::{self, Element};
use super::{Entry, Masks};
use crate::error::{Error, ErrorKind, Result};

/// What an npz file begins with: a zip file's first entry, or its directory if it has none.
const SIGNATURES: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Most arrays of a file.
const MAX_ENTRIES: usize = 1 << 16;

pub(super) fn is_npz(bytes: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| bytes.starts_with(signature))
}

/// Reads a file whose arrays are at most `limit` bytes unpacked.
pub(super) fn read_within(bytes: &[u8], limit: u64) -> Result<Masks> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| bad(format!("the npz file is not sound: {e}")).hint("write it with `numpy.savez`"))?;
    if archive.len() > MAX_ENTRIES {
        return Err(Error::new(ErrorKind::LimitExceeded, "the npz file has too many arrays")
            .expected(format!("at most `{MAX_ENTRIES}`"))
            .got(format!("`{}`", archive.len())));
    }
    let mut entries = BTreeMap::new();
    let mut left = limit;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|e| bad(format!("an array can't be read: {e}")))?;
        let name = file.name();
        let name = name.strip_suffix(".npy").unwrap_or(name).to_owned();
        let mut stream = file.take(left);
        let entry = array(&mut stream).map_err(|error| match stream.limit() {
            0 => Error::new(ErrorKind::LimitExceeded, "the arrays of the npz file are too large")
                .expected(format!("at most `{limit}` bytes unpacked"))
                .got("more")
                .hint("`--limit unpacked-mask-bytes=N` accepts more")
                .at_node(&name),
            _ => error.at_node(&name),
        })?;
        left = stream.limit();
        if entries.insert(name.clone(), entry).is_some() {
            return Err(bad("two arrays of one name").at_node(name));
        }
    }
    Ok(Masks { entries })
}

fn array(file: &mut impl Read) -> Result<Entry> {
    let io = |e: std::io::Error| bad(format!("an array can't be read: {e}"));
    let mut front = Vec::new();
    file.by_ref().take(npy::MAX_PREFIX as u64).read_to_end(&mut front).map_err(io)?;
    let (header, rest) = npy::header(&front).map_err(bad)?;
    let element = match header.descr {
        "|b1" => Element::Bool,
        "|u1" => Element::U8,
        "<i4" => Element::I32,
        "<i8" => Element::I64,
        "<f4" => Element::F32,
        "<f8" => Element::F64,
        other => {
            let got: String = other.chars().take(16).collect();
            return Err(bad("a mask of the wrong type").expected(Element::EXPECTED).got(format!("`{got}`")));
        }
    };
    let mut elements = rest.chain(file);
    let entry = element::entry(element, &header.shape, header.fortran_order, &mut elements)?;
    // The end is where the checksum is compared.
    match elements.read(&mut [0]).map_err(io)? {
        0 => Ok(entry),
        _ => Err(bad("bytes behind the elements of an array")
            .expected(format!("`{:?}` of `{}`", header.shape, header.descr))
            .got("more")),
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadMask, what)
}
