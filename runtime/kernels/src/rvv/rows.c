/*
 * Kernels that reduce over a row, LayerNorm and softmax: sums in 16 lanes (lane l takes the elements l, l + 16, ...),
 * which are then added as a tree.
 */
#include "functions.h"

/* Lane l and lane l + half are added, for half = 8, 4, 2, 1. */
static inline float tree_sum(vf32 lanes) {
    for (size_t half = PANEL / 2; half > 0; half /= 2) {
        lanes = __riscv_vfadd(lanes, __riscv_vslidedown(lanes, half, half), half);
    }
    return __riscv_vfmv_f(lanes);
}

/* if t > m { t } else { m }: not vfmax, because a NaN must never win. Lanes from vl on keep m. */
static inline vf32 greater(vf32 m, vf32 t, size_t vl) {
    return __riscv_vmerge_tu(m, m, t, __riscv_vmfgt(t, m, vl), vl);
}

static inline float tree_greatest(vf32 lanes) {
    for (size_t half = PANEL / 2; half > 0; half /= 2) {
        lanes = greater(lanes, __riscv_vslidedown(lanes, half, half), half);
    }
    return __riscv_vfmv_f(lanes);
}

static float mean_of(const float *x, size_t n) {
    vf32 sum = vf32_splat(0.0f, PANEL);
    for (size_t i = 0; i < n; i += PANEL) {
        const size_t vl = at_most_a_panel(n - i);
        sum = __riscv_vfadd_tu(sum, sum, vf32_load(x + i, vl), vl);
    }
    return tree_sum(sum) / (float)n;
}

static float variance_of(const float *x, float mean, size_t n) {
    vf32 sum = vf32_splat(0.0f, PANEL);
    for (size_t i = 0; i < n; i += PANEL) {
        const size_t vl = at_most_a_panel(n - i);
        vf32 d = __riscv_vfsub(vf32_load(x + i, vl), mean, vl);
        sum = __riscv_vfmacc_tu(sum, d, d, vl);
    }
    return tree_sum(sum) / (float)n;
}

void ENTRY(layer_norm)(const struct layer_norm_call *call) {
    for (size_t row = 0; row < call->rows; row++) {
        const float *x = call->x + row * call->x_stride;
        float *out = call->out + row * call->out_stride;
        const float mean = mean_of(x, call->cols);
        const float variance = variance_of(x, mean, call->cols);
        const float r = 1.0f / __builtin_sqrtf(variance + call->eps);
        for (size_t i = 0; i < call->cols; i += PANEL) {
            const size_t vl = at_most_a_panel(call->cols - i);
            vf32 y = __riscv_vfmul(__riscv_vfsub(vf32_load(x + i, vl), mean, vl), r, vl);
            if (call->scale != NULL) {
                y = __riscv_vfmadd(y, vf32_load(call->scale + i, vl), vf32_load(call->shift + i, vl), vl);
            }
            vf32_store(out + i, y, vl);
        }
    }
}

void ENTRY(softmax)(const struct softmax_call *call, const struct coefficients *coefficients) {
    for (size_t row = 0; row < call->rows; row++) {
        float *x = call->x + row * call->x_stride;
        vf32 greatest = vf32_splat(-__builtin_inff(), PANEL);
        for (size_t i = 0; i < call->cols; i += PANEL) {
            const size_t vl = at_most_a_panel(call->cols - i);
            greatest = greater(greatest, __riscv_vfmul(vf32_load(x + i, vl), call->scale, vl), vl);
        }
        const float max = tree_greatest(greatest);
        vf32 sum = vf32_splat(0.0f, PANEL);
        for (size_t i = 0; i < call->cols; i += PANEL) {
            const size_t vl = at_most_a_panel(call->cols - i);
            vf32 t = __riscv_vfmul(vf32_load(x + i, vl), call->scale, vl);
            vf32 e = vf32_exp(__riscv_vfsub(t, max, vl), coefficients, vl);
            vf32_store(x + i, e, vl);
            sum = __riscv_vfadd_tu(sum, sum, e, vl);
        }
        const float r = 1.0f / tree_sum(sum);
        for (size_t i = 0; i < call->cols; i += PANEL) {
            const size_t vl = at_most_a_panel(call->cols - i);
            vf32_store(x + i, __riscv_vfmul(vf32_load(x + i, vl), r, vl), vl);
        }
    }
}
