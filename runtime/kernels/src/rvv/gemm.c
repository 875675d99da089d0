/*
 * Matrix product with its epilogue. The tile follows from the 32 registers: with a panel in 4 of them, 7 rows and the
 * weights; in 2, 14 rows; in 1, 7 rows of four panels, or 14 of two. Rows left over are taken by 7, 4, 2, 1.
 */
#include "epilogue.h"

/*
 * The sums and the weights fill the registers. A compiler that loads more weights ahead would have to spill sums: this
 * keeps loads where they are written, and costs no instruction.
 */
#define KEEP_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The next weights are loaded while the rows take these, where registers are left for them. */
#if FAR_LMUL == 4
#define LOAD_EARLY(pointer)
#define LOAD_LATE(pointer) vf32_load(pointer, PANEL)
#else
#define LOAD_EARLY(pointer) const vf32 next_##pointer = vf32_load(pointer, PANEL);
#define LOAD_LATE(pointer) next_##pointer
#endif

/* The rest of the work on some rows of a panel, whose sums are in memory. */
static void finish_rows(const struct gemm_call *call, const struct coefficients *coefficients, size_t row, size_t rows,
                        size_t col, const float (*sums)[16]) {
    const size_t lanes = at_most_a_panel(call->n - col);
    for (size_t r = 0; r < rows; r++) {
        finish(call, row + r, col, vf32_activate(call->act, vf32_load(sums[r], lanes), coefficients, lanes), lanes);
    }
}

#define TILE tile_1
#define ROWS 1
#define PANELS 1
#include "gemm_tile.h"

#define TILE tile_2
#define ROWS 2
#define PANELS 1
#include "gemm_tile.h"

#define TILE tile_4
#define ROWS 4
#define PANELS 1
#include "gemm_tile.h"

#define TILE tile_7
#define ROWS 7
#define PANELS 1
#include "gemm_tile.h"

#if FAR_LMUL == 2
void far_rvv_gemm_rows_m2(const float *a, size_t a_stride, const float *w, size_t k, float *sums);

static void tile_14(const struct gemm_call *call, const struct coefficients *coefficients, size_t row, size_t col) {
    float sums[14][16];
    far_rvv_gemm_rows_m2(call->a + row * call->a_stride, call->a_stride * sizeof(float),
                      call->weights + col * (call->k + 1), call->k, sums[0]);
    finish_rows(call, coefficients, row, 14, col, sums);
}
#endif

#if FAR_LMUL == 1
void far_rvv_gemm_rows_wide_m1(const float *a, size_t a_stride, const float *w, size_t k, float *sums, size_t panel);

static void tile_7_of_four(const struct gemm_call *call, const struct coefficients *coefficients, size_t row,
                           size_t col) {
    float sums[4][7][16];
    const size_t panel = (call->k + 1) * PANEL * sizeof(float);
    far_rvv_gemm_rows_wide_m1(call->a + row * call->a_stride, call->a_stride * sizeof(float),
                           call->weights + col * (call->k + 1), call->k, sums[0][0], panel);
    for (size_t p = 0; p < 4; p++) finish_rows(call, coefficients, row, 7, col + p * PANEL, sums[p]);
}

#define TILE tile_14
#define ROWS 14
#define PANELS 1
#include "gemm_tile.h"

#define TILE tile_14_of_two
#define ROWS 14
#define PANELS 2
#include "gemm_tile.h"
#endif

/* All rows from `row` on of the panel at `col`. */
static void one_panel(const struct gemm_call *call, const struct coefficients *coefficients, size_t row, size_t col) {
#if FAR_LMUL <= 2
    for (; call->m - row >= 14; row += 14) tile_14(call, coefficients, row, col);
#endif
    for (; call->m - row >= 7; row += 7) tile_7(call, coefficients, row, col);
    if (call->m - row >= 4) tile_4(call, coefficients, row, col), row += 4;
    if (call->m - row >= 2) tile_2(call, coefficients, row, col), row += 2;
    if (call->m - row >= 1) tile_1(call, coefficients, row, col);
}

/* A panel of weights stays in the first-level cache while the rows go by. */
void ENTRY(gemm)(const struct gemm_call *call, const struct coefficients *coefficients) {
    size_t col = 0;
#if FAR_LMUL == 1
    for (; call->n - col > 3 * PANEL; col += 4 * PANEL) {
        size_t row = 0;
        for (; call->m - row >= 7; row += 7) tile_7_of_four(call, coefficients, row, col);
        for (size_t p = 0; p < 4; p++) one_panel(call, coefficients, row, col + p * PANEL);
        if (call->n - col <= 4 * PANEL) return;
    }
    for (; call->n - col > PANEL; col += 2 * PANEL) {
        size_t row = 0;
        for (; call->m - row >= 14; row += 14) tile_14_of_two(call, coefficients, row, col);
        one_panel(call, coefficients, row, col);
        one_panel(call, coefficients, row, col + PANEL);
        if (call->n - col <= 2 * PANEL) return;
    }
#endif
    for (; col < call->n; col += PANEL) one_panel(call, coefficients, 0, col);
}
