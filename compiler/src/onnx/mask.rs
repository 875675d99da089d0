//! What exporters make of the attention mask: one number for tokens that count and one for those that don't.
//! May import: `tensor`, `view`.
//!
//! A token that doesn't count has no row in the graph: an element of the batch is computed as the sequence of its own
//! tokens. So all that is left of a mask is the number for tokens that count, which must change nothing; the other one
//! only proves that a mask is meant.

use super::tensor::{Const, Data};
use super::view::View;

/// Scores from here down have a softmax of zero beside any score of a real model.
const MASKED: f64 = -1000.0;

/// A tensor made of the attention mask.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mask {
    /// How it lies.
    pub(super) x: View,
    /// Its numbers.
    pub(super) bits: Bits,
}

/// Type of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Float,
    Bool,
}

/// The two numbers of a mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bits {
    /// For tokens that count.
    pub(super) kept: f64,
    /// For tokens that don't.
    pub(super) dropped: f64,
    pub(super) kind: Kind,
}

impl Bits {
    /// The model's input: ones, then zeros.
    pub(super) const INPUT: Self = Self { kept: 1.0, dropped: 0.0, kind: Kind::Int };

    /// A constant whose elements are all the same.
    pub(super) fn of(constant: &Const) -> Option<Self> {
        fn all<T: PartialEq + Copy>(mut elements: impl Iterator<Item = T>) -> Option<T> {
            let first = elements.next()?;
            elements.all(|x| x == first).then_some(first)
        }
        let (number, kind) = match &constant.data {
            Data::F32(a) => (all(a.iter().copied())?.into(), Kind::Float),
            Data::I64(a) => (all(a.iter().copied())? as f64, Kind::Int),
            Data::Bool(a) => (f64::from(u8::from(all(a.iter().copied())?)), Kind::Bool),
            Data::F16(_) => return None,
        };
        Some(Self { kept: number, dropped: number, kind })
    }

    /// Whether a product with it keeps the tokens that count and nothing of the others.
    pub(super) fn selects(self) -> bool {
        (self.kept, self.dropped) == (1.0, 0.0)
    }

    /// Whether a sum with it leaves the scores of keys that count, and takes those of the others away.
    pub(super) fn masks(self) -> bool {
        self.kept == 0.0 && self.dropped <= MASKED
    }

    /// Whether it is nothing but a number that takes scores away.
    pub(super) fn is_masked(self) -> bool {
        self.kept == self.dropped && self.kept <= MASKED
    }

    /// As elements of another type.
    pub(super) fn cast(self, kind: Kind) -> Self {
        let number = |x: f64| match kind {
            Kind::Float => x,
            Kind::Int => x.trunc(),
            Kind::Bool => f64::from(u8::from(x != 0.0)),
        };
        Self { kept: number(self.kept), dropped: number(self.dropped), kind }
    }

    /// An element-wise operator; `None` for one that is not known.
    pub(super) fn elementwise(op: &str, operands: &[Self]) -> Option<Self> {
        let first = operands.first()?;
        let kind = match op {
            "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Not" | "And" | "Or" => {
                Kind::Bool
            }
            "Where" => operands.get(1)?.kind,
            _ => first.kind,
        };
        let number = |of: fn(&Self) -> f64| {
            let numbers: Vec<f64> = operands.iter().map(of).collect();
            evaluate(op, &numbers, first.kind)
        };
        Some(Self { kept: number(|bits| bits.kept)?, dropped: number(|bits| bits.dropped)?, kind })
    }
}

fn evaluate(op: &str, operands: &[f64], kind: Kind) -> Option<f64> {
    let truth = |holds: bool| f64::from(u8::from(holds));
    Some(match (op, operands) {
        ("Neg", [a]) => -a,
        ("Abs", [a]) => a.abs(),
        ("Not", [a]) => 1.0 - a,
        ("Add", [a, b]) => a + b,
        ("Sub", [a, b]) => a - b,
        ("Mul", [a, b]) => a * b,
        ("Div", [a, b]) if kind == Kind::Float => a / b,
        ("Pow", [a, b]) => a.powf(*b),
        ("Min", [first, rest @ ..]) => rest.iter().fold(*first, |least, x| least.min(*x)),
        ("Max", [first, rest @ ..]) => rest.iter().fold(*first, |most, x| most.max(*x)),
        ("Equal", [a, b]) => truth(a == b),
        ("Less", [a, b]) => truth(a < b),
        ("LessOrEqual", [a, b]) => truth(a <= b),
        ("Greater", [a, b]) => truth(a > b),
        ("GreaterOrEqual", [a, b]) => truth(a >= b),
        ("And", [a, b]) => truth(*a != 0.0 && *b != 0.0),
        ("Or", [a, b]) => truth(*a != 0.0 || *b != 0.0),
        ("Where", [condition, a, b]) => {
            if *condition != 0.0 {
                *a
            } else {
                *b
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(x: f64) -> Bits {
        Bits { kept: x, dropped: x, kind: Kind::Float }
    }

    #[test]
    fn every_spelling_masks() {
        let least = number(f64::from(f32::MIN));
        let mask = Bits::INPUT.cast(Kind::Float);
        let op = |op, operands: &[Bits]| Bits::elementwise(op, operands).unwrap();
        let inverted = op("Sub", &[number(1.0), mask]);
        assert!(op("Mul", &[inverted, least]).masks());
        assert!(op("Where", &[inverted.cast(Kind::Bool), least, inverted]).masks());
        assert!(op("Where", &[mask.cast(Kind::Bool), number(0.0), number(f64::NEG_INFINITY)]).masks());
        let is_zero = op("Equal", &[mask, number(0.0)]);
        assert_eq!((is_zero.kept, is_zero.dropped, is_zero.kind), (0.0, 1.0, Kind::Bool));
        assert!(op("Not", &[is_zero]).selects());
        for no_mask in [mask, inverted, op("Mul", &[mask, least]), op("Mul", &[inverted, number(-1.0)])] {
            assert!(!no_mask.masks(), "{no_mask:?}");
        }
    }

    #[test]
    fn infinity_times_zero_is_no_mask() {
        let inverted = Bits::elementwise("Sub", &[number(1.0), Bits::INPUT]).unwrap();
        let product = Bits::elementwise("Mul", &[inverted, number(f64::NEG_INFINITY)]).unwrap();
        assert!(!product.masks(), "{product:?}");
    }
}
