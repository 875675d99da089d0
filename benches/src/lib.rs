//! What is measured, and what it is measured against.
//!
//! [`models`] and [`kernels`] list the cases; [`machine`] finds the limits of the core that runs them. The criterion
//! benches, `far-bench-models`, `far-peak` and the comparison with other runtimes in `peers/` all draw on these.
//!
//! May import: the public faces of the other packages.

pub mod kernels;
pub mod machine;
pub mod models;
mod noise;

pub use noise::Noise;
