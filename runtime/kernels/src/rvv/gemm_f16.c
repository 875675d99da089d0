/*
 * Matrix product in half precision: runs of 32 products in f16, four of which are added to sums in f32. Rows are rounded
 * into the scratch once, then 10 of them at a time are multiplied by half a panel, a panel or two, as many as a
 * register holds. Compiled for Zvfh.
 */
#include "epilogue.h"
#include "half.h"

/* Rows of a tile, depths of a block of it, and its halves. */
#define ROWS ((size_t)10)
#define DEPTHS ((size_t)16)
#define BLOCK (ROWS * DEPTHS)
/* Panels that are multiplied side by side where registers are long enough, and rows that make arranging them worth it. */
#define PANELS ((size_t)2)
#define WORTH_ARRANGING ((size_t)20)

void far_rvv_gemm_f16_rows_10(const _Float16 *a, const _Float16 *w, float *sums, size_t depths, size_t lanes,
                              size_t pitch, _Float16 *kept);
void far_rvv_gemm_f16_rows_1(const _Float16 *a, const _Float16 *w, float *sums, size_t depths, size_t lanes,
                             size_t pitch, _Float16 *kept);

/* A row's place in a tile: its halves, and a zero at the end if they are odd. */
static void round_row(const float *x, size_t k, _Float16 *to) {
    for (size_t i = 0; i < k; i += DEPTHS, to += BLOCK) {
        const size_t vl = at_most_a_panel(k - i);
        if (vl < DEPTHS) to[vl] = 0;
        __riscv_vse16(to, round_to_half(vf32_load(x + i, vl), vl), vl);
    }
}

/* The weights of some panels, depth by depth side by side. */
static void arrange(const float *first, size_t panel, size_t panels, size_t depths, _Float16 *to) {
    for (size_t p = 0; p < panels; p++) {
        const _Float16 *from = (const _Float16 *)(first + p * panel + PANEL);
        for (size_t k = 0; k < depths; k++) {
            __builtin_memcpy(to + (k * panels + p) * PANEL, from + k * PANEL, PANEL * sizeof *to);
        }
    }
}

void ENTRY(gemm_f16)(const struct gemm_call *call, const struct coefficients *coefficients) {
    const size_t depths = (call->k + 1) / 2 * 2, blocks = (call->k + DEPTHS - 1) / DEPTHS;
    /* The scratch, which scratch_len in mod.rs adds up: panels side by side; tiles, and one block more. */
    _Float16 *const arranged = (_Float16 *)call->scratch, *const tiles = arranged + PANELS * PANEL * depths;
    for (size_t row = 0; row < call->m; row++) {
        round_row(call->a + row * call->a_stride, call->k, tiles + row / ROWS * BLOCK * blocks + row % ROWS * DEPTHS);
    }
    const size_t fit = __riscv_vsetvlmax_e16m1() / PANEL;
    const size_t most = call->m < WORTH_ARRANGING || fit < PANELS ? 1 : PANELS;
    const size_t panel = PANEL * (depths / 2 + 1);
    for (size_t col = 0; col < call->n;) {
        const size_t left = (call->n - col + PANEL - 1) / PANEL;
        const size_t panels = left < most ? left : most, width = panels * PANEL;
        const size_t lanes = fit == 0 ? PANEL / 2 : width;
        const float *first = call->weights + col / PANEL * panel;
        const _Float16 *weights = (const _Float16 *)(first + PANEL);
        if (panels > 1) {
            arrange(first, panel, panels, depths, arranged);
            weights = arranged;
        }
        for (size_t row = 0; row < call->m; row += ROWS) {
            const size_t rows = call->m - row < ROWS ? call->m - row : ROWS;
            const _Float16 *a = tiles + row / ROWS * BLOCK * blocks;
            float sums[ROWS * PANELS * PANEL];
            _Float16 kept[ROWS * PANELS * PANEL];
            for (size_t p = 0; p < panels; p++) {
                const vf32 bias = vf32_load(first + p * panel, PANEL);
                for (size_t r = 0; r < rows; r++) vf32_store(sums + r * width + p * PANEL, bias, PANEL);
            }
            for (size_t lane = 0; lane < width && depths > 0; lane += lanes) {
                const size_t pitch = width * sizeof *a;
                if (rows == ROWS) {
                    far_rvv_gemm_f16_rows_10(a, weights + lane, sums + lane, depths, lanes, pitch, kept);
                } else {
                    for (size_t r = 0; r < rows; r++) {
                        float *const to = sums + r * width + lane;
                        far_rvv_gemm_f16_rows_1(a + r * DEPTHS, weights + lane, to, depths, lanes, pitch, kept);
                    }
                }
            }
            for (size_t r = 0; r < rows; r++) {
                for (size_t p = 0; p < panels; p++) {
                    const size_t at = col + p * PANEL, vl = at_most_a_panel(call->n - at);
                    const vf32 y = vf32_load(sums + r * width + p * PANEL, vl);
                    finish(call, row + r, at, vf32_activate(call->act, y, coefficients, vl), vl);
                }
            }
        }
        col += width;
    }
}
