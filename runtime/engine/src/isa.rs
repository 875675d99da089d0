//! Which kernels run. May import: `error`, `system`.

use std::ffi::CStr;

use far_kernels::{Isa, Kernels};

use crate::error::{Error, Result, named};
use crate::system;

/// The environment variable that limits every session of a process, e.g. `FAR_ISA=scalar`; empty it is none.
pub const ISA_VARIABLE: &str = "FAR_ISA";

/// The kernels that a session runs: the best that this CPU has, no better than `limit` and the environment variable
/// [`ISA_VARIABLE`].
///
/// # Errors
/// [`Error::Isa`] where a limit is no ISA of this architecture.
pub fn choose_kernels(limit: Option<Isa>) -> Result<Kernels> {
    const NAME: &CStr = c"FAR_ISA";
    system::with_variable(NAME, |value| below(limit, Some(value.to_str().unwrap_or("not UTF-8"))))
        .unwrap_or_else(|| below(limit, None))
}

/// The best kernels that this CPU runs and that are no better than either limit.
fn below(option: Option<Isa>, variable: Option<&str>) -> Result<Kernels> {
    const VARIABLE: &str = "environment variable `FAR_ISA`";
    let variable = match variable {
        None => None,
        Some(name) => Some(name.parse().map_err(|_| unknown(VARIABLE, name))?),
    };
    let mut limit = usize::MAX;
    for (origin, isa) in [(VARIABLE, variable), ("option `isa`", option)] {
        if let Some(isa) = isa {
            if !Isa::of_host().any(|host| host == isa) {
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
    match named(found) {
        Ok(found) => Error::Isa { origin, found },
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_holds() {
        let best = Kernels::best().isa();
        assert_eq!(below(None, None).unwrap().isa(), best);
        assert_eq!(below(Some(Isa::Scalar), Some(best.name())).unwrap().isa(), Isa::Scalar);
        assert_eq!(below(Some(best), Some("scalar")).unwrap().isa(), Isa::Scalar);
        // One that is of this architecture but not of this CPU is a limit like any other.
        for isa in Isa::of_host() {
            assert!(rank(below(Some(isa), None).unwrap().isa()) <= rank(isa));
        }
    }

    #[test]
    fn others_are_errors() {
        let error = below(None, Some("sse9")).unwrap_err().to_string();
        assert!(error.starts_with("environment variable `FAR_ISA`: expected one of `scalar"), "{error}");
        assert!(error.ends_with("got `sse9`"), "{error}");
        let foreign = Isa::ALL.into_iter().find(|isa| Isa::of_host().all(|host| host != *isa)).unwrap();
        assert!(below(Some(foreign), None).is_err());
    }
}
