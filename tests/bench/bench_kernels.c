/* The ratios that the kernels are built for, each of two contestants in one run. One thread.
 *   bench_kernels [RUNG] [TEXT]
 * With a TEXT of 128 KiB or more the embedded model reads its first 128 KiB, and top-k also selects
 * from the scores of its index: those of the last token, for every group of layers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/probe.h"
#include "sim/engine/engine.h"
#include "tests/bench/bench.h"

static volatile float sink;

/* Index scan: 128K keys of 128 bfloat16 values, one of several sets in turn, so that no set is in a
 * cache when it comes up again. */
enum { KEYS = 131072, INDEX_D = 128, SETS = 8 };

struct scan {
    const struct clsa_kernels *k;
    const uint16_t *keys;
    float *q, *out;
    int turn, set;
};

static void scan_kernel(void *opaque)
{
    struct scan *s = opaque;
    struct clsa_rows rows = {s->keys + (size_t)s->turn * KEYS * INDEX_D, CLSA_KERNEL_BF16,
                             2 * INDEX_D, 0};

    s->k->index_score(s->out, s->q, &rows, 0, KEYS, INDEX_D, 0.1f);
    s->turn = (s->turn + 1) % SETS;
}

static void scan_read(void *opaque)
{
    struct scan *s = opaque;

    sink = clsa_probe_read(s->k->rung, s->keys + (size_t)s->turn * KEYS * INDEX_D,
                           (size_t)KEYS * INDEX_D * 2);
    s->turn = (s->turn + 1) % SETS;
}

static void bench_scan(const struct clsa_kernels *k)
{
    uint16_t *keys = bench_memory((size_t)SETS * KEYS * INDEX_D * 2);
    struct scan s = {k, keys, bench_memory(INDEX_D * 4), bench_memory(KEYS * 4), 0, 0};
    unsigned long long seed = 1;
    struct bench_pair p;
    size_t i;

    for (i = 0; i < (size_t)SETS * KEYS * INDEX_D; i++)
        keys[i] = (uint16_t)(0x3c00u + (seed = seed * 6364136223846793005u + 1) % 0x400u);
    for (i = 0; i < INDEX_D; i++)
        s.q[i] = bench_normal(&seed);
    p = bench_compare((struct bench_side){scan_kernel, &s}, (struct bench_side){scan_read, &s}, 3);
    bench_report("index scan / streaming read", p.ratio, 0.85, "%.1f of %.1f GB/s",
                 KEYS * 256e-9 / p.a_seconds, KEYS * 256e-9 / p.b_seconds);
    free(keys);
    free(s.q);
    free(s.out);
}

/* Top-k against two textbook ways to the same result: ascending positions, lowest position first
 * among equals. */
struct ranked {
    float score;
    int32_t at;
};

static int better(struct ranked a, struct ranked b)
{
    return a.score > b.score || (a.score == b.score && a.at < b.at);
}

