//! Netpbm's grey and colour pictures (P2, P3, P5, P6), of 8 or 16 bits. May import: `image`.

use super::{Picture, check_size, room};

/// The picture in a file's bytes.
pub(super) fn read(file: &[u8]) -> Result<Picture, String> {
    let mut from = Text { left: file.get(2..).unwrap_or_default() };
    let (channels, plain) = match file.get(1) {
        Some(b'2') => (1, true),
        Some(b'3') => (3, true),
        Some(b'5') => (1, false),
        Some(b'6') => (3, false),
        _ => return Err("Netpbm: expected `P2`, `P3`, `P5` or `P6`".into()),
    };
    let width = from.number("width")? as usize;
    let height = from.number("height")? as usize;
    let most = from.number("largest value")?;
    check_size(width, height)?;
    if !(1..=65_535).contains(&most) {
        return Err(format!("largest value: expected `1` to `65535`, got `{most}`"));
    }
    let len = width * height * channels;
    // As if white were 255.
    let scaled = |value: u32| ((value.min(most) * 255 + most / 2) / most) as u8;
    let mut data = room(len)?;
    if plain {
        for _ in 0..len {
            data.push(scaled(from.number("pixel")?));
        }
        return Picture::new(width, height, channels, data);
    }
    // A single white space ends the header.
    let bytes = from.left.get(1..).unwrap_or_default();
    let size = if most > 255 { 2 } else { 1 };
    let Some(bytes) = bytes.get(..len * size) else {
        return Err(format!("pixels: expected `{}` bytes, got `{}`", len * size, bytes.len()));
    };
    match size {
        1 => data.extend(bytes.iter().map(|v| scaled(u32::from(*v)))),
        _ => data.extend(bytes.as_chunks().0.iter().map(|v| scaled(u32::from(u16::from_be_bytes(*v))))),
    }
    Picture::new(width, height, channels, data)
}

struct Text<'a> {
    left: &'a [u8],
}

impl Text<'_> {
    fn number(&mut self, what: &str) -> Result<u32, String> {
        self.space();
        let digits = self.left.iter().take_while(|c| c.is_ascii_digit()).count();
        let (number, rest) = self.left.split_at(digits);
        self.left = rest;
        let text = std::str::from_utf8(number).unwrap_or_default();
        text.parse().map_err(|_| format!("{what}: expected a number, got `{text}`"))
    }

    /// White space, and comments up to the end of their line.
    fn space(&mut self) {
        while let Some((first, rest)) = self.left.split_first() {
            if *first == b'#' {
                let end = rest.iter().position(|c| *c == b'\n').unwrap_or(rest.len());
                self.left = &rest[end..];
            } else if first.is_ascii_whitespace() {
                self.left = rest;
            } else {
                return;
            }
        }
    }
}
