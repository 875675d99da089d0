//! Pictures against Pillow's, geometry, and hostile files. `tests/data/pictures.py` made the pictures.

use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Normalization, Resize};
use proptest::prelude::*;

use super::resize::resize;
use super::*;

macro_rules! data {
    ($name:literal) => {
        &include_bytes!(concat!("../../tests/data/", $name))[..]
    };
}

fn photo() -> Picture {
    decode(data!("photo.png")).unwrap()
}

#[test]
fn resized_as_pillow_does() {
    for (file, filter) in [
        (data!("photo-bilinear-20x15.png"), Filter::Bilinear),
        (data!("photo-bilinear-61x50.png"), Filter::Bilinear),
        (data!("photo-bicubic-31x9.png"), Filter::Bicubic),
        (data!("photo-bicubic-7x80.png"), Filter::Bicubic),
    ] {
        let expected = decode(file).unwrap();
        let resized = resize(photo(), expected.width, expected.height, filter).unwrap();
        assert_eq!(resized, expected, "{filter:?} {}×{}", expected.width, expected.height);
    }
    assert_eq!(resize(photo(), 48, 37, Filter::Bilinear).unwrap(), photo());
    assert_eq!(photo().gray().unwrap(), decode(data!("photo-gray.png")).unwrap());
}

/// Mean and largest difference of values.
fn difference(a: &Picture, b: &Picture) -> (f64, u8) {
    assert_eq!((a.width, a.height, a.channels), (b.width, b.height, b.channels));
    let each = || a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b));
    (each().map(f64::from).sum::<f64>() / a.data.len() as f64, each().max().unwrap())
}

#[test]
fn photographs_are_decoded() {
    // Decoders round and smooth colours differently.
    let jpeg = decode(data!("photo.jpg")).unwrap();
    let (mean, most) = difference(&jpeg, &decode(data!("photo.jpg.png")).unwrap());
    assert!(mean < 1.0 && most < 24, "{mean} {most}");
    let (mean, _) = difference(&decode(data!("photo-turned.jpg")).unwrap(), &photo());
    assert!(mean < 12.0, "it lies on its side: {mean}");
    let (mean, _) = difference(&decode(data!("photo-palette.png")).unwrap(), &photo());
    assert!(mean < 8.0, "{mean}");
}

#[test]
fn netpbm_in_all_its_forms() {
    let plain = |text: &str| decode(text.as_bytes()).unwrap();
    assert_eq!(plain("P2 2 1 255 0 255"), Picture::new(2, 1, 1, vec![0, 255]).unwrap());
    assert_eq!(plain("P2\n# white is 3\n2 2\n3\n0 1 2 3\n").data, [0, 85, 170, 255]);
    assert_eq!(plain("P3 1 1 255 1 2 3").data, [1, 2, 3]);
    assert_eq!(decode(b"P5 2 1 255\n\x07\x20").unwrap().data, [7, 32]);
    assert_eq!(decode(b"P5 1 1 65535\n\x80\x00").unwrap().data, [128]);
    assert_eq!(decode(b"P6\n1 1\n255\n\n\x20\t").unwrap().data, [10, 32, 9]);
    for (text, error) in [
        ("P4 1 1 ", "Netpbm: expected `P2`, `P3`, `P5` or `P6`"),
        ("P5 2 1 255\n\u{7}", "pixels: expected `2` bytes, got `1`"),
        ("P5 x", "width: expected a number, got ``"),
        ("P5 1 1 65536 ", "largest value: expected `1` to `65535`, got `65536`"),
        ("P5 0 1 255 ", "size: expected sides of 1 to 16384 and at most 67108864 pixels, got `0×1`"),
        (
            "P6 16384 16384 255 ",
            "size: expected sides of 1 to 16384 and at most 67108864 pixels, got `16384×16384`",
        ),
        ("GIF89a", "expected a JPEG, PNG or Netpbm (PGM, PPM) picture, got bytes `47 49 46 38`"),
        ("", "expected a JPEG, PNG or Netpbm (PGM, PPM) picture, got bytes ``"),
    ] {
        assert_eq!(decode(text.as_bytes()), Err(error.into()));
    }
}

