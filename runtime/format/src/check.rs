//! The proof that a plan is safe to run: every operand lies inside its tensor, every tensor inside its memory, nothing
//! is written that may only be read, nothing is read that was not written, and operands of one step share memory only
//! where its definition says so; and that what is said for users fits its ports. May import: `plan`, `meta`, `layout`, `cpu`, `region`,
//! `error`.

mod meta;
mod ports;
mod steps;
mod written;

use alloc::vec::Vec;
use core::ops::Deref;

use crate::bytes::{reserve, try_string};
use crate::cpu::Arch;
use crate::error::{Error, Problem, Result, Subject};
use crate::plan::{Dtype, Operand, Place, Plan, Tensor};
use crate::region::{Region, Space};
use ports::PortSize;
use written::{Area, Written};

/// Offsets into the arena and the weights section are multiples of this many bytes.
pub const ALIGNMENT: u64 = 64;

/// Largest arena, in bytes.
pub const MAX_ARENA_BYTES: u64 = 1 << 32;

/// Most elements that all ports of a plan may have together, for one element of the batch and the most tokens.
pub const MAX_PORT_ELEMENTS: u64 = 1 << 30;

/// Most elements of a batch.
pub const MAX_BATCH: u32 = 1 << 16;

/// Bytes of one element.
const ELEMENT: u64 = 4;

/// A plan that keeps the rules of the specification, together with the regions that its operands name. Holding one is
/// the proof that code which touches memory by its numbers relies on.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedPlan {
    plan: Plan,
    arch: Arch,
    tensors: Vec<Region>,
}

impl CheckedPlan {
    /// Proves `plan` for an architecture, whose layout packed weights have, against a weights section of `weights_bytes`.
    ///
    /// # Errors
    /// The first rule that it breaks, and where.
    pub fn new(plan: Plan, arch: Arch, weights_bytes: usize) -> Result<CheckedPlan> {
        let tensors = self::plan(&plan, arch, weights_bytes)?;
        Ok(CheckedPlan { plan, arch, tensors })
    }

    /// The architecture that it was proved for.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The elements that an operand of this plan names.
    ///
    /// # Panics
    /// Where the operand is none of this plan's.
    pub fn region(&self, operand: &Operand) -> Region {
        let tensor = self.tensors[operand.tensor as usize];
        cut(&tensor, operand).expect("an operand of this plan lies inside its tensor")
    }

    /// The plan itself, no longer proved.
    pub fn into_inner(self) -> Plan {
        self.plan
    }
}

impl Deref for CheckedPlan {
    type Target = Plan;
    fn deref(&self) -> &Plan {
        &self.plan
    }
}

/// Proves a plan; its tensors as regions.
pub(crate) fn plan(plan: &Plan, arch: Arch, weights_bytes: usize) -> Result<Vec<Region>> {
    if plan.arena_bytes > MAX_ARENA_BYTES {
        let problem = Problem::Value { expected: "at most 2^32", found: plan.arena_bytes };
        return Err(Error::Plan { subject: Subject::Plan, field: "arena_bytes", problem });
    }
    let (inputs, outputs) = ports::check(plan)?;
    meta::check(plan)?;
    let sizes = Sizes {
        arch,
        arena: plan.arena_bytes / ELEMENT,
        weights: weights_bytes as u64 / ELEMENT,
        tokens: plan.tokens,
        inputs,
        outputs,
    };
    let mut tensors = Vec::new();
    reserve(&mut tensors, plan.tensors.len())?;
    for (i, t) in plan.tensors.iter().enumerate() {
        let fail = |(field, problem)| Error::Plan { subject: Subject::Tensor(i), field, problem };
        tensors.push(tensor(t, &sizes).map_err(fail)?);
    }

    let mut written = Written::new(&sizes)?;
    for (i, step) in plan.steps.iter().enumerate() {
        let mut checker = steps::Checker { tensors: &tensors, sizes: &sizes, written: &mut written };
        if let Err(stop) = checker.step(&step.op) {
            return Err(stop.at(Subject::Step(i, try_string(&step.name)?)));
        }
    }
    for (i, (port, size)) in plan.outputs.iter().zip(&sizes.outputs).enumerate() {
        let area = Area::output(i, size, plan.tokens);
        if let Some(region) = written.missing(&area, &area.all_columns()) {
            let (subject, field) = (Subject::Output(i, try_string(&port.name)?), "dims");
            return Err(Error::Plan { subject, field, problem: Problem::Unwritten { region } });
        }
    }
    Ok(tensors)
}

/// Sizes of every memory, in elements, and what sizes of weights depend on.
struct Sizes {
    arch: Arch,
    arena: u64,
    weights: u64,
    /// Most tokens; 0 where their number is fixed.
    tokens: u32,
    inputs: Vec<PortSize>,
    outputs: Vec<PortSize>,
}

