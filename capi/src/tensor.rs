//! Inputs and outputs as they cross the boundary.
//! May import: `ffi`, `info`.

use std::ffi::{c_char, c_void};

use crate::ffi::Versioned;
use crate::info::FAR_MAX_RANK;

/// Element type.
pub type far_dtype = i32;

/// IEEE 754 binary32.
pub const FAR_DTYPE_F32: far_dtype = 1;
/// Signed integers of 32 bits.
pub const FAR_DTYPE_I32: far_dtype = 2;
/// Signed integers of 64 bits.
pub const FAR_DTYPE_I64: far_dtype = 3;

/// What a dimension depends on.
pub type far_dim = i32;

/// On nothing: always the same.
pub const FAR_DIM_FIXED: far_dim = 0;
/// The call's number of elements.
pub const FAR_DIM_BATCH: far_dim = 1;
/// The call's number of tokens.
pub const FAR_DIM_TOKENS: far_dim = 2;

/// One input or output of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_tensor_info {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Name in the source model.
    pub name: *const c_char,
    /// Element type.
    pub dtype: far_dtype,
    /// Number of dimensions.
    pub rank: u32,
    /// The dimensions, the most where they vary, 0 past the rank.
    pub dims: [u64; FAR_MAX_RANK],
    /// Product of the dimensions.
    pub element_count: u64,
    /// Bytes.
    pub size: u64,
    /// What each dimension depends on.
    pub dim_kinds: [far_dim; FAR_MAX_RANK],
}

// SAFETY: `repr(C)`, `struct_size` first, integers and raw pointers only, 8 + 8 + 4 + 4 + 8·8 + 8 + 8 + 8·4 bytes.
unsafe impl Versioned for far_tensor_info {
    const FIRST_SIZE: usize = 136;
    const DEFAULT: Self = far_tensor_info {
        struct_size: size_of::<Self>(),
        name: std::ptr::null(),
        dtype: 0,
        rank: 0,
        dims: [0; FAR_MAX_RANK],
        element_count: 0,
        size: 0,
        dim_kinds: [FAR_DIM_FIXED; FAR_MAX_RANK],
    };
}

/// What the caller supplies for one input.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_input {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Which input; NULL: the one of the same position.
    pub name: *const c_char,
    /// Elements, row-major.
    pub data: *const c_void,
    /// Bytes at `data`.
    pub size: usize,
    /// Element type.
    pub dtype: far_dtype,
    /// Number of dimensions at `dims`.
    pub rank: u32,
    /// Dimensions; NULL: not given, where none varies.
    pub dims: *const u64,
}

/// Where one output goes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_output {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Which output; NULL: the one of the same position.
    pub name: *const c_char,
    /// Room for the elements, row-major.
    pub data: *mut c_void,
    /// Bytes at `data`.
    pub size: usize,
    /// Element type.
    pub dtype: far_dtype,
    /// Number of dimensions at `dims`.
    pub rank: u32,
    /// Dimensions; NULL: not given.
    pub dims: *const u64,
}

/// What [`far_input`] and [`far_output`] have in common, but for who may write to `data`.
pub(crate) trait Given: Versioned {
    /// `input` or `output`, for messages.
    const KIND: &str;
    /// Whether it must say how large a call is.
    const SAYS_EXTENT: bool;
    /// The same fields, as those of an output.
    fn fields(self) -> far_output;
}

// SAFETY: `repr(C)`, `struct_size` first, integers and raw pointers only, 8 + 8 + 8 + 8 + 4 + 4 + 8 bytes.
unsafe impl Versioned for far_input {
    const FIRST_SIZE: usize = 48;
    const DEFAULT: Self = far_input {
        struct_size: size_of::<Self>(),
        name: std::ptr::null(),
        data: std::ptr::null(),
        size: 0,
        dtype: 0,
        rank: 0,
        dims: std::ptr::null(),
    };
}

// SAFETY: as for `far_input`.
unsafe impl Versioned for far_output {
    const FIRST_SIZE: usize = 48;
    const DEFAULT: Self = far_output {
        struct_size: size_of::<Self>(),
        name: std::ptr::null(),
        data: std::ptr::null_mut(),
        size: 0,
        dtype: 0,
        rank: 0,
        dims: std::ptr::null(),
    };
}

impl Given for far_input {
    const KIND: &str = "input";
    const SAYS_EXTENT: bool = true;

    fn fields(self) -> far_output {
        let far_input { struct_size, name, data, size, dtype, rank, dims } = self;
        far_output { struct_size, name, data: data.cast_mut(), size, dtype, rank, dims }
    }
}

impl Given for far_output {
    const KIND: &str = "output";
    const SAYS_EXTENT: bool = false;

    fn fields(self) -> far_output {
        self
    }
}
