#include "kernels/ref/ref.h"

#include <math.h>

/* Position of the i-th key of a run: a range or a list. */
static size_t key_at(const int32_t *index, size_t first, size_t i)
{
    return index != NULL ? (size_t)index[i] : first + i;
}

static double score_of(const struct clsa_attn *a, const float *q, size_t s, size_t kv_head)
{
    double row[CLSA_ATTN_D_MAX];

    clsa_ref_row(row, &a->k, s, kv_head, 0, a->d);
    return clsa_ref_dot(q, row, a->d) * (double)a->scale;
}

/* One query head over one run of keys. acc [dv], unnormalised. Scores are computed twice rather
 * than stored: the reference needs no memory, and its time is not its point. */
static void head(const struct clsa_attn *a, const float *q, size_t q_head, const int32_t *index,
                 size_t first, size_t count, double *max, double *sum, double *acc)
{
    size_t kv_head = q_head / (a->q_heads / a->kv_heads), i, j;
    double row[CLSA_ATTN_D_MAX];

    *max = -INFINITY;
    *sum = 0;
    for (j = 0; j < a->dv; j++)
        acc[j] = 0;
    for (i = 0; i < count; i++) {
        double score = score_of(a, q, key_at(index, first, i), kv_head);

        if (isnan(score) || score > *max)
            *max = score;
        if (isnan(*max))
            break;
    }
    for (i = 0; i < count && !(*max == -INFINITY); i++) {
        size_t s = key_at(index, first, i);
        double weight = exp(score_of(a, q, s, kv_head) - *max);

        *sum += weight;
        clsa_ref_row(row, &a->v, s, kv_head, 0, a->dv);
        for (j = 0; j < a->dv; j++)
            acc[j] += weight * row[j];
    }
}

static void part(const struct clsa_attn *a, const float *q, const int32_t *index, size_t first,
                 size_t count, const struct clsa_attn_part *out)
{
    double acc[CLSA_ATTN_D_MAX], max, sum;
    size_t h, j;

    for (h = 0; h < a->q_heads; h++) {
        head(a, q + h * a->d, h, index, first, count, &max, &sum, acc);
        out->max[h] = (float)max;
        /* acc and sum belong to the rounded maximum that is stored */
        if (isfinite(max)) {
            double shift = exp(max - (double)out->max[h]);

            sum *= shift;
            for (j = 0; j < a->dv; j++)
                acc[j] *= shift;
        }
        out->sum[h] = (float)sum;
        for (j = 0; j < a->dv; j++)
            out->acc[h * a->dv + j] = (float)acc[j];
    }
}

void clsa_ref_attn_dense(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                         const struct clsa_attn_part *out)
{
    part(a, q, NULL, first, count, out);
}

void clsa_ref_attn_sparse(const struct clsa_attn *a, const float *q, const int32_t *index,
                          size_t count, const struct clsa_attn_part *out)
{
    part(a, q, index, 0, count, out);
}

void clsa_ref_attn_combine(float *out, const struct clsa_attn_part *parts, size_t parts_count,
                           size_t q_heads, size_t dv)
{
    size_t h, p, j;

    for (h = 0; h < q_heads; h++) {
        double max = -INFINITY, sum = 0;

        for (p = 0; p < parts_count; p++) {
            double m = (double)parts[p].max[h];

            if (isnan(m) || m > max)
                max = m;
            if (isnan(max))
                break;
        }
        for (p = 0; p < parts_count; p++)
            if (!(max == -INFINITY))
                sum += exp((double)parts[p].max[h] - max) * (double)parts[p].sum[h];
        for (j = 0; j < dv; j++) {
            double acc = 0;

            for (p = 0; p < parts_count; p++)
                if (!(max == -INFINITY))
                    acc += exp((double)parts[p].max[h] - max) * (double)parts[p].acc[h * dv + j];
            out[h * dv + j] = max == -INFINITY ? 0 : (float)(acc / sum);
        }
    }
}

static void query(const struct clsa_attn *a, float *out, const float *q, const int32_t *index,
                  size_t first, size_t count)
{
    double acc[CLSA_ATTN_D_MAX], max, sum;
    size_t h, j;

    for (h = 0; h < a->q_heads; h++) {
        head(a, q + h * a->d, h, index, first, count, &max, &sum, acc);
        for (j = 0; j < a->dv; j++)
            out[h * a->dv + j] = max == -INFINITY ? 0 : (float)(acc[j] / sum);
    }
}

void clsa_ref_attn_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                           ptrdiff_t ldq, size_t first, size_t nq, size_t window)
{
    size_t i;

    for (i = 0; i < nq; i++) {
        size_t end = first + i + 1;
        size_t begin = window > 0 && end > window ? end - window : 0;

        query(a, out + (ptrdiff_t)i * ldo, q + (ptrdiff_t)i * ldq, NULL, begin, end - begin);
    }
}

void clsa_ref_attn_sparse_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                  const float *q, ptrdiff_t ldq, size_t nq, const int32_t *index,
                                  ptrdiff_t ld_index, const int32_t *count)
{
    size_t i;

    for (i = 0; i < nq; i++)
        query(a, out + (ptrdiff_t)i * ldo, q + (ptrdiff_t)i * ldq, index + (ptrdiff_t)i * ld_index,
              0, (size_t)count[i]);
}
