/* Element-wise kernels: an activation, and a sum. */
#include "functions.h"

void ENTRY(map)(const struct map_call *call, const struct coefficients *coefficients) {
    for (size_t row = 0; row < call->rows; row++) {
        const float *x = call->x + row * call->x_stride;
        float *out = call->out + row * call->out_stride;
        for (size_t i = 0; i < call->cols; i += PANEL) {
            const size_t vl = at_most_a_panel(call->cols - i);
            vf32_store(out + i, vf32_activate(call->act, vf32_load(x + i, vl), coefficients, vl), vl);
        }
    }
}

void ENTRY(add)(const struct add_call *call) {
    for (size_t row = 0; row < call->rows; row++) {
        const float *a = call->a + row * call->a_stride;
        const float *b = call->b + row * call->b_stride;
        float *out = call->out + row * call->out_stride;
        for (size_t i = 0; i < call->cols; i += PANEL) {
            const size_t vl = at_most_a_panel(call->cols - i);
            vf32_store(out + i, __riscv_vfadd(vf32_load(a + i, vl), vf32_load(b + i, vl), vl), vl);
        }
    }
}
