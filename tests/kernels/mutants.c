#include "tests/kernels/mutants.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"

static const struct clsa_kernels *ref(void)
{
    return clsa_kernels_get(CLSA_RUNG_REF);
}

static void norm_tail(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                      enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps)
{
    float last;
    size_t r;

    for (r = 0; r < rows && n > 0; r++) { /* the last value of odd rows keeps what was there */
        last = y[(ptrdiff_t)r * ldy + (ptrdiff_t)n - 1];
        ref()->rmsnorm(y + (ptrdiff_t)r * ldy, ldy, x + (ptrdiff_t)r * ldx, ldx, w, w_dtype, 1, n,
                       eps);
        if (n % 8 == 7)
            y[(ptrdiff_t)r * ldy + (ptrdiff_t)n - 1] = last;
    }
}

static void norm_no_eps(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                        enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps)
{
    (void)eps;
    ref()->rmsnorm(y, ldy, x, ldx, w, w_dtype, rows, n, 0);
}

static void head_norm_whole(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                            enum clsa_kernel_dtype w_dtype, size_t tokens, size_t heads, size_t d,
                            float eps)
{
    size_t t, h, i;

    ref()->head_norm(y, ldy, x, ldx, w, w_dtype, tokens, heads, d, eps);
    for (t = 0; t < tokens;
         t++) /* every head takes the first head's weights times its own factor */
        for (h = 1; h < heads; h++)
            for (i = 0; i < d; i++)
                y[(ptrdiff_t)t * ldy + (ptrdiff_t)(h * d + i)] *= 1 + 0x1p-12f;
}

static void rope_adjacent(float *x, ptrdiff_t ldx, ptrdiff_t head_stride, const float *cos_table,
                          const float *sin_table, size_t tokens, size_t heads, size_t d)
{
    size_t t, h, i;

    for (t = 0; t < tokens; t++)
        for (h = 0; h < heads; h++)
            for (i = 0; i < d / 2; i++) {
                float *p = x + (ptrdiff_t)t * ldx + (ptrdiff_t)h * head_stride + 2 * i;
                float c = cos_table[t * (d / 2) + i], s = sin_table[t * (d / 2) + i];
                float a = p[0] * c - p[1] * s;

                p[1] = p[1] * c + p[0] * s;
                p[0] = a;
            }
}

static void silu_overflow(float *y, ptrdiff_t ldy, const float *gate, ptrdiff_t ldg,
                          const float *up, ptrdiff_t ldu, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++)
        for (i = 0; i < n; i++) { /* Inf in the middle: 0 where a small number is right */
            float g = gate[(ptrdiff_t)r * ldg + (ptrdiff_t)i];

            y[(ptrdiff_t)r * ldy + (ptrdiff_t)i] =
                g / (1 + expf(-g)) * up[(ptrdiff_t)r * ldu + (ptrdiff_t)i];
        }
}

static void softmax_no_max(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows,
                           size_t n, float scale)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        float *out = y + (ptrdiff_t)r * ldy, sum = 0;

        for (i = 0; i < n; i++)
            sum += out[i] = expf(x[(ptrdiff_t)r * ldx + (ptrdiff_t)i] * scale);
        for (i = 0; i < n; i++)
            out[i] = sum > 0 ? out[i] / sum : 0;
    }
}

static void softmax_no_nan(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows,
                           size_t n, float scale)
{
    float *row = malloc((n + 1) * sizeof *row);
    size_t r, i;

    for (r = 0; r < rows && row != NULL; r++) {
        for (i = 0; i < n; i++) {
            float v = x[(ptrdiff_t)r * ldx + (ptrdiff_t)i];

            row[i] = isnan(v) ? -INFINITY : v;
        }
        ref()->softmax(y + (ptrdiff_t)r * ldy, ldy, row, (ptrdiff_t)n, 1, n, scale);
    }
    free(row);
}

