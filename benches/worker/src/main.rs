//! `far-bench-worker MODEL.far INPUT THREADS`: libfar under the workers' protocol.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use far_bench_worker::{Result, Runtime};
use far_engine::{Counted, Model, Session, SessionOptions};

struct Far {
    model: Counted<Model>,
    session: Session,
    outputs: Vec<Vec<f32>>,
}

impl Far {
    fn run_in(session: &mut Session, input: &[f32], outputs: &mut [Vec<f32>]) -> Result<()> {
        let mut outputs: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        Ok(session.run(&[input], &mut outputs)?)
    }
}

impl Runtime for Far {
    fn version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn load(model: &Path, threads: usize) -> Result<Self> {
        let model = Model::open(model)?;
        let session = Session::new(model.clone(), &SessionOptions { threads, ..Default::default() })?;
        let outputs = model.outputs().iter().map(|port| vec![0.0; port.elements(1, 0)]).collect();
        Ok(Self { model, session, outputs })
    }

    fn run(&mut self, input: &[f32]) -> Result<()> {
        Self::run_in(&mut self.session, input, &mut self.outputs)
    }

    fn answer(&self) -> &[f32] {
        self.outputs.first().map_or(&[], Vec::as_slice)
    }

    fn facts(&self) -> String {
        format!("\"isa\":\"{}\",\"memory\":{}", self.session.isa(), self.session.memory_bytes())
    }

    fn profile(&mut self, input: &[f32], runs: usize) -> Result<Vec<(String, f64)>> {
        let options = SessionOptions { threads: self.session.threads(), profile: true, ..Default::default() };
        let mut session = Session::new(self.model.clone(), &options)?;
        Self::run_in(&mut session, input, &mut self.outputs)?;
        session.reset_profile();
        for _ in 0..runs {
            Self::run_in(&mut session, input, &mut self.outputs)?;
        }
        let profile = session.profile().ok_or("the session keeps no profile")?;
        let mean = |time: &std::time::Duration| time.as_secs_f64() * 1e3 / profile.runs().max(1) as f64;
        let steps = &self.model.plan().steps;
        Ok(steps.iter().zip(profile.steps()).map(|(step, time)| (step.name.clone(), mean(time))).collect())
    }
}

fn main() -> ExitCode {
    far_bench_worker::run::<Far>()
}