fn meta(color: ImageColor, resize: Resize) -> Image {
    let channels = (0..color.channels()).map(|c| Normalization { mean: c as f32, std: 2.0 }).collect();
    let (layout, filter) = (ImageLayout::Nchw, Filter::Bilinear);
    Image { input: 0, layout, color, resize, filter, scale: 0.5, channels }
}

#[test]
fn channels_and_layouts() {
    let picture = Picture::new(1, 2, 3, vec![10, 20, 30, 40, 50, 60]).unwrap();
    let of = |color, layout| {
        prepare(picture.clone(), &Image { layout, ..meta(color, Resize::Stretch) }, 2, 1).unwrap()
    };
    // (value / 2 − channel) / 2.
    assert_eq!(of(ImageColor::Rgb, ImageLayout::Nchw), [2.5, 10.0, 4.5, 12.0, 6.5, 14.0]);
    assert_eq!(of(ImageColor::Bgr, ImageLayout::Nchw), [7.5, 15.0, 4.5, 12.0, 1.5, 9.0]);
    assert_eq!(of(ImageColor::Rgb, ImageLayout::Nhwc), [2.5, 4.5, 6.5, 10.0, 12.0, 14.0]);
    assert_eq!(of(ImageColor::Gray, ImageLayout::Nchw), [4.5, 12.0]);
    let gray = Picture::new(1, 1, 1, vec![8]).unwrap();
    assert_eq!(prepare(gray, &meta(ImageColor::Rgb, Resize::Stretch), 1, 1).unwrap(), [2.0, 1.5, 1.0]);
}

#[test]
fn cropped_and_padded() {
    // 6×2: columns 0 to 5.
    let wide = Picture::new(6, 2, 1, (0..12).map(|i| i % 6 * 4).collect()).unwrap();
    let crop = meta(ImageColor::Gray, Resize::Crop { shorter: 2 });
    assert_eq!(prepare(wide.clone(), &crop, 2, 2).unwrap(), [2.0, 3.0, 2.0, 3.0]);
    // Of an odd rest the half is rounded to the even number: 5 − 2 = 3 leaves 2 on the left.
    let odd = Picture::new(5, 2, 1, (0..10).map(|i| i % 5 * 4).collect()).unwrap();
    assert_eq!(prepare(odd, &crop, 2, 2).unwrap(), [2.0, 3.0, 2.0, 3.0]);
    let pad = meta(ImageColor::Gray, Resize::Pad { value: 100 });
    let padded = prepare(wide, &pad, 6, 6).unwrap();
    assert_eq!(padded[..12], [25.0; 12]);
    assert_eq!(padded[12..18], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(padded[24..], [25.0; 12]);
    // One pixel high, and far too long for its width.
    let line = Picture::new(16_384, 1, 1, vec![0; 16_384]).unwrap();
    assert_eq!(prepare(line.clone(), &pad, 8, 8).unwrap().len(), 64);
    let error = prepare(line, &meta(ImageColor::Gray, Resize::Crop { shorter: 8 }), 8, 8).unwrap_err();
    assert!(error.contains("got `131072×8`"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_read_or_refused(
        original in prop::sample::select(vec![
            data!("photo.jpg"), data!("photo-turned.jpg"), data!("photo.png"), data!("photo-palette.png"),
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = original.to_vec();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(cut.map_or(file.len(), |cut| cut.index(file.len())));
        if let Ok(picture) = decode(&file) {
            prop_assert_eq!(picture.data.len(), picture.width * picture.height * picture.channels);
        }
    }

    #[test]
    fn any_size_becomes_any_other(
        w in 1usize..40, h in 1usize..40, width in 1usize..24, height in 1usize..24, bicubic: bool, value: u8,
    ) {
        let filter = if bicubic { Filter::Bicubic } else { Filter::Bilinear };
        let resized = resize(Picture::new(w, h, 1, vec![value; w * h]).unwrap(), width, height, filter).unwrap();
        prop_assert_eq!((resized.width, resized.height, resized.data.len()), (width, height, width * height));
        prop_assert!(resized.data.iter().all(|v| v.abs_diff(value) <= 1), "an even grey stays one");
    }
}
