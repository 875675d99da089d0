//! The inputs and outputs that a model has, and the check of what a caller gives against them.
//! May import: `extent`, `ffi`, `status`, `info`, `tensor`, the engine's ports and
//! inputs.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::ops::Range;

use far_engine::{Dtype, Input};

use crate::extent::Extents;
use crate::ffi::{CText, Failure, Versioned, read_struct, reference, struct_size, text};
use crate::info::FAR_MAX_RANK;
use crate::status::{
    FAR_ERROR_ALIGNMENT, FAR_ERROR_COUNT, FAR_ERROR_DTYPE, FAR_ERROR_INVALID_ARTIFACT, FAR_ERROR_NAME,
    FAR_ERROR_NULL_POINTER, FAR_ERROR_OVERLAP, FAR_ERROR_SHAPE, FAR_ERROR_SIZE, FAR_ERROR_STRUCT_SIZE,
};
use crate::tensor::{
    FAR_DIM_FIXED, FAR_DTYPE_F32, FAR_DTYPE_I32, FAR_DTYPE_I64, Given, far_dim, far_dtype, far_output,
    far_tensor_info,
};

/// One input or output of a model as C sees it.
pub(crate) struct Port {
    name: CText,
    dtype: Dtype,
    rank: u32,
    /// The most where they vary.
    dims: [u64; FAR_MAX_RANK],
    kinds: [far_dim; FAR_MAX_RANK],
}

impl Port {
    pub(crate) fn new(port: &far_engine::Port, extents: &Extents) -> Result<Port, Failure> {
        let (mut dims, mut kinds) = ([0; FAR_MAX_RANK], [FAR_DIM_FIXED; FAR_MAX_RANK]);
        let (Some(known), Ok(rank)) = (dims.get_mut(..port.dims.len()), u32::try_from(port.dims.len()))
        else {
            return Err(Failure::new(
                FAR_ERROR_INVALID_ARTIFACT,
                format_args!(
                    "`{}`: expected at most `{FAR_MAX_RANK}` dimensions, got `{}`",
                    port.name,
                    port.dims.len()
                ),
            ));
        };
        for ((len, kind), dim) in known.iter_mut().zip(&mut kinds).zip(&port.dims) {
            (*len, *kind) = extents.describe(*dim);
        }
        Ok(Port { name: text(format_args!("{}", port.name))?, dtype: port.dtype, rank, dims, kinds })
    }

    pub(crate) fn info(&self) -> far_tensor_info {
        let elements =
            self.dims[..self.rank as usize].iter().fold(1, |product: u64, dim| product.saturating_mul(*dim));
        far_tensor_info {
            name: self.name.as_ptr(),
            dtype: dtype(self.dtype).0,
            rank: self.rank,
            dims: self.dims,
            element_count: elements,
            size: elements.saturating_mul(self.dtype.bytes() as u64),
            dim_kinds: self.kinds,
            ..far_tensor_info::DEFAULT
        }
    }

    /// Each dimension: what it is in a call, as far as that is known, or the most; and what it depends on.
    fn dims(&self, extents: &Extents) -> impl Iterator<Item = (Option<u64>, u64, far_dim)> {
        let dims = self.dims.iter().zip(&self.kinds).take(self.rank as usize);
        dims.map(move |(most, kind)| match *kind {
            FAR_DIM_FIXED => (Some(*most), *most, FAR_DIM_FIXED),
            kind => (extents.of(kind), *most, kind),
        })
    }
}

/// The number of a type in the header, and its name there.
fn dtype(dtype: Dtype) -> (far_dtype, &'static str) {
    match dtype {
        Dtype::F32 => (FAR_DTYPE_F32, "FAR_DTYPE_F32"),
        Dtype::I32 => (FAR_DTYPE_I32, "FAR_DTYPE_I32"),
        Dtype::I64 => (FAR_DTYPE_I64, "FAR_DTYPE_I64"),
    }
}

/// Memory of the caller that was checked against a port: not NULL, aligned, and of the port's type and size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    data: *mut c_void,
    size: usize,
    dtype: Dtype,
}

// SAFETY: an address and a length, plain numbers; whoever makes a slice of them answers for that.
unsafe impl Send for Region {}

