/*
 * What the int8 kernels share: how numbers are quantised, as quantize.rs says, and how long runs of sums in 16 bits may
 * be. Norms are squares: sums of the squares of integers. A block is 16 depths; what is said of its runs is said for
 * runs of 16, 8 and 4 depths, as of the largest of them. Runs of 2 always fit: 2 * 127 * 127 < 2^15.
 */
#ifndef FAR_RVV_INT8_H
#define FAR_RVV_INT8_H

#include "far_rvv.h"

/* Depths of a block. */
#define DEPTHS ((size_t)16)
/* Lengths of runs that are told apart by norms. */
#define LENGTHS ((size_t)3)
/* Bytes of a panel's header: its scales, its biases, 4 bytes a block that limit runs, in whole cache lines. */
#define INT8_HEADER(blocks) (128 + ((blocks) + 15) / 16 * 64)

/* The next address for whole blocks of a row. */
static inline int8_t *aligned(void *memory) {
    return (int8_t *)(((uintptr_t)memory + DEPTHS - 1) & ~(uintptr_t)(DEPTHS - 1));
}

static inline float float_of(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

/* The bits of the largest magnitude. */
static inline uint32_t largest_magnitude(const float *x, size_t n) {
    const size_t all = __riscv_vsetvlmax_e32m4();
    vuint32m4_t largest = __riscv_vmv_v_x_u32m4(0, all);
    for (size_t vl; n > 0; n -= vl, x += vl) {
        vl = __riscv_vsetvl_e32m4(n);
        const vuint32m4_t bits = __riscv_vle32_v_u32m4((const uint32_t *)x, vl);
        largest = __riscv_vmaxu_tu(largest, largest, __riscv_vand(bits, 0x7fffffff, vl), vl);
    }
    return __riscv_vmv_x(__riscv_vredmaxu(largest, __riscv_vmv_v_x_u32m1(0, 1), all));
}

static inline float scale_of(uint32_t largest) {
    return largest < 0x7f800000 ? float_of(largest) / 127.0f : __builtin_nanf("");
}

static inline float inverse_of(uint32_t largest) {
    const float inverse = 127.0f / float_of(largest);
    return __builtin_isfinite(inverse) ? inverse : 0.0f;
}

/* The norms of the two runs of 4 in each 8 bytes, side by side in 32 bits. */
static inline vuint32m1_t norms_of_4(vuint64m2_t bytes, size_t count) {
    const vuint16m2_t pairs = __riscv_vreinterpret_u16m2(bytes);
    const vint8m1_t even = __riscv_vreinterpret_i8m1(__riscv_vnsrl(pairs, 0, 4 * count));
    const vint8m1_t odd = __riscv_vreinterpret_i8m1(__riscv_vnsrl(pairs, 8, 4 * count));
    const vint16m2_t squares = __riscv_vwmacc(__riscv_vwmul(even, even, 4 * count), odd, odd, 4 * count);
    const vuint32m2_t of_4 = __riscv_vreinterpret_u32m2(__riscv_vreinterpret_u16m2(squares));
    const vuint16m1_t low = __riscv_vnsrl(of_4, 0, 2 * count);
    return __riscv_vreinterpret_u32m1(__riscv_vadd(low, __riscv_vnsrl(of_4, 16, 2 * count), 2 * count));
}

/* Raises the norms, `blocks` for each length, to those of a row whose blocks are `stride` bytes apart. */
static inline void raise_norms(const int8_t *row, size_t stride, size_t blocks, uint32_t *norms) {
    uint32_t *of_16 = norms, *of_8 = norms + blocks, *of_4 = norms + 2 * blocks;
    for (size_t left = blocks, vl; left > 0; left -= vl, row += vl * stride, of_16 += vl, of_8 += vl, of_4 += vl) {
        vl = __riscv_vsetvl_e64m2(left);
        const vuint32m1_t a = norms_of_4(__riscv_vlse64_v_u64m2((const uint64_t *)row, (ptrdiff_t)stride, vl), vl);
        const vuint32m1_t b = norms_of_4(__riscv_vlse64_v_u64m2((const uint64_t *)(row + 8), (ptrdiff_t)stride, vl), vl);
        const vuint32m1_t a0 = __riscv_vand(a, 0xffff, vl), a1 = __riscv_vsrl(a, 16, vl);
        const vuint32m1_t b0 = __riscv_vand(b, 0xffff, vl), b1 = __riscv_vsrl(b, 16, vl);
        const vuint32m1_t a01 = __riscv_vadd(a0, a1, vl), b01 = __riscv_vadd(b0, b1, vl);
        const vuint32m1_t largest = __riscv_vmaxu(__riscv_vmaxu(a0, a1, vl), __riscv_vmaxu(b0, b1, vl), vl);
        __riscv_vse32(of_16, __riscv_vmaxu(__riscv_vle32_v_u32m1(of_16, vl), __riscv_vadd(a01, b01, vl), vl), vl);
        __riscv_vse32(of_8, __riscv_vmaxu(__riscv_vle32_v_u32m1(of_8, vl), __riscv_vmaxu(a01, b01, vl), vl), vl);
        __riscv_vse32(of_4, __riscv_vmaxu(__riscv_vle32_v_u32m1(of_4, vl), largest, vl), vl);
    }
}

/*
 * Lowers the limits, `blocks` for each length, to those of some weights, or begins with them. `said` of the blocks have
 * 4 bytes, for each length half of the root of the largest norm that is safe; of the others only a norm of 0 is.
 */
static inline void lower_limits(const uint8_t *halves, size_t blocks, size_t said, bool begin, uint32_t *limits) {
    for (size_t block = 0; block < blocks; block++) {
        for (size_t length = 0; length < LENGTHS; length++) {
            const uint32_t half = block < said ? halves[4 * block + length] : 0, limit = 4 * half * half;
            uint32_t *to = limits + length * blocks + block;
            *to = begin || limit < *to ? limit : *to;
        }
    }
}

/* For each block 0, 1, 2 or 3 for runs of 16, 8, 4 or 2; then 4 for the end. */
static inline void choose_runs(const uint32_t *norms, const uint32_t *limits, size_t blocks, uint8_t *runs) {
    for (size_t i = 0, vl; i < blocks; i += vl) {
        vl = __riscv_vsetvl_e32m4(blocks - i);
        vuint8m1_t choice = __riscv_vmv_v_x_u8m1(LENGTHS, vl);
        for (size_t length = LENGTHS; length-- > 0;) {
            const vuint32m4_t norm = __riscv_vle32_v_u32m4(norms + length * blocks + i, vl);
            const vuint32m4_t limit = __riscv_vle32_v_u32m4(limits + length * blocks + i, vl);
            choice = __riscv_vmerge(choice, length, __riscv_vmsleu(norm, limit, vl), vl);
        }
        __riscv_vse8(runs + i, choice, vl);
    }
    runs[blocks] = LENGTHS + 1;
}

#endif /* FAR_RVV_INT8_H */
