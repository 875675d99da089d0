//! The artifact `model.far`: what it says ([`plan`]), how it is written and read ([`write()`], [`read()`], side by side in
//! one module), and the proof that it can be run safely ([`CheckedPlan`]).
//! The byte-level specification is `SPEC.md` beside this crate. May import: nothing of ours.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod artifact;
mod bytes;
mod check;
pub mod cpu;
mod error;
pub mod layout;
mod limits;
pub mod meta;
pub mod plan;
mod region;

pub use artifact::{
    Artifact, ArtifactParts, Header, MAGIC, SECTION_ALIGNMENT, VERSION, WEIGHTS_ALIGNMENT, check_length,
    read, read_within, write,
};
pub use check::{ALIGNMENT, CheckedPlan, MAX_ARENA_BYTES, MAX_BATCH, MAX_PORT_ELEMENTS};
pub use error::{Error, ErrorKind, Problem, Result, Section, Subject};
pub use limits::{Limit, Limits};
pub use region::{Region, Space};
