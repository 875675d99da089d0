//! What each operation demands of its inputs and constants, and the shape it yields. May import: the rest of `ir`.

use std::ops::Range;

use super::{Graph, Linear, MultiHeadLstm, Op, Shape, ValueId, Weight, WeightId};
use crate::error::{Error, ErrorKind, Result};

/// The shape of what `op` produces from `inputs`; an error says which demand is not met.
pub fn output_shape(graph: &Graph, op: &Op, inputs: &[ValueId]) -> Result<Shape> {
    let check = Check { graph, inputs };
    match op {
        Op::PatchEmbed { patch, weight, bias } => check.patch_embed(*patch, *weight, *bias),
        Op::Constant(weight) => {
            check.count(0)?;
            let [rows, cols] = check.weight(*weight, "weight")?.dims;
            Ok(Shape::Matrix { rows, cols })
        }
        Op::Positions(weight) => check.positions(*weight),
        Op::Embedding { table } => check.embedding(*table),
        Op::ConcatRows => check.concat_rows(),
        Op::ConcatCols => check.concat_cols(),
        Op::SliceRows { start, len } => {
            check.count(1)?;
            let [rows, cols] = check.matrix(0)?;
            // Every call has a first token.
            let always = if check.shape(0)?.varies() { rows.min(1) } else { rows };
            within("rows", &check.range(*start, *len)?, always)?;
            Ok(Shape::Matrix { rows: *len, cols })
        }
        Op::SliceCols { start, len } => {
            check.count(1)?;
            let [_, cols] = check.matrix(0)?;
            within("columns", &check.range(*start, *len)?, cols)?;
            Ok(check.shape(0)?.with_cols(*len))
        }
        Op::ReverseRows => check.same(1),
        Op::Activation(_) => check.same(1),
        Op::Add => check.same(2),
        Op::Linear(linear) => check.linear(linear),
        Op::MultiHeadLstm(lstm) => check.lstm(lstm),
        Op::Attention { heads, scale } => {
            let shape = check.same(3)?;
            let [_, cols] = check.matrix(0)?;
            if *heads == 0 || !cols.is_multiple_of(*heads) {
                return Err(invalid("heads don't divide the columns")
                    .at_field("heads")
                    .expected(format!("a divisor of `{cols}`"))
                    .got(format!("`{heads}`")));
            }
            if !scale.is_finite() {
                return Err(invalid("scale is not finite")
                    .at_field("scale")
                    .expected("a number")
                    .got(format!("`{scale}`")));
            }
            Ok(shape)
        }
        Op::LayerNorm { eps, scale, shift } => {
            let shape = check.same(1)?;
            positive(*eps)?;
            check.affine(*scale, *shift)?;
            Ok(shape)
        }
        Op::Normalize { eps } => {
            let shape = check.same(1)?;
            positive(*eps)?;
            Ok(shape)
        }
        Op::Affine { scale, shift } => {
            let shape = check.same(1)?;
            check.affine(*scale, *shift)?;
            Ok(shape)
        }
        Op::MeanRows => {
            check.count(1)?;
            let [_, cols] = check.matrix(0)?;
            Ok(Shape::Matrix { rows: 1, cols })
        }
    }
}

/// An error about the IR itself.
pub(super) fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidIr, what)
}

/// A shape as people write it.
pub(super) fn show(shape: Shape) -> String {
    match shape {
        Shape::Matrix { rows, cols } => format!("{rows}x{cols}"),
        Shape::Image { channels, height, width } => format!("{channels}x{height}x{width}"),
        Shape::Tokens { cols } => format!("Tx{cols}"),
        Shape::Ids { rows } => format!("{rows}xid"),
        Shape::TokenIds => "Txid".to_owned(),
    }
}

fn positive(eps: f32) -> Result<()> {
    if eps.is_finite() && eps > 0.0 {
        return Ok(());
    }
    Err(invalid("epsilon can't be used")
        .at_field("eps")
        .expected("a positive number")
        .got(format!("`{eps}`")))
}

fn within(what: &str, range: &Range<usize>, size: usize) -> Result<()> {
    if range.start <= range.end && range.end <= size {
        return Ok(());
    }
    Err(invalid(format!("{what} out of range"))
        .expected(format!("within `0..{size}`"))
        .got(format!("`{range:?}`")))
}

struct Check<'a> {
    graph: &'a Graph,
    inputs: &'a [ValueId],
}

impl<'a> Check<'a> {
    fn count(&self, expected: usize) -> Result<()> {
        if self.inputs.len() == expected {
            return Ok(());
        }
        Err(invalid("wrong number of inputs")
            .at_field("inputs")
            .expected(format!("`{expected}`"))
            .got(format!("`{}`", self.inputs.len())))
    }

    fn shape(&self, slot: usize) -> Result<Shape> {
        let id = self.inputs[slot];
        self.graph.values.get(id.0 as usize).map(|value| value.shape).ok_or_else(|| {
            invalid("no such value")
                .at_field(format!("input {slot}"))
                .expected(format!("less than `{}`", self.graph.values.len()))
                .got(format!("`{}`", id.0))
        })
    }

