/* Jobs of kernels/parallel.h as calls of kernels/plugin.h: neighbours that share keys make one call. */
#include <stdlib.h>
#include <string.h>

#include "kernels/plugin_call.h"

#define CALL_BYTES ((size_t)256 << 20) /* of scores: more queries make more calls */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int same_rows(const struct clsa_rows *a, const struct clsa_rows *b)
{
    return a->base == b->base && a->dtype == b->dtype &&
           a->row_stride_bytes == b->row_stride_bytes &&
           a->head_stride_bytes == b->head_stride_bytes;
}

static size_t element_bytes(enum clsa_kernel_dtype dtype)
{
    return dtype == CLSA_KERNEL_F32 ? 4 : 2;
}

static int32_t dtype_of(enum clsa_kernel_dtype dtype)
{
    return dtype == CLSA_KERNEL_F32    ? CLSA_PLUGIN_F32
           : dtype == CLSA_KERNEL_BF16 ? CLSA_PLUGIN_BF16
                                       : CLSA_PLUGIN_F16;
}

/* ---- index scores ---- */

static int same_index(const struct clsa_par_index_job *a, const struct clsa_par_index_job *b)
{
    return same_rows(&a->keys, &b->keys) && a->first == b->first && a->heads == b->heads &&
           a->d == b->d && a->scale == b->scale && (a->w == NULL) == (b->w == NULL);
}

static int index_call(struct clsa_plugin_host *h, size_t kernel,
                      const struct clsa_par_index_job *jobs, size_t n, size_t keys)
{
    const size_t d = jobs->d, heads = jobs->heads, row = heads * d * sizeof(float);
    const size_t row_bytes = clsa_kernel_row_bytes(jobs->keys.dtype, d);
    const char *from = (const char *)jobs->keys.base +
                       (ptrdiff_t)jobs->first * jobs->keys.row_stride_bytes;
    size_t ldq, ldw = 0, stride, ldo, i;
    struct clsa_plugin_index_call call;
    char *q, *w = NULL, *key, *out;
    int rc;

    plugin_begin(h);
    q = plugin_input(h, n, row, sizeof(float), &ldq);
    if (jobs->w != NULL)
        w = plugin_input(h, n, heads * sizeof(float), sizeof(float), &ldw);
    key = plugin_input(h, keys, row_bytes, element_bytes(jobs->keys.dtype), &stride);
    for (i = 0; q != NULL && i < n; i++)
        memcpy(q + i * ldq, jobs[i].q, row);
    for (i = 0; w != NULL && i < n; i++)
        memcpy(w + i * ldw, jobs[i].w, heads * sizeof(float));
    for (i = 0; key != NULL && i < keys; i++)
        memcpy(key + i * stride, from + (ptrdiff_t)i * jobs->keys.row_stride_bytes, row_bytes);
    out = plugin_output(h, n, keys * sizeof(float), sizeof(float), &ldo);
    call = (struct clsa_plugin_index_call){
        .queries = (int64_t)n,
        .keys = (int64_t)keys,
        .heads = (int64_t)heads,
        .d = (int64_t)d,
        .q = (const float *)(void *)q,
        .ldq = (int64_t)(ldq / sizeof(float)),
        .w = (const float *)(void *)w,
        .ldw = (int64_t)(ldw / sizeof(float)),
        .key = key,
        .key_stride_bytes = (int64_t)stride,
        .key_dtype = dtype_of(jobs->keys.dtype),
        .scale = jobs->scale,
        .out = (float *)(void *)out,
        .ldo = (int64_t)(ldo / sizeof(float))};
    rc = plugin_run(h, kernel, &call, sizeof call);
    for (i = 0; rc == 0 && i < n; i++)
        memcpy(jobs[i].out, out + i * ldo, jobs[i].count * sizeof(float));
    return rc;
}

int clsa_plugin_index_score(struct clsa_plugin_host *h, size_t kernel,
                            const struct clsa_par_index_job *jobs, size_t jobs_count)
{
    size_t i, n;
    int rc = 0;

    for (i = 0; rc == 0 && i < jobs_count; i += n) {
        size_t keys = jobs[i].count;

        for (n = 1; i + n < jobs_count && same_index(&jobs[i], &jobs[i + n]) &&
                    (n + 1) * larger(keys, jobs[i + n].count) <= CALL_BYTES / sizeof(float);
             n++)
            keys = larger(keys, jobs[i + n].count);
        if (keys > 0)
            rc = index_call(h, kernel, jobs + i, n, keys);
    }
    return rc;
}

