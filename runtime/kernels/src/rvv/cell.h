/* The cell update of LSTM recurrences. */
#ifndef FAR_RVV_CELL_H
#define FAR_RVV_CELL_H

#include "functions.h"

/* The new states of `width` units from the sums of their gates: `c` and `out` of these units. */
static inline void update(const struct coefficients *coefficients, size_t width, vf32 i, vf32 o, vf32 f, vf32 g,
                          float *c, float *out, size_t used) {
    /* In this order so that few registers are live at a time. */
    vf32 q, other;
    vf32 p = vf32_tanh_fraction(i, coefficients, &q, width);
    vf32 taken = __riscv_vfadd(q, p, width);
    p = vf32_tanh_fraction(g, coefficients, &other, width);
    taken = __riscv_vfmul(taken, p, width);
    vf32 taken_q = __riscv_vfmul(q, other, width);
    p = vf32_tanh_fraction(f, coefficients, &q, width);
    vf32 kept = __riscv_vfmul(__riscv_vfadd(q, p, width), vf32_load(c, width), width);
    vf32 cell = __riscv_vfmadd(kept, taken_q, __riscv_vfmul(taken, q, width), width);
    q = __riscv_vfmul(q, taken_q, width);
    cell = __riscv_vfdiv(cell, __riscv_vfadd(q, q, width), width);
    vf32_store(c, cell, width);
    p = vf32_tanh_fraction(o, coefficients, &q, width);
    vf32 y = __riscv_vfadd(q, p, width);
    p = vf32_tanh_fraction(cell, coefficients, &other, width);
    y = __riscv_vfmul(y, p, width);
    q = __riscv_vfmul(q, other, width);
    y = __riscv_vfdiv(y, __riscv_vfadd(q, q, width), width);
    vf32_store(out, y, used);
}

#endif /* FAR_RVV_CELL_H */
