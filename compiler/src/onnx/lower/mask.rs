//! The attention mask, and what is done with it: scores of keys, tokens, sums over tokens.

use tract_onnx::pb::tensor_proto::DataType;

use super::super::mask::{Bits, Kind, Mask};
use super::super::rearrange::{self, Step};
use super::super::recognise::{self, Binary, Partial, Scores, Tensor};
use super::super::view::View;
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Op;

/// Operators that work on a mask element by element.
const OPERATORS: [&str; 18] = [
    "Cast",
    "Not",
    "Neg",
    "Abs",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Min",
    "Max",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
];

impl Importer {
    /// What a node makes of the attention mask and numbers alone; `None` if it reads anything else.
    pub(super) fn mask(&mut self, call: &Call<'_>) -> Result<Option<Tensor>> {
        let op = call.node.op();
        let is_mask = |t: &Tensor| matches!(t, Tensor::Ids { .. } | Tensor::Partial(Partial::Mask(_)));
        let known = OPERATORS.contains(&op) || op == "Where";
        if !known || !call.inputs.iter().flatten().any(is_mask) {
            return Ok(None);
        }
        if call.inputs.iter().flatten().any(|t| !is_mask(t) && t.constant().is_none()) {
            return Ok(None);
        }
        if op == "Cast" {
            return self.cast_mask(call);
        }
        call.node.attributes(&[])?;
        let mut dims = Vec::new();
        for input in call.inputs.iter().flatten() {
            dims = rearrange::broadcast(&dims, &input.dims())?;
        }
        let mut operands = Vec::new();
        let mut x: Option<View> = None;
        for input in call.inputs.iter().flatten() {
            if let Tensor::Const(constant) = input {
                operands.push(Bits::of(constant).ok_or_else(|| {
                    unknown_mask("a constant that differs from place to place is combined with it")
                })?);
                continue;
            }
            let mask = self.as_mask(input)?;
            let wide = self.spread(&mask.x, &dims)?;
            if x.as_ref().is_some_and(|x| *x != wide) {
                return Err(unknown_mask("it is combined with itself along another axis"));
            }
            x = Some(wide);
            operands.push(mask.bits);
        }
        let bits = Bits::elementwise(op, &operands);
        Ok(x.zip(bits).map(|(x, bits)| Tensor::Partial(Partial::Mask(Mask { x, bits }))))
    }

