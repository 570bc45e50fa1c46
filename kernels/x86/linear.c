/* Products with rows of weights or keys. Lanes run over k, so a weight is read in its stored order
 * and every output is one dot product with one order of additions, whatever the shape of the call. */
#include "kernels/x86/x86.h"

enum {
#if defined(__AVX512F__)
    TILE_ROWS = 6, /* 6 x 4 accumulators, 6 values of x, 1 of w: 31 of 32 registers */
#else
    TILE_ROWS = 3, /* 3 x 4 accumulators, 3 values of x, 1 of w: 16 of 16 registers */
#endif
    TILE_COLS = 4,
    PANEL_ROWS = 48,           /* rows of W converted at a time: 48 x 1024 x 4 B stay in L2 */
    PANEL_PITCH = CLSA_X_RUN + 16, /* rows of a panel fall into different cache sets */
    CONVERT_FROM = 2 * TILE_ROWS + 1 /* with fewer rows of x, W is widened in registers instead */
};

struct tile {
    float *y;
    ptrdiff_t ldy;
    const float *const *x;
    size_t from;              /* the run of k: x begins here, w points here */
    size_t length;
    const char *w[TILE_COLS];
    ptrdiff_t ahead_bytes;    /* from a row of w to the same place four rows on */
    size_t cols;              /* columns stored */
};

CLSA_INLINE void tile_run(const struct tile *t, const int rows, const enum clsa_kernel_dtype dtype,
                          const int ahead)
{
    vf acc[TILE_ROWS][TILE_COLS];
    const char *w0 = t->w[0], *w1 = t->w[1], *w2 = t->w[2], *w3 = t->w[3];
    const float *x[TILE_ROWS];
    size_t l = 0, tail;
    int r, c;

    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        x[r] = t->x[r] + t->from;
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++)
            acc[r][c] = vf_zero();
    }
    for (; l + VF_N <= t->length; l += VF_N) {
        vf xv[TILE_ROWS], w;

        CLSA_UNROLL
        for (r = 0; r < rows; r++)
            xv[r] = vf_load(x[r] + l);
        if (ahead) {
            _mm_prefetch(w0 + t->ahead_bytes + 2 * l, _MM_HINT_T0);
            _mm_prefetch(w1 + t->ahead_bytes + 2 * l, _MM_HINT_T0);
            _mm_prefetch(w2 + t->ahead_bytes + 2 * l, _MM_HINT_T0);
            _mm_prefetch(w3 + t->ahead_bytes + 2 * l, _MM_HINT_T0);
        }
        w = vf_load_as(w0, dtype, l);
        CLSA_UNROLL
        for (r = 0; r < rows; r++)
            acc[r][0] = vf_fma(xv[r], w, acc[r][0]);
        w = vf_load_as(w1, dtype, l);
        CLSA_UNROLL
        for (r = 0; r < rows; r++)
            acc[r][1] = vf_fma(xv[r], w, acc[r][1]);
        w = vf_load_as(w2, dtype, l);
        CLSA_UNROLL
        for (r = 0; r < rows; r++)
            acc[r][2] = vf_fma(xv[r], w, acc[r][2]);
        w = vf_load_as(w3, dtype, l);
        CLSA_UNROLL
        for (r = 0; r < rows; r++)
            acc[r][3] = vf_fma(xv[r], w, acc[r][3]);
    }
    tail = t->length - l;
    if (tail > 0) {
        vf w[TILE_COLS];

        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++)
            w[c] = vf_load_as_n(t->w[c], dtype, l, tail);
        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            vf xv = vf_load_n(x[r] + l, tail);

            CLSA_UNROLL
            for (c = 0; c < TILE_COLS; c++)
                acc[r][c] = vf_fma(xv, w[c], acc[r][c]);
        }
    }
    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        __m128 sum = vf_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
        float *y = t->y + r * t->ldy;

        if (t->cols == TILE_COLS) {
            if (t->from > 0)
                sum = _mm_add_ps(_mm_loadu_ps(y), sum);
            _mm_storeu_ps(y, sum);
        } else {
            float s[TILE_COLS];

            _mm_storeu_ps(s, sum);
            for (c = 0; c < (int)t->cols; c++)
                y[c] = t->from > 0 ? y[c] + s[c] : s[c];
        }
    }
}

