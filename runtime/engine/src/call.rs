//! What one call brings: how large it is, its inputs, and their check against the model's ports. May import: `error`.

use far_format::plan::{Dtype, Plan, Port, StepOp};

use crate::counted::Counted;
use crate::error::{Axis, Error, Result, Side, copy_text, named};

/// How large a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Elements of the batch.
    pub batch: usize,
    /// Tokens of each element; 0 where their number is fixed.
    pub tokens: usize,
}

impl Extent {
    /// That of the largest call.
    pub(crate) fn most(plan: &Plan) -> Extent {
        Extent { batch: plan.batch.most as usize, tokens: plan.tokens as usize }
    }

    /// That of every call, where nothing varies.
    pub(crate) fn fixed(plan: &Plan) -> Option<Extent> {
        let fixed = (plan.batch.fixed || plan.batch.most == 1) && plan.tokens <= 1;
        fixed.then(|| Extent::most(plan))
    }

    fn check(self, plan: &Plan) -> Result<()> {
        let within = |axis, found, least: u32, most: u32| {
            let (least, most) = (least as usize, most as usize);
            if (least..=most).contains(&found) {
                return Ok(());
            }
            Err(Error::Extent { axis, least, most, found })
        };
        let batch = plan.batch;
        within(Axis::Batch, self.batch, if batch.fixed { batch.most } else { 1 }, batch.most)?;
        within(Axis::Tokens, self.tokens, plan.tokens.min(1), plan.tokens)
    }
}

/// The elements of one input, row-major.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Integers of 32 bits.
    I32(&'a [i32]),
    /// Integers of 64 bits.
    I64(&'a [i64]),
}

impl<'a> Input<'a> {
    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        match self {
            Input::F32(_) => Dtype::F32,
            Input::I32(_) => Dtype::I32,
            Input::I64(_) => Dtype::I64,
        }
    }

    /// The number of its elements.
    pub fn len(&self) -> usize {
        match self {
            Input::F32(values) => values.len(),
            Input::I32(values) => values.len(),
            Input::I64(values) => values.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What belongs to element `index` of a batch of so many.
    pub(crate) fn element(self, index: usize, batch: usize) -> Input<'a> {
        fn part<T>(values: &[T], index: usize, batch: usize) -> &[T] {
            let len = values.len() / batch;
            &values[index * len..][..len]
        }
        match self {
            Input::F32(values) => Input::F32(part(values, index, batch)),
            Input::I32(values) => Input::I32(part(values, index, batch)),
            Input::I64(values) => Input::I64(part(values, index, batch)),
        }
    }

    /// Integer number `i`.
    pub(crate) fn integer(&self, i: usize) -> i64 {
        match self {
            Input::I32(values) => values[i].into(),
            Input::I64(values) => values[i],
            Input::F32(_) => unreachable!("checked to be integers"),
        }
    }
}

/// The inputs of a call, of one type or of any.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    F32(&'a [&'a [f32]]),
    Any(&'a [Input<'a>]),
}

impl<'a> Inputs<'a> {
    fn len(&self) -> usize {
        match self {
            Inputs::F32(inputs) => inputs.len(),
            Inputs::Any(inputs) => inputs.len(),
        }
    }

    pub(crate) fn get(&self, n: usize) -> Input<'a> {
        match self {
            Inputs::F32(inputs) => Input::F32(inputs[n]),
            Inputs::Any(inputs) => inputs[n],
        }
    }
}

/// What the integers of a model's calls must be. Names are shared, so that an error costs no memory.
#[derive(Debug)]
pub(crate) struct Integers {
    ids: Vec<Ids>,
    /// The attention mask.
    mask: Option<(usize, Counted<String>)>,
}

/// Numbers of rows of a table.
#[derive(Debug)]
struct Ids {
    input: usize,
    name: Counted<String>,
    /// Whether they are one a token.
    tokens: bool,
    /// Rows of the table, of the smallest of all that the input is for.
    size: usize,
}

impl Integers {
    pub(crate) fn new(plan: &Plan) -> Result<Integers> {
        let name = |input: usize| shared_text(&plan.inputs[input].name);
        let mut ids: Vec<Ids> = Vec::new();
        for step in &plan.steps {
            let StepOp::Embed(embed) = &step.op else { continue };
            let (input, size) = (embed.input as usize, embed.vocab as usize);
            if let Some(known) = ids.iter_mut().find(|known| known.input == input) {
                known.size = known.size.min(size);
                continue;
            }
            let bytes = size_of::<Ids>();
            ids.try_reserve(1).map_err(|_| Error::OutOfMemory { what: "the session's inputs", bytes })?;
            ids.push(Ids { input, name: name(input)?, tokens: plan.inputs[input].has_tokens(), size });
        }
        let mask = match plan.lengths {
            Some(input) => Some((input as usize, name(input as usize)?)),
            None => None,
        };
        Ok(Integers { ids, mask })
    }

