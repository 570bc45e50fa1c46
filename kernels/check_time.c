/* Timing of kernels at standard shapes: those of a 4 B model in decode and in blocks of a prefill.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/probe.h"
#include "kernels/traffic.h"

/* Memory that all cases share: bfloat16 values (weights, keys, values), floats in and out. */
enum {
    STORE_VALUES = 1 << 26, /* 128 MiB: beyond the caches of most machines */
    FLOATS = 1 << 21,
    HEADS = 20,
    KV_HEADS = 4,
    D = 128,
    PICKED = 2048,
    TOKENS = STORE_VALUES / (2 * KV_HEADS * D), /* rows of K and V of all heads */
    RUNS_MAX = 101
};

struct timing {
    const struct clsa_kernels *k;
    uint16_t *store;
    float *x, *y, *z;
    int32_t *index, *count;
    void *scratch;
    struct clsa_attn attn, mla, mla_fp8;
    struct clsa_attn_part part, parts[64];
};

struct measured {
    const char *kernel, *shape;
    void (*run)(struct timing *t);
    struct clsa_traffic (*traffic)(void);
};

static struct clsa_rows rows_of(const void *base, enum clsa_kernel_dtype dtype, size_t bytes)
{
    struct clsa_rows r = {base, dtype, (ptrdiff_t)bytes, 0};

    return r;
}

static void run_rmsnorm(struct timing *t)
{
    t->k->rmsnorm(t->y, 2560, t->x, 2560, t->store, CLSA_KERNEL_BF16, 64, 2560, 1e-6f);
}

static struct clsa_traffic traffic_rmsnorm(void)
{
    return clsa_traffic_rmsnorm(64, 2560, 4, 2, 4);
}

static void run_head_norm(struct timing *t)
{
    t->k->head_norm(t->y, HEADS * D, t->x, HEADS * D, t->store, CLSA_KERNEL_BF16, 64, HEADS, D,
                    1e-6f);
}

static struct clsa_traffic traffic_head_norm(void)
{
    return clsa_traffic_head_norm(64, HEADS, D, 4, 2, 4);
}

static void run_rope(struct timing *t)
{
    t->k->rope(t->y, HEADS * D, D, t->z, t->z, 64, HEADS, D);
}

static struct clsa_traffic traffic_rope(void)
{
    return clsa_traffic_rope(64, HEADS, D, 4);
}

static void run_silu_mul(struct timing *t)
{
    t->k->silu_mul(t->y, 7680, t->x, 7680, t->z, 7680, 64, 7680);
}

static struct clsa_traffic traffic_silu_mul(void)
{
    return clsa_traffic_silu_mul(64, 7680, 4, 4);
}

static void run_softmax(struct timing *t)
{
    t->k->softmax(t->y, 4096, t->x, 4096, 32, 4096, 1);
}

static struct clsa_traffic traffic_softmax(void)
{
    return clsa_traffic_softmax(32, 4096, 4, 4);
}

static void run_embed(struct timing *t)
{
    struct clsa_rows table = rows_of(t->store, CLSA_KERNEL_BF16, 5120);

    t->k->embed(t->y, 2560, &table, t->index, 256, 2560);
}

static struct clsa_traffic traffic_embed(void)
{
    return clsa_traffic_embed(256, 2560, 2, 4);
}

static void run_add(struct timing *t)
{
    t->k->add(t->y, t->x, t->z, 1 << 18);
}

static struct clsa_traffic traffic_add(void)
{
    return clsa_traffic_add(1 << 18, 4);
}

static void gemm(struct timing *t, size_t m, size_t n)
{
    struct clsa_rows w = rows_of(t->store, CLSA_KERNEL_BF16, 5120);

    t->k->gemm(t->y, (ptrdiff_t)n, t->x, 2560, &w, m, n, 2560);
}

static void run_gemm_1(struct timing *t)
{
    gemm(t, 1, 16384);
}

static void run_gemm_8(struct timing *t)
{
    gemm(t, 8, 16384);
}

static void run_gemm_192(struct timing *t)
{
    gemm(t, 192, 768);
}

static struct clsa_traffic traffic_gemm_1(void)
{
    return clsa_traffic_gemm(1, 16384, 2560, 4, 2, 4);
}

static struct clsa_traffic traffic_gemm_8(void)
{
    return clsa_traffic_gemm(8, 16384, 2560, 4, 2, 4);
}

