/*
 * The sums of 14 rows of `a` with the weights of one panel, which is two registers (VLEN 256):
 *
 *     void far_rvv_gemm_rows_m2(const float *a, size_t a_stride, const float *w, size_t k, float *sums)
 *
 * `a_stride` is in bytes; `sums` holds 14 rows of a panel.
 * As gemm_tile.h does it, in assembly for the sake of cores that work in order. What the next depth needs is loaded exactly
 * where the register gets free, one load after each multiply-add, so that none is waited for; and pointers advance all at
 * once, for a core that also ends instructions in order holds up a short one after a long one. Compilers do neither.
 */

/* For each row its accumulator, its element of `a`, and the pointer to it. */
#define EACH_ROW(DO)                                                                                                   \
    DO(v4, ft0, a0)                                                                                                    \
    DO(v6, ft1, a6)                                                                                                    \
    DO(v8, ft2, a7)                                                                                                    \
    DO(v10, ft3, t0)                                                                                                   \
    DO(v12, ft4, t1)                                                                                                   \
    DO(v14, ft5, t2)                                                                                                   \
    DO(v16, ft6, t3)                                                                                                   \
    DO(v18, ft7, t4)                                                                                                   \
    DO(v20, fa0, t5)                                                                                                   \
    DO(v22, fa1, t6)                                                                                                   \
    DO(v24, fa2, s0)                                                                                                   \
    DO(v26, fa3, s1)                                                                                                   \
    DO(v28, fa4, s2)                                                                                                   \
    DO(v30, fa5, s3)

/* Weights are taken from v0 and v2 in turns. */
#define FIRST(acc, x, pointer) flw x, 0(pointer);
#define START(acc, x, pointer) vmv.v.v acc, v0;
#define TAKE_EVEN(acc, x, pointer) vfmacc.vf acc, x, v0;
#define TAKE_ODD(acc, x, pointer) vfmacc.vf acc, x, v2;
#define EVEN_0(acc, x, pointer) TAKE_EVEN(acc, x, pointer) flw x, 4(pointer);
#define ODD_1(acc, x, pointer) TAKE_ODD(acc, x, pointer) flw x, 8(pointer);
#define EVEN_2(acc, x, pointer) TAKE_EVEN(acc, x, pointer) flw x, 12(pointer);
#define ODD_3(acc, x, pointer) TAKE_ODD(acc, x, pointer) flw x, 16(pointer);
#define EVEN_LAST(acc, x, pointer) TAKE_EVEN(acc, x, pointer) flw x, 4(pointer);
#define ADVANCE_4(acc, x, pointer) addi pointer, pointer, 16;
#define ADVANCE_1(acc, x, pointer) addi pointer, pointer, 4;
#define STORE(acc, x, pointer)                                                                                         \
    vse32.v acc, (a4);                                                                                                 \
    addi a4, a4, 64;

/* Weights of the next four depths are at a2, a1, a5, s4. */
#define LOAD_EVEN(from) vle32.v v0, (from);
#define LOAD_ODD(from) vle32.v v2, (from);

    .option norelax
    .text
    .balign 4
    .globl far_rvv_gemm_rows_m2
    .hidden far_rvv_gemm_rows_m2
    .type far_rvv_gemm_rows_m2, @function
far_rvv_gemm_rows_m2:
    addi sp, sp, -48
    sd s0, 0(sp)
    sd s1, 8(sp)
    sd s2, 16(sp)
    sd s3, 24(sp)
    sd s4, 32(sp)
    sd s5, 40(sp)
    vsetivli zero, 16, e32, m2, ta, ma
    add a6, a0, a1
    add a7, a6, a1
    add t0, a7, a1
    add t1, t0, a1
    add t2, t1, a1
    add t3, t2, a1
    add t4, t3, a1
    add t5, t4, a1
    add t6, t5, a1
    add s0, t6, a1
    add s1, s0, a1
    add s2, s1, a1
    add s3, s2, a1
    /* The biases, then the weights of depth 0. */
    vle32.v v0, (a2)
    EACH_ROW(START)
    beqz a3, 5f
    addi a2, a2, 64
    LOAD_EVEN(a2)
    EACH_ROW(FIRST)
    addi a2, a2, 64
    addi a1, a2, 64
    addi a5, a2, 128
    addi s4, a2, 192
    li s5, 5
    j 2f
1:  /* Four depths; what is loaded last belongs to the one after them. */
    LOAD_ODD(a2)
    EACH_ROW(EVEN_0)
    LOAD_EVEN(a1)
    EACH_ROW(ODD_1)
    LOAD_ODD(a5)
    EACH_ROW(EVEN_2)
    LOAD_EVEN(s4)
    EACH_ROW(ODD_3)
    EACH_ROW(ADVANCE_4)
    addi a2, a2, 256
    addi a1, a1, 256
    addi a5, a5, 256
    addi s4, s4, 256
    addi a3, a3, -4
2:  bgeu a3, s5, 1b
    li s5, 2
    j 4f
3:  /* One depth. */
    EACH_ROW(EVEN_LAST)
    LOAD_EVEN(a2)
    EACH_ROW(ADVANCE_1)
    addi a2, a2, 64
    addi a3, a3, -1
4:  bgeu a3, s5, 3b
    EACH_ROW(TAKE_EVEN)
5:  EACH_ROW(STORE)
    ld s0, 0(sp)
    ld s1, 8(sp)
    ld s2, 16(sp)
    ld s3, 24(sp)
    ld s4, 32(sp)
    ld s5, 40(sp)
    addi sp, sp, 48
    ret
    .size far_rvv_gemm_rows_m2, . - far_rvv_gemm_rows_m2
    .section .note.GNU-stack, "", @progbits
