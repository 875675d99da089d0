/*
 * LSTM recurrence in int8: hidden states are quantised before each step. Sums are kept in 16 bits for runs of depths,
 * as in the matrix product (gemm_i8.c); what all blocks of units bear together says how long runs may be.
 */
#include "cell.h"
#include "int8.h"

void ENTRY(lstm_i8_64)(const int8_t *h, const int8_t *w, const uint8_t *runs, int32_t *sums);
void ENTRY(lstm_i8_32)(const int8_t *h, const int8_t *w, const uint8_t *runs, int32_t *sums);

/* The pre-activations of a gate: its sums, which are `width` long, scaled, plus the input half. */
static inline vf32 gate(size_t number, size_t width, const int32_t *sums, const float *scales, const float *gates) {
    const size_t at = number * width;
    const vf32 sum = __riscv_vfcvt_f(vi32_load(sums + at, width), width);
    return __riscv_vfmacc(vf32_load(gates + at, width), sum, vf32_load(scales + at, width), width);
}

/* round(127 h), 0 for a NaN, up to a whole block. */
static void quantize_hidden(const float *h, size_t hidden, int8_t *to) {
    for (size_t i = 0; i < hidden; i += PANEL) {
        const size_t vl = at_most_a_panel(hidden - i);
        vf32 x = __riscv_vfmul(vf32_load(h + i, vl), 127.0f, vl);
        x = __riscv_vfmerge(x, 0.0f, __riscv_vmfne(x, x, vl), vl);
        __riscv_vse8(to + i, __riscv_vncvt_x(__riscv_vfncvt_x(x, vl), vl), vl);
    }
}

void ENTRY(lstm_i8)(const struct lstm_call *call, const struct coefficients *coefficients) {
    const size_t hidden = call->hidden;
    const size_t padded = (hidden + 7) / 8 * 8;
    const size_t blocks = (hidden + DEPTHS - 1) / DEPTHS;
    /* The state: c; then, as hidden_len in mod.rs adds up, norms and their limits, quantised h, the runs. */
    float *const c = call->state;
    uint32_t *const norms = (uint32_t *)(c + padded), *const limits = norms + LENGTHS * blocks;
    int8_t *const h = aligned(limits + LENGTHS * blocks);
    uint8_t *const runs = (uint8_t *)(h + DEPTHS * blocks);
    for (size_t i = 0; i < padded; i++) c[i] = 0.0f;
    for (size_t i = 0; i < DEPTHS * blocks; i++) h[i] = 0;
    for (size_t first = 0; first < padded; first += PANEL) {
        const size_t lanes = padded - first < PANEL ? 32 : 64;
        const uint8_t *block = (const uint8_t *)call->weights + first * 4 * (2 * sizeof(float) + DEPTHS * blocks);
        lower_limits(block + lanes * sizeof(float), blocks, lanes, first == 0, limits);
    }
    for (size_t step = 0; step < call->steps; step++) {
        const size_t t = call->reverse ? call->steps - 1 - step : step;
        const float *gates = call->gates + t * call->gates_stride;
        float *out = call->out + t * call->out_stride;
        for (size_t i = 0; i < LENGTHS * blocks; i++) norms[i] = 0;
        raise_norms(h, DEPTHS, blocks, norms);
        choose_runs(norms, limits, blocks, runs);
        for (size_t first = 0; first < hidden; first += PANEL) {
            const size_t width = padded - first < PANEL ? 8 : PANEL, lanes = 4 * width;
            const float *scales = call->weights + first * 4 * (2 + DEPTHS * blocks / sizeof(float));
            int32_t sums[4 * PANEL];
            const int8_t *weights = (const int8_t *)(scales + 2 * lanes);
            if (width == PANEL) ENTRY(lstm_i8_64)(h, weights, runs, sums);
            else ENTRY(lstm_i8_32)(h, weights, runs, sums);
            const float *from = gates + 4 * first;
            update(coefficients, width, gate(0, width, sums, scales, from), gate(1, width, sums, scales, from),
                   gate(2, width, sums, scales, from), gate(3, width, sums, scales, from), c + first, out + first,
                   hidden - first < width ? hidden - first : width);
        }
        quantize_hidden(out, hidden, h);
    }
}
