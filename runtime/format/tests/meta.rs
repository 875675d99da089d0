//! The rules of metadata, each broken once, and its limits.

mod common;

use common::{WEIGHTS_BYTES, described, file, parts, plan, repair, section, text, weights};
use far_format::cpu::{Arch, Features};
use far_format::layout::Precision;
use far_format::meta::{Filter, ImageColor, ImageLayout, Info, Labels, MAX_SIDE, Resize};
use far_format::plan::{Dim, Dtype, Plan};
use far_format::{CheckedPlan, Error, Section, read, write};

fn refusal(plan: Plan) -> String {
    match CheckedPlan::new(plan, Arch::Aarch64, WEIGHTS_BYTES) {
        Err(error) => error.to_string(),
        Ok(_) => "accepted".into(),
    }
}

/// As `farc compile --meta` and the commands' JSON have them.
#[test]
fn names() {
    assert_eq!(
        [ImageColor::Rgb, ImageColor::Bgr, ImageColor::Gray].map(ImageColor::name),
        ["rgb", "bgr", "gray"]
    );
    assert_eq!([ImageLayout::Nchw, ImageLayout::Nhwc].map(ImageLayout::name), ["nchw", "nhwc"]);
    assert_eq!([Filter::Bilinear, Filter::Bicubic].map(Filter::name), ["bilinear", "bicubic"]);
    let resize = [Resize::Stretch, Resize::Crop { shorter: 9 }, Resize::Pad { value: 0 }];
    assert_eq!(resize.map(Resize::name), ["stretch", "crop", "pad"]);
    let labels = described().meta.labels.unwrap();
    assert_eq!((labels.name(1), labels.name(4)), (Some("dog"), None));
    let dims = [Dim::Fixed(7), Dim::Batch, Dim::Tokens].map(|dim| dim.to_string());
    assert_eq!(dims, ["7", "batch", "tokens"]);
    for arch in Arch::ALL {
        assert_eq!(Arch::from_name(arch.name()), Some(arch));
    }
    for (feature, arch, name) in Features::ALL.iter().copied() {
        assert_eq!(Features::from_name(arch, name), Some(feature));
        assert_eq!(Features::from_name(arch, &name.to_uppercase()), None);
    }
    for precision in Precision::ALL {
        assert_eq!(Precision::from_name(&precision.to_string()), Some(precision));
        assert_eq!(Precision::from_u8(precision as u8), Some(precision));
    }
    assert_eq!(Precision::from_name("f8"), None);
}

#[test]
fn rules() {
    macro_rules! image {
        ($plan:ident) => {
            $plan.meta.image.as_mut().unwrap()
        };
    }
    type Change = fn(&mut Plan);
    let cases: [(Change, &str); 19] = [
        (|p| p.meta.labels = None, "accepted"),
        (|p| image!(p).layout = ImageLayout::Nhwc, "`image.color` is out of range"),
        (|p| p.meta.info[0].key.clear(), "`info.key` is out of range"),
        (|p| p.meta.info.reverse(), "expected keys that aren't empty, differ and ascend, got `1`"),
        (|p| p.meta.info[1].key = "author".into(), "`info.key`"),
        (|p| p.meta.labels.as_mut().unwrap().output = 1, "`labels.output` is number `1` of `1`"),
        (|p| p.meta.labels.as_mut().unwrap().names.truncate(3), "`labels.names` is out of range"),
        (|p| image!(p).input = 7, "`image.input` is number `7` of `1`"),
        (|p| image!(p).color = ImageColor::Rgb, "`image.color`"),
        (|p| image!(p).resize = Resize::Crop { shorter: 3 }, "`image.resize.shorter`"),
        (|p| image!(p).resize = Resize::Crop { shorter: 4 }, "accepted"),
        (|p| image!(p).resize = Resize::Crop { shorter: MAX_SIDE + 1 }, "at most 16384, got `16385`"),
        (|p| image!(p).channels.clear(), "expected one for each channel, got `0`"),
        (|p| image!(p).scale = 0.0, "`image.scale` is out of range: expected finite and above 0, got `0`"),
        (|p| image!(p).scale = f32::INFINITY, "`image.scale`"),
        (|p| image!(p).channels[0].std = -1.0, "`image.channels.std`"),
        (|p| image!(p).channels[0].std = f32::NAN, "`image.channels.std`"),
        (|p| image!(p).channels[0].mean = f32::NAN, "`image.channels.mean` is out of range: expected finite"),
        (|p| image!(p).channels[0].mean = -3.0, "accepted"),
    ];
    for (i, (change, expected)) in cases.into_iter().enumerate() {
        let mut plan = described();
        change(&mut plan);
        let refusal = refusal(plan);
        assert!(refusal.contains(expected), "{i}: {refusal}");
    }
}

