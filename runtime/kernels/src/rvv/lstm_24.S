/*
 * The gates' input half plus R h of the last 24 units, a block of 16 and one of 8, at VLEN 512:
 *
 *     void far_rvv_lstm_24_m1(size_t hidden, const float *gates, const float *w16, const float *w8, const float *h,
 *                             float *sums)
 *
 * `w16` and `w8` are the weights of the two blocks; `sums` is as the gates are, 4 * 16 and then 4 * 8 elements. The
 * four gates of the one block fill four registers and those of the other two. A multiply-add takes two of them: three
 * sums side by side, so that a core which works in order need not wait for one of them, as it must in a block of 8
 * alone. In assembly for the sake of where the loads stand, and because the four registers are loaded as such: no
 * change of configuration.
 */

/* A depth: its element of h is in x and its weights in a, b, c; those of the next go to y and the others. */
#define DEPTH(x, a, b, c, y, next_ab, next_c, at)                                                                      \
    vfmacc.vf v8, x, a;                                                                                                \
    vle32.v next_c, (a3);                                                                                              \
    flw y, at(a4);                                                                                                     \
    vfmacc.vf v10, x, b;                                                                                               \
    vl4re32.v next_ab, (a2);                                                                                           \
    addi a3, a3, 128;                                                                                                  \
    vfmacc.vf v12, x, c;                                                                                               \
    addi a2, a2, 256;
#define EVEN(at) DEPTH(fa0, v16, v18, v20, fa1, v24, v28, at)
#define ODD(at) DEPTH(fa1, v24, v26, v28, fa0, v16, v20, at)
#define LAST(x, a, b, c)                                                                                               \
    vfmacc.vf v8, x, a;                                                                                                \
    vfmacc.vf v10, x, b;                                                                                               \
    vfmacc.vf v12, x, c;

    .option norelax
    .text
    .balign 4
    .globl far_rvv_lstm_24_m1
    .hidden far_rvv_lstm_24_m1
    .type far_rvv_lstm_24_m1, @function
far_rvv_lstm_24_m1:
    li t0, 32
    vsetvli zero, t0, e32, m2, ta, ma
    addi t1, a1, 256
    vl4re32.v v8, (a1)
    vle32.v v12, (t1)
    vl4re32.v v16, (a2)
    vle32.v v20, (a3)
    flw fa0, 0(a4)
    addi a2, a2, 256
    addi a3, a3, 128
    /* Up to two depths stay behind the loop. */
    addi a0, a0, -1
    andi t2, a0, -2
    slli t2, t2, 2
    add t2, a4, t2
    beq a4, t2, 2f
1:  EVEN(4)
    ODD(8)
    addi a4, a4, 8
    bne a4, t2, 1b
2:  andi a0, a0, 1
    beqz a0, 3f
    EVEN(4)
    LAST(fa1, v24, v26, v28)
    j 4f
3:  LAST(fa0, v16, v18, v20)
4:  addi t1, a5, 256
    vs4r.v v8, (a5)
    vse32.v v12, (t1)
    ret
    .size far_rvv_lstm_24_m1, . - far_rvv_lstm_24_m1
    .section .note.GNU-stack, "", @progbits
