/*
 * tanh, exp, the normal distribution and the activations: operation by operation what scalar/math.rs does.
 * vl is the number of lanes, at most PANEL.
 */
#ifndef FAR_RVV_FUNCTIONS_H
#define FAR_RVV_FUNCTIONS_H

#include "far_rvv.h"

/* if x > limit { limit } else { x }: not vfmin, because a NaN must stay. */
static inline vf32 clamp_above(vf32 x, float limit, size_t vl) {
    return __riscv_vfmerge(x, limit, __riscv_vmfgt(x, limit, vl), vl);
}

/* if x < limit { limit } else { x } */
static inline vf32 clamp_below(vf32 x, float limit, size_t vl) {
    return __riscv_vfmerge(x, limit, __riscv_vmflt(x, limit, vl), vl);
}

/* Horner's rule, lowest power first; `n` is a constant wherever this is inlined. */
static inline vf32 polynomial(vf32 x, const float *c, size_t n, size_t vl) {
    /* The highest coefficient times x needs no vector of its own. */
    vf32 sum = __riscv_vfmacc(vf32_splat(c[n - 2], vl), c[n - 1], x, vl);
    for (size_t i = n - 2; i-- > 0;) sum = __riscv_vfmadd(sum, x, vf32_splat(c[i], vl), vl);
    return sum;
}

/* The numerator; *denominator becomes the other part. */
static inline vf32 odd_fraction(vf32 x, float limit, const float *p, const float *q, size_t n, vf32 *denominator,
                                size_t vl) {
    x = clamp_below(clamp_above(x, limit, vl), -limit, vl);
    vf32 u = __riscv_vfmul(x, x, vl);
    *denominator = polynomial(u, q, n, vl);
    return __riscv_vfmul(x, polynomial(u, p, n, vl), vl);
}

static inline vf32 odd_rational(vf32 x, float limit, const float *p, const float *q, size_t n, size_t vl) {
    vf32 denominator;
    vf32 numerator = odd_fraction(x, limit, p, q, n, &denominator, vl);
    return __riscv_vfdiv(numerator, denominator, vl);
}

static inline vf32 vf32_tanh_fraction(vf32 x, const struct coefficients *c, vf32 *denominator, size_t vl) {
    return odd_fraction(x, c->tanh.limit, c->tanh.p, c->tanh.q, 5, denominator, vl);
}

static inline vf32 vf32_tanh(vf32 x, const struct coefficients *c, size_t vl) {
    return odd_rational(x, c->tanh.limit, c->tanh.p, c->tanh.q, 5, vl);
}

/* erf(x/sqrt(2)) / 2 */
static inline vf32 vf32_half_erf(vf32 x, const struct coefficients *c, size_t vl) {
    return odd_rational(x, c->half_erf.limit, c->half_erf.p, c->half_erf.q, 6, vl);
}

/* 2^n for a normal result. */
static inline vf32 vf32_pow2(vi32 n, size_t vl) {
    return vf32_from_bits(__riscv_vsll(__riscv_vadd(n, 127, vl), 23, vl));
}

static inline vf32 vf32_exp(vf32 x, const struct coefficients *c, size_t vl) {
    x = clamp_below(clamp_above(x, c->exp.high, vl), c->exp.low, vl);
    vf32 n = __riscv_vfmacc(vf32_splat(c->exp.round, vl), c->exp.log2e, x, vl);
    n = __riscv_vfsub(n, c->exp.round, vl);
    vf32 r = __riscv_vfmacc(x, c->exp.neg_ln2_hi, n, vl);
    r = __riscv_vfmacc(r, c->exp.neg_ln2_lo, n, vl);
    vf32 one = vf32_splat(1.0f, vl);
    vf32 y = polynomial(r, c->exp.p, 5, vl);
    y = __riscv_vfmadd(y, r, one, vl);
    y = __riscv_vfmadd(y, r, one, vl);
    vi32 whole = __riscv_vfcvt_rtz_x(n, vl);
    vi32 half = __riscv_vsra(whole, 1, vl);
    y = __riscv_vfmul(y, vf32_pow2(half, vl), vl);
    return __riscv_vfmul(y, vf32_pow2(__riscv_vsub(whole, half, vl), vl), vl);
}

static inline vf32 vf32_gelu(vf32 x, const struct coefficients *c, size_t vl) {
    return __riscv_vfmul(x, __riscv_vfadd(vf32_half_erf(x, c, vl), 0.5f, vl), vl);
}

static inline vf32 vf32_gelu_tanh(vf32 x, const struct coefficients *c, size_t vl) {
    vf32 half = __riscv_vfmul(x, 0.5f, vl);
    vf32 inner = __riscv_vfmul(x, x, vl);
    inner = __riscv_vfmacc(vf32_splat(c->gelu_tanh.linear, vl), c->gelu_tanh.cubic, inner, vl);
    vf32 t = vf32_tanh(__riscv_vfmul(x, inner, vl), c, vl);
    return __riscv_vfmadd(t, half, half, vl);
}

static inline vf32 vf32_gelu_short(vf32 x, const struct coefficients *c, size_t vl) {
    vf32 b = clamp_above(__riscv_vfabs(x, vl), c->gelu_short.limit, vl);
    return __riscv_vfmadd(polynomial(b, c->gelu_short.s, 7, vl), b, clamp_below(x, 0.0f, vl), vl);
}

static inline vf32 vf32_activate(uint8_t act, vf32 x, const struct coefficients *c, size_t vl) {
    switch (act) {
    case ACT_GELU:
        return vf32_gelu(x, c, vl);
    case ACT_GELU_TANH:
        return vf32_gelu_tanh(x, c, vl);
    case ACT_TANH:
        return vf32_tanh(x, c, vl);
    case ACT_RELU:
        return clamp_below(x, 0.0f, vl);
    case ACT_GELU_SHORT:
        return vf32_gelu_short(x, c, vl);
    default:
        return x;
    }
}

#endif /* FAR_RVV_FUNCTIONS_H */
