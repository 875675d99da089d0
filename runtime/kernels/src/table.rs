//! The table of all kernels, one row an instruction set: it names, registers and dispatches them; tests and benches
//! walk over it. May import: the kernels' implementations and their argument types.

use crate::cpu;
use crate::elementwise::{AddF32, MapF32};
use crate::gemm::GemmF32;
use crate::isa::Isa;
use crate::layer_norm::LayerNormF32;
use crate::lstm::LstmF32;
#[cfg(target_arch = "aarch64")]
use crate::neon;
#[cfg(target_arch = "riscv64")]
use crate::rvv;
use crate::scalar;
use crate::softmax::SoftmaxF32;
#[cfg(target_arch = "x86_64")]
use crate::x86::{avx2, avx512};

/// What is known of a set of kernels on every host.
#[derive(Debug)]
pub struct Descriptor {
    /// The instruction set.
    pub isa: Isa,
    /// Name of the matrix product.
    pub gemm: &'static str,
    /// Rows of its register tile.
    pub gemm_tile_rows: usize,
    /// Columns of its register tile.
    pub gemm_tile_cols: usize,
    /// Name of the LSTM recurrence.
    pub lstm: &'static str,
    /// Name of the layer normalisation.
    pub layer_norm: &'static str,
    /// Name of the softmax.
    pub softmax: &'static str,
    /// Name of the element-wise function.
    pub map: &'static str,
    /// Name of the sum.
    pub add: &'static str,
}

/// A set's descriptor and entry points.
#[derive(Debug)]
struct Set {
    gemm: GemmF32,
    lstm: LstmF32,
    layer_norm: LayerNormF32,
    softmax: SoftmaxF32,
    map: MapF32,
    add: AddF32,
}

macro_rules! kernel_table {
    ($($isa:ident $name:literal if $cfg:meta: $module:ident, gemm $rows:literal x $cols:literal;)*) => {
        impl Isa {
            /// The names of its kernels.
            pub const fn descriptor(self) -> &'static Descriptor {
                match self {
                    $(Isa::$isa => &Descriptor {
                        isa: Isa::$isa,
                        gemm: concat!("gemm_f32_", $rows, "x", $cols, "_", $name),
                        gemm_tile_rows: $rows,
                        gemm_tile_cols: $cols,
                        lstm: concat!("lstm_f32_", $name),
                        layer_norm: concat!("layer_norm_f32_", $name),
                        softmax: concat!("softmax_f32_", $name),
                        map: concat!("map_f32_", $name),
                        add: concat!("add_f32_", $name),
                    },)*
                }
            }
        }

        /// The sets of this architecture, best first, scalar last.
        static SETS: &[Set] = &[$(
            #[cfg($cfg)]
            {
                const DESCRIPTOR: &Descriptor = Isa::$isa.descriptor();
                Set {
                    gemm: GemmF32 { descriptor: DESCRIPTOR, entry: $module::gemm },
                    lstm: LstmF32 { descriptor: DESCRIPTOR, entry: $module::lstm },
                    layer_norm: LayerNormF32 { descriptor: DESCRIPTOR, entry: $module::layer_norm },
                    softmax: SoftmaxF32 { descriptor: DESCRIPTOR, entry: $module::softmax },
                    map: MapF32 { descriptor: DESCRIPTOR, entry: $module::map },
                    add: AddF32 { descriptor: DESCRIPTOR, entry: $module::add },
                }
            },
        )*];
    };
}

// Each row: instruction set, its name, the targets it is compiled for, the module of its six functions, its GEMM tile.
kernel_table! {
    Avx512 "avx512" if target_arch = "x86_64": avx512, gemm 14 x 32;
    Avx2 "avx2" if target_arch = "x86_64": avx2, gemm 6 x 16;
    Neon "neon" if target_arch = "aarch64": neon, gemm 6 x 16;
    Rvv "rvv" if target_arch = "riscv64": rvv, gemm 14 x 16;
    Scalar "scalar" if all(): scalar, gemm 2 x 8;
}

/// A full set of kernels of one instruction set. Holding it proves that this CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(&'static Set);

impl Kernels {
    /// The sets that this CPU runs, best first; the last is scalar.
    pub fn available() -> impl Iterator<Item = Kernels> {
        let features = cpu::detect();
        SETS.iter().map(Kernels).filter(move |k| features.contains(k.isa().features()))
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
        self.0.gemm.descriptor.isa
    }
    /// Matrix product.
    pub fn gemm(self) -> GemmF32 {
        self.0.gemm
    }
    /// LSTM recurrence.
    pub fn lstm(self) -> LstmF32 {
        self.0.lstm
    }
    /// Layer normalisation.
    pub fn layer_norm(self) -> LayerNormF32 {
        self.0.layer_norm
    }
    /// Softmax over rows.
    pub fn softmax(self) -> SoftmaxF32 {
        self.0.softmax
    }
    /// Element-wise function.
    pub fn map(self) -> MapF32 {
        self.0.map
    }
    /// Sum of two matrices.
    pub fn add(self) -> AddF32 {
        self.0.add
    }
}
