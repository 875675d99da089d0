//! Runs a model over as many elements as its caller's arrays hold. May import: `error`, `npy`.

use far_engine::{Axis, Dim, Extent, Input, Model, Port, Session};

use crate::error::{Error, Result};
use crate::npy::{Array, Data, text};

/// How large the calls are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Elements of a call.
    pub batch: Option<usize>,
    /// Tokens of each.
    pub tokens: Option<usize>,
}

impl Size {
    /// The batch, where it is given or there is no choice.
    ///
    /// # Errors
    /// One that the model can't have.
    pub fn batch(self, model: &Model) -> Result<Option<usize>> {
        let (batch, most) = (model.plan().batch, model.most().batch);
        let least = if batch.fixed { most } else { 1 };
        within(Axis::Batch, self.batch.or((least == most).then_some(most)), least, most)
    }

    /// The number of tokens, where it is given or there is no choice; 0 where it is fixed.
    ///
    /// # Errors
    /// One that the model can't have.
    pub fn tokens(self, model: &Model) -> Result<Option<usize>> {
        let most = model.most().tokens;
        let least = most.min(1);
        within(Axis::Tokens, self.tokens.or((least == most).then_some(most)), least, most)
    }
}

fn within(axis: Axis, found: Option<usize>, least: usize, most: usize) -> Result<Option<usize>> {
    match found {
        Some(found) if !(least..=most).contains(&found) => {
            Err(Error::Run(far_engine::Error::Extent { axis, least, most, found }))
        }
        found => Ok(found),
    }
}

/// Runs the session on all elements that the inputs hold and stacks the outputs likewise: `size.batch` elements a call,
/// or else as many as a call can have.
///
/// An input fits its port if the shapes are equal but for the batch, or, where the port has none, for a leading dimension
/// that is a multiple of the port's; or if it is one dimension of a multiple of the elements that the port has for one
/// element of the batch. All multiples must be the same, except that an input of exactly one element serves every one.
/// The number of tokens is that of the inputs' shapes; all must have the same.
///
/// Returns the outputs and the number of calls.
///
/// # Errors
/// Not an array for each input, an array that doesn't fit, or a run that fails.
pub fn run(session: &mut Session, inputs: Vec<Array>, size: Size) -> Result<(Vec<Array>, usize)> {
    let model = session.model().clone();
    let missing = model.inputs().iter().skip(inputs.len()).map(|port| port.name.clone()).collect::<Vec<_>>();
    if !missing.is_empty() {
        return Err(Error::Inputs { missing });
    }
    let ports = || model.inputs().iter().zip(&inputs);
    let said = || ports().find_map(|(port, array)| tokens_of(port, array));
    let tokens = Size { tokens: size.tokens.or_else(said), ..size }
        .tokens(&model)?
        .ok_or_else(|| Error::Usage("`--tokens`: expected a number, as no input's shape says it".into()))?;
    let mut elements = 1;
    for (port, array) in ports() {
        let count = elements_of(port, array, tokens)?;
        if count == 0 {
            let expected = "1 or more in the leading dimension".into();
            return Err(Error::Shape { port: port.name.clone(), expected, found: text(&array.shape) });
        }
        if count != 1 && elements != 1 && count != elements {
            return Err(Error::Runs { port: port.name.clone(), expected: elements, found: count });
        }
        elements = elements.max(count);
    }
    let most = size.batch(&model)?.unwrap_or(model.most().batch);
    if model.plan().batch.fixed && !elements.is_multiple_of(most) {
        let (axis, least) = (Axis::Batch, most);
        return Err(Error::Run(far_engine::Error::Extent { axis, least, most, found: elements }));
    }

    let mut outputs = Vec::new();
    for port in model.outputs() {
        outputs.push(stacked(port, elements, tokens)?);
    }
    let mut feeds = Vec::new();
    for (port, array) in model.inputs().iter().zip(inputs) {
        feeds.push(Feed::new(port, array, tokens, elements, most.min(elements))?);
    }
    let (mut first, mut calls) = (0, 0);
    while first < elements {
        let batch = most.min(elements - first);
        let parts: Vec<Input<'_>> = feeds.iter().map(|feed| feed.part(first, batch)).collect();
        let out = outputs.iter_mut().map(|(_, len, data)| &mut data[first * *len..(first + batch) * *len]);
        let mut out: Vec<&mut [f32]> = out.collect();
        let extent = Extent { batch, tokens };
        session.run_extent(extent, &parts, &mut out).map_err(|error| of_element(first, error))?;
        first += batch;
        calls += 1;
    }
    let outputs = outputs.into_iter().map(|(shape, _, data)| Array { shape, data: data.into() });
    Ok((outputs.collect(), calls))
}

