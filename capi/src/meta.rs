//! What an artifact says for its model's users: labels, how an image becomes an input, and whatever else.
//! May import: `ffi`, `status`, `strings`, `model`, the format's metadata.

use std::ffi::c_char;

use far_engine::Model;
use far_format::meta::{Filter, ImageColor, ImageLayout, Meta, Resize};

use crate::ffi::{Failure, Out, Versioned, guard, reference, write_struct};
use crate::model::{ask, far_model};
use crate::status::{FAR_ERROR_ABSENT, FAR_ERROR_INDEX, far_status};
use crate::strings::Strings;

/// Order of an image's dimensions.
pub type far_image_layout = i32;
/// Channels, height, width.
pub const FAR_IMAGE_NCHW: far_image_layout = 1;
/// Height, width, channels.
pub const FAR_IMAGE_NHWC: far_image_layout = 2;

/// What an image's channels are.
pub type far_image_color = i32;
/// Red, green, blue.
pub const FAR_IMAGE_RGB: far_image_color = 1;
/// Blue, green, red.
pub const FAR_IMAGE_BGR: far_image_color = 2;
/// Luma.
pub const FAR_IMAGE_GRAY: far_image_color = 3;

/// How an image of another size is made to fit.
pub type far_image_resize = i32;
/// Height and width each by themselves.
pub const FAR_IMAGE_STRETCH: far_image_resize = 1;
/// The shorter side fits, the middle is cut out.
pub const FAR_IMAGE_CROP: far_image_resize = 2;
/// All of it fits, the rest is filled.
pub const FAR_IMAGE_PAD: far_image_resize = 3;

/// What a pixel of another size is made of.
pub type far_image_filter = i32;
/// A triangle.
pub const FAR_IMAGE_BILINEAR: far_image_filter = 1;
/// Cubic convolution.
pub const FAR_IMAGE_BICUBIC: far_image_filter = 2;

/// The most channels of an image.
pub const FAR_MAX_CHANNELS: usize = 4;

/// How an image becomes an input.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_image_info {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Which input, counted from 0.
    pub input: usize,
    /// Channels of the input.
    pub channels: u32,
    /// Its height.
    pub height: u32,
    /// Its width.
    pub width: u32,
    /// Order of its dimensions.
    pub layout: far_image_layout,
    /// What its channels are.
    pub color: far_image_color,
    /// How an image of another size is made to fit.
    pub resize: far_image_resize,
    /// The shorter side before cropping, or what is filled.
    pub resize_value: u32,
    /// What a pixel of another size is made of.
    pub filter: far_image_filter,
    /// Factor of values from 0 to 255.
    pub scale: f32,
    /// Subtracted after that, a value for each channel.
    pub mean: [f32; FAR_MAX_CHANNELS],
    /// Divided by then.
    pub std_dev: [f32; FAR_MAX_CHANNELS],
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, `struct_size` first, integers and floats only, 8 + 8 + 8·4 + 4 + 16 + 16 + 4 bytes.
unsafe impl Versioned for far_image_info {
    const FIRST_SIZE: usize = 88;
    const DEFAULT: Self = far_image_info {
        struct_size: size_of::<Self>(),
        input: 0,
        channels: 0,
        height: 0,
        width: 0,
        layout: 0,
        color: 0,
        resize: 0,
        resize_value: 0,
        filter: 0,
        scale: 0.0,
        mean: [0.0; FAR_MAX_CHANNELS],
        std_dev: [0.0; FAR_MAX_CHANNELS],
        reserved: 0,
    };
}

/// The texts of an artifact's metadata.
pub(crate) struct Texts {
    description: Strings,
    keys: Strings,
    values: Strings,
    labels: Strings,
}

impl Texts {
    pub(crate) fn new(meta: &Meta) -> Result<Texts, Failure> {
        let labels = meta.labels.as_ref().map_or(&[][..], |labels| &labels.names);
        Ok(Texts {
            description: Strings::new([&meta.description].into_iter())?,
            keys: Strings::new(meta.info.iter().map(|info| &info.key))?,
            values: Strings::new(meta.info.iter().map(|info| &info.value))?,
            labels: Strings::new(labels.iter())?,
        })
    }
}

