#include "kernels/x86/x86.h"

#include <math.h>

#include "kernels/half.h"

void clsa_x_row_to_f32(float *dst, const char *row, enum clsa_kernel_dtype dtype, size_t n,
                       size_t padded)
{
    size_t i = 0, g;

    if (dtype == CLSA_KERNEL_MLA_FP8) {
        size_t codes = n < CLSA_MLA_DV ? n : CLSA_MLA_DV;

        for (g = 0; g * CLSA_MLA_SCALE_GROUP < codes; g++) {
            size_t end = (g + 1) * CLSA_MLA_SCALE_GROUP;
            float factor;

            memcpy(&factor, row + CLSA_MLA_DV + 4 * g, sizeof factor);
            for (end = end < codes ? end : codes; i + VF_N <= end; i += VF_N)
                vf_store(dst + i, vf_mul(vf_load_e4m3(row + i), vf_set1(factor)));
            for (; i < end; i++)
                dst[i] = clsa_f32_of_e4m3((uint8_t)row[i]) * factor;
        }
        for (; i < n; i++) {
            uint16_t h;

            memcpy(&h, row + CLSA_MLA_DV + 16 + 2 * (i - CLSA_MLA_DV), sizeof h);
            dst[i] = clsa_f32_of_bf16(h);
        }
    } else {
        switch (dtype) {
        case CLSA_KERNEL_F32:
            for (; i + VF_N <= n; i += VF_N)
                vf_store(dst + i, vf_load_as(row, CLSA_KERNEL_F32, i));
            break;
        case CLSA_KERNEL_BF16:
            for (; i + VF_N <= n; i += VF_N)
                vf_store(dst + i, vf_load_as(row, CLSA_KERNEL_BF16, i));
            break;
        default:
            for (; i + VF_N <= n; i += VF_N)
                vf_store(dst + i, vf_load_as(row, CLSA_KERNEL_F16, i));
            break;
        }
        if (i < n) {
            vf_store_n(dst + i, vf_load_as_n(row, dtype, i, n - i), n - i);
            i = n;
        }
    }
    if (i < padded)
        memset(dst + i, 0, (padded - i) * sizeof *dst);
}

/* Four chains, joined in a fixed order; squares of float32 summed in float32. */
static void norm_row(float *y, const float *x, const char *w, enum clsa_kernel_dtype w_dtype,
                     size_t n, float eps)
{
    vf s0 = vf_zero(), s1 = vf_zero(), s2 = vf_zero(), s3 = vf_zero(), v, factor;
    size_t i = 0;

    for (; i + 4 * VF_N <= n; i += 4 * VF_N) {
        v = vf_load(x + i);
        s0 = vf_fma(v, v, s0);
        v = vf_load(x + i + VF_N);
        s1 = vf_fma(v, v, s1);
        v = vf_load(x + i + 2 * VF_N);
        s2 = vf_fma(v, v, s2);
        v = vf_load(x + i + 3 * VF_N);
        s3 = vf_fma(v, v, s3);
    }
    for (; i + VF_N <= n; i += VF_N) {
        v = vf_load(x + i);
        s0 = vf_fma(v, v, s0);
    }
    if (i < n) {
        v = vf_load_n(x + i, n - i);
        s1 = vf_fma(v, v, s1);
    }
    s0 = vf_add(vf_add(s0, s1), vf_add(s2, s3));
    factor = vf_set1(1 / sqrtf(vf_sum(s0) / (float)n + eps));
    for (i = 0; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), factor), vf_load_as(w, w_dtype, i)));
    if (i < n) {
        v = vf_mul(vf_load_n(x + i, n - i), factor);
        vf_store_n(y + i, vf_mul(v, vf_load_as_n(w, w_dtype, i, n - i)), n - i);
    }
}

void clsa_x_rmsnorm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                    enum clsa_kernel_dtype w_dtype, size_t rows, size_t n, float eps)
{
    size_t r;

    for (r = 0; r < rows; r++)
        norm_row(y + (ptrdiff_t)r * ldy, x + (ptrdiff_t)r * ldx, w, w_dtype, n, eps);
}

void clsa_x_head_norm(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, const void *w,
                      enum clsa_kernel_dtype w_dtype, size_t tokens, size_t heads, size_t d,
                      float eps)
{
    size_t t, h;

    for (t = 0; t < tokens; t++)
        for (h = 0; h < heads; h++)
            norm_row(y + (ptrdiff_t)t * ldy + (ptrdiff_t)(h * d),
                     x + (ptrdiff_t)t * ldx + (ptrdiff_t)(h * d), w, w_dtype, d, eps);
}

void clsa_x_rope(float *x, ptrdiff_t ldx, ptrdiff_t head_stride, const float *cos_table,
                 const float *sin_table, size_t tokens, size_t heads, size_t d)
{
    size_t half = d / 2, t, h, i;

    for (t = 0; t < tokens; t++)
        for (h = 0; h < heads; h++) {
            float *a = x + (ptrdiff_t)t * ldx + (ptrdiff_t)h * head_stride, *b = a + half;
            const float *c = cos_table + t * half, *s = sin_table + t * half;

            for (i = 0; i + VF_N <= half; i += VF_N) {
                vf av = vf_load(a + i), bv = vf_load(b + i);
                vf cv = vf_load(c + i), sv = vf_load(s + i);

                vf_store(a + i, vf_fnma(bv, sv, vf_mul(av, cv)));
                vf_store(b + i, vf_fma(av, sv, vf_mul(bv, cv)));
            }
            if (i < half) {
                size_t n = half - i;
                vf av = vf_load_n(a + i, n), bv = vf_load_n(b + i, n);
                vf cv = vf_load_n(c + i, n), sv = vf_load_n(s + i, n);

                vf_store_n(a + i, vf_fnma(bv, sv, vf_mul(av, cv)), n);
                vf_store_n(b + i, vf_fma(av, sv, vf_mul(bv, cv)), n);
            }
        }
}

