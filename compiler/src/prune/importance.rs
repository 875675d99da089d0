//! What a hidden unit counts. May import: `masks` (parameters, units).
//!
//! The weights of a unit fall into up to four groups: its rows in W, its rows in R, its column in R, and its columns in
//! what reads it. With `‖·‖` the norm over a group's elements and `rms` over the units of the block,
//!
//! ```text
//! importance = √( mean over the groups of (‖group‖ / rms ‖group‖)² )
//! ```
//!
//! so that every group has the same say whatever its size, and units of all blocks can be compared: 1 is an ordinary
//! unit of its block.

use std::collections::BTreeMap;

use super::Part;
use crate::masks::parameter::Model;
use crate::masks::units::Layer;

/// Sums of squares over each of a unit's groups of weights.
type Squares = [f64; 4];
const INPUT: usize = 0;
const RECURRENT_ROWS: usize = 1;
const RECURRENT_COLUMN: usize = 2;
const READERS: usize = 3;

/// The importance of every unit of every layer; `groups` tells the layers of one block and part.
pub(super) fn of(model: Model<'_>, layers: &[Layer], groups: &[(String, Part)]) -> Vec<Vec<f64>> {
    let squares: Vec<Vec<Squares>> = layers.iter().map(|layer| squares(model, layer)).collect();
    let mut means: BTreeMap<&(String, Part), (Squares, f64)> = BTreeMap::new();
    for (group, units) in groups.iter().zip(&squares) {
        let (sums, count) = means.entry(group).or_default();
        // What is pruned already says nothing about the others.
        for unit in units.iter().filter(|unit| unit.iter().any(|x| *x > 0.0)) {
            sums.iter_mut().zip(unit).for_each(|(sum, x)| *sum += x);
            *count += 1.0;
        }
    }
    let score = |unit: &Squares, (sums, count): &(Squares, f64)| {
        let parts = unit.iter().zip(sums).filter(|(_, sum)| **sum > 0.0).map(|(x, sum)| x * count / sum);
        let parts: Vec<f64> = parts.collect();
        (parts.iter().sum::<f64>() / parts.len().max(1) as f64).sqrt()
    };
    groups
        .iter()
        .zip(&squares)
        .map(|(group, units)| units.iter().map(|unit| score(unit, &means[group])).collect())
        .collect()
}

fn squares(model: Model<'_>, layer: &Layer) -> Vec<Squares> {
    let mut squares = vec![Squares::default(); layer.len];
    let square = |x: f32| f64::from(x) * f64::from(x);
    model.visit(layer.own, |row, _, x| squares[row % layer.len][INPUT] += square(x));
    if let Some(recurrent) = layer.recurrent {
        model.visit(recurrent, |row, col, x| {
            squares[row % layer.len][RECURRENT_ROWS] += square(x);
            squares[col][RECURRENT_COLUMN] += square(x);
        });
    }
    for reader in &layer.readers {
        model.visit(reader.parameter, |_, col, x| {
            if let Some(unit) = reader.columns[col] {
                squares[unit][READERS] += square(x);
            }
        });
    }
    squares
}