static struct clsa_traffic traffic_gemm_192(void)
{
    return clsa_traffic_gemm(192, 768, 2560, 4, 2, 4);
}

static void run_to_f32(struct timing *t)
{
    struct clsa_rows w = rows_of(t->store, CLSA_KERNEL_BF16, 5120);

    t->k->to_f32(t->y, 2560, &w, 512, 2560);
}

static struct clsa_traffic traffic_to_f32(void)
{
    return clsa_traffic_convert(512, 2560, 2, 4);
}

static void run_from_f32(struct timing *t)
{
    t->k->from_f32(t->y, 5120, CLSA_KERNEL_BF16, t->x, 2560, 512, 2560);
}

static struct clsa_traffic traffic_from_f32(void)
{
    return clsa_traffic_convert(512, 2560, 4, 2);
}

static struct clsa_traffic attention(uint64_t queries, uint64_t pairs, uint64_t rows,
                                     uint64_t indexed, uint64_t row_bytes)
{
    struct clsa_attn_shape s = {queries, pairs, rows,  HEADS, KV_HEADS, D, D,
                                4,       2 * D, 2 * D, 4,     indexed,  0};

    if (row_bytes > 0) { /* MLA, 16 heads */
        s.q_heads = 16;
        s.kv_heads = 1;
        s.d = CLSA_MLA_D;
        s.dv = CLSA_MLA_DV;
        s.k_row_bytes = row_bytes;
        s.kv_same = 1;
    }
    return clsa_traffic_attn(&s);
}

static void run_attn_dense(struct timing *t)
{
    t->k->attn_dense(&t->attn, t->x, 0, 16384, &t->part);
}

static struct clsa_traffic traffic_attn_dense(void)
{
    return attention(1, 16384, 16384, 0, 0);
}

static void run_attn_sparse(struct timing *t)
{
    t->k->attn_sparse(&t->attn, t->x, t->index, PICKED, &t->part);
}

static struct clsa_traffic traffic_attn_sparse(void)
{
    return attention(1, PICKED, PICKED, PICKED, 0);
}

static void run_attn_combine(struct timing *t)
{
    t->k->attn_combine(t->y, t->parts, 64, HEADS, D);
}

static struct clsa_traffic traffic_attn_combine(void)
{
    return clsa_traffic_attn_combine(64, HEADS, D, 4);
}

static void run_attn_window(struct timing *t)
{
    t->k->attn_prefill(&t->attn, t->y, HEADS * D, t->x, HEADS * D, 1000, 16, 512);
}

static struct clsa_traffic traffic_attn_window(void)
{
    return attention(16, clsa_traffic_causal_pairs(1000, 16, 512),
                     clsa_traffic_causal_rows(1000, 16, 512), 0, 0);
}

static void run_attn_prefill(struct timing *t)
{
    t->k->attn_prefill(&t->attn, t->y, HEADS * D, t->x, HEADS * D, 496, 16, 0);
}

static struct clsa_traffic traffic_attn_prefill(void)
{
    return attention(16, clsa_traffic_causal_pairs(496, 16, 0), 512, 0, 0);
}

static void run_attn_sparse_prefill(struct timing *t)
{
    t->k->attn_sparse_prefill(&t->attn, t->y, HEADS * D, t->x, HEADS * D, 4, t->index, PICKED / 4,
                              t->count);
}

static struct clsa_traffic traffic_attn_sparse_prefill(void)
{
    return attention(4, 2048, 2048, 2048, 0);
}

static void run_mla_bf16(struct timing *t)
{
    t->k->attn_sparse(&t->mla, t->x, t->index, PICKED, &t->part);
}

static struct clsa_traffic traffic_mla_bf16(void)
{
    return attention(1, PICKED, PICKED, PICKED, 1152);
}

static void run_mla_fp8(struct timing *t)
{
    t->k->attn_sparse(&t->mla_fp8, t->x, t->index, PICKED, &t->part);
}

static struct clsa_traffic traffic_mla_fp8(void)
{
    return attention(1, PICKED, PICKED, PICKED, CLSA_MLA_FP8_BYTES);
}

static void run_index_score(struct timing *t)
{
    struct clsa_rows keys = rows_of(t->store, CLSA_KERNEL_BF16, 2 * D);

    t->k->index_score(t->y, t->x, &keys, 0, 131072, D, 0.1f);
}