/* With e = exp(-|g|), g / (1 + exp(-g)) is g / (1 + e) for g >= 0 and g e / (1 + e) below: the
 * exponential never overflows. */
CLSA_INLINE vf silu_mul(vf g, vf u)
{
    vf e = vf_exp(vf_sub(vf_zero(), vf_abs(g)));

    return vf_mul(vf_div(vf_if_negative(g, vf_mul(g, e), g), vf_add(vf_set1(1), e)), u);
}

void clsa_x_silu_mul(float *y, ptrdiff_t ldy, const float *gate, ptrdiff_t ldg, const float *up,
                     ptrdiff_t ldu, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        const float *g = gate + (ptrdiff_t)r * ldg, *u = up + (ptrdiff_t)r * ldu;
        float *out = y + (ptrdiff_t)r * ldy;

        for (i = 0; i + VF_N <= n; i += VF_N)
            vf_store(out + i, silu_mul(vf_load(g + i), vf_load(u + i)));
        if (i < n)
            vf_store_n(out + i, silu_mul(vf_load_n(g + i, n - i), vf_load_n(u + i, n - i)), n - i);
    }
}

/* The tail of a row is padded with -Inf in a vector of its own, which weighs nothing. */
static void softmax_row(float *y, const float *x, size_t n, float scale)
{
    float tail[VF_N];
    size_t whole = n / VF_N * VF_N, rest = n - whole, i;
    vf factor = vf_set1(scale), max, sum = vf_zero(), last, inverse;

    for (i = 0; i < VF_N; i++)
        tail[i] = i < rest ? x[whole + i] * scale : -INFINITY;
    last = vf_load(tail);
    max = last;
    for (i = 0; i < whole; i += VF_N) /* NaN as the second operand is not kept: the sum finds it */
        max = vf_max(vf_mul(vf_load(x + i), factor), max);
    max = vf_set1(vf_max_lane(max));
    if (vf_max_lane(max) == -INFINITY) {
        int nan = vf_any_nan(last);

        for (i = 0; i < whole; i += VF_N)
            nan |= vf_any_nan(vf_mul(vf_load(x + i), factor));
        for (i = 0; i < n; i++)
            y[i] = nan ? NAN : 0;
        return;
    }
    for (i = 0; i < whole; i += VF_N) {
        vf e = vf_exp(vf_sub(vf_mul(vf_load(x + i), factor), max));

        sum = vf_add(sum, e);
        vf_store(y + i, e);
    }
    last = vf_exp(vf_sub(last, max));
    sum = vf_add(sum, last);
    inverse = vf_set1(1 / vf_sum(sum));
    for (i = 0; i < whole; i += VF_N)
        vf_store(y + i, vf_mul(vf_load(y + i), inverse));
    if (rest > 0)
        vf_store_n(y + whole, vf_mul(last, inverse), rest);
}

void clsa_x_softmax(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx, size_t rows, size_t n,
                    float scale)
{
    size_t r;

    for (r = 0; r < rows; r++)
        softmax_row(y + (ptrdiff_t)r * ldy, x + (ptrdiff_t)r * ldx, n, scale);
}

void clsa_x_embed(float *y, ptrdiff_t ldy, const struct clsa_rows *table, const int32_t *ids,
                  size_t rows, size_t n)
{
    size_t r;

    for (r = 0; r < rows; r++)
        clsa_x_row_to_f32(y + (ptrdiff_t)r * ldy,
                          (const char *)table->base + (ptrdiff_t)ids[r] * table->row_stride_bytes,
                          table->dtype, n, n);
}

void clsa_x_add(float *y, const float *a, const float *b, size_t n)
{
    size_t i;

    for (i = 0; i + VF_N <= n; i += VF_N)
        vf_store(y + i, vf_add(vf_load(a + i), vf_load(b + i)));
    if (i < n)
        vf_store_n(y + i, vf_add(vf_load_n(a + i, n - i), vf_load_n(b + i, n - i)), n - i);
}

void clsa_x_to_f32(float *dst, ptrdiff_t ld, const struct clsa_rows *src, size_t rows, size_t n)
{
    size_t r;

    for (r = 0; r < rows; r++)
        clsa_x_row_to_f32(dst + (ptrdiff_t)r * ld,
                          (const char *)src->base + (ptrdiff_t)r * src->row_stride_bytes,
                          src->dtype, n, n);
}

void clsa_x_from_f32(void *dst, ptrdiff_t dst_stride_bytes, enum clsa_kernel_dtype dtype,
                     const float *src, ptrdiff_t ld, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++) {
        char *out = (char *)dst + (ptrdiff_t)r * dst_stride_bytes;
        const float *in = src + (ptrdiff_t)r * ld;
        int f16 = dtype == CLSA_KERNEL_F16;

        for (i = 0; i + VF_N <= n; i += VF_N) {
            if (f16)
                vf_store_f16(out + 2 * i, vf_load(in + i));
            else
                vf_store_bf16(out + 2 * i, vf_load(in + i));
        }
        for (; i < n; i++) {
            uint16_t h = f16 ? clsa_f16_of_f32(in[i]) : clsa_bf16_of_f32(in[i]);

            memcpy(out + 2 * i, &h, sizeof h);
        }
    }
}
