//! An artifact that was proved and fits this machine. May import: `call`, `counted`, `signature`, `storage`,
//! `error`.

use std::io;
use std::path::Path;

use far_format::cpu::{Arch, Features};
use far_format::meta::Meta;
use far_format::plan::Port;
use far_format::{Artifact, CheckedPlan, Header, Limits, SECTION_ALIGNMENT};

use crate::call::Extent;
use crate::counted::Counted;
use crate::error::{Error, Result};
use crate::signature::{self, PublicKey};
use crate::storage::{self, Weights, map, read};

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
        Model::open_with(path, &ModelOptions::default())
    }

    /// As [`open`](Model::open), as the options say.
    ///
    /// # Errors
    /// As [`open`](Model::open); there is no memory for the file; it is more than its limits allow, or not signed as it must be.
    pub fn open_with(path: &Path, options: &ModelOptions<'_>) -> Result<Counted<Model>> {
        // What was verified must be what runs, and a mapped file may change.
        if options.copy || options.signed.is_some() {
            let file = read(path, &options.limits)?;
            if let Some(signed) = &options.signed {
                signed.verify_file(file.bytes(), path)?;
            }
            let artifact = prove(file.bytes(), &options.limits)?;
            let (header, plan) = (artifact.header, artifact.plan);
            let bytes = file.bytes().len() - artifact.weights.len()..file.bytes().len(); // the last section
            return Counted::new(Model { header, plan, weights: Weights::Read { file, bytes } });
        }
        let file = map(path, &options.limits)?;
        let artifact = prove(&file, &options.limits)?;
        let (header, plan) = (artifact.header, artifact.plan);
        let bytes = file.len() - artifact.weights.len()..file.len(); // the last section
        Counted::new(Model { header, plan, weights: Weights::Mapped { file, bytes } })
    }

    /// Proves an artifact in memory. Its weights are copied: `bytes` may go afterwards.
    ///
    /// # Errors
    /// As [`open`](Model::open), and where there is no memory for the copy.
    pub fn from_bytes(bytes: &[u8]) -> Result<Counted<Model>> {
        Model::from_bytes_with(bytes, &ModelOptions::default())
    }

    /// As [`from_bytes`](Model::from_bytes), as the options say.
    ///
    /// # Errors
    /// As [`from_bytes`](Model::from_bytes); the artifact is more than its limits allow, or not signed as it must be.
    pub fn from_bytes_with(bytes: &[u8], options: &ModelOptions<'_>) -> Result<Counted<Model>> {
        options.verify(bytes)?;
        let artifact = prove(bytes, &options.limits)?;
        let weights = Weights::copy(artifact.weights)?;
        Counted::new(Model { header: artifact.header, plan: artifact.plan, weights })
    }

    /// Proves an artifact in memory that stays, such as a constant of the program, and uses its weights in place.
    ///
    /// # Errors
    /// As [`open`](Model::open), and where `bytes` don't begin on a multiple of 64.
    pub fn from_static(bytes: &'static [u8]) -> Result<Counted<Model>> {
        Model::from_static_with(bytes, &ModelOptions::default())
    }

    /// As [`from_static`](Model::from_static), as the options say.
    ///
    /// # Errors
    /// As [`from_static`](Model::from_static); the artifact is more than its limits allow, or not signed as it must be.
    pub fn from_static_with(bytes: &'static [u8], options: &ModelOptions<'_>) -> Result<Counted<Model>> {
        options.verify(bytes)?;
        let artifact = prove(bytes, &options.limits)?;
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

/// How a model is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelOptions<'a> {
    /// A file is read into memory instead of mapped: it may be changed or shortened afterwards. It takes the memory that a map
    /// would share with other processes, and the time to read all of it.
    pub copy: bool,
    /// Who must have signed the artifact; `None`: nobody. A file is then copied too, so that what was verified is what runs.
    pub signed: Option<Signed<'a>>,
    /// The most that is accepted.
    pub limits: Limits,
}

impl ModelOptions<'_> {
    /// Whether bytes in memory are signed as they must be.
    fn verify(&self, bytes: &[u8]) -> Result<()> {
        let Some(signed) = &self.signed else { return Ok(()) };
        self.limits.check_file(bytes.len() as u64)?;
        signed.verify(bytes)
    }
}

/// By whom an artifact must be signed, and where the signatures are.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Whose signature is demanded.
    pub key: PublicKey,
    /// The contents of the file of signatures; `None`: those of the file beside the artifact's, of its name and `.sig`.
    pub signatures: Option<&'a [u8]>,
}

impl Signed<'_> {
    /// Whether these bytes are signed so.
    ///
    /// # Errors
    /// [`Error::Unsigned`] without signatures, and as [`signature::verify`].
    pub fn verify(&self, artifact: &[u8]) -> Result<()> {
        let signatures = self.signatures.ok_or(Error::Unsigned { path: None })?;
        signature::verify(artifact, signatures, &self.key)
    }

    /// Whether the bytes that were read from a file are signed so.
    ///
    /// # Errors
    /// [`Error::Unsigned`] without a file of signatures, [`Error::Io`] where it can't be read, and as [`signature::verify`].
    pub fn verify_file(&self, artifact: &[u8], path: &Path) -> Result<()> {
        if self.signatures.is_some() {
            return self.verify(artifact);
        }
        let path = signature::beside(path)?;
        // One more than there may be, so that a longer file is told from one that ends there.
        match storage::read_first::<{ signature::MAX_FILE_BYTES + 1 }>(&path) {
            Ok((bytes, len)) => signature::verify(artifact, &bytes[..len], &self.key),
            Err(Error::Io { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                Err(Error::Unsigned { path: Some(path) })
            }
            Err(error) => Err(error),
        }
    }
}

/// A whole artifact, proved, that this machine may run.
fn prove<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Artifact<'a>> {
    let artifact = far_format::read_within(bytes, limits)?;
    check_machine(&artifact.header)?;
    Ok(artifact)
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
