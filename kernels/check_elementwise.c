/* Checks of the row-wise kernels. Expected values come from the formulas of kernels.h in double,
 * not from the reference rung, so that the reference is checked too. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/check_run.h"
#include "kernels/half.h"

static const enum clsa_kernel_dtype storage[] = {CLSA_KERNEL_F32, CLSA_KERNEL_BF16,
                                                 CLSA_KERNEL_F16};

/* rows x n of x normalised with weights w, in place or apart; heads > 0 takes the head-norm slot.
 */
static void norm_case(struct check_run *r, size_t rows, size_t heads, size_t n, int in_place,
                      int special)
{
    size_t width = heads > 0 ? heads * n : n, i, h, j, slices = heads > 0 ? heads : 1;
    enum clsa_kernel_dtype dtype = storage[check_below(r, 3)];
    struct clsa_rows w;
    float *x, *y, eps = 1e-6f;
    ptrdiff_t ldx, ldy;

    check_begin(r, "rows=%zu heads=%zu n=%zu w=%s%s special=%d", rows, heads, n,
                clsa_kernel_dtype_name(dtype), in_place ? " in place" : "", special);
    w = check_rows(r, dtype, 1, 1, n, 1);
    x = check_input_floats(r, rows, width, &ldx);
    y = check_output_floats(r, rows, width, &ldy);
    if (!check_ready(r))
        return;
    if (special > 0 && rows > 0 && width > 0)
        x[(ptrdiff_t)check_below(r, rows) * ldx + (ptrdiff_t)check_below(r, width)] =
            special == 1   ? NAN
            : special == 2 ? INFINITY
                           : 1e-41f;
    if (special == 3)
        for (i = 0; i < rows; i++)
            for (j = 0; j < width; j++)
                x[(ptrdiff_t)i * ldx + (ptrdiff_t)j] *= 1e-4f; /* eps matters here */
    if (in_place)
        for (i = 0; i < rows; i++)
            memcpy(y + (ptrdiff_t)i * ldy, x + (ptrdiff_t)i * ldx, width * sizeof *x);
    if (heads > 0)
        r->k->head_norm(y, ldy, in_place ? y : x, in_place ? ldy : ldx, w.base, dtype, rows, heads,
                        n, eps);
    else
        r->k->rmsnorm(y, ldy, in_place ? y : x, in_place ? ldy : ldx, w.base, dtype, rows, n, eps);
    for (i = 0; i < rows; i++)
        for (h = 0; h < slices; h++) {
            const float *row = x + (ptrdiff_t)i * ldx + (ptrdiff_t)(h * n);
            double sum = 0, factor;

            for (j = 0; j < n; j++)
                sum += (double)row[j] * (double)row[j];
            factor = 1 / sqrt(sum / (double)n + (double)eps);
            for (j = 0; j < n; j++) {
                double want = (double)row[j] * factor * check_get(&w, 0, 0, j);

                check_value(r, (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)(h * n + j)], want,
                            check_gamma((double)n / 2 + 8) * fabs(want) + (double)FLT_MIN, "y", i,
                            h * n + j);
            }
        }
    check_end(r);
}

void check_rmsnorm(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count; i++) {
        norm_case(r, check_below(r, 4), 0, sizes[i], 0, 0);
        norm_case(r, 1 + check_below(r, 3), 0, sizes[i], 1, (int)(i % 4));
    }
}

void check_head_norm(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count && sizes[i] <= 256; i++) {
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = 1 + check_below(r, 3);
            const size_t draw_b = 1 + check_below(r, 6);

            norm_case(r, draw_a, draw_b, sizes[i], (int)(i % 2), 0);
        }
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 3);
            const size_t draw_b = 1 + check_below(r, 4);

            norm_case(r, draw_a, draw_b, sizes[i], 0, (int)(i % 4));
        }
    }
}

