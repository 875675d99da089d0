/* What all matrix products do in the end. */
#ifndef FAR_RVV_EPILOGUE_H
#define FAR_RVV_EPILOGUE_H

#include "functions.h"

/* Adds the residual and writes one row of a panel. */
static inline void finish(const struct gemm_call *call, size_t row, size_t col, vf32 y, size_t vl) {
    if (call->residual != NULL) {
        y = __riscv_vfadd(y, vf32_load(call->residual + row * call->residual_stride + col, vl), vl);
    }
    vf32_store(call->out + row * call->out_stride + col, y, vl);
}

#endif /* FAR_RVV_EPILOGUE_H */
