//! The table of all kernels: it names, registers and dispatches them; tests and benches walk over it. Kernels over rows of f32
//! have one row an instruction set; products and recurrences one row a variant: a precision, and the instructions for it.
//! May import: the kernels' implementations and their argument types.

use far_format::cpu::Features;
use far_format::layout::Precision;

use crate::cpu;
use crate::elementwise::{AddF32, MapF32};
use crate::gemm::{Gemm, GemmCall};
use crate::isa::Isa;
use crate::layer_norm::LayerNormF32;
use crate::lstm::{Lstm, LstmCall};
#[cfg(target_arch = "aarch64")]
use crate::neon;
#[cfg(target_arch = "riscv64")]
use crate::rvv;
use crate::scalar;
use crate::softmax::SoftmaxF32;
#[cfg(target_arch = "x86_64")]
use crate::x86::{avx2, avx512, bf16, int8};

/// What is known of a variant of the product and the recurrence on every host.
#[derive(Debug)]
pub struct Variant {
    /// In what numbers it multiplies.
    pub precision: Precision,
    /// The set that it belongs to.
    pub isa: Isa,
    /// What it needs beyond the instructions of its set.
    pub needs: Features,
    /// Name of the matrix product.
    pub gemm: &'static str,
    /// Rows of its register tile.
    pub gemm_tile_rows: usize,
    /// Columns of its register tile.
    pub gemm_tile_cols: usize,
    /// Name of the LSTM recurrence.
    pub lstm: &'static str,
}

impl Variant {
    /// What a CPU must have to run it.
    pub const fn features(&self) -> Features {
        self.isa.features().with(self.needs)
    }
}

/// A variant's entry points.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) variant: &'static Variant,
    pub(crate) gemm: unsafe fn(&GemmCall),
    pub(crate) lstm: unsafe fn(&LstmCall),
}

