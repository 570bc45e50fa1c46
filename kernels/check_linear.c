/* Checks of products, index scores and top-k. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check_run.h"

static const enum clsa_kernel_dtype storage[] = {CLSA_KERNEL_F32, CLSA_KERNEL_BF16,
                                                 CLSA_KERNEL_F16};

/* x . row (s) of w, and what its bound needs. */
static double dot(const float *x, const struct clsa_rows *w, size_t s, size_t k, double *sum_xw,
                  double *sum_x, double *sum_w)
{
    double sum = 0;
    size_t l;

    *sum_xw = *sum_x = *sum_w = 0;
    for (l = 0; l < k; l++) {
        double a = (double)x[l], b = check_get(w, s, 0, l);

        sum += a * b;
        *sum_xw += fabs(a * b);
        *sum_x += fabs(a);
        *sum_w += fabs(b);
    }
    return sum;
}

/* Where a NaN or Inf was planted the bound is NaN: check_value then looks at the kind only. */
static void gemm_case(struct check_run *r, size_t m, size_t n, size_t k,
                      enum clsa_kernel_dtype dtype, int special)
{
    struct clsa_rows w;
    float *x, *y, *again;
    char *tight;
    ptrdiff_t ldx, ldy, ld2;
    size_t row = clsa_kernel_row_bytes(dtype, k), i, j;

    check_begin(r, "m=%zu n=%zu k=%zu w=%s special=%d", m, n, k, clsa_kernel_dtype_name(dtype),
                special);
    w = check_rows(r, dtype, n, 1, k, 0.1);
    x = check_input_floats(r, m, k, &ldx);
    y = check_output_floats(r, m, n, &ldy);
    again = check_output_floats(r, m, n, &ld2);
    tight = check_input(r, n * row, dtype == CLSA_KERNEL_F32 ? sizeof(float) : sizeof(uint16_t));
    if (!check_ready(r))
        return;
    if (special == 1 && m > 0 && k > 0)
        x[(ptrdiff_t)check_below(r, m) * ldx + (ptrdiff_t)check_below(r, k)] = NAN;
    if (special == 2 && n > 0 && k > 0)
        check_set(&w, check_below(r, n), 0, k - 1, INFINITY);
    r->k->gemm(y, ldy, x, ldx, &w, m, n, k);
    for (i = 0; i < m; i++)
        for (j = 0; j < n; j++) {
            double xw, sx, sw, want = dot(x + (ptrdiff_t)i * ldx, &w, j, k, &xw, &sx, &sw);

            check_value(r, (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)j], want,
                        check_dot_bound(r, dtype, xw, sx, sw, k), "y", i, j);
        }
    /* the same bits in slices of any shape */
    for (i = 0; i < m;) {
        size_t rows = 1 + check_below(r, m - i);

        for (j = 0; j < n;) {
            size_t columns = 1 + check_below(r, n - j);
            struct clsa_rows slice = w;

            slice.base = (const char *)w.base + (ptrdiff_t)j * w.row_stride_bytes;
            r->k->gemm(again + (ptrdiff_t)i * ld2 + (ptrdiff_t)j, ld2, x + (ptrdiff_t)i * ldx, ldx,
                       &slice, rows, columns, k);
            j += columns;
        }
        i += rows;
    }
    check_same_bits(r, "y", y, ldy, again, ld2, m, n, "the slicing");
    /* and of rows one behind the other */
    for (j = 0; j < n; j++)
        memcpy(tight + j * row, (const char *)w.base + (ptrdiff_t)j * w.row_stride_bytes, row);
    w.base = tight;
    w.row_stride_bytes = (ptrdiff_t)row;
    r->k->gemm(again, ld2, x, ldx, &w, m, n, k);
    check_same_bits(r, "y", y, ldy, again, ld2, m, n, "where rows lie");
    check_end(r);
}

