//! What the fuzzers of farc feed and what they ask, without the fuzzer: the ordinary tests (`tests/fuzz.rs`) replay the corpus
//! with the same code, and mutate it. Each module has `check`, which panics where a promise is broken and says whether
//! the input was accepted, and `mutate`.

pub mod ir;
pub mod masks;
pub mod onnx;
mod protobuf;
#[path = "../../../runtime/engine/fuzz/src/random.rs"]
pub mod random;
pub mod target;
mod words;
