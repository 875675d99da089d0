/*
 * The integer sums of 5 rows, or of one, with the weights of some panels side by side, as many lanes as a register has
 * bytes or fewer:
 *
 *     void far_rvv_gemm_i8_rows_5(const int8_t *a, const int8_t *w, int32_t *sums, size_t lanes, const uint8_t *runs)
 *     void far_rvv_gemm_i8_rows_1(the same)
 *
 * `a` points to a row of a tile as gemm_i8.c lays it out: blocks of 16 depths, in a block 5 rows of 16 bytes. `w` has
 * `lanes` bytes for each depth, `sums` gets `lanes` words for each row.
 *
 * A product of two bytes is added to 16 bits, in half the time that adding to 32 takes, and a run of such sums to 32
 * bits at its end. `runs` says for each block how long its runs may be: 0 for 16 depths, 1 for 8, 2 for 4, 3 for 2; 4
 * ends the blocks.
 *
 * In assembly for the sake of cores that work in order and end instructions in order: what the next depth needs is
 * loaded exactly where the register gets free, and pointers advance all at once. Compilers do neither. Of the block
 * behind the last one, elements are loaded and not used: gemm_i8.c has memory there.
 */

/* For each row its number, its sums, those of the run, its element of `a`. The weights are in v0 and v1 in turns. */
#define EACH_1(DO, ...) DO(0, v12, v2, a5, __VA_ARGS__)
#define EACH_5(DO, ...)                                                                                                \
    EACH_1(DO, __VA_ARGS__)                                                                                            \
    DO(1, v16, v4, a6, __VA_ARGS__)                                                                                    \
    DO(2, v20, v6, a7, __VA_ARGS__)                                                                                    \
    DO(3, v24, v8, t1, __VA_ARGS__)                                                                                    \
    DO(4, v28, v10, t2, __VA_ARGS__)

#define ZERO(row, acc, run, x, ...) vmv.v.i acc, 0;
#define LOAD(row, acc, run, x, at) lb x, 16 * row + at(a0);
#define MUL(row, acc, run, x, w, next) vwmul.vx run, w, x; lb x, 16 * row + next(a0);
#define MAC(row, acc, run, x, w, next) vwmacc.vx run, x, w; lb x, 16 * row + next(a0);
#define END(row, acc, run, x, w, ...) vwmacc.vx run, x, w;
#define ADD(row, acc, run, x, next) vwadd.wv acc, acc, run; lb x, 16 * row + next(a0);
#define STORE(row, acc, run, x, ...) vse32.v acc, (a2); add a2, a2, a3;

/* The weights of eight depths are at a1, t3 ... s2, those of the next eight a3 bytes further. */
#define ADVANCE                                                                                                        \
    add a1, a1, a3;                                                                                                    \
    add t3, t3, a3;                                                                                                    \
    add t4, t4, a3;                                                                                                    \
    add t5, t5, a3;                                                                                                    \
    add t6, t6, a3;                                                                                                    \
    add s0, s0, a3;                                                                                                    \
    add s1, s1, a3;                                                                                                    \
    add s2, s2, a3;

/* Pairs of depths by the number of the first. They begin a run or not, as DO says, and end it where LAST is END. */
#define PAIR(EACH, DO, LAST, at, middle, next)                                                                         \
    vle8.v v1, (middle);                                                                                               \
    EACH(DO, v0, at + 1)                                                                                               \
    vle8.v v0, (next);                                                                                                 \
    EACH(LAST, v1, at + 2)
#define PAIR_0(EACH, DO, LAST, at) PAIR(EACH, DO, LAST, at, t3, t4)
#define PAIR_2(EACH, DO, LAST, at) PAIR(EACH, DO, LAST, at + 2, t5, t6)
#define PAIR_4(EACH, DO, LAST, at) PAIR(EACH, DO, LAST, at + 4, s0, s1)
/* The last of eight depths, and of a block. */
#define PAIR_6(EACH, DO, LAST, at)                                                                                     \
    vle8.v v1, (s2);                                                                                                   \
    EACH(DO, v0, at + 7)                                                                                               \
    ADVANCE                                                                                                            \
    vle8.v v0, (a1);                                                                                                   \
    EACH(LAST, v1, at + 8)