#define TILE_CASES(dtype, ahead)                                                                   \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        tile_run(t, 1, dtype, ahead);                                                              \
        break;                                                                                     \
    case 2:                                                                                        \
        tile_run(t, 2, dtype, ahead);                                                              \
        break;                                                                                     \
    case 3:                                                                                        \
        tile_run(t, 3, dtype, ahead);                                                              \
        break;                                                                                     \
        TILE_CASES_WIDE(dtype, ahead)                                                              \
    }
#if defined(__AVX512F__)
#define TILE_CASES_WIDE(dtype, ahead)                                                              \
    case 4:                                                                                        \
        tile_run(t, 4, dtype, ahead);                                                              \
        break;                                                                                     \
    case 5:                                                                                        \
        tile_run(t, 5, dtype, ahead);                                                              \
        break;                                                                                     \
    case 6:                                                                                        \
        tile_run(t, 6, dtype, ahead);                                                              \
        break;
#else
#define TILE_CASES_WIDE(dtype, ahead)
#endif

static void tile_f32(const struct tile *t, size_t rows)
{
    TILE_CASES(CLSA_KERNEL_F32, 0)
}

static void tile_bf16(const struct tile *t, size_t rows)
{
    TILE_CASES(CLSA_KERNEL_BF16, 1)
}

static void tile_f16(const struct tile *t, size_t rows)
{
    TILE_CASES(CLSA_KERNEL_F16, 1)
}

static void tile_any(const struct tile *t, size_t rows, enum clsa_kernel_dtype dtype)
{
    if (dtype == CLSA_KERNEL_F32)
        tile_f32(t, rows);
    else if (dtype == CLSA_KERNEL_BF16)
        tile_bf16(t, rows);
    else
        tile_f16(t, rows);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One run of k: columns in the outer loop, so that with few rows W passes once. w points at the run's
 * first value of row 0. */
static void block(float *y, ptrdiff_t ldy, const float *const *x, const char *w, ptrdiff_t stride,
                  enum clsa_kernel_dtype dtype, size_t m, size_t n, size_t from, size_t length)
{
    struct tile t = {y, ldy, x, from, length, {NULL}, TILE_COLS * stride, 0};
    size_t i, j, c;

    for (j = 0; j < n; j += TILE_COLS) {
        t.cols = least(TILE_COLS, n - j);
        for (c = 0; c < TILE_COLS; c++) /* beyond the last column: the last again, not stored */
            t.w[c] = w + (ptrdiff_t)least(j + c, n - 1) * stride;
        for (i = 0; i < m; i += TILE_ROWS) {
            t.x = x + i;
            t.y = y + (ptrdiff_t)i * ldy + (ptrdiff_t)j;
            tile_any(&t, least(TILE_ROWS, m - i), dtype);
        }
    }
}

static void zero(float *y, ptrdiff_t ldy, size_t m, size_t n)
{
    size_t i;

    for (i = 0; i < m && n > 0; i++)
        memset(y + (ptrdiff_t)i * ldy, 0, n * sizeof *y);
}

void clsa_x_dots(float *y, ptrdiff_t ldy, const float *const *x, const char *w,
                 ptrdiff_t w_stride_bytes, enum clsa_kernel_dtype dtype, size_t m, size_t n,
                 size_t k)
{
    size_t from;

    if (k == 0)
        zero(y, ldy, m, n);
    for (from = 0; from < k; from += CLSA_X_RUN)
        block(y, ldy, x, w + clsa_kernel_row_bytes(dtype, from), w_stride_bytes, dtype, m, n, from,
              least(k - from, CLSA_X_RUN));
}

/* Many rows of x: a panel of W is widened once into L2 and meets every tile of rows, each of which
 * stays in L1 while the panel passes. */
static void panels(float *y, ptrdiff_t ldy, const float *const *x, const struct clsa_rows *w,
                   size_t m, size_t n, size_t from, size_t length)
{
    _Alignas(64) float panel[PANEL_ROWS * PANEL_PITCH];
    const char *base = (const char *)w->base + clsa_kernel_row_bytes(w->dtype, from);
    struct tile t = {y, ldy, x, from, length, {NULL}, 0, 0};
    size_t i, j, c, rows;

    for (j = 0; j < n; j += rows) {
        rows = least(PANEL_ROWS, n - j);
        for (c = 0; c < rows; c++)
            clsa_x_row_to_f32(panel + c * PANEL_PITCH,
                              base + (ptrdiff_t)(j + c) * w->row_stride_bytes, w->dtype, length,
                              length);
        for (i = 0; i < m; i += TILE_ROWS) {
            size_t at, height = least(TILE_ROWS, m - i);

            t.x = x + i;
            for (at = 0; at < rows; at += TILE_COLS) {
                t.cols = least(TILE_COLS, rows - at);
                for (c = 0; c < TILE_COLS; c++)
                    t.w[c] = (const char *)(panel + least(at + c, rows - 1) * PANEL_PITCH);
                t.y = y + (ptrdiff_t)i * ldy + (ptrdiff_t)(j + at);
                tile_f32(&t, height);
            }
        }
    }
}

enum { POINTERS = 384 }; /* rows of x named at a time: a multiple of TILE_ROWS */

void clsa_x_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                 size_t m, size_t n, size_t k)
{
    const float *rows[POINTERS];
    size_t i, r, from, count;

    for (i = 0; i < m; i += count) {
        count = least(POINTERS, m - i);
        for (r = 0; r < count; r++)
            rows[r] = x + (ptrdiff_t)(i + r) * ldx;
        if (k == 0)
            zero(y + (ptrdiff_t)i * ldy, ldy, count, n);
        for (from = 0; from < k; from += CLSA_X_RUN) {
            size_t length = least(k - from, CLSA_X_RUN);

            if (m < CONVERT_FROM)
                block(y, ldy, rows,
                      (const char *)w->base + clsa_kernel_row_bytes(w->dtype, from),
                      w->row_stride_bytes, w->dtype, m, n, from, length);
            else
                panels(y + (ptrdiff_t)i * ldy, ldy, rows, w, count, n, from, length);
        }
    }
}

