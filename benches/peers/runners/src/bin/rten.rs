//! `rten MODEL.onnx INPUT THREADS`: rten under the workers' protocol.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use far_bench_worker::{Result, Runtime};
use rten::{Dimension, Model, ModelOptions, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};

struct Rten {
    model: Model,
    threads: Arc<ThreadPool>,
    shape: Vec<usize>,
    answer: Vec<f32>,
}

impl Runtime for Rten {
    fn version() -> String {
        "0.27.0".into()
    }

    fn load(model: &Path, threads: usize) -> Result<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(model)?;
        let extent = |dimension| match dimension {
            Dimension::Fixed(extent) => Ok(extent),
            Dimension::Symbolic(name) => Err(format!("the input's extent `{name}` varies")),
        };
        let shape = model.input_shape(0).ok_or("the input has no shape")?;
        let shape = shape.into_iter().map(extent).collect::<std::result::Result<_, _>>()?;
        let threads = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(Self { model, threads, shape, answer: Vec::new() })
    }

    fn run(&mut self, input: &[f32]) -> Result<()> {
        let input = TensorView::from_data(&self.shape[..], input);
        let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        let output = self.model.run_one(input.into(), Some(options))?;
        let output: Tensor<f32> = output.try_into()?;
        self.answer.clear();
        self.answer.extend(output.iter());
        Ok(())
    }

    fn answer(&self) -> &[f32] {
        &self.answer
    }
}

fn main() -> ExitCode {
    far_bench_worker::run::<Rten>()
}
