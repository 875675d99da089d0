//! Reads what `--meta` says of a model: limits on the text, then the keys, then what they mean for the model's ports.
//! `docs/tool.md` describes the keys. May import: `error`; far-format (metadata, ports).

mod read;

use std::collections::BTreeMap;

use far_format::meta::{
    Filter, Image, ImageColor, ImageLayout, Info, Labels, MAX_SIDE, Meta, Normalization, Resize,
};
use far_format::plan::{Dim, Dtype, Port};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// Metadata as its author wrote it: ports by name, or left out where only one can be meant.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What the model does.
    #[serde(default)]
    description: String,
    /// Licence, author and so on.
    #[serde(default)]
    info: BTreeMap<String, String>,
    /// Names of the classes, or the file that has them.
    labels: Option<read::Labels>,
    /// The output that they name.
    output: Option<String>,
    /// How an image becomes an input.
    image: Option<ImageText>,
}

/// How an image becomes an input, as its author wrote it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageText {
    input: Option<String>,
    /// Height and width: only to be compared with the port's.
    size: Option<[u32; 2]>,
    #[serde(default = "nchw")]
    layout: String,
    color: Option<String>,
    #[serde(default = "stretch")]
    resize: String,
    shorter: Option<u32>,
    pad: Option<u8>,
    #[serde(default = "bilinear")]
    filter: String,
    #[serde(default = "of_255")]
    scale: f32,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
}

fn nchw() -> String {
    "nchw".into()
}

fn stretch() -> String {
    "stretch".into()
}

fn bilinear() -> String {
    "bilinear".into()
}

fn of_255() -> f32 {
    1.0 / 255.0
}

fn bad(field: &str, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadMeta, what).at_field(field)
}

impl Description {
    /// What an artifact with these ports says.
    pub(crate) fn resolve(&self, inputs: &[Port], outputs: &[Port]) -> Result<Meta> {
        let info = self.info.iter().map(|(key, value)| Info { key: key.clone(), value: value.clone() });
        Ok(Meta {
            description: self.description.clone(),
            info: info.collect(),
            labels: self.labels.as_ref().map(|labels| self.labels(labels, outputs)).transpose()?,
            image: self.image.as_ref().map(|image| image.resolve(inputs)).transpose()?,
        })
    }

    fn labels(&self, labels: &read::Labels, outputs: &[Port]) -> Result<Labels> {
        let read::Labels::Names(names) = labels else {
            return Err(Error::new(ErrorKind::Internal, "the file of the labels was not read"));
        };
        let classes = |port: &Port| match port.dims.last() {
            Some(Dim::Fixed(n)) => Some(*n as usize),
            _ => None,
        };
        let fits = |port: &Port| classes(port) == Some(names.len());
        let output = port("output", self.output.as_deref(), outputs, fits)?;
        let found = classes(&outputs[output as usize]);
        if found != Some(names.len()) {
            let expected = found.map_or("a last dimension that is fixed".into(), |n| format!("{n} labels"));
            return Err(bad(
                "labels",
                format!("the labels don't fit output `{}`", outputs[output as usize].name),
            )
            .expected(expected)
            .got(format!("{} labels", names.len())));
        }
        Ok(Labels { output, names: names.clone() })
    }
}

impl ImageText {
    fn resolve(&self, inputs: &[Port]) -> Result<Image> {
        let layout =
            word("image.layout", &self.layout, [ImageLayout::Nchw, ImageLayout::Nhwc], ImageLayout::name)?;
        let n = port("image.input", self.input.as_deref(), inputs, |port| size(port, layout).is_some())?;
        let input = &inputs[n as usize];
        let Some([channels, height, width]) = size(input, layout) else {
            let dims = input.dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ");
            return Err(bad("image.input", format!("input `{}` takes no image", input.name))
                .expected(format!("f32 with fixed dimensions, {} at the end", layout.name()))
                .got(format!("{} [{dims}]", input.dtype)));
        };
        let colors = [ImageColor::Rgb, ImageColor::Bgr, ImageColor::Gray];
        let color = match &self.color {
            Some(color) => word("image.color", color, colors, ImageColor::name)?,
            None if channels == 1 => ImageColor::Gray,
            None => ImageColor::Rgb,
        };
        if color.channels() != channels as usize {
            let field = if self.color.is_some() { "image.color" } else { "image.input" };
            return Err(bad(field, format!("input `{}` has another number of channels", input.name))
                .expected(format!("{} for {}", color.channels(), color.name()))
                .got(channels.to_string()));
        }
        if let Some([h, w]) = self.size
            && [h, w] != [height, width]
        {
            return Err(bad("image.size", format!("input `{}` has another size", input.name))
                .expected(format!("[{height}, {width}], height and width"))
                .got(format!("[{h}, {w}]")));
        }
        let channels = self.channels(color.channels())?;
        let filter = word("image.filter", &self.filter, [Filter::Bilinear, Filter::Bicubic], Filter::name)?;
        let resize = self.resize(height.max(width))?;
        positive("image.scale", self.scale)?;
        Ok(Image { input: n, layout, color, resize, filter, scale: self.scale, channels })
    }