#[test]
fn ports_that_are_no_images_or_classes() {
    // Words are no image, and tokens have no names.
    let mut plan = text();
    plan.meta.image = described().meta.image;
    assert!(
        refusal(plan.clone()).contains("`image.input` has the wrong element type: expected f32, got `i64`")
    );
    plan.meta.image = None;
    for (output, names, fits) in [(0, 4, true), (1, 4, true), (1, 6, false)] {
        plan.meta.labels = Some(Labels { output, names: vec![String::new(); names] });
        assert_eq!(refusal(plan.clone()) == "accepted", fits, "{names} names of output {output}");
    }
    let mut plan = described();
    plan.inputs[0].dims = vec![Dim::Fixed(2), Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(4)];
    assert!(refusal(plan.clone()).contains("`image.color`"), "two images are no image");
    plan.inputs[0].dims = vec![Dim::Fixed(2), Dim::Fixed(4)];
    assert!(refusal(plan.clone()).contains("`image.input`"), "a matrix is no image");
    plan.inputs[0].dtype = Dtype::I32;
    assert!(refusal(plan).contains("`image.input`"));
}

#[test]
fn it_stands_in_its_section() {
    let file = write(&parts(&described(), &weights())).unwrap();
    let (meta, len) = section(&file, 0);
    let tail = &file[meta + 4 + 14 + 4..meta + len];
    let expected: &[&[u8]] = &[
        &[10, 0, 0, 0],
        "Für Tests".as_bytes(),
        &[2, 0, 0, 0, 6, 0, 0, 0],
        b"author",
        &[0, 0, 0, 0, 7, 0, 0, 0],
        b"licence",
        &[3, 0, 0, 0],
        b"MIT",
        &[1, 0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0],
        b"cat",
        &[3, 0, 0, 0],
        b"dog",
        &[5, 0, 0, 0],
        b"crane",
        &[5, 0, 0, 0],
        b"crane",
        // Input 0, NCHW, grey, cropped from 5, bicubic; a half; one channel: a quarter and 2.
        &[1, 0, 0, 0, 0, 0, 2, 1, 5, 0, 0, 0, 1, 0, 0, 0, 0x3f],
        &[1, 0, 0, 0, 0, 0, 0x80, 0x3e, 0, 0, 0, 0x40],
    ];
    let expected = [&b"tiny"[..], &expected.concat()].concat();
    assert_eq!(tail, expected);
}

#[test]
fn limits_come_before_memory() {
    let mut plan = plan();
    plan.meta.info = (0..257).map(|i| Info { key: format!("{i:03}"), value: String::new() }).collect();
    let error = Error::Limit { section: Section::Meta, field: "Meta.info", limit: 256, found: 257 };
    assert_eq!(write(&parts(&plan, &weights())), Err(error));

    // A count of labels that the section can't hold.
    let mut file = write(&parts(&described(), &weights())).unwrap();
    let (meta, len) = section(&file, 0);
    let at = file[meta..meta + len].windows(7).position(|w| w == b"\x04\0\0\0\x03\0\0").unwrap() + meta;
    file[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    repair(&mut file);
    let error = read(&file).unwrap_err();
    let left = (meta + len - at - 4) as u64 / 4;
    let found = u64::from(u32::MAX);
    assert_eq!(error, Error::Limit { section: Section::Meta, field: "Labels.names", limit: left, found });
}

#[test]
fn one_without_any_takes_ten_bytes() {
    let (_, len) = section(&file(), 0);
    assert_eq!(len, 4 + 14 + 4 + 4 + 10);
}
