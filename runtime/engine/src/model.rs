//! An artifact that was proved and fits this machine. May import: `call`, `counted`, `storage`, `error`.

use std::path::Path;

use far_format::cpu::{Arch, Features};
use far_format::meta::Meta;
use far_format::plan::Port;
use far_format::{CheckedPlan, Header, SECTION_ALIGNMENT};

use crate::call::Extent;
use crate::counted::Counted;
use crate::error::{Error, Result};
use crate::storage::{Weights, map, read};

/// A model: immutable, shared by any number of [sessions](crate::Session) and threads.
#[derive(Debug)]
pub struct Model {
    header: Header,
    plan: CheckedPlan,
    weights: Weights,
}

impl Model {
    /// Maps a file and proves it. Its weights are used in place, so that the file must not be changed while the model
    /// lives; replace it by renaming another one over it, which leaves the mapped one as it is.
    ///
    /// # Errors
    /// The file can't be read, isn't a sound artifact, is for another architecture, or needs features that this CPU
    /// lacks.
    pub fn open(path: &Path) -> Result<Counted<Model>> {
        let file = map(path)?;
        let artifact = far_format::read(&file)?;
        check_machine(&artifact.header)?;
        let (header, plan) = (artifact.header, artifact.plan);
        let bytes = file.len() - artifact.weights.len()..file.len(); // the last section
        Counted::new(Model { header, plan, weights: Weights::Mapped { file, bytes } })
    }

    /// As [`open`](Model::open), but the file is read into memory: it may be changed or shortened afterwards. It takes the
    /// memory that a map would share with other processes, and the time to read all of it.
    ///
    /// # Errors
    /// As [`open`](Model::open), and where there is no memory for the file.
    pub fn read(path: &Path) -> Result<Counted<Model>> {
        let file = read(path)?;
        let artifact = far_format::read(file.bytes())?;
        check_machine(&artifact.header)?;
        let (header, plan) = (artifact.header, artifact.plan);
        let bytes = file.bytes().len() - artifact.weights.len()..file.bytes().len(); // the last section
        Counted::new(Model { header, plan, weights: Weights::Read { file, bytes } })
    }

    /// Proves an artifact in memory. Its weights are copied: `bytes` may go afterwards.
    ///
    /// # Errors
    /// As [`open`](Model::open), and where there is no memory for the copy.
    pub fn from_bytes(bytes: &[u8]) -> Result<Counted<Model>> {
        let artifact = far_format::read(bytes)?;
        check_machine(&artifact.header)?;
        let weights = Weights::copy(artifact.weights)?;
        Counted::new(Model { header: artifact.header, plan: artifact.plan, weights })
    }

    /// Proves an artifact in memory that stays, such as a constant of the program, and uses its weights in place.
    ///
    /// # Errors
    /// As [`open`](Model::open), and where `bytes` don't begin on a multiple of 64.
    pub fn from_static(bytes: &'static [u8]) -> Result<Counted<Model>> {
        let artifact = far_format::read(bytes)?;
        check_machine(&artifact.header)?;
        check_alignment(bytes)?;
        let weights = Weights::Static(artifact.weights);
        Counted::new(Model { header: artifact.header, plan: artifact.plan, weights })
    }

    /// What the artifact says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it says for its users: description, labels, how an image becomes an input.
    pub fn meta(&self) -> &Meta {
        &self.plan.meta
    }

    /// Its plan, proved.
    pub fn plan(&self) -> &CheckedPlan {
        &self.plan
    }

    /// What a caller supplies, in order.
    pub fn inputs(&self) -> &[Port] {
        &self.plan.inputs
    }

    /// What a caller receives, in order.
    pub fn outputs(&self) -> &[Port] {
        &self.plan.outputs
    }

    /// The largest call. Its tokens are 0 where their number is fixed.
    pub fn most(&self) -> Extent {
        Extent::most(&self.plan)
    }

    /// The extent of every call; `None` where the batch or the number of tokens varies.
    pub fn fixed(&self) -> Option<Extent> {
        Extent::fixed(&self.plan)
    }

    /// Bytes of the packed weights.
    pub fn weight_bytes(&self) -> usize {
        size_of_val(self.weights())
    }

    /// The packed weights.
    pub(crate) fn weights(&self) -> &[f32] {
        self.weights.as_slice()
    }
}

/// Whether sections begin where the format's own alignment puts them.
fn check_alignment(bytes: &[u8]) -> Result<()> {
    match bytes.as_ptr().addr() % SECTION_ALIGNMENT {
        0 => Ok(()),
        found => {
            let what = "an artifact that is used in place";
            Err(Error::Alignment { what, expected: SECTION_ALIGNMENT, found })
        }
    }
}

/// Whether this machine may run the artifact.
fn check_machine(header: &Header) -> Result<()> {
    if Arch::HOST != Some(header.arch) {
        return Err(Error::Architecture { artifact: header.arch, host: Arch::HOST });
    }
    check_features(header.features, far_kernels::cpu::detect())
}

fn check_features(needed: Features, present: Features) -> Result<()> {
    if present.contains(needed) { Ok(()) } else { Err(Error::Features { needed, present }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_features_are_named() {
        let error = check_features(Features::V.with(Features::ZVFH), Features::V).unwrap_err();
        assert_eq!(
            error.to_string(),
            "artifact needs CPU features `v+zvfh`, this CPU has `v`, missing `zvfh`"
        );
        assert!(check_features(Features::NONE, Features::NONE).is_ok());
    }
}
