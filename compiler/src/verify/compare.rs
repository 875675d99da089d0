//! How two lists of numbers differ. Imports nothing of ours.

use serde::Serialize;

/// How an output differs from the reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Largest absolute difference; infinite where one side is not finite and the other differs.
    pub max_abs: f64,
    /// The same as a part of the range of the reference's numbers.
    pub relative: f64,
    /// Least and largest number of the reference.
    pub range: [f64; 2],
    /// Least cosine of the angle between the two over the runs.
    pub cosine: f64,
    /// Most f32 numbers that lie between the artifact's and the reference's, which is rounded first.
    pub max_ulp: u32,
}

/// Gathers differences over runs.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    runs: usize,
    range: [f64; 2],
    cosine: f64,
    max_ulp: u32,
    /// The run with the largest absolute difference, and that.
    worst: (usize, f64),
    /// Runs in which the largest element is the same; `None` where there is but one element.
    top1: Option<usize>,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            runs: 0,
            range: [f64::INFINITY, f64::NEG_INFINITY],
            cosine: f64::INFINITY,
            max_ulp: 0,
            worst: (0, 0.0),
            top1: Some(0),
        }
    }
}

impl Comparison {
    /// One run: as many numbers on either side.
    pub(super) fn add(&mut self, got: &[f32], expected: &[f64]) {
        for (&got, &expected) in got.iter().zip(expected) {
            let apart = difference(f64::from(got), expected);
            if apart > self.worst.1 {
                self.worst = (self.runs, apart);
            }
            self.max_ulp = self.max_ulp.max(ulps(got, expected as f32));
            self.range = [self.range[0].min(expected), self.range[1].max(expected)];
        }
        self.cosine = self.cosine.min(cosine(got, expected));
        self.top1 = match self.top1 {
            Some(agreeing) if expected.len() > 1 => {
                let same = largest(got.iter().map(|&v| f64::from(v))) == largest(expected.iter().copied());
                Some(agreeing + usize::from(same))
            }
            _ => None,
        };
        self.runs += 1;
    }

    pub(super) fn difference(&self) -> Difference {
        let [least, most] = self.range;
        // Numbers that are all the same have no range: their size is the scale then.
        let scale = if most > least { most - least } else { most.abs().max(f64::MIN_POSITIVE) };
        let max_abs = self.worst.1;
        Difference {
            max_abs,
            // What is infinite stays so, whatever the range.
            relative: if max_abs == 0.0 || max_abs.is_infinite() { max_abs } else { max_abs / scale },
            range: self.range,
            cosine: self.cosine,
            max_ulp: self.max_ulp,
        }
    }

    pub(super) fn worst(&self) -> (usize, f64) {
        self.worst
    }

    pub(super) fn top1(&self) -> Option<usize> {
        self.top1
    }
}

/// Zero for equal numbers, two NaNs among them; infinite where only one side is finite.
pub(super) fn difference(got: f64, expected: f64) -> f64 {
    if got == expected || (got.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let apart = (got - expected).abs();
    if apart.is_finite() { apart } else { f64::INFINITY }
}

/// f32 numbers from one to the other; the most there are if one is NaN and the other not.
fn ulps(a: f32, b: f32) -> u32 {
    // Maps the numbers to integers in their own order, −0 and 0 to the same.
    let order = |x: f32| {
        let bits = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => u32::try_from((order(a) - order(b)).abs()).unwrap_or(u32::MAX),
        _ => u32::MAX,
    }
}

/// 1 where one of the two is zero everywhere.
pub(crate) fn cosine(a: &[f32], b: &[f64]) -> f64 {
    let pairs = || a.iter().map(|&a| f64::from(a)).zip(b.iter().copied());
    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
    let norms = pairs().map(|(a, _)| a * a).sum::<f64>() * pairs().map(|(_, b)| b * b).sum::<f64>();
    if norms == 0.0 { 1.0 } else { dot / norms.sqrt() }
}

/// Index of the largest element, the first of equals.
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, value) in values.enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_by_hand() {
        let mut comparison = Comparison::default();
        comparison.add(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.5]);
        comparison.add(&[3.0, 0.0, 1.0], &[1.5, 2.0, 1.0]);
        let found = comparison.difference();
        assert_eq!((found.max_abs, found.range), (2.0, [1.0, 3.5]));
        assert_eq!(found.relative, 2.0 / 2.5);
        assert_eq!(comparison.worst(), (1, 2.0));
        assert_eq!(comparison.top1(), Some(1));
        assert!((found.cosine - 5.5 / (10.0f64 * 7.25).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn what_is_not_finite_differs() {
        for (got, expected) in
            [(f32::NAN, 1.0), (1.0, f64::NAN), (f32::INFINITY, 1.0), (f32::INFINITY, f64::NEG_INFINITY)]
        {
            let mut comparison = Comparison::default();
            comparison.add(&[got, 0.0], &[expected, 1.0]);
            assert_eq!(comparison.difference().relative, f64::INFINITY, "{got} {expected}");
        }
        let mut same = Comparison::default();
        same.add(&[f32::NAN, f32::INFINITY], &[f64::NAN, f64::INFINITY]);
        assert_eq!(same.difference().relative, 0.0);
    }

    #[test]
    fn constant_outputs_are_measured_by_their_size() {
        let mut comparison = Comparison::default();
        comparison.add(&[2.5, 2.0], &[2.0, 2.0]);
        assert_eq!(comparison.difference().relative, 0.25);
    }

    #[test]
    fn ulps_count_numbers() {
        assert_eq!(ulps(1.0, 1.0 + f32::EPSILON), 1);
        assert_eq!(ulps(-0.0, 0.0), 0);
        assert_eq!(ulps(f32::from_bits(1), -f32::from_bits(1)), 2);
        assert_eq!(ulps(f32::NAN, 1.0), u32::MAX);
        assert_eq!(ulps(f32::MAX, f32::MIN), 2 * f32::MAX.to_bits());
    }
}
