#include "kernels/ref/ref.h"

#include <math.h>

#include "kernels/half.h"

/* Loads byte by byte: a row may start at any address. */
static uint32_t load_u32(const unsigned char *p)
{
    uint32_t u;

    memcpy(&u, p, sizeof u);
    return u;
}

static uint16_t load_u16(const unsigned char *p)
{
    uint16_t u;

    memcpy(&u, p, sizeof u);
    return u;
}

static float value_at(const unsigned char *row, enum clsa_kernel_dtype dtype, size_t i)
{
    switch (dtype) {
    case CLSA_KERNEL_F32:
        return clsa_float_of_bits(load_u32(row + 4 * i));
    case CLSA_KERNEL_BF16:
        return clsa_f32_of_bf16(load_u16(row + 2 * i));
    case CLSA_KERNEL_F16:
        return clsa_f32_of_f16(load_u16(row + 2 * i));
    default:
        if (i < CLSA_MLA_DV) {
            const unsigned char *scale = row + CLSA_MLA_DV + 4 * (i / CLSA_MLA_SCALE_GROUP);

            return clsa_f32_of_e4m3(row[i]) * clsa_float_of_bits(load_u32(scale));
        }
        return clsa_f32_of_bf16(load_u16(row + CLSA_MLA_DV + 16 + 2 * (i - CLSA_MLA_DV)));
    }
}

static const unsigned char *row_at(const struct clsa_rows *rows, size_t s, size_t h)
{
    return (const unsigned char *)rows->base + (ptrdiff_t)s * rows->row_stride_bytes +
           (ptrdiff_t)h * rows->head_stride_bytes;
}

void clsa_ref_row(double *to, const struct clsa_rows *rows, size_t s, size_t h, size_t begin,
                  size_t n)
{
    const unsigned char *row = row_at(rows, s, h);
    size_t i;

    if (rows->dtype == CLSA_KERNEL_BF16) /* the common case, out of the loop's switch */
        for (i = 0; i < n; i++)
            to[i] = (double)clsa_f32_of_bf16(load_u16(row + 2 * (begin + i)));
    else
        for (i = 0; i < n; i++)
            to[i] = (double)value_at(row, rows->dtype, begin + i);
}

double clsa_ref_dot(const float *x, const double *w, size_t n)
{
    double sum[4] = {0, 0, 0, 0};
    size_t i;

    for (i = 0; i + 4 <= n; i += 4) {
        sum[0] += (double)x[i] * w[i];
        sum[1] += (double)x[i + 1] * w[i + 1];
        sum[2] += (double)x[i + 2] * w[i + 2];
        sum[3] += (double)x[i + 3] * w[i + 3];
    }
    for (; i < n; i++)
        sum[0] += (double)x[i] * w[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void norm_row(float *y, const float *x, const void *w, enum clsa_kernel_dtype w_dtype,
                     size_t n, float eps)
{
    double sum = 0, factor;
    size_t i;

    for (i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    factor = 1 / sqrt(sum / (double)n + (double)eps);
    for (i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * factor * (double)value_at(w, w_dtype, i));
}

void clsa_ref_rmsnorm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                      enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps)
{
    size_t r;

    for (r = 0; r < rows; r++)
        norm_row(y + (ptrdiff_t)r * ldy, x + (ptrdiff_t)r * ldx, w, w_dtype, n, eps);
}

void clsa_ref_head_norm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                        enum clsa_kernel_dtype w_dtype, size_t tokens, size_t heads, size_t d,
                        float eps)
{
    size_t t;

    for (t = 0; t < tokens; t++)
        clsa_ref_rmsnorm(y + (ptrdiff_t)t * ldy, (ptrdiff_t)d, x + (ptrdiff_t)t * ldx, (ptrdiff_t)d,
                         w, w_dtype, heads, d, eps);
}

void clsa_ref_rope(float *x, ptrdiff_t ldx, ptrdiff_t head_stride, const float *cos_table,
                   const float *sin_table, size_t tokens, size_t heads, size_t d)
{
    size_t half = d / 2, t, h, i;

    for (t = 0; t < tokens; t++)
        for (h = 0; h < heads; h++) {
            float *row = x + (ptrdiff_t)t * ldx + (ptrdiff_t)h * head_stride;

            for (i = 0; i < half; i++) {
                double c = (double)cos_table[t * half + i], s = (double)sin_table[t * half + i];
                double a = (double)row[i], b = (double)row[i + half];

                row[i] = (float)(a * c - b * s);
                row[i + half] = (float)(b * c + a * s);
            }
        }
}

void clsa_ref_silu_mul(float *y, ptrdiff_t ldy, const float *gate, ptrdiff_t ldg, const float *up,
                       ptrdiff_t ldu, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++)
        for (i = 0; i < n; i++) {
            double g = (double)gate[(ptrdiff_t)r * ldg + (ptrdiff_t)i];
            double u = (double)up[(ptrdiff_t)r * ldu + (ptrdiff_t)i];

            /* g * (1/(1+exp(-g))) is NaN at -Inf (-Inf * 0); g / (1+exp(-g)) would be too */
            y[(ptrdiff_t)r * ldy + (ptrdiff_t)i] = (float)(g / (1 + exp(-g)) * u);
        }
}

void clsa_ref_softmax(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows, size_t n,
                      float scale)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        const float *in = x + (ptrdiff_t)r * ldx;
        float *out = y + (ptrdiff_t)r * ldy;
        double max = -INFINITY, sum = 0;

        for (i = 0; i < n; i++) {
            double s = (double)in[i] * (double)scale;

            max = s > max || isnan(s) ? s : max;
            if (isnan(max))
                break;
        }
        for (i = 0; i < n; i++) {
            double s = (double)in[i] * (double)scale;

            sum += max == -INFINITY ? 0 : exp(s - max);
        }
        for (i = 0; i < n; i++) {
            double s = (double)in[i] * (double)scale;

            out[i] = max == -INFINITY ? 0 : (float)(exp(s - max) / sum);
        }
    }
}

void clsa_ref_embed(float *y, ptrdiff_t ldy, const struct clsa_rows *table, const int32_t *ids,
                    size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        const unsigned char *row = row_at(table, (size_t)ids[r], 0);

        for (i = 0; i < n; i++)
            y[(ptrdiff_t)r * ldy + (ptrdiff_t)i] = value_at(row, table->dtype, i);
    }
}

void clsa_ref_add(float *y, const float *a, const float *b, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void clsa_ref_to_f32(float *dst, ptrdiff_t ld, const struct clsa_rows *src, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        const unsigned char *row = row_at(src, r, 0);

        for (i = 0; i < n; i++)
            dst[(ptrdiff_t)r * ld + (ptrdiff_t)i] = value_at(row, src->dtype, i);
    }
}

void clsa_ref_from_f32(void *dst, ptrdiff_t dst_stride_bytes, enum clsa_kernel_dtype dtype,
                       const float *src, ptrdiff_t ld, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        unsigned char *row = (unsigned char *)dst + (ptrdiff_t)r * dst_stride_bytes;

        for (i = 0; i < n; i++) {
            float f = src[(ptrdiff_t)r * ld + (ptrdiff_t)i];
            uint16_t h = dtype == CLSA_KERNEL_F16 ? clsa_f16_of_f32(f) : clsa_bf16_of_f32(f);

            memcpy(row + 2 * i, &h, sizeof h);
        }
    }
}
