/*
 * Products of 10 rows, or of one, with weights of half a panel, of one, or of two side by side, added to sums in f32:
 *
 *     void far_rvv_gemm_f16_rows_10(const _Float16 *a, const _Float16 *w, float *sums, size_t depths, size_t lanes,
 *                                   size_t pitch, _Float16 *kept)
 *     void far_rvv_gemm_f16_rows_1(the same)
 *
 * `a` points to a row of a tile as gemm_f16.c lays it out: blocks of 16 depths, in a block 10 rows of 16 halves. Rows
 * of `w` are `pitch` bytes apart, those of `sums` twice as many; `lanes` of them are taken, as many halves as a
 * register holds or fewer. `depths` is even, and not 0. `kept` has `pitch` bytes for each row.
 *
 * A run of 32 products is summed up in half precision, from 0; four runs are added one after the other, from 0, and then
 * to the sum in f32. In assembly for the sake of cores that work in order and end instructions in order, as gemm_i8_rows.S. Of the block
 * behind the last one, elements are loaded and not used: gemm_f16.c has memory there.
 */

/* For each row its number, its sums, those of the run, its element of `a`. The weights are in v0 and v1 in turns. */
#define EACH_1(DO, ...) DO(0, v12, v2, ft0, __VA_ARGS__)
#define EACH_10(DO, ...)                                                                                               \
    EACH_1(DO, __VA_ARGS__)                                                                                            \
    DO(1, v14, v3, ft1, __VA_ARGS__)                                                                                   \
    DO(2, v16, v4, ft2, __VA_ARGS__)                                                                                   \
    DO(3, v18, v5, ft3, __VA_ARGS__)                                                                                   \
    DO(4, v20, v6, ft4, __VA_ARGS__)                                                                                   \
    DO(5, v22, v7, ft5, __VA_ARGS__)                                                                                   \
    DO(6, v24, v8, ft6, __VA_ARGS__)                                                                                   \
    DO(7, v26, v9, ft7, __VA_ARGS__)                                                                                   \
    DO(8, v28, v10, fa0, __VA_ARGS__)                                                                                  \
    DO(9, v30, v11, fa1, __VA_ARGS__)

#define BLOCK 320
#define BEGIN(row, acc, run, x, ...) vle32.v acc, (t0); add t0, t0, t6;
#define CLEAR(row, acc, run, x, ...) vmv.v.i run, 0;
#define LOAD(row, acc, run, x, at) flh x, 32 * row + at(a0);
#define TAKE(row, acc, run, x, w) vfmacc.vf run, x, w;
#define NEXT(row, acc, run, x, w, next) vfmacc.vf run, x, w; flh x, 32 * row + next(a0);
/* The end of a run: it is added to those before, or to 0. What they give is kept, or added to the sums in f32. */
#define FIRST(row, acc, run, x, ...) vfadd.vf run, run, ft8;
#define AFTER(row, acc, run, x, ...) vle16.v v0, (t0); add t0, t0, a5; vfadd.vv run, run, v0;
#define KEEP(row, acc, run, x, ...)                                                                                    \
    vse16.v run, (t0);                                                                                                 \
    add t0, t0, a5;                                                                                                    \
    flh x, 32 * row(a0);                                                                                               \
    vmv.v.i run, 0;
#define ADD(row, acc, run, x, ...) vfwadd.wv acc, acc, run; flh x, 32 * row(a0); vmv.v.i run, 0;
#define STORE(row, acc, run, x, ...) vse32.v acc, (a2); add a2, a2, t6;

/* The weights of eight depths are at a1, a6, a7, t1, t2, t3, t4, s0, and those of the next eight 8 a5 bytes further. */
#define ADVANCE                                                                                                        \
    add a1, a1, s1;                                                                                                    \
    add a6, a6, s1;                                                                                                    \
    add a7, a7, s1;                                                                                                    \
    add t1, t1, s1;                                                                                                    \
    add t2, t2, s1;                                                                                                    \
    add t3, t3, s1;                                                                                                    \
    add t4, t4, s1;                                                                                                    \
    add s0, s0, s1;
/* Two depths, `at` bytes past a0, and the weights that follow them. */
#define PAIR(EACH, at, middle, next)                                                                                   \
    vle16.v v1, (middle);                                                                                              \
    EACH(NEXT, v0, at + 2)                                                                                             \
    vle16.v v0, (next);                                                                                                \
    EACH(NEXT, v1, at + 4)
#define PAIRS_3(EACH, at)                                                                                              \
    PAIR(EACH, at, a6, a7)                                                                                             \
    PAIR(EACH, at + 4, t1, t2)                                                                                         \
    PAIR(EACH, at + 8, t3, t4)
/* The last of eight depths in a block, of a block, and of a run. */
#define MIDDLE_PAIR(EACH)                                                                                              \
    vle16.v v1, (s0);                                                                                                  \
    EACH(NEXT, v0, 14)                                                                                                 \
    ADVANCE                                                                                                            \
    vle16.v v0, (a1);                                                                                                  \
    EACH(NEXT, v1, 16)
#define BLOCK_PAIR(EACH)                                                                                               \
    vle16.v v1, (s0);                                                                                                  \
    EACH(NEXT, v0, 30)                                                                                                 \
    ADVANCE                                                                                                            \
    addi a0, a0, BLOCK;                                                                                                \
    vle16.v v0, (a1);                                                                                                  \
    EACH(NEXT, v1, 0)