static void rope_case(struct check_run *r, size_t tokens, size_t heads, size_t d, int special)
{
    size_t half = d / 2, gap = check_below(r, 2) * check_below(r, 9), t, h, i;
    ptrdiff_t stride = (ptrdiff_t)(d + gap), ldx, ld_angle;
    float *x, *y, *c, *s;

    check_begin(r, "tokens=%zu heads=%zu d=%zu stride=%td special=%d", tokens, heads, d, stride,
                special);
    x = check_input_floats(r, tokens, heads * (size_t)stride, &ldx);
    y = check_output(r, tokens * (size_t)ldx * sizeof *y, sizeof *y);
    c = check_input_floats(r, 1, tokens * half, &ld_angle);
    s = check_input_floats(r, 1, tokens * half, &ld_angle);
    if (!check_ready(r))
        return;
    for (i = 0; i < tokens * half; i++) {
        double angle = 1000 * check_uniform(r);

        c[i] = (float)cos(angle);
        s[i] = (float)sin(angle);
    }
    if (special && tokens > 0 && heads > 0 && d > 0)
        x[check_below(r, d)] = NAN;
    for (t = 0; t < tokens; t++)
        for (h = 0; h < heads; h++) { /* in place: gaps between heads must stay */
            ptrdiff_t at = (ptrdiff_t)t * ldx + (ptrdiff_t)h * stride;

            check_expect(r, y + at, d * sizeof *y);
            memcpy(y + at, x + at, d * sizeof *y);
        }
    r->k->rope(y, ldx, stride, c, s, tokens, heads, d);
    for (t = 0; t < tokens; t++)
        for (h = 0; h < heads; h++)
            for (i = 0; i < half; i++) {
                ptrdiff_t at = (ptrdiff_t)t * ldx + (ptrdiff_t)h * stride + (ptrdiff_t)i;
                double a = (double)x[at], b = (double)x[at + (ptrdiff_t)half];
                double cs = (double)c[t * half + i], sn = (double)s[t * half + i];
                double low = (double)FLT_MIN;

                check_value(r, (double)y[at], a * cs - b * sn,
                            2 * CLSA_U * (fabs(a * cs) + fabs(b * sn)) + low, "a", t, h * d + i);
                check_value(r, (double)y[at + (ptrdiff_t)half], b * cs + a * sn,
                            2 * CLSA_U * (fabs(b * cs) + fabs(a * sn)) + low, "b", t, h * d + i);
            }
    check_end(r);
}

void check_rope(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count && sizes[i] <= 576; i++) {
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = 1 + check_below(r, 4);
            const size_t draw_b = 1 + check_below(r, 5);

            rope_case(r, draw_a, draw_b, sizes[i] & ~(size_t)1, 0);
        }
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 3);
            const size_t draw_b = check_below(r, 3);

            rope_case(r, draw_a, draw_b, sizes[i] & ~(size_t)1, (int)(i % 2));
        }
    }
}

static void silu_case(struct check_run *r, size_t rows, size_t n, int in_place)
{
    static const float hard[] = {0.0f,    -0.0f,  88.5f,    -88.5f,    -89.5f, -103.5f, 200.0f,
                                 -200.0f, 1e-40f, INFINITY, -INFINITY, NAN,    3e-5f,   -3e-5f};
    float *g, *u, *y;
    ptrdiff_t ldg, ldu, ldy;
    size_t i, j;

    check_begin(r, "rows=%zu n=%zu%s", rows, n, in_place ? " in place" : "");
    g = check_input_floats(r, rows, n, &ldg);
    u = check_input_floats(r, rows, n, &ldu);
    y = check_output_floats(r, rows, n, &ldy);
    if (!check_ready(r))
        return;
    for (i = 0; i < rows; i++)
        for (j = 0; j < n; j++) {
            float *at = g + (ptrdiff_t)i * ldg + (ptrdiff_t)j;

            *at *= check_below(r, 3) ? 3 : 30;
            if (check_below(r, 16) == 0)
                *at = hard[check_below(r, sizeof hard / sizeof hard[0])];
        }
    if (in_place)
        for (i = 0; i < rows; i++)
            memcpy(y + (ptrdiff_t)i * ldy, g + (ptrdiff_t)i * ldg, n * sizeof *y);
    r->k->silu_mul(y, ldy, in_place ? y : g, in_place ? ldy : ldg, u, ldu, rows, n);
    for (i = 0; i < rows; i++)
        for (j = 0; j < n; j++) {
            double gate = (double)g[(ptrdiff_t)i * ldg + (ptrdiff_t)j];
            double up = (double)u[(ptrdiff_t)i * ldu + (ptrdiff_t)j];
            double want = gate / (1 + exp(-gate)) * up;

            check_value(r, (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)j], want,
                        (CLSA_EXP + 4 * CLSA_U) * fabs(want) + (double)FLT_MIN +
                            0x1p-148 * (1 + fabs(gate)) * fabs(up),
                        "y", i, j);
        }
    check_end(r);
}

