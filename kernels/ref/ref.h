/* ref.h: the reference rung, the specification of kernels.h in plain C with float64 accumulation.
 * Each function's contract is the one of its slot in struct clsa_kernels. Private to kernels/ref.
 */
#ifndef CLSA_KERNELS_REF_H
#define CLSA_KERNELS_REF_H

#include "kernels/kernels.h"

/* Values begin .. begin+n-1 of row s of head h, as double. */
void clsa_ref_row(double *to, const struct clsa_rows *rows, size_t s, size_t h, size_t begin,
                  size_t n);

/* Dot product in double of n values. */
double clsa_ref_dot(const float *x, const double *w, size_t n);

enum { CLSA_REF_RUN = 1024 }; /* values of a row that are looked at together */

void clsa_ref_rmsnorm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                      enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps);
void clsa_ref_head_norm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                        enum clsa_kernel_dtype w_dtype, size_t tokens, size_t heads, size_t d,
                        float eps);
void clsa_ref_rope(float *x, ptrdiff_t ldx, ptrdiff_t head_stride, const float *cos_table,
                   const float *sin_table, size_t tokens, size_t heads, size_t d);
void clsa_ref_silu_mul(float *y, ptrdiff_t ldy, const float *gate, ptrdiff_t ldg, const float *up,
                       ptrdiff_t ldu, size_t rows, size_t n);
void clsa_ref_softmax(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows, size_t n,
                      float scale);
void clsa_ref_embed(float *y, ptrdiff_t ldy, const struct clsa_rows *table, const int32_t *ids,
                    size_t rows, size_t n);
void clsa_ref_add(float *y, const float *a, const float *b, size_t n);
void clsa_ref_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                   const struct clsa_rows *w, size_t m, size_t n, size_t k);
void clsa_ref_to_f32(float *dst, ptrdiff_t ld, const struct clsa_rows *src, size_t rows, size_t n);
void clsa_ref_from_f32(void *dst, ptrdiff_t dst_stride_bytes, enum clsa_kernel_dtype dtype,
                       const float *src, ptrdiff_t ld, size_t rows, size_t n);
void clsa_ref_attn_dense(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                         const struct clsa_attn_part *out);
void clsa_ref_attn_sparse(const struct clsa_attn *a, const float *q, const int32_t *index,
                          size_t count, const struct clsa_attn_part *out);
void clsa_ref_attn_combine(float *out, const struct clsa_attn_part *parts, size_t parts_count,
                           size_t q_heads, size_t dv);
void clsa_ref_attn_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                           ptrdiff_t ldq, size_t first, size_t nq, size_t window);
void clsa_ref_attn_sparse_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                  const float *q, ptrdiff_t ldq, size_t nq, const int32_t *index,
                                  ptrdiff_t ld_index, const int32_t *count);
void clsa_ref_index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                          size_t count, size_t d, float scale);
void clsa_ref_index_score_heads(float *out, const float *q, const float *w,
                                const struct clsa_rows *keys, size_t first, size_t count,
                                size_t heads, size_t d, float scale);
size_t clsa_ref_topk(int32_t *out, const float *score, size_t n, size_t k, void *scratch);

#endif
