//! libfar: the C interface of the FAR runtime. `include/far.h` is the contract and the documentation; this is its
//! other side.
//!
//! `ffi` holds what a boundary needs (panics, NULL, ownership, structs of several versions), `message` the last error
//! of each thread; `info`, `log`, `meta`, `model`, `options`, `pool`, `precision`, `profile`, `session`, `tensor` and `status` are the header's
//! sections; `port` checks a caller's tensors against the model's, `extent` is what they say of a call.
//! May import: the engine, and what its interface mentions of format and kernels.
#![allow(
    unsafe_code,
    reason = "a C interface takes raw pointers; each block names the promise of the header that it relies on"
)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(non_camel_case_types, reason = "types are named as in far.h")]
#![allow(
    unexpected_cfgs,
    reason = "`far_provoke`, which cargo doesn't know, so that no feature can switch it on"
)]

#[cfg(test)]
extern crate self as far;

mod extent;
mod ffi;
mod info;
mod log;
mod message;
mod meta;
mod model;
mod options;
mod pool;
mod port;
mod precision;
mod profile;
#[cfg(far_provoke)]
mod provoke;
mod session;
mod status;
mod strings;
mod tensor;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod test;

pub use info::*;
pub use log::{
    FAR_LOG_DEBUG, FAR_LOG_ERROR, FAR_LOG_INFO, FAR_LOG_WARNING, far_log_function, far_log_level, far_logger,
};
pub use message::far_last_error;
pub use meta::{
    FAR_IMAGE_BGR, FAR_IMAGE_BICUBIC, FAR_IMAGE_BILINEAR, FAR_IMAGE_CROP, FAR_IMAGE_GRAY, FAR_IMAGE_NCHW,
    FAR_IMAGE_NHWC, FAR_IMAGE_PAD, FAR_IMAGE_RGB, FAR_IMAGE_STRETCH, FAR_MAX_CHANNELS, far_image_color,
    far_image_filter, far_image_info, far_image_layout, far_image_resize, far_model_description,
    far_model_image_info, far_model_info, far_model_info_count, far_model_labels,
};
pub use model::*;
pub use options::{
    FAR_ISA_AVX2, FAR_ISA_AVX512, FAR_ISA_BEST, FAR_ISA_NEON, FAR_ISA_RVV, FAR_ISA_SCALAR, FAR_MAX_THREADS,
    FAR_SESSION_PROFILE, far_isa, far_session_options,
};
pub use pool::{far_lane_function, far_parallel_for_function, far_thread_pool};
pub use precision::{
    FAR_PRECISION_BF16, FAR_PRECISION_F16, FAR_PRECISION_F16_ARITH, FAR_PRECISION_F32, FAR_PRECISION_INT8,
    far_model_precisions, far_precision,
};
pub use profile::{far_session_profile, far_session_profile_reset, far_session_step_count, far_step_profile};
pub use session::*;
pub use status::*;
pub use tensor::*;
