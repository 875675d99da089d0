//! `far-peak-worker PRECISION INPUT THREADS`: the multiply-adds of so many cores at their peak, under the workers' protocol, so that
//! the limit of a model is measured in turns with the models.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use far_bench::machine::Peak;
use far_bench_worker::{Result, Runtime};
use far_kernels::{Kernels, Precision};

/// Seconds of one run, about.
const RUN: f64 = 0.02;

struct Multipliers {
    peak: Peak,
    threads: usize,
    /// Of each thread in a run.
    times: usize,
}

impl Runtime for Multipliers {
    fn version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn load(precision: &Path, threads: usize) -> Result<Self> {
        let name = precision.to_str().unwrap_or_default();
        let precision =
            Precision::from_name(name).ok_or_else(|| format!("no precision is called `{name}`"))?;
        let peak = Peak::of(Kernels::best().gemm(precision).variant());
        let peak = peak.ok_or("this CPU has no instruction for it")?;
        let times = RUN * peak.per_second() / peak.multiply_adds() as f64;
        Ok(Self { peak, threads, times: (times as usize).max(1) })
    }

    fn run(&mut self, _input: &[f32]) -> Result<()> {
        std::thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        Ok(())
    }

    fn answer(&self) -> &[f32] {
        &[]
    }

    fn facts(&self) -> String {
        format!("\"multiply_adds\":{}", self.threads * self.times * self.peak.multiply_adds())
    }
}

impl Multipliers {
    fn work(&self) {
        for _ in 0..self.times {
            self.peak.run();
        }
    }
}

fn main() -> ExitCode {
    far_bench_worker::run::<Multipliers>()
}