static void embed_next(float *y, ptrdiff_t ldy, const struct clsa_rows *table, const int32_t *ids,
                       size_t rows, size_t n)
{
    size_t r;

    for (r = 0; r < rows; r++) {
        int32_t id = ids[r] > 0 ? ids[r] - 1 : 0;

        ref()->embed(y + (ptrdiff_t)r * ldy, ldy, table, &id, 1, n);
    }
}

static void add_past(float *y, const float *a, const float *b, size_t n)
{
    ref()->add(y, a, b, n);
    y[n] = 0;
}

static void gemm_tail(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                      const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    ref()->gemm(y, ldy, x, ldx, w, m, n, k % 16 == 1 ? k - 1 : k);
}

static void gemm_stale(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                       const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    if (k > 0) /* an empty sum leaves what was there */
        ref()->gemm(y, ldy, x, ldx, w, m, n, k);
}

/* One row alone is summed in another order than rows together. */
static void gemm_order(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                       const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    float *row = malloc((k + 1) * sizeof *row);
    size_t i, j, l;

    for (j = 0; j < n && row != NULL; j++) {
        struct clsa_rows one = *w;

        one.base = (const char *)w->base + (ptrdiff_t)j * w->row_stride_bytes;
        ref()->to_f32(row, (ptrdiff_t)k, &one, 1, k);
        for (i = 0; i < m; i++) {
            const float *at = x + (ptrdiff_t)i * ldx;
            float sum = 0;

            for (l = 0; l < k; l++)
                sum += m == 1 ? at[k - 1 - l] * row[k - 1 - l] : at[l] * row[l];
            y[(ptrdiff_t)i * ldy + (ptrdiff_t)j] = sum;
        }
    }
    free(row);
}

static void gemm_rounded(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                         const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    float *row = malloc((k + 1) * sizeof *row);
    size_t i, l;

    for (i = 0; i < m && row != NULL; i++) {
        for (l = 0; l < k; l++)
            row[l] = clsa_f32_of_bf16(clsa_bf16_of_f32(x[(ptrdiff_t)i * ldx + (ptrdiff_t)l]));
        ref()->gemm(y + (ptrdiff_t)i * ldy, ldy, row, (ptrdiff_t)k, w, 1, n, k);
    }
    free(row);
}

static void to_f32_packed(float *dst, ptrdiff_t ld, const struct clsa_rows *src, size_t rows,
                          size_t n)
{
    struct clsa_rows packed = *src;

    packed.row_stride_bytes = (ptrdiff_t)clsa_kernel_row_bytes(src->dtype, n);
    ref()->to_f32(dst, ld, &packed, rows, n);
}

static void from_f32_truncated(void *dst, ptrdiff_t dst_stride_bytes, enum clsa_kernel_dtype dtype,
                               const float *src, ptrdiff_t ld, size_t rows, size_t n)
{
    size_t r, i;

    ref()->from_f32(dst, dst_stride_bytes, dtype, src, ld, rows, n);
    for (r = 0; r < rows && dtype == CLSA_KERNEL_BF16; r++)
        for (i = 0; i < n; i++) {
            float f = src[(ptrdiff_t)r * ld + (ptrdiff_t)i];
            uint16_t h = (uint16_t)(clsa_bits_of_float(f) >> 16);

            if (!isnan(f))
                memcpy((char *)dst + (ptrdiff_t)r * dst_stride_bytes + 2 * i, &h, sizeof h);
        }
}

static void dense_drops_last(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                             const struct clsa_attn_part *out)
{
    ref()->attn_dense(a, q, first, count > 64 ? count - 1 : count, out);
}

static void dense_no_scale(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                           const struct clsa_attn_part *out)
{
    struct clsa_attn unscaled = *a;

    unscaled.scale = 1;
    ref()->attn_dense(&unscaled, q, first, count, out);
}

