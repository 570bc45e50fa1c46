#include "kernels/parallel.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What is left of a call's units, a run of them for every thread. A thread takes its own from the front, so
 * that step after step it meets what its caches hold and its streams run on, and then from the end of
 * another's: first unit << 32 | one past the last, which only ever close in on each other. */
enum { LANES_MAX = 256 };
#define UNITS_MAX ((size_t)UINT32_MAX)

struct lane {
    _Alignas(64) atomic_uint_least64_t left;
};

struct lanes {
    size_t n, grain; /* takes are multiples of the grain, but where a run ends */
    bool greedy;     /* three quarters of what is left at once, not one grain */
    struct lane lane[LANES_MAX];
};

static size_t threads_most(void)
{
#ifdef _OPENMP
    return (size_t)omp_get_max_threads();
#else
    return 1;
#endif
}

static size_t thread_number(void)
{
#ifdef _OPENMP
    return (size_t)omp_get_thread_num();
#else
    return 0;
#endif
}

static void lanes_fill(struct lanes *l, size_t units, size_t grain, bool greedy)
{
    const size_t grains = ceil_div(units, grain);
    uint64_t first = 0;

    l->n = least(least(threads_most(), LANES_MAX), grains);
    l->grain = grain;
    l->greedy = greedy;
    for (size_t t = 0; t < l->n; t++) {
        const uint64_t last = least((grains * (t + 1) / l->n) * grain, units);

        atomic_init(&l->lane[t].left, first << 32 | last);
        first = last;
    }
}

static size_t lanes_from(struct lanes *l, size_t t, bool own, size_t *first)
{
    uint64_t at = atomic_load_explicit(&l->lane[t].left, memory_order_relaxed), rest;
    size_t count;

    do {
        const uint64_t begin = at >> 32, end = at & UINT32_MAX;
        const size_t left = (size_t)(end - begin);

        if (left == 0)
            return 0;
        count = l->greedy ? ceil_div(ceil_div(3 * left, own ? 4 : 8), l->grain) * l->grain : l->grain;
        count = least(count, left);
        *first = (size_t)(own ? begin : end - count);
        rest = own ? (begin + count) << 32 | end : begin << 32 | (end - count);
    } while (!atomic_compare_exchange_weak_explicit(&l->lane[t].left, &at, rest, memory_order_relaxed,
                                                    memory_order_relaxed));
    return count;
}

/* Units for thread t, from *first on. Returns 0 when nothing is left. */
static size_t lanes_take(struct lanes *l, size_t t, size_t *first)
{
    size_t count = 0;

    for (size_t i = 0; i < l->n && count == 0; i++)
        count = lanes_from(l, (t + i) % l->n, i == 0 && t < l->n, first);
    return count;
}

void clsa_par_for(size_t units, void (*body)(void *ctx, size_t unit), void *ctx)
{
    for (size_t base = 0; base < units; base += UNITS_MAX) {
        struct lanes lanes;

        if (units == 1) {
            body(ctx, 0);
            return;
        }
        lanes_fill(&lanes, least(units - base, UNITS_MAX), 1, false);
#pragma omp parallel
        {
            size_t unit;

            while (lanes_take(&lanes, thread_number(), &unit) > 0)
                body(ctx, base + unit);
        }
    }
}

struct rows_ctx {
    size_t rows, slice;
    void (*body)(void *ctx, size_t first, size_t count);
    void *ctx;
};

static void rows_unit(void *opaque, size_t unit)
{
    const struct rows_ctx *c = opaque;
    size_t first = unit * c->slice;

    c->body(c->ctx, first, least(c->slice, c->rows - first));
}

void clsa_par_rows(size_t rows, size_t slice, void (*body)(void *ctx, size_t first, size_t count),
                   void *ctx)
{
    struct rows_ctx c = {rows, slice ? slice : 1, body, ctx};

    clsa_par_for(ceil_div(rows, c.slice), rows_unit, &c);
}

/* A product's columns in a row, those of all products behind each other, once for every block of
 * rows of X. */
struct gemm_ctx {
    const struct clsa_kernels *kernels;
    const struct clsa_par_product *products;
    const float *x;
    ptrdiff_t ldx;
    size_t m, k, m_block, columns;
    size_t share; /* columns are taken in multiples of it, but the last */
};

