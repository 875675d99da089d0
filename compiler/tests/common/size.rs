//! The size of a model that is quick to compile.

use far_models::Size;

/// Two blocks of three heads.
pub(crate) const SMALL: Size = Size {
    image: 8,
    patch: 4,
    channels: 1,
    width: 12,
    heads: 3,
    hidden: 8,
    depth: 2,
    mlp: 16,
    classes: 5,
    distilled: false,
};
