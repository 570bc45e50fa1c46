/* tile.h: the inner products that linear.c and attention.c share. A tile is a few rows of x against
 * four rows of w; every sum is one chain of lanes over k, joined by vf_sum4, so that its bits
 * depend on its own two rows only.
 *
 * Order of a chain: float32 and float16 rows in memory order, VF_N values a step. bfloat16 rows in
 * pairs: a step takes 2 VF_N values, first those at even places, then those at odd places. x is
 * laid out for the second kind by clsa_x_split_row. */
#ifndef CLSA_KERNELS_TILE_H
#define CLSA_KERNELS_TILE_H

#include "kernels/x86/x86.h"

enum {
#if defined(__AVX512F__)
    TILE_ROWS = 6, /* 6 x 4 accumulators, 6 values of x, 1 of w: 31 of 32 registers */
    PAIR_ROWS = 5, /* 5 x 4 accumulators, 8 of w, 1 of x, a mask: 30 */
#else
    TILE_ROWS = 3, /* 3 x 4, 3, 1: 16 of 16 */
    PAIR_ROWS = 2, /* 2 x 4, 4 of x, 2 of w, a mask: 15 */
#endif
    TILE_COLS = 4,
    PAIR = 2 * VF_N
};

/* x in the order of pairs: of each 2 VF_N values those at even places, then those at odd places; n
 * is padded with zeros to a multiple of PAIR. */
CLSA_INLINE void split_row(float *to, const float *x, size_t n)
{
    vf a, b, even, odd;
    size_t i;

    for (i = 0; i < n; i += PAIR) {
        if (n - i >= PAIR) {
            a = vf_load(x + i);
            b = vf_load(x + i + VF_N);
        } else if (n - i >= VF_N) {
            a = vf_load(x + i);
            b = n - i > VF_N ? vf_load_n(x + i + VF_N, n - i - VF_N) : vf_zero();
        } else {
            a = vf_load_n(x + i, n - i);
            b = vf_zero();
        }
        vf_split(a, b, &even, &odd);
        vf_store(to + i, even);
        vf_store(to + i + VF_N, odd);
    }
}

enum {
    STREAM_RUNS = 8, /* runs of CLSA_X_RUN values that pair_products takes */
    LINE = 64        /* bytes of a cache line */
};

/* sum[r] (+)= x[r] . w[0..3] over n bfloat16 values of w, n <= STREAM_RUNS * CLSA_X_RUN, the sums
 * of runs added in order. `rows`, `side` and `ahead_bytes` are compile-time constants: rows of x,
 * up to PAIR_ROWS; rows of w taken side by side, two or four; and how far on lines are asked
 * for into L2, in the order of memory (0: not at all). */
CLSA_INLINE void pair_products(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                               const int rows, const int side, const ptrdiff_t ahead_bytes, int add)
{
    vf kept[STREAM_RUNS][PAIR_ROWS][TILE_COLS];
    size_t from, end, l, run;
    int r, c, s;

    for (c = 0; c < TILE_COLS; c += side)
        for (from = 0, run = 0; from < n; from = end, run++) {
            vf acc[TILE_COLS][PAIR_ROWS];

            end = n - from > CLSA_X_RUN ? from + CLSA_X_RUN : n;
            CLSA_UNROLL
            for (s = 0; s < side; s++) {
                CLSA_UNROLL
                for (r = 0; r < rows; r++)
                    acc[s][r] = vf_zero();
            }
            for (l = from; l < end; l += PAIR) {
                vf even[TILE_COLS], odd[TILE_COLS];

                if (ahead_bytes > 0) {
                    const char *at = w[c] + ahead_bytes + (ptrdiff_t)(2 * l) * side;

                    CLSA_UNROLL
                    for (s = 0; s < side * 2 * PAIR; s += LINE)
                        _mm_prefetch(at + s, _MM_HINT_T1);
                }
                CLSA_UNROLL
                for (s = 0; s < side; s++) {
                    if (end - l >= PAIR)
                        vf_load_pair(w[c + s] + 2 * l, &even[s], &odd[s]);
                    else
                        vf_load_pair_n(w[c + s] + 2 * l, end - l, &even[s], &odd[s]);
#if !defined(__AVX512F__) /* registers for one row of w at a time */
                    CLSA_UNROLL
                    for (r = 0; r < rows; r++) {
                        acc[s][r] = vf_fma(vf_load(x[r] + l), even[s], acc[s][r]);
                        acc[s][r] = vf_fma(vf_load(x[r] + l + VF_N), odd[s], acc[s][r]);
                    }
                }
#else
                }
                CLSA_UNROLL
                for (r = 0; r < rows; r++) {
                    vf v = vf_load(x[r] + l);

                    CLSA_UNROLL
                    for (s = 0; s < side; s++)
                        acc[s][r] = vf_fma(v, even[s], acc[s][r]);
                    v = vf_load(x[r] + l + VF_N);
                    CLSA_UNROLL
                    for (s = 0; s < side; s++)
                        acc[s][r] = vf_fma(v, odd[s], acc[s][r]);
                }
#endif
            }
            CLSA_UNROLL
            for (r = 0; r < rows; r++) {
                CLSA_UNROLL
                for (s = 0; s < side; s++)
                    kept[run][r][c + s] = acc[s][r];
                if (side == TILE_COLS) { /* nothing to keep: the sums are complete */
                    __m128 part = vf_sum4(acc[0][r], acc[1][r], acc[2][r], acc[3][r]);

                    sum[r] = run > 0 || add ? _mm_add_ps(sum[r], part) : part;
                }
            }
        }
    CLSA_UNROLL
    for (r = 0; side < TILE_COLS && r < rows; r++) {
        for (run = 0; run * CLSA_X_RUN < n; run++) {
            __m128 part =
                vf_sum4(kept[run][r][0], kept[run][r][1], kept[run][r][2], kept[run][r][3]);

            sum[r] = run > 0 || add ? _mm_add_ps(sum[r], part) : part;
        }
    }
}

