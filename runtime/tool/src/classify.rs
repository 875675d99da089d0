//! Logits to names: the likeliest classes of a classifier's answer. May import: `json`; far-engine, far-format.

use far_engine::{Dim, Model};

use crate::json::Json;

/// A class, and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Its number.
    pub class: usize,
    /// Its name, where the model says it.
    pub label: Option<String>,
    /// Softmax of the logits; NaN where they aren't finite.
    pub probability: f64,
}

impl Guess {
    /// For programs.
    pub fn json(&self) -> Json {
        Json::Object(vec![
            ("class", self.class.into()),
            ("label", self.label.as_deref().into()),
            ("probability", self.probability.into()),
        ])
    }

    /// For people.
    pub fn text(&self) -> String {
        let name = self.label.clone().unwrap_or_else(|| format!("class {}", self.class));
        format!("{:6.2} %  {name}", 100.0 * self.probability)
    }
}

/// The output that has one row of logits an element, by number: the one that has labels, else the only output.
pub fn output(model: &Model) -> Option<usize> {
    let labels = model.meta().labels.as_ref().map(|labels| labels.output as usize);
    let number = labels.or((model.outputs().len() == 1).then_some(0))?;
    let port = model.outputs().get(number)?;
    match port.dims.last() {
        Some(Dim::Fixed(classes)) if !port.has_tokens() => {
            (port.elements(1, 0) == *classes as usize).then_some(number)
        }
        _ => None,
    }
}

/// The `count` likeliest classes, the likeliest first; of equal ones the lower number.
pub fn top(model: &Model, logits: &[f32], count: usize) -> Vec<Guess> {
    let labels = model.meta().labels.as_ref();
    let label = |class: usize| labels.and_then(|labels| labels.name(class)).map(String::from);
    let ranked = ranked(logits, count).into_iter();
    ranked.map(|(class, probability)| Guess { class, label: label(class), probability }).collect()
}

fn ranked(logits: &[f32], count: usize) -> Vec<(usize, f64)> {
    let most = logits.iter().fold(f64::NEG_INFINITY, |most, x| most.max(f64::from(*x)));
    let exp = |x: &f32| (f64::from(*x) - most).exp();
    let sum: f64 = logits.iter().map(exp).sum();
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    classes.truncate(count);
    classes.into_iter().map(|class| (class, exp(&logits[class]) / sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_ranks() {
        let ranked = ranked(&[0.0, 2.0f32.ln(), f32::NEG_INFINITY, 2.0f32.ln()], 3);
        assert_eq!(ranked.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 3, 0]);
        assert!((ranked[0].1 - 0.4).abs() < 1e-7 && (ranked[2].1 - 0.2).abs() < 1e-7, "{ranked:?}");
        // Large ones don't overflow.
        assert_eq!(super::ranked(&[1e30, 0.0], 1), [(0, 1.0)]);
        assert!(super::ranked(&[f32::NAN, 0.0], 2).iter().all(|r| r.1.is_nan()));
        assert_eq!(super::ranked(&[], 5), []);
    }
}
