/* One access pattern in two forms: done for real (cachegrind counts its misses) or fed to our
 * caches.
 *
 *   cachegrind_walk run       does it
 *   cachegrind_walk rest      everything else such a process does: the part to subtract
 *   cachegrind_walk simulate  prints "first-level misses, last-level misses" of hwmodels/cache.c
 *
 * The pattern is sparse decode in small: rounds of an index scan, a gather of rows of 576 bytes,
 * and a result that is written. Memory lies at a fixed address, so that sets are the same every
 * time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hwmodels/cache.h"
#include "sim/base/rng.h"

#define BASE UINT64_C(0x200000000000)
#define INDEX_BYTES (384u << 10)
#define POOL_BYTES (8u << 20)
#define RESULT_BYTES (16u << 10)
#define ROW_BYTES 576u
#define ROUNDS 12
#define ROWS 2048
#define LINE 64u

struct level {
    struct clsa_cache *cache;
    struct clsa_cache_sink sink;
};

struct walker {
    struct level first, last;
    int simulate;
    uint64_t sum;
};

static void touch(struct walker *w, uint64_t address, int write)
{
    if (!w->simulate) {
        volatile uint64_t *p = (volatile uint64_t *)(uintptr_t)address;
        if (write)
            *p = w->sum;
        else
            w->sum += *p;
        return;
    }
    const struct clsa_line_request r = {address / LINE, 1};
    clsa_cache_access(w->first.cache, &r, 1, write, &w->first.sink);
    /* write-backs go below without a lookup, as cachegrind has it */
    if (w->first.sink.n_fetch)
        clsa_cache_access(w->last.cache, &r, 1, write, &w->last.sink);
    w->first.sink.n_fetch = w->first.sink.n_write = 0;
    w->last.sink.n_fetch = w->last.sink.n_write = 0;
}

static void walk(struct walker *w)
{
    const uint64_t pool = BASE + INDEX_BYTES, result = pool + POOL_BYTES;
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 1);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t at = 0; at < INDEX_BYTES; at += 32)
            touch(w, BASE + at, 0);
        for (int r = 0; r < ROWS; r++) {
            const uint64_t row = pool + clsa_rng_below(&rng, POOL_BYTES / ROW_BYTES) * ROW_BYTES;
            for (uint64_t at = 0; at < ROW_BYTES; at += 32)
                touch(w, row + at, 0);
        }
        for (uint64_t at = 0; at < RESULT_BYTES; at += 8)
            touch(w, result + at, 1);
    }
}

static int make_level(struct level *l, uint64_t bytes, uint32_t ways)
{
    const struct clsa_cache_config config = {.size_bytes = bytes,
                                             .line_bytes = LINE,
                                             .sector_bytes = LINE,
                                             .ways = ways,
                                             .write_fetch = true};
    struct clsa_err err;
    if (clsa_cache_create(&config, &l->cache, &err) ||
        clsa_cache_sink_create(bytes / LINE, 1, &l->sink, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return 0;
}

/* Geometry as given to cachegrind: cachegrind_walk simulate BYTES WAYS BYTES WAYS. */
int main(int argc, char **argv)
{
    struct walker w = {.sum = 0};
    if (argc < 2)
        return 2;
    if (strcmp(argv[1], "simulate") == 0 && argc == 6) {
        w.simulate = 1;
        if (make_level(&w.first, strtoull(argv[2], NULL, 10), (uint32_t)atoi(argv[3])) ||
            make_level(&w.last, strtoull(argv[4], NULL, 10), (uint32_t)atoi(argv[5])))
            return 1;
        walk(&w);
        const struct clsa_cache_counters *a = clsa_cache_counts(w.first.cache);
        const struct clsa_cache_counters *b = clsa_cache_counts(w.last.cache);
        printf("%" PRIu64 " %" PRIu64 "\n", a->lookups - a->line_hits, b->lookups - b->line_hits);
        clsa_cache_destroy(w.first.cache);
        clsa_cache_destroy(w.last.cache);
        clsa_cache_sink_destroy(&w.first.sink);
        clsa_cache_sink_destroy(&w.last.sink);
        return 0;
    }
    const size_t bytes = INDEX_BYTES + POOL_BYTES + RESULT_BYTES;
    if (mmap((void *)(uintptr_t)BASE, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)(uintptr_t)BASE)
        return 77;
    if (strcmp(argv[1], "run") == 0)
        walk(&w);
    return w.sum != 0; /* fresh memory reads 0 */
}
