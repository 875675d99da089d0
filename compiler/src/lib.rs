//! farc: ONNX and pruning masks in, `model.far` out.
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err)] // an error ends the run: its size costs nothing

pub mod emit;
pub mod error;
pub mod ir;
pub mod onnx;
pub mod passes;
pub mod schedule;
pub mod target;
