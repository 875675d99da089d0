//! The targets that the binary carries, and this host.
//! May import: the rest of `target`, `error`; far-kernels for what the host has.

use far_format::cpu::Arch;

use super::{Target, from_yaml};
use crate::error::{Error, ErrorKind, Result};

/// Name and text of every file in `targets/`, sorted.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/targets.rs"));

/// Names of all boards and architectures, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The board or architecture of that name.
pub fn find(name: &str) -> Result<Target> {
    let Some((name, text)) = FILES.iter().find(|(n, _)| *n == name) else {
        return Err(unknown(name));
    };
    from_yaml(text).map_err(|e| e.in_file(format!("targets/{name}.yaml")))
}

/// This machine: its architecture's figures, the vector units and the number of cores that it really has.
pub fn host() -> Result<Target> {
    let arch = Arch::HOST.ok_or_else(|| {
        Error::new(ErrorKind::UnknownTarget, "farc has no kernels for the machine it runs on")
            .hint("name a board or an architecture: `farc targets` lists them")
    })?;
    let mut target = find(arch.name())?;
    let features = far_kernels::cpu::detect();
    target.name = "host".into();
    target.description =
        format!("This machine ({arch}); times are predicted from its architecture's figures");
    target.features.has.names = features.names().map(String::from).collect();
    if let Ok(cores) = std::thread::available_parallelism() {
        target.cpu.cores.value = u32::try_from(cores.get()).unwrap_or(u32::MAX);
    }
    Ok(target)
}

fn unknown(name: &str) -> Error {
    let near = nearest(name, names().chain(["host"]));
    let hint = match near {
        Some(near) => {
            format!("did you mean `{near}`? `farc targets` lists all, and a path to a YAML file works too")
        }
        None => "`farc targets` lists all, and a path to a YAML file works too".into(),
    };
    Error::new(ErrorKind::UnknownTarget, format!("there is no target `{name}`")).hint(hint)
}

/// The candidate that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|c| (strsim::jaro_winkler(name, c), c))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}