/// The error of a call whose first element is number `first` of all.
fn of_element(first: usize, mut error: far_engine::Error) -> far_engine::Error {
    use far_engine::Error::{Mask, TokenId};
    if let Mask { element, .. } | TokenId { element, .. } = &mut error {
        *element += first;
    }
    error
}

/// The number of tokens that an array's shape says.
fn tokens_of(port: &Port, array: &Array) -> Option<usize> {
    let at = port.dims.iter().position(|dim| *dim == Dim::Tokens)?;
    (array.shape.len() == port.dims.len()).then(|| array.shape[at])
}

/// A port's shape for one element.
fn shape(port: &Port, tokens: usize) -> Vec<usize> {
    port.dims.iter().map(|dim| dim.of(1, tokens)).collect()
}

/// How many elements of a batch an array holds.
fn elements_of(port: &Port, array: &Array, tokens: usize) -> Result<usize> {
    let (one, len) = (shape(port, tokens), port.elements(1, tokens).max(1));
    let fits = match (one.split_first(), array.shape.split_first()) {
        (Some((first, tail)), Some((leading, rest))) => rest == tail && leading.is_multiple_of(*first),
        (None, None) => true,
        _ => false,
    };
    // Without a batch, tokens that come first are not to be taken for elements.
    let fits = fits && (port.dims.first() != Some(&Dim::Tokens) || array.shape == one);
    let flat = array.shape.len() == 1 && array.data.len().is_multiple_of(len);
    if fits || flat {
        return Ok(array.data.len() / len);
    }
    let expected = format!("{}, or a multiple of its leading dimension", text(&one));
    Err(Error::Shape { port: port.name.clone(), expected, found: text(&array.shape) })
}

/// What an input has for all elements.
struct Feed {
    data: Data,
    /// Of one element.
    len: usize,
    /// Whether all have the same, which is there as often as a call has elements.
    shared: bool,
}

impl Feed {
    fn new(port: &Port, array: Array, tokens: usize, elements: usize, batch: usize) -> Result<Feed> {
        let wrong = |message| Error::Element { port: port.name.clone(), message };
        let data = array.data.into_dtype(port.dtype).map_err(wrong)?;
        let len = port.elements(1, tokens);
        let shared = data.len() == len && elements > 1;
        let data = match data {
            data if !shared || batch == 1 => data,
            Data::F32(data) => Data::F32(repeated(&data, batch)?),
            Data::I32(data) => Data::I32(repeated(&data, batch)?),
            Data::I64(data) => Data::I64(repeated(&data, batch)?),
        };
        Ok(Feed { data, len, shared })
    }

    /// Of so many elements from `first` on.
    fn part(&self, first: usize, batch: usize) -> Input<'_> {
        let start = if self.shared { 0 } else { first * self.len };
        let range = start..start + batch * self.len;
        match &self.data {
            Data::F32(data) => Input::F32(&data[range]),
            Data::I32(data) => Input::I32(&data[range]),
            Data::I64(data) => Input::I64(&data[range]),
        }
    }
}

fn repeated<T: Copy>(data: &[T], times: usize) -> Result<Vec<T>> {
    let mut all = room(data.len().saturating_mul(times))?;
    (0..times).for_each(|_| all.extend_from_slice(data));
    Ok(all)
}

/// An empty vector with room for so many elements.
fn room<T>(len: usize) -> Result<Vec<T>> {
    let mut data = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    data.try_reserve_exact(len).map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(data)
}

/// The shape of an output of that many elements, how much of it is one's, and room for it.
fn stacked(port: &Port, elements: usize, tokens: usize) -> Result<(Vec<usize>, usize, Vec<f32>)> {
    let (mut shape, len) = (shape(port, tokens), port.elements(1, tokens));
    match shape.first_mut() {
        Some(first) => *first = first.saturating_mul(elements),
        None if elements > 1 => shape.push(elements),
        None => {}
    }
    let all = len.saturating_mul(elements);
    let mut data = room(all)?;
    data.resize(all, 0.0);
    Ok((shape, len, data))
}