impl Region {
    /// # Safety
    ///
    /// The memory is readable, and nobody writes to it during `'a`.
    pub(crate) unsafe fn as_input<'a>(self) -> Input<'a> {
        let len = self.size / self.dtype.bytes();
        // SAFETY: not NULL, aligned and of a size that can be, checked when bound; the rest is the contract.
        unsafe {
            match self.dtype {
                Dtype::F32 => Input::F32(std::slice::from_raw_parts(self.data.cast(), len)),
                Dtype::I32 => Input::I32(std::slice::from_raw_parts(self.data.cast(), len)),
                Dtype::I64 => Input::I64(std::slice::from_raw_parts(self.data.cast(), len)),
            }
        }
    }

    /// # Safety
    ///
    /// The memory is readable and writable, and nobody else uses it during `'a`.
    pub(crate) unsafe fn as_output<'a>(self) -> &'a mut [f32] {
        assert_eq!(self.dtype, Dtype::F32, "outputs of checked plans are f32");
        // SAFETY: not NULL, aligned and of a size that can be, checked when bound; the rest is the contract.
        unsafe { std::slice::from_raw_parts_mut(self.data.cast(), self.size / size_of::<f32>()) }
    }

    fn range(self) -> std::ops::Range<usize> {
        let start = self.data.addr();
        start..start + self.size
    }
}

/// Checks what a caller gives against the ports of its kind and leaves the region of each port in `bound`,
/// which has room for it. What the dimensions say of the call is added to `extents`.
///
/// # Safety
///
/// `given` is NULL or points at `count` structs as [`read_struct`] wants them; their names are NULL or
/// strings, their dims NULL or arrays of their rank.
pub(crate) unsafe fn bind<T: Given>(
    ports: &[Port],
    given: *const T,
    count: usize,
    extents: &mut Extents,
    bound: &mut Vec<Option<Region>>,
) -> Result<(), Failure> {
    let kind = T::KIND;
    if count != ports.len() {
        return Err(Failure::new(
            FAR_ERROR_COUNT,
            format_args!("wrong number of {kind}s: expected `{}`, got `{count}`", ports.len()),
        ));
    }
    bound.clear();
    bound.extend(ports.iter().map(|_| None));
    // The first struct says how far apart all are.
    // SAFETY: a NULL array, or one with a first struct: the contract.
    let stride = if count == 0 { 0 } else { unsafe { struct_size(given, kind) }? };
    for position in 0..count {
        let at = given.wrapping_byte_add(position * stride);
        // SAFETY: the struct number `position` of `count` by the contract.
        let size = unsafe { struct_size(at, kind) }?;
        if size != stride {
            return Err(Failure::new(
                FAR_ERROR_STRUCT_SIZE,
                format_args!(
                    "`struct_size` of {kind} number {position}: expected `{stride}` as in the first, got `{size}`"
                ),
            ));
        }
        // SAFETY: as before.
        let one = unsafe { read_struct(at, kind) }?.fields();
        // SAFETY: name and dims are as the contract says.
        let (port, region) = unsafe { check::<T>(ports, position, &one, extents) }?;
        if bound[port].replace(region).is_some() {
            return Err(Failure::new(
                FAR_ERROR_NAME,
                format_args!(
                    "{kind} {} is given twice, the second time as number {position}",
                    Name(&ports[port])
                ),
            ));
        }
    }
    Ok(())
}

