/* kernels.h: the arithmetic of a step, as a table of functions with contracts.
 *
 * A *rung* is one implementation of the whole table: `ref` is plain C with float64 accumulation and
 * is the specification; the others are faster and are held to it by kernels/check.h. All rungs obey
 * the rules below.
 *
 * Shapes and layout. Sizes are counts of elements unless a name ends in _bytes. Any size may be 0:
 * nothing is written, or what the function says for an empty sum. A matrix X[m,k] is m rows of k
 * consecutive values, row i at x + i*ldx (ld* count elements of that matrix). struct clsa_rows
 * gives rows of weights, keys or values by base address and byte strides, so that K and V may lie
 * interleaved or apart.
 *
 * Alignment. None beyond that of the element type (rows of 2-byte values: even addresses;
 * CLSA_KERNEL_MLA_FP8: any). Nothing outside the named elements is read with effect or written.
 *
 * Aliasing. Outputs may not overlap inputs, except where "y may be x" is said: then exactly equal
 * pointers and strides are meant.
 *
 * NaN and Inf. Values follow IEEE arithmetic on the formula: a NaN (or Inf - Inf) in what an output
 * depends on makes that output NaN, and reaches no other output. Rows that are not attended, not
 * selected or beyond a count have no influence whatever they hold. Subnormal inputs count as they
 * are; outputs below FLT_MIN in magnitude may be off by FLT_MIN. Where a product or a partial sum
 * of the formula exceeds FLT_MAX the result is unspecified (Inf or NaN, as the order of operations
 * has it).
 *
 * Threads. A call runs on the calling thread and is one unit of work. Every output element has the
 * same bits however a caller slices rows and columns (m and n, queries, heads) into calls, on one
 * and the same rung. kernels/parallel.h runs units under OpenMP; its cuts depend on shapes only.
 *
 * Tolerance. u = 2^-24 is the unit roundoff of float32. Each function names the bound B of its
 * error against the same formula in exact arithmetic; gamma(n) = n*u / (1 - n*u) bounds n roundings
 * in sequence (N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1). A
 * dot product of length k has B = gamma(k + 2) * sum|x*w|, whatever the order of summation.
 * EXP = 4 u is the relative error allowed to an exponential of an exact argument. The rung
 * avx512-bf16 rounds the float32 operand of matrix products and index scores to bfloat16 first:
 * there the dot product's bound grows by 2^-8 * sum|x*w| (rounding to 8 significand bits is 2^-9
 * relative; the rest is for the instruction's own roundings), and by FLT_MIN * (sum|x| + sum|w| +
 * k), because the instruction takes subnormals as zero.
 */
#ifndef CLSA_KERNELS_H
#define CLSA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum clsa_kernel_dtype {
    CLSA_KERNEL_F32,
    CLSA_KERNEL_BF16,
    CLSA_KERNEL_F16,
    /* One MLA latent row of 576 values in 656 bytes: 512 e4m3 codes, 4 float32 scales (scale i
     * multiplies codes 128*i .. 128*i+127), then 64 bfloat16 values (the RoPE part). The layout of
     * FlashMLA's fp8 K/V cache. Valid only as K and V rows of attention with d = 576, dv <= 512. */
    CLSA_KERNEL_MLA_FP8,
    CLSA_KERNEL_DTYPE_COUNT
};

enum { CLSA_MLA_D = 576, CLSA_MLA_DV = 512, CLSA_MLA_FP8_BYTES = 656, CLSA_MLA_SCALE_GROUP = 128 };

/* Bytes of n values of a type in a row. n = 576 gives 656 for CLSA_KERNEL_MLA_FP8. */
size_t clsa_kernel_row_bytes(enum clsa_kernel_dtype dtype, size_t n);

/* "f32", "bf16", "f16", "mla-fp8". */
const char *clsa_kernel_dtype_name(enum clsa_kernel_dtype dtype);

/* Rows of values: row s of head h starts at base + s*row_stride_bytes + h*head_stride_bytes. For a
 * weight matrix W[n,k] row j is output j, and head_stride_bytes is not used. */
struct clsa_rows {
    const void *base;
    enum clsa_kernel_dtype dtype;
    ptrdiff_t row_stride_bytes;
    ptrdiff_t head_stride_bytes;
};

/* Heads and memory of one attention over one sequence. Query head i reads K/V head
 * i / (q_heads / kv_heads). MLA is kv_heads = 1, d = 576, dv = 512 with k and v the same rows. */
