//! What `far`, the board's own command, is made of; the compiler's command shares it: arrays in files ([`npy`]), runs
//! over a batch ([`batch`]), from files to files ([`mod@run`]), timing ([`mod@bench`]), and what an artifact says
//! ([`info`]).
//! May import: `far_engine`, `far_format`, `far_kernels`.

pub mod batch;
pub mod bench;
mod error;
pub mod info;
pub mod json;
pub mod npy;
pub mod run;

pub use error::{Error, Result};
