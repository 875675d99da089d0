/*
 * LSTM recurrence: a block of units at a time, their four gates in four groups of registers that meet in the cell.
 */
#include "cell.h"

#if FAR_LMUL == 1
/*
 * The gates' input half plus R h of 16 units at VLEN 512, where each gate fills a register: they lie side by side, so one
 * load and one multiply-add take all four, and a core that works in order waits less.
 */
static inline void products_of_16(size_t hidden, const float *gates, const float *weights, const float *h, vf32 *i,
                                  vf32 *o, vf32 *f, vf32 *g) {
    const size_t all = 4 * PANEL;
    vfloat32m4_t sums = __riscv_vle32_v_f32m4(gates, all);
    size_t k = 0;
    vfloat32m4_t even = __riscv_vle32_v_f32m4(weights, all);
    for (; k + 2 < hidden; k += 2) {
        vfloat32m4_t odd = __riscv_vle32_v_f32m4(weights + all, all);
        sums = __riscv_vfmacc(sums, h[k], even, all);
        weights += 2 * all;
        even = __riscv_vle32_v_f32m4(weights, all);
        sums = __riscv_vfmacc(sums, h[k + 1], odd, all);
    }
    sums = __riscv_vfmacc(sums, h[k], even, all);
    if (k + 1 < hidden) sums = __riscv_vfmacc(sums, h[k + 1], __riscv_vle32_v_f32m4(weights + all, all), all);
    *i = __riscv_vget_v_f32m4_f32m1(sums, 0);
    *o = __riscv_vget_v_f32m4_f32m1(sums, 1);
    *f = __riscv_vget_v_f32m4_f32m1(sums, 2);
    *g = __riscv_vget_v_f32m4_f32m1(sums, 3);
}
#endif

/* One step of `width` units: `gates` and `weights` of this block, `h` of all units, `c` and `out` of this block. */
static inline void block(const struct coefficients *coefficients, size_t hidden, size_t width, const float *gates,
                         const float *weights, const float *h, float *c, float *out, size_t used) {
    vf32 i, o, f, g;
#if FAR_LMUL == 1
    if (width == PANEL && __riscv_vsetvlmax_e32m1() == PANEL) {
        products_of_16(hidden, gates, weights, h, &i, &o, &f, &g);
    } else
#endif
    {
        i = vf32_load(gates, width);
        o = vf32_load(gates + width, width);
        f = vf32_load(gates + 2 * width, width);
        g = vf32_load(gates + 3 * width, width);
        /* What the next k needs is loaded while this one is taken: a register is free as soon as its product is. */
        float hk = h[0];
        vf32 wi = vf32_load(weights, width);
        vf32 wo = vf32_load(weights + width, width);
        vf32 wf = vf32_load(weights + 2 * width, width);
        vf32 wg = vf32_load(weights + 3 * width, width);
        for (size_t k = 1; k < hidden; k++) {
            const float next = h[k];
            weights += 4 * width;
            i = __riscv_vfmacc(i, hk, wi, width);
            wi = vf32_load(weights, width);
            o = __riscv_vfmacc(o, hk, wo, width);
            wo = vf32_load(weights + width, width);
            f = __riscv_vfmacc(f, hk, wf, width);
            wf = vf32_load(weights + 2 * width, width);
            g = __riscv_vfmacc(g, hk, wg, width);
            wg = vf32_load(weights + 3 * width, width);
            hk = next;
        }
        i = __riscv_vfmacc(i, hk, wi, width);
        o = __riscv_vfmacc(o, hk, wo, width);
        f = __riscv_vfmacc(f, hk, wf, width);
        g = __riscv_vfmacc(g, hk, wg, width);
    }
    update(coefficients, width, i, o, f, g, c, out, used);
}

#if FAR_LMUL == 1
void far_rvv_lstm_24_m1(size_t hidden, const float *gates, const float *w16, const float *w8, const float *h,
                        float *sums);

/* As `block`, for the last 24 units at VLEN 512, which are two blocks. */
static void blocks_of_16_and_8(const struct coefficients *coefficients, size_t hidden, const float *gates,
                               const float *weights, const float *h, float *c, float *out, size_t used) {
    float sums[4 * 24];
    far_rvv_lstm_24_m1(hidden, gates, weights, weights + 4 * PANEL * hidden, h, sums);
    for (size_t first = 0; first < 24; first += PANEL) {
        const size_t width = first == 0 ? PANEL : 8;
        const float *of = sums + 4 * first;
        update(coefficients, width, vf32_load(of, width), vf32_load(of + width, width), vf32_load(of + 2 * width, width),
               vf32_load(of + 3 * width, width), c + first, out + first, first == 0 ? width : used - PANEL);
    }
}
#endif

void ENTRY(lstm)(const struct lstm_call *call, const struct coefficients *coefficients) {
    const size_t hidden = call->hidden;
    const size_t padded = (hidden + 7) / 8 * 8;
    /* The state: a row of zeros, h before the first step; then c. */
    for (size_t i = 0; i < 2 * padded; i += 8) vf32_store(call->state + i, vf32_splat(0.0f, 8), 8);
    const float *h = call->state;
    float *const c = call->state + padded;
    for (size_t step = 0; step < call->steps; step++) {
        const size_t t = call->reverse ? call->steps - 1 - step : step;
        const float *gates = call->gates + t * call->gates_stride;
        float *out = call->out + t * call->out_stride;
        for (size_t first = 0; first < hidden;) {
            const size_t left = hidden - first;
#if FAR_LMUL == 1
            if (left > PANEL && left <= 24 && __riscv_vsetvlmax_e32m1() == PANEL) {
                const float *weights = call->weights + first * 4 * hidden;
                blocks_of_16_and_8(coefficients, hidden, gates + 4 * first, weights, h, c + first, out + first, left);
                break;
            }
#endif
            const size_t width = left <= 8 ? 8 : PANEL;
            block(coefficients, hidden, width, gates + 4 * first, call->weights + first * 4 * hidden, h, c + first,
                  out + first, left < width ? left : width);
            first += width;
        }
        h = out;
    }
}
