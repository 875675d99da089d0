//! Recognises functions that exporters spell out in primitives: GELU (by erf or tanh), LayerNorm, softmax attention, L2
//! normalisation. May import: `ir`, `partial`, `tensor`, `view`.
//!
//! Arithmetic on [partials](super::partial) is algebra, so that every order of operands and every association comes to the
//! same. Once a partial turns out to be a known function, it is emitted as one op.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use super::partial::{IDENTITY, SQUARE};
pub(super) use super::partial::{Partial, Scores, Tensor};
use super::tensor::Const;
use super::view::View;
use crate::ir::Activation;

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
