//! Runs `model.far` artifacts.
//!
//! A [`Model`] is an artifact, proved once and shared; a [`Session`] owns what one caller needs to run it. Everything
//! that can fail fails when they are made: [`Session::run`] allocates nothing and gives the same bits whatever the
//! number of threads and whatever the kernels.
//!
//! ```no_run
//! # fn main() -> Result<(), far_engine::Error> {
//! use far_engine::{Model, Session, SessionOptions};
//!
//! let model = Model::open("model.far".as_ref())?;
//! let mut session = Session::new(model, &SessionOptions::default())?;
//! let image = vec![0.0; session.model().inputs()[0].elements(1, 0)];
//! let mut logits = vec![0.0; session.model().outputs()[0].elements(1, 0)];
//! session.run(&[&image], &mut [&mut logits])?;
//! # Ok(())
//! # }
//! ```
//!
//! Where the batch or the number of tokens varies, or inputs are integers, [`Session::run_extent`] takes a call that says
//! how large it is.
//!
//! May import: `far_format`, `far_kernels`. Unsafe code is in `counted`, `exec`, `reason`, `storage`, `system`
//! and `team` only.

#[cfg(test)]
extern crate self as far_engine;

mod buffer;
mod call;
mod cancel;
mod cost;
mod counted;
mod error;
mod exec;
mod isa;
mod model;
mod profile;
mod program;
mod reason;
mod session;
pub mod signature;
mod storage;
mod system;
mod team;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod test;

pub use call::{Extent, Input};
pub use cancel::Cancel;
pub use counted::Counted;
pub use error::{Axis, CpuProblem, Error, ErrorKind, Result, Side};
pub use far_format::plan::{Dim, Dtype, Port};
pub use far_format::{Limit, Limits};
pub use far_kernels::Isa;
pub use isa::{ISA_VARIABLE, choose_kernels};
pub use model::{Model, ModelOptions, Signed};
pub use profile::Profile;
pub use session::{MAX_THREADS, Session, SessionOptions};
pub use team::{MAX_CPUS, Pool, is_worker, pin_caller};
