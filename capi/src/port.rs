//! The inputs and outputs that a model has, and the check of what a caller gives against them.
//! May import: `ffi`, `status`, `info`, `tensor`, the format's ports.

use std::ffi::{CStr, CString};
use std::fmt;

use crate::ffi::{Failure, Versioned, c_string, read_struct, reference, struct_size};
use crate::info::FAR_MAX_RANK;
use crate::status::{
    FAR_ERROR_ALIGNMENT, FAR_ERROR_COUNT, FAR_ERROR_DTYPE, FAR_ERROR_INVALID_ARTIFACT, FAR_ERROR_NAME,
    FAR_ERROR_NULL_POINTER, FAR_ERROR_OVERLAP, FAR_ERROR_SHAPE, FAR_ERROR_SIZE, FAR_ERROR_STRUCT_SIZE,
};
use crate::tensor::{FAR_DTYPE_F32, Given, far_output, far_tensor_info};

/// One input or output of a model as C sees it.
pub(crate) struct Port {
    name: CString,
    rank: u32,
    dims: [u64; FAR_MAX_RANK],
    elements: u64,
}

impl Port {
    pub(crate) fn new(port: &far_format::plan::Port) -> Result<Port, Failure> {
        let mut dims = [0; FAR_MAX_RANK];
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
        for (to, from) in known.iter_mut().zip(&port.dims) {
            *to = from.of(1, 0) as u64;
        }
        Ok(Port {
            name: c_string(format_args!("{}", port.name))?,
            rank,
            dims,
            elements: port.elements(1, 0) as u64,
        })
    }

    pub(crate) fn info(&self) -> far_tensor_info {
        far_tensor_info {
            name: self.name.as_ptr(),
            dtype: FAR_DTYPE_F32,
            rank: self.rank,
            dims: self.dims,
            element_count: self.elements,
            size: self.bytes(),
            ..far_tensor_info::DEFAULT
        }
    }

    fn bytes(&self) -> u64 {
        self.elements * 4
    }

    fn dims(&self) -> &[u64] {
        &self.dims[..self.rank as usize]
    }
}

/// Memory of the caller that was checked against a port: not NULL, aligned, and of the port's size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    data: *mut f32,
    len: usize,
}

// SAFETY: an address and a length, plain numbers; whoever makes a slice of them answers for that.
unsafe impl Send for Region {}

impl Region {
    /// # Safety
    ///
    /// The memory is readable, and nobody writes to it during `'a`.
    pub(crate) unsafe fn as_slice<'a>(self) -> &'a [f32] {
        // SAFETY: not NULL, aligned and of a size that can be, checked when bound; the rest is the contract.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    /// # Safety
    ///
    /// The memory is readable and writable, and nobody else uses it during `'a`.
    pub(crate) unsafe fn as_mut_slice<'a>(self) -> &'a mut [f32] {
        // SAFETY: not NULL, aligned and of a size that can be, checked when bound; the rest is the contract.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }

    fn range(self) -> std::ops::Range<usize> {
        let start = self.data.addr();
        start..start + self.len * 4
    }
}

/// Checks what a caller gives against the ports of its kind and leaves the region of each port in `bound`,
/// which has room for it.
///
/// # Safety
///
/// `given` is NULL or points at `count` structs as [`read_struct`] wants them; their names are NULL or
/// strings, their dims NULL or arrays of their rank.
pub(crate) unsafe fn bind<T: Given>(
    ports: &[Port],
    given: *const T,
    count: usize,
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
        let (port, region) = unsafe { check(ports, kind, position, &one) }?;
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
unsafe fn check(
    ports: &[Port],
    kind: &str,
    position: usize,
    given: &far_output,
) -> Result<(usize, Region), Failure> {
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
    if given.dtype != FAR_DTYPE_F32 {
        return fail(
            FAR_ERROR_DTYPE,
            format_args!("expected dtype `{FAR_DTYPE_F32}` (FAR_DTYPE_F32), got `{}`", given.dtype),
        );
    }
    if given.dims.is_null() {
        if given.rank != 0 {
            return fail(FAR_ERROR_NULL_POINTER, format_args!("dims is NULL, but rank is `{}`", given.rank));
        }
    } else {
        if given.rank != port.rank {
            return fail(
                FAR_ERROR_SHAPE,
                format_args!("expected dimensions `{:?}`, got `{}` of them", port.dims(), given.rank),
            );
        }
        for (axis, expected) in port.dims().iter().enumerate() {
            // SAFETY: `axis` is below the rank, so inside the array by the contract.
            let dim = *unsafe { reference(given.dims.wrapping_add(axis), "dims") }?;
            if dim != *expected {
                return fail(
                    FAR_ERROR_SHAPE,
                    format_args!("expected dimensions `{:?}`, got `{dim}` as number {axis}", port.dims()),
                );
            }
        }
    }
    if given.size as u64 != port.bytes() {
        return fail(
            FAR_ERROR_SIZE,
            format_args!(
                "expected `{}` bytes (f32 of `{:?}`), got `{}`",
                port.bytes(),
                port.dims(),
                given.size
            ),
        );
    }
    if given.data.is_null() {
        return fail(FAR_ERROR_NULL_POINTER, format_args!("data is NULL"));
    }
    let region = Region { data: given.data.cast(), len: given.size / 4 };
    if !region.data.is_aligned() {
        return fail(
            FAR_ERROR_ALIGNMENT,
            format_args!("expected data at a multiple of `{}`, got `{:p}`", align_of::<f32>(), region.data),
        );
    }
    if isize::try_from(given.size).is_err() || region.data.addr().checked_add(given.size).is_none() {
        return fail(
            FAR_ERROR_SIZE,
            format_args!("`{}` bytes at `{:p}` run past the end of memory", given.size, region.data),
        );
    }
    Ok((index, region))
}

/// Checks that no output shares a byte with an input or another output.
pub(crate) fn check_disjoint(inputs: &[Option<Region>], outputs: &[Option<Region>]) -> Result<(), Failure> {
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

/// The name of a port in a message.
struct Name<'a>(&'a Port);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Text(&self.0.name))
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