/* For rows that a cache holds already: four side by side, so that x is loaded once for four. */
CLSA_INLINE void pair_cached(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                             const int rows, int add)
{
    pair_products(sum, x, w, n, rows, TILE_COLS, 0, add);
}

/* How far ahead of their use lines are asked for: into L2 for rows side by side, into L1 for single rows
 * where that helps. */
enum { AHEAD_BYTES = 16384, AHEAD_ROW_BYTES = 6144 };

/* Whether the processor's own prefetch leaves a stream of one row waiting. With software's help Emerald
 * Rapids streams a third more from memory and Zen 5 a seventh, half as much again from its last cache;
 * Zen 4 streams a sixth less. Measured on all three. */
CLSA_INLINE int stream_wants_help(void)
{
    return !__builtin_cpu_is("amdfam17h") && !__builtin_cpu_is("amdfam19h");
}

#if defined(__AVX512F__)
enum {
    STAGE_BYTES = 4096, /* of short rows that are copied into L1 before their products */
    STAGES_AHEAD = 6,   /* from asking for a line of their results to its use */
    SHORT_LINES = 8     /* of a short row: this many, or half of it; 256 or 512 bytes */
};

/* Whether rows of k values, if they are short and lie one behind the other, had better be copied first. Where prefetch
 * learns from the instruction, one loop over all lines streams as fast as memory gives them; products step over several
 * rows at a time and get 3 % less on a quiet core, a quarter less beside a busy one. Where rows come from the last cache
 * the copy costs a tenth of the rate. Measured on Zen 5 alone. */
CLSA_INLINE int stream_wants_stage(const struct clsa_rows *w, size_t k)
{
    size_t row = clsa_kernel_row_bytes(w->dtype, k);

    return (row == SHORT_LINES * LINE || row == SHORT_LINES / 2 * LINE) && w->row_stride_bytes == (ptrdiff_t)row &&
           (w->dtype == CLSA_KERNEL_F32 || w->dtype == CLSA_KERNEL_BF16) && __builtin_cpu_is("amd") &&
           stream_wants_help();
}

/* A line of bfloat16 values in pairs. */
CLSA_INLINE void load_line(const char *line, vf *even, vf *odd)
{
    __m512i values = _mm512_loadu_si512(line);

    __asm__("" : "+v"(values)); /* one load, not one for each half */
    vf_pair(values, even, odd);
}

/* acc[r] += x[r] . w over the PAIR values of a row of w from l on. */
CLSA_INLINE void chain_add(vf *acc, const float *const *x, size_t l, vf even, vf odd, const int rows)
{
    int r;

    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        acc[r] = vf_fma(vf_load(x[r] + l), even, acc[r]);
        acc[r] = vf_fma(vf_load(x[r] + l + VF_N), odd, acc[r]);
    }
}

