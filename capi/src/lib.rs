//! libfar: the C interface of the FAR runtime. `include/far.h` is the contract and the documentation; this is its
//! other side.
//!
//! `ffi` holds what a boundary needs (panics, NULL, ownership, structs of several versions), `message` the last error
//! of each thread; `info`, `model`, `session`, `tensor` and `status` are the header's sections; `port` checks a
//! caller's tensors against the model's, `extent` is what they say of a call.
//! May import: the engine, and what its interface mentions of format and kernels.
#![allow(
    unsafe_code,
    reason = "a C interface takes raw pointers; each block names the promise of the header that it relies on"
)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(non_camel_case_types, reason = "types are named as in far.h")]

#[cfg(test)]
extern crate self as far;

mod extent;
mod ffi;
mod info;
mod message;
mod model;
mod port;
mod session;
mod status;
mod tensor;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod test;

pub use info::*;
pub use message::far_last_error;
pub use model::*;
pub use session::*;
pub use status::*;
pub use tensor::*;
