//! What a caller accepts of an artifact, within what the format allows. May import: `error`, `plan`.

use core::fmt;

use crate::error::{Error, Result};
use crate::plan::Plan;

/// The most that a caller accepts of an artifact. The format has limits of its own, which always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Bytes of the arena, which each session takes.
    pub arena_bytes: u64,
    /// Tensors of the plan.
    pub tensors: u64,
    /// Steps of the plan.
    pub steps: u64,
    /// Tokens of a call, where their number varies.
    pub tokens: u64,
    /// Elements of a batch.
    pub batch: u64,
}

impl Default for Limits {
    /// Whatever the format allows.
    fn default() -> Limits {
        let any = u64::MAX;
        Limits { file_bytes: any, arena_bytes: any, tensors: any, steps: any, tokens: any, batch: any }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::file_bytes`]
    FileBytes,
    /// [`Limits::arena_bytes`]
    ArenaBytes,
    /// [`Limits::tensors`]
    Tensors,
    /// [`Limits::steps`]
    Steps,
    /// [`Limits::tokens`]
    Tokens,
    /// [`Limits::batch`]
    Batch,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::FileBytes => "bytes of the file",
            Limit::ArenaBytes => "bytes of arena",
            Limit::Tensors => "tensors",
            Limit::Steps => "steps",
            Limit::Tokens => "tokens",
            Limit::Batch => "elements of a batch",
        })
    }
}

impl Limits {
    /// Refuses a file of more bytes; to be asked before it is looked at.
    ///
    /// # Errors
    /// [`Error::Exceeded`].
    pub fn check_file(&self, bytes: u64) -> Result<()> {
        within(Limit::FileBytes, self.file_bytes, bytes)
    }

    /// Refuses a plan of more; to be asked before it is proved.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<()> {
        within(Limit::Tensors, self.tensors, plan.tensors.len() as u64)?;
        within(Limit::Steps, self.steps, plan.steps.len() as u64)?;
        within(Limit::ArenaBytes, self.arena_bytes, plan.arena_bytes)?;
        within(Limit::Tokens, self.tokens, u64::from(plan.tokens))?;
        within(Limit::Batch, self.batch, u64::from(plan.batch.most))
    }
}

fn within(limit: Limit, most: u64, found: u64) -> Result<()> {
    if found <= most { Ok(()) } else { Err(Error::Exceeded { limit, most, found }) }
}
