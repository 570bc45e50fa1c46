/* Timing of a plugin's kernels at the shapes of a 4 B model at 128 Ki tokens. The time is taken inside
 * the plugin's process around the call: copies into the shared memory are not in it, copies that the
 * kernel makes itself (to a device) are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check_plugin.h"
#include "kernels/half.h"
#include "kernels/traffic.h"

enum {
    KEYS = 131072,
    D = 128,
    INDEX_HEADS = 64,
    Q_HEADS = 20,
    KV_HEADS = 4,
    PICKED = 2048,
    QUERIES_MAX = 32,
    RUNS_MAX = 101
};

struct bench {
    struct clsa_plugin_host *host;
    size_t kernel;
    uint16_t *store;  /* bfloat16: index keys, or K and V */
    float *x, *y;     /* queries, scores */
    int32_t *index;
    struct clsa_attn attn;
    uint64_t state;
};

/* Uniform in (-1, 1): a multiplicative generator modulo 2^64 is random enough for timing. */
static float noise(struct bench *b)
{
    b->state = b->state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(int32_t)(b->state >> 32) * 0x1p-31);
}

static int run_index(struct bench *b, size_t queries)
{
    const int many =
        clsa_plugin_host_offer(b->host, b->kernel)->kind == CLSA_PLUGIN_INDEX_SCORE_HEADS;
    const size_t heads = many ? INDEX_HEADS : 1;
    struct clsa_par_index_job jobs[QUERIES_MAX];
    size_t i;

    for (i = 0; i < queries; i++)
        jobs[i] = (struct clsa_par_index_job){
            .out = b->y + i * KEYS,
            .q = b->x + i * heads * D,
            .w = many ? b->x + i * heads : NULL,
            .keys = {b->store, CLSA_KERNEL_BF16, D * 2, 0},
            .count = KEYS,
            .heads = heads,
            .d = D,
            .scale = 0.125f};
    return clsa_plugin_index_score(b->host, b->kernel, jobs, queries);
}

static int run_topk(struct bench *b, size_t rows)
{
    struct clsa_par_topk_job jobs[QUERIES_MAX];
    size_t i;

    for (i = 0; i < rows; i++)
        jobs[i] = (struct clsa_par_topk_job){
            .out = b->index + i * PICKED, .score = b->y + i * KEYS, .n = KEYS, .k = PICKED};
    return clsa_plugin_topk(b->host, b->kernel, jobs, rows);
}

static int run_attn(struct bench *b, size_t queries)
{
    struct clsa_par_attn_job jobs[QUERIES_MAX];
    size_t i;

    for (i = 0; i < queries; i++)
        jobs[i] = (struct clsa_par_attn_job){.attn = &b->attn,
                                             .q = b->x + i * Q_HEADS * D,
                                             .out = b->y + i * Q_HEADS * D,
                                             .index = b->index + i * PICKED,
                                             .count = PICKED};
    return clsa_plugin_attn_sparse(b->host, b->kernel, jobs, queries);
}

static struct clsa_traffic work(uint32_t kind, size_t n)
{
    const struct clsa_attn_shape shape = {.queries = n,
                                          .pairs = n * PICKED,
                                          .rows = n * PICKED,
                                          .q_heads = Q_HEADS,
                                          .kv_heads = KV_HEADS,
                                          .d = D,
                                          .dv = D,
                                          .q_bytes = 4,
                                          .k_row_bytes = D * 2,
                                          .v_row_bytes = D * 2,
                                          .y_bytes = 4,
                                          .index_entries = n * PICKED};

    switch (kind) {
    case CLSA_PLUGIN_INDEX_SCORE:
        return clsa_traffic_index_score(n, KEYS, 1, D, 0, 4, D * 2, 4);
    case CLSA_PLUGIN_INDEX_SCORE_HEADS:
        return clsa_traffic_index_score(n, KEYS, INDEX_HEADS, D, 1, 4, D * 2, 4);
    case CLSA_PLUGIN_TOPK:
        return clsa_traffic_topk(n, KEYS, PICKED, 4);
    default:
        return clsa_traffic_attn(&shape);
    }
}

static void describe(uint32_t kind, size_t n, char *text, size_t text_bytes)
{
    if (kind == CLSA_PLUGIN_TOPK)
        snprintf(text, text_bytes, "%zu rows of %d, k=%d", n, KEYS, PICKED);
    else if (kind == CLSA_PLUGIN_ATTN_SPARSE)
        snprintf(text, text_bytes, "%zu queries, heads %d/%d x %d, %d of %d rows bf16", n, Q_HEADS,
                 KV_HEADS, D, PICKED, KEYS);
    else
        snprintf(text, text_bytes, "%zu queries x %d keys, %d heads x %d bf16", n, KEYS,
                 kind == CLSA_PLUGIN_INDEX_SCORE ? 1 : INDEX_HEADS, D);
}