enum {
    FEW_ROWS = 16,
    STREAM_BYTES = 1 << 16, /* few rows: weights of the least share, which stream */
    ROW_BLOCK = 192,
    COLUMN_BLOCK = 48 /* many rows: columns of the least share */
};

/* Columns first .. first+count-1 of one block of rows: the rest of a product, or less. Returns how
 * many were done. */
static size_t gemm_columns(const struct gemm_ctx *c, size_t i, size_t first, size_t count)
{
    const struct clsa_par_product *p = c->products;
    struct clsa_rows w;

    for (; first >= p->n; p++)
        first -= p->n;
    count = least(count, p->n - first);
    w = p->w;
    w.base = (const char *)w.base + (ptrdiff_t)first * w.row_stride_bytes;
    c->kernels->gemm(p->y + (ptrdiff_t)i * p->ldy + (ptrdiff_t)first, p->ldy,
                     c->x + (ptrdiff_t)i * c->ldx, c->ldx, &w, least(c->m_block, c->m - i), count,
                     c->k);
    return count;
}

/* Columns of the least share with few rows: of small weights less, so that all threads have some. */
static size_t stream_columns(size_t columns, size_t k)
{
    size_t width = k ? STREAM_BYTES / (2 * k) : STREAM_BYTES;
    size_t shares = 2 * threads_most();

    width = width < 16 ? 16 : width / 16 * 16;
    return least(width, ceil_div(ceil_div(columns, shares), 16) * 16);
}

/* Threads take most of what is left of theirs at once: what is prepared once a call (the rows of X) serves many
 * columns, weights stream in long runs, and the last shares are small. */
static void gemm_blocks(const struct gemm_ctx *c)
{
    const size_t total = ceil_div(c->m, c->m_block) * c->columns;

    for (size_t base = 0; base < total; base += UNITS_MAX / c->share * c->share) {
        struct lanes lanes;

        lanes_fill(&lanes, least(total - base, UNITS_MAX / c->share * c->share), c->share, true);
#pragma omp parallel if (total > c->share)
        {
            size_t first, count, done;

            while ((count = lanes_take(&lanes, thread_number(), &first)) > 0)
                for (first += base; count > 0; first += done, count -= done) {
                    const size_t column = first % c->columns;

                    done = gemm_columns(c, first / c->columns * c->m_block, column,
                                        least(count, c->columns - column));
                }
        }
    }
}

void clsa_par_gemm_many(const struct clsa_kernels *kernels, const struct clsa_par_product *products,
                        size_t products_count, const float *x, ptrdiff_t ldx, size_t m, size_t k)
{
    struct gemm_ctx c = {kernels, products, x, ldx, m, k, m, 0, COLUMN_BLOCK};
    size_t p;

    for (p = 0; p < products_count; p++)
        c.columns += products[p].n;
    if (m == 0 || c.columns == 0)
        return;
    if (m <= FEW_ROWS)
        c.share = stream_columns(c.columns, k);
    else
        c.m_block = ceil_div(ceil_div(m, ceil_div(m, ROW_BLOCK)), 6) * 6; /* even blocks */
    gemm_blocks(&c);
}

void clsa_par_gemm(const struct clsa_kernels *kernels, float *y, ptrdiff_t ldy, const float *x,
                   ptrdiff_t ldx, const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    struct clsa_par_product p = {y, ldy, *w, n};

    clsa_par_gemm_many(kernels, &p, 1, x, ldx, m, k);
}

/* Decode attention: splits of each job, then one join a job. */
struct attn_ctx {
    const struct clsa_kernels *kernels;
    const struct clsa_par_attn_job *jobs;
    const size_t *first_split; /* [jobs + 1] */
    size_t jobs_count;
    struct clsa_attn_part *parts;
};

static size_t split_keys(size_t count)
{
    size_t keys = ceil_div(count, CLSA_PAR_SPLITS_MAX);

    return keys <= CLSA_PAR_SPLIT_KEYS ? CLSA_PAR_SPLIT_KEYS
                                       : ceil_div(keys, CLSA_PAR_SPLIT_KEYS) * CLSA_PAR_SPLIT_KEYS;
}

