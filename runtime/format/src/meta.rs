//! What an artifact says for its model's users: what it is, what its classes are called, how an image becomes an input.
//! No step depends on any of it. Plain data. May import: nothing of ours.

use alloc::string::String;
use alloc::vec::Vec;

/// Everything there is to say; all of it may be left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// What the model does, in a sentence or two.
    pub description: String,
    /// Licence, author, and whatever else; keys differ and ascend by their bytes.
    pub info: Vec<Info>,
    /// Names of the elements of an output.
    pub labels: Option<Labels>,
    /// How an image becomes an input.
    pub image: Option<Image>,
}

/// A key and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Never empty.
    pub key: String,
    /// Any text.
    pub value: String,
}

/// What the classes of a classifier are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The output port, by number.
    pub output: u32,
    /// A name for each element of the output's last dimension. Names may repeat.
    pub names: Vec<String>,
}

/// How an image becomes an input: it is resized to the port's height and width, its channels are put in order, and each
/// value from 0 to 255 becomes `(value · scale − mean) / std`.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The input port, by number. Height, width and channels are those of its dimensions.
    pub input: u32,
    /// Order of the port's dimensions.
    pub layout: ImageLayout,
    /// What the channels are.
    pub color: ImageColor,
    /// How the size is made to fit.
    pub resize: Resize,
    /// What a pixel of another size is made of.
    pub filter: Filter,
    /// Factor of values from 0 to 255; finite, above 0.
    pub scale: f32,
    /// One for each channel, in the port's order.
    pub channels: Vec<Normalization>,
}

/// What is subtracted and divided by, after [`Image::scale`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted first; finite.
    pub mean: f32,
    /// Divided by then; finite, above 0.
    pub std: f32,
}

/// Order of the last three dimensions of an image port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageLayout {
    /// Channels, height, width.
    Nchw,
    /// Height, width, channels.
    Nhwc,
}

/// What the channels of an image port are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageColor {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma by ITU-R 601: 0.299 red + 0.587 green + 0.114 blue.
    Gray,
}

/// How an image of another size is made to fit the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resize {
    /// Height and width each by themselves; the aspect changes.
    Stretch,
    /// The shorter side becomes `shorter`, the longer one in proportion, and the middle is cut out.
    Crop {
        /// At least as much as height and width of the port, at most [`MAX_SIDE`].
        shorter: u32,
    },
    /// All of the image fits; what is left is filled.
    Pad {
        /// Value of what is filled, before scale, mean and standard deviation.
        value: u8,
    },
}

/// Which pixels of the image a pixel of the resized one is made of. Where it becomes smaller, the filter becomes wider in
/// proportion, so that every pixel counts (antialiasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// Cubic convolution with a = −½.
    Bicubic,
}

/// Longest side of an image that is resized for a [`Resize::Crop`].
pub const MAX_SIDE: u32 = 1 << 14;

impl ImageColor {
    /// How many channels.
    pub fn channels(self) -> usize {
        match self {
            ImageColor::Rgb | ImageColor::Bgr => 3,
            ImageColor::Gray => 1,
        }
    }

    /// Its name, e.g. `rgb`.
    pub fn name(self) -> &'static str {
        match self {
            ImageColor::Rgb => "rgb",
            ImageColor::Bgr => "bgr",
            ImageColor::Gray => "gray",
        }
    }
}

impl ImageLayout {
    /// Its name, e.g. `nchw`.
    pub fn name(self) -> &'static str {
        match self {
            ImageLayout::Nchw => "nchw",
            ImageLayout::Nhwc => "nhwc",
        }
    }

    /// Channels, height and width among the last three dimensions of a port.
    pub fn chw<T: Copy>(self, last: [T; 3]) -> [T; 3] {
        match self {
            ImageLayout::Nchw => last,
            ImageLayout::Nhwc => [last[2], last[0], last[1]],
        }
    }
}

impl Filter {
    /// Its name, e.g. `bilinear`.
    pub fn name(self) -> &'static str {
        match self {
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
        }
    }
}

impl Resize {
    /// Its name, e.g. `crop`.
    pub fn name(self) -> &'static str {
        match self {
            Resize::Stretch => "stretch",
            Resize::Crop { .. } => "crop",
            Resize::Pad { .. } => "pad",
        }
    }
}

impl Labels {
    /// The name of element `i` of the last dimension.
    pub fn name(&self, i: usize) -> Option<&str> {
        self.names.get(i).map(String::as_str)
    }
}