static int prepare(struct bench *b, uint32_t kind)
{
    const size_t rows = kind == CLSA_PLUGIN_ATTN_SPARSE ? (size_t)2 * KV_HEADS * KEYS : KEYS;
    const size_t row_bytes = (size_t)2 * KV_HEADS * D * 2;
    size_t i;

    b->state = 1;
    b->store = kind == CLSA_PLUGIN_TOPK ? NULL : malloc(rows * D * sizeof *b->store);
    b->x = malloc((size_t)QUERIES_MAX * INDEX_HEADS * D * sizeof *b->x);
    b->y = malloc((size_t)QUERIES_MAX * KEYS * sizeof *b->y);
    b->index = malloc((size_t)QUERIES_MAX * PICKED * sizeof *b->index);
    if ((b->store == NULL && kind != CLSA_PLUGIN_TOPK) || b->x == NULL || b->y == NULL ||
        b->index == NULL)
        return -1;
    for (i = 0; b->store != NULL && i < rows * D; i++)
        b->store[i] = clsa_bf16_of_f32(noise(b));
    for (i = 0; i < (size_t)QUERIES_MAX * INDEX_HEADS * D; i++)
        b->x[i] = noise(b);
    for (i = 0; i < (size_t)QUERIES_MAX * KEYS; i++)
        b->y[i] = noise(b);
    for (i = 0; i < (size_t)QUERIES_MAX * PICKED; i++)
        b->index[i] = (int32_t)((double)(noise(b) + 1) * 0.49999 * KEYS);
    b->attn = (struct clsa_attn){
        .q_heads = Q_HEADS,
        .kv_heads = KV_HEADS,
        .d = D,
        .dv = D,
        .scale = 0.088f,
        .k = {b->store, CLSA_KERNEL_BF16, (ptrdiff_t)row_bytes, D * 2},
        .v = {b->store == NULL ? NULL : b->store + KV_HEADS * D, CLSA_KERNEL_BF16,
              (ptrdiff_t)row_bytes, D * 2}};
    return 0;
}

static int once(struct bench *b, uint32_t kind, size_t n)
{
    return kind == CLSA_PLUGIN_TOPK          ? run_topk(b, n)
           : kind == CLSA_PLUGIN_ATTN_SPARSE ? run_attn(b, n)
                                             : run_index(b, n);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int clsa_plugin_check_time(struct clsa_plugin_host *host, size_t kernel, int runs,
                           const struct clsa_check_sink *sink)
{
    static const size_t sizes[] = {1, 8, QUERIES_MAX};
    const struct clsa_plugin_offer *offer = clsa_plugin_host_offer(host, kernel);
    struct bench b = {.host = host, .kernel = kernel};
    size_t i;
    int rc = prepare(&b, offer->kind), run;

    if (runs > RUNS_MAX)
        runs = RUNS_MAX;
    for (i = 0; rc == 0 && i < sizeof sizes / sizeof sizes[0]; i++) {
        struct clsa_check_timing t = {.kernel = offer->name,
                                      .rung = clsa_plugin_host_name(host),
                                      .threads = 1};
        const struct clsa_traffic w = work(offer->kind, sizes[i]);
        double ns[RUNS_MAX];

        rc = once(&b, offer->kind, sizes[i]);
        for (run = 0; rc == 0 && run < runs; run++) {
            rc = once(&b, offer->kind, sizes[i]);
            ns[run] = clsa_plugin_host_ns(host);
        }
        if (rc == CLSA_PLUGIN_UNSUPPORTED) {
            rc = 0;
            continue;
        }
        if (rc != 0)
            break;
        qsort(ns, (size_t)runs, sizeof *ns, ascending);
        describe(offer->kind, sizes[i], t.shape, sizeof t.shape);
        t.ns = ns[runs / 2];
        t.bytes = (double)(w.bytes_read + w.bytes_written);
        t.flops = (double)w.flops;
        t.gbps = t.bytes / t.ns;
        t.gflops = t.flops / t.ns;
        sink->timing(sink->ctx, &t);
    }
    free(b.store);
    free(b.x);
    free(b.y);
    free(b.index);
    return rc;
}
