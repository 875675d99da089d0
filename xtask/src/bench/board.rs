//! What a target's description says of its CPU, and which of QEMU's and llvm-mca's models stand for it.
//! May import: `command`, `error`, `platform`.

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::error::{Error, Result};
use crate::platform::{
    AARCH64, CORTEX_A72, CORTEX_A76, Cpu, Platform, RISCV64, VLEN_128, VLEN_256, VLEN_512,
};

/// A target of farc.
pub(crate) struct Board {
    pub(crate) platform: &'static Platform,
    /// Where an image is counted: one CPU for a board, several for an architecture.
    pub(crate) places: Vec<Place>,
}

/// A CPU of QEMU, and the cores of llvm-mca that it stands for.
pub(crate) struct Place {
    pub(crate) name: String,
    /// Value of QEMU's `-cpu`.
    pub(crate) qemu: String,
    /// Values of llvm-mca's `-mcpu`; none: it models no such core.
    pub(crate) cores: Vec<&'static Core>,
}

/// A core that llvm-mca models.
pub(crate) struct Core {
    /// Value of `-mcpu`.
    pub(crate) mca: &'static str,
    /// Value of `-mtriple`.
    pub(crate) triple: &'static str,
    /// The names that targets give to cores which this model is for.
    names: &'static [&'static str],
}

const ARM: &str = "aarch64-linux-gnu";
const RISC: &str = "riscv64-linux-gnu";

/// LLVM's own `cortex-a76` takes another core's model; the Neoverse N1 is its server form.
static CORES: [Core; 8] = [
    Core { mca: "cortex-a53", triple: ARM, names: &["Cortex-A53"] },
    Core { mca: "cortex-a57", triple: ARM, names: &["Cortex-A57"] },
    Core { mca: "cortex-a72", triple: ARM, names: &["Cortex-A72"] },
    Core { mca: "neoverse-n1", triple: ARM, names: &["Cortex-A76"] },
    Core { mca: "cortex-a78", triple: ARM, names: &["Cortex-A78", "Cortex-A78AE"] },
    Core { mca: "sifive-p670", triple: RISC, names: &["SiFive P670"] },
    Core { mca: "spacemit-x60", triple: RISC, names: &["SpacemiT X60"] },
    Core { mca: "sifive-x280", triple: RISC, names: &["SiFive X280"] },
];

impl Place {
    /// Whether a kernel is for this CPU: those of RISC-V that exist for several sizes of registers are named after the group that holds a
    /// panel, and what is in C but not named after libfar belongs to one of them.
    pub(crate) fn has(&self, function: &str) -> bool {
        let vlen = self.qemu.split(',').find_map(|part| part.strip_prefix("vlen="));
        let group = match vlen {
            None => return true,
            Some("128") => "_m4",
            Some("256") => "_m2",
            Some(_) => "_m1",
        };
        function.contains("far")
            && (function.ends_with(group)
                || !["_m4", "_m2", "_m1"].iter().any(|other| function.ends_with(other)))
    }
}

impl Board {
    /// Asks farc.
    pub(crate) fn read(farc: &Path, target: &str) -> Result<Self> {
        let text = command::stdout(Command::new(farc).args(["targets", target, "--json"]))?;
        let said: Said = serde_json::from_str(&text).map_err(|error| {
            Error::Unexpected(format!("cannot read what farc says of `{target}`: {error}"))
        })?;
        let platform = [&AARCH64, &RISCV64].into_iter().find(|platform| platform.arch == said.arch);
        let platform = platform.ok_or_else(|| Error::Missing {
            what: format!("`{target}` is not a target that QEMU counts for"),
            hint: "take a board or architecture of aarch64 or riscv64; for this machine there is \
                   benches/peers/compare.py"
                .to_owned(),
        })?;
        let places = match said.cpu.core.as_str() {
            "any" => architecture(platform, said.has_vectors()),
            core => vec![Place {
                name: core.to_owned(),
                qemu: said.qemu.cpu.clone(),
                cores: CORES.iter().filter(|known| known.names.contains(&core)).collect(),
            }],
        };
        Ok(Board { platform, places })
    }
}

/// CPUs that show what an architecture's artifact costs.
fn architecture(platform: &Platform, vectors: bool) -> Vec<Place> {
    let place = |cpu: &Cpu, cores: &[&str]| Place {
        name: cpu.name.to_owned(),
        qemu: cpu.qemu.to_owned(),
        cores: CORES.iter().filter(|core| cores.contains(&core.mca)).collect(),
    };
    match (platform.arch, vectors) {
        ("aarch64", _) => {
            vec![place(&CORTEX_A72, &["cortex-a72"]), place(&CORTEX_A76, &["neoverse-n1", "cortex-a78"])]
        }
        (_, true) => vec![
            place(&VLEN_128, &["sifive-p670"]),
            place(&VLEN_256, &["spacemit-x60"]),
            place(&VLEN_512, &["sifive-x280"]),
        ],
        _ => vec![place(&crate::platform::WITHOUT_V, &[])],
    }
}

/// The part of `farc targets NAME --json` that is used here.
#[derive(serde::Deserialize)]
struct Said {
    arch: String,
    cpu: SaidCpu,
    features: SaidFeatures,
    qemu: SaidQemu,
}

#[derive(serde::Deserialize)]
struct SaidCpu {
    core: String,
}

#[derive(serde::Deserialize)]
struct SaidFeatures {
    requires: Vec<String>,
}

#[derive(serde::Deserialize)]
struct SaidQemu {
    cpu: String,
}

impl Said {
    fn has_vectors(&self) -> bool {
        self.features.requires.iter().any(|name| name == "v")
    }
}
