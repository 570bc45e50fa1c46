/* Products with rows of weights or keys. Lanes run over k, so a weight is read in its stored order
 * and every output is one dot product with one order of additions, whatever the shape of the call. */
#include "kernels/x86/tile.h"

enum {
    PANEL_ROWS = 48,               /* rows of W widened at a time: 48 x 1024 x 4 B stay in L2 */
    PANEL_PITCH = CLSA_X_RUN + 16, /* rows of a panel fall into different cache sets */
    POINTERS = 384,                /* rows of x named at a time: a multiple of TILE_ROWS */
    SPLIT_ROWS = 96,               /* rows of x in the order of pairs at a time: 96 x 1024 x 4 B */
    CONVERT_FROM = 2 * PAIR_ROWS + 1 /* with fewer rows of x, W is widened in registers instead */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct tile {
    float *y;
    ptrdiff_t ldy;
    const float *const *x;
    size_t from;              /* the run of k: x begins here, w points here */
    size_t length;
    const char *w[TILE_COLS];
    size_t cols;              /* columns stored */
    int add;
};

/* Rows in memory order: float32 and float16. */
CLSA_INLINE void tile_run(const struct tile *t, const int rows, const enum clsa_kernel_dtype dtype)
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
    for (r = 0; r < rows; r++)
        put4(t->y + r * t->ldy, vf_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]), t->cols, t->add);
}

CLSA_INLINE void tile_rows(const struct tile *t, size_t rows, const enum clsa_kernel_dtype dtype)
{
    switch (rows) {
    case 1:
        tile_run(t, 1, dtype);
        break;
    case 2:
        tile_run(t, 2, dtype);
        break;
#if defined(__AVX512F__)
    case 4:
        tile_run(t, 4, dtype);
        break;
    case 5:
        tile_run(t, 5, dtype);
        break;
    case 6:
        tile_run(t, 6, dtype);
        break;
#endif
    default:
        tile_run(t, 3, dtype);
        break;
    }
}

static void tile_f32(const struct tile *t, size_t rows)
{
    tile_rows(t, rows, CLSA_KERNEL_F32);
}

static void tile_f16(const struct tile *t, size_t rows)
{
    tile_rows(t, rows, CLSA_KERNEL_F16);
}

/* Rows j .. j+3 of w; beyond the last the last again, not stored. */
static size_t point(const char **w, const char *base, ptrdiff_t stride, size_t j, size_t n)
{
    size_t c;

    for (c = 0; c < TILE_COLS; c++)
        w[c] = base + (ptrdiff_t)least(j + c, n - 1) * stride;
    return least(TILE_COLS, n - j);
}

/* One run of k, columns in the outer loop, so that with few rows W passes once. w points at the run's
 * first value of row 0. */
static void natural(float *y, ptrdiff_t ldy, const float *const *x, const char *w, ptrdiff_t stride,
                    enum clsa_kernel_dtype dtype, size_t m, size_t n, size_t from, size_t length)
{
    struct tile t = {y, ldy, x, from, length, {NULL}, 0, from > 0};
    size_t i, j;

    for (j = 0; j < n; j += TILE_COLS) {
        t.cols = point(t.w, w, stride, j, n);
        for (i = 0; i < m; i += TILE_ROWS) {
            t.x = x + i;
            t.y = y + (ptrdiff_t)i * ldy + (ptrdiff_t)j;
            if (dtype == CLSA_KERNEL_F32)
                tile_f32(&t, least(TILE_ROWS, m - i));
            else
                tile_f16(&t, least(TILE_ROWS, m - i));
        }
    }
}

/* The same for bfloat16, with x in the order of pairs. */
static void paired(float *y, ptrdiff_t ldy, const float *const *x, const char *w, ptrdiff_t stride,
                   size_t m, size_t n, size_t length, int add)
{
    const char *rows[TILE_COLS];
    __m128 sum[PAIR_ROWS];
    size_t i, j, r;

    for (j = 0; j < n; j += TILE_COLS) {
        size_t cols = point(rows, w, stride, j, n), height;

        for (i = 0; i < m; i += height) {
            height = least(PAIR_ROWS, m - i);
            pair_tile_rows(sum, x + i, rows, length, height);
            for (r = 0; r < height; r++)
                put4(y + (ptrdiff_t)(i + r) * ldy + (ptrdiff_t)j, sum[r], cols, add);
        }
    }
}

static void zero(float *y, ptrdiff_t ldy, size_t m, size_t n)
{
    size_t i;

    for (i = 0; i < m && n > 0; i++)
        memset(y + (ptrdiff_t)i * ldy, 0, n * sizeof *y);
}

void clsa_x_dots(float *y, ptrdiff_t ldy, const float *const *x, const float *w, ptrdiff_t ldw,
                 size_t m, size_t n, size_t k)
{
    size_t from;

    if (k == 0)
        zero(y, ldy, m, n);
    for (from = 0; from < k; from += CLSA_X_RUN)
        natural(y, ldy, x, (const char *)(w + from), ldw * (ptrdiff_t)sizeof *w, CLSA_KERNEL_F32, m,
                n, from, least(k - from, CLSA_X_RUN));
}

