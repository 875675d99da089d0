/* Vectors of half precision; for files that are compiled for Zvfh. */
#ifndef FAR_RVV_HALF_H
#define FAR_RVV_HALF_H

#include "far_rvv.h"

/* Products of a run, and depths whose runs are added in half precision; `half::RUN` and `half::RUNS` in Rust. */
#define RUN ((size_t)32)
#define RUNS (4 * RUN)

/* To the nearest, ties to even; half of the registers. */
#if FAR_LMUL == 4
#define round_to_half __riscv_vfncvt_f_f_w_f16m2
#elif FAR_LMUL == 2
#define round_to_half __riscv_vfncvt_f_f_w_f16m1
#else
#define round_to_half __riscv_vfncvt_f_f_w_f16mf2
#endif

#endif /* FAR_RVV_HALF_H */
