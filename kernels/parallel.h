/* parallel.h: calls of kernels.h cut into units of work and run under OpenMP.
 *
 * Cuts that share a sum between units depend on shapes only, and parts are joined in order; other
 * cuts give whole outputs to one unit. So results have the same bits with any number of threads.
 * The number of threads is OpenMP's (omp_set_num_threads). Called from inside a parallel region
 * everything runs on the calling thread. Memory and aliasing: as in kernels.h. Functions that
 * return int need memory of their own: 0, or -1 when there is none (nothing written).
 */
#ifndef CLSA_KERNELS_PARALLEL_H
#define CLSA_KERNELS_PARALLEL_H

#include "kernels/kernels.h"

enum {
    CLSA_PAR_SPLIT_KEYS = 256, /* keys of one unit of decode attention, at least */
    CLSA_PAR_SPLITS_MAX = 64,  /* more keys make longer units, so that joining stays cheap */
    CLSA_PAR_QUERY_BLOCK = 32, /* queries of one unit of prefill attention */
    CLSA_PAR_INDEX_KEYS = 1024 /* keys of one unit of index scores */
};

/* Runs body(ctx, unit) for every unit in 0 .. units-1, in any order and on any thread. */
void clsa_par_for(size_t units, void (*body)(void *ctx, size_t unit), void *ctx);

/* Runs body(ctx, first, count) over slices of at most `slice` rows. */
void clsa_par_rows(size_t rows, size_t slice, void (*body)(void *ctx, size_t first, size_t count),
                   void *ctx);

void clsa_par_gemm(const struct clsa_kernels *kernels, float *y, ptrdiff_t ldy, const float *x,
                   ptrdiff_t ldx, const struct clsa_rows *w, size_t m, size_t n, size_t k);

/* Several products of the same X in one fork: q, k and v, or gate and up. */
struct clsa_par_product {
    float *y;
    ptrdiff_t ldy;
    struct clsa_rows w;
    size_t n;
};
void clsa_par_gemm_many(const struct clsa_kernels *kernels, const struct clsa_par_product *products,
                        size_t products_count, const float *x, ptrdiff_t ldx, size_t m, size_t k);

/* Decode attention of one query token: out[h*dv + j]. index NULL: keys first .. first+count-1;
 * otherwise the rows index[0..count). */
struct clsa_par_attn_job {
    const struct clsa_attn *attn;
    const float *q;
    float *out;
    const int32_t *index;
    size_t first, count;
};
int clsa_par_attn(const struct clsa_kernels *kernels, const struct clsa_par_attn_job *jobs,
                  size_t jobs_count);

/* attn_prefill and attn_sparse_prefill over blocks of queries and single K/V heads. */
void clsa_par_attn_prefill(const struct clsa_kernels *kernels, const struct clsa_attn *a,
                           float *out, ptrdiff_t ldo, const float *q, ptrdiff_t ldq, size_t first,
                           size_t nq, size_t window);
void clsa_par_attn_sparse_prefill(const struct clsa_kernels *kernels, const struct clsa_attn *a,
                                  float *out, ptrdiff_t ldo, const float *q, ptrdiff_t ldq,
                                  size_t nq, const int32_t *index, ptrdiff_t ld_index,
                                  const int32_t *count);

/* Index scores of one query token: w NULL is the single-head dot product (heads = 1), otherwise the
 * ReLU-weighted sum. */
struct clsa_par_index_job {
    float *out;
    const float *q, *w;
    struct clsa_rows keys;
    size_t first, count, heads, d;
    float scale;
};
void clsa_par_index_score(const struct clsa_kernels *kernels, const struct clsa_par_index_job *jobs,
                          size_t jobs_count);

/* Top-k of one row of scores; count receives how many positions were written. */
struct clsa_par_topk_job {
    int32_t *out;
    const float *score;
    size_t n, k;
    size_t count;
};
int clsa_par_topk(const struct clsa_kernels *kernels, struct clsa_par_topk_job *jobs,
                  size_t jobs_count);

#endif
