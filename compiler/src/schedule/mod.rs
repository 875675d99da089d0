//! Graph → plan and packed weights: which kernels run in which order, and where every value lives.
//! May import: `ir`, `target`, `precision`, `cost`, `error`; far-format (the plan, the layout of weights) and far-kernels (packing).
//!
//! Three small decisions in a row: [`place`] gives every value a home, so that joins and splits cost nothing and what
//! can be done in place is; [`lower`] turns nodes into steps and packs their weights; [`memory`] gives the homes
//! addresses in one arena.

mod lower;
mod memory;
mod pack;
mod place;
mod weights;

pub(crate) use lower::operands;

use far_format::cpu::Features;
use far_format::meta::Meta;
use far_format::plan::{Batch, Dim, Place, Plan, Port, StepOp, Tensor};

use crate::cost::{self, StepCost};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{self, Graph};
use crate::precision::{DtypeOptions, Precisions};
use crate::target::Target;

/// All that an artifact says, and what it will cost.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Tensors, ports, steps and the arena's size.
    pub plan: Plan,
    /// The weights section, which the plan points into.
    pub weights: Vec<u8>,
    /// One entry for each step of the plan.
    pub costs: Vec<StepCost>,
}

impl Scheduled {
    /// What a CPU must have to run it.
    pub fn features(&self, target: &Target) -> Features {
        target.requires().with(self.plan.features(target.arch))
    }
}

/// Schedules a verified graph, with weights as asked for. The same graph gives the same plan and bytes.
pub fn plan(graph: &Graph, target: &Target, dtype: &DtypeOptions) -> Result<Scheduled> {
    let homes = place::place(graph)?;
    let mut lowered = lower::lower(graph, homes, target.arch, Precisions::new(dtype, target)?)?;
    let arena = memory::assign(&lowered.areas());
    let tensors = lowered
        .tensors
        .iter()
        .enumerate()
        .map(|(i, spec)| {
            let place = match spec.memory {
                place::Memory::Arena => Place::Arena(arena.offsets[i]),
                place::Memory::Weights(offset) => Place::Weights(offset),
                place::Memory::Input(n) => Place::Input(n),
                place::Memory::Output(n) => Place::Output(n),
            };
            Tensor { place, rows: spec.rows, cols: spec.cols, stride: spec.stride(), tokens: spec.tokens }
        })
        .collect();
    for (work, offset) in lowered.works.iter().zip(&arena.offsets[lowered.tensors.len()..]) {
        if let StepOp::Attention(attention) = &mut lowered.steps[work.step].op {
            attention.work = *offset;
        }
    }
    let plan = Plan {
        model: graph.name.clone(),
        meta: Meta::default(),
        tensors,
        inputs: ports(&graph.inputs)?,
        outputs: ports(&graph.outputs)?,
        steps: lowered.steps,
        arena_bytes: arena.bytes,
        tokens: number(graph.tokens, "the number of tokens")?,
        batch: Batch { most: number(graph.batch.most, "the batch")?, fixed: graph.batch.fixed },
        lengths: graph.lengths.map(|input| number(input, "the number of inputs")).transpose()?,
    };
    let weights = lowered.weights.into_bytes();
    let costs = cost::steps(&plan, weights.len() as u64, target);
    Ok(Scheduled { plan, weights, costs })
}

fn ports(ports: &[ir::Port]) -> Result<Vec<Port>> {
    ports
        .iter()
        .map(|port| {
            let dim = |dim: &ir::Dim| match *dim {
                ir::Dim::Fixed(size) => number(size, "a dimension").map(Dim::Fixed),
                ir::Dim::Batch => Ok(Dim::Batch),
                ir::Dim::Tokens => Ok(Dim::Tokens),
            };
            let dims = port.dims.iter().map(dim).collect::<Result<_>>().map_err(|e| e.at_node(&port.name))?;
            Ok(Port { name: port.name.clone(), dtype: port.dtype, dims })
        })
        .collect()
}

/// A size as artifacts state it.
fn number(n: usize, what: &str) -> Result<u32> {
    u32::try_from(n).map_err(|_| {
        Error::new(ErrorKind::LimitExceeded, format!("{what} is too large for an artifact"))
            .expected(format!("at most {}", u32::MAX))
            .got(n.to_string())
    })
}

#[cfg(test)]
mod tests;
