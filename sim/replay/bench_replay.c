#include "sim/replay/bench_replay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/cache.h"
#include "hwmodels/dram.h"
#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/base/rng.h"

#define BATCH 4096
#define REQUESTS (UINT64_C(1) << 20)
#define POOL_BYTES (UINT64_C(8) << 30)
#define RESIDENT_BYTES (UINT64_C(24) << 20)

static const struct clsa_cache_config l2 = {.size_bytes = UINT64_C(50) << 20,
                                            .line_bytes = 128,
                                            .sector_bytes = 32,
                                            .ways = 16,
                                            .hashed = true};
static const struct clsa_dram_config hbm3 = {.channels = 160,
                                             .banks = 16,
                                             .bank_groups = 4,
                                             .row_bytes = 1024,
                                             .burst_bytes = 64,
                                             .interleave_bytes = 1024,
                                             .window = 64,
                                             .burst_ps = 3055,
                                             .trcd_ps = 14000,
                                             .trp_ps = 14000,
                                             .tcl_ps = 14000,
                                             .tras_ps = 28000,
                                             .trrd_ps = 3000,
                                             .tfaw_ps = 12000,
                                             .trefi_ps = 3900000,
                                             .trfc_ps = 260000};

struct bench {
    double seconds;
    struct clsa_cache *cache, *twin;
    struct clsa_cache_sink sink;
    struct clsa_line_request *requests;
    struct clsa_dram *dram;
    struct clsa_bench_rate *rates;
    size_t n;
};

static void empty(struct clsa_cache_sink *sink)
{
    sink->n_fetch = sink->n_write = 0;
}

static void look_up(struct bench *b, struct clsa_cache *cache, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += BATCH) {
        clsa_cache_access(cache, b->requests + i, n - i < BATCH ? (size_t)(n - i) : BATCH, false,
                          &b->sink);
        empty(&b->sink);
    }
}

static void add(struct bench *b, const char *name, const char *unit, double rate, double against)
{
    b->rates[b->n++] = (struct clsa_bench_rate){name, unit, rate, against};
}

/* Single lines of `row_lines` neighbours at random places of a pool. */
static void gathers(struct bench *b, const char *name, uint64_t pool_bytes, uint64_t row_lines)
{
    const uint64_t rows = pool_bytes / l2.line_bytes / row_lines;
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 1);
    for (uint64_t i = 0; i < REQUESTS; i += row_lines) {
        const uint64_t first = clsa_rng_below(&rng, rows) * row_lines;
        for (uint64_t j = 0; j < row_lines; j++)
            b->requests[i + j] = (struct clsa_line_request){first + j, 15};
    }
    double best = 0;
    const uint64_t start = clsa_now_ns();
    do {
        const uint64_t t = clsa_now_ns();
        look_up(b, b->cache, REQUESTS);
        const double rate = (double)REQUESTS * 1e9 / (double)(clsa_now_ns() - t + 1);
        best = rate > best ? rate : best;
    } while ((double)(clsa_now_ns() - start) < b->seconds * 1e9);
    add(b, name, "lines/s", best, 0);
}

/* A stream in bulk and the same lines one by one on a twin. Later rounds move on by the whole
 * stream. */
static int stream(struct bench *b, const char *name, uint64_t bytes, struct clsa_err *err)
{
    const uint64_t lines = bytes / l2.line_bytes;
    double bulk = 0, single = 0;
    uint64_t first = 0;
    clsa_cache_reset(b->cache);
    clsa_cache_reset(b->twin);
    const uint64_t start = clsa_now_ns();
    do {
        uint64_t t = clsa_now_ns();
        clsa_cache_stream(b->cache, first, lines, false, &b->sink);
        empty(&b->sink);
        double rate = (double)lines * 1e9 / (double)(clsa_now_ns() - t + 1);
        bulk = rate > bulk ? rate : bulk;
        uint64_t spent = 0;
        for (uint64_t i = 0; i < lines; i += REQUESTS) {
            const uint64_t n = lines - i < REQUESTS ? lines - i : REQUESTS;
            for (uint64_t j = 0; j < n; j++)
                b->requests[j] = (struct clsa_line_request){first + i + j, 15};
            t = clsa_now_ns();
            look_up(b, b->twin, n);
            spent += clsa_now_ns() - t;
        }
        rate = (double)lines * 1e9 / (double)(spent + 1);
        single = rate > single ? rate : single;
        first += lines;
    } while ((double)(clsa_now_ns() - start) < b->seconds * 1e9);
    if (memcmp(clsa_cache_counts(b->cache), clsa_cache_counts(b->twin),
               sizeof(struct clsa_cache_counters)) != 0 ||
        clsa_cache_digest(b->cache) != clsa_cache_digest(b->twin))
        return clsa_fail(err, CLSA_EMISMATCH, "%s: bulk and single lookups differ", name);
    add(b, name, "lines/s", bulk, single);
    return 0;
}

static void requests(struct bench *b, const char *name, uint32_t row_bytes)
{
    const uint64_t n = 200000;
    struct clsa_rng rng;
    double best = 0;
    clsa_rng_seed(&rng, row_bytes);
    clsa_dram_reset(b->dram);
    const uint64_t start = clsa_now_ns();
    do {
        const uint64_t before = clsa_dram_counts(b->dram)->requests, t = clsa_now_ns();
        for (uint64_t i = 0; i < n; i++)
            clsa_dram_access(b->dram, clsa_rng_below(&rng, POOL_BYTES / row_bytes) * row_bytes,
                             row_bytes, false);
        clsa_dram_finish(b->dram);
        const double done = (double)(clsa_dram_counts(b->dram)->requests - before);
        const double rate = done * 1e9 / (double)(clsa_now_ns() - t + 1);
        best = rate > best ? rate : best;
    } while ((double)(clsa_now_ns() - start) < b->seconds * 1e9);
    add(b, name, "requests/s", best, 0);
}

int clsa_bench_replay(double seconds, struct clsa_bench_rate *rates, size_t *n,
                      struct clsa_err *err)
{
    struct bench b = {.seconds = seconds, .rates = rates};
    int status;
    b.requests = clsa_malloc(REQUESTS, sizeof *b.requests);
    status = b.requests ? 0 : clsa_fail(err, CLSA_ENOMEM, "no memory for lookups");
    if (status || (status = clsa_cache_create(&l2, &b.cache, err)) != 0 ||
        (status = clsa_cache_create(&l2, &b.twin, err)) != 0 ||
        (status = clsa_cache_sink_create(l2.size_bytes / l2.line_bytes, BATCH, &b.sink, err)) !=
            0 ||
        (status = clsa_dram_create(&hbm3, &b.dram, err)) != 0)
        goto done;
    gathers(&b, "gather, 128 B rows from 8 GiB", POOL_BYTES, 1);
    gathers(&b, "gather, 2 KiB rows from 8 GiB", POOL_BYTES, 16);
    gathers(&b, "gather, 128 B rows from 24 MiB", RESIDENT_BYTES, 1);
    if ((status = stream(&b, "stream, 1 GiB", UINT64_C(1) << 30, err)) != 0 ||
        (status = stream(&b, "stream, 100 MiB", UINT64_C(100) << 20, err)) != 0)
        goto done;
    requests(&b, "DRAM, random 64 B", 64);
    requests(&b, "DRAM, random 1 KiB", 1024);
    *n = b.n;
done:
    clsa_dram_destroy(b.dram);
    clsa_cache_sink_destroy(&b.sink);
    clsa_cache_destroy(b.twin);
    clsa_cache_destroy(b.cache);
    free(b.requests);
    return status;
}