/// Why a step can't be accepted: a broken rule, or no memory left to look for one.
enum Stop {
    Rule(&'static str, Problem),
    Failed(Error),
}

impl Stop {
    fn at(self, subject: Subject) -> Error {
        match self {
            Stop::Rule(field, problem) => Error::Plan { subject, field, problem },
            Stop::Failed(error) => error,
        }
    }
}

/// The region of a tensor, proved to lie inside its memory.
fn tensor(tensor: &Tensor, sizes: &Sizes) -> Result<Region, (&'static str, Problem)> {
    let (rows, cols, stride) = (u64::from(tensor.rows), u64::from(tensor.cols), u64::from(tensor.stride));
    positive("rows", tensor.rows)?;
    positive("cols", tensor.cols)?;
    if stride < cols {
        return Err(("stride", Problem::Value { expected: "at least `cols`", found: stride }));
    }
    if tensor.tokens && (tensor.rows != sizes.tokens) {
        let expected = "as many as the plan has tokens";
        return Err(("rows", Problem::Value { expected, found: rows }));
    }
    let (space, start, size, of) = match tensor.place {
        Place::Arena(offset) => (Space::Arena, element(offset)?, sizes.arena, "the arena"),
        Place::Weights(offset) => (Space::Weights, element(offset)?, sizes.weights, "the weights section"),
        Place::Input(n) => {
            (Space::Input(n as usize), 0, in_port(tensor, n, rows * cols, &sizes.inputs)?, "the input")
        }
        Place::Output(n) => {
            (Space::Output(n as usize), 0, in_port(tensor, n, rows * cols, &sizes.outputs)?, "the output")
        }
    };
    // rows, stride and cols fit 32 bits each, so that neither the product nor the sum can overflow 64.
    let extent = (rows - 1) * stride + cols;
    let end = start.saturating_add(extent);
    if end > size {
        return Err(("place", Problem::Outside { of, size, end }));
    }
    let index = |n: u64| usize::try_from(n).map_err(|_| ("place", Problem::Outside { of, size, end: n }));
    index(end)?; // every other number is smaller, or is the stride of a single row
    Ok(Region {
        space,
        start: index(start)?,
        rows: index(rows)?,
        cols: index(cols)?,
        stride: index(stride)?,
        tokens: tensor.tokens && sizes.tokens > 1, // of one token there is nothing to cut
    })
}

/// The size of the port of that number, proved to be what a tensor of so many elements is.
fn in_port(
    tensor: &Tensor,
    n: u32,
    elements: u64,
    ports: &[PortSize],
) -> Result<u64, (&'static str, Problem)> {
    let missing = ("place", Problem::Index { count: ports.len() as u64, found: u64::from(n) });
    let port = ports.get(n as usize).ok_or(missing)?;
    if port.dtype != Dtype::F32 {
        return Err(("place", Problem::Dtype { expected: "a port of f32", found: port.dtype }));
    }
    if port.tokens != tensor.tokens {
        return Err(("tokens", Problem::Tokens { expected: port.tokens }));
    }
    if elements != port.len {
        let expected = "the number of its port's elements";
        return Err(("rows × cols", Problem::Value { expected, found: elements }));
    }
    Ok(port.len)
}

fn positive(field: &'static str, n: u32) -> Result<(), (&'static str, Problem)> {
    if n == 0 { Err((field, Problem::Value { expected: "1 or more", found: 0 })) } else { Ok(()) }
}

/// An aligned byte offset, in elements.
fn element(offset: u64) -> Result<u64, (&'static str, Problem)> {
    if offset.is_multiple_of(ALIGNMENT) {
        Ok(offset / ELEMENT)
    } else {
        Err(("place", Problem::Unaligned { alignment: ALIGNMENT, found: offset }))
    }
}

/// The part of a tensor that an operand names.
fn cut(tensor: &Region, operand: &Operand) -> Result<Region, Problem> {
    let inside = |at: u32, len: u32, size: usize, of| {
        let end = u64::from(at) + u64::from(len);
        if len == 0 {
            Err(Problem::Value { expected: "1 or more rows and columns", found: 0 })
        } else if end > size as u64 {
            Err(Problem::Outside { of, size: size as u64, end })
        } else {
            Ok((at as usize, len as usize))
        }
    };
    let (row, rows) = inside(operand.row, operand.rows, tensor.rows, "the tensor's rows")?;
    let (col, cols) = inside(operand.col, operand.cols, tensor.cols, "the tensor's columns")?;
    let tokens = tensor.tokens && rows == tensor.rows;
    if tensor.tokens && !tokens && operand.row + operand.rows != 1 {
        let expected = "all rows of a tensor whose rows are tokens, or the first";
        return Err(Problem::Value { expected, found: rows as u64 });
    }
    Ok(Region { start: tensor.start + row * tensor.stride + col, rows, cols, tokens, ..*tensor })
}