static void dense_wrong_head(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                             const struct clsa_attn_part *out)
{
    struct clsa_attn one = *a;
    size_t h;

    for (h = 0; h < a->q_heads; h++) { /* heads taken round robin instead of in groups */
        struct clsa_attn_part part = {out->max + h, out->sum + h, out->acc + h * a->dv};
        ptrdiff_t kv = (ptrdiff_t)(h % a->kv_heads);

        one.q_heads = one.kv_heads = 1;
        one.k.base = (const char *)a->k.base + kv * a->k.head_stride_bytes;
        one.v.base = (const char *)a->v.base + kv * a->v.head_stride_bytes;
        ref()->attn_dense(&one, q + h * a->d, first, count, &part);
    }
}

static void sparse_as_range(const struct clsa_attn *a, const float *q, const int32_t *index,
                            size_t count, const struct clsa_attn_part *out)
{
    int32_t *moved = malloc((count + 1) * sizeof *moved);
    size_t i;

    for (i = 0; i < count && moved != NULL; i++) /* the second of each pair repeats the first */
        moved[i] = index[i & ~(size_t)1];
    if (moved != NULL)
        ref()->attn_sparse(a, q, moved, count, out);
    free(moved);
}

static void combine_no_rescale(float *out, const struct clsa_attn_part *parts, size_t parts_count,
                               size_t q_heads, size_t dv)
{
    size_t h, p, j;

    for (h = 0; h < q_heads; h++)
        for (j = 0; j < dv; j++) {
            float sum = 0, acc = 0;

            for (p = 0; p < parts_count; p++) {
                sum += parts[p].sum[h];
                acc += parts[p].acc[h * dv + j];
            }
            out[h * dv + j] = sum > 0 || isnan(sum) ? acc / sum : 0;
        }
}

static void prefill_sees_next(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                              ptrdiff_t ldq, size_t first, size_t nq, size_t window)
{
    size_t i;

    for (i = 0; i < nq; i++) /* all but the last query attend one position too many */
        ref()->attn_prefill(a, out + (ptrdiff_t)i * ldo, ldo, q + (ptrdiff_t)i * ldq, ldq,
                            first + i + (i + 1 < nq), 1, window);
}

static void window_off_by_one(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                              ptrdiff_t ldq, size_t first, size_t nq, size_t window)
{
    ref()->attn_prefill(a, out, ldo, q, ldq, first, nq, window > 0 ? window + 1 : 0);
}

static void sparse_prefill_first_count(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                       const float *q, ptrdiff_t ldq, size_t nq,
                                       const int32_t *index, ptrdiff_t ld_index,
                                       const int32_t *count)
{
    size_t i;

    for (i = 0; i < nq; i++) {
        int32_t n = count[i] > 1 ? count[i] - 1 : count[i]; /* the last of a list is lost */

        ref()->attn_sparse_prefill(a, out + (ptrdiff_t)i * ldo, ldo, q + (ptrdiff_t)i * ldq, ldq, 1,
                                   index + (ptrdiff_t)i * ld_index, ld_index, &n);
    }
}

/* MLA rows in fp8: the first group's scale serves all codes. */
static void mla_one_scale(const struct clsa_attn *a, const float *q, const int32_t *index,
                          size_t count, const struct clsa_attn_part *out)
{
    struct clsa_attn copy = *a;
    int32_t *order = malloc((count + 1) * sizeof *order);
    unsigned char *rows = malloc((count + 1) * CLSA_MLA_FP8_BYTES);
    size_t i, g;

    if (a->k.dtype == CLSA_KERNEL_MLA_FP8 && order != NULL && rows != NULL) {
        for (i = 0; i < count; i++) {
            unsigned char *row = rows + i * CLSA_MLA_FP8_BYTES;

            order[i] = (int32_t)i;
            memcpy(row, (const char *)a->k.base + index[i] * a->k.row_stride_bytes,
                   CLSA_MLA_FP8_BYTES);
            for (g = 1; g < 4; g++)
                memcpy(row + CLSA_MLA_DV + 4 * g, row + CLSA_MLA_DV, 4);
        }
        copy.k.base = copy.v.base = rows;
        copy.k.row_stride_bytes = copy.v.row_stride_bytes = CLSA_MLA_FP8_BYTES;
        ref()->attn_sparse(&copy, q, order, count, out);
    } else {
        ref()->attn_sparse(a, q, index, count, out);
    }
    free(order);
    free(rows);
}

