//! The coefficients of tanh, exp and the normal distribution: one table for every instruction set, C included.
//! May import: nothing of ours. `tools/fit.py` derives them.
//!
//! Errors are in units in the last place of the result, the largest over all floats; the slow tests measure them.
//!
//! A clamp to a limit is `if x > limit { limit } else { x }` (and its mirror image): a NaN stays what it is.

/// `f(x) = x · P(x²) / Q(x²)` for an odd `f` that is constant beyond `limit`. `N` coefficients each, lowest power first.
///
/// x is clamped to ±`limit`; u = x·x; P and Q by Horner's rule with fused multiply-adds; then (x·P) / Q. At the limit
/// the result is exactly the saturated value, and nowhere does it exceed it.
#[repr(C)]
pub(crate) struct OddRational<const N: usize> {
    pub(crate) limit: f32,
    pub(crate) p: [f32; N],
    pub(crate) q: [f32; N],
}

/// `exp(x) = 2ⁿ · e^r` with n = round(x·log₂e) and r = x − n·ln 2.
///
/// x is clamped to `low ..= high`; n = fma(x, log₂e, `round`) − `round`, which rounds to an integer, ties to even;
/// r = fma(n, −`ln2_hi`, x), then r = fma(n, −`ln2_lo`, r); e^r ≈ 1 + r + r²·P(r), by Horner's rule with fused
/// multiply-adds down to the 1; times 2ⁿ, rounded once.
#[repr(C)]
pub(crate) struct Exp {
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) log2e: f32,
    pub(crate) round: f32,
    pub(crate) neg_ln2_hi: f32,
    pub(crate) neg_ln2_lo: f32,
    pub(crate) p: [f32; 5],
}

/// `gelu_tanh(x) = fma(½x, tanh(x · fma(x·x, cubic, linear)), ½x)`.
#[repr(C)]
pub(crate) struct GeluTanh {
    pub(crate) linear: f32,
    pub(crate) cubic: f32,
}

/// `gelu_short(x) = fma(b, S(b), max(x, 0))` with b = min(|x|, `limit`), since x·Φ(x) = max(x, 0) − |x|·Φ(−|x|). S by Horner's rule
/// with fused multiply-adds. A NaN stays a NaN; beyond the limit the rest is within 1e-6.
#[repr(C)]
pub(crate) struct GeluShort {
    pub(crate) limit: f32,
    /// −Φ(−b), lowest power first.
    pub(crate) s: [f32; 7],
}

/// All of them. Shared with C: see `rvv/far_rvv.h`.
#[repr(C)]
pub(crate) struct Coefficients {
    /// tanh, within 4.9 ULP.
    pub(crate) tanh: OddRational<5>,
    /// ½·erf(x/√2) = Φ(x) − ½, within 5.5 ULP; `gelu(x) = x · (½ + half_erf(x))`.
    pub(crate) half_erf: OddRational<6>,
    /// exp, within 1 ULP where the result is a normal number.
    pub(crate) exp: Exp,
    /// √(2/π) and √(2/π)·0.044715.
    pub(crate) gelu_tanh: GeluTanh,
    /// GELU within 2.2e-4 and 8.6e-4·|x|.
    pub(crate) gelu_short: GeluShort,
}

pub(crate) const COEFFICIENTS: Coefficients = Coefficients {
    tanh: OddRational {
        limit: 8.059909,
        p: [1.0, 0.13425869, 0.0035491663, 2.1508451e-05, 1.4648137e-08],
        q: [1.0, 0.46759197, 0.026079938, 0.00033739462, 8.295074e-07],
    },
    half_erf: OddRational {
        limit: 5.144018,
        p: [0.39894223, 0.033029407, 0.0046289675, 0.00016069545, 6.323727e-06, 2.3591031e-08],
        q: [1.0, 0.24945891, 0.028180122, 0.001838657, 7.1173105e-05, 1.2198246e-06],
    },
    exp: Exp {
        low: -104.0,
        high: 89.0,
        log2e: core::f32::consts::LOG2_E,
        round: 12582912.0, // 1.5 · 2²³: the ULP is 1 from here on
        neg_ln2_hi: -core::f32::consts::LN_2,
        neg_ln2_lo: 1.9046543e-9,
        p: [0.5, 0.16666576, 0.041666552, 0.008363233, 0.001392625],
    },
    gelu_tanh: GeluTanh { linear: 0.797_884_6, cubic: 0.035677407 },
    gelu_short: GeluShort {
        limit: 3.9,
        s: [-0.49957734, 0.38812, 0.045882534, -0.14174826, 0.058129042, -0.0100156795, 0.00064942415],
    },
};
