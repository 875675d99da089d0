/*
 * LSTM recurrence in half precision: hidden states are rounded after each step; runs of products in f16, four by
 * four, are added to the gates' input half in f32. Compiled for Zvfh.
 */
#include "cell.h"
#include "half.h"

/* The 64 lanes of a block of 16 units: in 4 registers of halves or, where only 32 fit into those, twice; or in 2. */
#if FAR_LMUL == 1
typedef vfloat16m2_t halves;
typedef vfloat32m4_t singles;
#define load_halves __riscv_vle16_v_f16m2
#define load_singles __riscv_vle32_v_f32m4
#define zeros __riscv_vfmv_v_f_f16m2
#else
typedef vfloat16m4_t halves;
typedef vfloat32m8_t singles;
#define load_halves __riscv_vle16_v_f16m4
#define load_singles __riscv_vle32_v_f32m8
#define zeros __riscv_vfmv_v_f_f16m4
#endif
#define MOST_LANES (FAR_LMUL == 4 ? (size_t)32 : (size_t)64)

/* The sum of the products of `length` depths, an even number and not 0; the first weights of the next ones. */
static inline halves run(const _Float16 *h, size_t length, const _Float16 **weights, size_t lanes, size_t vl) {
    const _Float16 *const last = h + length - 2, *next = *weights;
    halves sum = zeros(0, vl);
    /* Two depths at a time; what comes next is loaded while they are multiplied. */
    halves even = load_halves(next, vl);
    for (; h < last; h += 2) {
        const halves odd = load_halves(next + lanes, vl);
        sum = __riscv_vfmacc(sum, h[0], even, vl);
        next += 2 * lanes;
        even = load_halves(next, vl);
        sum = __riscv_vfmacc(sum, h[1], odd, vl);
    }
    sum = __riscv_vfmacc(sum, h[0], even, vl);
    *weights = next + 2 * lanes;
    return __riscv_vfmacc(sum, h[1], load_halves(next + lanes, vl), vl);
}

/* The gates' input half plus R h, as the gates lie. */
static void products(const _Float16 *h, size_t depths, const _Float16 *w, size_t lanes, const float *gates,
                     float *sums) {
    const size_t vl = lanes < MOST_LANES ? lanes : MOST_LANES;
    for (size_t lane = 0; lane < lanes; lane += vl) {
        singles all = load_singles(gates + lane, vl);
        const _Float16 *weights = w + lane;
        for (size_t k = 0; k < depths;) {
            const size_t end = depths - k < RUNS ? depths : k + RUNS;
            halves sum = zeros(0, vl);
            for (; k < end; k += RUN) {
                sum = __riscv_vfadd(sum, run(h + k, end - k < RUN ? end - k : RUN, &weights, lanes, vl), vl);
            }
            all = __riscv_vfwadd_wv(all, sum, vl);
        }
        __riscv_vse32(sums + lane, all, vl);
    }
}

void ENTRY(lstm_f16)(const struct lstm_call *call, const struct coefficients *coefficients) {
    const size_t hidden = call->hidden;
    const size_t padded = (hidden + 7) / 8 * 8, depths = (hidden + 1) / 2 * 2;
    /* The state: h as halves, and a zero behind them if they are odd; then c. */
    for (size_t i = 0; i < 2 * padded; i += 8) vf32_store(call->state + i, vf32_splat(0.0f, 8), 8);
    _Float16 *const h = (_Float16 *)call->state;
    float *const c = call->state + padded;
    for (size_t step = 0; step < call->steps; step++) {
        const size_t t = call->reverse ? call->steps - 1 - step : step;
        const float *gates = call->gates + t * call->gates_stride;
        float *out = call->out + t * call->out_stride;
        for (size_t first = 0; first < hidden; first += PANEL) {
            const size_t width = padded - first < PANEL ? 8 : PANEL;
            const _Float16 *weights = (const _Float16 *)call->weights + first * 4 * depths;
            float sums[4 * PANEL];
            products(h, depths, weights, 4 * width, gates + 4 * first, sums);
            update(coefficients, width, vf32_load(sums, width), vf32_load(sums + width, width),
                   vf32_load(sums + 2 * width, width), vf32_load(sums + 3 * width, width), c + first, out + first,
                   hidden - first < width ? hidden - first : width);
        }
        for (size_t i = 0; i < hidden; i += PANEL) {
            const size_t vl = at_most_a_panel(hidden - i);
            __riscv_vse16(h + i, round_to_half(vf32_load(out + i, vl), vl), vl);
        }
    }
}
