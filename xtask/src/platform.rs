//! The platforms that libfar is built for, and the CPUs that QEMU shows to their programs. May import: nothing of ours.

/// One architecture under Linux, with one libc: glibc unless it is said.
#[derive(Clone, Copy)]
pub(crate) struct Platform {
    /// As in Rust's `target_arch` and the names of QEMU.
    pub(crate) arch: &'static str,
    /// Rust's triple; also the folder of the platform's libraries in the SDK.
    pub(crate) rust: &'static str,
    /// GNU's triple, as in the names of compilers.
    pub(crate) gnu: &'static str,
    /// Rust's and GNU's triple where musl is libc.
    musl: (&'static str, &'static str),
    /// Debian's name of the architecture, as in its packages.
    pub(crate) debian: &'static str,
    /// The CPUs on which the runtime is tested under QEMU.
    pub(crate) cpus: &'static [&'static Cpu],
    /// More of them, on which the slow suite tests the kernels.
    pub(crate) slow_cpus: &'static [&'static Cpu],
}

/// A CPU as QEMU shows it.
pub(crate) struct Cpu {
    /// Short name for reports.
    pub(crate) name: &'static str,
    /// Value of QEMU's `-cpu`.
    pub(crate) qemu: &'static str,
    /// The best instruction set that must be used there; scalar kernels run everywhere.
    pub(crate) isa: &'static str,
    /// The endings of other kernels' names that must be used there: those of precisions for which it has instructions of their own.
    pub(crate) variants: &'static [&'static str],
    /// A feature that QEMU has and doesn't tell of; the kernels' tests take it for granted.
    pub(crate) untold: Option<&'static str>,
}

/// 64-bit x86.
pub(crate) const X86_64: Platform = Platform {
    arch: "x86_64",
    rust: "x86_64-unknown-linux-gnu",
    gnu: "x86_64-linux-gnu",
    musl: ("x86_64-unknown-linux-musl", "x86_64-linux-musl"),
    debian: "amd64",
    cpus: &[],
    slow_cpus: &[],
};

/// 64-bit Arm.
pub(crate) const AARCH64: Platform = Platform {
    arch: "aarch64",
    rust: "aarch64-unknown-linux-gnu",
    gnu: "aarch64-linux-gnu",
    musl: ("aarch64-unknown-linux-musl", "aarch64-linux-musl"),
    debian: "arm64",
    cpus: &[&CORTEX_A72, &ARM_MAX],
    slow_cpus: &[&CORTEX_A76],
};

/// 64-bit RISC-V, with and without vectors.
pub(crate) const RISCV64: Platform = Platform {
    arch: "riscv64",
    rust: "riscv64gc-unknown-linux-gnu",
    gnu: "riscv64-linux-gnu",
    musl: ("riscv64gc-unknown-linux-musl", "riscv64-linux-musl"),
    debian: "riscv64",
    cpus: &[&VLEN_128, &VLEN_256, &WITHOUT_V],
    slow_cpus: &[&VLEN_512, &VLEN_1024],
};

/// Those that need a cross build and QEMU on any machine but their own.
pub(crate) const CROSS: [&Platform; 2] = [&AARCH64, &RISCV64];

/// Raspberry Pi 4.
pub(crate) const CORTEX_A72: Cpu =
    Cpu { name: "cortex-a72", qemu: "cortex-a72", isa: "neon", variants: &[], untold: None };
/// Raspberry Pi 5.
pub(crate) const CORTEX_A76: Cpu =
    Cpu { name: "cortex-a76", qemu: "cortex-a76", isa: "neon", variants: &["dotprod", "fp16"], untold: None };
/// Every extension of Arm that QEMU knows.
pub(crate) const ARM_MAX: Cpu =
    Cpu { name: "max", qemu: "max", isa: "neon", variants: &["dotprod", "fp16", "i8mm"], untold: None };

/// RISC-V with vectors of so many bits. Lanes that an instruction may overwrite, it does overwrite: as some chips do.
macro_rules! vector_cpu {
    ($vlen:literal) => {
        Cpu {
            name: concat!("vlen ", $vlen),
            qemu: concat!(
                "rv64,v=true,vext_spec=v1.0,rvv_ta_all_1s=true,rvv_ma_all_1s=true,Zfh=true,vlen=",
                $vlen
            ),
            isa: "rvv",
            variants: &["zvfh"],
            untold: Some("zvfh"),
        }
    };
}

/// RISC-V with vectors of 128 bits.
pub(crate) const VLEN_128: Cpu = vector_cpu!(128);
/// RISC-V with vectors of 256 bits.
pub(crate) const VLEN_256: Cpu = vector_cpu!(256);
/// RISC-V with vectors of 512 bits.
pub(crate) const VLEN_512: Cpu = vector_cpu!(512);
/// RISC-V with vectors of 1024 bits.
pub(crate) const VLEN_1024: Cpu = vector_cpu!(1024);
/// RISC-V without vectors.
pub(crate) const WITHOUT_V: Cpu =
    Cpu { name: "without v", qemu: "rv64,v=false", isa: "scalar", variants: &[], untold: None };

/// The platform this program runs on, where it is one of ours.
pub(crate) fn host() -> Option<&'static Platform> {
    [&X86_64, &AARCH64, &RISCV64].into_iter().find(|platform| platform.is_host())
}

/// The host, where it is one of ours, and all that are cross-built.
pub(crate) fn all() -> Vec<&'static Platform> {
    let others = CROSS.into_iter().filter(|platform| !platform.is_host());
    host().into_iter().chain(others).collect()
}

impl Platform {
    /// The same architecture with musl, the libc of programs that are static and run on any Linux.
    pub(crate) fn musl(&self) -> Platform {
        let (rust, gnu) = self.musl;
        Platform { rust, gnu, ..*self }
    }

    /// Whether its programs run on this machine.
    pub(crate) fn is_host(&self) -> bool {
        self.arch == std::env::consts::ARCH
    }

    /// The target as cargo writes it in names of environment variables.
    pub(crate) fn cargo_variable(&self, key: &str) -> String {
        format!("CARGO_TARGET_{}_{key}", self.rust.to_uppercase().replace('-', "_"))
    }

    /// The target as the `cc` crate writes it in names of environment variables.
    pub(crate) fn cc_variable(&self, key: &str) -> String {
        format!("{key}_{}", self.rust.replace('-', "_"))
    }

    /// QEMU's user-mode emulator.
    pub(crate) fn qemu(&self) -> String {
        format!("qemu-{}", self.arch)
    }
}
