//! Architectures and CPU features: the one list that compiler, artifact and runtime share.
//! May import: nothing of ours.

use core::fmt;

/// An instruction set architecture, 64-bit little-endian Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Arch {
    /// AMD64.
    X86_64 = 1,
    /// Arm, AArch64 state; NEON is always there.
    Aarch64 = 2,
    /// RV64GC.
    Riscv64 = 3,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 3] = [Arch::X86_64, Arch::Aarch64, Arch::Riscv64];

    /// The architecture that this code was compiled for; `None` where libfar has no kernels.
    pub const HOST: Option<Arch> = if cfg!(target_arch = "x86_64") {
        Some(Arch::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Arch::Aarch64)
    } else if cfg!(target_arch = "riscv64") {
        Some(Arch::Riscv64)
    } else {
        None
    };

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Riscv64 => "riscv64",
        }
    }

    /// From its number in an artifact.
    pub fn from_u16(n: u16) -> Option<Arch> {
        Arch::ALL.into_iter().find(|a| *a as u16 == n)
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|a| a.name() == name)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of CPU features. Bits are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features(pub u64);

macro_rules! features {
    ($($constant:ident = $bit:literal, $arch:ident, $name:literal, $doc:literal;)*) => {
        impl Features {
            $(#[doc = $doc] pub const $constant: Features = Features(1 << $bit);)*

            /// Every known feature: itself, its architecture, its name.
            pub const ALL: &'static [(Features, Arch, &'static str)] =
                &[$((Features::$constant, Arch::$arch, $name)),*];
        }
    };
}

features! {
    AVX2 = 0, X86_64, "avx2", "256-bit integer and float vectors.";
    FMA = 1, X86_64, "fma", "Fused multiply-add.";
    AVX512F = 2, X86_64, "avx512f", "512-bit vectors.";
    AVX512BW = 3, X86_64, "avx512bw", "512-bit vectors of bytes and words.";
    AVX512VL = 4, X86_64, "avx512vl", "AVX-512 at 128 and 256 bits.";
    AVX512DQ = 5, X86_64, "avx512dq", "512-bit vectors of double words and quad words.";
    AVX512_VNNI = 6, X86_64, "avx512vnni", "Int8 dot products, 512-bit.";
    AVX512_BF16 = 7, X86_64, "avx512bf16", "bfloat16 dot products, 512-bit.";
    AVX_VNNI = 8, X86_64, "avxvnni", "Int8 dot products, 256-bit.";
    F16C = 9, X86_64, "f16c", "Conversion of half precision.";
    NEON = 16, Aarch64, "neon", "Advanced SIMD.";
    DOTPROD = 17, Aarch64, "dotprod", "Int8 dot products.";
    FP16 = 18, Aarch64, "fp16", "Half-precision arithmetic.";
    I8MM = 19, Aarch64, "i8mm", "Int8 matrix products.";
    BF16 = 20, Aarch64, "bf16", "bfloat16 dot products.";
    V = 32, Riscv64, "v", "Vector extension 1.0, VLEN of 128 or more.";
    ZVFH = 33, Riscv64, "zvfh", "Half-precision vectors.";
}

impl Features {
    /// No feature.
    pub const NONE: Features = Features(0);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// Whether all of `other` is here.
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// What of this set `other` lacks.
    #[must_use]
    pub const fn missing_from(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The feature of that name and architecture.
    pub fn from_name(arch: Arch, name: &str) -> Option<Features> {
        Self::ALL.iter().find(|(_, a, n)| *a == arch && *n == name).map(|(f, _, _)| *f)
    }

    /// Names of the known features in this set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(f, _, _)| self.contains(*f)).map(|(_, _, n)| *n)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut left = *self;
        let mut separator = "";
        for (feature, _, name) in Self::ALL {
            if self.contains(*feature) {
                write!(f, "{separator}{name}")?;
                separator = "+";
                left = left.missing_from(*feature);
            }
        }
        if !left.is_empty() {
            write!(f, "{separator}unknown({:#x})", left.0)?;
        }
        Ok(())
    }
}
