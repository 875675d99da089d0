//! Opening models through the C interface, asking them, and every way in which opening fails.
#![allow(
    unsafe_code,
    reason = "the C interface is unsafe to call; each call passes live handles and memory of the test"
)]
#![allow(clippy::undocumented_unsafe_blocks)]

mod common;

use std::ffi::CString;
use std::path::Path;
use std::ptr::{self, null, null_mut};

use far::*;
use far_format::cpu::{Arch, Features};
use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Normalization, Resize};

use common::{input, last_error, output, text};

/// Where failed calls must not write.
const UNTOUCHED: *mut far_model = ptr::without_provenance_mut(0xdead_beef);

fn open(bytes: &[u8]) -> Result<*mut far_model, far_status> {
    let mut model = UNTOUCHED;
    match unsafe { far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), &mut model) } {
        FAR_OK => Ok(model),
        status => {
            assert_eq!(model, UNTOUCHED, "a failed call wrote its result");
            Err(status)
        }
    }
}

#[test]
fn a_file_that_is_read_may_go() {
    let path = std::env::temp_dir().join(format!("far-copy-{}.far", std::process::id()));
    std::fs::write(&path, common::artifact()).unwrap();
    let text = CString::new(path.to_str().unwrap()).unwrap();
    let options = far_model_options {
        struct_size: size_of::<far_model_options>(),
        abi_version: FAR_ABI_VERSION,
        flags: FAR_MODEL_COPY,
        ..far_model_options::default()
    };
    let mut model = UNTOUCHED;
    assert_eq!(unsafe { far_model_open(text.as_ptr(), &options, &mut model) }, FAR_OK);
    std::fs::remove_file(&path).unwrap();
    unsafe { far_model_free(model) };
    let (bytes, mut model) = (common::artifact(), UNTOUCHED);
    for open in [far_model_open_memory, far_model_open_static] {
        assert_eq!(
            unsafe { open(bytes.as_ptr().cast(), bytes.len(), &options, &mut model) },
            FAR_ERROR_OPTION
        );
    }
    assert_eq!(model, UNTOUCHED);
    assert!(last_error().contains("`options.flags`"), "{}", last_error());
}

fn open_file(path: &Path) -> Result<*mut far_model, far_status> {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let mut model = UNTOUCHED;
    match unsafe { far_model_open(path.as_ptr(), null(), &mut model) } {
        FAR_OK => Ok(model),
        status => {
            assert_eq!(model, UNTOUCHED, "a failed call wrote its result");
            Err(status)
        }
    }
}

fn info_init() -> far_tensor_info {
    far_tensor_info {
        struct_size: size_of::<far_tensor_info>(),
        name: null(),
        dtype: 0,
        rank: 0,
        dims: [9; FAR_MAX_RANK],
        element_count: 0,
        size: 0,
        dim_kinds: [9; FAR_MAX_RANK],
    }
}

#[test]
fn says_what_it_is() {
    let model = open(&common::artifact()).unwrap();
    let (mut name, mut inputs, mut outputs, mut arena) = (null(), 0, 0, 0);
    unsafe {
        assert_eq!(far_model_name(model, &mut name), FAR_OK);
        assert_eq!(far_model_input_count(model, &mut inputs), FAR_OK);
        assert_eq!(far_model_output_count(model, &mut outputs), FAR_OK);
        assert_eq!(far_model_arena_size(model, &mut arena), FAR_OK);
    }
    assert_eq!((text(name).as_str(), inputs, outputs, arena), ("fixture", 2, 2, 64));

    let mut info = info_init();
    assert_eq!(unsafe { far_model_input_info(model, 0, &mut info) }, FAR_OK);
    assert_eq!((text(info.name).as_str(), info.dtype, info.rank), ("a", FAR_DTYPE_F32, 3));
    assert_eq!((info.dims, info.element_count, info.size), ([1, 2, 4, 0, 0, 0, 0, 0], 8, 32));
    assert_eq!(unsafe { far_model_output_info(model, 1, &mut info) }, FAR_OK);
    assert_eq!((text(info.name).as_str(), info.dtype, info.rank), ("features", FAR_DTYPE_F32, 2));
    assert_eq!((info.dims, info.element_count, info.size), ([2, 3, 0, 0, 0, 0, 0, 0], 6, 24));

    let (mut bits, mut names) = (1, null());
    assert_eq!(unsafe { far_model_required_features(model, &mut bits, &mut names) }, FAR_OK);
    assert_eq!((bits, text(names).as_str()), (0, "none"));
    assert_eq!(unsafe { far_model_required_features(model, null_mut(), null_mut()) }, FAR_OK);
    assert_eq!(unsafe { far_model_precisions(model, &mut bits, &mut names) }, FAR_OK);
    assert_eq!((bits, text(names).as_str()), (1 << FAR_PRECISION_F32, "f32"));
    assert_eq!(unsafe { far_model_precisions(model, null_mut(), null_mut()) }, FAR_OK);
    unsafe { far_model_free(model) };
}