static void attn_unit(void *opaque, size_t unit)
{
    const struct attn_ctx *c = opaque;
    const struct clsa_par_attn_job *job;
    struct clsa_attn attn;
    size_t low = 0, high = c->jobs_count, keys, at, count;

    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (c->first_split[mid] <= unit)
            low = mid;
        else
            high = mid;
    }
    job = c->jobs + low;
    keys = split_keys(job->count);
    at = (unit - c->first_split[low]) * keys;
    count = least(keys, job->count - at);
    attn = *job->attn;
    attn.next = job->count - at - count;
    if (job->index != NULL)
        c->kernels->attn_sparse(&attn, job->q, job->index + at, count, c->parts + unit);
    else
        c->kernels->attn_dense(&attn, job->q, job->first + at, count, c->parts + unit);
}

static void attn_join(void *opaque, size_t j)
{
    const struct attn_ctx *c = opaque;
    const struct clsa_attn *a = c->jobs[j].attn;

    c->kernels->attn_combine(c->jobs[j].out, c->parts + c->first_split[j],
                             c->first_split[j + 1] - c->first_split[j], a->q_heads, a->dv);
}

int clsa_par_attn(const struct clsa_kernels *kernels, const struct clsa_par_attn_job *jobs,
                  size_t jobs_count)
{
    size_t floats = 0, units = 0, j, u;
    size_t *first_split = malloc((jobs_count + 1) * sizeof *first_split);
    struct clsa_attn_part *parts = NULL;
    float *memory = NULL, *at;
    struct attn_ctx c;
    int rc = -1;

    if (first_split == NULL)
        return -1;
    for (j = 0; j < jobs_count; j++) {
        size_t splits = ceil_div(jobs[j].count, split_keys(jobs[j].count));

        first_split[j] = units;
        units += splits;
        floats += splits * jobs[j].attn->q_heads * (jobs[j].attn->dv + 2);
    }
    first_split[jobs_count] = units;
    parts = malloc((units + 1) * sizeof *parts);
    memory = malloc((floats + 1) * sizeof *memory);
    if (parts == NULL || memory == NULL)
        goto fail;
    for (j = 0, at = memory; j < jobs_count; j++) {
        size_t heads = jobs[j].attn->q_heads;

        for (u = first_split[j]; u < first_split[j + 1]; u++) {
            parts[u].acc = at;
            parts[u].max = at + heads * jobs[j].attn->dv;
            parts[u].sum = parts[u].max + heads;
            at = parts[u].sum + heads;
        }
    }
    c.kernels = kernels;
    c.jobs = jobs;
    c.first_split = first_split;
    c.jobs_count = jobs_count;
    c.parts = parts;
    clsa_par_for(units, attn_unit, &c);
    if (jobs_count == 1)
        attn_join(&c, 0);
    else
        clsa_par_for(jobs_count, attn_join, &c);
    rc = 0;
fail:
    free(memory);
    free(parts);
    free(first_split);
    return rc;
}

/* Prefill: one unit is a block of queries and one K/V head with its query heads. */
struct prefill_ctx {
    const struct clsa_kernels *kernels;
    const struct clsa_attn *a;
    float *out;
    const float *q;
    ptrdiff_t ldo, ldq, ld_index;
    size_t first, nq, window;
    const int32_t *index, *count;
};

static void prefill_unit(void *opaque, size_t unit)
{
    const struct prefill_ctx *c = opaque;
    size_t blocks = ceil_div(c->nq, CLSA_PAR_QUERY_BLOCK);
    /* late blocks attend most keys: begin with them, so that the last units are short */
    size_t i = (blocks - 1 - unit / c->a->kv_heads) * CLSA_PAR_QUERY_BLOCK;
    size_t head = unit % c->a->kv_heads;
    size_t queries = least(CLSA_PAR_QUERY_BLOCK, c->nq - i);
    struct clsa_attn a = *c->a;
    const float *q;
    float *out;

    a.q_heads /= a.kv_heads;
    a.kv_heads = 1;
    a.k.base = (const char *)a.k.base + (ptrdiff_t)head * a.k.head_stride_bytes;
    a.v.base = (const char *)a.v.base + (ptrdiff_t)head * a.v.head_stride_bytes;
    q = c->q + (ptrdiff_t)i * c->ldq + (ptrdiff_t)(head * a.q_heads * a.d);
    out = c->out + (ptrdiff_t)i * c->ldo + (ptrdiff_t)(head * a.q_heads * a.dv);
    if (c->index != NULL)
        c->kernels->attn_sparse_prefill(&a, out, c->ldo, q, c->ldq, queries,
                                        c->index + (ptrdiff_t)i * c->ld_index, c->ld_index,
                                        c->count + i);
    else
        c->kernels->attn_prefill(&a, out, c->ldo, q, c->ldq, c->first + i, queries, c->window);
}

