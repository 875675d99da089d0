//! What to generate, and its limits. Imports nothing of ours.

/// Dimensions of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Height and width of the image in pixels.
    pub image: usize,
    /// Height and width of a patch in pixels.
    pub patch: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Model width, `D`.
    pub width: usize,
    /// Heads, `n`; a head reads `D/n` channels.
    pub heads: usize,
    /// Hidden units of one head and one direction before pruning, `H`.
    pub hidden: usize,
    /// Blocks.
    pub depth: usize,
    /// Hidden units of the MLP.
    pub mlp: usize,
    /// Logits.
    pub classes: usize,
    /// Whether there is a distillation token with its own head.
    pub distilled: bool,
}

impl Size {
    /// DeiT-Tiny on 3×224×224.
    pub const TINY: Self = Self::deit(192, 3);
    /// DeiT-Small on 3×224×224.
    pub const SMALL: Self = Self::deit(384, 6);
    /// DeiT-Base on 3×224×224.
    pub const BASE: Self = Self::deit(768, 12);

    const fn deit(width: usize, heads: usize) -> Self {
        Self {
            image: 224,
            patch: 16,
            channels: 3,
            width,
            heads,
            hidden: width / heads,
            depth: 12,
            mlp: 4 * width,
            classes: 1000,
            distilled: false,
        }
    }

    /// Channels that one head reads, `d = D/n`.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Class and distillation tokens.
    pub fn extra_tokens(&self) -> usize {
        1 + usize::from(self.distilled)
    }

    /// Tokens, `T`: the patches and the extra ones.
    pub fn tokens(&self) -> usize {
        (self.image / self.patch).pow(2) + self.extra_tokens()
    }
}

/// How the LSTM of a block reaches ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Not at all: plain attention in every block.
    Attention,
    /// One bidirectional node of `n·H` units with block-diagonal weights.
    Monolithic,
    /// One bidirectional node for each head.
    Parallel,
}

/// What follows the LSTM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// `head_proj`, in which a head sees only its own units, then `post_proj`.
    HeadPost,
    /// The older, dense `proj` over all forward units, then all reverse ones.
    Single,
}

/// Which hidden units are dead, and how the files say so. `fraction` is the mean over the model; a head and direction
/// loses between `1 − 1.25·(1 − fraction)` and `1 − 0.75·(1 − fraction)` of its units, so of 64 units 24 to 40 are
/// left at one half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pruning {
    /// None.
    None,
    /// Weights stay as they are; a file holds a 0/1 matrix for each of them.
    Masks {
        /// Dead units, 0 to 1.
        fraction: f64,
    },
    /// The weights of dead units are zero; their biases stay.
    Zeros {
        /// Dead units, 0 to 1.
        fraction: f64,
    },
    /// Dead units are gone: parallel form, a forward and a reverse node where the directions' sizes differ.
    Ragged {
        /// Dead units, 0 to 1.
        fraction: f64,
    },
}

impl Pruning {
    pub(crate) fn fraction(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Masks { fraction } | Self::Zeros { fraction } | Self::Ragged { fraction } => fraction,
        }
    }
}

/// Which blocks have their attention replaced; the others keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// All.
    All,
    /// These, from 0.
    Only(Vec<usize>),
}

/// The form of GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// `x/2·(1 + erf(x/√2))`.
    Erf,
    /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    Tanh,
}

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Dimensions.
    pub size: Size,
    /// Form of the replaced blocks.
    pub form: Form,
    /// What follows the LSTM in a replaced block.
    pub projection: Projection,
    /// Dead hidden units.
    pub pruning: Pruning,
    /// Which blocks are replaced.
    pub replaced: Blocks,
    /// Form of GELU.
    pub gelu: Gelu,
    /// ONNX operator set, 11 to 21.
    pub opset: i64,
    /// LayerNorm and GELU as primitives even where the operator set has them as one operator (from 17 and 20 on).
    pub decomposed: bool,
    /// Same seed, same numbers.
    pub seed: u64,
    /// Elements of the batch of images; open if there is no number.
    pub batch: Option<usize>,
}

