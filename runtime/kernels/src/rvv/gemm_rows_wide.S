/*
 * The sums of 7 rows of `a` with the weights of four panels, each of which is one register (VLEN 512 and more):
 *
 *     void far_rvv_gemm_rows_wide_m1(const float *a, size_t a_stride, const float *w, size_t k, float *sums, size_t panel)
 *
 * `a_stride` and `panel`, from a panel's weights to those of the next, are in bytes; `sums` holds 4 panels of 7 rows.
 * As gemm_tile.h does it, in assembly for the sake of cores that work in order and end instructions in order, where a short
 * one after a long one waits: all that a depth needs is loaded at once, between the multiply-adds of two depths, and four
 * panels share the elements of `a`. Compilers mix them.
 */

/* For each row its accumulators, its element of `a`, and the pointer to it. */
#define EACH_ROW(DO)                                                                                                   \
    DO(v4, v5, v6, v7, ft0, a0)                                                                                        \
    DO(v8, v9, v10, v11, ft1, a6)                                                                                      \
    DO(v12, v13, v14, v15, ft2, a7)                                                                                    \
    DO(v16, v17, v18, v19, ft3, t0)                                                                                    \
    DO(v20, v21, v22, v23, ft4, t1)                                                                                    \
    DO(v24, v25, v26, v27, ft5, t2)                                                                                    \
    DO(v28, v29, v30, v31, ft6, t3)

#define START(p0, p1, p2, p3, x, pointer) vmv.v.v p0, v0; vmv.v.v p1, v1; vmv.v.v p2, v2; vmv.v.v p3, v3;
#define TAKE(p0, p1, p2, p3, x, pointer)                                                                               \
    vfmacc.vf p0, x, v0;                                                                                               \
    vfmacc.vf p1, x, v1;                                                                                               \
    vfmacc.vf p2, x, v2;                                                                                               \
    vfmacc.vf p3, x, v3;
#define ADVANCE_4(p0, p1, p2, p3, x, pointer) addi pointer, pointer, 16;
#define ADVANCE_1(p0, p1, p2, p3, x, pointer) addi pointer, pointer, 4;
#define STORE(p0, p1, p2, p3, x, pointer)                                                                              \
    vse32.v p0, (a4);                                                                                                  \
    vse32.v p1, (t4);                                                                                                  \
    vse32.v p2, (t5);                                                                                                  \
    vse32.v p3, (t6);                                                                                                  \
    addi a4, a4, 64;                                                                                                   \
    addi t4, t4, 64;                                                                                                   \
    addi t5, t5, 64;                                                                                                   \
    addi t6, t6, 64;

/* The panels' weights at a2, a1, a5, t4, and an element of each row; then the pointers to the weights advance. */
#define LOAD(at)                                                                                                       \
    vle32.v v0, (a2);                                                                                                  \
    flw ft0, at(a0);                                                                                                   \
    flw ft1, at(a6);                                                                                                   \
    vle32.v v1, (a1);                                                                                                  \
    flw ft2, at(a7);                                                                                                   \
    flw ft3, at(t0);                                                                                                   \
    vle32.v v2, (a5);                                                                                                  \
    flw ft4, at(t1);                                                                                                   \
    flw ft5, at(t2);                                                                                                   \
    vle32.v v3, (t4);                                                                                                  \
    flw ft6, at(t3);                                                                                                   \
    addi a2, a2, 64;                                                                                                   \
    addi a1, a1, 64;                                                                                                   \
    addi a5, a5, 64;                                                                                                   \
    addi t4, t4, 64;

    .option norelax
    .text
    .balign 4
    .globl far_rvv_gemm_rows_wide_m1
    .hidden far_rvv_gemm_rows_wide_m1
    .type far_rvv_gemm_rows_wide_m1, @function
far_rvv_gemm_rows_wide_m1:
    vsetivli zero, 16, e32, m1, ta, ma
    add a6, a0, a1
    add a7, a6, a1
    add t0, a7, a1
    add t1, t0, a1
    add t2, t1, a1
    add t3, t2, a1
    add a1, a2, a5
    add t4, a1, a5
    add t5, t4, a5
    mv a5, t4
    mv t4, t5
    /* The biases. */
    vle32.v v0, (a2)
    vle32.v v1, (a1)
    vle32.v v2, (a5)
    vle32.v v3, (t4)
    addi a2, a2, 64
    addi a1, a1, 64
    addi a5, a5, 64
    addi t4, t4, 64
    EACH_ROW(START)
    beqz a3, 5f
    LOAD(0)
    li t5, 5
    j 2f
1:  /* Four depths; what is loaded last belongs to the one after them. */
    EACH_ROW(TAKE)
    LOAD(4)
    EACH_ROW(TAKE)
    LOAD(8)
    EACH_ROW(TAKE)
    LOAD(12)
    EACH_ROW(TAKE)
    LOAD(16)
    EACH_ROW(ADVANCE_4)
    addi a3, a3, -4
2:  bgeu a3, t5, 1b
    li t5, 2
    j 4f
3:  /* One depth. */
    EACH_ROW(TAKE)
    LOAD(4)
    EACH_ROW(ADVANCE_1)
    addi a3, a3, -1
4:  bgeu a3, t5, 3b
    EACH_ROW(TAKE)
5:  addi t4, a4, 7 * 64
    addi t5, a4, 2 * 7 * 64
    addi t6, a4, 3 * 7 * 64
    EACH_ROW(STORE)
    ret
    .size far_rvv_gemm_rows_wide_m1, . - far_rvv_gemm_rows_wide_m1
    .section .note.GNU-stack, "", @progbits
