/*
 * The integer sums R h of the gates of 16 units, or of 8, for blocks of 16 depths:
 *
 *     void far_rvv_lstm_i8_64_mLMUL(const int8_t *h, const int8_t *w, const uint8_t *runs, int32_t *sums)
 *     void far_rvv_lstm_i8_32_mLMUL(the same)
 *
 * The name's 64 or 32 lanes are `w`'s bytes for each depth, and `sums`' words. They are taken in groups of a register of
 * bytes, whose sums don't wait for one another. `runs` is as for gemm_i8_rows.S, and so are the reasons for assembly. Of
 * `h`, 8 bytes behind the last block are loaded and not used.
 */

/* For each group its sums, those of the run, its weights of an even and of an odd depth. */
#if FAR_LMUL == 4
#define NAME(lanes) far_rvv_lstm_i8_##lanes##_m4
#define EACH_32(DO, ...) DO(v16, v8, v0, v4, __VA_ARGS__) DO(v20, v10, v1, v5, __VA_ARGS__)
#define EACH_64(DO, ...)                                                                                               \
    EACH_32(DO, __VA_ARGS__) DO(v24, v12, v2, v6, __VA_ARGS__) DO(v28, v14, v3, v7, __VA_ARGS__)
#define LOAD_32 vl2re8.v
#define LOAD_64 vl4re8.v
#define LANES_32 16
#define LANES_64 16
#elif FAR_LMUL == 2
#define NAME(lanes) far_rvv_lstm_i8_##lanes##_m2
#define EACH_32(DO, ...) DO(v16, v8, v0, v4, __VA_ARGS__)
#define EACH_64(DO, ...) EACH_32(DO, __VA_ARGS__) DO(v20, v10, v1, v5, __VA_ARGS__)
#define LOAD_32 vl1re8.v
#define LOAD_64 vl2re8.v
#define LANES_32 32
#define LANES_64 32
#else
#define NAME(lanes) far_rvv_lstm_i8_##lanes##_m1
#define EACH_32(DO, ...) DO(v16, v8, v0, v4, __VA_ARGS__)
#define EACH_64(DO, ...) EACH_32(DO, __VA_ARGS__)
#define LOAD_32 vle8.v
#define LOAD_64 vle8.v
#define LANES_32 32
#define LANES_64 64
#endif

#define ZERO(acc, run, even, odd, ...) vmv.v.i acc, 0;
#define MUL_EVEN(acc, run, even, odd, x) vwmul.vx run, even, x;
#define MAC_EVEN(acc, run, even, odd, x) vwmacc.vx run, x, even;
#define MAC_ODD(acc, run, even, odd, x) vwmacc.vx run, x, odd;
#define ADD(acc, run, even, odd, ...) vwadd.wv acc, acc, run;
#define STORE(acc, run, even, odd, lanes) vse32.v acc, (a3); addi a3, a3, 4 * lanes;

/* The weights of eight depths are at a1, t3 ... s2, those of the next eight 8 times the lanes further. */
#define ADVANCE(lanes)                                                                                                 \
    addi a1, a1, 8 * lanes;                                                                                            \
    addi t3, t3, 8 * lanes;                                                                                            \
    addi t4, t4, 8 * lanes;                                                                                            \
    addi t5, t5, 8 * lanes;                                                                                            \
    addi t6, t6, 8 * lanes;                                                                                            \
    addi s0, s0, 8 * lanes;                                                                                            \
    addi s1, s1, 8 * lanes;                                                                                            \
    addi s2, s2, 8 * lanes;
/* Two depths, whose elements of h are in x and y; the weights and elements that come next, `to` past a0. */
#define PAIR(lanes, DO, x, y, middle, next, to)                                                                        \
    LOAD_##lanes v4, (middle);                                                                                         \
    EACH_##lanes(DO, x)                                                                                                \
    lb x, to(a0);                                                                                                      \
    LOAD_##lanes v0, (next);                                                                                           \
    EACH_##lanes(MAC_ODD, y)                                                                                           \
    lb y, to + 1(a0);