    fn matrix(&self, slot: usize) -> Result<[usize; 2]> {
        let wrong = |what: &str, shape| {
            Err(invalid("a matrix is needed")
                .at_field(format!("input {slot}"))
                .expected("rows by columns")
                .got(format!("{what} `{}`", show(shape))))
        };
        match self.shape(slot)? {
            Shape::Matrix { rows, cols } => Ok([rows, cols]),
            Shape::Tokens { cols } => Ok([self.graph.tokens, cols]),
            image @ Shape::Image { .. } => wrong("image", image),
            ids @ (Shape::Ids { .. } | Shape::TokenIds) => wrong("ids", ids),
        }
    }

    fn same(&self, count: usize) -> Result<Shape> {
        self.count(count)?;
        self.matrix(0)?;
        let first = self.shape(0)?;
        for slot in 1..count {
            let other = self.shape(slot)?;
            if other != first {
                return Err(invalid("inputs differ in shape")
                    .at_field(format!("input {slot}"))
                    .expected(format!("`{}`", show(first)))
                    .got(format!("`{}`", show(other))));
            }
        }
        Ok(first)
    }

    fn positions(&self, weight: WeightId) -> Result<Shape> {
        self.count(0)?;
        let [rows, cols] = self.weight(weight, "weight")?.dims;
        if rows != self.graph.tokens || rows == 0 {
            return Err(invalid("a constant with a row for each token has another number of rows")
                .at_field("weight")
                .expected(format!("`{}`", self.graph.tokens))
                .got(format!("`{rows}`")));
        }
        Ok(Shape::Tokens { cols })
    }

    fn embedding(&self, table: WeightId) -> Result<Shape> {
        self.count(1)?;
        let [_, cols] = self.weight(table, "table")?.dims;
        match self.shape(0)? {
            Shape::Ids { rows } => Ok(Shape::Matrix { rows, cols }),
            Shape::TokenIds => Ok(Shape::Tokens { cols }),
            other => Err(invalid("ids are needed")
                .at_field("input 0")
                .expected("one integer a token")
                .got(format!("`{}`", show(other)))),
        }
    }

    fn concat_rows(&self) -> Result<Shape> {
        let (cols, rows) = self.concat(|[rows, cols]| (cols, rows))?;
        if let (Some(slot), 2..) = (self.varying()?, self.inputs.len()) {
            return Err(invalid("rows are put before or behind tokens whose number varies")
                .at_field(format!("input {slot}"))
                .expected("a fixed number of rows")
                .got(format!("`{}`", show(self.shape(slot)?))));
        }
        Ok(if self.inputs.len() == 1 { self.shape(0)? } else { Shape::Matrix { rows, cols } })
    }

    fn concat_cols(&self) -> Result<Shape> {
        let (_, cols) = self.concat(|[rows, cols]| (rows, cols))?;
        let first = self.shape(0)?;
        for slot in 1..self.inputs.len() {
            let other = self.shape(slot)?;
            if other.varies() != first.varies() {
                return Err(invalid("inputs differ in whether their rows vary")
                    .at_field(format!("input {slot}"))
                    .expected(format!("rows like those of `{}`", show(first)))
                    .got(format!("`{}`", show(other))));
            }
        }
        Ok(first.with_cols(cols))
    }

