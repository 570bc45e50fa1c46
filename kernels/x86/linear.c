/* Products with rows of weights or keys. Lanes run over k, so a weight is read in its stored order
 * and every output is one dot product with one order of additions, whatever the shape of the call.
 */
#include "kernels/x86/tile.h"

enum {
    PANEL_ROWS = 48,  /* rows of W packed at a time: 48 x 1024 x 4 B stay in L2 */
    BLOCK_ROWS = 192, /* rows of x packed at a time; a multiple of TILE_ROWS */
#if defined(__AVX512F__)
    PACK_FROM = 11 /* with fewer rows of x, W is widened in registers instead */
#else
    PACK_FROM = 9
#endif
};

_Static_assert(BLOCK_ROWS % TILE_ROWS == 0 && PANEL_ROWS % TILE_COLS == 0, "whole tiles");

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct tile {
    float *y;
    ptrdiff_t ldy;
    const float *const *x;
    size_t from; /* the run of k: x begins here, w points here */
    size_t length;
    const char *w[TILE_COLS];
    size_t cols; /* columns stored */
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
    put_tile(t->y, t->ldy, acc, rows, t->cols, t->add);
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

#if defined(__AVX512F__)
/* acc += x . w over VF_N values from l on of a float32 row that streams. */
CLSA_INLINE vf stream_step(vf acc, const float *x, const char *w, size_t l, const ptrdiff_t ahead_bytes)
{
    w += l * sizeof(float);
    if (ahead_bytes > 0)
        _mm_prefetch(w + ahead_bytes, _MM_HINT_T0);
    return vf_fma(vf_load(x + l), vf_load((const float *)(const void *)w), acc);
}

/* One row of x and float32 rows of w that stream from memory, one after another: the memory's own
 * prefetch follows one row better than four side by side. The first step stands apart as in
 * pair_chain. k is a multiple of VF_N, `ahead_bytes` a compile-time constant. */
CLSA_INLINE void single_f32(float *y, const float *x, const char *w, ptrdiff_t stride, size_t n, size_t k,
                            const ptrdiff_t ahead_bytes)
{
    const char *rows[TILE_COLS];
    size_t j, from, l;
    int c;

    for (j = 0; j < n; j += TILE_COLS) {
        size_t cols = point(rows, w, stride, j, n);

        for (from = 0; from < k; from += CLSA_X_RUN) {
            size_t end = from + least(k - from, CLSA_X_RUN);
            vf acc[TILE_COLS];

            CLSA_UNROLL
            for (c = 0; c < TILE_COLS; c++) {
                acc[c] = stream_step(vf_zero(), x, rows[c], from, ahead_bytes);
                for (l = from + VF_N; l < end; l += VF_N)
                    acc[c] = stream_step(acc[c], x, rows[c], l, ahead_bytes);
            }
            put4(y + j, vf_sum4(acc[0], acc[1], acc[2], acc[3]), cols, from > 0);
        }
    }
}

static void stream_f32(float *y, const float *x, const char *w, ptrdiff_t stride, size_t n, size_t k)
{
    if (stream_wants_help())
        single_f32(y, x, w, stride, n, k, AHEAD_ROW_BYTES);
    else
        single_f32(y, x, w, stride, n, k, 0);
}
#endif

/* Columns in the outer loop, so that with few rows W passes once; runs of k inside. */
static void natural(float *y, ptrdiff_t ldy, const float *const *x, const char *w, ptrdiff_t stride,
                    enum clsa_kernel_dtype dtype, size_t m, size_t n, size_t k)
{
    struct tile t = {y, ldy, x, 0, 0, {NULL}, 0, 0};
    size_t i, j;

#if defined(__AVX512F__)
    if (dtype == CLSA_KERNEL_F32 && m == 1 && k % VF_N == 0) {
        stream_f32(y, x[0], w, stride, n, k);
        return;
    }
#endif
    for (j = 0; j < n; j += TILE_COLS)
        for (t.from = 0; t.from < k; t.from += CLSA_X_RUN) {
            t.length = least(k - t.from, CLSA_X_RUN);
            t.add = t.from > 0;
            t.cols = point(t.w, w + clsa_kernel_row_bytes(dtype, t.from), stride, j, n);
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

enum {
    SPLIT_VALUES = STREAM_RUNS * CLSA_X_RUN, /* values of k whose x is in the order of pairs */
    SPLIT_PITCH = SPLIT_VALUES + PAIR        /* rows fall into different cache sets */
};

/* The same for bfloat16, k <= SPLIT_VALUES, with x in the order of pairs. `source` is a compile-time
 * constant. */
CLSA_INLINE void paired(float *y, ptrdiff_t ldy, const float *x, const char *w, ptrdiff_t stride,
                        size_t m, size_t n, size_t k, const enum pair_source source, int add)
{
    const float *rows[PACK_FROM - 1];
    const char *columns[TILE_COLS];
    __m128 sum[PAIR_ROWS];
    size_t i, j, r, height;

    for (r = 0; r < m; r++)
        rows[r] = x + r * SPLIT_PITCH;
    for (j = 0; j < n; j += TILE_COLS) {
        size_t cols = point(columns, w, stride, j, n);

        for (i = 0; i < m; i += height) {
            height = least(PAIR_ROWS, m - i);
            for (r = 0; add && r < height; r++)
                sum[r] = get4(y + (ptrdiff_t)(i + r) * ldy + (ptrdiff_t)j, cols);
            pair_rows(sum, rows + i, columns, k, height, source, add);
            for (r = 0; r < height; r++)
                put4(y + (ptrdiff_t)(i + r) * ldy + (ptrdiff_t)j, sum[r], cols, 0);
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
    if (k == 0)
        zero(y, ldy, m, n);
    else
        natural(y, ldy, x, (const char *)w, ldw * (ptrdiff_t)sizeof *w, CLSA_KERNEL_F32, m, n, k);
}

/* One step of PAIR values of a row in the order of its chain: pairs for bfloat16 products. */
CLSA_INLINE void pack_step(float *to, size_t high, const char *row, size_t l,
                           const enum clsa_kernel_dtype dtype, const int pairs)
{
    vf a, b;

    if (dtype == CLSA_KERNEL_BF16) {
        vf_load_pair(row + 2 * l, &a, &b);
    } else {
        a = vf_load_as(row, dtype, l);
        b = vf_load_as(row, dtype, l + VF_N);
        if (pairs)
            vf_split(a, b, &a, &b);
    }
    vf_store(to, a);
    vf_store(to + high * VF_N, b);
}

/* Packs rows for tiles of `high` rows: step after step of the chains, VF_N values of each row. Rows
 * beyond `rows` and values beyond n are zeros. */
CLSA_INLINE void pack(float *to, const char *from, ptrdiff_t stride,
                      const enum clsa_kernel_dtype dtype, const int pairs, size_t rows, size_t high,
                      size_t n)
{
    size_t size = dtype == CLSA_KERNEL_F32 ? 4 : 2, r, l;

    for (r = 0; r < high; r++) {
        const char *row = from + (ptrdiff_t)r * stride;
        char last[PAIR * 4] = {0};
        float *at = to + r * VF_N;

        for (l = 0; l < n; l += PAIR, at += 2 * high * VF_N) {
            if (r < rows && n - l >= PAIR) {
                pack_step(at, high, row, l, dtype, pairs);
            } else {
                if (r < rows)
                    memcpy(last, row + l * size, (n - l) * size);
                pack_step(at, high, last, 0, dtype, pairs);
            }
        }
    }
}

static void pack_x(float *to, const float *x, ptrdiff_t ldx, int pairs, size_t rows, size_t n)
{
    ptrdiff_t stride = ldx * (ptrdiff_t)sizeof *x;

    if (pairs)
        pack(to, (const char *)x, stride, CLSA_KERNEL_F32, 1, rows, TILE_ROWS, n);
    else
        pack(to, (const char *)x, stride, CLSA_KERNEL_F32, 0, rows, TILE_ROWS, n);
}

static void pack_w(float *to, const char *w, ptrdiff_t stride, enum clsa_kernel_dtype dtype,
                   size_t rows, size_t n)
{
    if (dtype == CLSA_KERNEL_BF16)
        pack(to, w, stride, CLSA_KERNEL_BF16, 1, rows, TILE_COLS, n);
    else if (dtype == CLSA_KERNEL_F16)
        pack(to, w, stride, CLSA_KERNEL_F16, 0, rows, TILE_COLS, n);
    else
        pack(to, w, stride, CLSA_KERNEL_F32, 0, rows, TILE_COLS, n);
}

/* TILE_ROWS packed rows of x against four packed rows of w. */
static void packed_tile(float *y, ptrdiff_t ldy, const float *x, const float *w, size_t steps,
                        size_t rows, size_t cols, int add)
{
    vf acc[TILE_ROWS][TILE_COLS];
    size_t l;
    int r, c;

    CLSA_UNROLL
    for (r = 0; r < TILE_ROWS; r++) {
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++)
            acc[r][c] = vf_zero();
    }
    for (l = 0; l < steps; l++, x += TILE_ROWS * VF_N, w += TILE_COLS * VF_N) {
        vf xv[TILE_ROWS];

        CLSA_UNROLL
        for (r = 0; r < TILE_ROWS; r++)
            xv[r] = vf_load(x + r * VF_N);
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++) {
            vf wv = vf_load(w + c * VF_N);

            CLSA_UNROLL
            for (r = 0; r < TILE_ROWS; r++)
                acc[r][c] = vf_fma(xv[r], wv, acc[r][c]);
        }
    }
    if (rows == TILE_ROWS) {
        put_tile(y, ldy, acc, TILE_ROWS, cols, add);
        return;
    }
    CLSA_UNROLL
    for (r = 0; r < TILE_ROWS; r++)
        if ((size_t)r < rows)
            put4(y + r * ldy, vf_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]), cols, add);
}

/* Many rows of x: they are packed once a run, and a panel of W, packed into L2, meets every tile of
 * rows, each of which stays in L1 while the panel passes. */
static void packed(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                   const struct clsa_rows *w, size_t m, size_t n, size_t k, size_t from)
{
    _Alignas(64) float block[BLOCK_ROWS * CLSA_X_RUN];
    _Alignas(64) float panel[PANEL_ROWS * CLSA_X_RUN];
    const char *base = (const char *)w->base + clsa_kernel_row_bytes(w->dtype, from);
    size_t length = least(k - from, CLSA_X_RUN), steps = (length + PAIR - 1) / PAIR * 2;
    size_t width = steps * VF_N, i, j, at, rows;
    size_t tiles = (m + TILE_ROWS - 1) / TILE_ROWS, lines;
    struct panel_ahead next = {NULL, w->row_stride_bytes, 0, clsa_kernel_row_bytes(w->dtype, length), 0};

    for (i = 0; i < m; i += TILE_ROWS)
        pack_x(block + i * width, x + (ptrdiff_t)i * ldx + (ptrdiff_t)from, ldx,
               w->dtype == CLSA_KERNEL_BF16, least(TILE_ROWS, m - i), length);
    for (j = 0; j < n; j += rows) {
        rows = least(PANEL_ROWS, n - j);
        for (at = 0; at < rows; at += TILE_COLS)
            pack_w(panel + at * width, base + (ptrdiff_t)(j + at) * w->row_stride_bytes,
                   w->row_stride_bytes, w->dtype, least(TILE_COLS, rows - at), length);
        panel_next(&next, base, j + rows, n - j - rows, PANEL_ROWS, from + length < k);
        lines = 1 + next.rows * (next.bytes / LINE + 1) / (tiles * (PANEL_ROWS / TILE_COLS));
        for (i = 0; i < m; i += TILE_ROWS)
            for (at = 0; at < rows; at += TILE_COLS) {
                panel_fetch(&next, lines);
                packed_tile(y + (ptrdiff_t)i * ldy + (ptrdiff_t)(j + at), ldy, block + i * width,
                            panel + at * width, steps, least(TILE_ROWS, m - i),
                            least(TILE_COLS, rows - at), from > 0);
            }
    }
}

/* Few rows of x, bfloat16 weights. */
static void few(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                size_t m, size_t n, size_t k)
{
    _Alignas(64) float split[(PACK_FROM - 1) * SPLIT_PITCH];
    size_t r, from;

    for (from = 0; from < k; from += SPLIT_VALUES) {
        size_t length = least(k - from, SPLIT_VALUES);

        for (r = 0; r < m; r++)
            split_row(split + r * SPLIT_PITCH, x + (ptrdiff_t)r * ldx + (ptrdiff_t)from, length);
        if (stream_wants_help())
            paired(y, ldy, split, (const char *)w->base + 2 * from, w->row_stride_bytes, m, n, length,
                   PAIR_STREAMED_WITH_HELP, from > 0);
        else
            paired(y, ldy, split, (const char *)w->base + 2 * from, w->row_stride_bytes, m, n, length,
                   PAIR_STREAMED, from > 0);
    }
}

#if defined(__AVX512F__)
CLSA_INLINE void stage_line(char *to, const char *from, size_t at)
{
    _mm_prefetch(from + at + AHEAD_ROW_BYTES, _MM_HINT_T0);
    vf_store((float *)(void *)(to + at), vf_load((const float *)(const void *)(from + at)));
}

/* `bytes`, a multiple of LINE and not 0. The first line stands apart from the loop as in pair_chain. A function of
 * its own, or compilers run out of registers. */
static __attribute__((noinline)) void stage_fill(char *to, const char *from, size_t bytes)
{
    size_t at;

    stage_line(to, from, 0);
    CLSA_ROLLED
    for (at = LINE; at < bytes; at += LINE)
        stage_line(to, from, at);
}

/* One row of x, in registers, and short rows in L1, one behind the other: `lines` each, a compile-time constant up to
 * SHORT_LINES. bfloat16: x in the order of pairs. */
CLSA_INLINE void short_rows(float *y, const float *x, const char *w, size_t n, const int lines,
                            const enum clsa_kernel_dtype dtype)
{
    const int vectors = dtype == CLSA_KERNEL_BF16 ? 2 * lines : lines;
    const ptrdiff_t row = (ptrdiff_t)lines * LINE;
    vf kept[2 * SHORT_LINES], acc[TILE_COLS];
    size_t j;
    int c, i;

    CLSA_UNROLL
    for (i = 0; i < vectors; i++)
        kept[i] = vf_load(x + i * VF_N);
    for (j = 0; j < n; j += TILE_COLS, w += TILE_COLS * row) {
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++) {
            acc[c] = vf_zero();
            CLSA_UNROLL
            for (i = 0; i < lines; i++) {
                const char *line = w + c * row + i * LINE;

                if (dtype == CLSA_KERNEL_BF16)
                    chain_step_kept(&acc[c], kept + 2 * i, line);
                else
                    acc[c] = vf_fma(kept[i], vf_load((const float *)(const void *)line), acc[c]);
            }
        }
        put4(y + j, vf_sum4(acc[0], acc[1], acc[2], acc[3]), least(TILE_COLS, n - j), 0);
    }
}

