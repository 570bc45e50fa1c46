/* Checks of the attention kernels. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check_run.h"

static const enum clsa_kernel_dtype storage[] = {CLSA_KERNEL_F32, CLSA_KERNEL_BF16,
                                                 CLSA_KERNEL_F16};

/* One attention problem: tokens of K and V, and heads. */
struct problem {
    struct clsa_attn a;
    size_t tokens;
};

/* K and V apart, or V right after K in one row (as an engine interleaves them), or MLA. */
static struct problem problem(struct check_run *r, size_t tokens, size_t q_heads, size_t kv_heads,
                              size_t d, enum clsa_kernel_dtype dtype, int mla)
{
    struct problem p;

    p.tokens = tokens;
    p.a.q_heads = q_heads;
    p.a.kv_heads = kv_heads;
    p.a.d = d;
    p.a.dv = mla ? CLSA_MLA_DV : d;
    p.a.scale = (float)(1 / sqrt((double)(d ? d : 1)));
    if (mla) {
        p.a.k = check_rows(r, dtype, tokens, 1, d, 1);
        p.a.v = p.a.k;
    } else if (check_below(r, 2)) { /* heads 0 .. kv-1 of a token are K, the next kv are V */
        p.a.k = check_rows(r, dtype, tokens, 2 * kv_heads, d, 1);
        p.a.v = p.a.k;
        p.a.v.base = (const char *)p.a.k.base + (ptrdiff_t)kv_heads * p.a.k.head_stride_bytes;
    } else {
        p.a.k = check_rows(r, dtype, tokens, kv_heads, d, 1);
        p.a.v = check_rows(r, dtype, tokens, kv_heads, d, 1);
    }
    return p;
}

static size_t key_at(const int32_t *index, size_t first, size_t i)
{
    return index != NULL ? (size_t)index[i] : first + i;
}

void check_attn_judge(struct check_run *r, const struct clsa_attn *a, const float *q,
                      const float *out, const int32_t *index, size_t first, size_t count,
                      size_t parts, size_t token)
{
    double *score = malloc((count + 1) * sizeof *score);
    size_t h, i, j, group = a->q_heads / a->kv_heads;

    if (score == NULL) {
        r->out_of_memory = 1;
        return;
    }
    for (h = 0; h < a->q_heads; h++) {
        double max = -INFINITY, sum = 0, sigma = 0, largest = 0, relative;
        int nan = 0;

        for (i = 0; i < count; i++) {
            size_t s = key_at(index, first, i);
            double magnitude = 0;

            score[i] = 0;
            for (j = 0; j < a->d; j++) {
                double product = (double)q[h * a->d + j] * check_get(&a->k, s, h / group, j);

                score[i] += product;
                magnitude += fabs(product);
            }
            score[i] *= (double)a->scale;
            nan |= isnan(score[i]);
            max = score[i] > max ? score[i] : max;
            sigma = fmax(sigma, magnitude);
            largest = fmax(largest, isinf(score[i]) ? 0 : fabs(score[i]));
        }
        for (i = 0; i < count; i++) {
            score[i] = nan ? (double)NAN : exp(score[i] - max);
            sum += score[i];
        }
        sigma *= check_gamma((double)a->d + 3) * fabs((double)a->scale);
        relative = 2 * sigma + 8 * CLSA_U * largest + 2 * CLSA_EXP +
                   2 * check_gamma((double)(count + 2 * parts) + 4);
        for (j = 0; j < a->dv; j++) {
            double want = 0, spread = 0;

            for (i = 0; i < count; i++) {
                double v = check_get(&a->v, key_at(index, first, i), h / group, j);

                want += score[i] * v;
                spread += score[i] * fabs(v);
            }
            /* nothing attended, or nothing above -Inf: zeros */
            want = nan ? (double)NAN : max == -INFINITY ? 0 : want / sum;
            check_value(r, (double)out[h * a->dv + j], want,
                        max == -INFINITY ? 0 : spread / sum * relative + (double)FLT_MIN, "out",
                        token, h * a->dv + j);
        }
    }
    free(score);
}