impl Config {
    /// The monolithic form, every block replaced, nothing pruned, operator set 17, seed 0.
    pub fn new(size: Size) -> Self {
        Self {
            size,
            form: Form::Monolithic,
            projection: Projection::HeadPost,
            pruning: Pruning::None,
            replaced: Blocks::All,
            gelu: Gelu::Erf,
            opset: 17,
            decomposed: false,
            seed: 0,
            batch: Some(1),
        }
    }

    pub(crate) fn is_replaced(&self, block: usize) -> bool {
        self.form != Form::Attention
            && match &self.replaced {
                Blocks::All => true,
                Blocks::Only(blocks) => blocks.contains(&block),
            }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let Size { image, patch, channels, width, heads, hidden, depth, mlp, classes, .. } = self.size;
        let extents = [
            ("image", image, 4096),
            ("patch", patch, 4096),
            ("channels", channels, 64),
            ("width", width, 8192),
            ("heads", heads, 256),
            ("hidden", hidden, 4096),
            ("depth", depth, 256),
            ("mlp", mlp, 65536),
            ("classes", classes, 1 << 20),
        ];
        for (field, value, most) in extents {
            if !(1..=most).contains(&value) {
                return invalid(field, format!("expected 1 to {most}, got {value}"));
            }
        }
        if !(1..=1 << 16).contains(&self.batch.unwrap_or(1)) {
            return invalid("batch", format!("expected 1 to 65536, got {}", self.batch.unwrap_or(1)));
        }
        if image % patch != 0 {
            return invalid("patch", format!("{patch} does not divide the image's {image} pixels"));
        }
        if self.size.tokens() > 1 << 16 {
            return invalid("patch", format!("{} tokens, at most 65536", self.size.tokens()));
        }
        if width % heads != 0 {
            return invalid("heads", format!("{heads} heads do not divide a width of {width}"));
        }
        if heads * hidden > 16384 {
            return invalid("hidden", format!("{heads} heads of {hidden} units, at most 16384 in all"));
        }
        if !(11..=21).contains(&self.opset) {
            return invalid("opset", format!("expected 11 to 21, got {}", self.opset));
        }
        if let Blocks::Only(blocks) = &self.replaced
            && let Some(block) = blocks.iter().find(|&&b| b >= depth)
        {
            return invalid("replaced", format!("block {block} of a model with {depth}"));
        }
        self.validate_pruning()
    }

    fn validate_pruning(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.pruning.fraction()) {
            return invalid("pruning", format!("expected 0 to 1, got {}", self.pruning.fraction()));
        }
        if self.pruning != Pruning::None && self.form == Form::Attention {
            return invalid("pruning", "plain attention has no hidden units to prune".into());
        }
        if let Pruning::Ragged { fraction } = self.pruning {
            if self.form != Form::Parallel {
                return invalid("pruning", "only the parallel form can be ragged".into());
            }
            if kept_units(fraction, 0.0, self.size.hidden) == 0 {
                return invalid(
                    "pruning",
                    format!("{fraction} may leave a head no unit, which no LSTM node can say"),
                );
            }
        }
        Ok(())
    }
}

/// How many of `hidden` units live; `unit` in `[0, 1)` places the head within the range that [`Pruning`] gives.
pub(crate) fn kept_units(fraction: f64, unit: f64, hidden: usize) -> usize {
    if fraction == 0.0 {
        return hidden;
    }
    let share = ((1.0 - fraction) * (0.75 + 0.5 * unit)).clamp(0.0, 1.0);
    (share * hidden as f64).round() as usize
}

fn invalid(field: &'static str, message: String) -> Result<(), Error> {
    Err(Error::Invalid { field, message })
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A [`Config`] that makes no sense.
    #[error("invalid `{field}`: {message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The ONNX file could not be written.
    #[error("cannot write the model")]
    Write(#[source] std::io::Error),
    /// The mask file could not be written.
    #[error("cannot write the masks")]
    Masks(#[from] safetensors::SafeTensorError),
}
