//! Hyperbolic tangents, an instruction at a time: the compiler would begin them all at once, and run out of registers.
//! May import: `simd`, `math`.

use core::arch::aarch64::*;
use core::arch::asm;

use super::Neon;
use crate::math::COEFFICIENTS;
use crate::simd::{Simd, TANH, Tanh};

const _: () = assert!(TANH.len() == 5, "the assembly has as many steps");

/// What stays in registers. A value proves NEON.
#[derive(Clone, Copy)]
pub(super) struct Fractions {
    high: float32x4_t,
    low: float32x4_t,
    /// The coefficients of the highest power.
    last_p: float32x4_t,
    last_q: float32x4_t,
}

impl Fractions {
    #[inline(always)]
    pub(super) fn new(s: Neon) -> Self {
        let f = &COEFFICIENTS.tanh;
        let splat = |x| s.splat(x);
        Self { high: splat(f.limit), low: splat(-f.limit), last_p: splat(f.p[4]), last_q: splat(f.q[4]) }
    }
}

// A multiply-add overwrites what it adds to: a pair of coefficients is read anew each time.
impl Tanh<Neon> for Fractions {
    #[inline(always)]
    fn fraction(self, mut x: float32x4_t) -> (float32x4_t, float32x4_t) {
        let x_q: float32x4_t;
        // SAFETY: `self` proves the instructions; they read the table, whose pairs lie 32 bytes apart.
        unsafe {
            asm!(
                "fmin {x:v}.4s, {x:v}.4s, {high:v}.4s",
                "fmax {x:v}.4s, {x:v}.4s, {low:v}.4s",
                "fmul {xu:v}.4s, {x:v}.4s, {x:v}.4s",
                "ldp {xp:q}, {xq:q}, [{table}, #96]",
                "fmla {xp:v}.4s, {last_p:v}.4s, {xu:v}.4s",
                "fmla {xq:v}.4s, {last_q:v}.4s, {xu:v}.4s",
                "ldp {xr:q}, {xs:q}, [{table}, #64]",
                "fmla {xr:v}.4s, {xp:v}.4s, {xu:v}.4s",
                "fmla {xs:v}.4s, {xq:v}.4s, {xu:v}.4s",
                "ldp {xp:q}, {xq:q}, [{table}, #32]",
                "fmla {xp:v}.4s, {xr:v}.4s, {xu:v}.4s",
                "fmla {xq:v}.4s, {xs:v}.4s, {xu:v}.4s",
                "ldp {xr:q}, {xs:q}, [{table}, #0]",
                "fmla {xr:v}.4s, {xp:v}.4s, {xu:v}.4s",
                "fmla {xs:v}.4s, {xq:v}.4s, {xu:v}.4s",
                "fmul {x:v}.4s, {x:v}.4s, {xr:v}.4s",
                x = inout(vreg) x, xu = out(vreg) _,
                xp = out(vreg) _, xq = out(vreg) _, xr = out(vreg) _, xs = out(vreg) x_q,
                high = in(vreg) self.high, low = in(vreg) self.low, last_p = in(vreg) self.last_p, last_q = in(vreg) self.last_q,
                table = in(reg) TANH.as_ptr(),
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        (x, x_q)
    }

    #[inline(always)]
    fn two_fractions(self, mut x: float32x4_t, mut y: float32x4_t) -> [(float32x4_t, float32x4_t); 2] {
        let (x_q, y_q): (float32x4_t, float32x4_t);
        // SAFETY: as above.
        unsafe {
            asm!(
                "fmin {x:v}.4s, {x:v}.4s, {high:v}.4s",
                "fmin {y:v}.4s, {y:v}.4s, {high:v}.4s",
                "fmax {x:v}.4s, {x:v}.4s, {low:v}.4s",
                "fmax {y:v}.4s, {y:v}.4s, {low:v}.4s",
                "fmul {xu:v}.4s, {x:v}.4s, {x:v}.4s",
                "fmul {yu:v}.4s, {y:v}.4s, {y:v}.4s",
                "ldp {xp:q}, {xq:q}, [{table}, #96]",
                "ldp {yp:q}, {yq:q}, [{table}, #96]",
                "fmla {xp:v}.4s, {last_p:v}.4s, {xu:v}.4s",
                "fmla {xq:v}.4s, {last_q:v}.4s, {xu:v}.4s",
                "fmla {yp:v}.4s, {last_p:v}.4s, {yu:v}.4s",
                "fmla {yq:v}.4s, {last_q:v}.4s, {yu:v}.4s",
                "ldp {xr:q}, {xs:q}, [{table}, #64]",
                "ldp {yr:q}, {ys:q}, [{table}, #64]",
                "fmla {xr:v}.4s, {xp:v}.4s, {xu:v}.4s",
                "fmla {xs:v}.4s, {xq:v}.4s, {xu:v}.4s",
                "fmla {yr:v}.4s, {yp:v}.4s, {yu:v}.4s",
                "fmla {ys:v}.4s, {yq:v}.4s, {yu:v}.4s",
                "ldp {xp:q}, {xq:q}, [{table}, #32]",
                "ldp {yp:q}, {yq:q}, [{table}, #32]",
                "fmla {xp:v}.4s, {xr:v}.4s, {xu:v}.4s",
                "fmla {xq:v}.4s, {xs:v}.4s, {xu:v}.4s",
                "fmla {yp:v}.4s, {yr:v}.4s, {yu:v}.4s",
                "fmla {yq:v}.4s, {ys:v}.4s, {yu:v}.4s",
                "ldp {xr:q}, {xs:q}, [{table}, #0]",
                "ldp {yr:q}, {ys:q}, [{table}, #0]",
                "fmla {xr:v}.4s, {xp:v}.4s, {xu:v}.4s",
                "fmla {xs:v}.4s, {xq:v}.4s, {xu:v}.4s",
                "fmla {yr:v}.4s, {yp:v}.4s, {yu:v}.4s",
                "fmla {ys:v}.4s, {yq:v}.4s, {yu:v}.4s",
                "fmul {x:v}.4s, {x:v}.4s, {xr:v}.4s",
                "fmul {y:v}.4s, {y:v}.4s, {yr:v}.4s",
                x = inout(vreg) x, xu = out(vreg) _,
                y = inout(vreg) y, yu = out(vreg) _,
                xp = out(vreg) _, xq = out(vreg) _, xr = out(vreg) _, xs = out(vreg) x_q,
                yp = out(vreg) _, yq = out(vreg) _, yr = out(vreg) _, ys = out(vreg) y_q,
                high = in(vreg) self.high, low = in(vreg) self.low, last_p = in(vreg) self.last_p, last_q = in(vreg) self.last_q,
                table = in(reg) TANH.as_ptr(),
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        [(x, x_q), (y, y_q)]
    }
}
