/* Products in bfloat16: the float32 operand is rounded to bfloat16 and pairs are multiplied and
 * added by vdpbf16ps (archive avx512bf16 only). As in linear.c lanes run over k and the order of
 * additions depends on k alone. Weights of other types go the float32 way. */
#include "kernels/x86/tile.h"

#include "kernels/half.h"

_Static_assert(PAIR == 32, "bfloat16 values of a register");

enum {
    ROWS = 192, /* rows of x rounded at a time: 192 x 1024 x 2 B */
    PITCH = CLSA_X_RUN + PAIR,
    PANEL_COLS = 64 /* columns of W that pass while the rows stay in L2 */
};

struct tile {
    float *y;
    ptrdiff_t ldy;
    const uint16_t *x; /* rounded rows, PITCH apart */
    const char *w[TILE_COLS];
    size_t length, cols;
    int add;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

CLSA_INLINE __m512bh pairs(const void *p)
{
    return (__m512bh)_mm512_loadu_si512(p);
}

CLSA_INLINE __m512bh pairs_n(const void *p, size_t n)
{
    return (__m512bh)_mm512_maskz_loadu_epi16((__mmask32)((1ull << n) - 1), p);
}

/* As in tile.h: with one or two rows of x W streams from memory row after row, with more four rows
 * of W meet each row of x. `rows` and `side` are compile-time constants. */
CLSA_INLINE void tile_run(const struct tile *t, const int rows, const int side)
{
    vf acc[TILE_ROWS][TILE_COLS];
    size_t l, tail = t->length % PAIR, whole = t->length - tail;
    int r, c, s;

    CLSA_UNROLL
    for (c = 0; c < TILE_COLS; c += side) {
        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            CLSA_UNROLL
            for (s = 0; s < side; s++)
                acc[r][c + s] = vf_zero();
        }
        for (l = 0; l < whole; l += PAIR) {
            __m512bh x[TILE_ROWS];

            CLSA_UNROLL
            for (r = 0; r < rows; r++)
                x[r] = pairs(t->x + r * PITCH + l);
            CLSA_UNROLL
            for (s = 0; s < side; s++) {
                __m512bh w = pairs(t->w[c + s] + 2 * l);

                CLSA_UNROLL
                for (r = 0; r < rows; r++)
                    acc[r][c + s] = _mm512_dpbf16_ps(acc[r][c + s], x[r], w);
            }
        }
        CLSA_UNROLL
        for (s = 0; tail > 0 && s < side; s++) {
            __m512bh w = pairs_n(t->w[c + s] + 2 * whole, tail);

            CLSA_UNROLL
            for (r = 0; r < rows; r++)
                acc[r][c + s] =
                    _mm512_dpbf16_ps(acc[r][c + s], pairs_n(t->x + r * PITCH + whole, tail), w);
        }
    }
    put_tile(t->y, t->ldy, acc, rows, t->cols, t->add);
}

static void tile_rows(const struct tile *t, size_t rows)
{
    switch (rows) {
    case 1:
        tile_run(t, 1, 1);
        break;
    case 2:
        tile_run(t, 2, 1);
        break;
    case 3:
        tile_run(t, 3, TILE_COLS);
        break;
    case 4:
        tile_run(t, 4, TILE_COLS);
        break;
    case 5:
        tile_run(t, 5, TILE_COLS);
        break;
    default:
        tile_run(t, 6, TILE_COLS);
        break;
    }
}

static void round_row(uint16_t *to, const float *from, size_t n)
{
    size_t i;

    for (i = 0; i + VF_N <= n; i += VF_N)
        vf_store_bf16(to + i, vf_load(from + i));
    for (; i < n; i++)
        to[i] = clsa_bf16_of_f32(from[i]);
}

void clsa_x_gemm_rounded(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                         const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    _Alignas(64) uint16_t rounded[ROWS * PITCH];
    size_t i, r, j, c, at, from, count;

    if (w->dtype != CLSA_KERNEL_BF16 || k == 0) {
        clsa_x_gemm(y, ldy, x, ldx, w, m, n, k);
        return;
    }
    for (i = 0; i < m; i += count) {
        count = least(ROWS, m - i);
        for (from = 0; from < k; from += CLSA_X_RUN) {
            const char *base = (const char *)w->base + 2 * from;
            struct tile t = {NULL, ldy, NULL, {NULL}, least(k - from, CLSA_X_RUN), 0, from > 0};
            struct panel_ahead next = {NULL, w->row_stride_bytes, 0, 2 * t.length, 0};
            size_t tiles = (count + TILE_ROWS - 1) / TILE_ROWS, cols, lines;

            for (r = 0; r < count; r++)
                round_row(rounded + r * PITCH, x + (ptrdiff_t)(i + r) * ldx + (ptrdiff_t)from,
                          t.length);
            for (j = 0; j < n; j += cols) {
                cols = least(PANEL_COLS, n - j);
                if (tiles > 1)
                    panel_next(&next, base, j + cols, n - j - cols, PANEL_COLS, from + t.length < k);
                lines = 1 + next.rows * (next.bytes / LINE + 1) / (tiles * PANEL_COLS / TILE_COLS);
                for (r = 0; r < count; r += TILE_ROWS)
                    for (at = j; at < j + cols; at += TILE_COLS) {
                        panel_fetch(&next, lines);
                        t.cols = least(TILE_COLS, n - at);
                        for (c = 0; c < TILE_COLS; c++)
                            t.w[c] = base + (ptrdiff_t)least(at + c, n - 1) * w->row_stride_bytes;
                        t.x = rounded + r * PITCH;
                        t.y = y + (ptrdiff_t)(i + r) * ldy + (ptrdiff_t)at;
                        tile_rows(&t, least(TILE_ROWS, count - r));
                    }
            }
        }
    }
}

void clsa_x_index_score_rounded(float *out, const float *q, const struct clsa_rows *keys,
                                size_t first, size_t count, size_t d, float scale)
{
    struct clsa_rows run = *keys;
    size_t s;

    run.base = (const char *)keys->base + (ptrdiff_t)first * keys->row_stride_bytes;
    clsa_x_gemm_rounded(out, 0, q, 0, &run, 1, count, d);
    for (s = 0; s < count; s++)
        out[s] *= scale;
}

enum { INDEX_KEYS = 192, INDEX_HEADS = 48 };

void clsa_x_index_score_heads_rounded(float *out, const float *q, const float *w,
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

            clsa_x_gemm_rounded(dots, INDEX_KEYS, q + h * d, (ptrdiff_t)d, &run, height, width, d);
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