void check_gemm(struct check_run *r)
{
    static const size_t rows[] = {0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 20};
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count; i++) {
        size_t m = rows[i % (sizeof rows / sizeof rows[0])];

        gemm_case(r, m, 1 + check_below(r, 40), sizes[i], storage[i % 3], 0);
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = 1 + check_below(r, 8);
            const size_t draw_b = 1 + check_below(r, 130);

            gemm_case(r, draw_a, sizes[i] % 200, draw_b, storage[1], 0);
        }
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 20);
            const size_t draw_b = check_below(r, 11);

            gemm_case(r, draw_a, draw_b, sizes[i], storage[(i + 1) % 3], (int)(i % 3));
        }
    }
    gemm_case(r, 3, 5, 0, CLSA_KERNEL_BF16, 0); /* an empty sum is 0 and written */
    gemm_case(r, 20, 9, 0, CLSA_KERNEL_F32, 0);
    gemm_case(r, 14, 6, 10300, CLSA_KERNEL_BF16, 0); /* beyond the values of k taken at a time */
    gemm_case(r, 29, 101, 1029, CLSA_KERNEL_BF16, 0);
    gemm_case(r, 1, 50, 2048, CLSA_KERNEL_BF16, 0);
    gemm_case(r, 1, 150, 64, CLSA_KERNEL_F32, 0); /* short rows, more than a stage of them */
    gemm_case(r, 1, 41, 128, CLSA_KERNEL_F32, 2);
    gemm_case(r, 1, 151, 128, CLSA_KERNEL_BF16, 0);
    gemm_case(r, 1, 43, 256, CLSA_KERNEL_BF16, 2);
    gemm_case(r, 400, 7, 65, CLSA_KERNEL_BF16, 0); /* beyond the rows named at a time */
    gemm_case(r, 100, 70, 33, CLSA_KERNEL_F16, 0);
}

void check_index_judge(struct check_run *r, const float *out, const float *q,
                       const struct clsa_rows *keys, size_t first, size_t count, size_t d,
                       float scale, size_t row)
{
    size_t s;

    for (s = 0; s < count; s++) {
        double xw, sx, sw, want = (double)scale * dot(q, keys, first + s, d, &xw, &sx, &sw);

        check_value(r, (double)out[s], want,
                    (double)scale * check_dot_bound(r, keys->dtype, xw, sx, sw, d) +
                        CLSA_U * fabs(want),
                    "score", row, s);
    }
}

static void index_case(struct check_run *r, size_t first, size_t count, size_t d,
                       enum clsa_kernel_dtype dtype, int special)
{
    float scale = (float)(1 / sqrt((double)(d ? d : 1))), *q, *out;
    struct clsa_rows keys;
    ptrdiff_t ld;

    check_begin(r, "first=%zu keys=%zu d=%zu keys=%s special=%d", first, count, d,
                clsa_kernel_dtype_name(dtype), special);
    keys = check_rows(r, dtype, first + count, 1, d, 1);
    q = check_input_floats(r, 1, d, &ld);
    out = check_output_floats(r, 1, count, &ld);
    if (!check_ready(r))
        return;
    if (d > 0 && first > 0)
        check_set(&keys, first - 1, 0, 0, NAN); /* not among the keys asked for */
    if (special && d > 0 && count > 0)
        check_set(&keys, first + check_below(r, count), 0, check_below(r, d),
                  special == 1 ? NAN : INFINITY);
    r->k->index_score(out, q, &keys, first, count, d, scale);
    check_index_judge(r, out, q, &keys, first, count, d, scale, 0);
    check_end(r);
}

void check_index_score(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count; i++) {
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 5);
            const size_t draw_b = check_below(r, 60);

            index_case(r, draw_a, draw_b, sizes[i], storage[i % 3], 0);
        }
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 5);
            const size_t draw_b = 1 + check_below(r, 130);

            index_case(r, draw_a, sizes[i], draw_b, storage[(i + 1) % 3], (int)(i % 3));
        }
    }
    index_case(r, 3, r->quick ? 3001 : 20001, 128, CLSA_KERNEL_BF16, 0);
}

