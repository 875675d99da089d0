//! Recognises functions that exporters spell out in primitives: GELU (by erf or tanh), LayerNorm, softmax attention.
//! May import: `ir`, `tensor`, `view`.
//!
//! A tensor that is not a matrix of the IR yet, but may become part of a known function, is kept as a [`Partial`]: what
//! it is in terms of the tokens that went in. Arithmetic on partials is algebra, so that every order of operands and
//! every association comes to the same. Once a partial turns out to be a known function, it is emitted as one op.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use super::mask::Mask;
use super::tensor::Const;
use super::view::View;
use crate::ir::{Activation, ValueId};

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

const IDENTITY: [f64; 4] = [0.0, 1.0, 0.0, 0.0];
const SQUARE: [f64; 4] = [0.0, 0.0, 1.0, 0.0];

/// What a node turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// Nothing to emit yet.
    Tensor(Tensor),
    /// `factor · act(x)`.
    Activation { x: View, act: Activation, factor: f64 },
    /// `x` normalised over its last axis.
    LayerNorm { x: View, eps: f64 },
    /// `x` divided by its Euclidean norm over its last axis, but at least by `eps`.
    Normalize { x: View, eps: f64 },
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
}

/// Whether two constants are the same number up to the rounding of an exporter.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs()
}

/// The algebra of two operands, where there is any.
pub(super) fn binary(op: Binary, a: &Tensor, b: &Tensor) -> Option<Found> {
    let scalar = |t: &Tensor, other: &Tensor| {
        t.constant().filter(|c| c.dims().len() <= other.dims().len()).and_then(Const::scalar)
    };
    match (scalar(a, b), scalar(b, a)) {
        (None, Some(s)) => with_scalar(op, a, s).map(Found::Tensor),
        (Some(s), None) => match op {
            Binary::Add | Binary::Mul => with_scalar(op, b, s).map(Found::Tensor),
            Binary::Sub => {
                with_scalar(Binary::Add, &with_scalar(Binary::Mul, b, -1.0)?, s).map(Found::Tensor)
            }
            Binary::Div if s == 1.0 => unary("Reciprocal", b),
            Binary::Div | Binary::Pow => None,
        },
        _ => pair(op, a, b).or_else(|| match op {
            Binary::Add | Binary::Mul => pair(op, b, a),
            Binary::Sub | Binary::Div | Binary::Pow => None,
        }),
    }
}

fn with_scalar(op: Binary, t: &Tensor, s: f64) -> Option<Tensor> {
    match op {
        Binary::Sub => return with_scalar(Binary::Add, t, -s),
        Binary::Div => return with_scalar(Binary::Mul, t, 1.0 / s),
        Binary::Add | Binary::Mul | Binary::Pow => {}
    }
    if let Some((x, mut c)) = t.as_poly() {
        match op {
            Binary::Add => c[0] += s,
            Binary::Mul => c = c.map(|c| c * s),
            _ => {
                let times = |a: Option<[f64; 4]>, _| a.and_then(|a| product(a, c));
                let power = [1.0, 2.0, 3.0].iter().position(|p| *p == s)?;
                return (0..power).fold(Some(c), times).map(|c| Tensor::poly(x.clone(), c));
            }
        }
        return Some(Tensor::poly(x.clone(), c));
    }
    let Tensor::Partial(partial) = t else { return None };
    let mut partial = partial.clone();
    match (op, &mut partial) {
        (Binary::Add, Partial::Gate { shift, .. }) => *shift += s,
        (Binary::Mul, Partial::Gate { scale, shift, .. }) => (*scale, *shift) = (*scale * s, *shift * s),
        (Binary::Add, Partial::Spread { eps, power: 2, .. }) => *eps += s,
        (Binary::Pow, Partial::Spread { power, .. }) if *power == 2 && s.abs() == 0.5 => {
            *power = s.signum() as i32
        }
        (Binary::Pow, Partial::Centred(x)) if s == 2.0 => partial = Partial::Squares(x.clone()),
        (Binary::Pow, Partial::Mean(x)) if s == 2.0 => partial = Partial::SquaredMean(x.clone()),
        (Binary::Pow, Partial::Abs(x)) if s == 2.0 => return Some(Tensor::poly(x.clone(), SQUARE)),
        (Binary::Pow, Partial::Norm { squared: squared @ true, floor, .. }) if s == 0.5 => {
            (*squared, *floor) = (false, floor.sqrt());
        }
        (Binary::Mul, Partial::Scores(scores)) => scores.scale *= s,
        (Binary::Add, Partial::Scores(_)) if s == 0.0 => {}
        _ => return None,
    }
    Some(Tensor::Partial(partial))
}