/* A row of W to float32 in the order its products are summed in. */
static size_t widen(float *to, const char *row, enum clsa_kernel_dtype dtype, size_t n)
{
    vf even, odd;
    size_t i;

    if (dtype != CLSA_KERNEL_BF16) {
        clsa_x_row_to_f32(to, row, dtype, n, n);
        return n;
    }
    for (i = 0; i < n; i += PAIR) {
        if (n - i >= PAIR)
            vf_load_pair(row + 2 * i, &even, &odd);
        else
            vf_load_pair_n(row + 2 * i, n - i, &even, &odd);
        vf_store(to + i, even);
        vf_store(to + i + VF_N, odd);
    }
    return i;
}

/* Many rows of x: a panel of W is widened once into L2 and meets every tile of rows, each of which
 * stays in L1 while the panel passes. x_from: where the run begins in the rows of x. */
static void panels(float *y, ptrdiff_t ldy, const float *const *x, size_t x_from,
                   const struct clsa_rows *w, size_t m, size_t n, size_t from, size_t length)
{
    _Alignas(64) float panel[PANEL_ROWS * PANEL_PITCH];
    const char *base = (const char *)w->base + clsa_kernel_row_bytes(w->dtype, from);
    struct tile t = {y, ldy, x, x_from, length, {NULL}, 0, from > 0};
    size_t i, j, c, rows;

    for (j = 0; j < n; j += rows) {
        rows = least(PANEL_ROWS, n - j);
        for (c = 0; c < rows; c++)
            t.length = widen(panel + c * PANEL_PITCH,
                             base + (ptrdiff_t)(j + c) * w->row_stride_bytes, w->dtype, length);
        for (i = 0; i < m; i += TILE_ROWS) {
            size_t at, height = least(TILE_ROWS, m - i);

            t.x = x + i;
            for (at = 0; at < rows; at += TILE_COLS) {
                t.cols = point(t.w, (const char *)panel, PANEL_PITCH * (ptrdiff_t)sizeof *panel, at,
                               rows);
                t.y = y + (ptrdiff_t)i * ldy + (ptrdiff_t)(j + at);
                tile_f32(&t, height);
            }
        }
    }
}

static void gemm_pairs(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                       const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    _Alignas(64) float split[SPLIT_ROWS * PANEL_PITCH];
    const float *rows[SPLIT_ROWS];
    size_t i, r, from, count;

    for (r = 0; r < SPLIT_ROWS; r++)
        rows[r] = split + r * PANEL_PITCH;
    for (i = 0; i < m; i += count) {
        count = least(SPLIT_ROWS, m - i);
        for (from = 0; from < k; from += CLSA_X_RUN) {
            size_t length = least(k - from, CLSA_X_RUN);
            float *at = y + (ptrdiff_t)i * ldy;

            for (r = 0; r < count; r++)
                split_row(split + r * PANEL_PITCH, x + (ptrdiff_t)(i + r) * ldx + (ptrdiff_t)from,
                          length);
            if (m < CONVERT_FROM)
                paired(at, ldy, rows, (const char *)w->base + 2 * from, w->row_stride_bytes, count,
                       n, length, from > 0);
            else
                panels(at, ldy, rows, 0, w, count, n, from, length);
        }
    }
}

void clsa_x_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                 size_t m, size_t n, size_t k)
{
    const float *rows[POINTERS];
    size_t i, r, from, count;

    if (k == 0) {
        zero(y, ldy, m, n);
        return;
    }
    if (w->dtype == CLSA_KERNEL_BF16) {
        gemm_pairs(y, ldy, x, ldx, w, m, n, k);
        return;
    }
    for (i = 0; i < m; i += count) {
        count = least(POINTERS, m - i);
        for (r = 0; r < count; r++)
            rows[r] = x + (ptrdiff_t)(i + r) * ldx;
        for (from = 0; from < k; from += CLSA_X_RUN) {
            size_t length = least(k - from, CLSA_X_RUN);
            float *at = y + (ptrdiff_t)i * ldy;

            if (m < CONVERT_FROM)
                natural(at, ldy, rows,
                        (const char *)w->base + clsa_kernel_row_bytes(w->dtype, from),
                        w->row_stride_bytes, w->dtype, count, n, from, length);
            else
                panels(at, ldy, rows, from, w, count, n, from, length);
        }
    }
}

void clsa_x_index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                        size_t count, size_t d, float scale)
{
    struct clsa_rows run = *keys;
    size_t s;

    run.base = (const char *)keys->base + (ptrdiff_t)first * keys->row_stride_bytes;
    clsa_x_gemm(out, 0, q, 0, &run, 1, count, d);
    for (s = 0; s < count; s++)
        out[s] *= scale;
}

enum { INDEX_KEYS = 192, INDEX_HEADS = 48 };

/* ReLU, weight and sum over heads, in the order of the heads. */
void clsa_x_index_score_heads(float *out, const float *q, const float *w,
                              const struct clsa_rows *keys, size_t first, size_t count, size_t heads,
                              size_t d, float scale)
{
    float dots[INDEX_HEADS * INDEX_KEYS], total[INDEX_KEYS];
    struct clsa_rows run = *keys;
    size_t s, h, r, i;

    for (s = 0; s < count; s += INDEX_KEYS) {
        size_t width = least(INDEX_KEYS, count - s);

        run.base = (const char *)keys->base + (ptrdiff_t)(first + s) * keys->row_stride_bytes;
        memset(total, 0, sizeof total);
        for (h = 0; h < heads; h += INDEX_HEADS) {
            size_t height = least(INDEX_HEADS, heads - h);

            clsa_x_gemm(dots, INDEX_KEYS, q + h * d, (ptrdiff_t)d, &run, height, width, d);
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
