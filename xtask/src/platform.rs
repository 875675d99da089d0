//! The platforms that libfar is built for, and the CPUs that QEMU shows their tests. May import: nothing of ours.

/// One architecture under Linux and glibc.
pub(crate) struct Platform {
    /// As in Rust's `target_arch` and the names of QEMU.
    pub(crate) arch: &'static str,
    /// Rust's name of the target.
    pub(crate) rust: &'static str,
    /// GNU's triple, as in the names of compilers and of the SDK's folders.
    pub(crate) gnu: &'static str,
    /// Debian's name of the architecture, as in its packages.
    pub(crate) debian: &'static str,
    /// The CPUs on which tests run under QEMU.
    pub(crate) cpus: &'static [Cpu],
}

/// When tests run on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole runtime, always.
    Always,
    /// Its kernels, with the slow tests.
    SlowKernels,
}

/// A CPU as QEMU shows it, and the best kernels that must run on it.
pub(crate) struct Cpu {
    /// Short name for reports.
    pub(crate) name: &'static str,
    /// Value of QEMU's `-cpu`.
    pub(crate) qemu: &'static str,
    /// The instruction sets whose kernels must be there, best first.
    pub(crate) kernels: &'static [&'static str],
    /// When its tests run.
    pub(crate) scope: Scope,
}

const NEON: &[&str] = &["neon", "scalar"];
const RVV: &[&str] = &["rvv", "scalar"];

/// A RISC-V CPU with vectors of so many bits.
macro_rules! rv64 {
    ($vlen:literal) => {
        concat!("rv64,v=true,vext_spec=v1.0,vlen=", $vlen)
    };
}

/// 64-bit x86.
pub(crate) const X86_64: Platform = Platform {
    arch: "x86_64",
    rust: "x86_64-unknown-linux-gnu",
    gnu: "x86_64-linux-gnu",
    debian: "amd64",
    cpus: &[],
};

/// 64-bit Arm.
pub(crate) const AARCH64: Platform = Platform {
    arch: "aarch64",
    rust: "aarch64-unknown-linux-gnu",
    gnu: "aarch64-linux-gnu",
    debian: "arm64",
    cpus: &[
        Cpu { name: "cortex-a72", qemu: "cortex-a72", kernels: NEON, scope: Scope::Always },
        Cpu { name: "max", qemu: "max", kernels: NEON, scope: Scope::Always },
    ],
};

/// 64-bit RISC-V, with and without vectors.
pub(crate) const RISCV64: Platform = Platform {
    arch: "riscv64",
    rust: "riscv64gc-unknown-linux-gnu",
    gnu: "riscv64-linux-gnu",
    debian: "riscv64",
    cpus: &[
        Cpu { name: "rv64 vlen=128", qemu: rv64!(128), kernels: RVV, scope: Scope::Always },
        Cpu { name: "rv64 vlen=256", qemu: rv64!(256), kernels: RVV, scope: Scope::Always },
        Cpu { name: "rv64 vlen=512", qemu: rv64!(512), kernels: RVV, scope: Scope::SlowKernels },
        Cpu { name: "rv64 vlen=1024", qemu: rv64!(1024), kernels: RVV, scope: Scope::SlowKernels },
        Cpu { name: "rv64 without v", qemu: "rv64,v=false", kernels: &["scalar"], scope: Scope::Always },
    ],
};

/// Those that need a cross build and QEMU on any machine but their own.
pub(crate) const CROSS: [&Platform; 2] = [&AARCH64, &RISCV64];

/// The platform this program runs on, where it is one of ours.
pub(crate) fn host() -> Option<&'static Platform> {
    [&X86_64, &AARCH64, &RISCV64].into_iter().find(|platform| platform.arch == std::env::consts::ARCH)
}

impl Platform {
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