    fn channels(&self, count: usize) -> Result<Vec<Normalization>> {
        let each = |field: &str, given: &Option<Vec<f32>>, otherwise: f32| match given {
            None => Ok(vec![otherwise; count]),
            Some(given) if given.len() == count => Ok(given.clone()),
            Some(given) => Err(bad(field, "not a number for each channel")
                .expected(format!("{count} numbers"))
                .got(format!("{} numbers", given.len()))),
        };
        let mean = each("image.mean", &self.mean, 0.0)?;
        let std = each("image.std", &self.std, 1.0)?;
        if let Some(found) = mean.iter().find(|mean| !mean.is_finite()) {
            return Err(bad("image.mean", "a mean is no number").expected("finite").got(found.to_string()));
        }
        std.iter().try_for_each(|std| positive("image.std", *std))?;
        Ok(mean.into_iter().zip(std).map(|(mean, std)| Normalization { mean, std }).collect())
    }

    fn resize(&self, side: u32) -> Result<Resize> {
        let kinds = [Resize::Stretch, Resize::Crop { shorter: side }, Resize::Pad { value: 0 }];
        let resize = match word("image.resize", &self.resize, kinds, Resize::name)? {
            Resize::Crop { shorter } => Resize::Crop { shorter: self.shorter.unwrap_or(shorter) },
            Resize::Pad { value } => Resize::Pad { value: self.pad.unwrap_or(value) },
            Resize::Stretch => Resize::Stretch,
        };
        let crop = matches!(resize, Resize::Crop { .. });
        for (field, given, means) in [
            ("image.shorter", self.shorter.is_some(), crop),
            ("image.pad", self.pad.is_some(), matches!(resize, Resize::Pad { .. })),
        ] {
            if given && !means {
                return Err(bad(field, format!("`{field}` means nothing with `resize: {}`", resize.name()))
                    .hint("`shorter` goes with `resize: crop`, `pad` with `resize: pad`"));
            }
        }
        match resize {
            Resize::Crop { shorter } if !(side..=MAX_SIDE).contains(&shorter) => {
                Err(bad("image.shorter", "what is cut out doesn't lie in the image")
                    .expected(format!("{side} to {MAX_SIDE}"))
                    .got(shorter.to_string()))
            }
            resize => Ok(resize),
        }
    }
}

fn positive(field: &str, found: f32) -> Result<()> {
    if found.is_finite() && found > 0.0 {
        return Ok(());
    }
    Err(bad(field, format!("`{field}` is out of range")).expected("a number above 0").got(found.to_string()))
}

/// Channels, height and width of a port that an image fits.
fn size(port: &Port, layout: ImageLayout) -> Option<[u32; 3]> {
    let (outer, last) = port.dims.split_at_checked(port.dims.len().checked_sub(3)?)?;
    let &[Dim::Fixed(a), Dim::Fixed(b), Dim::Fixed(c)] = last else { return None };
    let outer = outer.iter().all(|dim| matches!(dim, Dim::Batch | Dim::Fixed(1)));
    (outer && port.dtype == Dtype::F32).then(|| layout.chw([a, b, c]))
}

/// The port of that name; without one the only port, or the only one that fits.
fn port(field: &str, name: Option<&str>, ports: &[Port], fits: impl Fn(&Port) -> bool) -> Result<u32> {
    let names = || ports.iter().map(|port| format!("`{}`", port.name)).collect::<Vec<_>>().join(", ");
    let found: Vec<usize> = match name {
        Some(name) => (0..ports.len()).filter(|i| ports[*i].name == name).collect(),
        None if ports.len() == 1 => vec![0],
        None => (0..ports.len()).filter(|i| fits(&ports[*i])).collect(),
    };
    match (found[..].first(), found.len()) {
        (Some(i), 1) => Ok(*i as u32),
        _ => Err(match name {
            Some(name) => bad(field, format!("the model has no `{name}` there"))
                .expected(format!("one of {}", names()))
                .got(format!("`{name}`")),
            None => bad(field, format!("`{field}` must say which is meant"))
                .expected(format!("one of {}", names()))
                .got("none"),
        }),
    }
}

/// The value of that name.
fn word<T: Copy, const N: usize>(
    field: &str,
    found: &str,
    values: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T> {
    values.into_iter().find(|value| name(*value) == found).ok_or_else(|| {
        let names = values.map(|value| format!("`{}`", name(value))).join(", ");
        bad(field, format!("`{field}` has an unknown value"))
            .expected(format!("one of {names}"))
            .got(format!("`{found}`"))
    })
}

#[cfg(test)]
mod tests;