void clsa_x_index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                        size_t count, size_t d, float scale)
{
    const char *base = (const char *)keys->base + (ptrdiff_t)first * keys->row_stride_bytes;
    size_t s;

    clsa_x_dots(out, 0, &q, base, keys->row_stride_bytes, keys->dtype, 1, count, d);
    for (s = 0; s < count; s++)
        out[s] *= scale;
}

enum { INDEX_KEYS = 32, INDEX_HEADS = 24 };

/* ReLU, weight and sum over heads, in the order of the heads. */
void clsa_x_index_score_heads(float *out, const float *q, const float *w,
                              const struct clsa_rows *keys, size_t first, size_t count, size_t heads,
                              size_t d, float scale)
{
    float dots[INDEX_HEADS * INDEX_KEYS], total[INDEX_KEYS];
    const float *rows[INDEX_HEADS];
    struct clsa_rows run = *keys;
    size_t s, h, r, i;

    for (s = 0; s < count; s += INDEX_KEYS) {
        size_t width = least(INDEX_KEYS, count - s);

        run.base = (const char *)keys->base + (ptrdiff_t)(first + s) * keys->row_stride_bytes;
        memset(total, 0, sizeof total);
        for (h = 0; h < heads; h += INDEX_HEADS) {
            size_t height = least(INDEX_HEADS, heads - h);

            for (r = 0; r < height; r++)
                rows[r] = q + (h + r) * d;
            clsa_x_dots(dots, INDEX_KEYS, rows, run.base, run.row_stride_bytes, run.dtype, height,
                        width, d);
            for (r = 0; r < height; r++)
                for (i = 0; i < width; i++) {
                    float dot = dots[r * INDEX_KEYS + i];

                    total[i] += w[h + r] * (dot <= 0 ? 0 : dot);
                }
        }
        for (i = 0; i < width; i++)
            out[s + i] = scale * total[i];
    }
}