/* The last of eight depths but for their end, which is one of those that follow. */
#define PAIR_6(lanes, DO, to)                                                                                          \
    LOAD_##lanes v4, (s2);                                                                                             \
    EACH_##lanes(DO, s3)                                                                                               \
    lb s3, to(a0);
#define MIDDLE(lanes)                                                                                                  \
    ADVANCE(lanes)                                                                                                     \
    LOAD_##lanes v0, (a1);                                                                                             \
    EACH_##lanes(MAC_ODD, s4)                                                                                          \
    lb s4, 15(a0);
#define LAST(lanes)                                                                                                    \
    EACH_##lanes(MAC_ODD, s4)                                                                                          \
    lb s4, 23(a0);                                                                                                     \
    vsetvli zero, zero, e16, m2, ta, ma;                                                                               \
    ADVANCE(lanes)                                                                                                     \
    addi a0, a0, 16;                                                                                                   \
    addi a2, a2, 1;                                                                                                    \
    lbu t0, 0(a2);                                                                                                     \
    EACH_##lanes(ADD)                                                                                                  \
    vsetvli zero, zero, e8, m1, ta, ma;
#define ADD_RUN(lanes)                                                                                                 \
    vsetvli zero, zero, e16, m2, ta, ma;                                                                               \
    EACH_##lanes(ADD)                                                                                                  \
    vsetvli zero, zero, e8, m1, ta, ma;
#define GO_ON(lanes)
/* Eight depths by what begins at the third, fifth and seventh of them, and what is done before. */
#define EIGHT(lanes, BEGIN, AFTER_2, DO_2, AFTER_4, DO_4, AFTER_6, DO_6, to)                                           \
    PAIR(lanes, BEGIN, a4, a5, t3, t4, to)                                                                             \
    AFTER_2(lanes)                                                                                                     \
    PAIR(lanes, DO_2, a6, a7, t5, t6, to + 2)                                                                          \
    AFTER_4(lanes)                                                                                                     \
    PAIR(lanes, DO_4, t1, t2, s0, s1, to + 4)                                                                          \
    AFTER_6(lanes)                                                                                                     \
    PAIR_6(lanes, DO_6, to + 6)
#define EIGHT_BY_8(lanes, BEGIN, to) EIGHT(lanes, BEGIN, GO_ON, MAC_EVEN, GO_ON, MAC_EVEN, GO_ON, MAC_EVEN, to)
#define EIGHT_BY_4(lanes, to) EIGHT(lanes, MUL_EVEN, GO_ON, MAC_EVEN, ADD_RUN, MUL_EVEN, GO_ON, MAC_EVEN, to)
#define EIGHT_BY_2(lanes, to) EIGHT(lanes, MUL_EVEN, ADD_RUN, MUL_EVEN, ADD_RUN, MUL_EVEN, ADD_RUN, MUL_EVEN, to)

#define FUNCTION(lanes)                                                                                                \
    .balign 4;                                                                                                         \
    .globl NAME(lanes);                                                                                                \
    .hidden NAME(lanes);                                                                                               \
    .type NAME(lanes), @function;                                                                                      \
