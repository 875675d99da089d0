//! Which kernels run. May import: `error`.

use std::env;

use far_format::cpu::Arch;
use far_kernels::{Isa, Kernels};

use crate::error::{Error, Result};

/// The environment variable that limits every session of a process, e.g. `FAR_ISA=scalar`.
pub const ISA_VARIABLE: &str = "FAR_ISA";

/// The best kernels that the CPU runs, the caller wants and the environment allows.
pub(crate) fn choose(option: Option<Isa>) -> Result<Kernels> {
    let variable = match env::var_os(ISA_VARIABLE) {
        None => None,
        Some(value) if value.is_empty() => None,
        Some(value) => {
            let name = value.to_string_lossy();
            Some(name.parse().map_err(|_| unknown("environment variable `FAR_ISA`", &name))?)
        }
    };
    let limits = [("environment variable `FAR_ISA`", variable), ("option `isa`", option)];
    let mut limit = usize::MAX;
    for (origin, isa) in limits {
        if let Some(isa) = isa {
            if isa.arch().is_some_and(|arch| Arch::HOST != Some(arch)) {
                return Err(unknown(origin, isa.name()));
            }
            limit = limit.min(rank(isa));
        }
    }
    Ok(Kernels::available().find(|kernels| rank(kernels.isa()) <= limit).unwrap_or_else(Kernels::best))
}

/// Within an architecture [`Isa::ALL`] goes from the least to the best.
fn rank(isa: Isa) -> usize {
    Isa::ALL.iter().position(|other| *other == isa).unwrap_or(0)
}

fn unknown(origin: &'static str, found: &str) -> Error {
    let of_host = |isa: &&Isa| isa.arch().is_none_or(|arch| Arch::HOST == Some(arch));
    let known: Vec<&str> = Isa::ALL.iter().rev().filter(of_host).map(|isa| isa.name()).collect();
    Error::Isa { origin, found: found.to_string(), known: known.join(", ") }
}
