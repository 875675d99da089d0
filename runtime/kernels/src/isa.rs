//! The instruction sets that have kernels of their own. Known on every host, whatever it can run.
//! May import: `far_format::cpu`.

use core::fmt;
use core::str::FromStr;

use far_format::cpu::{Arch, Features};

/// An instruction set that has a full set of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, on every architecture.
    Scalar,
    /// x86-64 with AVX2 and FMA: 256-bit vectors.
    Avx2,
    /// x86-64 with AVX-512F: 512-bit vectors.
    Avx512,
    /// AArch64 Advanced SIMD: 128-bit vectors.
    Neon,
    /// RISC-V Vector 1.0, VLEN of 128 or more.
    Rvv,
}

impl Isa {
    /// All of them.
    pub const ALL: [Isa; 5] = [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon, Isa::Rvv];

    /// Those of this machine's architecture, whether or not its CPU has them, from the least to the best.
    pub fn of_host() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.arch().is_none_or(|arch| Arch::HOST == Some(arch)))
    }

    /// As it stands at the end of a kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
            Isa::Rvv => "rvv",
        }
    }

    /// The architecture it belongs to; `None` for all of them.
    pub const fn arch(self) -> Option<Arch> {
        match self {
            Isa::Scalar => None,
            Isa::Avx2 | Isa::Avx512 => Some(Arch::X86_64),
            Isa::Neon => Some(Arch::Aarch64),
            Isa::Rvv => Some(Arch::Riscv64),
        }
    }

    /// What a CPU must have to run it.
    pub const fn features(self) -> Features {
        match self {
            Isa::Scalar => Features::NONE,
            Isa::Avx2 => Features::AVX2.with(Features::FMA),
            Isa::Avx512 => Features::AVX512F.with(Features::AVX2).with(Features::FMA),
            Isa::Neon => Features::NEON,
            Isa::Rvv => Features::V,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No instruction set has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownIsa;

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown instruction set: expected one of")?;
        for (i, isa) in Isa::ALL.into_iter().enumerate() {
            write!(f, "{} `{isa}`", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownIsa {}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or(UnknownIsa)
    }
}