/* One whole step of the chains of a row of w. */
CLSA_INLINE void chain_step(vf *acc, const float *const *x, const char *w, size_t l, const int rows,
                            const ptrdiff_t ahead_bytes)
{
    vf even, odd;

    load_line(w + 2 * l, &even, &odd);
    if (ahead_bytes > 0)
        _mm_prefetch(w + ahead_bytes + 2 * l, _MM_HINT_T0);
    chain_add(acc, x, l, even, odd, rows);
}

/* acc += x . w over a line of a row of w, x in registers. */
CLSA_INLINE void chain_step_kept(vf *acc, const vf *x, const char *line)
{
    vf even, odd;

    load_line(line, &even, &odd);
    *acc = vf_fma(x[1], odd, vf_fma(x[0], even, *acc));
}

/* acc[r] = x[r] . w over n values of one row of w, 0 < n <= CLSA_X_RUN. `rows`, 1 or 2, and `ahead_bytes` are
 * compile-time constants. The first step stands apart from the loop: where one instruction loads all lines of all
 * rows at one distance from each other, Zen 5's prefetch by instruction gets ahead of software's, and with a busy
 * sibling thread streams come a third slower. */
CLSA_INLINE void pair_chain(vf *acc, const float *const *x, const char *w, size_t n, const int rows,
                            const ptrdiff_t ahead_bytes)
{
    size_t l = 0;
    int r;

    CLSA_UNROLL
    for (r = 0; r < rows; r++)
        acc[r] = vf_zero();
    if (n >= PAIR)
        chain_step(acc, x, w, 0, rows, ahead_bytes);
    for (l = PAIR; l + PAIR <= n; l += PAIR)
        chain_step(acc, x, w, l, rows, ahead_bytes);
    if (n % PAIR > 0) {
        vf even, odd;

        l = n - n % PAIR;
        vf_load_pair_n(w + 2 * l, n - l, &even, &odd);
        chain_add(acc, x, l, even, odd, rows);
    }
}

/* One run, rows of w one after another, with nothing between their products: short rows of keys stream as fast as
 * memory gives them. `rows`, 1 or 2, and `ahead_bytes` are compile-time constants. */
CLSA_INLINE void pair_run(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                          const int rows, const ptrdiff_t ahead_bytes, int add)
{
    vf acc[TILE_COLS][PAIR_ROWS];
    int r, c;

    CLSA_UNROLL
    for (c = 0; c < TILE_COLS; c++)
        pair_chain(acc[c], x, w[c], n, rows, ahead_bytes);
    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        __m128 part = vf_sum4(acc[0][r], acc[1][r], acc[2][r], acc[3][r]);

        sum[r] = add ? _mm_add_ps(sum[r], part) : part;
    }
}

/* The same over several runs, n <= STREAM_RUNS * CLSA_X_RUN. */
CLSA_INLINE void pair_runs(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                           const int rows, const ptrdiff_t ahead_bytes, int add)
{
    vf kept[STREAM_RUNS][TILE_COLS][PAIR_ROWS];
    size_t from, run;
    int r, c;

    for (c = 0; c < TILE_COLS; c++)
        for (from = 0, run = 0; from < n; from += CLSA_X_RUN, run++) {
            const float *at[PAIR_ROWS];

            CLSA_UNROLL
            for (r = 0; r < rows; r++)
                at[r] = x[r] + from;
            pair_chain(kept[run][c], at, w[c] + 2 * from, n - from > CLSA_X_RUN ? CLSA_X_RUN : n - from,
                       rows, ahead_bytes);
        }
    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        for (run = 0; run * CLSA_X_RUN < n; run++) {
            __m128 part = vf_sum4(kept[run][0][r], kept[run][1][r], kept[run][2][r], kept[run][3][r]);

            sum[r] = run > 0 || add ? _mm_add_ps(sum[r], part) : part;
        }
    }
}
#endif

/* For rows that stream from memory. The memory's own prefetch follows one row much better than
 * several side by side, and with one or two rows of x in 16 lanes the processor looks far enough
 * ahead for the chain of one row to suffice. Otherwise the chains need company, and lines are asked
 * for in the order of memory well before. Measured on Zen 4. `help` is a compile-time constant: lines
 * of single rows are asked for too. */