void check_silu_mul(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count; i++) {
        silu_case(r, check_below(r, 4), sizes[i], 0);
        silu_case(r, 2, sizes[i], 1);
    }
}

/* special: 0 plain, 1 some -Inf, 2 all -Inf, 3 a NaN, 4 +Inf, 5 -Inf and NaN only */
static void softmax_case(struct check_run *r, size_t rows, size_t n, float scale, int special,
                         int in_place)
{
    float *x, *y;
    ptrdiff_t ldx, ldy;
    size_t i, j;

    check_begin(r, "rows=%zu n=%zu scale=%g special=%d%s", rows, n, (double)scale, special,
                in_place ? " in place" : "");
    x = check_input_floats(r, rows, n, &ldx);
    y = check_output_floats(r, rows, n, &ldy);
    if (!check_ready(r))
        return;
    for (i = 0; i < rows; i++)
        for (j = 0; j < n; j++) {
            float *at = x + (ptrdiff_t)i * ldx + (ptrdiff_t)j;

            *at = *at * 5 + (special == 0 ? 300 : 0); /* exp alone would overflow */
            if (special == 2 || special == 5 || (special == 1 && check_below(r, 3) == 0))
                *at = -INFINITY;
        }
    if (special >= 3 && rows > 0 && n > 0)
        x[(ptrdiff_t)check_below(r, rows) * ldx + (ptrdiff_t)check_below(r, n)] =
            special == 4 ? INFINITY : NAN;
    if (in_place)
        for (i = 0; i < rows; i++)
            memcpy(y + (ptrdiff_t)i * ldy, x + (ptrdiff_t)i * ldx, n * sizeof *y);
    r->k->softmax(y, ldy, in_place ? y : x, in_place ? ldy : ldx, rows, n, scale);
    for (i = 0; i < rows; i++) {
        const float *row = x + (ptrdiff_t)i * ldx;
        double max = -INFINITY, sum = 0, total = 0;
        int nan = 0;

        for (j = 0; j < n; j++) {
            double s = (double)row[j] * (double)scale;

            nan |= isnan(s) || s == INFINITY;
            max = s > max ? s : max;
        }
        for (j = 0; j < n; j++)
            sum += exp((double)row[j] * (double)scale - max);
        for (j = 0; j < n; j++) {
            double s = (double)row[j] * (double)scale;
            double want = nan ? (double)NAN : max == -INFINITY ? 0 : exp(s - max) / sum;
            double bound = s == -INFINITY ? 0
                                          : want * (2 * CLSA_U * (fabs(s) + fabs(max)) + CLSA_EXP +
                                                    check_gamma((double)n + 2));
            double got = (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)j];

            check_value(r, got, want, bound + (double)FLT_MIN, "y", i, j);
            total += got;
        }
        if (!nan && max > -INFINITY) /* a softmax sums to 1 */
            check_value(r, total, 1, check_gamma((double)n + 8), "sum of row", i, n);
    }
    check_end(r);
}

