//! What the compiler knows of a machine: boards, architectures, this host. One YAML file each, in `targets/`.
//! May import: `error`; far-format (architectures, features) and far-kernels (what the host has).

mod builtin;
mod read;

use std::collections::BTreeMap;
use std::path::Path;

use far_format::cpu::{Arch, Features};
use serde::{Deserialize, Serialize};

pub(crate) use builtin::nearest;
pub use builtin::{find, host, names};
pub use read::from_yaml;

use crate::error::Result;

/// A machine that an artifact is compiled for. Its fields are those of the YAML, described in `docs/targets.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As users write it; the file's name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Board or architecture.
    pub kind: TargetKind,
    /// Instruction set.
    #[serde(with = "read::arch")]
    pub arch: Arch,
    /// Rust's target triple; also the folder of its libraries in the SDK.
    pub triple: String,
    /// The cores that run the model.
    pub cpu: Cpu,
    /// Data caches.
    pub cache: Caches,
    /// Main memory.
    pub memory: Memory,
    /// What the kernels reach on these cores.
    pub rates: Rates,
    /// Vector units.
    pub features: TargetFeatures,
    /// How to run its programs elsewhere.
    pub qemu: Qemu,
    /// Where the figures are from, by the id that they name.
    pub sources: BTreeMap<String, Source>,
}

/// What sort of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A machine that one can buy.
    Board,
    /// Every machine of an instruction set.
    Architecture,
}

/// A number and the id of its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure<T> {
    /// The number, in the unit that the field's name says.
    pub value: T,
    /// Key of [`Target::sources`].
    pub source: String,
}

/// The cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Name of the core's design.
    pub core: String,
    /// How many.
    pub cores: Figure<u32>,
    /// Sustained clock of one core.
    pub clock_mhz: Figure<u32>,
    /// f32 multiply-adds that one core starts per cycle.
    pub fma_lanes: Figure<u32>,
    /// Page size of the usual kernel.
    pub page_kib: Figure<u32>,
}

/// The data caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// First level, per core.
    pub l1d_kib: Figure<u32>,
    /// Second level.
    pub l2: SharedCache,
    /// Third level, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l3: Option<SharedCache>,
}

/// A cache that several cores may share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedCache {
    /// Its size.
    pub kib: u32,
    /// Cores that share it.
    pub cores: u32,
    /// Key of [`Target::sources`].
    pub source: String,
}

/// Main memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Peak bandwidth, all cores together, in 10⁹ bytes per second.
    pub gb_per_s: Figure<f64>,
}

/// What the kernels reach on one core. `docs/targets.md` says how each figure is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Part of the peak of multiply-adds that a matrix product reaches.
    pub product: Figure<f64>,
    /// Cycles that a register tile of a matrix product takes beside its multiply-adds.
    pub tile_cycles: Figure<f64>,
    /// Part of the peak that `R·h` reaches where `R` stays in the first-level cache.
    pub recurrence: Figure<f64>,
    /// Bytes of `R` that come from the second-level cache in a cycle, beside the multiply-adds.
    pub l2_bytes_per_cycle: Figure<f64>,
    /// Cycles of one step of a recurrence that nothing hides: each step waits for the one before.
    pub step_cycles: Figure<f64>,
    /// Speed of what is done element by element, for each multiply-add of the peak; 1 is that of the x86-64 machine
    /// that the model was measured on.
    pub elementwise: Figure<f64>,
    /// Nanoseconds from one step of the plan to the next.
    pub call_ns: Figure<f64>,
    /// In 8-bit integers.
    pub int8: Speedup,
    /// With weights in half precision, widened when they are loaded.
    pub f16: Speedup,
    /// With products in half precision; absent where the cores have no such arithmetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f16_arith: Option<Speedup>,
    /// With products in bfloat16; absent where the cores have no such arithmetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<Speedup>,
}

/// Multiply-adds of a reduced precision in the time of one in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speedup {
    /// In a matrix product, without the quantisation of its rows.
    pub product: f64,
    /// In `R·h` where `R` stays in the first-level cache.
    pub recurrence: f64,
    /// Key of [`Target::sources`].
    pub source: String,
}

/// Vector units: names from the shared list of CPU features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFeatures {
    /// What the machine has.
    pub has: FeatureNames,
    /// The least that an artifact compiled for it needs; empty where the scalar kernels will do.
    pub requires: Vec<String>,
    /// Length of a vector register, RISC-V only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlen_bits: Option<Figure<u32>>,
}

/// Names of CPU features and their source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureNames {
    /// The names.
    pub names: Vec<String>,
    /// Key of [`Target::sources`].
    pub source: String,
}

/// QEMU user mode for this target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// Program that runs the target's programs.
    pub runner: String,
    /// Its `-cpu`: the model closest to the real one.
    pub cpu: String,
}

/// Where a figure is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The document and what it says; begins with `estimate:` where there is none.
    pub title: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Target {
    /// What `--target` means by `name`: a board, an architecture, `host`, or the path of a YAML file.
    pub fn resolve(name: &str) -> Result<Target> {
        if name.ends_with(".yaml") || name.ends_with(".yml") || name.contains(std::path::is_separator) {
            return read::from_file(Path::new(name));
        }
        match name {
            "host" => host(),
            _ => find(name),
        }
    }

    /// The vector units that the machine has.
    pub fn has(&self) -> Features {
        feature_set(self.arch, &self.features.has.names)
    }

    /// The least that an artifact compiled for it needs.
    pub fn requires(&self) -> Features {
        feature_set(self.arch, &self.features.requires)
    }

    /// f32 multiply-adds per second that one core can start.
    pub fn peak_fma_per_second(&self) -> f64 {
        f64::from(self.cpu.fma_lanes.value) * f64::from(self.cpu.clock_mhz.value) * 1e6
    }
}

/// Unknown names have been refused when the file was read.
fn feature_set(arch: Arch, names: &[String]) -> Features {
    names.iter().filter_map(|n| Features::from_name(arch, n)).fold(Features::NONE, Features::with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_builtin_target_is_valid_and_carries_its_own_name() {
        let names: Vec<_> = names().collect();
        assert!(names.len() >= 15, "{names:?}");
        for name in names {
            let target = find(name).unwrap_or_else(|e| panic!("{name}: {e} {:?}", e.place));
            assert_eq!(target.name, name);
            assert!(target.has().contains(target.requires()), "{name} requires what it has not");
        }
    }

    #[test]
    fn an_unknown_board_has_a_near_match() {
        let error = Target::resolve("rasberry-pi-5").unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownTarget);
        assert!(error.hint.as_deref().unwrap().contains("`raspberry-pi-5`"), "{error:?}");
    }

    #[test]
    fn an_unknown_board_without_a_near_match_points_to_the_list() {
        let error = Target::resolve("zzzzzzzz").unwrap_err();
        assert!(error.hint.as_deref().unwrap().contains("farc targets"), "{error:?}");
    }

    #[test]
    fn the_host_has_what_it_was_asked_for() {
        let target = host().unwrap();
        assert_eq!(target.name, "host");
        assert_eq!(Some(target.arch), Arch::HOST);
        assert!(target.requires().is_empty());
    }
}
