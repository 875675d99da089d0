//! Photographs to inputs: files to pictures ([`decode`]), and pictures to what a model's metadata asks for ([`prepare`]).
//! Reads hostile files without harm. May import: nothing of this crate; far-format (metadata).

mod decode;
mod exif;
mod pnm;
mod prepare;
mod resize;

pub use decode::decode;
pub use prepare::prepare;

/// Longest side of a picture.
pub const MAX_SIDE: usize = 1 << 14;

/// Most pixels of a picture: 64 million.
pub const MAX_PIXELS: usize = 1 << 26;

/// Values from 0 to 255, row by row; grey, or red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    /// As many as the three multiply to.
    pub data: Vec<u8>,
}

impl Picture {
    /// Of data of the right length and a size within the limits.
    fn new(width: usize, height: usize, channels: usize, data: Vec<u8>) -> Result<Picture, String> {
        check_size(width, height)?;
        if data.len() != width * height * channels {
            return Err(format!(
                "pixels: expected `{}` values, got `{}`",
                width * height * channels,
                data.len()
            ));
        }
        Ok(Picture { width, height, channels, data })
    }

    fn pixel(&self, x: usize, y: usize) -> &[u8] {
        let at = (y * self.width + x) * self.channels;
        &self.data[at..at + self.channels]
    }

    /// The same in grey: luma by ITU-R 601, rounded as Pillow does.
    fn gray(self) -> Result<Picture, String> {
        if self.channels == 1 {
            return Ok(self);
        }
        let mut data = room(self.width * self.height)?;
        data.extend(self.data.as_chunks().0.iter().map(|&[r, g, b]: &[u8; 3]| {
            ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
        }));
        Ok(Picture { channels: 1, data, ..self })
    }

    /// The same in red, green and blue.
    fn rgb(self) -> Result<Picture, String> {
        if self.channels == 3 {
            return Ok(self);
        }
        let mut data = room(self.data.len() * 3)?;
        data.extend(self.data.iter().flat_map(|v| [*v; 3]));
        Ok(Picture { channels: 3, data, ..self })
    }
}

/// Whether a picture may have this size.
fn check_size(width: usize, height: usize) -> Result<(), String> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || width * height > MAX_PIXELS {
        let expected = format!("sides of 1 to {MAX_SIDE} and at most {MAX_PIXELS} pixels");
        return Err(format!("size: expected {expected}, got `{width}×{height}`"));
    }
    Ok(())
}

/// An empty vector with room for so many values.
fn room<T>(len: usize) -> Result<Vec<T>, String> {
    let mut data = Vec::new();
    data.try_reserve_exact(len).map_err(|_| {
        format!("out of memory: can't allocate `{}` bytes", len.saturating_mul(size_of::<T>()))
    })?;
    Ok(data)
}

#[cfg(test)]
mod tests;