CLSA_INLINE void pair_stream(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                             const int rows, const int help, int add)
{
#if defined(__AVX512F__)
    if (rows <= 2 && n <= CLSA_X_RUN)
        pair_run(sum, x, w, n, rows, help ? AHEAD_ROW_BYTES : 0, add);
    else if (rows <= 2)
        pair_runs(sum, x, w, n, rows, help ? AHEAD_ROW_BYTES : 0, add);
    else
        pair_products(sum, x, w, n, rows, TILE_COLS, AHEAD_BYTES, add);
#else
    (void)help;
    if (n <= 512) /* four short rows are one stretch of memory */
        pair_products(sum, x, w, n, rows, TILE_COLS, AHEAD_BYTES, add);
    else
        pair_products(sum, x, w, n, rows, 2, AHEAD_BYTES, add);
#endif
}

/* What w's rows are to the caches. */
enum pair_source { PAIR_CACHED, PAIR_STREAMED, PAIR_STREAMED_WITH_HELP };

/* Either, with the number of rows at run time, 1 .. PAIR_ROWS. `source` is a compile-time constant. */
CLSA_INLINE void pair_rows(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                           size_t rows, const enum pair_source source, int add)
{
    switch (rows) {
#define PAIR_CASE(count)                                                                           \
    case count:                                                                                    \
        if (source != PAIR_CACHED)                                                                 \
            pair_stream(sum, x, w, n, count, source == PAIR_STREAMED_WITH_HELP, add);              \
        else                                                                                       \
            pair_cached(sum, x, w, n, count, add);                                                 \
        break;
        PAIR_CASE(1)
        PAIR_CASE(2)
#if defined(__AVX512F__)
        PAIR_CASE(3)
        PAIR_CASE(4)
        PAIR_CASE(5)
#endif
#undef PAIR_CASE
    default:
        break;
    }
}

/* y[0..cols) as four lanes. */
CLSA_INLINE __m128 get4(const float *y, size_t cols)
{
    float s[TILE_COLS] = {0, 0, 0, 0};

    memcpy(s, y, cols * sizeof *s);
    return _mm_loadu_ps(s);
}

/* Four sums to y[0..cols), added to what is there or not. */
CLSA_INLINE void put4(float *y, __m128 sum, size_t cols, int add)
{
    if (cols == TILE_COLS) {
        _mm_storeu_ps(y, add ? _mm_add_ps(_mm_loadu_ps(y), sum) : sum);
    } else {
        float s[TILE_COLS];
        size_t c;

        _mm_storeu_ps(s, sum);
        for (c = 0; c < cols; c++)
            y[c] = add ? y[c] + s[c] : s[c];
    }
}

/* The sums of `rows` x TILE_COLS accumulators to y; `rows` is a compile-time constant. */
CLSA_INLINE void put_tile(float *y, ptrdiff_t ldy, vf (*acc)[TILE_COLS], const int rows,
                          size_t cols, int add)
{
    int r;

#if defined(__AVX512F__)
    if (cols == TILE_COLS && rows % 2 == 0) {
        CLSA_UNROLL
        for (r = 0; r < rows; r += 2) {
            __m128 sum[2];

            vf_sum4_two(acc[r], acc[r + 1], &sum[0], &sum[1]);
            put4(y + r * ldy, sum[0], TILE_COLS, add);
            put4(y + (r + 1) * ldy, sum[1], TILE_COLS, add);
        }
        return;
    }
#endif
    CLSA_UNROLL
    for (r = 0; r < rows; r++)
        put4(y + r * ldy, vf_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]), cols, add);
}

/* Lines of the rows of the next panel of W, asked for into L2 a few at a time while this panel is
 * multiplied: its first tile waits for them otherwise. */
struct panel_ahead {
    const char *row;
    ptrdiff_t stride;
    size_t rows, bytes, at; /* left; of a row; asked for of this row */
};

CLSA_INLINE void panel_fetch(struct panel_ahead *f, size_t lines)
{
    for (; lines > 0 && f->rows > 0; lines--) {
        _mm_prefetch(f->row + f->at, _MM_HINT_T1);
        f->at += LINE;
        if (f->at >= f->bytes) {
            f->at = 0;
            f->row += f->stride;
            f->rows--;
        }
    }
}

/* The panel of up to `panel` rows behind `rows` rows of a run of k at base: of `left` more rows, or
 * of the next run when one follows. */
CLSA_INLINE void panel_next(struct panel_ahead *f, const char *base, size_t rows, size_t left,
                            size_t panel, int more_k)
{
    f->at = 0;
    f->row = left > 0 ? base + (ptrdiff_t)rows * f->stride : base + f->bytes;
    left = left > 0 ? left : more_k ? rows : 0;
    f->rows = left < panel ? left : panel;
}

#endif