/* Decode: the run is cut at random into parts, each by the kernel, joined by attn_combine. */
static void decode_case(struct check_run *r, const struct problem *p, int sparse, size_t first,
                        size_t count, int special)
{
    enum { PARTS = 7 };
    const struct clsa_attn *a = &p->a;
    struct clsa_attn_part parts[PARTS];
    size_t cut[PARTS + 1], n = 1 + check_below(r, PARTS), i, j;
    int32_t *index = NULL;
    float *q, *out;
    ptrdiff_t ld;

    q = check_input_floats(r, 1, a->q_heads * a->d, &ld);
    out = check_output_floats(r, 1, a->q_heads * a->dv, &ld);
    for (i = 0; i < n; i++) {
        parts[i].max = check_output_floats(r, 1, a->q_heads, &ld);
        parts[i].sum = check_output_floats(r, 1, a->q_heads, &ld);
        parts[i].acc = check_output_floats(r, 1, a->q_heads * a->dv, &ld);
    }
    if (sparse) {
        index = check_input(r, count * sizeof *index, sizeof *index);
        for (i = 0; index != NULL && i < count; i++)
            index[i] = (int32_t)check_below(r, p->tokens);
    }
    if (!check_ready(r))
        return;
    if (special == 1 && count > 0 && a->d > 0) /* one head's NaN stays with its query heads */
        check_set(&a->k, key_at(index, first, check_below(r, count)), check_below(r, a->kv_heads),
                  a->d - 1, NAN);
    if (special == 2 && a->d > 0) { /* -Inf scores weigh nothing */
        for (i = 0; i < a->q_heads * a->d; i++)
            q[i] = i % a->d == 0 ? 1 : q[i];
        for (i = 0; i < count; i++)
            if (check_below(r, 2) || i < 80)
                for (j = 0; j < a->kv_heads; j++)
                    check_set(&a->k, key_at(index, first, i), j, 0, -INFINITY);
    }
    cut[0] = 0;
    for (i = 1; i < n; i++)
        cut[i] = cut[i - 1] + check_below(r, count - cut[i - 1] + 1);
    cut[n] = count;
    for (i = 0; i < n; i++) {
        struct clsa_attn part = *a;

        part.next = count - cut[i + 1];
        if (sparse)
            r->k->attn_sparse(&part, q, index + cut[i], cut[i + 1] - cut[i], &parts[i]);
        else
            r->k->attn_dense(&part, q, first + cut[i], cut[i + 1] - cut[i], &parts[i]);
    }
    r->k->attn_combine(out, parts, n, a->q_heads, a->dv);
    check_attn_judge(r, a, q, out, index, first, count, n, 0);
}

