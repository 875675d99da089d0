//! `model.far` to bytes and back, side by side so that the two can't drift. `SPEC.md` says the same in prose.
//! May import: everything of this crate.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bytes::{Decoder, Encoder, Item, Wire, try_string};
use crate::check::{self, CheckedPlan};
use crate::cpu::{Arch, Features};
use crate::error::{Error, Result, Section};
use crate::layout::{Activation, Precision};
use crate::limits::Limits;
use crate::meta::{Filter, Image, ImageColor, ImageLayout, Info, Labels, Meta, Normalization, Resize};
use crate::plan::{
    Attention, Batch, Dim, Dtype, Embed, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Operand, Patches, Place,
    Plan, Port, Step, StepOp, Tensor,
};

/// The format's version that this crate writes, and the only one that it reads.
pub const VERSION: u16 = 1;

/// A file begins with these bytes. Like PNG's they show whether a transfer took it for text.
pub const MAGIC: [u8; 8] = *b"\x89FAR\r\n\x1a\n";

/// The weights section begins at a multiple of this, the largest page size that boards use.
pub const WEIGHTS_ALIGNMENT: usize = 64 * 1024;

/// Every other section begins at a multiple of this.
pub const SECTION_ALIGNMENT: usize = 64;

/// In the order in which they lie in the file, with their numbers in the table and their alignments.
const SECTIONS: [(Section, u32, usize); 3] = [
    (Section::Meta, 1, SECTION_ALIGNMENT),
    (Section::Plan, 2, SECTION_ALIGNMENT),
    (Section::Weights, 3, WEIGHTS_ALIGNMENT),
];

/// Bytes of the header: fixed fields, table, checksum.
const HEADER_BYTES: usize = 32 + SECTIONS.len() * 24 + 4;

/// Where in the header the file's length is.
const LENGTH_OFFSET: usize = 24;

/// What [`write()`] needs.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactParts<'a> {
    /// The architecture it is scheduled for.
    pub arch: Arch,
    /// The least that a CPU must have to run it.
    pub features: Features,
    /// Name of the target that it was compiled for, e.g. `raspberry-pi-5`.
    pub target: &'a str,
    /// What to do.
    pub plan: &'a Plan,
    /// Packed weights, little-endian words of 32 bits.
    pub weights: &'a [u8],
}

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: u16,
    /// The architecture it is scheduled for.
    pub arch: Arch,
    /// The least that a CPU must have to run it.
    pub features: Features,
    /// Name of the target that it was compiled for.
    pub target: String,
}

/// A file, read and proved.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact<'a> {
    /// What it says about itself.
    pub header: Header,
    /// What to do.
    pub plan: CheckedPlan,
    /// Packed weights, little-endian words of 32 bits; their place in the file is a multiple of [`WEIGHTS_ALIGNMENT`].
    pub weights: &'a [u8],
}

/// The bytes of an artifact. The same parts give the same bytes.
///
/// # Errors
/// Whatever [`read`] would refuse, and [`Error::OutOfMemory`].
pub fn write(parts: &ArtifactParts<'_>) -> Result<Vec<u8>> {
    check_features(parts.arch, parts.features)?;
    check_weights(parts.weights.len())?;
    check::plan(parts.plan, parts.arch, parts.weights.len())?;
    check_needs(parts.plan, parts.arch, parts.features)?;

    let mut meta = Encoder::new(Section::Meta);
    meta.field("target");
    try_string(parts.target)?.put(&mut meta)?;
    meta.field("model");
    parts.plan.model.put(&mut meta)?;
    parts.plan.meta.put(&mut meta)?;
    let meta = meta.finish();
    let mut plan = Encoder::new(Section::Plan);
    parts.plan.put(&mut plan)?;
    let plan = plan.finish();

    let contents = [&meta[..], &plan[..], parts.weights];
    let offsets = place(contents.map(<[u8]>::len)).ok_or(Error::OutOfMemory { bytes: u64::MAX })?;
    let mut out = Encoder::new(Section::Header);
    out.bytes(&MAGIC)?;
    VERSION.put(&mut out)?;
    (parts.arch as u16).put(&mut out)?;
    (SECTIONS.len() as u32).put(&mut out)?;
    parts.features.0.put(&mut out)?;
    ((offsets[2] + parts.weights.len()) as u64).put(&mut out)?;
    for (((_, number, _), content), offset) in SECTIONS.iter().zip(contents).zip(offsets) {
        number.put(&mut out)?;
        crc32fast::hash(content).put(&mut out)?;
        (offset as u64).put(&mut out)?;
        (content.len() as u64).put(&mut out)?;
    }
    let mut file = out.finish();
    let checksum = crc32fast::hash(&file);
    crate::bytes::reserve(&mut file, offsets[2] + parts.weights.len() - HEADER_BYTES + 4)?;
    file.extend_from_slice(&checksum.to_le_bytes());
    for (content, offset) in contents.into_iter().zip(offsets) {
        file.resize(offset, 0);
        file.extend_from_slice(content);
    }
    Ok(file)
}

