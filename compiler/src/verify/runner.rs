//! What runs an artifact. May import: `verify`'s types, `error`; far-engine.

use far_engine::{Input, Model, Session, SessionOptions};
use far_tool::npy::Data;

use super::Sample;
use crate::error::{Error, ErrorKind, Result};

/// What a run of an artifact gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// For each sample, each output of the artifact, row-major.
    pub outputs: Vec<Vec<Vec<f32>>>,
    /// Instruction set of the kernels that ran.
    pub isa: String,
    /// Names of the kernels that ran.
    pub kernels: Vec<String>,
}

/// Runs artifacts: on this machine, or for a foreign one under an emulator.
pub trait Runner {
    /// Runs an artifact on each sample.
    fn run(&self, artifact: &[u8], samples: &[Sample]) -> Result<Ran>;
}

/// Runs artifacts on this machine.
#[derive(Clone, Debug, Default)]
pub struct HostRunner {
    /// How the session runs.
    pub options: SessionOptions,
}

impl Runner for HostRunner {
    fn run(&self, artifact: &[u8], samples: &[Sample]) -> Result<Ran> {
        let failed =
            |what: &str, e: far_engine::Error| Error::new(ErrorKind::BadArtifact, format!("{what}: {e}"));
        let model = Model::from_bytes(artifact).map_err(|e| failed("the artifact can't run here", e))?;
        let mut session =
            Session::new(model, &self.options).map_err(|e| failed("the artifact can't run here", e))?;
        let mut outputs = Vec::new();
        for sample in samples {
            let inputs: Vec<Input<'_>> = sample.inputs.iter().map(Data::as_input).collect();
            let (batch, tokens) = (sample.extent.batch, sample.extent.tokens);
            // What a run does not write must not look like a result.
            let mut results: Vec<Vec<f32>> = session
                .model()
                .outputs()
                .iter()
                .map(|port| vec![f32::NAN; port.elements(batch, tokens)])
                .collect();
            let mut views: Vec<&mut [f32]> = results.iter_mut().map(Vec::as_mut_slice).collect();
            session
                .run_extent(sample.extent, &inputs, &mut views)
                .map_err(|e| failed("the artifact's run failed", e))?;
            outputs.push(results);
        }
        let kernels = session.kernels().into_iter().map(str::to_owned).collect();
        Ok(Ran { outputs, isa: session.isa().to_string(), kernels })
    }
}
