//! Values to bytes and back: little-endian, fixed width, nothing allocated before its size is known to be sane.
//! May import: `error`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result, Section};

/// Longest string, in bytes.
pub(crate) const MAX_STRING: usize = 1024;

/// A value of the format.
pub(crate) trait Wire: Sized {
    /// Appends it.
    fn put(&self, out: &mut Encoder) -> Result<()>;
    /// Takes it off the front.
    fn take(from: &mut Decoder<'_>) -> Result<Self>;
}

/// A value that lists are made of.
pub(crate) trait Item: Wire {
    /// Most items in one list.
    const MAX_COUNT: usize;
    /// Fewest bytes that one item takes.
    const MIN_BYTES: usize;
}

/// Appends to a byte vector that grows fallibly.
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    section: Section,
    field: &'static str,
}

impl Encoder {
    pub(crate) fn new(section: Section) -> Self {
        Self { bytes: Vec::new(), section, field: "" }
    }

    /// Says which field comes next, for errors.
    pub(crate) fn field(&mut self, name: &'static str) {
        self.field = name;
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        reserve(&mut self.bytes, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn count(&mut self, count: usize, limit: usize) -> Result<()> {
        match u32::try_from(count) {
            Ok(n) if count <= limit => n.put(self),
            _ => Err(Error::Limit {
                section: self.section,
                field: self.field,
                limit: limit as u64,
                found: count as u64,
            }),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes values off the front of a section.
pub(crate) struct Decoder<'a> {
    left: &'a [u8],
    len: usize,
    section: Section,
    field: &'static str,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(section: Section, bytes: &'a [u8]) -> Self {
        Self { left: bytes, len: bytes.len(), section, field: "" }
    }

    /// Says which field comes next, for errors.
    pub(crate) fn field(&mut self, name: &'static str) {
        self.field = name;
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((head, tail)) = self.left.split_at_checked(len) else {
            return Err(Error::Ended {
                section: self.section,
                field: self.field,
                offset: (self.len - self.left.len()) as u64,
                expected: len as u64,
                found: self.left.len() as u64,
            });
        };
        self.left = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn count(&mut self, limit: usize, min_bytes: usize) -> Result<usize> {
        let found = u32::take(self)?;
        let limit = limit.min(self.left.len() / min_bytes.max(1)) as u64;
        if u64::from(found) > limit {
            let (section, field) = (self.section, self.field);
            return Err(Error::Limit { section, field, limit, found: u64::from(found) });
        }
        Ok(found as usize)
    }

    /// The error of a field whose value means nothing.
    pub(crate) fn unknown(&self, expected: &'static str, found: u64) -> Error {
        Error::Field { section: self.section, field: self.field, expected, found }
    }

    /// Everything must have been taken.
    pub(crate) fn finish(self) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let (expected, found) = ("its end", self.left.len() as u64);
        Err(Error::Field { section: self.section, field: "bytes after the last value", expected, found })
    }
}

/// Makes room for `more` elements, or says that memory is short.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    vec.try_reserve(more)
        .map_err(|_| Error::OutOfMemory { bytes: (more as u64).saturating_mul(size_of::<T>() as u64) })
}

macro_rules! number {
    ($($type:ident)*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Encoder) -> Result<()> {
                out.bytes(&self.to_le_bytes())
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self> {
                Ok($type::from_le_bytes(from.array()?))
            }
        }
    )*};
}
number!(u8 u16 u32 u64 f32);

impl Wire for bool {
    fn put(&self, out: &mut Encoder) -> Result<()> {
        u8::from(*self).put(out)
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(from.unknown("0 or 1", u64::from(other))),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Encoder) -> Result<()> {
        self.is_some().put(out)?;
        self.as_ref().map_or(Ok(()), |value| value.put(out))
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<T: Item> Wire for Vec<T> {
    fn put(&self, out: &mut Encoder) -> Result<()> {
        out.count(self.len(), T::MAX_COUNT)?;
        self.iter().try_for_each(|item| item.put(out))
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self> {
        let count = from.count(T::MAX_COUNT, T::MIN_BYTES)?;
        let mut items = Vec::new();
        reserve(&mut items, count)?;
        for _ in 0..count {
            items.push(T::take(from)?);
        }
        Ok(items)
    }
}

/// Whether a string may stand in an artifact: printable without surprises in a terminal, and a C string.
fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

impl Wire for String {
    fn put(&self, out: &mut Encoder) -> Result<()> {
        if !is_text(self) {
            return Err(Error::Text { section: out.section, field: out.field });
        }
        out.count(self.len(), MAX_STRING)?;
        out.bytes(self.as_bytes())
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self> {
        let len = from.count(MAX_STRING, 1)?;
        let bytes = from.bytes(len)?;
        match core::str::from_utf8(bytes) {
            Ok(text) if is_text(text) => try_string(text),
            _ => Err(Error::Text { section: from.section, field: from.field }),
        }
    }
}

impl Item for String {
    const MAX_COUNT: usize = 65_536;
    const MIN_BYTES: usize = 4;
}

/// A copy of `text`, or an error where memory is short.
pub(crate) fn try_string(text: &str) -> Result<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| Error::OutOfMemory { bytes: text.len() as u64 })?;
    copy.push_str(text);
    Ok(copy)
}