void clsa_par_attn_prefill(const struct clsa_kernels *kernels, const struct clsa_attn *a,
                           float *out, ptrdiff_t ldo, const float *q, ptrdiff_t ldq, size_t first,
                           size_t nq, size_t window)
{
    struct prefill_ctx c = {kernels, a, out, q, ldo, ldq, 0, first, nq, window, NULL, NULL};

    clsa_par_for(ceil_div(nq, CLSA_PAR_QUERY_BLOCK) * a->kv_heads, prefill_unit, &c);
}

void clsa_par_attn_sparse_prefill(const struct clsa_kernels *kernels, const struct clsa_attn *a,
                                  float *out, ptrdiff_t ldo, const float *q, ptrdiff_t ldq,
                                  size_t nq, const int32_t *index, ptrdiff_t ld_index,
                                  const int32_t *count)
{
    struct prefill_ctx c = {kernels, a, out, q, ldo, ldq, ld_index, 0, nq, 0, index, count};

    clsa_par_for(ceil_div(nq, CLSA_PAR_QUERY_BLOCK) * a->kv_heads, prefill_unit, &c);
}

struct index_ctx {
    const struct clsa_kernels *kernels;
    const struct clsa_par_index_job *jobs;
    size_t jobs_count;
};

static void index_unit(void *opaque, size_t unit)
{
    const struct index_ctx *c = opaque;
    const struct clsa_par_index_job *job = c->jobs;
    size_t units, at, count;

    while (units = ceil_div(job->count, CLSA_PAR_INDEX_KEYS), unit >= units) {
        unit -= units;
        job++;
    }
    at = unit * CLSA_PAR_INDEX_KEYS;
    count = least(CLSA_PAR_INDEX_KEYS, job->count - at);
    if (job->w != NULL)
        c->kernels->index_score_heads(job->out + at, job->q, job->w, &job->keys, job->first + at,
                                      count, job->heads, job->d, job->scale);
    else
        c->kernels->index_score(job->out + at, job->q, &job->keys, job->first + at, count, job->d,
                                job->scale);
}

void clsa_par_index_score(const struct clsa_kernels *kernels, const struct clsa_par_index_job *jobs,
                          size_t jobs_count)
{
    struct index_ctx c = {kernels, jobs, jobs_count};
    size_t units = 0, j;

    for (j = 0; j < jobs_count; j++)
        units += ceil_div(jobs[j].count, CLSA_PAR_INDEX_KEYS);
    clsa_par_for(units, index_unit, &c);
}

struct topk_ctx {
    const struct clsa_kernels *kernels;
    struct clsa_par_topk_job *jobs;
    void **scratch; /* one a job: concurrent units never share one */
};

static void topk_unit(void *opaque, size_t j)
{
    const struct topk_ctx *c = opaque;
    struct clsa_par_topk_job *job = c->jobs + j;

    job->count = c->kernels->topk(job->out, job->score, job->n, job->k, c->scratch[j]);
}

int clsa_par_topk(const struct clsa_kernels *kernels, struct clsa_par_topk_job *jobs,
                  size_t jobs_count)
{
    void **scratch = calloc(jobs_count + 1, sizeof *scratch);
    struct topk_ctx c = {kernels, jobs, scratch};
    size_t j;
    int rc = -1;

    if (scratch == NULL)
        return -1;
    for (j = 0; j < jobs_count; j++) {
        size_t bytes = clsa_topk_scratch_bytes(jobs[j].n, jobs[j].k);

        scratch[j] = aligned_alloc(64, (bytes + 127) / 64 * 64);
        if (scratch[j] == NULL)
            goto fail;
    }
    clsa_par_for(jobs_count, topk_unit, &c);
    rc = 0;
fail:
    for (j = 0; j < jobs_count; j++)
        free(scratch[j]);
    free(scratch);
    return rc;
}