struct shape {
    size_t q_heads, kv_heads, d;
};
static const struct shape shapes[] = {
    {1, 1, 1},    {2, 1, 3},    {3, 3, 8},    {6, 2, 32},  {4, 2, 17},  {5, 1, 64},
    {20, 4, 128}, {7, 1, 40},   {12, 2, 128}, {8, 8, 16},  {13, 1, 33}, {24, 8, 128},
    {2, 2, 192},  {1, 1, 1024}, {100, 1, 24}, {26, 1, 48},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const size_t runs[] = {0, 1, 2, 3, 5, 15, 16, 17, 31, 33, 63, 64, 65, 100, 128, 200, 257};
enum { RUNS = sizeof runs / sizeof runs[0] };

static void decode(struct check_run *r, int sparse)
{
    size_t i;

    for (i = 0; i < 3 * RUNS && check_ready(r); i++) {
        const struct shape *s = &shapes[i % SHAPES];
        size_t count = runs[i % RUNS], first = sparse ? 0 : check_below(r, 9);
        size_t tokens = sparse ? count + 1 + check_below(r, 300) : first + count;
        enum clsa_kernel_dtype dtype = storage[i / RUNS];
        int special = (int)(i % 3) * (int)(i % 2);
        struct problem p;

        check_begin(r, "heads=%zu/%zu d=%zu keys=%zu of %zu %s special=%d", s->q_heads, s->kv_heads,
                    s->d, count, tokens, clsa_kernel_dtype_name(dtype), special);
        p = problem(r, tokens, s->q_heads, s->kv_heads, s->d, dtype, 0);
        decode_case(r, &p, sparse, first, count, special);
        check_end(r);
    }
    for (i = 0; i < 2 && check_ready(r); i++) {
        size_t count = r->quick ? 700 : i == 0 ? 2048 : 6000;
        struct problem p;

        check_begin(r, "heads=8/2 d=64 keys=%zu %s", count, clsa_kernel_dtype_name(storage[1 - i]));
        p = problem(r, count + 100, 8, 2, 64, storage[1 - i], 0);
        decode_case(r, &p, sparse, 7, count, 0);
        check_end(r);
    }
}

void check_attn_dense(struct check_run *r)
{
    decode(r, 0);
}

void check_attn_sparse(struct check_run *r)
{
    decode(r, 1);
}

void check_attn_mla(struct check_run *r)
{
    static const size_t heads[] = {1, 2, 8, 16, 64, 128};
    size_t i;

    for (i = 0; i < 2 * RUNS && check_ready(r); i++) {
        size_t count = runs[i % RUNS], q_heads = heads[i % (r->quick ? 4 : 6)];
        enum clsa_kernel_dtype dtype = i % 2 ? CLSA_KERNEL_MLA_FP8 : CLSA_KERNEL_BF16;
        int sparse = (int)(i / RUNS), special = i % 5 == 4;
        struct problem p;

        check_begin(r, "MLA heads=%zu keys=%zu %s %s special=%d", q_heads, count,
                    clsa_kernel_dtype_name(dtype), sparse ? "sparse" : "dense", special);
        p = problem(r, count + 3, q_heads, 1, CLSA_MLA_D, dtype, 1);
        decode_case(r, &p, sparse, 2, count, special);
        check_end(r);
    }
}

/* Parts with given maxima, among them empty ones, against the formula. */
void check_attn_combine(struct check_run *r)
{
    static const size_t values[] = {0, 1, 3, 8, 17, 32, 128, 512};
    size_t c, i, h, j;

    for (c = 0; c < 64 && check_ready(r); c++) {
        size_t n = check_below(r, 7), heads = 1 + check_below(r, 5), dv = values[c % 8];
        struct clsa_attn_part parts[7];
        ptrdiff_t ld;
        float *out;

        check_begin(r, "parts=%zu heads=%zu dv=%zu", n, heads, dv);
        out = check_output_floats(r, 1, heads * dv, &ld);
        for (i = 0; i < n; i++) {
            parts[i].max = check_input_floats(r, 1, heads, &ld);
            parts[i].sum = check_input_floats(r, 1, heads, &ld);
            parts[i].acc = check_input_floats(r, 1, heads * dv, &ld);
        }
        if (!check_ready(r))
            return;
        for (i = 0; i < n; i++)
            for (h = 0; h < heads; h++) {
                int empty = check_below(r, 4) == 0;

                parts[i].sum[h] = empty ? 0 : 1 + fabsf(parts[i].sum[h]);
                parts[i].max[h] = empty ? -INFINITY : 3 * parts[i].max[h];
                for (j = 0; j < dv && empty; j++)
                    parts[i].acc[h * dv + j] = 0;
                if (c % 9 == 8 && i == 0 && h == 0)
                    parts[i].max[h] = parts[i].sum[h] = NAN;
            }
        r->k->attn_combine(out, parts, n, heads, dv);
        for (h = 0; h < heads; h++)
            for (j = 0; j < dv; j++) {
                double max = -INFINITY, sum = 0, acc = 0, spread = 0, range = 0;
                int nan = 0;

                for (i = 0; i < n; i++) {
                    nan |= isnan(parts[i].max[h]);
                    max = fmax(max, (double)parts[i].max[h]);
                }
                for (i = 0; i < n; i++) {
                    double weight = exp((double)parts[i].max[h] - max);

                    if (parts[i].max[h] == -INFINITY)
                        continue;
                    range = fmax(range, fabs((double)parts[i].max[h]) + fabs(max));
                    sum += weight * (double)parts[i].sum[h];
                    acc += weight * (double)parts[i].acc[h * dv + j];
                    spread += weight * fabs((double)parts[i].acc[h * dv + j]);
                }
                check_value(r, (double)out[h * dv + j],
                            nan                ? (double)NAN
                            : max == -INFINITY ? 0
                                               : acc / sum,
                            max == -INFINITY ? 0
                                             : spread / sum *
                                                       (2 * CLSA_EXP + 4 * CLSA_U * range +
                                                        2 * check_gamma(2 * (double)n + 4)) +
                                                   (double)FLT_MIN,
                            "out", h, j);
            }
        check_end(r);
    }
}

/* Prefill with a window or none. Keys after the last query and before the first window are NaN. */
static void prefill_case(struct check_run *r, const struct shape *s, size_t first, size_t nq,
                         size_t window, enum clsa_kernel_dtype dtype)
{
    size_t i, j, h, tokens = first + nq + 5, split;
    ptrdiff_t ldq, ldo, ld2;
    float *q, *out, *again;
    struct problem p;

    check_begin(r, "heads=%zu/%zu d=%zu first=%zu queries=%zu window=%zu %s", s->q_heads,
                s->kv_heads, s->d, first, nq, window, clsa_kernel_dtype_name(dtype));
    p = problem(r, tokens, s->q_heads, s->kv_heads, s->d, dtype, 0);
    q = check_input_floats(r, nq, s->q_heads * s->d, &ldq);
    out = check_output_floats(r, nq, s->q_heads * s->d, &ldo);
    again = check_output_floats(r, nq, s->q_heads * s->d, &ld2);
    if (!check_ready(r))
        return;
    for (i = 0; i < tokens; i++)
        for (h = 0; h < s->kv_heads; h++)
            for (j = 0; j < s->d; j++)
                if (i >= first + nq || (window > 0 && i + window < first + 1)) {
                    check_set(&p.a.k, i, h, j, NAN);
                    check_set(&p.a.v, i, h, j, NAN);
                }
    /* a NaN value that the earlier queries may not see, nor those whose window has passed it */
    if (nq > 2 && s->d > 0)
        check_set(&p.a.v, first + nq / 2, 0, 0, NAN);
    r->k->attn_prefill(&p.a, out, ldo, q, ldq, first, nq, window);
    for (i = 0; i < nq && check_ready(r); i++) {
        size_t end = first + i + 1, begin = window > 0 && end > window ? end - window : 0;

        check_attn_judge(r, &p.a, q + (ptrdiff_t)i * ldq, out + (ptrdiff_t)i * ldo, NULL, begin,
                         end - begin, 1, i);
    }
    /* a query alone has the same bits as among others */
    for (i = 0; i < nq; i += split) {
        split = 1 + check_below(r, nq - i);
        r->k->attn_prefill(&p.a, again + (ptrdiff_t)i * ld2, ld2, q + (ptrdiff_t)i * ldq, ldq,
                           first + i, split, window);
    }
    check_same_bits(r, "out", out, ldo, again, ld2, nq, s->q_heads * s->d, "the slicing");
    check_end(r);
}

static void prefill(struct check_run *r, int windowed)
{
    static const size_t queries[] = {0, 1, 2, 3, 7, 16, 33, 40};
    static const size_t windows[] = {1, 2, 16, 63, 64, 100};
    size_t i;

    for (i = 0; i < 24 && check_ready(r); i++) {
        size_t first = i % 3 == 0 ? 0 : check_below(r, 150);

        prefill_case(r, &shapes[i % SHAPES], first, queries[i % 8], windowed ? windows[i % 6] : 0,
                     storage[i % 3]);
    }
    if (check_ready(r))
        prefill_case(r, &shapes[3], r->quick ? 90 : 700, 130, windowed ? 128 : 0, CLSA_KERNEL_BF16);
}

void check_attn_window(struct check_run *r)
{
    prefill(r, 1);
}

void check_attn_prefill(struct check_run *r)
{
    prefill(r, 0);
}

void check_attn_sparse_prefill(struct check_run *r)
{
    size_t c, i, j;

    for (c = 0; c < 24 && check_ready(r); c++) {
        const struct shape *s = &shapes[c % SHAPES];
        size_t nq = check_below(r, 6), tokens = 1 + check_below(r, 400),
               top = 1 + check_below(r, 200);
        enum clsa_kernel_dtype dtype = storage[c % 3];
        ptrdiff_t ldq, ldo, ld_index = (ptrdiff_t)(top + check_below(r, 5));
        int32_t *index, *count;
        struct problem p;
        float *q, *out;

        check_begin(r, "heads=%zu/%zu d=%zu queries=%zu keys<=%zu of %zu %s", s->q_heads,
                    s->kv_heads, s->d, nq, top, tokens, clsa_kernel_dtype_name(dtype));
        p = problem(r, tokens, s->q_heads, s->kv_heads, s->d, dtype, 0);
        q = check_input_floats(r, nq, s->q_heads * s->d, &ldq);
        out = check_output_floats(r, nq, s->q_heads * s->d, &ldo);
        index = check_input(r, nq * (size_t)ld_index * sizeof *index, sizeof *index);
        count = check_input(r, nq * sizeof *count, sizeof *count);
        if (!check_ready(r))
            return;
        for (i = 0; i < nq; i++) {
            count[i] = (int32_t)(check_below(r, 4) ? check_below(r, top + 1) : 0);
            for (j = 0; j < (size_t)count[i]; j++)
                index[(ptrdiff_t)i * ld_index + (ptrdiff_t)j] = (int32_t)check_below(r, tokens);
        }
        r->k->attn_sparse_prefill(&p.a, out, ldo, q, ldq, nq, index, ld_index, count);
        for (i = 0; i < nq && check_ready(r); i++)
            check_attn_judge(r, &p.a, q + (ptrdiff_t)i * ldq, out + (ptrdiff_t)i * ldo,
                             index + (ptrdiff_t)i * ld_index, 0, (size_t)count[i], 1, i);
        check_end(r);
    }
}
