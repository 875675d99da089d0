//! What a tensor of the ONNX graph is while it is imported. May import: `ir`, `mask`, `tensor`, `view`.
//!
//! A tensor that is not a matrix of the IR yet, but may become part of a known function, is kept as a [`Partial`]: what
//! it is in terms of the tokens that went in.

use super::mask::Mask;
use super::tensor::Const;
use super::view::View;
use crate::ir::{Activation, ValueId};

/// The polynomials `x` and `x²`.
pub(super) const IDENTITY: [f64; 4] = [0.0, 1.0, 0.0, 0.0];
pub(super) const SQUARE: [f64; 4] = [0.0, 0.0, 1.0, 0.0];

/// A tensor of the ONNX graph while it is imported.
#[derive(Clone, Debug)]
pub(super) enum Tensor {
    /// Known.
    Const(Const),
    /// An input `[batch, channels, height, width]`.
    Image {
        /// The input.
        value: ValueId,
        /// Its dimensions.
        dims: [usize; 4],
    },
    /// Columns of values.
    Tokens(View),
    /// An input of integers, as it is: token ids, or the attention mask.
    Ids {
        /// Its one column.
        x: View,
        /// Which input.
        input: usize,
    },
    /// Part of a function that is being recognised.
    Partial(Partial),
}

/// A function of tokens for which there is no op (yet).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Partial {
    /// `Σ c[i]·xⁱ`, element by element.
    Poly {
        /// `x`.
        x: View,
        /// `c`, constant term first.
        c: [f64; 4],
    },
    /// `scale·f(x) + shift`, where `x·½·(1 + f(x))` is the activation function.
    Gate {
        /// `x`.
        x: View,
        /// The activation function whose gate `f` is.
        act: Activation,
        /// Multiplies `f`.
        scale: f64,
        /// Added last.
        shift: f64,
    },
    /// The mean over the last axis.
    Mean(View),
    /// The mean over the last axis, squared.
    SquaredMean(View),
    /// The mean of the squares over the last axis.
    MeanSquare(View),
    /// `x` less its mean.
    Centred(View),
    /// The square of `x` less its mean.
    Squares(View),
    /// `(variance of x over the last axis + eps)^(power/2)`.
    Spread {
        /// `x`.
        x: View,
        /// `eps`.
        eps: f64,
        /// `power`.
        power: i32,
    },
    /// Products of queries and keys, `[…, heads, T, T]`.
    Scores(Scores),
    /// The softmax of scores over the keys.
    Probabilities(Scores),
    /// Whether the softmax of scores is not a number: never, for a token that counts.
    IsNan(Scores),
    /// What became of the attention mask.
    Mask(Mask),
    /// For each element of the batch, how many tokens count; the same wherever it stands.
    Lengths {
        /// How the tensor lies.
        x: View,
        /// Tokens at most.
        rows: usize,
    },
    /// The sum over the tokens.
    Sum {
        /// The sum, by the columns of what is summed.
        x: View,
        /// Tokens that are summed.
        rows: usize,
    },
    /// The absolute values.
    Abs(View),
    /// The Euclidean norm over the last axis, or its square, but at least `floor`.
    Norm {
        /// Whose.
        x: View,
        /// Whether it is the square.
        squared: bool,
        /// Least value.
        floor: f64,
        /// Whether it has been repeated for each channel.
        wide: bool,
    },
}

/// Products of queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scores {
    /// Queries, `[…, heads, T, d]`.
    pub(super) q: View,
    /// Keys, `[…, heads, T, d]`.
    pub(super) k: View,
    /// Multiplies the products.
    pub(super) scale: f64,
}

impl Scores {
    /// Dimensions of the ONNX tensor.
    pub(super) fn dims(&self) -> Vec<usize> {
        let mut dims = self.q.dims.clone();
        dims.pop();
        dims.push(self.k.rows);
        dims
    }
}

impl Partial {
    /// What it is, for errors.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Poly { .. } => "a polynomial",
            Self::Gate { .. } => "part of a GELU",
            Self::Mean(_) => "a mean over the channels",
            Self::SquaredMean(_)
            | Self::MeanSquare(_)
            | Self::Centred(_)
            | Self::Squares(_)
            | Self::Spread { .. } => "part of a LayerNorm",
            Self::Scores(_) => "attention scores",
            Self::Probabilities(_) | Self::IsNan(_) => "attention probabilities",
            Self::Mask(_) => "the attention mask",
            Self::Lengths { .. } => "the number of tokens that count",
            Self::Sum { .. } => "a sum over the tokens",
            Self::Abs(_) | Self::Norm { .. } => "part of an L2 normalisation",
        }
    }

    fn dims(&self) -> Vec<usize> {
        match self {
            Self::Poly { x, .. }
            | Self::Gate { x, .. }
            | Self::Centred(x)
            | Self::Squares(x)
            | Self::Mask(Mask { x, .. })
            | Self::Lengths { x, .. }
            | Self::Sum { x, .. }
            | Self::Abs(x)
            | Self::Norm { x, wide: true, .. } => x.dims.clone(),
            Self::Mean(x)
            | Self::SquaredMean(x)
            | Self::MeanSquare(x)
            | Self::Spread { x, .. }
            | Self::Norm { x, wide: false, .. } => {
                let mut dims = x.dims.clone();
                dims.pop();
                dims.push(1);
                dims
            }
            Self::Scores(scores) | Self::Probabilities(scores) | Self::IsNan(scores) => scores.dims(),
        }
    }
}

impl Tensor {
    /// Dimensions of the ONNX tensor.
    pub(super) fn dims(&self) -> Vec<usize> {
        match self {
            Self::Const(c) => c.dims().to_vec(),
            Self::Image { dims, .. } => dims.to_vec(),
            Self::Tokens(view) | Self::Ids { x: view, .. } => view.dims.clone(),
            Self::Partial(partial) => partial.dims(),
        }
    }

    /// The constant, if it is one.
    pub(super) fn constant(&self) -> Option<&Const> {
        match self {
            Self::Const(c) => Some(c),
            _ => None,
        }
    }

    /// `Σ c[i]·xⁱ`; the number itself where nothing else is left.
    pub(super) fn poly(x: View, c: [f64; 4]) -> Self {
        let x = View { fresh: false, ..x };
        if c == IDENTITY { Self::Tokens(x) } else { Self::Partial(Partial::Poly { x, c }) }
    }

    /// The tensor as a polynomial.
    pub(super) fn as_poly(&self) -> Option<(&View, [f64; 4])> {
        match self {
            Self::Tokens(x) => Some((x, IDENTITY)),
            Self::Partial(Partial::Poly { x, c }) => Some((x, *c)),
            _ => None,
        }
    }
}