void check_softmax(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), i;

    for (i = 0; i < count; i++) {
        softmax_case(r, 1 + check_below(r, 3), sizes[i], 1, (int)(i % 6), (int)(i % 2));
        { /* drawn one by one: the order of arguments is the compiler's */
            const size_t draw_a = check_below(r, 3);
            const float scale = check_below(r, 2) ? 0.125f : -2;

            softmax_case(r, draw_a, sizes[i], scale, 0, 0);
        }
        softmax_case(r, 2, sizes[i], 1, (int)((i + 3) % 6), (int)(i % 3 == 0));
    }
}

void check_embed(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), s, i, j;

    for (s = 0; s < count; s++) {
        size_t n = sizes[s], rows = check_below(r, 6), vocabulary = 1 + check_below(r, 50);
        struct clsa_rows table;
        int32_t *ids;
        float *y;
        ptrdiff_t ldy;

        table.dtype = storage[s % 3];
        check_begin(r, "rows=%zu n=%zu table=%s", rows, n, clsa_kernel_dtype_name(table.dtype));
        table = check_rows(r, table.dtype, vocabulary, 1, n, 1);
        ids = check_input(r, rows * sizeof *ids, sizeof *ids);
        y = check_output_floats(r, rows, n, &ldy);
        if (!check_ready(r))
            return;
        for (i = 0; i < rows; i++)
            ids[i] = (int32_t)check_below(r, vocabulary);
        if (n > 2 && s % 4 == 1)
            check_set(&table, rows > 0 ? (size_t)ids[0] : 0, 0, n - 1, NAN);
        r->k->embed(y, ldy, &table, ids, rows, n);
        for (i = 0; i < rows; i++)
            for (j = 0; j < n; j++)
                check_value(r, (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)j],
                            check_get(&table, (size_t)ids[i], 0, j), 0, "y", i, j);
        check_end(r);
    }
}

void check_add(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), s, j;

    for (s = 0; s < 2 * count; s++) {
        size_t n = sizes[s % count];
        float *a, *b, *y;
        ptrdiff_t ld;

        check_begin(r, "n=%zu%s", n, s >= count ? " in place" : "");
        a = check_input_floats(r, 1, n, &ld);
        b = check_input_floats(r, 1, n, &ld);
        y = check_output_floats(r, 1, n, &ld);
        if (!check_ready(r))
            return;
        if (n > 1) {
            a[check_below(r, n)] = s % 3 == 0 ? NAN : INFINITY;
            b[check_below(r, n)] = s % 3 == 1 ? -INFINITY : 1e-40f;
        }
        if (s >= count)
            memcpy(y, a, n * sizeof *y);
        r->k->add(y, s >= count ? y : a, b, n);
        for (j = 0; j < n; j++)
            check_value(r, (double)y[j], (double)(a[j] + b[j]), 0, "y", 0, j);
        check_end(r);
    }
}

void check_to_f32(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), s, i, j, code;

    for (s = 0; s < count; s++) {
        size_t n = sizes[s], rows = check_below(r, 4);
        struct clsa_rows x;
        float *y;
        ptrdiff_t ldy;

        x.dtype = s % 4 < 3 || n > CLSA_MLA_D ? storage[s % 3] : CLSA_KERNEL_MLA_FP8;
        check_begin(r, "rows=%zu n=%zu from %s", rows, n, clsa_kernel_dtype_name(x.dtype));
        x = check_rows(r, x.dtype, rows, 1, x.dtype == CLSA_KERNEL_MLA_FP8 ? CLSA_MLA_D : n, 1);
        y = check_output_floats(r, rows, n, &ldy);
        if (!check_ready(r))
            return;
        r->k->to_f32(y, ldy, &x, rows, n);
        for (i = 0; i < rows; i++)
            for (j = 0; j < n; j++)
                check_value(r, (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)j], check_get(&x, i, 0, j),
                            0, "y", i, j);
        check_end(r);
    }
    /* every bit pattern of 2 bytes, and every e4m3 code */
    for (s = 0; s < 3; s++) {
        size_t n = s == 2 ? CLSA_MLA_D : 4096, rows = s == 2 ? 1 : 16;
        struct clsa_rows x;
        float *y;
        ptrdiff_t ldy;

        x.dtype = s == 2 ? CLSA_KERNEL_MLA_FP8 : storage[1 + s];
        check_begin(r, "every code of %s", clsa_kernel_dtype_name(x.dtype));
        x = check_rows(r, x.dtype, rows, 1, n, 1);
        y = check_output_floats(r, rows, n, &ldy);
        if (!check_ready(r))
            return;
        for (i = 0; i < rows; i++)
            for (code = 0; code < (s == 2 ? CLSA_MLA_DV : n); code++) {
                unsigned char *row =
                    (unsigned char *)(uintptr_t)x.base + (ptrdiff_t)i * x.row_stride_bytes;
                uint16_t half = (uint16_t)(i * n + code);

                if (s == 2)
                    row[code] = (unsigned char)code;
                else
                    memcpy(row + 2 * code, &half, sizeof half);
            }
        r->k->to_f32(y, ldy, &x, rows, n);
        for (i = 0; i < rows; i++)
            for (j = 0; j < n; j++)
                check_value(r, (double)y[(ptrdiff_t)i * ldy + (ptrdiff_t)j], check_get(&x, i, 0, j),
                            0, "y", i, j);
        check_end(r);
    }
}

