//! The artifact `model.far`: what it says ([`plan`]), how it is written and read (one module, side by side).
//! The byte-level specification is `SPEC.md` beside this crate. May import: nothing of ours.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cpu;
pub mod layout;
pub mod plan;
