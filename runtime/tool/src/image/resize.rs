//! Pictures of another size, bit for bit as Pillow's `Image.resize` makes them: a horizontal pass, then a vertical one,
//! each rounded to 8 bits. Where a side becomes smaller the filter becomes wider in proportion (antialiasing).
//! May import: `image`; far-format (filters).

use far_format::meta::Filter;

use super::{Picture, check_size, room};

/// Bits after the point of the weights of pixels.
const BITS: u32 = 32 - 8 - 2;

/// How far a filter reaches, in pixels of the larger picture where that is the result.
fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Bilinear => 1.0,
        Filter::Bicubic => 2.0,
    }
}

fn weight(filter: Filter, x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match filter {
        Filter::Bilinear if x < 1.0 => 1.0 - x,
        Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// What one pixel of a row of the result is made of: `weights` of the pixels from `first` on.
struct Mix {
    first: usize,
    weights: Vec<i64>,
}

/// The mixes of a row of `to` pixels out of one of `from`.
fn mixes(filter: Filter, from: usize, to: usize) -> Result<Vec<Mix>, String> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let reach = support(filter) * wide;
    let mut mixes = room(to)?;
    for i in 0..to {
        let center = (i as f64 + 0.5) * scale;
        // Truncated as in Pillow; what is negative becomes 0.
        let first = (center - reach + 0.5) as usize;
        let end = ((center + reach + 0.5) as usize).min(from);
        let raw: Vec<f64> =
            (first..end).map(|x| weight(filter, (x as f64 - center + 0.5) * (1.0 / wide))).collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |w: &f64| {
            let part = if sum == 0.0 { *w } else { w / sum };
            let w = part * f64::from(1 << BITS);
            if w < 0.0 { (w - 0.5) as i64 } else { (w + 0.5) as i64 }
        };
        mixes.push(Mix { first, weights: raw.iter().map(fixed).collect() });
    }
    Ok(mixes)
}

/// The picture in another size.
pub(super) fn resize(
    picture: Picture,
    width: usize,
    height: usize,
    filter: Filter,
) -> Result<Picture, String> {
    check_size(width, height)?;
    let picture = if width == picture.width {
        picture
    } else {
        check_size(width, picture.height)?;
        let mixes = mixes(filter, picture.width, width)?;
        let row = picture.width * picture.channels;
        let mut data = room(width * picture.height * picture.channels)?;
        for y in 0..picture.height {
            for mix in &mixes {
                for c in 0..picture.channels {
                    let pixel = |i: usize| picture.data[y * row + (mix.first + i) * picture.channels + c];
                    data.push(mixed(mix, pixel));
                }
            }
        }
        Picture { width, data, ..picture }
    };
    if height == picture.height {
        return Ok(picture);
    }
    let row = picture.width * picture.channels;
    let mut data = room(row * height)?;
    for mix in &mixes(filter, picture.height, height)? {
        for x in 0..row {
            data.push(mixed(mix, |i| picture.data[(mix.first + i) * row + x]));
        }
    }
    Ok(Picture { height, data, ..picture })
}

fn mixed(mix: &Mix, pixel: impl Fn(usize) -> u8) -> u8 {
    let products = mix.weights.iter().enumerate().map(|(i, w)| w * i64::from(pixel(i)));
    let sum = products.sum::<i64>() + (1 << (BITS - 1));
    (sum >> BITS).clamp(0, 255) as u8
}