#define PAIR_14(EACH, DO)                                                                                              \
    vle8.v v1, (s2);                                                                                                   \
    EACH(DO, v0, 15)                                                                                                   \
    EACH(END, v1)

/* The run's sums are added; the elements are loaded that are `next` past a0. */
#define ADD_RUN(EACH, next)                                                                                            \
    vsetvli zero, zero, e16, m2, ta, ma;                                                                               \
    EACH(ADD, next)                                                                                                    \
    vsetvli zero, zero, e8, m1, ta, ma;
/* And then the next block begins, of which t0 says the runs. */
#define ADD_LAST_RUN(EACH)                                                                                             \
    vsetvli zero, zero, e16, m2, ta, ma;                                                                               \
    ADVANCE                                                                                                            \
    addi a0, a0, 80;                                                                                                   \
    addi a4, a4, 1;                                                                                                    \
    lbu t0, 0(a4);                                                                                                     \
    EACH(ADD, 0)                                                                                                       \
    vsetvli zero, zero, e8, m1, ta, ma;

#define FUNCTION(NAME, EACH)                                                                                           \
    .balign 4;                                                                                                         \
    .globl NAME;                                                                                                       \
    .hidden NAME;                                                                                                      \
    .type NAME, @function;                                                                                             \
NAME:                                                                                                                  \
    addi sp, sp, -32;                                                                                                  \
    sd s0, 0(sp);                                                                                                      \
    sd s1, 8(sp);                                                                                                      \
    sd s2, 16(sp);                                                                                                     \
    add t3, a1, a3;                                                                                                    \
    add t4, t3, a3;                                                                                                    \
    add t5, t4, a3;                                                                                                    \
    add t6, t5, a3;                                                                                                    \
    add s0, t6, a3;                                                                                                    \
    add s1, s0, a3;                                                                                                    \
    add s2, s1, a3;                                                                                                    \
    vsetvli zero, a3, e32, m4, ta, ma;                                                                                 \
    slli a3, a3, 3;                                                                                                    \
    EACH(ZERO)                                                                                                         \
    vsetvli zero, zero, e8, m1, ta, ma;                                                                                \
    EACH(LOAD, 0)                                                                                                      \
    lbu t0, 0(a4);                                                                                                     \
    bnez t0, 2f;                                                                                                       \
1:  /* Of 16 depths. */                                                                                                \
    vle8.v v0, (a1);                                                                                                   \
    PAIR_0(EACH, MUL, MAC, 0)                                                                                          \
    PAIR_2(EACH, MAC, MAC, 0)                                                                                          \
    PAIR_4(EACH, MAC, MAC, 0)                                                                                          \
    PAIR_6(EACH, MAC, MAC, 0)                                                                                          \
    PAIR_0(EACH, MAC, MAC, 8)                                                                                          \
    PAIR_2(EACH, MAC, MAC, 8)                                                                                          \
    PAIR_4(EACH, MAC, MAC, 8)                                                                                          \
    PAIR_14(EACH, MAC)                                                                                                 \
    ADD_LAST_RUN(EACH)                                                                                                 \
    beqz t0, 1b;                                                                                                       \
2:  addi t0, t0, -1;                                                                                                   \
    bnez t0, 4f;                                                                                                       \
