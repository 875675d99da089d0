//! Which way up a photograph is: the tag Orientation of its Exif data (TIFF). May import: `image`.

use super::{Picture, room};

/// Tag 0x0112 of the first directory; 1 (upright) where there is none.
pub(super) fn orientation(exif: &[u8]) -> u16 {
    find(exif).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

fn find(exif: &[u8]) -> Option<u16> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let little = match tiff.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = u32_at(4)? as usize;
    let entries = u16_at(directory)? as usize;
    let entry =
        (0..entries).filter_map(|i| directory.checked_add(2 + 12 * i)).take_while(|at| *at < tiff.len());
    // Of type SHORT.
    entry.filter(|at| u16_at(*at) == Some(0x0112) && u16_at(*at + 2) == Some(3)).find_map(|at| u16_at(at + 8))
}

/// The picture as it was seen.
pub(super) fn upright(picture: Picture, orientation: u16) -> Result<Picture, String> {
    if orientation <= 1 {
        return Ok(picture);
    }
    let (w, h) = (picture.width, picture.height);
    let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
    let mut data = room(picture.data.len())?;
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            data.extend_from_slice(picture.pixel(from_x, from_y));
        }
    }
    Picture::new(width, height, picture.channels, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiff(little: bool, value: u16) -> Vec<u8> {
        let mut file: Vec<u8> = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        let u16 = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let u32 = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        file.extend(u32(8));
        file.extend(u16(2));
        for (tag, kind, value) in [(0x010f, 2, 5), (0x0112, 3, value)] {
            file.extend([u16(tag), u16(kind)].concat());
            file.extend(u32(1));
            file.extend([u16(value), [0; 2]].concat());
        }
        file
    }

    #[test]
    fn the_tag_is_found_or_nothing_is_turned() {
        for value in 1..=8 {
            assert_eq!(orientation(&tiff(true, value)), value);
            assert_eq!(orientation(&[b"Exif\0\0", &tiff(false, value)[..]].concat()), value);
        }
        assert_eq!(orientation(&tiff(true, 9)), 1);
        let file = tiff(true, 6);
        for len in 0..file.len() - 3 {
            assert_eq!(orientation(&file[..len]), 1, "{len} bytes");
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), 1);
    }

    #[test]
    fn turned_as_the_tag_says() {
        // 1 2 3
        // 4 5 6
        let picture = Picture::new(3, 2, 1, (1..=6).collect()).unwrap();
        for (orientation, width, expected) in [
            (1, 3, [1, 2, 3, 4, 5, 6]),
            (2, 3, [3, 2, 1, 6, 5, 4]),
            (3, 3, [6, 5, 4, 3, 2, 1]),
            (4, 3, [4, 5, 6, 1, 2, 3]),
            (5, 2, [1, 4, 2, 5, 3, 6]),
            (6, 2, [4, 1, 5, 2, 6, 3]),
            (7, 2, [6, 3, 5, 2, 4, 1]),
            (8, 2, [3, 6, 2, 5, 1, 4]),
        ] {
            let turned = upright(picture.clone(), orientation).unwrap();
            assert_eq!((turned.width, &turned.data[..]), (width, &expected[..]), "{orientation}");
        }
    }
}