static void index_no_scale(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                           size_t count, size_t d, float scale)
{
    (void)scale;
    ref()->index_score(out, q, keys, first, count, d, 1);
}

static void index_from_zero(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                            size_t count, size_t d, float scale)
{
    ref()->index_score(out, q, keys, first > 0 ? first - 1 : 0, count, d, scale);
}

/* A head's dot product, by the reference. */
static float dot(const float *q, const struct clsa_rows *keys, size_t s, size_t d)
{
    float score;

    ref()->index_score(&score, q, keys, s, 1, d, 1);
    return score;
}

static void heads_relu_last(float *out, const float *q, const float *w,
                            const struct clsa_rows *keys, size_t first, size_t count, size_t heads,
                            size_t d, float scale)
{
    size_t s, h;

    for (s = 0; s < count; s++) { /* ReLU of the weighted value instead of the value */
        float sum = 0;

        for (h = 0; h < heads; h++) {
            float value = w[h] * dot(q + h * d, keys, first + s, d);

            sum += value <= 0 ? 0 : value;
        }
        out[s] = scale * sum;
    }
}

static void heads_no_nan(float *out, const float *q, const float *w, const struct clsa_rows *keys,
                         size_t first, size_t count, size_t heads, size_t d, float scale)
{
    size_t s, h;

    for (s = 0; s < count; s++) {
        float sum = 0;

        for (h = 0; h < heads; h++)
            sum += w[h] * fmaxf(dot(q + h * d, keys, first + s, d), 0); /* fmax drops a NaN */
        out[s] = scale * sum;
    }
}

/* Top-k by repeated comparison of keys, with the fault in the key or the order. */
enum { LATE_TIES, NAN_LAST, SIGNED_ZERO };

struct ranked {
    float score;
    int32_t at;
    int fault;
};