static struct clsa_traffic traffic_index_score(void)
{
    return clsa_traffic_index_score(1, 131072, 1, D, 0, 4, 2 * D, 4);
}

static void run_index_score_heads(struct timing *t)
{
    struct clsa_rows keys = rows_of(t->store, CLSA_KERNEL_BF16, 2 * D);

    t->k->index_score_heads(t->y, t->x, t->z, &keys, 0, 4096, 64, D, 0.1f);
}

static struct clsa_traffic traffic_index_score_heads(void)
{
    return clsa_traffic_index_score(1, 4096, 64, D, 1, 4, 2 * D, 4);
}

static void run_topk(struct timing *t)
{
    t->k->topk((int32_t *)(void *)t->y, t->x, 131072, PICKED, t->scratch);
}

static struct clsa_traffic traffic_topk(void)
{
    return clsa_traffic_topk(1, 131072, PICKED, 4);
}

static const struct measured measured[] = {
    {"rmsnorm", "rows=64 n=2560", run_rmsnorm, traffic_rmsnorm},
    {"head-norm", "tokens=64 heads=20 d=128", run_head_norm, traffic_head_norm},
    {"rope", "tokens=64 heads=20 d=128", run_rope, traffic_rope},
    {"silu-mul", "rows=64 n=7680", run_silu_mul, traffic_silu_mul},
    {"softmax", "rows=32 n=4096", run_softmax, traffic_softmax},
    {"embed", "rows=256 n=2560 bf16", run_embed, traffic_embed},
    {"add", "n=262144", run_add, traffic_add},
    {"gemm", "m=1 n=16384 k=2560 bf16", run_gemm_1, traffic_gemm_1},
    {"gemm", "m=8 n=16384 k=2560 bf16", run_gemm_8, traffic_gemm_8},
    {"gemm", "m=192 n=768 k=2560 bf16", run_gemm_192, traffic_gemm_192},
    {"to-f32", "rows=512 n=2560 bf16", run_to_f32, traffic_to_f32},
    {"from-f32", "rows=512 n=2560 bf16", run_from_f32, traffic_from_f32},
    {"attn-dense", "heads=20/4 d=128 keys=16384 bf16", run_attn_dense, traffic_attn_dense},
    {"attn-sparse", "heads=20/4 d=128 keys=2048 of 65536 bf16", run_attn_sparse,
     traffic_attn_sparse},
    {"attn-combine", "parts=64 heads=20 dv=128", run_attn_combine, traffic_attn_combine},
    {"attn-window", "heads=20/4 d=128 queries=16 window=512 bf16", run_attn_window,
     traffic_attn_window},
    {"attn-prefill", "heads=20/4 d=128 queries=16 keys=512 bf16", run_attn_prefill,
     traffic_attn_prefill},
    {"attn-sparse-prefill", "heads=20/4 d=128 queries=4 keys=512 of 65536 bf16",
     run_attn_sparse_prefill, traffic_attn_sparse_prefill},
    {"attn-mla", "heads=16 keys=2048 bf16", run_mla_bf16, traffic_mla_bf16},
    {"attn-mla", "heads=16 keys=2048 mla-fp8", run_mla_fp8, traffic_mla_fp8},
    {"index-score", "keys=131072 d=128 bf16", run_index_score, traffic_index_score},
    {"index-score-heads", "keys=4096 heads=64 d=128 bf16", run_index_score_heads,
     traffic_index_score_heads},
    {"topk", "n=131072 k=2048", run_topk, traffic_topk},
};

static void *get(size_t bytes)
{
    return aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
}

static void discard(struct timing *t)
{
    free(t->store);
    free(t->x);
    free(t->y);
    free(t->z);
    free(t->index);
    free(t->count);
    free(t->scratch);
    free(t->part.acc);
}

