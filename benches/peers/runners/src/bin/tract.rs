//! `tract MODEL.onnx INPUT THREADS`: tract under the workers' protocol.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use far_bench_worker::{Result, Runtime};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

struct Tract {
    model: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
    answer: Vec<f32>,
}

impl Runtime for Tract {
    fn version() -> String {
        "0.23.9".into()
    }

    fn load(model: &Path, threads: usize) -> Result<Self> {
        if threads > 1 {
            set_default_executor(Executor::multithread(threads));
        }
        let model = tract_onnx::onnx().model_for_path(model)?.into_optimized()?;
        let shape = model.input_fact(0)?.shape.as_concrete().ok_or("the input's shape varies")?.to_vec();
        Ok(Self { model: model.into_runnable()?, shape, answer: Vec::new() })
    }

    fn run(&mut self, input: &[f32]) -> Result<()> {
        let input = Tensor::from_shape(&self.shape, input)?;
        let outputs = self.model.run(tvec!(input.into()))?;
        self.answer.clear();
        self.answer.extend(outputs[0].to_plain_array_view::<f32>()?);
        Ok(())
    }

    fn answer(&self) -> &[f32] {
        &self.answer
    }
}

fn main() -> ExitCode {
    far_bench_worker::run::<Tract>()
}