#define LAST_PAIR(EACH)                                                                                                \
    vle16.v v1, (s0);                                                                                                  \
    EACH(NEXT, v0, 30)                                                                                                 \
    EACH(TAKE, v1)                                                                                                     \
    ADVANCE                                                                                                            \
    addi a0, a0, BLOCK;                                                                                                \
    addi a3, a3, -32;

#define FUNCTION(NAME, EACH)                                                                                           \
    .balign 4;                                                                                                         \
    .globl NAME;                                                                                                       \
    .hidden NAME;                                                                                                      \
    .type NAME, @function;                                                                                             \
NAME:                                                                                                                  \
    addi sp, sp, -48;                                                                                                  \
    sd s0, 0(sp);                                                                                                      \
    sd s1, 8(sp);                                                                                                      \
    sd s2, 16(sp);                                                                                                     \
    sd s3, 24(sp);                                                                                                     \
    sd s4, 32(sp);                                                                                                     \
    mv s3, a6;                                                                                                         \
    li s2, 0;                                                                                                          \
    li s4, 4;                                                                                                          \
    fmv.h.x ft8, zero;                                                                                                 \
    mv t0, a2;                                                                                                         \
    slli t6, a5, 1;                                                                                                    \
    vsetvli zero, a4, e32, m2, ta, ma;                                                                                 \
    EACH(BEGIN)                                                                                                        \
    vsetvli zero, zero, e16, m1, ta, ma;                                                                               \
    EACH(CLEAR)                                                                                                        \
    slli s1, a5, 3;                                                                                                    \
    add a6, a1, a5;                                                                                                    \
    add a7, a6, a5;                                                                                                    \
    add t1, a7, a5;                                                                                                    \
    add t2, t1, a5;                                                                                                    \
    add t3, t2, a5;                                                                                                    \
    add t4, t3, a5;                                                                                                    \
    add s0, t4, a5;                                                                                                    \
    EACH(LOAD, 0)                                                                                                      \
    li t5, 32;                                                                                                         \
    j 2f;                                                                                                              \
1:  vle16.v v0, (a1);                                                                                                  \
    PAIRS_3(EACH, 0)                                                                                                   \
    MIDDLE_PAIR(EACH)                                                                                                  \
    PAIRS_3(EACH, 16)                                                                                                  \
    BLOCK_PAIR(EACH)                                                                                                   \
    PAIRS_3(EACH, 0)                                                                                                   \
    MIDDLE_PAIR(EACH)                                                                                                  \
    PAIRS_3(EACH, 16)                                                                                                  \
    LAST_PAIR(EACH)                                                                                                    \
    bnez s2, 6f;                                                                                                       \
    EACH(FIRST)                                                                                                        \
5:  /* s2 runs before it. */                                                                                           \
    addi s2, s2, 1;                                                                                                    \
    beqz a3, 7f;                                                                                                       \
    beq s2, s4, 7f;                                                                                                    \
    mv t0, s3;                                                                                                         \
    EACH(KEEP)                                                                                                         \
2:  bgeu a3, t5, 1b;                                                                                                   \
    beqz a3, 9f;                                                                                                       \
    /* The rest of a run, two depths at a time. */                                                                     \
    li t6, 16;                                                                                                         \
3:  vle16.v v0, (a1);                                                                                                  \
    add t0, a1, a5;                                                                                                    \
    vle16.v v1, (t0);                                                                                                  \
    EACH(NEXT, v0, 2)                                                                                                  \
    add a1, t0, a5;                                                                                                    \
    addi a0, a0, 4;                                                                                                    \
    addi t6, t6, -2;                                                                                                   \
    bnez t6, 4f;                                                                                                       \
    addi a0, a0, BLOCK - 32;                                                                                           \
    li t6, 16;                                                                                                         \
4:  EACH(NEXT, v1, 0)                                                                                                  \
    addi a3, a3, -2;                                                                                                   \
    bnez a3, 3b;                                                                                                       \
    bnez s2, 6f;                                                                                                       \
    EACH(FIRST)                                                                                                        \
    j 5b;                                                                                                              \
6:  mv t0, s3;                                                                                                         \
    EACH(AFTER)                                                                                                        \
    j 5b;                                                                                                              \
7:  EACH(ADD)                                                                                                          \
    li s2, 0;                                                                                                          \
    j 2b;                                                                                                              \
9:  vsetvli zero, zero, e32, m2, ta, ma;                                                                               \
    slli t6, a5, 1;                                                                                                    \
    EACH(STORE)                                                                                                        \
    ld s0, 0(sp);                                                                                                      \
    ld s1, 8(sp);                                                                                                      \
    ld s2, 16(sp);                                                                                                     \
    ld s3, 24(sp);                                                                                                     \
    ld s4, 32(sp);                                                                                                     \
    addi sp, sp, 48;                                                                                                   \
    ret;                                                                                                               \
    .size NAME, . - NAME;

    .option norelax
    .text
FUNCTION(far_rvv_gemm_f16_rows_10, EACH_10)
FUNCTION(far_rvv_gemm_f16_rows_1, EACH_1)
    .section .note.GNU-stack, "", @progbits
