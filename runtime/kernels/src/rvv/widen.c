/*
 * Half precision to f32 by integers and a multiplication, since V alone has no conversion; exact, subnormal numbers
 * included. For registers of any length.
 */
#include <riscv_vector.h>
#include <stddef.h>
#include <stdint.h>

/* Only an infinity or a NaN has more than this behind its sign. */
#define LARGEST_HALF 0x7bff

void far_rvv_widen(const uint16_t *from, size_t n, float *to);

void far_rvv_widen(const uint16_t *from, size_t n, float *to) {
    for (size_t vl; n > 0; n -= vl, from += vl, to += vl) {
        vl = __riscv_vsetvl_e16m2(n);
        const vint16m2_t halves = __riscv_vle16_v_i16m2((const int16_t *)from, vl);
        /* Exponent and fraction where f32 has them: the number divided by 2^112, whose product is exact. */
        vint32m4_t bits = __riscv_vsll(__riscv_vsext_vf2(halves, vl), 13, vl);
        bits = __riscv_vand(bits, (int32_t)0x8fffe000, vl);
        const vfloat32m4_t x = __riscv_vfmul(__riscv_vreinterpret_f32m4(bits), 0x1p112f, vl);
        /* Of an infinity or a NaN that leaves all but the exponent's upper bits. */
        const vbool8_t beyond = __riscv_vmsgt(__riscv_vand(halves, 0x7fff, vl), LARGEST_HALF, vl);
        bits = __riscv_vreinterpret_i32m4(x);
        bits = __riscv_vor_mu(beyond, bits, bits, 0x7f800000, vl);
        __riscv_vse32(to, __riscv_vreinterpret_f32m4(bits), vl);
    }
}