static int prepare(struct timing *t)
{
    uint64_t state = 1;
    size_t i;

    t->store = get((size_t)STORE_VALUES * 2);
    t->x = get((size_t)FLOATS * 4);
    t->y = get((size_t)FLOATS * 4);
    t->z = get((size_t)FLOATS * 4);
    t->index = get(PICKED * 4);
    t->count = get(4 * 4);
    t->scratch = get(clsa_topk_scratch_bytes(131072, PICKED));
    t->part.acc = get((size_t)(HEADS * (D + CLSA_MLA_DV) + 64) * 4);
    if (!t->store || !t->x || !t->y || !t->z || !t->index || !t->count || !t->scratch ||
        !t->part.acc) {
        discard(t);
        return -1;
    }
    t->part.max = t->part.acc + HEADS * CLSA_MLA_DV;
    t->part.sum = t->part.max + HEADS;
    for (i = 0; i < STORE_VALUES; i++) { /* bfloat16 between 2^-7 and 2^-5, either sign */
        state = state * 6364136223846793005u + 1442695040888963407u;
        t->store[i] = (uint16_t)(0x3c00u | (state >> 40 & 0x80ffu));
    }
    for (i = 0; i < FLOATS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        t->x[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
        t->z[i] = t->x[i] * 0.5f;
        t->y[i] = 0;
    }
    for (i = 0; i < PICKED; i++) /* ascending, one in every run of TOKENS / PICKED */
        t->index[i] = (int32_t)(i * (TOKENS / PICKED) + (i * 2654435761u >> 8) % (TOKENS / PICKED));
    for (i = 0; i < 4; i++)
        t->count[i] = PICKED / 4;
    for (i = 0; i < 64; i++) {
        t->parts[i].max = t->x + 64 * i;
        t->parts[i].sum = t->x + 64 * i + 32;
        t->parts[i].acc = t->x + 8192 + i * HEADS * D;
    }
    t->attn =
        (struct clsa_attn){HEADS,
                           KV_HEADS,
                           D,
                           D,
                           0.0884f,
                           {t->store, CLSA_KERNEL_BF16, 4 * KV_HEADS * D, 2 * D},
                           {t->store + KV_HEADS * D, CLSA_KERNEL_BF16, 4 * KV_HEADS * D, 2 * D},
                           0};
    t->mla = (struct clsa_attn){16,
                                1,
                                CLSA_MLA_D,
                                CLSA_MLA_DV,
                                0.0417f,
                                {t->store, CLSA_KERNEL_BF16, 1152, 1152},
                                {t->store, CLSA_KERNEL_BF16, 1152, 1152},
                                0};
    t->mla_fp8 = t->mla;
    t->mla_fp8.k = t->mla_fp8.v = (struct clsa_rows){t->store, CLSA_KERNEL_MLA_FP8, 656, 656};
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median of as many runs as fit in about 0.1 s, three at least; the first alone when it is slow. */
static double median_seconds(const struct measured *m, struct timing *t)
{
    double seconds[RUNS_MAX], start;
    int n = 0;

    start = clsa_probe_seconds();
    m->run(t);
    if (clsa_probe_seconds() - start > 0.1)
        return clsa_probe_seconds() - start;
    start = clsa_probe_seconds();
    while (n < RUNS_MAX && (n < 3 || clsa_probe_seconds() - start < 0.1)) {
        double begin = clsa_probe_seconds();

        m->run(t);
        seconds[n++] = clsa_probe_seconds() - begin;
    }
    qsort(seconds, (size_t)n, sizeof *seconds, ascending);
    return seconds[n / 2];
}

int clsa_check_time(const char *kernel, const struct clsa_kernels *subject, double stream_gbps,
                    double peak_gflops, const struct clsa_check_sink *sink)
{
    struct timing t = {.k = subject};
    size_t i;
    int found = 0;

    if (prepare(&t) != 0)
        return -1;
    for (i = 0; i < sizeof measured / sizeof measured[0]; i++) {
        const struct measured *m = &measured[i];
        struct clsa_check_timing timing = {.kernel = m->kernel,
                                           .rung = subject->name,
                                           .threads = 1,
                                           .stream_gbps = stream_gbps,
                                           .peak_gflops = peak_gflops};
        struct clsa_traffic work;
        double seconds;

        if (strcmp(m->kernel, kernel) != 0)
            continue;
        found = 1;
        seconds = median_seconds(m, &t);
        work = m->traffic();
        snprintf(timing.shape, sizeof timing.shape, "%s", m->shape);
        timing.ns = seconds * 1e9;
        timing.bytes = (double)(work.bytes_read + work.bytes_written);
        timing.flops = (double)work.flops;
        timing.gbps = timing.bytes / timing.ns;
        timing.gflops = timing.flops / timing.ns;
        sink->timing(sink->ctx, &timing);
    }
    discard(&t);
    return found ? 0 : -1;
}