/// The product of two polynomials, if its degree is at most 3.
fn product(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut out = [0.0; 4];
    for (i, a) in a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
        for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            *out.get_mut(i + j)? += a * b;
        }
    }
    Some(out)
}

fn pair(op: Binary, a: &Tensor, b: &Tensor) -> Option<Found> {
    use Partial::{Centred, Gate, Mean, MeanSquare, Norm, Spread, SquaredMean, Squares};
    let partial = |p: Partial| Some(Found::Tensor(Tensor::Partial(p)));
    match (op, a, b) {
        (Binary::Sub, Tensor::Tokens(x), Tensor::Partial(Mean(y))) if x == y => {
            return partial(Centred(x.clone()));
        }
        (Binary::Mul, Tensor::Partial(Mean(x)), Tensor::Partial(Mean(y))) if x == y => {
            return partial(SquaredMean(x.clone()));
        }
        (Binary::Sub, Tensor::Partial(MeanSquare(x)), Tensor::Partial(SquaredMean(y))) if x == y => {
            return partial(Spread { x: x.clone(), eps: 0.0, power: 2 });
        }
        (Binary::Mul, Tensor::Partial(Centred(x)), Tensor::Partial(Centred(y))) if x == y => {
            return partial(Squares(x.clone()));
        }
        (Binary::Div, Tensor::Partial(Centred(x)), Tensor::Partial(Spread { x: y, eps, power: 1 }))
        | (Binary::Mul, Tensor::Partial(Centred(x)), Tensor::Partial(Spread { x: y, eps, power: -1 }))
            if x == y =>
        {
            return Some(Found::LayerNorm { x: x.clone(), eps: *eps });
        }
        (Binary::Div, Tensor::Tokens(x), Tensor::Partial(Norm { x: y, squared: false, floor, .. }))
            if x == y =>
        {
            return Some(Found::Normalize { x: x.clone(), eps: *floor });
        }
        (Binary::Mul, Tensor::Partial(Gate { x, act, scale, shift }), other) => {
            let (y, c) = other.as_poly()?;
            if x != y || c != [0.0, c[1], 0.0, 0.0] || !close(*shift, *scale) {
                return None;
            }
            let factor = 2.0 * c[1] * scale;
            let factor = if (factor - 1.0).abs() < 1e-6 { 1.0 } else { factor };
            return Some(Found::Activation { x: x.clone(), act: *act, factor });
        }
        _ => {}
    }
    let ((x, a), (y, b)) = (a.as_poly()?, b.as_poly()?);
    if x != y {
        return None;
    }
    let sum = |sign: f64| Some(std::array::from_fn(|i| a[i] + sign * b[i]));
    let c = match op {
        Binary::Add => sum(1.0),
        Binary::Sub => sum(-1.0),
        Binary::Mul => product(a, b),
        Binary::Div | Binary::Pow => None,
    };
    Some(Found::Tensor(Tensor::poly(x.clone(), c?)))
}