/* ---- top-k ---- */

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Number, range and uniqueness: an engine may rely on them whatever the plugin did. */
static int take_positions(struct clsa_plugin_host *h, size_t kernel, struct clsa_par_topk_job *job,
                          size_t row, const int32_t *out, int32_t count)
{
    const char *what = clsa_plugin_host_offer(h, kernel)->name;
    const size_t want = job->k < job->n ? job->k : job->n;
    size_t i;

    if (count < 0 || (size_t)count != want)
        return plugin_fault(h, "%s: row %zu (n=%zu k=%zu) has %d positions, not %zu", what, row,
                            job->n, job->k, (int)count, want);
    memcpy(job->out, out, want * sizeof *out);
    qsort(job->out, want, sizeof *out, ascending);
    for (i = 0; i < want; i++) {
        if (job->out[i] < 0 || (size_t)job->out[i] >= job->n)
            return plugin_fault(h, "%s: row %zu (n=%zu k=%zu) names position %d", what, row, job->n,
                                job->k, (int)job->out[i]);
        if (i > 0 && job->out[i] == job->out[i - 1])
            return plugin_fault(h, "%s: row %zu (n=%zu k=%zu) names position %d twice", what, row,
                                job->n, job->k, (int)job->out[i]);
    }
    job->count = want;
    return 0;
}

static int topk_call(struct clsa_plugin_host *h, size_t kernel, struct clsa_par_topk_job *jobs,
                     size_t n, size_t longest)
{
    const size_t k = jobs->k, most = k < longest ? k : longest;
    size_t ld, ldo, stride, i;
    struct clsa_plugin_topk_call call;
    char *score, *out, *count;
    int32_t *lengths;
    int rc;

    plugin_begin(h);
    score = plugin_input(h, n, longest * sizeof(float), sizeof(float), &ld);
    lengths = plugin_input(h, 1, n * sizeof *lengths, sizeof *lengths, &stride);
    for (i = 0; score != NULL && lengths != NULL && i < n; i++) {
        memset(score + i * ld, 0xff, longest * sizeof(float));
        memcpy(score + i * ld, jobs[i].score, jobs[i].n * sizeof(float));
        lengths[i] = (int32_t)jobs[i].n;
    }
    out = plugin_output(h, n, most * sizeof(int32_t), sizeof(int32_t), &ldo);
    count = plugin_output(h, 1, n * sizeof(int32_t), sizeof(int32_t), &stride);
    call = (struct clsa_plugin_topk_call){.rows = (int64_t)n,
                                          .k = (int64_t)k,
                                          .score = (const float *)(void *)score,
                                          .ld_score = (int64_t)(ld / sizeof(float)),
                                          .n = lengths,
                                          .out = (int32_t *)(void *)out,
                                          .ldo = (int64_t)(ldo / sizeof(int32_t)),
                                          .count = (int32_t *)(void *)count};
    rc = plugin_run(h, kernel, &call, sizeof call);
    for (i = 0; rc == 0 && i < n; i++)
        rc = take_positions(h, kernel, &jobs[i], i, (const int32_t *)(void *)(out + i * ldo),
                            ((const int32_t *)(void *)count)[i]);
    return rc;
}

int clsa_plugin_topk(struct clsa_plugin_host *h, size_t kernel, struct clsa_par_topk_job *jobs,
                     size_t jobs_count)
{
    size_t i, n;
    int rc = 0;

    for (i = 0; rc == 0 && i < jobs_count; i += n) {
        size_t longest = jobs[i].n;

        n = 1;
        if (jobs[i].n == 0 || jobs[i].k == 0) {
            jobs[i].count = 0;
            continue;
        }
        for (; i + n < jobs_count && jobs[i + n].k == jobs[i].k && jobs[i + n].n > 0 &&
               (n + 1) * larger(longest, jobs[i + n].n) <= CALL_BYTES / sizeof(float);
             n++)
            longest = larger(longest, jobs[i + n].n);
        rc = topk_call(h, kernel, jobs + i, n, longest);
    }
    return rc;
}

/* ---- attention ---- */

static int same_attn(const struct clsa_attn *a, const struct clsa_attn *b)
{
    return a->q_heads == b->q_heads && a->kv_heads == b->kv_heads && a->d == b->d &&
           a->dv == b->dv && a->scale == b->scale && same_rows(&a->k, &b->k) &&
           same_rows(&a->v, &b->v);
}

