/*
 * What all RVV kernels share: the arguments as Rust lays them out (`repr(C)` structs of the same names in gemm.rs,
 * lstm.rs, layer_norm.rs, softmax.rs, elementwise.rs, math.rs), and the vector types.
 *
 * Everything works in groups of registers that hold the 16 lanes of a panel. How many registers that takes depends on
 * VLEN, so each file is compiled three times, with FAR_LMUL = 4 (VLEN 128), 2 (256) and 1 (512 or more); mod.rs picks.
 */
#ifndef FAR_RVV_H
#define FAR_RVV_H

/* Has all that is used here since clang 17 and gcc 14; build.rs says so where this fails. */
#include <riscv_vector.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lanes of a panel and of a reduction; `PANEL` and `LANES` in Rust. */
#define PANEL ((size_t)16)

enum activation { ACT_NONE = 0, ACT_GELU = 1, ACT_GELU_TANH = 2, ACT_TANH = 3, ACT_RELU = 4, ACT_GELU_SHORT = 5 };

struct gemm_call {
    size_t m, n, k;
    const float *a;
    size_t a_stride;
    const float *weights;
    const float *residual;
    size_t residual_stride;
    float *out;
    size_t out_stride;
    float *scratch;
    uint8_t act;
};

struct lstm_call {
    size_t steps, hidden;
    const float *gates;
    size_t gates_stride;
    const float *weights;
    float *state;
    float *out;
    size_t out_stride;
    bool reverse;
};

struct layer_norm_call {
    size_t rows, cols;
    const float *x;
    size_t x_stride;
    const float *scale, *shift;
    float *out;
    size_t out_stride;
    float eps;
};

struct softmax_call {
    size_t rows, cols;
    float *x;
    size_t x_stride;
    float scale;
};

struct map_call {
    size_t rows, cols;
    const float *x;
    size_t x_stride;
    float *out;
    size_t out_stride;
    uint8_t act;
};

struct add_call {
    size_t rows, cols;
    const float *a;
    size_t a_stride;
    const float *b;
    size_t b_stride;
    float *out;
    size_t out_stride;
};

struct coefficients {
    struct { float limit, p[5], q[5]; } tanh;
    struct { float limit, p[6], q[6]; } half_erf;
    struct { float low, high, log2e, round, neg_ln2_hi, neg_ln2_lo, p[5]; } exp;
    struct { float linear, cubic; } gelu_tanh;
    struct { float limit, s[7]; } gelu_short;
};

/* mod.rs asserts the same sizes. */
_Static_assert(sizeof(struct gemm_call) == 96, "GemmCall");
_Static_assert(sizeof(struct lstm_call) == 72, "LstmCall");
_Static_assert(sizeof(struct layer_norm_call) == 72, "LayerNormCall");
_Static_assert(sizeof(struct softmax_call) == 40, "SoftmaxCall");
_Static_assert(sizeof(struct map_call) == 56, "MapCall");
_Static_assert(sizeof(struct add_call) == 64, "AddCall");
_Static_assert(sizeof(struct coefficients) == 4 * 45, "Coefficients");

/* The vector types of this FAR_LMUL, the few intrinsics that have no overloaded name, and the name of a function. */
#if FAR_LMUL == 4
typedef vfloat32m4_t vf32;
typedef vint32m4_t vi32;
typedef vbool8_t vmask;
#define vf32_load __riscv_vle32_v_f32m4
#define vi32_load __riscv_vle32_v_i32m4
#define vf32_splat __riscv_vfmv_v_f_f32m4
#define vf32_from_bits __riscv_vreinterpret_f32m4
#define ENTRY(kernel) far_rvv_##kernel##_m4
#elif FAR_LMUL == 2
typedef vfloat32m2_t vf32;
typedef vint32m2_t vi32;
typedef vbool16_t vmask;
#define vf32_load __riscv_vle32_v_f32m2
#define vi32_load __riscv_vle32_v_i32m2
#define vf32_splat __riscv_vfmv_v_f_f32m2
#define vf32_from_bits __riscv_vreinterpret_f32m2
#define ENTRY(kernel) far_rvv_##kernel##_m2
#elif FAR_LMUL == 1
typedef vfloat32m1_t vf32;
typedef vint32m1_t vi32;
typedef vbool32_t vmask;
#define vf32_load __riscv_vle32_v_f32m1
#define vi32_load __riscv_vle32_v_i32m1
#define vf32_splat __riscv_vfmv_v_f_f32m1
#define vf32_from_bits __riscv_vreinterpret_f32m1
#define ENTRY(kernel) far_rvv_##kernel##_m1
#else
#error "FAR_LMUL must be 1, 2 or 4"
#endif

#define vf32_store __riscv_vse32

static inline size_t at_most_a_panel(size_t left) {
    return left < PANEL ? left : PANEL;
}

void ENTRY(gemm)(const struct gemm_call *call, const struct coefficients *coefficients);
void ENTRY(lstm)(const struct lstm_call *call, const struct coefficients *coefficients);
void ENTRY(gemm_i8)(const struct gemm_call *call, const struct coefficients *coefficients);
void ENTRY(lstm_i8)(const struct lstm_call *call, const struct coefficients *coefficients);
void ENTRY(gemm_f16)(const struct gemm_call *call, const struct coefficients *coefficients);
void ENTRY(lstm_f16)(const struct lstm_call *call, const struct coefficients *coefficients);
void ENTRY(layer_norm)(const struct layer_norm_call *call);
void ENTRY(softmax)(const struct softmax_call *call, const struct coefficients *coefficients);
void ENTRY(map)(const struct map_call *call, const struct coefficients *coefficients);
void ENTRY(add)(const struct add_call *call);

#endif /* FAR_RVV_H */
