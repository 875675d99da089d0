//! Tables of which a step takes rows by number: how they are packed, and a row of one as f32. One function for every
//! instruction set: a row is read once, and nothing is added up. May import: `half`, `quantize`, `far_format::layout`.

use far_format::layout::{Precision, table_row_len};

use crate::half::{from_f16, to_f16};
use crate::quantize::{magnitude, round, scale};

/// Lays out a table of `cols` columns, row by row: rounded to 16 bits, or quantised with a scale for each row. `out` has as many
/// rows of `table_row_len(precision, cols)` words.
///
/// # Panics
/// Where lengths don't fit, or tables can't be stored in that precision.
pub fn pack_table(precision: Precision, cols: usize, table: &[f32], out: &mut [f32]) {
    let len = row_len(precision, cols);
    assert!(table.len().is_multiple_of(cols) && out.len() == table.len() / cols * len, "length of the table");
    for (row, out) in table.chunks_exact(cols).zip(out.chunks_exact_mut(len)) {
        match precision {
            Precision::F16 => {
                for (pair, word) in row.chunks(2).zip(out) {
                    let bits = |i: usize| pair.get(i).map_or(0, |x| u32::from(to_f16(*x)));
                    *word = f32::from_bits(bits(0) | bits(1) << 16);
                }
            }
            Precision::Int8 => {
                let (first, words) = out.split_at_mut(1);
                let of_row = scale(row.iter().map(|x| magnitude(*x)).max().unwrap_or(0));
                first[0] = of_row;
                let q = |x: f32| if of_row == 0.0 { 0 } else { round(x / of_row) };
                for (four, word) in row.chunks(4).zip(words) {
                    let mut bytes = [0; 4];
                    bytes.iter_mut().zip(four).for_each(|(byte, x)| *byte = q(*x).cast_unsigned());
                    *word = f32::from_bits(u32::from_le_bytes(bytes));
                }
            }
            _ => out.copy_from_slice(row),
        }
    }
}

/// One packed row as f32.
///
/// # Panics
/// Where lengths don't fit, or tables can't be stored in that precision.
pub fn widen_row(precision: Precision, row: &[f32], out: &mut [f32]) {
    assert_eq!(row.len(), row_len(precision, out.len()), "length of the row");
    match precision {
        Precision::F16 => {
            for (word, pair) in row.iter().zip(out.chunks_mut(2)) {
                let bits = word.to_bits();
                pair.iter_mut().enumerate().for_each(|(i, x)| *x = from_f16((bits >> (16 * i)) as u16));
            }
        }
        Precision::Int8 => {
            let (scale, words) = (row[0], &row[1..]);
            for (word, four) in words.iter().zip(out.chunks_mut(4)) {
                let bytes = word.to_bits().to_le_bytes();
                four.iter_mut().zip(bytes).for_each(|(x, q)| *x = scale * f32::from(q.cast_signed()));
            }
        }
        _ => out.copy_from_slice(row),
    }
}

fn row_len(precision: Precision, cols: usize) -> usize {
    table_row_len(precision, cols).expect("tables are f32, f16 or int8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn rows_come_back_as_well_as_they_were_stored() {
        for cols in [1, 2, 3, 4, 5, 8, 13] {
            let table: std::vec::Vec<f32> =
                (0..3 * cols).map(|i| (i as f32 * 0.7).sin() * i as f32).collect();
            for (precision, error) in
                [(Precision::F32, 0.0), (Precision::F16, 1.0 / 2048.0), (Precision::Int8, 0.5 / 127.0)]
            {
                let len = table_row_len(precision, cols).unwrap();
                let mut packed = vec![f32::NAN; 3 * len];
                pack_table(precision, cols, &table, &mut packed);
                for (row, packed) in table.chunks(cols).zip(packed.chunks(len)) {
                    let mut out = vec![f32::NAN; cols];
                    widen_row(precision, packed, &mut out);
                    let max = row.iter().fold(0.0f32, |max, x| max.max(x.abs()));
                    for (x, y) in row.iter().zip(out) {
                        assert!(
                            (x - y).abs() <= error * max * 1.001,
                            "{precision}, {cols} columns: {x} became {y}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_zeros_stays_one() {
        let mut packed = [f32::NAN; 2];
        pack_table(Precision::Int8, 4, &[0.0, -0.0, 0.0, 0.0], &mut packed);
        assert_eq!(packed, [0.0, 0.0]);
        let mut out = [f32::NAN; 4];
        widen_row(Precision::Int8, &packed, &mut out);
        assert_eq!(out, [0.0; 4]);
    }
}