3:  /* Of 8. */                                                                                                        \
    vle8.v v0, (a1);                                                                                                   \
    PAIR_0(EACH, MUL, MAC, 0)                                                                                          \
    PAIR_2(EACH, MAC, MAC, 0)                                                                                          \
    PAIR_4(EACH, MAC, MAC, 0)                                                                                          \
    PAIR_6(EACH, MAC, END, 0)                                                                                          \
    ADD_RUN(EACH, 8)                                                                                                   \
    PAIR_0(EACH, MUL, MAC, 8)                                                                                          \
    PAIR_2(EACH, MAC, MAC, 8)                                                                                          \
    PAIR_4(EACH, MAC, MAC, 8)                                                                                          \
    PAIR_14(EACH, MAC)                                                                                                 \
    ADD_LAST_RUN(EACH)                                                                                                 \
    beqz t0, 1b;                                                                                                       \
    addi t0, t0, -1;                                                                                                   \
    beqz t0, 3b;                                                                                                       \
4:  addi t0, t0, -1;                                                                                                   \
    bnez t0, 6f;                                                                                                       \
5:  /* Of 4. */                                                                                                        \
    vle8.v v0, (a1);                                                                                                   \
    PAIR_0(EACH, MUL, MAC, 0)                                                                                          \
    PAIR_2(EACH, MAC, END, 0)                                                                                          \
    ADD_RUN(EACH, 4)                                                                                                   \
    PAIR_4(EACH, MUL, MAC, 0)                                                                                          \
    PAIR_6(EACH, MAC, END, 0)                                                                                          \
    ADD_RUN(EACH, 8)                                                                                                   \
    PAIR_0(EACH, MUL, MAC, 8)                                                                                          \
    PAIR_2(EACH, MAC, END, 8)                                                                                          \
    ADD_RUN(EACH, 12)                                                                                                  \
    PAIR_4(EACH, MUL, MAC, 8)                                                                                          \
    PAIR_14(EACH, MAC)                                                                                                 \
    ADD_LAST_RUN(EACH)                                                                                                 \
    beqz t0, 1b;                                                                                                       \
    j 2b;                                                                                                              \
6:  addi t0, t0, -1;                                                                                                   \
    bnez t0, 8f;                                                                                                       \
7:  /* Of 2. */                                                                                                        \
    vle8.v v0, (a1);                                                                                                   \
    PAIR_0(EACH, MUL, END, 0)                                                                                          \
    ADD_RUN(EACH, 2)                                                                                                   \
    PAIR_2(EACH, MUL, END, 0)                                                                                          \
    ADD_RUN(EACH, 4)                                                                                                   \
    PAIR_4(EACH, MUL, END, 0)                                                                                          \
    ADD_RUN(EACH, 6)                                                                                                   \
    PAIR_6(EACH, MUL, END, 0)                                                                                          \
    ADD_RUN(EACH, 8)                                                                                                   \
    PAIR_0(EACH, MUL, END, 8)                                                                                          \
    ADD_RUN(EACH, 10)                                                                                                  \
    PAIR_2(EACH, MUL, END, 8)                                                                                          \
    ADD_RUN(EACH, 12)                                                                                                  \
    PAIR_4(EACH, MUL, END, 8)                                                                                          \
    ADD_RUN(EACH, 14)                                                                                                  \
    PAIR_14(EACH, MUL)                                                                                                 \
    ADD_LAST_RUN(EACH)                                                                                                 \
    beqz t0, 1b;                                                                                                       \
    j 2b;                                                                                                              \
8:  vsetvli zero, zero, e32, m4, ta, ma;                                                                               \
    srli a3, a3, 1;                                                                                                    \
    EACH(STORE)                                                                                                        \
    ld s0, 0(sp);                                                                                                      \
    ld s1, 8(sp);                                                                                                      \
    ld s2, 16(sp);                                                                                                     \
    addi sp, sp, 32;                                                                                                   \
    ret;                                                                                                               \
    .size NAME, . - NAME;

    .option norelax
    .text
FUNCTION(far_rvv_gemm_i8_rows_5, EACH_5)
FUNCTION(far_rvv_gemm_i8_rows_1, EACH_1)
    .section .note.GNU-stack, "", @progbits
