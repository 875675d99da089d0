//! The numeric kernels. Every kernel gives, bit for bit, what the scalar one gives.
//! May import: `far_format::{cpu, layout}`: the shared feature list and the layout of packed weights.
#![no_std]
#![allow(unsafe_code)] // this crate is one of the fenced places; each block names the fact it relies on

pub mod matrix;