    fn cast_mask(&mut self, call: &Call<'_>) -> Result<Option<Tensor>> {
        let to = call.node.attributes(&["to", "saturate"])?.int_or("to", 0)?;
        let input = call.input(0)?;
        let kind = match i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok()) {
            Some(DataType::Int32 | DataType::Int64) if matches!(input, Tensor::Ids { .. }) => {
                return Ok(Some(input.clone()));
            }
            Some(DataType::Int32 | DataType::Int64) => Kind::Int,
            Some(DataType::Float | DataType::Double) => Kind::Float,
            Some(DataType::Bool) => Kind::Bool,
            _ => return Ok(None),
        };
        let Mask { x, bits } = self.as_mask(input)?;
        Ok(Some(Tensor::Partial(Partial::Mask(Mask { x, bits: bits.cast(kind) }))))
    }

    /// The tensor as a mask. An input of integers that is one is the model's attention mask from now on.
    pub(super) fn as_mask(&mut self, tensor: &Tensor) -> Result<Mask> {
        match tensor {
            Tensor::Partial(Partial::Mask(mask)) => Ok(mask.clone()),
            Tensor::Ids { x, input } => {
                if self.embedded.contains(input) {
                    return Err(unknown_mask("it is also looked up in a table: it is made of token ids")
                        .hint("give the mask as an input of its own, `attention_mask`"));
                }
                if self.lengths.is_some_and(|other| other != *input) {
                    return Err(unknown_mask("a second input is used as a mask"));
                }
                self.lengths = Some(*input);
                Ok(Mask { x: x.clone(), bits: Bits::INPUT })
            }
            other => Err(unknown_mask(&format!("{:?} is no mask", other.dims()))),
        }
    }

    /// A layout with axes repeated, up to these dimensions.
    fn spread(&self, x: &View, dims: &[usize]) -> Result<View> {
        layout(x, &rearrange::expand(&x.dims, dims, self.max_elements)?)
    }

    /// A binary operator on a mask, or a sum of it, and something else; `None` if it is something else altogether.
    pub(super) fn with_mask(&mut self, op: Binary, a: &Tensor, b: &Tensor) -> Result<Option<Tensor>> {
        let either = match op {
            Binary::Add | Binary::Mul => [(a, b), (b, a)].to_vec(),
            _ => vec![(a, b)],
        };
        for (x, other) in either {
            let mask = match other {
                Tensor::Ids { .. } | Tensor::Partial(Partial::Mask(_)) => Some(self.as_mask(other)?),
                _ => None,
            };
            let found = match (op, x, mask) {
                (Binary::Add | Binary::Sub, Tensor::Partial(Partial::Scores(scores)), Some(mask)) => {
                    let sign = if op == Binary::Add { 1.0 } else { -1.0 };
                    let bits = mask.bits;
                    let bits = Bits { kept: sign * bits.kept, dropped: sign * bits.dropped, ..bits };
                    over_keys(scores, &mask, bits.masks())?;
                    x.clone()
                }
                (Binary::Mul, Tensor::Partial(Partial::Probabilities(scores)), Some(mask)) => {
                    over_keys(scores, &mask, mask.bits.selects())?;
                    x.clone()
                }
                (Binary::Mul, _, Some(mask)) => Tensor::Tokens(self.masked_tokens(x, &mask)?),
                (Binary::Div, Tensor::Partial(Partial::Sum { x, rows }), None) if counts(other, *rows) => {
                    Tensor::Tokens(self.map_values(x, 1, &Op::MeanRows)?)
                }
                (Binary::Add, Tensor::Partial(Partial::Scores(scores)), None) if is_zero(other, scores)? => {
                    x.clone()
                }
                _ => continue,
            };
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Tokens times a mask that keeps those that count: the others have no rows.
    fn masked_tokens(&mut self, x: &Tensor, mask: &Mask) -> Result<View> {
        let view = self.tokens(x)?;
        if !mask.bits.selects() {
            return Err(unknown_mask("tokens are multiplied by other numbers than one and zero"));
        }
        let fits = rearrange::broadcast(&mask.x.dims, &view.dims)? == view.dims && view.merged == 1;
        if !fits || !aligned(&mask.x, &view) {
            return Err(unknown_mask("it is multiplied with something else than the tokens it is of"));
        }
        Ok(View { fresh: false, ..view })
    }

    /// The Where operator on more than masks and constants.
    pub(super) fn choice(&mut self, call: &Call<'_>) -> Result<Tensor> {
        call.node.attributes(&[])?;
        call.at_most(3)?;
        let (condition, a, b) = (call.input(0)?, call.input(1)?, call.input(2)?);
        if let (Tensor::Partial(Partial::IsNan(of)), Tensor::Partial(Partial::Probabilities(scores))) =
            (condition, b)
            && of == scores
        {
            return Ok(b.clone());
        }
        let unknown = || {
            Error::new(ErrorKind::UnsupportedOp, "a choice between tensors that is not known")
                .expected("scores, probabilities or tokens by the attention mask")
                .hint("leave out conditions that depend on the model's input")
        };
        if let Some(always) = condition.constant().and_then(Bits::of) {
            let taken = if always.kept != 0.0 { a } else { b };
            let same = rearrange::broadcast(&condition.dims(), &taken.dims())? == taken.dims();
            return same.then(|| taken.clone()).ok_or_else(unknown);
        }
        if !matches!(condition, Tensor::Ids { .. } | Tensor::Partial(Partial::Mask(_))) {
            return Err(unknown());
        }
        let mask = self.as_mask(condition)?;
        let (kept, dropped) = if mask.bits.kept != 0.0 { (a, b) } else { (b, a) };
        let decides = (mask.bits.kept != 0.0) != (mask.bits.dropped != 0.0);
        let other = dropped.constant().and_then(Bits::of).filter(|_| decides).ok_or_else(unknown)?;
        match kept {
            Tensor::Partial(Partial::Scores(scores)) => over_keys(scores, &mask, other.is_masked())?,
            Tensor::Partial(Partial::Probabilities(scores)) => {
                over_keys(scores, &mask, other.kept == 0.0)?;
            }
            _ if other.kept == 0.0 => {
                let selects = Mask { bits: Bits::INPUT, ..mask };
                return self.masked_tokens(kept, &selects).map(Tensor::Tokens);
            }
            _ => return Err(unknown()),
        }
        Ok(kept.clone())
    }

    /// The ReduceSum operator: over the tokens, or as a part of an L2 normalisation.
    pub(super) fn reduce_sum(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let (axes, keep) = self.reduction(call)?;
        let input = call.input(0)?;
        if let ([axis], true) = (axes.as_slice(), keep)
            && *axis + 1 == input.dims().len()
            && let Some(found) = recognise::sum_over_channels(input)
        {
            return Ok(Tensor::Partial(found));
        }
        let is_mask = matches!(input, Tensor::Ids { .. } | Tensor::Partial(Partial::Mask(_)));
        let (view, selects) = match is_mask {
            true => self.as_mask(input).map(|mask| (mask.x, mask.bits.selects()))?,
            false => (self.tokens(input)?, true),
        };
        if !axes.iter().copied().eq(view.tokens.clone()) || axes.is_empty() || !selects {
            return Err(Error::new(ErrorKind::UnsupportedOp, "a sum over anything but all tokens")
                .at_field("axes")
                .expected(format!("the axes of the tokens, {:?}", view.tokens.clone().collect::<Vec<_>>()))
                .got(format!("{axes:?} of {:?}", view.dims)));
        }
        let (x, rows) = (view.reduced(keep), view.rows);
        Ok(Tensor::Partial(if is_mask { Partial::Lengths { x, rows } } else { Partial::Sum { x, rows } }))
    }

    /// A mask times tokens as a matrix product: their sum.
    pub(super) fn summed(&mut self, mask: &Tensor, tokens: &Tensor) -> Result<Tensor> {
        let mask = self.as_mask(mask)?;
        let view = self.tokens(tokens)?;
        let rank = view.dims.len();
        let fits = rank >= 2
            && mask.x.dims.len() == rank
            && view.tokens == (rank - 2..rank - 1)
            && mask.x.tokens == (rank - 1..rank)
            && mask.x.dims[rank - 2] == 1
            && mask.x.dims[..rank - 2] == view.dims[..rank - 2]
            && mask.x.batch == view.batch
            && mask.x.reversed == view.reversed;
        if !fits || !mask.bits.selects() {
            return Err(unknown_mask("it is multiplied with something else than the tokens it is of"));
        }
        Ok(Tensor::Partial(Partial::Sum { x: view.reduced(true), rows: view.rows }))
    }
}

/// Steps that a mask can take: anything that leaves its tokens whole.
pub(super) fn layout(x: &View, steps: &[Step]) -> Result<View> {
    let mut view = x.clone();
    for step in steps {
        view = match step {
            Step::Take { axis, indices } if view.tokens.contains(axis) => {
                if !indices.iter().copied().eq(0..view.dims[*axis]) {
                    return Err(unknown_mask("some of its tokens are picked"));
                }
                view
            }
            step => view.rearrange(step)?,
        };
    }
    Ok(view)
}

/// Refuses a mask that is not one over the keys of these scores.
pub(super) fn over_keys(scores: &Scores, mask: &Mask, masks: bool) -> Result<()> {
    let dims = scores.dims();
    let shift = dims.len().checked_sub(mask.x.dims.len());
    let keys = dims.len() - 1;
    let fits = shift.is_some_and(|shift| {
        mask.x.tokens.clone().map(|axis| axis + shift).eq(keys..keys + 1)
            && mask.x.batch.is_none_or(|batch| scores.q.batch == Some(batch + shift))
            && scores.q.merged == 1
    });
    if rearrange::broadcast(&mask.x.dims, &dims)? != dims || !fits || mask.x.reversed != scores.k.reversed {
        return Err(unknown_mask("it is not over the keys of the scores"));
    }
    if !masks {
        return Err(unknown_mask("what is done to the scores does not mask")
            .expected("nothing for tokens that count, at most -1000 for the others")
            .got(format!("{} and {}", mask.bits.kept, mask.bits.dropped)));
    }
    Ok(())
}

/// Whether a mask runs over the same tokens and batch as a tensor of no smaller rank.
fn aligned(mask: &View, x: &View) -> bool {
    let shift = x.dims.len() - mask.dims.len();
    mask.tokens.clone().map(|axis| axis + shift).eq(x.tokens.clone())
        && mask.batch.is_none_or(|batch| x.batch == Some(batch + shift))
        && mask.reversed == x.reversed
}

/// Whether it is the number of tokens of each element.
fn counts(tensor: &Tensor, tokens: usize) -> bool {
    match tensor {
        Tensor::Partial(Partial::Lengths { rows, .. }) => *rows == tokens,
        other => {
            let number = other.constant().and_then(Bits::of);
            number.is_some_and(|number| number.kept == tokens as f64)
        }
    }
}

/// Whether it is a constant of zeros that fits the scores.
fn is_zero(tensor: &Tensor, scores: &Scores) -> Result<bool> {
    let dims = scores.dims();
    let zero = tensor.constant().is_some_and(super::super::tensor::Const::is_zero);
    Ok(zero && rearrange::broadcast(&tensor.dims(), &dims)? == dims)
}

fn unknown_mask(why: &str) -> Error {
    Error::new(
        ErrorKind::UnsupportedOp,
        format!("the attention mask is used in a way that is not known: {why}"),
    )
    .hint("a mask may be added to attention scores, multiply tokens, count them, and give `sequence_lens`")
}