/// The port that `given` means, and its memory.
///
/// # Safety
///
/// The name is NULL or a string, dims are NULL or an array of the rank.
unsafe fn check<T: Given>(
    ports: &[Port],
    position: usize,
    given: &far_output,
    extents: &mut Extents,
) -> Result<(usize, Region), Failure> {
    let kind = T::KIND;
    let index = if given.name.is_null() {
        position
    } else {
        // SAFETY: not NULL, so a string by the contract.
        let name = unsafe { CStr::from_ptr(given.name) };
        ports.iter().position(|port| port.name.as_c_str() == name).ok_or_else(|| {
            Failure::new(
                FAR_ERROR_NAME,
                format_args!("the model has no {kind} `{}`, it has {}", Text(name), Names(ports)),
            )
        })?
    };
    let port = &ports[index];
    let fail = |status, text: fmt::Arguments<'_>| {
        Err(Failure::new(status, format_args!("{kind} {}: {text}", Name(port))))
    };
    let (dtype, name) = dtype(port.dtype);
    if given.dtype != dtype {
        return fail(
            FAR_ERROR_DTYPE,
            format_args!("expected dtype `{dtype}` ({name}), got `{}`", given.dtype),
        );
    }
    if given.dims.is_null() {
        if given.rank != 0 {
            return fail(FAR_ERROR_NULL_POINTER, format_args!("dims is NULL, but rank is `{}`", given.rank));
        }
        if T::SAYS_EXTENT && port.dims(extents).any(|(.., kind)| kind != FAR_DIM_FIXED) {
            return fail(
                FAR_ERROR_SHAPE,
                format_args!(
                    "expected dimensions `{}`, got none; hint: set `dims` and `rank`",
                    Dims(port, extents)
                ),
            );
        }
    } else {
        if given.rank != port.rank {
            return fail(
                FAR_ERROR_SHAPE,
                format_args!("expected dimensions `{}`, got `{}` of them", Dims(port, extents), given.rank),
            );
        }
        let before = *extents;
        for (axis, (known, most, kind)) in port.dims(&before).enumerate() {
            // SAFETY: `axis` is below the rank, so inside the array by the contract.
            let dim = *unsafe { reference(given.dims.wrapping_add(axis), "dims") }?;
            if known.is_some_and(|known| dim != known) || dim == 0 || dim > most {
                return fail(
                    FAR_ERROR_SHAPE,
                    format_args!(
                        "expected dimensions `{}`, got `{dim}` as number {axis}",
                        Dims(port, &before)
                    ),
                );
            }
            extents.set(kind, dim);
        }
    }
    let elements = port
        .dims(extents)
        .fold(1, |product: u64, (known, most, _)| product.saturating_mul(known.unwrap_or(most)));
    let bytes = elements.saturating_mul(port.dtype.bytes() as u64);
    if given.size as u64 != bytes {
        return fail(
            FAR_ERROR_SIZE,
            format_args!(
                "expected `{bytes}` bytes ({} of `{}`), got `{}`",
                port.dtype,
                Dims(port, extents),
                given.size
            ),
        );
    }
    if given.data.is_null() {
        return fail(FAR_ERROR_NULL_POINTER, format_args!("data is NULL"));
    }
    if !given.data.addr().is_multiple_of(port.dtype.bytes()) {
        return fail(
            FAR_ERROR_ALIGNMENT,
            format_args!("expected data at a multiple of `{}`, got `{:p}`", port.dtype.bytes(), given.data),
        );
    }
    if isize::try_from(given.size).is_err() || given.data.addr().checked_add(given.size).is_none() {
        return fail(
            FAR_ERROR_SIZE,
            format_args!("`{}` bytes at `{:p}` run past the end of memory", given.size, given.data),
        );
    }
    Ok((index, Region { data: given.data, size: given.size, dtype: port.dtype }))
}

/// Checks that no output shares a byte with an input or another output, and nothing with memory lent to the session.
pub(crate) fn check_disjoint(
    inputs: &[Option<Region>],
    outputs: &[Option<Region>],
    lent: &Range<usize>,
) -> Result<(), Failure> {
    for region in inputs.iter().chain(outputs).flatten() {
        let range = region.range();
        if range.start < lent.end && lent.start < range.end {
            return Err(Failure::new(
                FAR_ERROR_OVERLAP,
                format_args!("data at `{:p}` overlaps the memory that the session lives in", region.data),
            ));
        }
    }
    let overlap = |a: Region, b: Region| {
        let (a, b) = (a.range(), b.range());
        a.start < b.end && b.start < a.end
    };
    for (i, output) in outputs.iter().flatten().enumerate() {
        let others = inputs
            .iter()
            .flatten()
            .map(|r| ("input", r))
            .chain(outputs[..i].iter().flatten().map(|r| ("output", r)));
        for (kind, other) in others {
            if overlap(*output, *other) {
                return Err(Failure::new(
                    FAR_ERROR_OVERLAP,
                    format_args!(
                        "output `{i}` at `{:p}` overlaps an {kind} at `{:p}`",
                        output.data, other.data
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// The dimensions of a port in a message: those of the call, as far as they are known.
struct Dims<'a>(&'a Port, &'a Extents);

impl fmt::Display for Dims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (known, most, _)) in self.0.dims(self.1).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match known {
                Some(known) => write!(f, "{comma}{known}")?,
                None => write!(f, "{comma}1 to {most}")?,
            }
        }
        f.write_str("]")
    }
}

/// The name of a port in a message.
struct Name<'a>(&'a Port);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Text(self.0.name.as_c_str()))
    }
}

/// The names of some ports.
struct Names<'a>(&'a [Port]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, port) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Name(port))?;
        }
        Ok(())
    }
}

/// Bytes of a caller as text.
struct Text<'a>(&'a CStr);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_bytes().utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            f.write_str(if chunk.invalid().is_empty() { "" } else { "\u{fffd}" })
        })
    }
}