macro_rules! variants {
    ($(
        $id:ident: $precision:ident $number:literal on $isa:ident $name:literal, needs [$($feature:ident)*],
        if $cfg:meta: $($module:ident)::+, gemm $rows:literal x $cols:literal;
    )*) => {
        /// The variants by name.
        pub(crate) mod variant {
            use super::{Features, Isa, Precision, Variant};
            $(
                #[allow(dead_code)] // those of other architectures
                pub(crate) const $id: &Variant = &Variant {
                    precision: Precision::$precision,
                    isa: Isa::$isa,
                    needs: Features::NONE$(.with(Features::$feature))*,
                    gemm: concat!("gemm_", $number, "_", $rows, "x", $cols, "_", $name),
                    gemm_tile_rows: $rows,
                    gemm_tile_cols: $cols,
                    lstm: concat!("lstm_", $number, "_", $name),
                };
            )*
        }

        impl Variant {
            /// Those of all architectures, for each precision best first, scalar last.
            pub const ALL: &[&'static Variant] = &[$(variant::$id),*];
        }

        /// The variants of this architecture, in the same order.
        static VARIANTS: &[Entry] = &[$(
            #[cfg($cfg)]
            Entry { variant: variant::$id, gemm: $($module)::+::gemm, lstm: $($module)::+::lstm },
        )*];
    };
}

// Each row: precision as in names, set, name, features beyond the set's, the targets it is compiled for, the module of its
// `gemm` and `lstm`, the tile of its product.
variants! {
    F32_AVX512: F32 "f32" on Avx512 "avx512", needs [], if target_arch = "x86_64": avx512, gemm 14 x 32;
    F32_AVX2: F32 "f32" on Avx2 "avx2", needs [], if target_arch = "x86_64": avx2, gemm 6 x 16;
    F32_NEON: F32 "f32" on Neon "neon", needs [], if target_arch = "aarch64": neon, gemm 6 x 16;
    F32_RVV: F32 "f32" on Rvv "rvv", needs [], if target_arch = "riscv64": rvv, gemm 14 x 16;
    F32_SCALAR: F32 "f32" on Scalar "scalar", needs [], if all(): scalar::single, gemm 2 x 8;

    F16_AVX512: F16 "f16" on Avx512 "avx512", needs [], if target_arch = "x86_64": avx512::f16, gemm 14 x 32;
    F16_AVX2: F16 "f16" on Avx2 "avx2", needs [F16C], if target_arch = "x86_64": avx2::f16, gemm 6 x 16;
    F16_NEON: F16 "f16" on Neon "neon", needs [], if target_arch = "aarch64": neon::f16, gemm 6 x 16;
    F16_RVV: F16 "f16" on Rvv "rvv", needs [], if target_arch = "riscv64": rvv::f16, gemm 14 x 16;
    F16_SCALAR: F16 "f16" on Scalar "scalar", needs [], if all(): scalar::halves::f16, gemm 2 x 8;

    BF16_AVX512: Bf16 "bf16" on Avx512 "avx512bf16", needs [AVX512VL AVX512_BF16], if target_arch = "x86_64": bf16, gemm 14 x 32;
    BF16_SCALAR: Bf16 "bf16" on Scalar "scalar", needs [], if all(): scalar::halves::bf16, gemm 1 x 1;

    I8_AVX512VNNI: Int8 "i8" on Avx512 "avx512vnni", needs [AVX512BW AVX512VL AVX512_VNNI],
        if target_arch = "x86_64": int8::avx512vnni, gemm 14 x 32;
    I8_AVXVNNI: Int8 "i8" on Avx2 "avxvnni", needs [AVX_VNNI],
        if target_arch = "x86_64": int8::avxvnni, gemm 6 x 16;
    I8_AVX2: Int8 "i8" on Avx2 "avx2", needs [], if target_arch = "x86_64": int8::avx2, gemm 4 x 16;
    I8_RVV: Int8 "i8" on Rvv "rvv", needs [], if target_arch = "riscv64": rvv::int8, gemm 5 x 16;
    I8_I8MM: Int8 "i8" on Neon "i8mm", needs [DOTPROD I8MM],
        if target_arch = "aarch64": neon::i8mm, gemm 6 x 16;
    I8_DOTPROD: Int8 "i8" on Neon "dotprod", needs [DOTPROD],
        if target_arch = "aarch64": neon::int8::dotprod, gemm 6 x 16;
    I8_NEON: Int8 "i8" on Neon "neon", needs [], if target_arch = "aarch64": neon::int8::long, gemm 2 x 16;
    I8_SCALAR: Int8 "i8" on Scalar "scalar", needs [], if all(): scalar::int8, gemm 1 x 16;

    F16_ARITH_NEON: F16Arith "f16arith" on Neon "fp16", needs [FP16], if target_arch = "aarch64": neon::fp16, gemm 8 x 16;
    F16_ARITH_RVV: F16Arith "f16arith" on Rvv "zvfh", needs [ZVFH], if target_arch = "riscv64": rvv::f16_arith, gemm 10 x 16;
    F16_ARITH_SCALAR: F16Arith "f16arith" on Scalar "scalar", needs [], if all(): scalar::halves::f16_arith, gemm 1 x 1;
}

/// The kernels over rows of one instruction set.
#[derive(Debug)]
struct Set {
    isa: Isa,
    layer_norm: LayerNormF32,
    softmax: SoftmaxF32,
    map: MapF32,
    add: AddF32,
}

macro_rules! sets {
    ($($isa:ident $name:literal if $cfg:meta: $module:ident;)*) => {
        /// The sets of this architecture, best first, scalar last.
        static SETS: &[Set] = &[$(
            #[cfg($cfg)]
            Set {
                isa: Isa::$isa,
                layer_norm: LayerNormF32 { name: concat!("layer_norm_f32_", $name), entry: $module::layer_norm },
                softmax: SoftmaxF32 { name: concat!("softmax_f32_", $name), entry: $module::softmax },
                map: MapF32 { name: concat!("map_f32_", $name), entry: $module::map },
                add: AddF32 { name: concat!("add_f32_", $name), entry: $module::add },
            },
        )*];
    };
}

// Each row: instruction set, its name, the targets it is compiled for, the module of its four functions.
sets! {
    Avx512 "avx512" if target_arch = "x86_64": avx512;
    Avx2 "avx2" if target_arch = "x86_64": avx2;
    Neon "neon" if target_arch = "aarch64": neon;
    Rvv "rvv" if target_arch = "riscv64": rvv;
    Scalar "scalar" if all(): scalar;
}

/// A full set of kernels of one instruction set. Holding it proves that this CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    set: &'static Set,
    /// Of this CPU.
    features: Features,
}