    /// The first input whose rows vary.
    fn varying(&self) -> Result<Option<usize>> {
        for slot in 0..self.inputs.len() {
            if self.shape(slot)?.varies() {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn range(&self, start: usize, len: usize) -> Result<Range<usize>> {
        match start.checked_add(len) {
            Some(end) if len > 0 => Ok(start..end),
            _ => Err(invalid("empty slice").expected("at least one").got(format!("`{len}` from `{start}`"))),
        }
    }

    /// Splits each input's dims into the one that must agree and the one that adds up.
    fn concat(&self, split: impl Fn([usize; 2]) -> (usize, usize)) -> Result<(usize, usize)> {
        if self.inputs.is_empty() {
            return Err(invalid("nothing to concatenate")
                .at_field("inputs")
                .expected("at least `1`")
                .got("`0`"));
        }
        let (common, mut total) = split(self.matrix(0)?);
        for slot in 1..self.inputs.len() {
            let (other, len) = split(self.matrix(slot)?);
            if other != common {
                return Err(invalid("inputs don't fit together")
                    .at_field(format!("input {slot}"))
                    .expected(format!("`{common}`"))
                    .got(format!("`{other}`")));
            }
            total = total.checked_add(len).ok_or_else(|| invalid("the concatenation is too large"))?;
        }
        Ok((common, total))
    }

    fn weight(&self, id: WeightId, field: &str) -> Result<&'a Weight> {
        self.graph.weights.get(id.0 as usize).ok_or_else(|| {
            invalid("no such constant")
                .at_field(field)
                .expected(format!("less than `{}`", self.graph.weights.len()))
                .got(format!("`{}`", id.0))
        })
    }

    fn weight_of(&self, id: WeightId, field: &str, dims: [usize; 2]) -> Result<()> {
        let got = self.weight(id, field)?.dims;
        if got == dims {
            return Ok(());
        }
        Err(invalid("constant of the wrong shape")
            .at_field(field)
            .expected(format!("`{}x{}`", dims[0], dims[1]))
            .got(format!("`{}x{}`", got[0], got[1])))
    }

    fn affine(&self, scale: Option<WeightId>, shift: Option<WeightId>) -> Result<()> {
        let [_, cols] = self.matrix(0)?;
        for (id, field) in [(scale, "scale"), (shift, "shift")] {
            if let Some(id) = id {
                self.weight_of(id, field, [1, cols])?;
            }
        }
        Ok(())
    }

    fn patch_embed(&self, patch: [usize; 2], weight: WeightId, bias: Option<WeightId>) -> Result<Shape> {
        self.count(1)?;
        let shape = self.shape(0)?;
        let Shape::Image { channels, height, width } = shape else {
            return Err(invalid("an image is needed")
                .at_field("input 0")
                .expected("an image")
                .got(format!("`{}`", show(shape))));
        };
        let [ph, pw] = patch;
        if ph == 0 || pw == 0 || !height.is_multiple_of(ph) || !width.is_multiple_of(pw) {
            return Err(invalid("patches don't tile the image")
                .at_field("patch")
                .expected(format!("divisors of `{height}x{width}`"))
                .got(format!("`{ph}x{pw}`")));
        }
        let [depth, cols] = self.weight(weight, "weight")?.dims;
        self.weight_of(weight, "weight", [channels * ph * pw, cols])
            .map_err(|error| error.hint(format!("depth is `{depth}`")))?;
        if let Some(bias) = bias {
            self.weight_of(bias, "bias", [1, cols])?;
        }
        Ok(Shape::Matrix { rows: (height / ph) * (width / pw), cols })
    }

    fn linear(&self, linear: &Linear) -> Result<Shape> {
        self.count(1 + usize::from(linear.residual))?;
        let [_, depth] = self.matrix(0)?;
        if linear.groups.is_empty() {
            return Err(invalid("no groups").at_field("groups").expected("at least `1`").got("`0`"));
        }
        let mut end = 0;
        for (i, group) in linear.groups.iter().enumerate() {
            let at = |error: Error| error.at_field(format!("group {i}"));
            within("input columns", &group.input, depth).map_err(at)?;
            within("output columns", &group.output, linear.cols).map_err(at)?;
            if group.output.is_empty() || group.output.start < end {
                return Err(at(invalid("output columns are empty, overlap or are not sorted")
                    .expected(format!("a range from `{end}` on"))
                    .got(format!("`{:?}`", group.output))));
            }
            end = group.output.end;
            self.weight_of(group.weight, "weight", [group.input.len(), group.output.len()]).map_err(at)?;
            if let Some(bias) = group.bias {
                self.weight_of(bias, "bias", [1, group.output.len()]).map_err(at)?;
            }
        }
        let shape = self.shape(0)?.with_cols(linear.cols);
        if linear.residual {
            let residual = self.shape(1)?;
            if residual != shape {
                return Err(invalid("residual of the wrong shape")
                    .at_field("input 1")
                    .expected(format!("`{}`", show(shape)))
                    .got(format!("`{}`", show(residual))));
            }
        }
        Ok(shape)
    }

    fn lstm(&self, lstm: &MultiHeadLstm) -> Result<Shape> {
        self.count(1)?;
        let [_, depth] = self.matrix(0)?;
        if lstm.units.is_empty() {
            return Err(invalid("no units").at_field("units").expected("at least `1`").got("`0`"));
        }
        let mut end = 0usize;
        for (i, unit) in lstm.units.iter().enumerate() {
            let at = |error: Error| error.at_field(format!("unit {i}"));
            within("input columns", &unit.input, depth).map_err(at)?;
            if unit.output != end {
                return Err(at(invalid("output columns overlap, leave a gap or are not sorted")
                    .expected(format!("first column `{end}`"))
                    .got(format!("`{}`", unit.output))));
            }
            let gates = unit.hidden.checked_mul(4).filter(|gates| *gates > 0).ok_or_else(|| {
                at(invalid("impossible number of hidden units")
                    .expected("at least `1`")
                    .got(format!("`{}`", unit.hidden)))
            })?;
            end = end.checked_add(unit.hidden).ok_or_else(|| at(invalid("too many hidden units")))?;
            self.weight_of(unit.w, "w", [gates, unit.input.len()]).map_err(at)?;
            self.weight_of(unit.r, "r", [gates, unit.hidden]).map_err(at)?;
            self.weight_of(unit.bias, "bias", [1, gates]).map_err(at)?;
        }
        Ok(self.shape(0)?.with_cols(end))
    }
}
