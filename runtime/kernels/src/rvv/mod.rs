//! RISC-V Vector 1.0, VLEN of 128 or more: C intrinsics, compiled by `build.rs` for each size of register groups.
//! May import: the argument types, `math`, `cpu`, `half`, `widen`, `far_format::layout`.
//!
//! A panel has 16 lanes. They take four registers where VLEN is 128 bits, two where it is 256, and one where it is 512
//! or more, so each kernel exists three times, from one source; the CPU's VLEN picks. The matrix product is named after
//! its tile at 256 bits, 14 rows of one panel; at 128 bits that is two tiles of 7 rows, from 512 on half of one tile.
//!
//! Int8 needs nothing but V. Half precision is widened without more than V; arithmetic in it needs Zvfh, for which its files are
//! compiled.

use core::mem::size_of;

use far_format::layout::{INT8_BLOCK, PANEL, Precision};

use crate::cpu;
use crate::elementwise::{AddCall, MapCall};
use crate::gemm::GemmCall;
use crate::half::{RUN, RUNS};
use crate::layer_norm::LayerNormCall;
use crate::lstm::LstmCall;
use crate::math::{COEFFICIENTS, Coefficients};
use crate::softmax::SoftmaxCall;
use crate::widen::{self, widened};

static SHARED: Coefficients = COEFFICIENTS;

// `far_rvv.h` asserts the same sizes.
const _: () = {
    assert!(size_of::<GemmCall>() == 96);
    assert!(size_of::<LstmCall>() == 72);
    assert!(size_of::<LayerNormCall>() == 72);
    assert!(size_of::<SoftmaxCall>() == 40);
    assert!(size_of::<MapCall>() == 56);
    assert!(size_of::<AddCall>() == 64);
    assert!(size_of::<Coefficients>() == 4 * 45);
};

/// Declares the three C functions of a kernel and the one that picks among them.
macro_rules! kernels {
    ($($name:ident($call:ty $(, $coefficients:ident)?) = $m4:ident, $m2:ident, $m1:ident;)*) => {
        unsafe extern "C" {
            $(
                fn $m4(call: &$call $(, $coefficients: &Coefficients)?);
                fn $m2(call: &$call $(, $coefficients: &Coefficients)?);
                fn $m1(call: &$call $(, $coefficients: &Coefficients)?);
            )*
        }
        $(
            /// # Safety
            #[doc = concat!("The promises of [`", stringify!($call), "`], and the CPU has V 1.0.")]
            pub(crate) unsafe fn $name(call: &$call) {
                $(let $coefficients = &SHARED;)?
                // SAFETY: the caller promises what `call` says and that the CPU has V; a group of that many registers
                // holds 16 lanes at that VLEN.
                unsafe {
                    match cpu::riscv_vector_bytes() {
                        16 => $m4(call $(, $coefficients)?),
                        32 => $m2(call $(, $coefficients)?),
                        _ => $m1(call $(, $coefficients)?),
                    }
                }
            }
        )*
    };
}

kernels! {
    gemm(GemmCall, coefficients) = far_rvv_gemm_m4, far_rvv_gemm_m2, far_rvv_gemm_m1;
    lstm(LstmCall, coefficients) = far_rvv_lstm_m4, far_rvv_lstm_m2, far_rvv_lstm_m1;
    layer_norm(LayerNormCall) = far_rvv_layer_norm_m4, far_rvv_layer_norm_m2, far_rvv_layer_norm_m1;
    softmax(SoftmaxCall, coefficients) = far_rvv_softmax_m4, far_rvv_softmax_m2, far_rvv_softmax_m1;
    map(MapCall, coefficients) = far_rvv_map_m4, far_rvv_map_m2, far_rvv_map_m1;
    add(AddCall) = far_rvv_add_m4, far_rvv_add_m2, far_rvv_add_m1;
    gemm_i8(GemmCall, coefficients) = far_rvv_gemm_i8_m4, far_rvv_gemm_i8_m2, far_rvv_gemm_i8_m1;
    lstm_i8(LstmCall, coefficients) = far_rvv_lstm_i8_m4, far_rvv_lstm_i8_m2, far_rvv_lstm_i8_m1;
    // These two need Zvfh as well.
    gemm_f16(GemmCall, coefficients) = far_rvv_gemm_f16_m4, far_rvv_gemm_f16_m2, far_rvv_gemm_f16_m1;
    lstm_f16(LstmCall, coefficients) = far_rvv_lstm_f16_m4, far_rvv_lstm_f16_m2, far_rvv_lstm_f16_m1;
}

widened!(super::gemm, super::lstm, tile of 2 * super::PANEL, by super::widen_row);

unsafe extern "C" {
    fn far_rvv_widen(from: *const u16, n: usize, to: *mut f32);
}

/// # Safety
/// As [`Widen`](crate::widen::Widen), of V 1.0.
unsafe fn widen_row(from: *const u16, n: usize, to: *mut f32) {
    // SAFETY: as the caller promises.
    unsafe { far_rvv_widen(from, n, to) }
}

/// Int8.
pub(crate) mod int8 {
    pub(crate) use super::{gemm_i8 as gemm, lstm_i8 as lstm};
}

/// Arithmetic in half precision. The CPU has Zvfh.
pub(crate) mod f16_arith {
    pub(crate) use super::{gemm_f16 as gemm, lstm_f16 as lstm};
}

// `half.h` has the same.
const _: () = assert!(RUN == 32 && RUNS == 4 * RUN);

/// Words of scratch that the product in that precision takes for `m` rows of `k`.
pub(crate) fn scratch_len(precision: Precision, m: usize, k: usize) -> usize {
    let blocks = k.div_ceil(INT8_BLOCK);
    match precision {
        Precision::F32 | Precision::Bf16 => 0,
        Precision::F16 => widen::scratch_len(k),
        // As gemm_i8.c divides it: scales of rows, norms of tiles of 5 rows and their limits, 4 panels, the tiles and one block more,
        // the lengths of runs; and what it takes to begin at a whole block.
        Precision::Int8 => {
            let tiles = m.div_ceil(5);
            let rows = blocks.saturating_mul(tiles).saturating_add(1).saturating_mul(5 * INT8_BLOCK / 4);
            let norms = tiles.saturating_add(1).saturating_mul(blocks).saturating_mul(3);
            let panels = blocks.saturating_mul(4 * PANEL * INT8_BLOCK / 4);
            let rest = m.div_ceil(16) * 16 + blocks / 4 + 1 + INT8_BLOCK / 4;
            rows.saturating_add(norms).saturating_add(panels).saturating_add(rest)
        }
        // As gemm_f16.c divides it: 2 panels, tiles of 10 rows and one block more, in words of two halves.
        Precision::F16Arith => {
            let rows =
                blocks.saturating_mul(m.div_ceil(10)).saturating_add(1).saturating_mul(10 * INT8_BLOCK / 2);
            k.div_ceil(2).saturating_mul(2 * PANEL).saturating_add(rows)
        }
    }
}

/// Words of an int8 recurrence's state behind c: norms, their limits, h in whole blocks, the lengths of runs, what it takes to begin at
/// a whole block, and what is loaded behind the last one.
pub(crate) fn hidden_len(hidden: usize) -> usize {
    let blocks = hidden.div_ceil(INT8_BLOCK);
    blocks * (3 + 3 + INT8_BLOCK / 4) + blocks / 4 + 1 + INT8_BLOCK / 4 + 2
}