impl Kernels {
    /// The sets that this CPU runs, best first; the last is scalar.
    pub fn available() -> impl Iterator<Item = Kernels> {
        let features = cpu::detect();
        let runs = move |set: &&'static Set| features.contains(set.isa.features());
        SETS.iter().filter(runs).map(move |set| Kernels { set, features })
    }

    /// The best set that this CPU runs.
    pub fn best() -> Kernels {
        Self::available().next().expect("scalar kernels run everywhere")
    }

    /// The set of that instruction set, if this CPU runs it.
    pub fn of(isa: Isa) -> Option<Kernels> {
        Self::available().find(|k| k.isa() == isa)
    }

    /// Its instruction set.
    pub fn isa(self) -> Isa {
        self.set.isa
    }
    /// The best matrix product in that precision whose instructions are of this set or a lesser one.
    pub fn gemm(self, precision: Precision) -> Gemm {
        Gemm(self.entry(precision))
    }
    /// The best LSTM recurrence in that precision whose instructions are of this set or a lesser one.
    pub fn lstm(self, precision: Precision) -> Lstm {
        Lstm(self.entry(precision))
    }
    /// Layer normalisation.
    pub fn layer_norm(self) -> LayerNormF32 {
        self.set.layer_norm
    }
    /// Softmax over rows.
    pub fn softmax(self) -> SoftmaxF32 {
        self.set.softmax
    }
    /// Element-wise function.
    pub fn map(self) -> MapF32 {
        self.set.map
    }
    /// Sum of two matrices.
    pub fn add(self) -> AddF32 {
        self.set.add
    }

    fn entry(self, precision: Precision) -> &'static Entry {
        let mut fit = available(self.features).filter(|entry| {
            entry.variant.precision == precision && rank(entry.variant.isa) >= rank(self.set.isa)
        });
        fit.next().expect("a scalar variant exists in every precision")
    }
}

/// The place of an instruction set among those of this architecture, best first.
fn rank(isa: Isa) -> usize {
    SETS.iter().position(|set| set.isa == isa).expect("variants belong to sets of this architecture")
}

/// The variants that a CPU of such features runs.
fn available(features: Features) -> impl Iterator<Item = &'static Entry> {
    VARIANTS.iter().filter(move |entry| features.contains(entry.variant.features()))
}

impl Gemm {
    /// All that this CPU runs, for each precision best first, scalar last.
    pub fn available() -> impl Iterator<Item = Gemm> {
        available(cpu::detect()).map(Gemm)
    }
}

impl Lstm {
    /// All that this CPU runs, for each precision best first, scalar last.
    pub fn available() -> impl Iterator<Item = Lstm> {
        available(cpu::detect()).map(Lstm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_every_precision() {
        for kernels in Kernels::available() {
            for precision in Precision::ALL {
                assert_eq!(kernels.gemm(precision).precision(), precision);
                assert_eq!(kernels.lstm(precision).precision(), precision);
            }
            assert_eq!(kernels.gemm(Precision::F32).variant().isa, kernels.isa());
        }
    }

    #[test]
    fn a_limit_to_a_lesser_set_holds_for_variants() {
        let scalar = Kernels::of(Isa::Scalar).expect("scalar kernels run everywhere");
        for precision in Precision::ALL {
            assert_eq!(scalar.gemm(precision).variant().isa, Isa::Scalar);
        }
    }

    #[test]
    fn names_are_apart() {
        for (i, a) in Variant::ALL.iter().enumerate() {
            assert!(Variant::ALL[..i].iter().all(|b| a.gemm != b.gemm && a.lstm != b.lstm), "{}", a.gemm);
        }
    }
}