#[test]
fn says_what_varies() {
    let model = open(&common::text_artifact()).unwrap();
    let mut info = info_init();
    let (batch, tokens) = (FAR_DIM_BATCH, FAR_DIM_TOKENS);
    assert_eq!(unsafe { far_model_input_info(model, 0, &mut info) }, FAR_OK);
    assert_eq!((text(info.name).as_str(), info.dtype, info.rank), ("words", FAR_DTYPE_I64, 2));
    assert_eq!((info.dims, info.element_count, info.size), ([3, 6, 0, 0, 0, 0, 0, 0], 18, 144));
    assert_eq!(info.dim_kinds, [batch, tokens, 0, 0, 0, 0, 0, 0]);
    assert_eq!(unsafe { far_model_input_info(model, 1, &mut info) }, FAR_OK);
    assert_eq!((info.dtype, info.size), (FAR_DTYPE_I32, 72));
    assert_eq!(unsafe { far_model_output_info(model, 0, &mut info) }, FAR_OK);
    assert_eq!((info.dims, info.dim_kinds[..3].to_vec()), ([3, 6, 4, 0, 0, 0, 0, 0], vec![batch, tokens, 0]));
    unsafe { far_model_free(model) };
}

#[test]
fn opens_at_any_alignment_and_keeps_no_pointer() {
    let bytes = common::artifact();
    for shift in [0, 1, 3] {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&bytes);
        let model = open(&shifted[shift..]).unwrap();
        shifted.fill(0xff);
        drop(shifted);
        let mut session = null_mut();
        let mut out = [0.0f32; common::WIDE];
        unsafe {
            assert_eq!(far_session_new(model, null(), &mut session), FAR_OK);
            far_model_free(model);
            run(session, &common::A, &common::B, &mut out);
            far_session_free(session);
        }
        assert_eq!(out.to_vec(), common::sum(&common::A, &common::B));
    }
}

/// Runs the fixture by position and checks its second output.
unsafe fn run(session: *mut far_session, a: &[f32], b: &[f32], sum: &mut [f32]) {
    let mut features = [0.0f32; common::NARROW];
    let (inputs, outputs) = ([input(a), input(b)], [output(sum), output(&mut features)]);
    let status = unsafe { far_session_run(session, inputs.as_ptr(), 2, outputs.as_ptr(), 2) };
    assert_eq!(status, FAR_OK, "{}", last_error());
    assert_eq!(features.to_vec(), common::features(a));
}

#[test]
fn opens_a_file() {
    let path = std::env::temp_dir().join(format!("far-capi-{}.far", std::process::id()));
    std::fs::write(&path, common::artifact()).unwrap();
    let opened = open_file(&path);
    std::fs::remove_file(&path).unwrap();
    let model = opened.unwrap_or_else(|status| panic!("{status}: {}", last_error()));
    let (mut session, mut out) = (null_mut(), [0.0f32; common::WIDE]);
    unsafe {
        assert_eq!(far_session_new(model, null(), &mut session), FAR_OK);
        run(session, &common::A, &common::B, &mut out);
        far_session_free(session);
        far_model_free(model);
    }
    assert_eq!(out.to_vec(), common::sum(&common::A, &common::B));
}

#[test]
fn missing_and_unreadable_files_are_told_apart() {
    assert_eq!(open_file(Path::new("/no/such/model.far")), Err(FAR_ERROR_FILE_NOT_FOUND));
    assert!(last_error().contains("/no/such/model.far"), "{}", last_error());
    assert_eq!(open_file(Path::new("/")), Err(FAR_ERROR_IO));
}

#[test]
fn other_files_are_no_artifacts() {
    assert_eq!(open(b"\x7fELF, or some other file"), Err(FAR_ERROR_NOT_AN_ARTIFACT));
    assert_eq!(open(b""), Err(FAR_ERROR_NOT_AN_ARTIFACT));
}

