//! The text form of a graph: [`print`] and [`parse`]. May import: the rest of `ir`.
//!
//! One line per node, constants last. `;` starts a comment, a `#` the path of the module that the node came from; both
//! run to the end of the line. Otherwise line breaks are spaces.
//!
//! ```text
//! graph "tiny"
//! input "image" %image : 1x4x4 dims 1x1x4x4
//! %patches = patch_embed %image 2x2 weight=@0 bias=@1 : 4x8 # patch
//! %lstm = lstm %patches {head 0 forward 0..8 -> 0..3: w @2, r @3, bias @4} : 4x3 # blocks.0.attn.lstm
//! %proj = linear %lstm {0..3 -> 0..8: @5, bias @6} act=gelu residual=%patches : 4x8 # blocks.0.attn.proj
//! output "tokens" %proj dims 1x4x8
//! @0: 4x8 = [ ... ]
//! ```
//!
//! Where the number of tokens varies, `tokens` says how many a call has at most and `T` stands for them in shapes and
//! dimensions; `B` is the batch, whose size `batch` says. Ids are one integer a row; `lengths` names the attention mask:
//!
//! ```text
//! graph "text"
//! tokens 16
//! batch 1..4
//! input "input_ids" %ids : Txid dims BxT i64
//! input "attention_mask" %mask : Txid dims BxT i64
//! lengths "attention_mask"
//! %words = embedding %ids @0 : Tx8 # embeddings.word_embeddings
//! %rows = positions @1 : Tx8
//! ```
//!
//! A value goes by its name (in quotes where it has odd characters), a constant by its number. Numbers are f32, written
//! so that they read back to the same bits; a NaN is `nan.` and its bits in hexadecimal. Values and constants that
//! nothing names are left out, so `parse(print(g))` is `g` after [`Graph::normalise`].

mod lex;
mod parse;
mod print;

pub use parse::parse;
pub use print::{Detail, print};

use super::{Activation, Direction, Dtype};

const ACTIVATIONS: [(&str, Activation); 6] = [
    ("none", Activation::None),
    ("gelu", Activation::Gelu),
    ("gelu_tanh", Activation::GeluTanh),
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
    ("gelu_short", Activation::GeluShort),
];

const DTYPES: [(&str, Dtype); 3] = [("f32", Dtype::F32), ("i32", Dtype::I32), ("i64", Dtype::I64)];

const DIRECTIONS: [(&str, Direction); 2] = [("forward", Direction::Forward), ("reverse", Direction::Reverse)];

/// Whether a character may stand in a name without quotes.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-')
}

#[cfg(test)]
mod tests;
