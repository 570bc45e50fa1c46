/* x86.h: the functions of one vector archive (private to kernels/x86). Each file is compiled once
 * per instruction set; CLSA_ISA gives its names the suffix of the archive. Contracts: kernels.h. */
#ifndef CLSA_KERNELS_X86_H
#define CLSA_KERNELS_X86_H

#include "kernels/kernels.h"
#include "kernels/x86/vec.h"

#define clsa_x_rmsnorm CLSA_ISA(clsa_x_rmsnorm)
#define clsa_x_head_norm CLSA_ISA(clsa_x_head_norm)
#define clsa_x_rope CLSA_ISA(clsa_x_rope)
#define clsa_x_silu_mul CLSA_ISA(clsa_x_silu_mul)
#define clsa_x_softmax CLSA_ISA(clsa_x_softmax)
#define clsa_x_embed CLSA_ISA(clsa_x_embed)
#define clsa_x_add CLSA_ISA(clsa_x_add)
#define clsa_x_to_f32 CLSA_ISA(clsa_x_to_f32)
#define clsa_x_from_f32 CLSA_ISA(clsa_x_from_f32)
#define clsa_x_row_to_f32 CLSA_ISA(clsa_x_row_to_f32)
#define clsa_x_dots CLSA_ISA(clsa_x_dots)
#define clsa_x_gemm CLSA_ISA(clsa_x_gemm)
#define clsa_x_index_score CLSA_ISA(clsa_x_index_score)
#define clsa_x_index_score_heads CLSA_ISA(clsa_x_index_score_heads)
#define clsa_x_gemm_rounded CLSA_ISA(clsa_x_gemm_rounded)
#define clsa_x_index_score_rounded CLSA_ISA(clsa_x_index_score_rounded)
#define clsa_x_index_score_heads_rounded CLSA_ISA(clsa_x_index_score_heads_rounded)
#define clsa_x_attn_dense CLSA_ISA(clsa_x_attn_dense)
#define clsa_x_attn_sparse CLSA_ISA(clsa_x_attn_sparse)
#define clsa_x_attn_combine CLSA_ISA(clsa_x_attn_combine)
#define clsa_x_attn_prefill CLSA_ISA(clsa_x_attn_prefill)
#define clsa_x_attn_sparse_prefill CLSA_ISA(clsa_x_attn_sparse_prefill)
#define clsa_x_topk CLSA_ISA(clsa_x_topk)

void clsa_x_rmsnorm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                    enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps);
void clsa_x_head_norm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                      enum clsa_kernel_dtype w_dtype, size_t tokens, size_t heads, size_t d,
                      float eps);
void clsa_x_rope(float *x, ptrdiff_t ldx, ptrdiff_t head_stride, const float *cos_table,
                 const float *sin_table, size_t tokens, size_t heads, size_t d);
void clsa_x_silu_mul(float *y, ptrdiff_t ldy, const float *gate, ptrdiff_t ldg, const float *up,
                     ptrdiff_t ldu, size_t rows, size_t n);
void clsa_x_softmax(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows, size_t n,
                    float scale);
void clsa_x_embed(float *y, ptrdiff_t ldy, const struct clsa_rows *table, const int32_t *ids,
                  size_t rows, size_t n);
void clsa_x_add(float *y, const float *a, const float *b, size_t n);
void clsa_x_to_f32(float *dst, ptrdiff_t ld, const struct clsa_rows *src, size_t rows, size_t n);
void clsa_x_from_f32(void *dst, ptrdiff_t dst_stride_bytes, enum clsa_kernel_dtype dtype,
                     const float *src, ptrdiff_t ld, size_t rows, size_t n);

/* One row of n values to float32, then zeros up to `padded`. */
void clsa_x_row_to_f32(float *dst, const char *row, enum clsa_kernel_dtype dtype, size_t n,
                       size_t padded);

/* y[i*ldy + j] = x[i] . row j of w, for m rows given by pointers; j < n. The order of additions is
 * that of tile.h over runs of CLSA_X_RUN values of k, the runs added in order. */
enum { CLSA_X_RUN = 1024 };
void clsa_x_dots(float *y, ptrdiff_t ldy, const float *const *x, const float *w, ptrdiff_t ldw,
                 size_t m, size_t n, size_t k);

void clsa_x_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                 size_t m, size_t n, size_t k);
void clsa_x_index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                        size_t count, size_t d, float scale);
void clsa_x_index_score_heads(float *out, const float *q, const float *w,
                              const struct clsa_rows *keys, size_t first, size_t count,
                              size_t heads, size_t d, float scale);

/* The same with bfloat16 products (archive avx512bf16 only). */
void clsa_x_gemm_rounded(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                         const struct clsa_rows *w, size_t m, size_t n, size_t k);
void clsa_x_index_score_rounded(float *out, const float *q, const struct clsa_rows *keys,
                                size_t first, size_t count, size_t d, float scale);
void clsa_x_index_score_heads_rounded(float *out, const float *q, const float *w,
                                      const struct clsa_rows *keys, size_t first, size_t count,
                                      size_t heads, size_t d, float scale);

void clsa_x_attn_dense(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                       const struct clsa_attn_part *out);
void clsa_x_attn_sparse(const struct clsa_attn *a, const float *q, const int32_t *index,
                        size_t count, const struct clsa_attn_part *out);
void clsa_x_attn_combine(float *out, const struct clsa_attn_part *parts, size_t parts_count,
                         size_t q_heads, size_t dv);
void clsa_x_attn_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                         ptrdiff_t ldq, size_t first, size_t nq, size_t window);
void clsa_x_attn_sparse_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                const float *q, ptrdiff_t ldq, size_t nq, const int32_t *index,
                                ptrdiff_t ld_index, const int32_t *count);
size_t clsa_x_topk(int32_t *out, const float *score, size_t n, size_t k, void *scratch);

#endif