struct clsa_attn {
    size_t q_heads, kv_heads; /* q_heads is a multiple of kv_heads */
    size_t d, dv; /* values of a query or key row, of a value row; each <= CLSA_ATTN_D_MAX */
    float scale;  /* multiplies q.k before the softmax */
    struct clsa_rows k, v; /* row s is the token at position s */
    /* Keys behind those of a part, or entries behind its index, that the caller will most likely ask for next:
     * kernels may fetch their rows ahead. 0: none. */
    size_t next;
};

enum { CLSA_ATTN_D_MAX = 1024 };

/* The softmax of one run of keys before normalisation, one entry a query head:
 *   max[h] = the largest scaled score (-Inf for an empty run), sum[h] = sum of exp(score - max[h]),
 *   acc[h*dv + j] = sum of exp(score - max[h]) * v_j.
 * The caller owns the memory: q_heads, q_heads and q_heads*dv floats. */
struct clsa_attn_part {
    float *max, *sum, *acc;
};

enum clsa_rung {
    CLSA_RUNG_REF,
    CLSA_RUNG_AVX2,
    CLSA_RUNG_AVX512,
    CLSA_RUNG_AVX512_BF16, /* rounds activations to bfloat16 in products: only when asked for by
                              name */
    CLSA_RUNG_COUNT
};

struct clsa_kernels {
    enum clsa_rung rung;
    const char *name; /* "ref", "avx2", "avx512", "avx512-bf16" */

    /* The widest instruction set that the compiler was told to use for this rung's archive, from
     * the compiler's own macros: proof that the rung asked for is the one that was linked. */
    const char *(*isa)(void);

    /* y[r,i] = x[r,i] / sqrt(mean_i x[r,i]^2 + eps) * w[i]; w holds n values of w_dtype (F32, BF16
     * or F16). y may be x. n = 0: nothing. B = gamma(n/2 + 8) * |y|. */
    void (*rmsnorm)(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                    enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps);

    /* The same over each head's d values: head h of token t is x + t*ldx + h*d; w has d values. */
    void (*head_norm)(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                      enum clsa_kernel_dtype w_dtype, size_t tokens, size_t heads, size_t d,
                      float eps);

    /* Rotates, in place, the pair (i, i + d/2) of each head of each token: with c = cos[t*(d/2)+i],
     * s = sin[t*(d/2)+i]: a' = a*c - b*s, b' = b*c + a*s. d is even. Head h of token t is
     * x + t*ldx + h*head_stride. Tables: clsa_rope_table. B = 2 u (|a c| + |b s|). */
    void (*rope)(float *x, ptrdiff_t ldx, ptrdiff_t head_stride, const float *cos_table,
                 const float *sin_table, size_t tokens, size_t heads, size_t d);

    /* y = gate / (1 + exp(-gate)) * up. y may be gate or up. gate = -Inf gives NaN (-Inf * 0), as
     * the formula does. B = (EXP + 4 u) |y| + FLT_MIN + 2^-148 (1 + |gate|) |up|: the exponential
     * may round into the subnormals, but neither overflows nor vanishes early. */
    void (*silu_mul)(float *y, ptrdiff_t ldy, const float *gate, ptrdiff_t ldg, const float *up,
                     ptrdiff_t ldu, size_t rows, size_t n);

    /* Row-wise softmax of scale*x: y = exp(scale x - max) / sum. y may be x. Scores of -Inf get 0;
     * a row of only -Inf gets 0 everywhere; +Inf or NaN anywhere makes the whole row NaN. B = y *
     * (2 u (|scale x| + |max|) + EXP + gamma(n + 2)). */
    void (*softmax)(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows, size_t n,
                    float scale);

    /* y[r,:] = table row ids[r] as float32, exactly. ids are in range (the caller checks). */
    void (*embed)(float *y, ptrdiff_t ldy, const struct clsa_rows *table, const int32_t *ids,
                  size_t rows, size_t n);

    /* y = a + b, exactly rounded. y may be a or b. */
    void (*add)(float *y, const float *a, const float *b, size_t n);

    /* Y[m,n] = X[m,k] W[n,k]^T, W of F32, BF16 or F16. k = 0 writes zeros. The bits of Y[i,j]
     * depend on row i of X, row j of W and k only: a token has the same result alone or in a batch.
     * Fast for small m, where W streams from memory once (m <= 8), and for large m, where it is
     * blocked for the caches. B = the dot product's. */
    void (*gemm)(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                 size_t m, size_t n, size_t k);