/// Reads a whole file and proves every statement in it.
///
/// # Errors
/// Anything that breaks the specification; nothing is taken on trust.
pub fn read(file: &[u8]) -> Result<Artifact<'_>> {
    read_within(file, &Limits::default())
}

/// As [`read`], and refuses what is more than the caller accepts before it is proved.
///
/// # Errors
/// As [`read`], and [`Error::Exceeded`].
pub fn read_within<'a>(file: &'a [u8], limits: &Limits) -> Result<Artifact<'a>> {
    limits.check_file(file.len() as u64)?;
    if !file.starts_with(&MAGIC) {
        return Err(Error::Magic);
    }
    let length = |expected: usize| Error::Length { expected: expected as u64, found: file.len() as u64 };
    let head = file.get(..HEADER_BYTES).ok_or_else(|| length(HEADER_BYTES))?;
    let mut from = Decoder::new(Section::Header, &head[MAGIC.len()..]);
    from.field("version");
    let version = u16::take(&mut from)?;
    if version != VERSION {
        return Err(Error::Version { found: version });
    }
    let (covered, checksum) = head.split_at(HEADER_BYTES - 4);
    check_sum(Section::Header, covered, u32::take(&mut Decoder::new(Section::Header, checksum))?)?;

    from.field("architecture");
    let arch = u16::take(&mut from)?;
    let arch = Arch::from_u16(arch)
        .ok_or_else(|| from.unknown("1 (x86_64), 2 (aarch64) or 3 (riscv64)", u64::from(arch)))?;
    from.field("sections");
    let sections = u32::take(&mut from)?;
    if sections as usize != SECTIONS.len() {
        return Err(from.unknown("3", u64::from(sections)));
    }
    let features = Features(u64::take(&mut from)?);
    check_features(arch, features)?;
    let stated = u64::take(&mut from)?;
    if stated != file.len() as u64 {
        return Err(Error::Length { expected: stated, found: file.len() as u64 });
    }

    let mut checksums = [0; SECTIONS.len()];
    let mut offsets = [0; SECTIONS.len()];
    let mut lengths = [0; SECTIONS.len()];
    for (i, (_, number, _)) in SECTIONS.iter().enumerate() {
        from.field("section number");
        let found = u32::take(&mut from)?;
        if found != *number {
            return Err(from.unknown("sections 1, 2, 3 in this order", u64::from(found)));
        }
        checksums[i] = u32::take(&mut from)?;
        offsets[i] = u64::take(&mut from)?;
        from.field("section length");
        let found = u64::take(&mut from)?;
        lengths[i] = usize::try_from(found).map_err(|_| from.unknown("at most the file's length", found))?;
    }
    from.field("section offset");
    let places = place(lengths).filter(|places| places[2] + lengths[2] == file.len());
    let places = places.ok_or_else(|| from.unknown("sections that fill the file", file.len() as u64))?;
    let mut contents = [&file[..0]; SECTIONS.len()];
    let mut end = HEADER_BYTES;
    for (i, (section, _, _)) in SECTIONS.into_iter().enumerate() {
        if offsets[i] != places[i] as u64 {
            return Err(from.unknown("the first aligned byte after the section before", offsets[i]));
        }
        if !is_zeros(&file[end..places[i]]) {
            return Err(Error::Field {
                section,
                field: "bytes before it",
                expected: "zeros",
                found: end as u64,
            });
        }
        end = places[i] + lengths[i];
        contents[i] = &file[places[i]..end];
        check_sum(section, contents[i], checksums[i])?;
    }

    let [meta, plan, weights] = contents;
    check_weights(weights.len())?;
    let mut from = Decoder::new(Section::Meta, meta);
    from.field("target");
    let target = String::take(&mut from)?;
    from.field("model");
    let model = String::take(&mut from)?;
    let meta = Meta::take(&mut from)?;
    from.finish()?;
    let mut from = Decoder::new(Section::Plan, plan);
    let plan = Plan { model, meta, ..Plan::take(&mut from)? };
    from.finish()?;
    limits.check_plan(&plan)?;
    let plan = CheckedPlan::new(plan, arch, weights.len())?;
    check_needs(&plan, arch, features)?;
    Ok(Artifact { header: Header { version, arch, features, target }, plan, weights })
}

