/* Large matrix products by a BLAS. The only user of cblas.h. */
#ifndef CLSA_ENGINE_BLAS_H
#define CLSA_ENGINE_BLAS_H

#include "kernels/kernels.h"

/* Y[m,n] = X[m,k] W[n,k]^T in float32 for W of float32, bfloat16 or float16. Blocks of W are
 * converted to float32 and multiplied one by one, spread over OpenMP threads; the blocks depend on
 * shapes only and each is one call of a single-threaded sgemm, so the bits do not depend on the
 * number of threads (they may on the processor: OpenBLAS picks its kernels by core type). Strides
 * count elements. Returns 0 or CLSA_ENOMEM with Y partly written. */
int clsa_blas_gemm(const struct clsa_kernels *kernels, float *y, ptrdiff_t ldy, const float *x,
                   ptrdiff_t ldx, const struct clsa_rows *w, size_t m, size_t n, size_t k);

#endif
