#include "kernels/ref/ref.h"

void clsa_ref_gemm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const struct clsa_rows *w,
                   size_t m, size_t n, size_t k)
{
    size_t i, j, l;

    for (j = 0; j < n; j++)
        for (i = 0; i < m; i++) {
            double sum = 0;

            for (l = 0; l < k; l++)
                sum += (double)x[(ptrdiff_t)i * ldx + (ptrdiff_t)l] * clsa_ref_value(w, j, 0, l);
            y[(ptrdiff_t)i * ldy + (ptrdiff_t)j] = (float)sum;
        }
}

void clsa_ref_index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                          size_t count, size_t d, float scale)
{
    size_t s, i;

    for (s = 0; s < count; s++) {
        double sum = 0;

        for (i = 0; i < d; i++)
            sum += (double)q[i] * clsa_ref_value(keys, first + s, 0, i);
        out[s] = (float)((double)scale * sum);
    }
}

void clsa_ref_index_score_heads(float *out, const float *q, const float *w,
                                const struct clsa_rows *keys, size_t first, size_t count,
                                size_t heads, size_t d, float scale)
{
    size_t s, h, i;

    for (s = 0; s < count; s++) {
        double total = 0;

        for (h = 0; h < heads; h++) {
            double sum = 0;

            for (i = 0; i < d; i++)
                sum += (double)q[h * d + i] * clsa_ref_value(keys, first + s, 0, i);
            total += (double)w[h] * (sum <= 0 ? 0 : sum); /* NaN <= 0 is false: NaN stays */
        }
        out[s] = (float)((double)scale * total);
    }
}