/// Whether a file is as long as its header says, as far as the header is whole: tells a file that was cut from one that was
/// altered otherwise.
///
/// # Errors
/// [`Error::Length`].
pub fn check_length(file: &[u8]) -> Result<()> {
    let length = |expected: u64| Error::Length { expected, found: file.len() as u64 };
    let head = file.get(..HEADER_BYTES).ok_or_else(|| length(HEADER_BYTES as u64))?;
    let (covered, checksum) = head.split_at(HEADER_BYTES - 4);
    let mut from = Decoder::new(Section::Header, &covered[LENGTH_OFFSET..]);
    let stated = u64::take(&mut from)?;
    let whole = crc32fast::hash(covered) == u32::take(&mut Decoder::new(Section::Header, checksum))?;
    if whole && stated != file.len() as u64 { Err(length(stated)) } else { Ok(()) }
}

/// Offsets of sections of these lengths; `None` where they can't be counted.
fn place(lengths: [usize; SECTIONS.len()]) -> Option<[usize; SECTIONS.len()]> {
    let mut end = HEADER_BYTES;
    let mut offsets = [0; SECTIONS.len()];
    for (i, (_, _, alignment)) in SECTIONS.into_iter().enumerate() {
        offsets[i] = end.checked_next_multiple_of(alignment)?;
        end = offsets[i].checked_add(lengths[i])?;
    }
    Some(offsets)
}

/// Block by block: up to 64 KiB lie before the weights.
fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 256] = [0; 256];
    bytes.chunks(ZEROS.len()).all(|block| *block == ZEROS[..block.len()])
}

fn check_sum(section: Section, bytes: &[u8], expected: u32) -> Result<()> {
    match crc32fast::hash(bytes) {
        found if found == expected => Ok(()),
        found => Err(Error::Checksum { section, expected, found }),
    }
}

fn check_features(arch: Arch, features: Features) -> Result<()> {
    let known = Features::ALL
        .iter()
        .filter(|(_, a, _)| *a == arch)
        .fold(Features::NONE, |all, (f, _, _)| all.with(*f));
    let (section, field, expected) = (Section::Header, "features", "features of its architecture");
    match features.missing_from(known) {
        Features::NONE => Ok(()),
        other => Err(Error::Field { section, field, expected, found: other.0 }),
    }
}

/// Whether the features are all that the steps need.
fn check_needs(plan: &Plan, arch: Arch, features: Features) -> Result<()> {
    let (section, field, expected) = (Section::Header, "features", "all that the steps need");
    if features.contains(plan.features(arch)) {
        Ok(())
    } else {
        Err(Error::Field { section, field, expected, found: features.0 })
    }
}

fn check_weights(len: usize) -> Result<()> {
    let (section, field, expected) = (Section::Weights, "length", "a multiple of 4");
    if len.is_multiple_of(4) {
        Ok(())
    } else {
        Err(Error::Field { section, field, expected, found: len as u64 })
    }
}