#[test]
fn damage_is_refused_wherever_it_is() {
    let whole = common::artifact();
    for length in (8..whole.len()).step_by(if whole.len() > 4096 { 97 } else { 1 }) {
        assert_eq!(open(&whole[..length]), Err(FAR_ERROR_CORRUPT), "cut to {length} bytes: {}", last_error());
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(open(&longer), Err(FAR_ERROR_CORRUPT));
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(open(&flipped), Err(FAR_ERROR_CORRUPT));
    let mut version = whole;
    version[8] ^= 0x40;
    assert_eq!(open(&version), Err(FAR_ERROR_FORMAT_VERSION));
}

#[test]
fn other_machines_are_refused() {
    let host = Arch::HOST.unwrap();
    let other = Arch::ALL.into_iter().find(|arch| *arch != host).unwrap();
    assert_eq!(open(&common::artifact_for(other, Features::NONE)), Err(FAR_ERROR_ARCH));
    assert!(last_error().contains(other.name()) && last_error().contains(host.name()), "{}", last_error());

    let present = far_kernels::cpu::detect();
    let missing = Features::ALL.iter().find(|(bit, arch, _)| *arch == host && !present.contains(*bit));
    let Some((bit, _, name)) = missing else { return }; // a CPU that has everything
    assert_eq!(open(&common::artifact_for(host, *bit)), Err(FAR_ERROR_FEATURES));
    assert!(last_error().contains(name), "{}", last_error());
}

#[test]
fn null_is_refused_everywhere() {
    let bytes = common::artifact();
    let model = open(&bytes).unwrap();
    let (data, size) = (bytes.as_ptr().cast(), bytes.len());
    let (mut other, mut name, mut count, mut arena, mut info) =
        (UNTOUCHED, null(), 0usize, 0u64, info_init());
    unsafe {
        for (status, what) in [
            (far_model_open(null(), null(), &mut other), "path"),
            (far_model_open(c"x".as_ptr(), null(), null_mut()), "model"),
            (far_model_open_memory(null(), 10, null(), &mut other), "data"),
            (far_model_open_memory(data, size, null(), null_mut()), "model"),
            (far_model_name(null(), &mut name), "model"),
            (far_model_name(model, null_mut()), "name"),
            (far_model_input_count(null(), &mut count), "model"),
            (far_model_input_count(model, null_mut()), "count"),
            (far_model_output_count(null(), &mut count), "model"),
            (far_model_output_count(model, null_mut()), "count"),
            (far_model_input_info(null(), 0, &mut info), "model"),
            (far_model_input_info(model, 0, null_mut()), "info"),
            (far_model_output_info(null(), 0, &mut info), "model"),
            (far_model_output_info(model, 0, null_mut()), "info"),
            (far_model_required_features(null(), null_mut(), null_mut()), "model"),
            (far_model_arena_size(null(), &mut arena), "model"),
            (far_model_arena_size(model, null_mut()), "size"),
        ] {
            assert_eq!(status, FAR_ERROR_NULL_POINTER, "{what}");
        }
        assert_eq!(last_error(), "`size` is NULL");
        far_model_free(model);
        far_model_free(null_mut());
    }
    assert_eq!((other, name, count, arena), (UNTOUCHED, null(), 0, 0));
    assert_eq!((info.name, info.dims), (null(), [9; FAR_MAX_RANK]));
}

#[test]
fn impossible_sizes_and_indices_are_refused() {
    let bytes = common::artifact();
    let mut other = UNTOUCHED;
    let status = unsafe { far_model_open_memory(bytes.as_ptr().cast(), usize::MAX, null(), &mut other) };
    assert_eq!((status, other), (FAR_ERROR_SIZE, UNTOUCHED));

    let model = open(&bytes).unwrap();
    let mut info = info_init();
    for index in [2, usize::MAX] {
        assert_eq!(unsafe { far_model_input_info(model, index, &mut info) }, FAR_ERROR_INDEX);
        assert_eq!(unsafe { far_model_output_info(model, index, &mut info) }, FAR_ERROR_INDEX);
    }
    assert_eq!(info.dims, [9; FAR_MAX_RANK]);
    unsafe { far_model_free(model) };
}

#[test]
fn options_of_other_versions() {
    let bytes = common::artifact();
    let open_with = |options: *const far_model_options| {
        let mut model = null_mut();
        let status =
            unsafe { far_model_open_memory(bytes.as_ptr().cast(), bytes.len(), options, &mut model) };
        unsafe { far_model_free(model) };
        status
    };
    let good = far_model_options::default();
    assert_eq!(open_with(&good), FAR_OK);
    assert_eq!(
        open_with(&far_model_options { abi_version: FAR_ABI_VERSION + 1, ..good }),
        FAR_ERROR_ABI_VERSION
    );
    assert_eq!(open_with(&far_model_options { flags: 1, ..good }), FAR_ERROR_OPTION);
    // The first version's; one that ends inside of a pointer; and what no struct is.
    assert_eq!(open_with(&far_model_options { struct_size: 24, ..good }), FAR_OK);
    for struct_size in [0, 8, 15, 23, 28, 79, 5000, usize::MAX] {
        assert_eq!(
            open_with(&far_model_options { struct_size, ..good }),
            FAR_ERROR_STRUCT_SIZE,
            "{struct_size}"
        );
    }

    // A program compiled for a newer libfar: fine as long as it sets nothing that this one does not know.
    #[repr(C)]
    struct Newer {
        known: far_model_options,
        unknown: u64,
    }
    let known = far_model_options { struct_size: size_of::<Newer>(), ..good };
    for (unknown, status) in [(0, FAR_OK), (1 << 40, FAR_ERROR_STRUCT_SIZE)] {
        let newer = Newer { known, unknown };
        assert_eq!(open_with((&raw const newer).cast()), status);
    }
}

#[test]
fn info_of_other_versions_is_filled_as_far_as_it_is_known() {
    #[repr(C)]
    struct Newer {
        known: far_tensor_info,
        unknown: u64,
    }
    let model = open(&common::artifact()).unwrap();
    let mut newer = Newer { known: info_init(), unknown: 7 };
    newer.known.struct_size = size_of::<Newer>();
    assert_eq!(unsafe { far_model_input_info(model, 1, (&raw mut newer).cast()) }, FAR_OK);
    assert_eq!((newer.known.struct_size, newer.known.size, newer.unknown), (size_of::<Newer>(), 32, 7));

    let mut info = info_init();
    info.struct_size = 0;
    assert_eq!(unsafe { far_model_input_info(model, 1, &mut info) }, FAR_ERROR_STRUCT_SIZE);
    unsafe { far_model_free(model) };
}

#[test]
fn library_says_what_it_is() {
    assert_eq!(text(far_version()), env!("CARGO_PKG_VERSION"));
    assert_eq!(far_abi_version(), FAR_ABI_VERSION);
    assert_eq!(text(far_cpu_arch()), Arch::HOST.unwrap().name());
    assert_eq!(text(far_status_name(FAR_ERROR_SHAPE)), "FAR_ERROR_SHAPE");
    assert_eq!(text(far_status_name(-1)), "unknown");
    let (mut bits, mut names) = (0, null());
    assert_eq!(unsafe { far_cpu_features(&mut bits, &mut names) }, FAR_OK);
    assert_eq!(Features(bits), far_kernels::cpu::detect());
    assert_eq!(text(names), Features(bits).to_string());
    assert_eq!(unsafe { far_cpu_features(null_mut(), null_mut()) }, FAR_OK);
}

#[test]
fn messages_are_kept_per_thread() {
    assert_eq!(open(b""), Err(FAR_ERROR_NOT_AN_ARTIFACT));
    let here = last_error();
    assert!(!here.is_empty());
    std::thread::spawn(|| assert_eq!(last_error(), "")).join().unwrap();
    open(&common::artifact()).map(|model| unsafe { far_model_free(model) }).unwrap();
    assert_eq!(last_error(), here, "a call that worked changed the message");
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let path = "/é".repeat(3000);
    assert_ne!(open_file(Path::new(&path)).unwrap_err(), FAR_OK);
    let message = last_error();
    assert!((1000..1024).contains(&message.len()), "{} bytes", message.len());
}

fn image_info() -> far_image_info {
    far_image_info {
        struct_size: size_of::<far_image_info>(),
        input: 9,
        channels: 9,
        height: 9,
        width: 9,
        layout: 9,
        color: 9,
        resize: 9,
        resize_value: 9,
        filter: 9,
        scale: 9.0,
        mean: [9.0; FAR_MAX_CHANNELS],
        std_dev: [9.0; FAR_MAX_CHANNELS],
        reserved: 9,
    }
}

#[test]
fn says_what_its_users_need() {
    let model = open(&common::image_artifact()).unwrap();
    let (mut about, mut output, mut names, mut count) = (null(), 7, null(), 0);
    let (mut key, mut value) = (null(), null());
    unsafe {
        assert_eq!(far_model_description(model, &mut about), FAR_OK);
        assert_eq!(far_model_labels(model, &mut output, &mut names, &mut count), FAR_OK);
        assert_eq!((text(about).as_str(), output, count), ("tells colours", 0, 4));
        assert_eq!((0..4).map(|i| text(*names.add(i))).collect::<Vec<_>>(), ["red", "green", "blue", "grün"]);
        assert_eq!(far_model_labels(model, null_mut(), &mut names, &mut count), FAR_OK);
        assert_eq!(far_model_info_count(model, &mut count), FAR_OK);
        assert_eq!(far_model_info(model, 1, &mut key, &mut value), FAR_OK);
        assert_eq!((count, text(key).as_str(), text(value).as_str()), (2, "license", "MIT"));
        assert_eq!(far_model_info(model, 2, &mut key, &mut value), FAR_ERROR_INDEX);
        assert_eq!(last_error(), "key `2`: the artifact has `2`, counted from 0");
        let mut info = image_info();
        assert_eq!(far_model_image_info(model, &mut info), FAR_OK);
        assert_eq!((info.input, info.channels, info.height, info.width), (0, 3, 2, 2));
        assert_eq!(
            (info.layout, info.color, info.filter),
            (FAR_IMAGE_NCHW, FAR_IMAGE_RGB, FAR_IMAGE_BICUBIC)
        );
        assert_eq!((info.resize, info.resize_value, info.scale), (FAR_IMAGE_CROP, 3, 1.0 / 255.0));
        assert_eq!((info.mean, info.std_dev), ([0.5, 0.25, 0.0, 0.0], [0.25, 0.5, 1.0, 0.0]));
        assert_eq!(info.reserved, 0);

        assert_eq!(far_model_description(null(), &mut about), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_model_labels(model, null_mut(), null_mut(), &mut count), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_model_info_count(model, null_mut()), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_model_info(model, 0, null_mut(), &mut value), FAR_ERROR_NULL_POINTER);
        assert_eq!(far_model_image_info(model, null_mut()), FAR_ERROR_NULL_POINTER);
        info.struct_size = 8;
        assert_eq!(far_model_image_info(model, &mut info), FAR_ERROR_STRUCT_SIZE);
        far_model_free(model);
    }
}

#[test]
fn every_kind_of_image_has_its_constants() {
    let cases = [
        (
            ([1, 2, 2, 3], ImageLayout::Nhwc, ImageColor::Bgr, Resize::Stretch, Filter::Bilinear),
            (3, 2, 2, FAR_IMAGE_NHWC, FAR_IMAGE_BGR, FAR_IMAGE_STRETCH, 0, FAR_IMAGE_BILINEAR),
        ),
        (
            ([1, 1, 3, 4], ImageLayout::Nchw, ImageColor::Gray, Resize::Pad { value: 114 }, Filter::Bicubic),
            (1, 3, 4, FAR_IMAGE_NCHW, FAR_IMAGE_GRAY, FAR_IMAGE_PAD, 114, FAR_IMAGE_BICUBIC),
        ),
    ];
    for ((dims, layout, color, resize, filter), expected) in cases {
        let channels = vec![Normalization { mean: 0.5, std: 0.25 }; expected.0 as usize];
        let image = Image { input: 0, layout, color, resize, filter, scale: 1.0, channels };
        let model = open(&common::artifact_of_image(dims, image)).unwrap();
        let mut info = image_info();
        unsafe {
            assert_eq!(far_model_image_info(model, &mut info), FAR_OK);
            far_model_free(model);
        }
        let (channels, height, width) = (info.channels, info.height, info.width);
        let said = (info.layout, info.color, info.resize, info.resize_value, info.filter);
        assert_eq!((channels, height, width, said.0, said.1, said.2, said.3, said.4), expected);
    }
}

#[test]
fn an_artifact_may_say_nothing() {
    let model = open(&common::artifact()).unwrap();
    let (mut about, mut output, mut names, mut count) = (null(), 7, null(), 7);
    let mut info = image_info();
    unsafe {
        assert_eq!(far_model_description(model, &mut about), FAR_OK);
        assert_eq!(far_model_labels(model, &mut output, &mut names, &mut count), FAR_OK);
        assert_eq!((text(about).as_str(), output, count), ("", 0, 0));
        assert_eq!(far_model_info_count(model, &mut count), FAR_OK);
        assert_eq!(count, 0);
        assert_eq!(far_model_image_info(model, &mut info), FAR_ERROR_ABSENT);
        assert_eq!((info.input, info.reserved), (9, 9));
        far_model_free(model);
    }
    assert_eq!(last_error(), "the artifact says nothing about images; hint: `farc compile --meta`");
}