NAME(lanes):                                                                                                           \
    addi sp, sp, -48;                                                                                                  \
    sd s0, 0(sp);                                                                                                      \
    sd s1, 8(sp);                                                                                                      \
    sd s2, 16(sp);                                                                                                     \
    sd s3, 24(sp);                                                                                                     \
    sd s4, 32(sp);                                                                                                     \
    addi t3, a1, lanes;                                                                                                \
    addi t4, a1, 2 * lanes;                                                                                            \
    addi t5, a1, 3 * lanes;                                                                                            \
    addi t6, a1, 4 * lanes;                                                                                            \
    addi s0, a1, 5 * lanes;                                                                                            \
    addi s1, a1, 6 * lanes;                                                                                            \
    addi s2, a1, 7 * lanes;                                                                                            \
    li t0, LANES_##lanes;                                                                                              \
    vsetvli zero, t0, e32, m4, ta, ma;                                                                                 \
    EACH_##lanes(ZERO)                                                                                                 \
    vsetvli zero, zero, e8, m1, ta, ma;                                                                                \
    lb a4, 0(a0);                                                                                                      \
    lb a5, 1(a0);                                                                                                      \
    lb a6, 2(a0);                                                                                                      \
    lb a7, 3(a0);                                                                                                      \
    lb t1, 4(a0);                                                                                                      \
    lb t2, 5(a0);                                                                                                      \
    lb s3, 6(a0);                                                                                                      \
    lb s4, 7(a0);                                                                                                      \
    lbu t0, 0(a2);                                                                                                     \
    bnez t0, 2f;                                                                                                       \
1:  /* Of 16 depths. */                                                                                                \
    LOAD_##lanes v0, (a1);                                                                                             \
    EIGHT_BY_8(lanes, MUL_EVEN, 8)                                                                                     \
    MIDDLE(lanes)                                                                                                      \
    EIGHT_BY_8(lanes, MAC_EVEN, 16)                                                                                    \
    LAST(lanes)                                                                                                        \
    beqz t0, 1b;                                                                                                       \
2:  addi t0, t0, -1;                                                                                                   \
    bnez t0, 4f;                                                                                                       \
3:  /* Of 8. */                                                                                                        \
    LOAD_##lanes v0, (a1);                                                                                             \
    EIGHT_BY_8(lanes, MUL_EVEN, 8)                                                                                     \
    MIDDLE(lanes)                                                                                                      \
    ADD_RUN(lanes)                                                                                                     \
    EIGHT_BY_8(lanes, MUL_EVEN, 16)                                                                                    \
    LAST(lanes)                                                                                                        \
    beqz t0, 1b;                                                                                                       \
    addi t0, t0, -1;                                                                                                   \
    beqz t0, 3b;                                                                                                       \
4:  addi t0, t0, -1;                                                                                                   \
    bnez t0, 5f;                                                                                                       \
    /* Of 4. */                                                                                                        \
    LOAD_##lanes v0, (a1);                                                                                             \
    EIGHT_BY_4(lanes, 8)                                                                                               \
    MIDDLE(lanes)                                                                                                      \
    ADD_RUN(lanes)                                                                                                     \
    EIGHT_BY_4(lanes, 16)                                                                                              \
    LAST(lanes)                                                                                                        \
    beqz t0, 1b;                                                                                                       \
    j 2b;                                                                                                              \
5:  addi t0, t0, -1;                                                                                                   \
    bnez t0, 6f;                                                                                                       \
    /* Of 2. */                                                                                                        \
    LOAD_##lanes v0, (a1);                                                                                             \
    EIGHT_BY_2(lanes, 8)                                                                                               \
    MIDDLE(lanes)                                                                                                      \
    ADD_RUN(lanes)                                                                                                     \
    EIGHT_BY_2(lanes, 16)                                                                                              \
    LAST(lanes)                                                                                                        \
    beqz t0, 1b;                                                                                                       \
    j 2b;                                                                                                              \
6:  vsetvli zero, zero, e32, m4, ta, ma;                                                                               \
    EACH_##lanes(STORE, LANES_##lanes)                                                                                 \
    ld s0, 0(sp);                                                                                                      \
    ld s1, 8(sp);                                                                                                      \
    ld s2, 16(sp);                                                                                                     \
    ld s3, 24(sp);                                                                                                     \
    ld s4, 32(sp);                                                                                                     \
    addi sp, sp, 48;                                                                                                   \
    ret;                                                                                                               \
    .size NAME(lanes), . - NAME(lanes);

    .option norelax
    .text
FUNCTION(64)
FUNCTION(32)
    .section .note.GNU-stack, "", @progbits