void check_index_heads_judge(struct check_run *r, const float *out, const float *q, const float *w,
                             const struct clsa_rows *keys, size_t first, size_t count, size_t heads,
                             size_t d, float scale, size_t row)
{
    size_t s, h;

    for (s = 0; s < count; s++) {
        double want = 0, bound = 0;

        for (h = 0; h < heads; h++) {
            double xw, sx, sw, value = dot(q + h * d, keys, first + s, d, &xw, &sx, &sw);

            want += (double)w[h] * (value <= 0 ? 0 : value);
            bound += fabs((double)w[h]) * (check_dot_bound(r, keys->dtype, xw, sx, sw, d) +
                                           check_gamma((double)heads + 2) * xw);
        }
        check_value(r, (double)out[s], (double)scale * want,
                    (double)scale * bound + (double)FLT_MIN, "score", row, s);
    }
}

static void index_heads_case(struct check_run *r, size_t first, size_t count, size_t heads,
                             size_t d, enum clsa_kernel_dtype dtype, int special)
{
    float scale = 0.25f, *q, *w, *out;
    struct clsa_rows keys;
    ptrdiff_t ld;

    check_begin(r, "first=%zu keys=%zu heads=%zu d=%zu keys=%s special=%d", first, count, heads, d,
                clsa_kernel_dtype_name(dtype), special);
    keys = check_rows(r, dtype, first + count, 1, d, 1);
    q = check_input_floats(r, 1, heads * d, &ld);
    w = check_input_floats(r, 1, heads, &ld);
    out = check_output_floats(r, 1, count, &ld);
    if (!check_ready(r))
        return;
    if (special && d > 0 && count > 0)
        check_set(&keys, first + check_below(r, count), 0, check_below(r, d), NAN);
    r->k->index_score_heads(out, q, w, &keys, first, count, heads, d, scale);
    check_index_heads_judge(r, out, q, w, &keys, first, count, heads, d, scale, 0);
    check_end(r);
}

void check_index_score_heads(struct check_run *r)
{
    static const size_t heads[] = {0, 1, 2, 3, 7, 8, 12, 23, 24, 25, 32, 64};
    size_t i;

    for (i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 4);
            const size_t draw_b = check_below(r, 70);
            const size_t draw_c = 1 + check_below(r, 130);

            index_heads_case(r, draw_a, draw_b, heads[i], draw_c, storage[i % 3], 0);
        }
        index_heads_case(r, 0, 1 + check_below(r, 40), heads[i], 128, storage[(i + 1) % 3],
                         (int)(i % 2));
    }
    index_heads_case(r, 1, r->quick ? 100 : 1500, 64, 128, CLSA_KERNEL_BF16, 0);
}

/* Where a score ranks: NaN above everything, equal among themselves. */
static int above(float a, float b)
{
    return isnan(a) ? !isnan(b) : a > b;
}

void check_topk_judge(struct check_run *r, const float *score, size_t n, size_t k,
                      const int32_t *out, size_t got, int any_ties)
{
    size_t want = k < n ? k : n, i, next = 0, lowest = 0;

    r->result->values += want;
    if (got != want)
        check_fail(r, "returned %zu positions, not %zu", got, want);
    for (i = 0; i < want && !r->failed; i++)
        if (out[i] < 0 || (size_t)out[i] >= n || (i > 0 && out[i] <= out[i - 1]))
            check_fail(r, "out[%zu] = %d: not ascending positions below n", i, (int)out[i]);
    for (i = 1; i < want && !r->failed; i++) /* the least taken; of equals the last */
        if (!above(score[out[i]], score[out[lowest]]))
            lowest = i;
    for (i = 0; i < n && want > 0 && !r->failed; i++) {
        float least = score[out[lowest]];

        if (next < want && (size_t)out[next] == i)
            next++;
        else if (above(score[i], least) ||
                 (!any_ties && !above(least, score[i]) && i < (size_t)out[lowest]))
            check_fail(r, "left out position %zu (%.9g), took %d (%.9g)", i, (double)score[i],
                       (int)out[lowest], (double)least);
    }
}

