//! The rules of each step. May import: `plan`, `layout`, `region`.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Sizes, Stop, cut, element, positive};
use crate::bytes::reserve;
use crate::check::written::{Area, Written};
use crate::error::Problem;
use crate::layout::{
    MAX_INT8_DEPTH, Precision, attention_work_bytes, gemm_weight_len, lstm_weight_len, padded_hidden,
    table_row_len,
};
use crate::plan::{Attention, Embed, Gemm, LayerNorm, Lstm, LstmUnit, Operand, Patches, StepOp};
use crate::region::{Region, Space};

/// Most heads of one attention.
const MAX_HEADS: usize = 4096;

type Checked<T = ()> = Result<T, Stop>;

impl From<(&'static str, Problem)> for Stop {
    fn from((field, problem): (&'static str, Problem)) -> Stop {
        Stop::Rule(field, problem)
    }
}

/// What the steps so far leave behind.
pub(super) struct Checker<'p> {
    pub(super) tensors: &'p [Region],
    pub(super) sizes: &'p Sizes,
    pub(super) written: &'p mut Written,
}

impl Checker<'_> {
    pub(super) fn step(&mut self, op: &StepOp) -> Checked {
        match op {
            StepOp::Gemm(gemm) => self.gemm(gemm),
            StepOp::Lstm(lstm) => self.lstm(lstm),
            StepOp::LayerNorm(norm) => self.layer_norm(norm),
            StepOp::Attention(attention) => self.attention(attention),
            StepOp::Patches(patches) => self.patches(patches),
            StepOp::Embed(embed) => self.embed(embed),
            StepOp::Map { act: _, x, out } => self.by_row(x, out),
            StepOp::Normalize { x, out, eps } => {
                positive_float("eps", *eps)?;
                self.by_row(x, out)
            }
            StepOp::Add { a, b, out } => {
                let (a, b, out) = (self.operand("a", a)?, self.operand("b", b)?, self.target("out", out)?);
                same_shape("b", &b, &a)?;
                same_shape("out", &out, &a)?;
                in_place(("out", &out), ("a", &a))?;
                in_place(("out", &out), ("b", &b))?;
                self.read("a", &a)?;
                self.read("b", &b)?;
                self.write(&out)
            }
            StepOp::Copy { x, out } => {
                let (x, out) = (self.operand("x", x)?, self.target("out", out)?);
                same_shape("out", &out, &x)?;
                apart(("out", &out), ("x", &x))?;
                self.read("x", &x)?;
                self.write(&out)
            }
            StepOp::MeanRows { x, out } => {
                let (x, out) = (self.operand("x", x)?, self.target("out", out)?);
                shape("out", &out, (1, x.cols as u64), false)?;
                apart(("out", &out), ("x", &x))?;
                self.read("x", &x)?;
                self.write(&out)
            }
        }
    }

    /// Each row of `out` from that of `x`.
    fn by_row(&mut self, x: &Operand, out: &Operand) -> Checked {
        let (x, out) = (self.operand("x", x)?, self.target("out", out)?);
        same_shape("out", &out, &x)?;
        in_place(("out", &out), ("x", &x))?;
        self.read("x", &x)?;
        self.write(&out)
    }

    fn gemm(&mut self, gemm: &Gemm) -> Checked {
        let (a, out) = (self.operand("a", &gemm.a)?, self.target("out", &gemm.out)?);
        shape("out", &out, (a.rows as u64, out.cols as u64), a.tokens)?;
        apart(("out", &out), ("a", &a))?;
        let residual = gemm.residual.as_ref().map(|r| self.operand("residual", r)).transpose()?;
        if let Some(residual) = &residual {
            same_shape("residual", residual, &out)?;
            in_place(("out", &out), ("residual", residual))?;
        }
        self.precision(gemm.precision)?;
        if gemm.groups.is_empty() {
            return Err(Stop::Rule("groups", Problem::Value { expected: "1 or more", found: 0 }));
        }
        for group in &gemm.groups {
            positive("group.n", group.n)?;
            within("group.k", group.a_col, u64::from(group.k), &a)?;
            within("group.n", group.out_col, u64::from(group.n), &out)?;
            let (k, n) = (group.k as usize, group.n as usize);
            deep("group.k", gemm.precision, k)?;
            let len = gemm_weight_len(gemm.precision, self.sizes.arch, k, n);
            self.weights("group.weights", group.weights, len)?;
        }
        let read = columns(gemm.groups.iter().map(|group| (group.a_col, group.k as usize)))?;
        let written = columns(gemm.groups.iter().map(|group| (group.out_col, group.n as usize)))?;
        disjoint("group.out_col", &written)?;
        let written = united(written);
        self.read_columns("a", &a, &united(read))?;
        if let Some(residual) = &residual {
            self.read_columns("residual", residual, &written)?;
        }
        self.write_columns(&out, &written)
    }

    fn lstm(&mut self, lstm: &Lstm) -> Checked {
        let (gates, out) = (self.operand("gates", &lstm.gates)?, self.target("out", &lstm.out)?);
        shape("out", &out, (gates.rows as u64, out.cols as u64), gates.tokens)?;
        apart(("out", &out), ("gates", &gates))?;
        self.precision(lstm.precision)?;
        if lstm.units.is_empty() {
            return Err(Stop::Rule("units", Problem::Value { expected: "1 or more", found: 0 }));
        }
        for unit in &lstm.units {
            positive("unit.hidden", unit.hidden)?;
            within("unit.out_col", unit.out_col, u64::from(unit.hidden), &out)?;
            // `hidden` is no more than a tensor's columns now, so that its multiples can be counted.
            let hidden = unit.hidden as usize;
            let cols = padded_hidden(hidden).saturating_mul(4);
            within("unit.gate_col", unit.gate_col, cols as u64, &gates)?;
            deep("unit.hidden", lstm.precision, hidden)?;
            let len = lstm_weight_len(lstm.precision, self.sizes.arch, hidden);
            self.weights("unit.weights", unit.weights, len)?;
        }
        let gate_cols = |unit: &LstmUnit| (unit.gate_col, padded_hidden(unit.hidden as usize) * 4);
        let read = columns(lstm.units.iter().map(gate_cols))?;
        let written = columns(lstm.units.iter().map(|unit| (unit.out_col, unit.hidden as usize)))?;
        disjoint("unit.out_col", &written)?;
        self.read_columns("gates", &gates, &united(read))?;
        self.write_columns(&out, &united(written))
    }

    fn layer_norm(&mut self, norm: &LayerNorm) -> Checked {
        positive_float("eps", norm.eps)?;
        if let Some(offset) = norm.affine {
            let cols = self.operand("x", &norm.x)?.cols;
            self.weights("affine", offset, cols.saturating_mul(2))?;
        }
        self.by_row(&norm.x, &norm.out)
    }

    fn embed(&mut self, embed: &Embed) -> Checked {
        let out = self.target("out", &embed.out)?;
        let missing = Problem::Index { count: self.sizes.inputs.len() as u64, found: u64::from(embed.input) };
        let input = self.sizes.inputs.get(embed.input as usize).ok_or(Stop::Rule("input", missing))?;
        // Of one token there is nothing to cut: its row is like any other.
        let tokens = if self.sizes.tokens > 1 { out.tokens } else { input.tokens };
        input.numbers(out.rows as u64, tokens).map_err(|problem| Stop::Rule("input", problem))?;
        positive("vocab", embed.vocab)?;
        let Some(row) = table_row_len(embed.precision, out.cols) else {
            let (expected, found) = ("0 (f32), 1 (f16) or 3 (int8)", embed.precision as u64);
            return Err(Stop::Rule("precision", Problem::Value { expected, found }));
        };
        self.weights("table", embed.table, (embed.vocab as usize).saturating_mul(row))?;
        self.write(&out)
    }

    fn attention(&mut self, attention: &Attention) -> Checked {
        let q = self.operand("q", &attention.q)?;
        let k = self.operand("k", &attention.k)?;
        let v = self.operand("v", &attention.v)?;
        let out = self.target("out", &attention.out)?;
        let heads = attention.heads as usize;
        if heads == 0 || heads > MAX_HEADS || !q.cols.is_multiple_of(heads) {
            let expected = "a divisor of the columns of `q`, 4096 or less";
            return Err(Stop::Rule("heads", Problem::Value { expected, found: heads as u64 }));
        }
        if !attention.scale.is_finite() {
            return Err(Stop::Rule("scale", Problem::Float { expected: "finite", found: attention.scale }));
        }
        let bytes = attention_work_bytes(q.rows, heads, q.cols / heads);
        let work = self.span("work", "the arena", attention.work, bytes / 4, self.sizes.arena)?;
        let work = Area::run(Space::Arena, work, bytes / 4);
        apart(("work", &work), ("out", &out))?;
        for (name, operand) in [("q", &q), ("k", &k), ("v", &v)] {
            same_shape(name, operand, &q)?;
            apart(("out", &out), (name, operand))?;
            apart(("work", &work), (name, operand))?;
            self.read(name, operand)?;
        }
        same_shape("out", &out, &q)?;
        self.written.forget(&work);
        self.write(&out)
    }

    fn patches(&mut self, patches: &Patches) -> Checked {
        let (image, out) = (self.operand("image", &patches.image)?, self.target("out", &patches.out)?);
        if image.tokens {
            return Err(Stop::Rule("image", Problem::Tokens { expected: false }));
        }
        let divides = |field, part: u32, whole: usize, expected| {
            if part == 0 || !whole.is_multiple_of(part as usize) {
                return Err(Stop::Rule(field, Problem::Value { expected, found: u64::from(part) }));
            }
            Ok(whole / part as usize)
        };
        let height = divides("channels", patches.channels, image.rows, "a divisor of the image's rows")?;
        let down = divides("patch_height", patches.patch_height, height, "a divisor of the height")?;
        let across = divides("patch_width", patches.patch_width, image.cols, "a divisor of the width")?;
        // Divisors of the image's rows and columns: the products are at most its number of elements.
        let cols =
            u64::from(patches.channels) * u64::from(patches.patch_height) * u64::from(patches.patch_width);
        shape("out", &out, (down as u64 * across as u64, cols), false)?;
        apart(("out", &out), ("image", &image))?;
        self.read("image", &image)?;
        self.write(&out)
    }

    /// Whether the architecture has it.
    fn precision(&self, precision: Precision) -> Checked {
        if precision.features(self.sizes.arch).is_some() {
            return Ok(());
        }
        let expected = "one that the architecture has";
        Err(Stop::Rule("precision", Problem::Value { expected, found: precision as u64 }))
    }

    fn operand(&self, field: &'static str, operand: &Operand) -> Checked<Area> {
        let missing = Problem::Index { count: self.tensors.len() as u64, found: u64::from(operand.tensor) };
        let tensor = self.tensors.get(operand.tensor as usize).ok_or(Stop::Rule(field, missing))?;
        let region = cut(tensor, operand).map_err(|problem| Stop::Rule(field, problem))?;
        Ok(Area::new(region, *tensor))
    }

    /// An operand that will be written.
    fn target(&self, field: &'static str, operand: &Operand) -> Checked<Area> {
        let area = self.operand(field, operand)?;
        match area.space {
            Space::Arena | Space::Output(_) => Ok(area),
            Space::Input(_) | Space::Weights => Err(Stop::Rule(field, Problem::ReadOnly)),
        }
    }

    fn read(&self, field: &'static str, area: &Area) -> Checked {
        self.read_columns(field, area, &area.all_columns())
    }

    fn read_columns(&self, field: &'static str, area: &Area, columns: &[Range<usize>]) -> Checked {
        match self.written.missing(area, columns) {
            None => Ok(()),
            Some(region) => Err(Stop::Rule(field, Problem::Unwritten { region })),
        }
    }

    fn write(&mut self, area: &Area) -> Checked {
        self.write_columns(area, &area.all_columns())
    }

    fn write_columns(&mut self, area: &Area, columns: &[Range<usize>]) -> Checked {
        self.written.write(area, columns).map_err(Stop::Failed)
    }

    /// `len` elements of the weights section.
    fn weights(&self, field: &'static str, offset: u64, len: usize) -> Checked {
        self.span(field, "the weights section", offset, len, self.sizes.weights).map(drop)
    }

    /// The first of `len` elements at an aligned byte offset in a memory of `size` elements.
    fn span(
        &self,
        field: &'static str,
        of: &'static str,
        offset: u64,
        len: usize,
        size: u64,
    ) -> Checked<usize> {
        let start = element(offset).map_err(|(_, problem)| Stop::Rule(field, problem))?;
        let end = start.saturating_add(len as u64);
        match usize::try_from(start) {
            Ok(start) if end <= size => Ok(start),
            _ => Err(Stop::Rule(field, Problem::Outside { of, size, end })),
        }
    }
}

