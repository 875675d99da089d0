//! Files to pictures, by what they begin with: JPEG, PNG, Netpbm. May import: `image`; the decoders.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{MAX_PIXELS, MAX_SIDE, Picture, check_size, exif, pnm};

/// The picture in a file's bytes, the way up that its Exif data say. Transparency is left out, as if all were opaque.
///
/// # Errors
/// What is wrong, with what was expected and what is there.
pub fn decode(file: &[u8]) -> Result<Picture, String> {
    match file {
        [0xff, 0xd8, 0xff, ..] => jpeg(file),
        [0x89, b'P', b'N', b'G', ..] => png(file),
        [b'P', b'1'..=b'7', ..] => pnm::read(file),
        _ => {
            let first: Vec<String> = file.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            Err(format!("expected a JPEG, PNG or Netpbm (PGM, PPM) picture, got bytes `{}`", first.join(" ")))
        }
    }
}

fn jpeg(file: &[u8]) -> Result<Picture, String> {
    let wrong = |error: zune_jpeg::errors::DecodeErrors| format!("JPEG: {error}");
    let options = DecoderOptions::new_safe()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .set_strict_mode(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().ok_or("JPEG: no size")?;
    check_size(width, height)?;
    let data = decoder.decode().map_err(wrong)?;
    let picture = Picture::new(width, height, 3, data)?;
    let orientation = decoder.exif().map_or(1, |exif| exif::orientation(exif));
    exif::upright(picture, orientation)
}

fn png(file: &[u8]) -> Result<Picture, String> {
    let wrong = |error: png::DecodingError| format!("PNG: {error}");
    let limits = png::Limits { bytes: 4 * MAX_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), limits);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(wrong)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, exif::orientation);
    let (color, _) = reader.output_color_type();
    let size = reader.output_buffer_size().ok_or("PNG: too large")?;
    let mut data = super::room(size)?;
    data.resize(size, 0);
    reader.next_frame(&mut data).map_err(wrong)?;
    // Values of a pixel, and how many of them are colours.
    let (values, channels) = match color {
        png::ColorType::Grayscale => (1, 1),
        png::ColorType::GrayscaleAlpha => (2, 1),
        png::ColorType::Rgba => (4, 3),
        _ => (3, 3),
    };
    if values != channels {
        let mut at = 0;
        for pixel in 0..data.len() / values {
            data.copy_within(pixel * values..pixel * values + channels, at);
            at += channels;
        }
        data.truncate(at);
    }
    exif::upright(Picture::new(width, height, channels, data)?, orientation)
}