/* Short rows that stream, a stage at a time. Stores leave in their order, so a line of y that is elsewhere would hold
 * up all of the next stage: lines are asked for some stages before. `dtype` is a compile-time constant. */
CLSA_INLINE void staged(float *y, const float *x, const char *w, size_t n, size_t row,
                        const enum clsa_kernel_dtype dtype)
{
    _Alignas(64) char stage[STAGE_BYTES];
    const size_t rows = STAGE_BYTES / row, ahead = STAGES_AHEAD * rows;
    size_t j;

    for (j = 0; j < least(ahead, n); j += VF_N)
        __builtin_prefetch(y + j, 1);
    for (j = 0; j < n; j += rows) {
        size_t count = least(rows, n - j);

        if (j + ahead < n)
            __builtin_prefetch(y + j + ahead, 1);
        stage_fill(stage, w + j * row, count * row);
        memset(stage + count * row, 0, -count % TILE_COLS * row); /* the last tile is whole */
        if (row == SHORT_LINES / 2 * LINE)
            short_rows(y + j, x, stage, count, SHORT_LINES / 2, dtype);
        else
            short_rows(y + j, x, stage, count, SHORT_LINES, dtype);
    }
}

/* One row of x and short rows of w, as stream_wants_stage wants them. */
static void staged_rows(float *y, const float *x, const struct clsa_rows *w, size_t n, size_t k)
{
    _Alignas(64) float split[SHORT_LINES * PAIR];

    if (w->dtype == CLSA_KERNEL_BF16) {
        split_row(split, x, k);
        staged(y, split, w->base, n, 2 * k, CLSA_KERNEL_BF16);
    } else {
        staged(y, x, w->base, n, k * sizeof *x, CLSA_KERNEL_F32);
    }
}
#endif

void clsa_x_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                 size_t m, size_t n, size_t k)
{
    const float *rows[PACK_FROM - 1];
    size_t i, from;

    if (k == 0) {
        zero(y, ldy, m, n);
    } else if (m >= PACK_FROM) {
        for (i = 0; i < m; i += BLOCK_ROWS)
            for (from = 0; from < k; from += CLSA_X_RUN)
                packed(y + (ptrdiff_t)i * ldy, ldy, x + (ptrdiff_t)i * ldx, ldx, w,
                       least(BLOCK_ROWS, m - i), n, k, from);
#if defined(__AVX512F__)
    } else if (m == 1 && stream_wants_stage(w, k)) {
        staged_rows(y, x, w, n, k);
#endif
    } else if (w->dtype == CLSA_KERNEL_BF16) {
        few(y, ldy, x, ldx, w, m, n, k);
    } else {
        for (i = 0; i < m; i++)
            rows[i] = x + (ptrdiff_t)i * ldx;
        natural(y, ldy, rows, w->base, w->row_stride_bytes, w->dtype, m, n, k);
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
                              const struct clsa_rows *keys, size_t first, size_t count,
                              size_t heads, size_t d, float scale)
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
