//! What `far`, the board's own command, is made of; the compiler's command shares it: arrays in files ([`npy`]), runs
//! over a batch ([`batch`]), from files to files ([`mod@run`]), photographs ([`image`]) and classes ([`classify`]), timing
//! ([`mod@bench`]), what an artifact says ([`info`]), whether it is right ([`verify`]), who made it ([`signature`]) and what of it is accepted
//! ([`limits`]), and what this machine is ([`machine`], [`doctor`]).
//! May import: `far_engine`, `far_format`, `far_kernels`.

pub mod batch;
pub mod bench;
pub mod classify;
pub mod doctor;
mod error;
pub mod image;
pub mod info;
pub mod install;
pub mod json;
pub mod limits;
pub mod machine;
pub mod npy;
pub mod run;
pub mod signature;
pub mod verify;

pub use error::{Error, Result};
