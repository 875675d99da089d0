//! What the fuzzer of the engine feeds and what it asks, without the fuzzer: the ordinary tests (`tests/fuzz.rs`) replay the
//! corpus with the same code, and mutate it.

pub mod artifact;
mod fields;
pub mod random;
