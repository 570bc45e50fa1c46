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

/* sum[r] = x[r] . w[0..3] over n bfloat16 values of w. `rows` is a compile-time constant up to
 * PAIR_ROWS. No prefetch: the processor's own follows four interleaved rows of a stream better. */
CLSA_INLINE void pair_tile(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                           const int rows)
{
    vf acc[PAIR_ROWS][TILE_COLS];
    size_t l = 0;
    int r, c;

    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++)
            acc[r][c] = vf_zero();
    }
    for (; l < n; l += PAIR) {
#if defined(__AVX512F__)
        vf even[TILE_COLS], odd[TILE_COLS];

        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++) {
            if (n - l >= PAIR)
                vf_load_pair(w[c] + 2 * l, &even[c], &odd[c]);
            else
                vf_load_pair_n(w[c] + 2 * l, n - l, &even[c], &odd[c]);
        }
        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            vf v = vf_load(x[r] + l);

            CLSA_UNROLL
            for (c = 0; c < TILE_COLS; c++)
                acc[r][c] = vf_fma(v, even[c], acc[r][c]);
            v = vf_load(x[r] + l + VF_N);
            CLSA_UNROLL
            for (c = 0; c < TILE_COLS; c++)
                acc[r][c] = vf_fma(v, odd[c], acc[r][c]);
        }
#else
        vf xe[PAIR_ROWS], xo[PAIR_ROWS];

        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            xe[r] = vf_load(x[r] + l);
            xo[r] = vf_load(x[r] + l + VF_N);
        }
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++) {
            vf even, odd;

            if (n - l >= PAIR)
                vf_load_pair(w[c] + 2 * l, &even, &odd);
            else
                vf_load_pair_n(w[c] + 2 * l, n - l, &even, &odd);
            CLSA_UNROLL
            for (r = 0; r < rows; r++) {
                acc[r][c] = vf_fma(xe[r], even, acc[r][c]);
                acc[r][c] = vf_fma(xo[r], odd, acc[r][c]);
            }
        }
#endif
    }
    CLSA_UNROLL
    for (r = 0; r < rows; r++)
        sum[r] = vf_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
}

/* The same with the number of rows at run time, 1 .. PAIR_ROWS. */
CLSA_INLINE void pair_tile_rows(__m128 *sum, const float *const *x, const char *const *w, size_t n,
                                size_t rows)
{
    switch (rows) {
    case 1:
        pair_tile(sum, x, w, n, 1);
        break;
#if defined(__AVX512F__)
    case 3:
        pair_tile(sum, x, w, n, 3);
        break;
    case 4:
        pair_tile(sum, x, w, n, 4);
        break;
    case 5:
        pair_tile(sum, x, w, n, 5);
        break;
#endif
    default:
        pair_tile(sum, x, w, n, 2);
        break;
    }
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

#endif
