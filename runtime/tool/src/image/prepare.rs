//! Pictures to inputs, as the metadata say. May import: `image`; far-format (metadata).

use far_format::meta::{Image, ImageColor, ImageLayout, Resize};

use super::resize::resize;
use super::{Picture, check_size, room};

/// The elements of an input of `height` × `width` for one picture: it is made grey or coloured, then resized, then
/// `(value · scale − mean) / std` in f32.
///
/// # Errors
/// A picture whose shape can't be resized within the limits, and a lack of memory.
pub fn prepare(picture: Picture, image: &Image, height: usize, width: usize) -> Result<Vec<f32>, String> {
    let picture = match image.color {
        ImageColor::Gray => picture.gray()?,
        ImageColor::Rgb | ImageColor::Bgr => picture.rgb()?,
    };
    let picture = fitted(picture, image, height, width)?;
    let count = picture.channels;
    // Where channel `c` of the input is in a pixel.
    let source = |c: usize| if image.color == ImageColor::Bgr { count - 1 - c } else { c };
    let value = |pixel: usize, c: usize| {
        let channel = image.channels[c];
        (f32::from(picture.data[pixel * count + source(c)]) * image.scale - channel.mean) / channel.std
    };
    let (pixels, mut input) = (height * width, room(height * width * count)?);
    match image.layout {
        ImageLayout::Nchw => {
            (0..count).for_each(|c| input.extend((0..pixels).map(|pixel| value(pixel, c))));
        }
        ImageLayout::Nhwc => {
            (0..pixels).for_each(|pixel| input.extend((0..count).map(|c| value(pixel, c))));
        }
    }
    Ok(input)
}

fn fitted(picture: Picture, image: &Image, height: usize, width: usize) -> Result<Picture, String> {
    match image.resize {
        Resize::Stretch => resize(picture, width, height, image.filter),
        Resize::Crop { shorter } => {
            let (w, h) = (picture.width, picture.height);
            let shorter = shorter as usize;
            // Cut off, not rounded: so does torchvision.
            let longer = shorter * w.max(h) / w.min(h);
            let (w, h) = if w <= h { (shorter, longer) } else { (longer, shorter) };
            check_size(w, h)?;
            let picture = resize(picture, w, h, image.filter)?;
            cut(&picture, middle(w - width), middle(h - height), width, height)
        }
        Resize::Pad { value } => {
            let (w, h) = (picture.width, picture.height);
            // The side that fills the input, and the other in proportion.
            let other = |side: usize, of: usize, most: usize| {
                ((side * most) as f64 / of as f64).round().max(1.0) as usize
            };
            let (w, h) = if w * height >= h * width {
                (width, other(h, w, width).min(height))
            } else {
                (other(w, h, height).min(width), height)
            };
            let picture = resize(picture, w, h, image.filter)?;
            let mut data = room(width * height * picture.channels)?;
            data.resize(width * height * picture.channels, value);
            let (left, top) = ((width - w) / 2, (height - h) / 2);
            for y in 0..h {
                let row = w * picture.channels;
                let at = ((top + y) * width + left) * picture.channels;
                data[at..at + row].copy_from_slice(&picture.data[y * row..(y + 1) * row]);
            }
            Picture::new(width, height, picture.channels, data)
        }
    }
}

/// Half of it, halves to the even number: so does torchvision.
fn middle(rest: usize) -> usize {
    (rest as f64 / 2.0).round_ties_even() as usize
}

fn cut(picture: &Picture, left: usize, top: usize, width: usize, height: usize) -> Result<Picture, String> {
    let mut data = room(width * height * picture.channels)?;
    for y in top..top + height {
        let at = (y * picture.width + left) * picture.channels;
        data.extend_from_slice(&picture.data[at..at + width * picture.channels]);
    }
    Picture::new(width, height, picture.channels, data)
}
