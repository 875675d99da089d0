//! Plan and packed weights → the file `model.far`, a constant for a program, or the folder that an application links against.
//! May import: `schedule`, `target`, `report`, `error`; far-format.

mod bundle;
mod embed;
mod sdk;

use far_format::ArtifactParts;

pub use bundle::{Form, Output, write, write_file};
pub use embed::CName;
pub use sdk::Sdk;

use crate::error::{Error, ErrorKind, Result};
use crate::schedule::Scheduled;
use crate::target::Target;

/// The bytes of the artifact. The writer proves the plan first: what it refuses here, no board would have run.
pub fn artifact(scheduled: &Scheduled, target: &Target) -> Result<Vec<u8>> {
    let parts = ArtifactParts {
        arch: target.arch,
        features: scheduled.features(target),
        target: &target.name,
        plan: &scheduled.plan,
        weights: &scheduled.weights,
    };
    far_format::write(&parts).map_err(|e| {
        let kind = match e {
            far_format::Error::Text { section: far_format::Section::Meta, .. } => ErrorKind::BadMeta,
            far_format::Error::OutOfMemory { .. } | far_format::Error::Limit { .. } => {
                ErrorKind::LimitExceeded
            }
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("the artifact can't be written: {e}"))
    })
}