/// Rows × columns, and whether the rows are tokens.
fn shape(field: &'static str, area: &Area, expected: (u64, u64), tokens: bool) -> Checked {
    if area.shape() != expected {
        return Err(Stop::Rule(field, Problem::Shape { expected, found: area.shape() }));
    }
    if area.tokens != tokens {
        return Err(Stop::Rule(field, Problem::Tokens { expected: tokens }));
    }
    Ok(())
}

fn same_shape(field: &'static str, area: &Area, other: &Area) -> Checked {
    shape(field, area, other.shape(), other.tokens)
}

/// Whether a sum of that many products can be taken.
fn deep(field: &'static str, precision: Precision, k: usize) -> Checked {
    if precision == Precision::Int8 && k > MAX_INT8_DEPTH {
        return Err(Stop::Rule(field, Problem::Value { expected: "at most 2^17 in int8", found: k as u64 }));
    }
    Ok(())
}

fn positive_float(field: &'static str, found: f32) -> Checked {
    if found.is_finite() && found > 0.0 {
        return Ok(());
    }
    Err(Stop::Rule(field, Problem::Float { expected: "finite and above 0", found }))
}

fn within(field: &'static str, at: u32, len: u64, area: &Area) -> Checked {
    let end = u64::from(at).saturating_add(len);
    if end <= area.cols as u64 {
        return Ok(());
    }
    Err(Stop::Rule(field, Problem::Outside { of: "the operand's columns", size: area.cols as u64, end }))
}