/// How an image becomes an input of the model.
fn image_info(model: &Model) -> Result<far_image_info, Failure> {
    let absent = || {
        let text = format_args!("the artifact says nothing about images; hint: `farc compile --meta`");
        Failure::new(FAR_ERROR_ABSENT, text)
    };
    let image = model.meta().image.as_ref().ok_or_else(absent)?;
    let (most, port) = (model.most(), model.inputs().get(image.input as usize));
    let dims = port.and_then(|port| port.dims.last_chunk()).ok_or_else(absent)?;
    let [channels, height, width] = image.layout.chw(*dims).map(|dim| dim.of(most.batch, most.tokens) as u32);
    let (resize, resize_value) = match image.resize {
        Resize::Stretch => (FAR_IMAGE_STRETCH, 0),
        Resize::Crop { shorter } => (FAR_IMAGE_CROP, shorter),
        Resize::Pad { value } => (FAR_IMAGE_PAD, value.into()),
    };
    let mut info = far_image_info {
        input: image.input as usize,
        channels,
        height,
        width,
        layout: match image.layout {
            ImageLayout::Nchw => FAR_IMAGE_NCHW,
            ImageLayout::Nhwc => FAR_IMAGE_NHWC,
        },
        color: match image.color {
            ImageColor::Rgb => FAR_IMAGE_RGB,
            ImageColor::Bgr => FAR_IMAGE_BGR,
            ImageColor::Gray => FAR_IMAGE_GRAY,
        },
        resize,
        resize_value,
        filter: match image.filter {
            Filter::Bilinear => FAR_IMAGE_BILINEAR,
            Filter::Bicubic => FAR_IMAGE_BICUBIC,
        },
        scale: image.scale,
        ..far_image_info::DEFAULT
    };
    for ((mean, std_dev), channel) in info.mean.iter_mut().zip(&mut info.std_dev).zip(&image.channels) {
        (*mean, *std_dev) = (channel.mean, channel.std);
    }
    Ok(info)
}

/// What the model does.
///
/// # Safety
///
/// `model` is NULL or a live handle, `text` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_description(
    model: *const far_model,
    text: *mut *const c_char,
) -> far_status {
    let description = |model: &far_model| model.texts().description.get(0).unwrap_or(c"".as_ptr());
    // SAFETY: the caller's promise.
    unsafe { ask(model, "model", text, "text", description) }
}

/// The names of the classes, and whose they are.
///
/// # Safety
///
/// `model` is NULL or a live handle; `output`, `names` and `count` are NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_labels(
    model: *const far_model,
    output: *mut usize,
    names: *mut *const *const c_char,
    count: *mut usize,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let model = unsafe { reference(model, "model") }?;
        // SAFETY: the caller's promise.
        let output = unsafe { Out::optional(output, "output") }?;
        // SAFETY: the caller's promise.
        let (names, count) = unsafe { (Out::new(names, "names")?, Out::new(count, "count")?) };
        let labels = model.meta().labels.as_ref();
        if let Some(output) = output {
            output.set(labels.map_or(0, |labels| labels.output as usize));
        }
        names.set(model.texts().labels.as_ptr());
        count.set(model.texts().labels.len());
        Ok(())
    })
}

/// How many keys and values the artifact has.
///
/// # Safety
///
/// `model` is NULL or a live handle, `count` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_info_count(model: *const far_model, count: *mut usize) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(model, "model", count, "count", |model| model.texts().keys.len()) }
}

/// A key and its value.
///
/// # Safety
///
/// `model` is NULL or a live handle; `key` and `value` are NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_info(
    model: *const far_model,
    index: usize,
    key: *mut *const c_char,
    value: *mut *const c_char,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let texts = unsafe { reference(model, "model") }?.texts();
        // SAFETY: the caller's promise.
        let (key, value) = unsafe { (Out::new(key, "key")?, Out::new(value, "value")?) };
        let (Some(known), Some(text)) = (texts.keys.get(index), texts.values.get(index)) else {
            return Err(Failure::new(
                FAR_ERROR_INDEX,
                format_args!("key `{index}`: the artifact has `{}`, counted from 0", texts.keys.len()),
            ));
        };
        key.set(known);
        value.set(text);
        Ok(())
    })
}

/// How an image becomes an input.
///
/// # Safety
///
/// `model` is NULL or a live handle, `info` NULL or as [`write_struct`] wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_image_info(
    model: *const far_model,
    info: *mut far_image_info,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let value = image_info(unsafe { reference(model, "model") }?.model())?;
        // SAFETY: the caller's promise.
        unsafe { write_struct(info, "info", value) }
    })
}