/* The nearest value of a type with `bits` significant bits, exponents from low up, ties to even:
 * from the definition, independent of half.h. */
static double nearest(double x, int bits, int low, double overflow)
{
    int e;
    double step, rounded;

    if (isnan(x) || isinf(x) || x == 0)
        return x;
    frexp(x, &e); /* |x| in [2^(e-1), 2^e) */
    step = ldexp(1, (e - 1 < low ? low : e - 1) - (bits - 1));
    rounded = nearbyint(x / step) * step;
    return fabs(rounded) >= overflow ? (double)INFINITY * (x < 0 ? -1 : 1) : rounded;
}

void check_from_f32(struct check_run *r)
{
    const size_t *sizes;
    size_t count = check_sizes(r, &sizes), s, i, j;

    for (s = 0; s < 2 * count; s++) {
        size_t n = sizes[s % count], rows = check_below(r, 4);
        enum clsa_kernel_dtype dtype = storage[1 + s / count];
        int f16 = dtype == CLSA_KERNEL_F16;
        struct clsa_rows y = {NULL, dtype, (ptrdiff_t)(2 * n + 2 * check_below(r, 9)), 0};
        unsigned char *out;
        float *x;
        ptrdiff_t ldx;

        check_begin(r, "rows=%zu n=%zu to %s", rows, n, clsa_kernel_dtype_name(dtype));
        x = check_input_floats(r, rows, n, &ldx);
        out = check_output(r, rows * (size_t)y.row_stride_bytes, 2);
        if (!check_ready(r))
            return;
        for (i = 0; i < rows; i++) {
            check_expect(r, out + (ptrdiff_t)i * y.row_stride_bytes, 2 * n);
            for (j = 0; j < n; j++) { /* any bits, of all magnitudes, and exact ties */
                float *at = x + (ptrdiff_t)i * ldx + (ptrdiff_t)j;
                uint32_t bits = (uint32_t)check_random(r);

                if (check_below(r, 2))
                    *at = clsa_float_of_bits(check_below(r, 2) ? bits : bits & 0xffff8000u);
                else
                    *at *= ldexpf(1, (int)check_below(r, 44) - 26);
            }
        }
        y.base = out;
        r->k->from_f32(out, y.row_stride_bytes, dtype, x, ldx, rows, n);
        for (i = 0; i < rows; i++)
            for (j = 0; j < n; j++) {
                double value = (double)x[(ptrdiff_t)i * ldx + (ptrdiff_t)j];
                double want =
                    f16 ? nearest(value, 11, -14, 65536) : nearest(value, 8, -126, 0x1p128);

                check_value(r, check_get(&y, i, 0, j), want, 0, "y", i, j);
            }
        check_end(r);
    }
}