/// They share no element.
fn apart((field, a): (&'static str, &Area), (with, b): (&'static str, &Area)) -> Checked {
    if a.overlaps(b) { Err(Stop::Rule(field, Problem::Overlap { with })) } else { Ok(()) }
}

/// They share no element, or are the same elements in the same order.
fn in_place(a: (&'static str, &Area), b: (&'static str, &Area)) -> Checked {
    if a.1.is_same(b.1) { Ok(()) } else { apart(a, b) }
}

/// Ranges of columns, given as starts and lengths, from left to right. They lie within an operand.
fn columns(ranges: impl ExactSizeIterator<Item = (u32, usize)>) -> Checked<Vec<Range<usize>>> {
    let mut sorted = Vec::new();
    reserve(&mut sorted, ranges.len()).map_err(Stop::Failed)?;
    sorted.extend(ranges.map(|(start, len)| start as usize..start as usize + len));
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    Ok(sorted)
}

/// None of the sorted ranges may overlap the next.
fn disjoint(field: &'static str, columns: &[Range<usize>]) -> Checked {
    match columns.windows(2).any(|pair| pair[0].end > pair[1].start) {
        true => Err(Stop::Rule(field, Problem::Overlap { with: field })),
        false => Ok(()),
    }
}

/// The sorted ranges with those that meet made one: what a proof takes then goes by an operand's size, however many parts it is
/// read and written in.
fn united(mut columns: Vec<Range<usize>>) -> Vec<Range<usize>> {
    columns.dedup_by(|next, last| {
        let meets = next.start <= last.end;
        if meets {
            last.end = last.end.max(next.end);
        }
        meets
    });
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_meet_are_one() {
        let sorted = |ranges: &[(u32, usize)]| columns(ranges.iter().copied()).ok().unwrap();
        assert_eq!(united(sorted(&[(2, 1), (0, 2), (3, 4), (8, 1)])), [0..7, 8..9]);
        assert_eq!(united(sorted(&[(0, 9), (1, 2), (4, 5), (4, 6), (12, 0)])), [0..10, 12..12]);
        assert!(disjoint("f", &sorted(&[(4, 2), (0, 4), (7, 1)])).is_ok());
        assert!(disjoint("f", &sorted(&[(4, 2), (0, 5)])).is_err());
        assert_eq!(united(Vec::new()), []);
    }
}
