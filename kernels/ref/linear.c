#include "kernels/ref/ref.h"

enum { ROWS = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void clsa_ref_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                   const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    double row[CLSA_REF_RUN], sum[ROWS];
    size_t first, i, j, l;

    for (first = 0; first < m; first += ROWS) {
        size_t rows = least(ROWS, m - first);

        for (j = 0; j < n; j++) {
            for (i = 0; i < rows; i++)
                sum[i] = 0;
            for (l = 0; l < k; l += CLSA_REF_RUN) {
                size_t run = least(CLSA_REF_RUN, k - l);

                clsa_ref_row(row, w, j, 0, l, run);
                for (i = 0; i < rows; i++)
                    sum[i] +=
                        clsa_ref_dot(x + (ptrdiff_t)(first + i) * ldx + (ptrdiff_t)l, row, run);
            }
            for (i = 0; i < rows; i++)
                y[(ptrdiff_t)(first + i) * ldy + (ptrdiff_t)j] = (float)sum[i];
        }
    }
}

static double score(const float *q, const struct clsa_rows *keys, size_t s, size_t d)
{
    double row[CLSA_REF_RUN], sum = 0;
    size_t l;

    for (l = 0; l < d; l += CLSA_REF_RUN) {
        size_t run = least(CLSA_REF_RUN, d - l);

        clsa_ref_row(row, keys, s, 0, l, run);
        sum += clsa_ref_dot(q + l, row, run);
    }
    return sum;
}

void clsa_ref_index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                          size_t count, size_t d, float scale)
{
    size_t s;

    for (s = 0; s < count; s++)
        out[s] = (float)((double)scale * score(q, keys, first + s, d));
}

void clsa_ref_index_score_heads(float *out, const float *q, const float *w,
                                const struct clsa_rows *keys, size_t first, size_t count,
                                size_t heads, size_t d, float scale)
{
    size_t s, h;

    for (s = 0; s < count; s++) {
        double total = 0;

        for (h = 0; h < heads; h++) {
            double dot = score(q + h * d, keys, first + s, d);

            total += (double)w[h] * (dot <= 0 ? 0 : dot); /* NaN <= 0 is false: NaN stays */
        }
        out[s] = (float)((double)scale * total);
    }
}
