#include "sim/engine/blas.h"

#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/parallel.h"
#include "sim/base/alloc.h"
#include "sim/base/status.h"

/* A block of W of 96 rows of 7680 values is 3 MB in float32: some of L3, most of the time L2. 512
 * rows of X amortise its conversion. */
enum { N_BLOCK = 96, M_BLOCK = 512 };

struct product {
    const struct clsa_kernels *kernels;
    float *y;
    const float *x;
    ptrdiff_t ldy, ldx;
    const struct clsa_rows *w;
    size_t m, n, k, m_units;
    atomic_int failed;
};

/* All parallelism is ours: a BLAS that splits by its own thread count would tie bits to it. */
static void single_thread(void)
{
    openblas_set_num_threads(1);
}

static void unit(void *context, size_t u)
{
    struct product *p = context;
    const size_t i = u % p->m_units * M_BLOCK, j = u / p->m_units * N_BLOCK;
    const size_t m = p->m - i < M_BLOCK ? p->m - i : M_BLOCK;
    const size_t n = p->n - j < N_BLOCK ? p->n - j : N_BLOCK;
    struct clsa_rows w = *p->w;
    const float *block;
    ptrdiff_t ld = (ptrdiff_t)p->k;
    float *fresh = NULL;

    w.base = (const char *)w.base + (ptrdiff_t)j * w.row_stride_bytes;
    if (w.dtype == CLSA_KERNEL_F32 && w.row_stride_bytes % (ptrdiff_t)sizeof(float) == 0) {
        block = w.base;
        ld = w.row_stride_bytes / (ptrdiff_t)sizeof(float);
    } else {
        fresh = clsa_malloc(n * p->k, sizeof *fresh);
        if (!fresh) {
            atomic_store(&p->failed, 1);
            return;
        }
        p->kernels->to_f32(fresh, ld, &w, n, p->k);
        block = fresh;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)p->k, 1.0f,
                p->x + (ptrdiff_t)i * p->ldx, (int)p->ldx, block, (int)ld, 0.0f,
                p->y + (ptrdiff_t)i * p->ldy + (ptrdiff_t)j, (int)p->ldy);
    free(fresh);
}

int clsa_blas_gemm(const struct clsa_kernels *kernels, float *y, ptrdiff_t ldy, const float *x,
                   ptrdiff_t ldx, const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct product p = {kernels, y, x, ldy, ldx, w, m, n, k, (m + M_BLOCK - 1) / M_BLOCK, 0};

    pthread_once(&once, single_thread);
    clsa_par_for(p.m_units * ((n + N_BLOCK - 1) / N_BLOCK), unit, &p);
    return atomic_load(&p.failed) ? CLSA_ENOMEM : CLSA_OK;
}