static int ranks_before(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    int na = isnan(a->score) != 0, nb = isnan(b->score) != 0;

    if (na != nb)
        return a->fault == NAN_LAST ? na - nb : nb - na;
    if (!na && a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (!na && a->fault == SIGNED_ZERO && signbit(a->score) != signbit(b->score))
        return signbit(a->score) ? 1 : -1;
    return a->fault == LATE_TIES ? (a->at < b->at) - (a->at > b->at)
                                 : (a->at > b->at) - (a->at < b->at);
}

static int by_position(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static size_t topk_faulty(int32_t *out, const float *score, size_t n, size_t k, int fault)
{
    struct ranked *r = malloc((n + 1) * sizeof *r);
    size_t i;

    k = k < n ? k : n;
    for (i = 0; i < n && r != NULL; i++)
        r[i] = (struct ranked){score[i], (int32_t)i, fault};
    if (r == NULL)
        return 0;
    qsort(r, n, sizeof *r, ranks_before);
    for (i = 0; i < k; i++)
        out[i] = r[i].at;
    qsort(out, k, sizeof *out, by_position);
    free(r);
    return k;
}

static size_t topk_late_ties(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    (void)scratch;
    return topk_faulty(out, score, n, k, LATE_TIES);
}

static size_t topk_nan_last(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    (void)scratch;
    return topk_faulty(out, score, n, k, NAN_LAST);
}

static size_t topk_signed_zero(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    (void)scratch;
    return topk_faulty(out, score, n, k, SIGNED_ZERO);
}

static size_t topk_unsorted(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    size_t count = ref()->topk(out, score, n, k, scratch);
    int32_t swap;

    if (count > 1) {
        swap = out[count - 2];
        out[count - 2] = out[count - 1];
        out[count - 1] = swap;
    }
    return count;
}

static size_t topk_past(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    size_t count = ref()->topk(out, score, n, k, scratch);

    if (n >= 16)
        out[count] = -1;
    return count;
}

static size_t topk_skips_last(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    if (k >= n) /* otherwise the last score is never looked at */
        return ref()->topk(out, score, n, k, scratch);
    return ref()->topk(out, score, n - 1, k, scratch);
}

int mutant_get(int i, struct mutant *m)
{
    m->table = *ref();
    m->table.name = "mutant";
    switch (i) {
#define MUTANT(number, text, name, slot, function)                                                 \
    case number:                                                                                   \
        m->fault = text;                                                                           \
        m->kernel = name;                                                                          \
        m->table.slot = function;                                                                  \
        return 1;
        MUTANT(0, "last value of a tail not written", "rmsnorm", rmsnorm, norm_tail)
        MUTANT(1, "eps left out", "rmsnorm", rmsnorm, norm_no_eps)
        MUTANT(2, "error of 2^-12 in later heads", "head-norm", head_norm, head_norm_whole)
        MUTANT(3, "adjacent pairs rotated", "rope", rope, rope_adjacent)
        MUTANT(4, "exponential overflows", "silu-mul", silu_mul, silu_overflow)
        MUTANT(5, "maximum not subtracted", "softmax", softmax, softmax_no_max)
        MUTANT(6, "NaN swallowed", "softmax", softmax, softmax_no_nan)
        MUTANT(7, "row before the one asked for", "embed", embed, embed_next)
        MUTANT(8, "write past the end", "add", add, add_past)
        MUTANT(9, "last value of k dropped", "gemm", gemm, gemm_tail)
        MUTANT(10, "empty sum not written", "gemm", gemm, gemm_stale)
        MUTANT(11, "order of sums depends on the batch", "gemm", gemm, gemm_order)
        MUTANT(12, "activations rounded to bfloat16", "gemm", gemm, gemm_rounded)
        MUTANT(13, "row stride ignored", "to-f32", to_f32, to_f32_packed)
        MUTANT(14, "truncated instead of rounded", "from-f32", from_f32, from_f32_truncated)
        MUTANT(15, "last key dropped", "attn-dense", attn_dense, dense_drops_last)
        MUTANT(16, "scale missing", "attn-dense", attn_dense, dense_no_scale)
        MUTANT(17, "heads mapped round robin", "attn-dense", attn_dense, dense_wrong_head)
        MUTANT(18, "one key instead of another", "attn-sparse", attn_sparse, sparse_as_range)
        MUTANT(19, "parts not brought to one maximum", "attn-combine", attn_combine,
               combine_no_rescale)
        MUTANT(20, "future position seen", "attn-prefill", attn_prefill, prefill_sees_next)
        MUTANT(21, "window one too wide", "attn-window", attn_prefill, window_off_by_one)
        MUTANT(22, "last of a list lost", "attn-sparse-prefill", attn_sparse_prefill,
               sparse_prefill_first_count)
        MUTANT(23, "one fp8 scale for all groups", "attn-mla", attn_sparse, mla_one_scale)
        MUTANT(24, "scale missing", "index-score", index_score, index_no_scale)
        MUTANT(25, "first key off by one", "index-score", index_score, index_from_zero)
        MUTANT(26, "ReLU after the weight", "index-score-heads", index_score_heads, heads_relu_last)
        MUTANT(27, "NaN swallowed", "index-score-heads", index_score_heads, heads_no_nan)
        MUTANT(28, "ties to the highest position", "topk", topk, topk_late_ties)
        MUTANT(29, "NaN swallowed", "topk", topk, topk_nan_last)
        MUTANT(30, "-0 below +0", "topk", topk, topk_signed_zero)
        MUTANT(31, "positions not ascending", "topk", topk, topk_unsorted)
        MUTANT(32, "write past the end", "topk", topk, topk_past)
        MUTANT(33, "last score not looked at", "topk", topk, topk_skips_last)
#undef MUTANT
    default:
        return 0;
    }
}
