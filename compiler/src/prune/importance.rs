//! What a hidden unit counts. May import: `masks` (parameters, units).
//!
//! The group of a unit is all weights that go with it: its rows in W and R, its column in R, and its columns in what reads
//! it; what it feeds to itself counts as row and as column. With `‖·‖` the Euclidean norm,
//!
//! ```text
//! importance = ‖group‖ / rms ‖group‖
//! ```
//!
//! where rms runs over all live units of the same part, of the block (relative) or of the model (absolute): 1 is an
//! ordinary unit.

use std::collections::BTreeMap;

use super::Importance;
use super::report::Part;
use crate::masks::parameter::Model;
use crate::masks::units::Layer;

/// The importance of every unit of every layer; `groups` tells the layers of one block and part.
pub(super) fn of(
    model: Model<'_>,
    layers: &[Layer],
    groups: &[(String, Part)],
    importance: Importance,
) -> Vec<Vec<f64>> {
    let squares: Vec<Vec<f64>> = layers.iter().map(|layer| squares(model, layer)).collect();
    let peers = |(block, part): &'_ (String, Part)| match importance {
        Importance::Relative => (block.clone(), *part),
        Importance::Absolute => (String::new(), *part),
    };
    let mut sums: BTreeMap<(String, Part), (f64, f64)> = BTreeMap::new();
    for (group, units) in groups.iter().zip(&squares) {
        let (sum, count) = sums.entry(peers(group)).or_default();
        // What is pruned already says nothing about the others.
        for square in units.iter().filter(|square| **square > 0.0) {
            *sum += square;
            *count += 1.0;
        }
    }
    let scale = |group| match sums[&peers(group)] {
        (_, 0.0) => 1.0,
        (sum, count) => (count / sum).sqrt(),
    };
    let layers = groups.iter().zip(&squares);
    layers.map(|(group, units)| units.iter().map(|x| x.sqrt() * scale(group)).collect()).collect()
}

/// The squared norm of each unit's group.
fn squares(model: Model<'_>, layer: &Layer) -> Vec<f64> {
    let mut squares = vec![0.0; layer.len];
    let square = |x: f32| f64::from(x) * f64::from(x);
    model.visit(layer.own, |row, _, x| squares[row % layer.len] += square(x));
    if let Some(recurrent) = layer.recurrent {
        model.visit(recurrent, |row, col, x| {
            squares[row % layer.len] += square(x);
            squares[col] += square(x);
        });
    }
    for reader in &layer.readers {
        model.visit(reader.parameter, |_, col, x| {
            if let Some(unit) = reader.columns[col] {
                squares[unit] += square(x);
            }
        });
    }
    squares
}