    /* Rows to float32, exactly: dst[r,i]. Any dtype (MLA_FP8: n <= 576; a code times its scale is
     * one float32 product). */
    void (*to_f32)(float *dst, ptrdiff_t ld, const struct clsa_rows *src, size_t rows, size_t n);

    /* float32 to BF16 or F16, round to nearest even, NaN stays NaN; dst rows dst_stride_bytes
     * apart. */
    void (*from_f32)(void *dst, ptrdiff_t dst_stride_bytes, enum clsa_kernel_dtype dtype,
                     const float *src, ptrdiff_t ld, size_t rows, size_t n);

    /* Attention of one query token (q + h*d is head h) over keys first .. first+count-1, as a part.
     * B of acc/sum: see attn_combine. */
    void (*attn_dense)(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                       const struct clsa_attn_part *out);

    /* The same over the rows named by index[0..count): the gather of a selection. Any order,
     * repeats count twice. */
    void (*attn_sparse)(const struct clsa_attn *a, const float *q, const int32_t *index,
                        size_t count, const struct clsa_attn_part *out);

    /* Joins parts of one query token into out[h*dv + j] = sum exp(max_p - M) acc_p / sum exp(max_p
     * - M) sum_p. All parts empty: zeros. Parts are taken in order. With S = sum over keys of
     * weight*|v_j|, sigma = gamma(d + 2) * |scale| * max over keys of sum|q k|, and s = max |scale
     * q.k|: B = S * (2 sigma + 8 u s + 2 EXP + 2 gamma(keys + 2 parts + 4)), for part and join
     * together. */
    void (*attn_combine)(float *out, const struct clsa_attn_part *parts, size_t parts_count,
                         size_t q_heads, size_t dv);

    /* Causal attention of nq consecutive query tokens: query i (q + i*ldq + h*d) stands at position
     * first + i and attends s <= first + i, and with window > 0 only s > first + i - window. Output
     * at out + i*ldo + h*dv. One query of a sliding window in decode is nq = 1. B: as attn_combine.
     */
    void (*attn_prefill)(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                         ptrdiff_t ldq, size_t first, size_t nq, size_t window);

    /* Query i attends index[i*ld_index .. + count[i]); count 0 gives zeros. B: as attn_combine. */
    void (*attn_sparse_prefill)(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                const float *q, ptrdiff_t ldq, size_t nq, const int32_t *index,
                                ptrdiff_t ld_index, const int32_t *count);

    /* out[s] = scale * (q . key[first + s]), s < count. Keys F32, BF16 or F16. For many queries use
     * gemm with the keys as W. B = |scale| * the dot product's + u |out|. */
    void (*index_score)(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                        size_t count, size_t d, float scale);

    /* out[s] = scale * sum_h w[h] * max(q_h . key[first + s], 0), q_h = q + h*d. max(NaN, 0) is
     * NaN. B = |scale| * sum_h |w_h| gamma(d + heads + 4) sum|q_h k|. */
    void (*index_score_heads)(float *out, const float *q, const float *w,
                              const struct clsa_rows *keys, size_t first, size_t count,
                              size_t heads, size_t d, float scale);

    /* The min(k, n) largest of score[0..n), as ascending positions; returns how many. Exact: among
     * equal scores (-0 equals +0) the lowest positions win. NaN ranks above +Inf, all NaN alike, so
     * that a broken score is seen and not swallowed. n < 2^31. scratch: clsa_topk_scratch_bytes(n,
     * k) bytes aligned to 64. */
    size_t (*topk)(int32_t *out, const float *score, size_t n, size_t k, void *scratch);
};

/* A rung's table, or NULL when it was not built or this CPU lacks its instructions. Static storage;
 * CLSA_RUNG_REF is never NULL. */
const struct clsa_kernels *clsa_kernels_get(enum clsa_rung rung);

/* The fastest rung whose products keep float32 activations. */
const struct clsa_kernels *clsa_kernels_best(void);

/* By name ("ref", "avx2", ..., or "best"); NULL when unknown or not available here. */
const struct clsa_kernels *clsa_kernels_by_name(const char *name);

const char *clsa_rung_name(enum clsa_rung rung);

/* Scratch of topk for n scores and k wanted. */
size_t clsa_topk_scratch_bytes(size_t n, size_t k);

/* cos and sin [tokens, d/2] of position[t] * base^(-2 i / d), computed in double and rounded once.
 */
void clsa_rope_table(float *cos_table, float *sin_table, const int32_t *position, size_t tokens,
                     size_t d, double base);

#endif