static void topk_case(struct check_run *r, const char *kind, const float *values, size_t n,
                      size_t k)
{
    size_t want = k < n ? k : n, got;
    float *score;
    int32_t *out;
    void *scratch;
    ptrdiff_t ld;

    check_begin(r, "%s n=%zu k=%zu", kind, n, k);
    score = check_input_floats(r, 1, n, &ld);
    out = check_output(r, (want + 5) * sizeof *out, sizeof *out);
    scratch = aligned_alloc(64, (clsa_topk_scratch_bytes(n, k) + 127) / 64 * 64);
    if (!check_ready(r) || scratch == NULL) {
        r->out_of_memory = 1;
        free(scratch);
        return;
    }
    if (n > 0)
        memcpy(score, values, n * sizeof *score);
    check_expect(r, out, want * sizeof *out);
    got = r->k->topk(out, score, n, k, scratch);
    free(scratch);
    check_topk_judge(r, score, n, k, out, got, 0);
    check_end(r);
}

enum { RANDOM, SORTED, REVERSED, CONSTANT, FEW_VALUES, RELU, SPECIAL, ALL_NAN, SPIKES, KINDS };

static void fill(struct check_run *r, float *x, size_t n, int kind)
{
    static const float special[] = {0.0f,      -0.0f,  NAN,     -NAN, INFINITY,
                                    -INFINITY, 1e-41f, -1e-41f, 1};
    size_t i;

    for (i = 0; i < n; i++)
        switch (kind) {
        case SORTED:
            x[i] = (float)i * 0.5f - 7;
            break;
        case REVERSED:
            x[i] = 3 - (float)i * 0.25f;
            break;
        case CONSTANT:
            x[i] = -2.5f;
            break;
        case FEW_VALUES:
            x[i] = (float)check_below(r, 3) - 1;
            break;
        case RELU: /* index scores: mostly exactly 0 */
            x[i] = check_normal(r);
            x[i] = x[i] > 1.5f ? x[i] : 0;
            break;
        case SPECIAL:
            x[i] = special[check_below(r, sizeof special / sizeof special[0])];
            break;
        case ALL_NAN:
            x[i] = NAN;
            break;
        case SPIKES: /* one stretch holds all large scores: a sample's bad case */
            x[i] = i >= n / 3 && i < n / 3 + n / 40 ? 10 + check_normal(r) : -1;
            break;
        default:
            x[i] = check_normal(r);
        }
}

void check_topk(struct check_run *r)
{
    static const char *const names[KINDS] = {"random",   "sorted",     "reversed",
                                             "constant", "few values", "relu",
                                             "special",  "all NaN",    "spikes"};
    static const size_t lengths[] = {0,  1,   2,    7,    8,    9,     15,    16,    17,    31,
                                     64, 100, 1000, 4095, 4097, 16384, 20000, 16401, 50001, 131072};
    size_t count = sizeof lengths / sizeof lengths[0] - (r->quick ? 2 : 0), i;
    float *x = malloc(131072 * sizeof *x);
    int kind;

    if (x == NULL)
        r->out_of_memory = 1;
    for (i = 0; i < count; i++)
        for (kind = 0; kind < KINDS && check_ready(r); kind++) {
            size_t n = lengths[i];

            fill(r, x, n, kind);
            topk_case(r, names[kind], x, n, n > 0 ? check_below(r, n) : 0);
            topk_case(r, names[kind], x, n, n >= 16384 ? 2048 : n / 8 + 1);
            if (kind < 2) {
                topk_case(r, names[kind], x, n, 0);
                topk_case(r, names[kind], x, n, 1);
                topk_case(r, names[kind], x, n, n);
                topk_case(r, names[kind], x, n, n + 3);
            }
        }
    free(x);
}