/* The rows of one of K and V, all heads of a row together. */
static const char *put_rows(struct clsa_plugin_host *h, const struct clsa_rows *rows, size_t n,
                            size_t heads, size_t d, int64_t *row_stride, int64_t *head_stride)
{
    const size_t value = clsa_kernel_row_bytes(rows->dtype, d);
    size_t stride, s, i;
    char *to = plugin_input(h, n, heads * value, element_bytes(rows->dtype), &stride);

    *row_stride = (int64_t)stride;
    *head_stride = (int64_t)value;
    for (s = 0; to != NULL && s < n; s++)
        for (i = 0; i < heads; i++)
            memcpy(to + s * stride + i * value,
                   (const char *)rows->base + (ptrdiff_t)s * rows->row_stride_bytes +
                       (ptrdiff_t)i * rows->head_stride_bytes,
                   value);
    return to;
}

static int attn_call(struct clsa_plugin_host *h, size_t kernel,
                     const struct clsa_par_attn_job *jobs, size_t n, size_t longest, size_t rows)
{
    const struct clsa_attn *a = jobs->attn;
    const size_t q_row = a->q_heads * a->d * sizeof(float);
    const size_t out_row = a->q_heads * a->dv * sizeof(float);
    size_t ldq, ld_index, ldo, stride, i;
    struct clsa_plugin_attn_call call = {0};
    char *q, *index, *out;
    int32_t *count;
    int rc;

    plugin_begin(h);
    q = plugin_input(h, n, q_row, sizeof(float), &ldq);
    index = plugin_input(h, n, longest * sizeof(int32_t), sizeof(int32_t), &ld_index);
    count = plugin_input(h, 1, n * sizeof *count, sizeof *count, &stride);
    for (i = 0; q != NULL && index != NULL && count != NULL && i < n; i++) {
        memcpy(q + i * ldq, jobs[i].q, q_row);
        memset(index + i * ld_index, 0xff, longest * sizeof(int32_t));
        memcpy(index + i * ld_index, jobs[i].index, jobs[i].count * sizeof(int32_t));
        count[i] = (int32_t)jobs[i].count;
    }
    call.k = put_rows(h, &a->k, rows, a->kv_heads, a->d, &call.k_row_stride_bytes,
                      &call.k_head_stride_bytes);
    call.v = put_rows(h, &a->v, rows, a->kv_heads, a->dv, &call.v_row_stride_bytes,
                      &call.v_head_stride_bytes);
    out = plugin_output(h, n, out_row, sizeof(float), &ldo);
    call.queries = (int64_t)n;
    call.q_heads = (int64_t)a->q_heads;
    call.kv_heads = (int64_t)a->kv_heads;
    call.d = (int64_t)a->d;
    call.dv = (int64_t)a->dv;
    call.rows = (int64_t)rows;
    call.q = (const float *)(void *)q;
    call.ldq = (int64_t)(ldq / sizeof(float));
    call.dtype = dtype_of(a->k.dtype);
    call.scale = a->scale;
    call.index = (const int32_t *)(void *)index;
    call.ld_index = (int64_t)(ld_index / sizeof(int32_t));
    call.count = count;
    call.out = (float *)(void *)out;
    call.ldo = (int64_t)(ldo / sizeof(float));
    rc = plugin_run(h, kernel, &call, sizeof call);
    for (i = 0; rc == 0 && i < n; i++)
        memcpy(jobs[i].out, out + i * ldo, out_row);
    return rc;
}

int clsa_plugin_attn_sparse(struct clsa_plugin_host *h, size_t kernel,
                            const struct clsa_par_attn_job *jobs, size_t jobs_count)
{
    size_t i, j, n;
    int rc = 0;

    for (i = 0; rc == 0 && i < jobs_count; i += n) {
        size_t longest = 1, rows = 1;

        for (n = 0; i + n < jobs_count && (n == 0 || same_attn(jobs[i].attn, jobs[i + n].attn));
             n++) {
            const struct clsa_par_attn_job *job = &jobs[i + n];

            longest = larger(longest, job->count);
            for (j = 0; j < job->count; j++)
                rows = larger(rows, (size_t)job->index[j] + 1);
        }
        rc = attn_call(h, kernel, jobs + i, n, longest, rows);
    }
    return rc;
}
