/*
 * One register tile of the matrix product. gemm.c includes this once for each size, with
 *   TILE     the name of the function,
 *   ROWS     1, 2, 4, 7 or 14 rows of `a`,
 *   PANELS   1 or 2 panels of weights.
 * All sums stay in registers; the loop over k holds only loads, multiply-adds and its own control. C has no arrays of
 * vectors, so the rows are spelt out by macros.
 */
#define EACH_1(DO) DO(0)
#define EACH_2(DO) EACH_1(DO) DO(1)
#define EACH_4(DO) EACH_2(DO) DO(2) DO(3)
#define EACH_7(DO) EACH_4(DO) DO(4) DO(5) DO(6)
#define EACH_14(DO) EACH_7(DO) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13)
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define EACH_ROW JOIN(EACH_, ROWS)

#if PANELS == 2
#define IF_2(code) code
#else
#define IF_2(code)
#endif

static __attribute__((noinline)) void TILE(const struct gemm_call *call, const struct coefficients *coefficients,
                                           size_t row, size_t col) {
    const float *w = call->weights + col * (call->k + 1);
    vf32 acc = vf32_load(w, PANEL);
    IF_2(const float *v = w + (call->k + 1) * PANEL; vf32 acc_v = vf32_load(v, PANEL);)
#define BEGIN(r)                                                                                                       \
    const float *a##r = call->a + (row + (r)) * call->a_stride;                                                        \
    vf32 acc##r = acc;                                                                                                 \
    IF_2(vf32 acc_v##r = acc_v;)
    EACH_ROW(BEGIN)
#undef BEGIN

#define TAKE(r)                                                                                                        \
    acc##r = __riscv_vfmacc(acc##r, a##r[at], weights, PANEL);                                                         \
    IF_2(acc_v##r = __riscv_vfmacc(acc_v##r, a##r[at], weights_v, PANEL);)
#define ADVANCE(r) a##r += depths;
/* All rows take the weights of depth `at` past their pointer, and the next weights are loaded. */
#define DEPTH(i)                                                                                                       \
    {                                                                                                                  \
        const size_t at = (i);                                                                                         \
        w += PANEL;                                                                                                    \
        IF_2(v += PANEL;)                                                                                              \
        LOAD_EARLY(w) IF_2(LOAD_EARLY(v))                                                                              \
        EACH_ROW(TAKE)                                                                                                 \
        KEEP_ORDER();                                                                                                  \
        weights = LOAD_LATE(w);                                                                                        \
        IF_2(weights_v = LOAD_LATE(v);)                                                                                \
    }
    if (call->k > 0) {
        w += PANEL;
        vf32 weights = vf32_load(w, PANEL);
        IF_2(v += PANEL; vf32 weights_v = vf32_load(v, PANEL);)
        size_t left = call->k;
        for (; left > 4; left -= 4) {
            const size_t depths = 4;
            DEPTH(0) DEPTH(1) DEPTH(2) DEPTH(3)
            EACH_ROW(ADVANCE)
        }
        for (; left > 1; left--) {
            const size_t depths = 1;
            DEPTH(0)
            EACH_ROW(ADVANCE)
        }
        const size_t at = 0;
        EACH_ROW(TAKE)
    }
#undef DEPTH
#undef ADVANCE
#undef TAKE

    const size_t lanes = at_most_a_panel(call->n - col);
    IF_2(const size_t lanes_v = at_most_a_panel(call->n - col - PANEL);)
    if (call->act == ACT_NONE) {
#define FINISH(r)                                                                                                      \
    finish(call, row + (r), col, acc##r, lanes);                                                                       \
    IF_2(finish(call, row + (r), col + PANEL, acc_v##r, lanes_v);)
        EACH_ROW(FINISH)
#undef FINISH
        return;
    }
    /* An activation needs registers: the sums make room, and come back a row at a time. */
    float sums[PANELS][ROWS][16];
#define SPILL(r)                                                                                                       \
    vf32_store(sums[0][r], acc##r, PANEL);                                                                             \
    IF_2(vf32_store(sums[1][r], acc_v##r, PANEL);)
    EACH_ROW(SPILL)
#undef SPILL
    finish_rows(call, coefficients, row, ROWS, col, sums[0]);
    IF_2(finish_rows(call, coefficients, row, ROWS, col + PANEL, sums[1]);)
}

#undef IF_2
#undef EACH_ROW
#undef JOIN
#undef JOIN_
#undef EACH_14
#undef EACH_7
#undef EACH_4
#undef EACH_2
#undef EACH_1
#undef PANELS
#undef ROWS
#undef TILE
