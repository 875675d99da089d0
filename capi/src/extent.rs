//! How large a call is, as the dimensions of its inputs say. May import: `tensor`, the engine's calls.

use far_engine::{Dim, Extent, Model};

use crate::tensor::{FAR_DIM_BATCH, FAR_DIM_FIXED, FAR_DIM_TOKENS, far_dim};

/// How large a call is, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    batch: Option<u64>,
    tokens: Option<u64>,
    most: Extent,
}

impl Extents {
    /// Of a call of which nothing is known yet.
    pub(crate) fn new(model: &Model) -> Extents {
        let (plan, most) = (model.plan(), model.most());
        Extents {
            batch: (plan.batch.fixed || most.batch == 1).then_some(most.batch as u64),
            tokens: (most.tokens <= 1).then_some(most.tokens as u64),
            most,
        }
    }

    /// That of a call whose inputs fit; what no input says is the most.
    pub(crate) fn extent(&self) -> Extent {
        let or = |found: Option<u64>, most| found.map_or(most, |found| found as usize); // no more than the most
        Extent { batch: or(self.batch, self.most.batch), tokens: or(self.tokens, self.most.tokens) }
    }

    /// A dimension in a call, or the most where it varies, and what it depends on.
    pub(crate) fn describe(&self, dim: Dim) -> (u64, far_dim) {
        let kind = match dim {
            Dim::Batch if self.batch.is_none() => FAR_DIM_BATCH,
            Dim::Tokens if self.tokens.is_none() => FAR_DIM_TOKENS,
            _ => FAR_DIM_FIXED,
        };
        (dim.of(self.most.batch, self.most.tokens) as u64, kind)
    }

    /// What is known of the dimensions of a kind.
    pub(crate) fn of(&self, kind: far_dim) -> Option<u64> {
        match kind {
            FAR_DIM_BATCH => self.batch,
            FAR_DIM_TOKENS => self.tokens,
            _ => None,
        }
    }

    /// Takes what a dimension of that kind says.
    pub(crate) fn set(&mut self, kind: far_dim, found: u64) {
        match kind {
            FAR_DIM_BATCH => self.batch = Some(found),
            FAR_DIM_TOKENS => self.tokens = Some(found),
            _ => {}
        }
    }
}
