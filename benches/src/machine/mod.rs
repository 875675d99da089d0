//! The limits of the core that this thread runs on: multiply-adds per second out of registers, and bytes per second
//! out of each level of memory. May import: far-kernels for the names of instruction sets.
//!
//! Unsafe code: each instruction set's loops need their instructions, and whoever calls them has a [`Kernels`] set,
//! which exists only where the instructions do.
#![allow(unsafe_code)]

mod arithmetic;
mod clock;
mod memory;

use far_kernels::{Kernels, Precision};
use serde::Serialize;

pub use arithmetic::Peak;
pub use clock::{cpu_seconds, least_seconds, part_of};
pub use memory::caches;

/// Limits of one core.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// The CPU's name, where the system says.
    pub cpu: String,
    /// Each instruction set that has kernels here, best first.
    pub arithmetic: Vec<Arithmetic>,
    /// Each level of memory, nearest first, read with the best instruction set.
    pub read: Vec<Level>,
}

/// What one instruction set can compute.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Arithmetic {
    /// Its name.
    pub isa: &'static str,
    /// f32 multiply-adds per second, in 10⁹.
    pub fma_g_per_s: f64,
    /// int8 multiply-adds per second by dot-product instructions, in 10⁹.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub int8_g_per_s: Option<f64>,
    /// The same in bfloat16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bf16_g_per_s: Option<f64>,
}

/// What one level of memory can deliver.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// `L1`, `L2`, `L3` or `memory`.
    pub level: &'static str,
    /// The size that was read again and again, in KiB.
    pub read_kib: usize,
    /// 10⁹ bytes per second.
    pub gb_per_s: f64,
}

impl Limits {
    /// Measures; takes about two seconds. Best on a core where nothing else runs.
    pub fn measure() -> Self {
        let best = Kernels::best();
        let arithmetic = Kernels::available().map(|kernels| {
            let dots = |precision| arithmetic::dots(kernels.gemm(precision).variant());
            Arithmetic {
                isa: kernels.isa().name(),
                fma_g_per_s: arithmetic::fma(kernels).per_second() / 1e9,
                int8_g_per_s: dots(Precision::Int8).map(|peak| peak.per_second() / 1e9),
                bf16_g_per_s: dots(Precision::Bf16).map(|peak| peak.per_second() / 1e9),
            }
        });
        Self { cpu: cpu_name(), arithmetic: arithmetic.collect(), read: memory::levels(best) }
    }
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is measured says nothing certain about which rate is higher: the machine may be busy, or emulated.
    #[test]
    fn every_limit_is_measured() {
        let is_rate = |rate: f64| rate.is_finite() && rate > 0.0;
        let limits = Limits::measure();
        assert!(
            limits
                .arithmetic
                .iter()
                .map(|found| found.isa)
                .eq(Kernels::available().map(|kernels| kernels.isa().name()))
        );
        for found in &limits.arithmetic {
            let dots = [found.int8_g_per_s, found.bf16_g_per_s];
            assert!(is_rate(found.fma_g_per_s) && dots.into_iter().flatten().all(is_rate), "{found:?}");
        }
        assert!(limits.read.iter().all(|level| is_rate(level.gb_per_s)), "{:?}", limits.read);
        assert!(limits.read.is_sorted_by(|a, b| a.read_kib < b.read_kib));
    }
}