    /// Tokens of an element of a call that was checked.
    pub(crate) fn tokens(&self, extent: Extent, inputs: Inputs<'_>, element: usize) -> usize {
        let Some((mask, _)) = &self.mask else { return extent.tokens };
        let row = inputs.get(*mask).element(element, extent.batch);
        (0..extent.tokens).take_while(|i| row.integer(*i) == 1).count()
    }

    fn check(&self, extent: Extent, inputs: Inputs<'_>) -> Result<()> {
        for element in 0..extent.batch {
            if let Some((input, name)) = &self.mask {
                check_mask(inputs.get(*input).element(element, extent.batch)).map_err(
                    |(position, found)| Error::Mask { name: Counted::clone(name), element, position, found },
                )?;
            }
            let tokens = self.tokens(extent, inputs, element);
            for ids in &self.ids {
                let row = inputs.get(ids.input).element(element, extent.batch);
                let len = if ids.tokens { tokens } else { row.len() };
                let fits = |id| usize::try_from(id).is_ok_and(|id| id < ids.size);
                if let Some(position) = (0..len).find(|i| !fits(row.integer(*i))) {
                    let (name, id, size) = (Counted::clone(&ids.name), row.integer(position), ids.size);
                    return Err(Error::TokenId { name, element, position, id, size });
                }
            }
        }
        Ok(())
    }
}

/// A text with counted owners.
fn shared_text(text: &str) -> Result<Counted<String>> {
    Counted::new(copy_text(text, "the session's inputs")?)
}

/// Ones, at least one, then zeros; or where it is something else, and what.
fn check_mask(row: Input<'_>) -> Result<(), (usize, i64)> {
    let mut before = 1;
    for position in 0..row.len() {
        let found = row.integer(position);
        if !(found == before || found == 0 && position > 0) {
            return Err((position, found));
        }
        before = found;
    }
    Ok(())
}

/// Checks a call: as many inputs and outputs as the model has, each of the type and length that its port has at that
/// extent, masks that are masks and ids that are in their tables.
pub(crate) fn check(
    plan: &Plan,
    integers: &Integers,
    extent: Extent,
    inputs: Inputs<'_>,
    outputs: &[&mut [f32]],
) -> Result<()> {
    let count = |side, ports: &[Port], found| match ports.len() {
        expected if expected == found => Ok(()),
        expected => Err(Error::PortCount { side, expected, found }),
    };
    let len = |side, index, port: &Port, found| match port.elements(extent.batch, extent.tokens) {
        expected if expected == found => Ok(()),
        expected => {
            let (name, dtype) = (named(&port.name)?, port.dtype);
            Err(Error::PortLength { side, index, name, dtype, expected, found })
        }
    };
    count(Side::Input, &plan.inputs, inputs.len())?;
    count(Side::Output, &plan.outputs, outputs.len())?;
    extent.check(plan)?;
    for (index, port) in plan.inputs.iter().enumerate() {
        let (expected, found) = (port.dtype, inputs.get(index).dtype());
        if expected != found {
            return Err(Error::PortType { index, name: named(&port.name)?, expected, found });
        }
        len(Side::Input, index, port, inputs.get(index).len())?;
    }
    for (index, (port, output)) in plan.outputs.iter().zip(outputs).enumerate() {
        len(Side::Output, index, port, output.len())?;
    }
    integers.check(extent, inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_ones_then_zeros() {
        let check = |row: &[i64]| check_mask(Input::I64(row));
        for good in [&[1][..], &[1, 1, 1], &[1, 0], &[1, 1, 0, 0]] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        assert_eq!(check(&[0]), Err((0, 0)));
        assert_eq!(check(&[0, 1]), Err((0, 0)));
        assert_eq!(check(&[1, 2]), Err((1, 2)));
        assert_eq!(check(&[1, -1, 0]), Err((1, -1)));
        assert_eq!(check(&[1, 1, 0, 0, 1]), Err((4, 1)));
        assert_eq!(check_mask(Input::I32(&[1, 0, 3])), Err((2, 3)));
    }

    #[test]
    fn elements_are_runs() {
        let values = [1, 2, 3, 4, 5, 6];
        assert_eq!(Input::I64(&values).element(1, 3), Input::I64(&[3, 4]));
        assert_eq!(Input::I64(&values).element(0, 1), Input::I64(&values));
    }
}
