//! farc: ONNX and pruning masks in, `model.far` out.
#![forbid(unsafe_code)]

pub mod error;
pub mod ir;
pub mod onnx;
pub mod target;
