//! The rules of ports, and of what varies from call to call. May import: `plan`, `error`.

use alloc::string::String;
use alloc::vec::Vec;

use super::{MAX_BATCH, MAX_PORT_ELEMENTS};
use crate::bytes::{reserve, try_string};
use crate::error::{Error, Problem, Result, Subject};
use crate::plan::{Dim, Dtype, Plan, Port};

/// What the other rules need of a port.
pub(super) struct PortSize {
    /// Elements for one element of the batch and the most tokens.
    pub(super) len: u64,
    /// Their type.
    pub(super) dtype: Dtype,
    /// Whether tokens are its rows.
    pub(super) tokens: bool,
}

impl PortSize {
    /// Whether it holds integers, one for each of `rows` rows that are tokens or not.
    pub(super) fn numbers(&self, rows: u64, tokens: bool) -> Result<(), Problem> {
        if self.dtype == Dtype::F32 {
            return Err(Problem::Dtype { expected: "a port of integers", found: self.dtype });
        }
        if self.tokens != tokens {
            return Err(Problem::Tokens { expected: tokens });
        }
        if self.len != rows {
            return Err(Problem::Value { expected: "an input of one integer a row", found: self.len });
        }
        Ok(())
    }
}

/// The inputs and outputs.
pub(super) fn check(plan: &Plan) -> Result<(Vec<PortSize>, Vec<PortSize>)> {
    let fail = |field, problem| Error::Plan { subject: Subject::Plan, field, problem };
    let (most, tokens) = (plan.batch.most, plan.tokens);
    if most == 0 || most > MAX_BATCH {
        let expected = "1 or more, 65536 or fewer";
        return Err(fail("batch.most", Problem::Value { expected, found: u64::from(most) }));
    }
    let mut total = 0;
    let inputs = sizes(plan, &plan.inputs, Subject::Input, &mut total)?;
    let outputs = sizes(plan, &plan.outputs, Subject::Output, &mut total)?;
    for (i, port) in plan.outputs.iter().enumerate() {
        if port.dtype != Dtype::F32 {
            let problem = Problem::Dtype { expected: "f32", found: port.dtype };
            let subject = Subject::Output(i, try_string(&port.name)?);
            return Err(Error::Plan { subject, field: "dtype", problem });
        }
    }
    // A caller says how large a call is by the dimensions of its inputs.
    if tokens > 0 && !inputs.iter().any(|input| input.tokens) {
        let expected = "an input that has them, where their number varies";
        return Err(fail("tokens", Problem::Value { expected, found: u64::from(tokens) }));
    }
    if most > 1 && inputs.is_empty() {
        let expected = "an input, where a call has several elements";
        return Err(fail("batch.most", Problem::Value { expected, found: u64::from(most) }));
    }
    if let Some(n) = plan.lengths {
        let missing = Problem::Index { count: inputs.len() as u64, found: u64::from(n) };
        let checked =
            inputs.get(n as usize).ok_or(missing).and_then(|input| input.numbers(u64::from(tokens), true));
        checked.map_err(|problem| fail("lengths", problem))?;
    }
    Ok((inputs, outputs))
}

/// The size of each port; `total` counts on.
fn sizes(
    plan: &Plan,
    ports: &[Port],
    subject: fn(usize, String) -> Subject,
    total: &mut u64,
) -> Result<Vec<PortSize>> {
    let mut sizes = Vec::new();
    reserve(&mut sizes, ports.len())?;
    for (i, port) in ports.iter().enumerate() {
        let fail = |field, problem| match try_string(&port.name) {
            Ok(name) => Error::Plan { subject: subject(i, name), field, problem },
            Err(error) => error,
        };
        if ports[..i].iter().any(|earlier| earlier.name == port.name) {
            return Err(fail("name", Problem::Repeated));
        }
        let len = size(plan, port).map_err(|problem| fail("dims", problem))?;
        *total = total.saturating_add(len);
        if len == 0 || *total > MAX_PORT_ELEMENTS {
            let expected = "1 or more elements, 2^30 or fewer in all ports";
            return Err(fail("dims", Problem::Value { expected, found: len }));
        }
        sizes.push(PortSize { len, dtype: port.dtype, tokens: port.has_tokens() });
    }
    Ok(sizes)
}

/// Elements of a port for one element of the batch and the most tokens. The batch is its outermost dimension, so that
/// what belongs to an element is one run; tokens are its rows.
fn size(plan: &Plan, port: &Port) -> Result<u64, Problem> {
    let at = |dim| port.dims.iter().position(|d| *d == dim);
    let count = |dim| port.dims.iter().filter(|d| **d == dim).count() as u64;
    if plan.batch.most > 1 && at(Dim::Batch) != Some(0) || port.dims.iter().skip(1).any(|d| *d == Dim::Batch)
    {
        let expected = "the batch as the first dimension and as no other";
        return Err(Problem::Value { expected, found: count(Dim::Batch) });
    }
    if let Some(at) = at(Dim::Tokens) {
        let outer = port.dims[..at].iter().all(|d| matches!(d, Dim::Batch | Dim::Fixed(1)));
        if plan.tokens == 0 || !outer || count(Dim::Tokens) > 1 {
            let expected = "tokens once and as rows, where the plan has tokens";
            return Err(Problem::Value { expected, found: count(Dim::Tokens) });
        }
    }
    let dims = port.dims.iter().map(|dim| match dim {
        Dim::Fixed(len) => u64::from(*len),
        Dim::Batch => 1,
        Dim::Tokens => u64::from(plan.tokens),
    });
    Ok(dims.fold(1, u64::saturating_mul))
}