/// The algebra of one operand, where there is any.
pub(super) fn unary(op: &str, t: &Tensor) -> Option<Found> {
    match (op, t) {
        ("Neg", _) => with_scalar(Binary::Mul, t, -1.0).map(Found::Tensor),
        ("Sqrt", _) => with_scalar(Binary::Pow, t, 0.5).map(Found::Tensor),
        ("Reciprocal", Tensor::Partial(Partial::Spread { x, eps, power })) => {
            let inverse = Partial::Spread { x: x.clone(), eps: *eps, power: -power };
            Some(Found::Tensor(Tensor::Partial(inverse)))
        }
        ("Erf" | "Tanh", _) => {
            let (x, c) = t.as_poly()?;
            let gate = |act| {
                let partial = Partial::Gate { x: x.clone(), act, scale: 1.0, shift: 0.0 };
                Some(Found::Tensor(Tensor::Partial(partial)))
            };
            match op {
                "Erf" if c == [0.0, c[1], 0.0, 0.0] && close(c[1], FRAC_1_SQRT_2) => gate(Activation::Gelu),
                "Tanh" if is_gelu_tanh(c) => gate(Activation::GeluTanh),
                "Tanh" if c == IDENTITY => {
                    Some(Found::Activation { x: x.clone(), act: Activation::Tanh, factor: 1.0 })
                }
                _ => None,
            }
        }
        ("Abs", Tensor::Tokens(x)) => Some(Found::Tensor(Tensor::Partial(Partial::Abs(x.clone())))),
        ("IsNaN", Tensor::Partial(Partial::Probabilities(scores))) => {
            Some(Found::Tensor(Tensor::Partial(Partial::IsNan(scores.clone()))))
        }
        ("Relu", Tensor::Tokens(x)) => {
            Some(Found::Activation { x: x.clone(), act: Activation::Relu, factor: 1.0 })
        }
        _ => None,
    }
}

/// Whether `c` is `√(2/π)·(x + 0.044715·x³)`.
fn is_gelu_tanh(c: [f64; 4]) -> bool {
    let root = FRAC_2_PI.sqrt();
    c[0] == 0.0 && close(c[1], root) && c[2] == 0.0 && close(c[3], 0.044715 * root)
}

/// ReduceMean over the last axis, which is kept.
pub(super) fn mean_over_channels(t: &Tensor) -> Option<Partial> {
    match t {
        Tensor::Tokens(x) if x.is_matrix() => Some(Partial::Mean(x.clone())),
        Tensor::Partial(Partial::Poly { x, c: [0.0, 0.0, 1.0, 0.0] }) if x.is_matrix() => {
            Some(Partial::MeanSquare(x.clone()))
        }
        Tensor::Partial(Partial::Squares(x)) => Some(Partial::Spread { x: x.clone(), eps: 0.0, power: 2 }),
        _ => None,
    }
}

/// ReduceSum over the last axis, which is kept: of squares.
pub(super) fn sum_over_channels(t: &Tensor) -> Option<Partial> {
    match t {
        Tensor::Partial(Partial::Poly { x, c: SQUARE }) if x.is_matrix() => {
            Some(Partial::Norm { x: x.clone(), squared: true, floor: 0.0, wide: false })
        }
        _ => None,
    }
}

/// ReduceL2 over the last axis, which is kept.
pub(super) fn norm_over_channels(t: &Tensor) -> Option<Partial> {
    match t {
        Tensor::Tokens(x) if x.is_matrix() => {
            Some(Partial::Norm { x: x.clone(), squared: false, floor: 0.0, wide: false })
        }
        _ => None,
    }
}

/// Not less than a number, whatever that is of.
pub(super) fn at_least(t: &Tensor, low: f64) -> Option<Tensor> {
    match t {
        Tensor::Partial(Partial::Norm { x, squared, floor, wide }) => {
            let floor = floor.max(low);
            Some(Tensor::Partial(Partial::Norm { x: x.clone(), squared: *squared, floor, wide: *wide }))
        }
        // Every element has at least one token.
        Tensor::Partial(Partial::Lengths { .. }) if low <= 1.0 => Some(t.clone()),
        _ => None,
    }
}