static int by_position(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Hoare's selection with the middle of three as pivot. */
static void quickselect(int32_t *out, const float *score, size_t n, size_t k, struct ranked *work)
{
    size_t low = 0, high = n - 1, i;

    for (i = 0; i < n; i++)
        work[i] = (struct ranked){score[i], (int32_t)i};
    while (low < high) {
        struct ranked a = work[low], b = work[low + (high - low) / 2], c = work[high], pivot, t;
        size_t l = low, h = high;

        pivot = better(a, b) ? (better(b, c)   ? b
                                : better(a, c) ? c
                                               : a)
                             : (better(a, c)   ? a
                                : better(b, c) ? c
                                               : b);
        for (;;) {
            while (better(work[l], pivot))
                l++;
            while (better(pivot, work[h]))
                h--;
            if (l >= h)
                break;
            t = work[l];
            work[l++] = work[h];
            work[h--] = t;
        }
        if (k - 1 <= h)
            high = h;
        else
            low = h + 1;
    }
    for (i = 0; i < k; i++)
        out[i] = work[i].at;
    qsort(out, k, sizeof *out, by_position);
}

/* A heap of the k best so far with the worst at its root. */
static void heap_down(struct ranked *heap, size_t k, size_t i)
{
    struct ranked top = heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= k)
            break;
        if (child + 1 < k && better(heap[child], heap[child + 1]))
            child++;
        if (!better(top, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = top;
}

static void heapselect(int32_t *out, const float *score, size_t n, size_t k, struct ranked *work)
{
    size_t i;

    for (i = 0; i < k; i++)
        work[i] = (struct ranked){score[i], (int32_t)i};
    for (i = k / 2; i-- > 0;)
        heap_down(work, k, i);
    for (i = k; i < n; i++)
        if (score[i] > work[0].score) { /* an equal, later one loses the tie */
            work[0] = (struct ranked){score[i], (int32_t)i};
            heap_down(work, k, 0);
        }
    for (i = 0; i < k; i++)
        out[i] = work[i].at;
    qsort(out, k, sizeof *out, by_position);
}

struct select {
    const struct clsa_kernels *k;
    const float *score;
    int32_t *out;
    struct ranked *work;
    size_t n, top;
};

static void select_kernel(void *opaque)
{
    struct select *s = opaque;

    s->k->topk(s->out, s->score, s->n, s->top, s->work);
}

static void select_quick(void *opaque)
{
    struct select *s = opaque;

    quickselect(s->out, s->score, s->n, s->top, s->work);
}

static void select_heap(void *opaque)
{
    struct select *s = opaque;

    heapselect(s->out, s->score, s->n, s->top, s->work);
}

static void bench_select(const struct clsa_kernels *k, const char *kind, const float *score,
                         size_t n)
{
    enum { TOP = 2048 };
    struct select s = {k, score, NULL, bench_memory(n * 16 + 65536), n, TOP};
    int32_t out[3][TOP];
    struct bench_pair quick, heap;
    char name[96];

    s.out = out[0];
    select_kernel(&s);
    s.out = out[1];
    select_quick(&s);
    s.out = out[2];
    select_heap(&s);
    if (memcmp(out[0], out[1], sizeof out[0]) != 0 || memcmp(out[0], out[2], sizeof out[0]) != 0) {
        bench_report(kind, 0, 1, "the three selections differ");
        return;
    }
    quick = bench_compare((struct bench_side){select_kernel, &s},
                          (struct bench_side){select_quick, &s}, 1);
    heap = bench_compare((struct bench_side){select_kernel, &s},
                         (struct bench_side){select_heap, &s}, 1);
    snprintf(name, sizeof name, "quickselect / top-k, %s", kind);
    bench_report(name, quick.ratio, 8, "%.1f of %.1f us", quick.b_seconds * 1e6,
                 quick.a_seconds * 1e6);
    snprintf(name, sizeof name, "heap / top-k, %s", kind);
    bench_report(name, heap.ratio, 3, "%.1f of %.1f us", heap.b_seconds * 1e6,
                 heap.a_seconds * 1e6);
    free(s.work);
}

static void bench_topk(const struct clsa_kernels *k)
{
    float *score = bench_memory(KEYS * sizeof *score);
    unsigned long long seed = 3;
    size_t i;

    for (i = 0; i < KEYS; i++)
        score[i] = bench_normal(&seed);
    bench_select(k, "random", score, KEYS);
    for (i = 0; i < KEYS; i++)
        score[i] = (float)i;
    bench_select(k, "ascending", score, KEYS);
    for (i = 0; i < KEYS; i++)
        score[i] = -(float)i;
    bench_select(k, "descending", score, KEYS);
    for (i = 0; i < KEYS; i++)
        score[i] = 1;
    bench_select(k, "constant", score, KEYS);
    free(score);
}

/* The engine shows a group's scores before its selection is used. */
struct capture {
    float *score; /* [GROUPS_MAX][KEYS] */
    size_t groups;
};

enum { GROUPS_MAX = 16 };

static int capture_scores(void *opaque, const struct clsa_step *step,
                          const struct clsa_index_set *set, const float *scores)
{
    struct capture *c = opaque;

    (void)set;
    if (step->queries[0].keys == KEYS && c->groups < GROUPS_MAX)
        memcpy(c->score + c->groups++ * KEYS, scores, KEYS * sizeof *scores);
    return 0;
}

static void bench_real(const struct clsa_kernels *k, const char *path)
{
    struct capture c = {bench_memory((size_t)GROUPS_MAX * KEYS * sizeof *c.score), 0};
    struct clsa_observer observer = {.user = &c, .selection = capture_scores};
    struct clsa_engine_options options;
    struct clsa_model *model = NULL;
    struct clsa_engine *engine = NULL;
    struct clsa_err err = {0};
    int32_t *tokens = bench_memory(KEYS * sizeof *tokens);
    FILE *f = fopen(path, "rb");
    size_t n = 0, g;
    int byte;

    for (; f != NULL && n < KEYS && (byte = fgetc(f)) != EOF; n++)
        tokens[n] = byte;
    if (f != NULL)
        fclose(f);
    if (n < KEYS) {
        bench_report("real scores", 0, 1, "%s: fewer than %d bytes", path, KEYS);
        goto done;
    }
    if (clsa_model_open("clsa-byte-5m", &model, &err) == 0) {
        clsa_engine_defaults(clsa_model_geometry(model), KEYS, &options);
        options.kernels = k;
        options.group = 1;
        options.observer = &observer;
        if (clsa_engine_create(model, &options, &engine, &err) == 0)
            (void)clsa_engine_prefill(engine, 0, 1, tokens, KEYS, NULL, 0, NULL, &err);
    }
    if (c.groups == 0)
        bench_report("real scores", 0, 1, "%s", err.text);
    for (g = 0; g < c.groups; g++) {
        char kind[48];

        snprintf(kind, sizeof kind, "real, layer %zu", g);
        bench_select(k, kind, c.score + g * KEYS, KEYS);
    }
done:
    clsa_engine_destroy(engine);
    clsa_model_destroy(model);
    free(tokens);
    free(c.score);
}

/* Sparse attention over 2048 rows of 512 K and 512 V values in bfloat16 out of 512 MB: 4 K/V heads
 * of 128, 20 query heads (CLSA-4B), against copying the same rows into a buffer. Fresh rows each
 * time. */
enum {
    POOL_ROWS = 1 << 18,
    PICKED = 2048,
    KV_HEADS = 4,
    HEAD_D = 128,
    Q_HEADS = 20,
    ROW_VALUES = 2 * KV_HEADS * HEAD_D
};

struct gather {
    const struct clsa_kernels *k;
    uint16_t *pool;
    int32_t *index;
    float *q;
    struct clsa_attn a;
    struct clsa_attn_part part;
    char *copy;
    size_t turn, turns;
};

static const int32_t *next_rows(struct gather *g)
{
    g->turn = (g->turn + 1) % g->turns;
    return g->index + g->turn * PICKED;
}

static void gather_kernel(void *opaque)
{
    struct gather *g = opaque;

    g->k->attn_sparse(&g->a, g->q, next_rows(g), PICKED, &g->part);
}

static void gather_copy(void *opaque)
{
    struct gather *g = opaque;
    const int32_t *index = next_rows(g);
    size_t i, bytes = ROW_VALUES * sizeof *g->pool;

    for (i = 0; i < PICKED; i++)
        memcpy(g->copy + i * bytes, g->pool + (size_t)index[i] * ROW_VALUES, bytes);
}

static void bench_gather(const struct clsa_kernels *k)
{
    struct gather g = {.k = k, .turns = 64};
    unsigned long long seed = 5;
    struct bench_pair p;
    size_t i;

    g.pool = bench_memory((size_t)POOL_ROWS * ROW_VALUES * 2);
    g.index = bench_memory(g.turns * PICKED * 4);
    g.q = bench_memory(Q_HEADS * HEAD_D * 4);
    g.part.max = bench_memory(Q_HEADS * 4);
    g.part.sum = bench_memory(Q_HEADS * 4);
    g.part.acc = bench_memory(Q_HEADS * HEAD_D * 4);
    g.copy = bench_memory((size_t)PICKED * ROW_VALUES * 2);
    for (i = 0; i < (size_t)POOL_ROWS * ROW_VALUES; i++)
        g.pool[i] = (uint16_t)(0x3c00u + (seed = seed * 6364136223846793005u + 1) % 0x400u);
    for (i = 0; i < Q_HEADS * HEAD_D; i++)
        g.q[i] = bench_normal(&seed);
    for (i = 0; i < g.turns * PICKED; i++) /* ascending within a selection, as top-k gives them */
        g.index[i] =
            (int32_t)(i % PICKED * (POOL_ROWS / PICKED) +
                      ((seed = seed * 6364136223846793005u + 1) >> 33) % (POOL_ROWS / PICKED));
    g.a = (struct clsa_attn){
        Q_HEADS,
        KV_HEADS,
        HEAD_D,
        HEAD_D,
        0.088f,
        {g.pool, CLSA_KERNEL_BF16, 2 * ROW_VALUES, 2 * HEAD_D},
        {g.pool + KV_HEADS * HEAD_D, CLSA_KERNEL_BF16, 2 * ROW_VALUES, 2 * HEAD_D}};
    p = bench_compare((struct bench_side){gather_kernel, &g}, (struct bench_side){gather_copy, &g},
                      3);
    bench_report("sparse gather / bare copy", p.ratio, 0.8, "%.2f of %.2f GB/s, huge pages",
                 PICKED * ROW_VALUES * 2e-9 / p.a_seconds,
                 PICKED * ROW_VALUES * 2e-9 / p.b_seconds);
    free(g.pool);
    free(g.index);
    free(g.q);
    free(g.part.max);
    free(g.part.sum);
    free(g.part.acc);
    free(g.copy);
}

int main(int argc, char **argv)
{
    const struct clsa_kernels *k = clsa_kernels_by_name(argc > 1 ? argv[1] : "best");

    if (k == NULL) {
        fprintf(stderr, "bench_kernels: no rung %s here\n", argv[1]);
        return 2;
    }
    printf("rung %s\n", k->name);
    bench_scan(k);
    bench_topk(k);
    if (argc > 2)
        bench_real(k, argv[2]);
    bench_gather(k);
    return bench_status();
}