/// Reads and writes a struct as its fields, in the order given here; those that are elsewhere are left empty.
macro_rules! record {
    ($type:ident { $($field:ident)* } $(without $($elsewhere:ident)*)?) => {
        impl Wire for $type {
            fn put(&self, out: &mut Encoder) -> Result<()> {
                $(out.field(concat!(stringify!($type), ".", stringify!($field))); self.$field.put(out)?;)*
                Ok(())
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self> {
                $(from.field(concat!(stringify!($type), ".", stringify!($field))); let $field = Wire::take(from)?;)*
                Ok($type { $($field,)* $($($elsewhere: Default::default(),)*)? })
            }
        }
    };
}

/// Reads and writes an enum as one byte and the fields of its variant.
macro_rules! choice {
    ($type:ident, $expected:literal: $($number:literal = $variant:ident $(($inner:ident))? $({ $($field:ident)* })?;)*) => {
        impl Wire for $type {
            fn put(&self, out: &mut Encoder) -> Result<()> {
                match self {
                    $($type::$variant $(($inner))? $({ $($field),* })? => {
                        out.bytes(&[$number])?;
                        $($inner.put(out)?;)?
                        $($(out.field(concat!(stringify!($variant), ".", stringify!($field))); $field.put(out)?;)*)?
                    })*
                }
                Ok(())
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self> {
                match u8::take(from)? {
                    $($number => {
                        $(let $inner = Wire::take(from)?;)?
                        $($(from.field(concat!(stringify!($variant), ".", stringify!($field))); let $field = Wire::take(from)?;)*)?
                        Ok($type::$variant $(($inner))? $({ $($field),* })?)
                    })*
                    other => Err(from.unknown($expected, u64::from(other))),
                }
            }
        }
    };
}

macro_rules! items {
    ($($type:ident: at most $count:literal, each at least $bytes:literal bytes;)*) => {
        $(impl Item for $type {
            const MAX_COUNT: usize = $count;
            const MIN_BYTES: usize = $bytes;
        })*
    };
}

// The model's name and metadata are in META.
record!(Plan { arena_bytes tokens batch lengths tensors inputs outputs steps } without model meta);
record!(Meta { description info labels image });
record!(Info { key value });
record!(Labels { output names });
record!(Image { input layout color resize filter scale channels });
record!(Normalization { mean std });
record!(Batch { most fixed });
record!(Tensor { place rows cols stride tokens });
record!(Port { name dtype dims });
record!(Operand { tensor row col rows cols });
record!(Step { name op });
record!(Gemm { a out residual act precision groups });
record!(GemmGroup { a_col k out_col n weights });
record!(Lstm { gates out precision units });
record!(LstmUnit { gate_col hidden out_col reverse weights });
record!(LayerNorm { x out eps affine });
record!(Attention { q k v out heads scale work });
record!(Patches { image channels patch_height patch_width out });
record!(Embed { input table vocab precision out });

choice! { Place, "0 to 3":
    0 = Arena(offset);
    1 = Weights(offset);
    2 = Input(port);
    3 = Output(port);
}

choice! { Dtype, "1 to 3":
    1 = F32;
    2 = I32;
    3 = I64;
}

choice! { Dim, "0 to 2":
    0 = Fixed(len);
    1 = Batch;
    2 = Tokens;
}

choice! { Activation, "0 to 5":
    0 = None;
    1 = Gelu;
    2 = GeluTanh;
    3 = Tanh;
    4 = Relu;
    5 = GeluShort;
}

choice! { ImageLayout, "0 or 1":
    0 = Nchw;
    1 = Nhwc;
}

choice! { ImageColor, "0 to 2":
    0 = Rgb;
    1 = Bgr;
    2 = Gray;
}

choice! { Resize, "0 to 2":
    0 = Stretch;
    1 = Crop { shorter };
    2 = Pad { value };
}

choice! { Filter, "0 or 1":
    0 = Bilinear;
    1 = Bicubic;
}

choice! { Precision, "0 to 4":
    0 = F32;
    1 = F16;
    2 = Bf16;
    3 = Int8;
    4 = F16Arith;
}

choice! { StepOp, "1 to 11":
    1 = Gemm(gemm);
    2 = Lstm(lstm);
    3 = LayerNorm(layer_norm);
    4 = Attention(attention);
    5 = Patches(patches);
    6 = Map { act x out };
    7 = Add { a b out };
    8 = Copy { x out };
    9 = MeanRows { x out };
    10 = Embed(embed);
    11 = Normalize { x out eps };
}

items! {
    Info: at most 256, each at least 8 bytes;
    Normalization: at most 3, each at least 8 bytes;
    Tensor: at most 65536, each at least 18 bytes;
    Port: at most 256, each at least 9 bytes;
    Dim: at most 8, each at least 1 bytes;
    Step: at most 65536, each at least 5 bytes;
    GemmGroup: at most 4096, each at least 24 bytes;
    LstmUnit: at most 4096, each at least 21 bytes;
}
