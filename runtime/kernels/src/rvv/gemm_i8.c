/*
 * Matrix product in int8: the rows are quantised into the scratch once, then a group of panels at a time is multiplied
 * by 5 rows.
 *
 * Sums of products are kept in 16 bits for runs of depths, and only the run's end costs an addition in 32 bits. No sum
 * of a run exceeds the product of two norms, that of the row's part and that of the column's (Cauchy and Schwarz), so
 * for each block of 16 depths the longest runs are taken that can't overflow: the panel says how large a row's norm may
 * be, and the rows' norms are found when they are quantised.
 */
#include "epilogue.h"
#include "int8.h"

/* Rows of a tile. */
#define ROWS ((size_t)5)
/* Panels that are multiplied side by side where registers are long enough, and rows that make arranging them worth it. */
#define PANELS ((size_t)4)
#define WORTH_ARRANGING ((size_t)10)
/* Bytes of a block of a tile. */
#define BLOCK (ROWS * DEPTHS)

void far_rvv_gemm_i8_rows_5(const int8_t *a, const int8_t *w, int32_t *sums, size_t lanes, const uint8_t *runs);
void far_rvv_gemm_i8_rows_1(const int8_t *a, const int8_t *w, int32_t *sums, size_t lanes, const uint8_t *runs);

/* The scratch, which scratch_len in mod.rs adds up. */
struct scratch {
    float *scales;    /* of the rows */
    uint32_t *norms;  /* for each tile those of its rows' blocks, the largest */
    uint32_t *limits; /* what these may be */
    int8_t *weights;  /* of panels side by side */
    int8_t *rows;     /* tile by tile, block by block, and one block more */
    uint8_t *runs;    /* what a tile takes of a group of panels */
};

static struct scratch divide(float *memory, size_t m, size_t blocks) {
    struct scratch s;
    s.scales = memory;
    s.norms = (uint32_t *)(memory + (m + 15) / 16 * 16);
    s.limits = s.norms + LENGTHS * blocks * ((m + ROWS - 1) / ROWS);
    s.weights = aligned(s.limits + LENGTHS * blocks);
    s.rows = s.weights + PANELS * PANEL * DEPTHS * blocks;
    s.runs = (uint8_t *)(s.rows + BLOCK * (blocks * ((m + ROWS - 1) / ROWS) + 1));
    return s;
}

/* Quantises a row of `k` into its place in a tile, and returns its scale. */
static float quantize_row(const float *x, size_t k, int8_t *to) {
    const uint32_t largest = largest_magnitude(x, k);
    const float inverse = inverse_of(largest);
    for (size_t i = 0; i < k; i += DEPTHS, to += BLOCK) {
        const size_t vl = at_most_a_panel(k - i);
        if (vl < DEPTHS) {
            for (size_t j = 0; j < DEPTHS; j++) to[j] = 0;
        }
        /* Without an inverse all is zero, whatever the elements are. */
        const vf32 scaled = inverse == 0.0f ? vf32_splat(0.0f, vl) : __riscv_vfmul(vf32_load(x + i, vl), inverse, vl);
        __riscv_vse8(to, __riscv_vncvt_x(__riscv_vfncvt_x(scaled, vl), vl), vl);
    }
    return scale_of(largest);
}

/* A tile from the rows of `a`. */
static void quantize_tile(const struct gemm_call *call, size_t row, size_t rows, size_t blocks, float *scales,
                          uint32_t *norms, int8_t *to) {
    for (size_t i = 0; i < LENGTHS * blocks; i++) norms[i] = 0;
    for (size_t r = 0; r < rows; r++) {
        scales[r] = quantize_row(call->a + (row + r) * call->a_stride, call->k, to + r * DEPTHS);
        raise_norms(to + r * DEPTHS, BLOCK, blocks, norms);
    }
}

/* The weights of `panels` panels, depth by depth side by side, and what all of them bear. */
static const int8_t *arrange(const int8_t *first, size_t panel, size_t panels, size_t blocks, bool side_by_side,
                             const struct scratch *scratch) {
    for (size_t p = 0; p < panels; p++) {
        const int8_t *from = first + p * panel;
        lower_limits((const uint8_t *)from + 2 * PANEL * sizeof(float), blocks, blocks, p == 0, scratch->limits);
        from += INT8_HEADER(blocks);
        if (!side_by_side) return from;
        for (size_t k = 0; k < blocks * DEPTHS; k++) {
            __builtin_memcpy(scratch->weights + (k * panels + p) * PANEL, from + k * PANEL, PANEL);
        }
    }
    return scratch->weights;
}

/* Scales the sums of one row with one panel, and all that comes after it. */
static void finish_i8(const struct gemm_call *call, const struct coefficients *coefficients, size_t row, size_t col,
                      const int32_t *sums, float scale, const float *header) {
    const size_t vl = at_most_a_panel(call->n - col);
    const vf32 scales = __riscv_vfmul(vf32_load(header, vl), scale, vl);
    const vf32 y = __riscv_vfmacc(vf32_load(header + PANEL, vl), __riscv_vfcvt_f(vi32_load(sums, vl), vl), scales, vl);
    finish(call, row, col, vf32_activate(call->act, y, coefficients, vl), vl);
}

void ENTRY(gemm_i8)(const struct gemm_call *call, const struct coefficients *coefficients) {
    const size_t blocks = (call->k + DEPTHS - 1) / DEPTHS;
    const struct scratch scratch = divide(call->scratch, call->m, blocks);
    for (size_t row = 0; row < call->m; row += ROWS) {
        const size_t rows = call->m - row < ROWS ? call->m - row : ROWS;
        quantize_tile(call, row, rows, blocks, scratch.scales + row, scratch.norms + row / ROWS * LENGTHS * blocks,
                      scratch.rows + row / ROWS * BLOCK * blocks);
    }
    const size_t fit = __riscv_vsetvlmax_e8m1() / PANEL;
    const size_t most = call->m < WORTH_ARRANGING ? 1 : fit < PANELS ? fit : PANELS;
    const size_t panel = INT8_HEADER(blocks) + PANEL * DEPTHS * blocks;
    for (size_t col = 0; col < call->n;) {
        const size_t left = (call->n - col + PANEL - 1) / PANEL;
        const size_t panels = left < most ? left : most;
        const int8_t *first = (const int8_t *)call->weights + col / PANEL * panel;
        const int8_t *weights = arrange(first, panel, panels, blocks, panels > 1, &scratch);
        const size_t lanes = panels * PANEL;
        for (size_t row = 0; row < call->m; row += ROWS) {
            const size_t rows = call->m - row < ROWS ? call->m - row : ROWS;
            const int8_t *a = scratch.rows + row / ROWS * BLOCK * blocks;
            int32_t sums[ROWS * PANELS * PANEL];
            choose_runs(scratch.norms + row / ROWS * LENGTHS * blocks, scratch.limits, blocks, scratch.runs);
            if (rows == ROWS) {
                far_rvv_gemm_i8_rows_5(a, weights, sums, lanes, scratch.runs);
            } else {
                for (size_t r = 0; r < rows; r++) {
                    far_rvv_gemm_i8_rows_1(a + r * DEPTHS, weights, sums + r * lanes, lanes, scratch.runs);
                }
            }
            for (size_t r = 0; r < rows; r++) {
                for (size_t p = 0; p < panels; p++) {
                    finish_i8(call, coefficients, row + r, col + p * PANEL, sums + r * lanes + p * PANEL,
                              scratch.scales[row + r], (const float *)(first + p * panel));
                }
            }
        }
        col += lanes;
    }
}
