/* hwmodels/cache, hwmodels/tlb: exact hits and misses on machines small enough to draw. */
#include "tests/unit/test.h"

#include <string.h>

#include "hwmodels/cache.h"
#include "hwmodels/cache_lanes.h"
#include "sim/base/alloc.h"
#include "sim/base/rng.h"

static struct clsa_cache *make(struct clsa_cache_config config)
{
    struct clsa_cache *c = NULL;
    struct clsa_err err;
    ck_assert_msg(clsa_cache_create(&config, &c, &err) == 0, "%s", err.text);
    return c;
}

static struct clsa_cache_sink sink_for(uint64_t lines, size_t requests)
{
    struct clsa_cache_sink sink;
    ck_assert_int_eq(clsa_cache_sink_create(lines, requests, &sink, NULL), 0);
    return sink;
}

static void one(struct clsa_cache *c, uint64_t line, uint32_t sectors, bool write,
                struct clsa_cache_sink *sink)
{
    const struct clsa_line_request r = {line, sectors};
    sink->n_fetch = sink->n_write = 0;
    clsa_cache_access(c, &r, 1, write, sink);
}

/* ---- toy machines ---- */

START_TEST(two_sets_of_two_ways)
{
    /* 4 lines of 64 B: even lines in set 0, odd ones in set 1. Sets are drawn [recent, old]. */
    struct clsa_cache *c = make((struct clsa_cache_config){
        .size_bytes = 256, .line_bytes = 64, .sector_bytes = 64, .ways = 2});
    struct clsa_cache_sink sink = sink_for(4, 1);
    ck_assert_uint_eq(clsa_cache_sets(c), 2);
    static const struct {
        uint64_t line;
        bool hit;
    } steps[] = {
        {0, false}, /* [0, -] [-, -] */
        {1, false}, /* [0, -] [1, -] */
        {2, false}, /* [2, 0] [1, -] */
        {0, true},  /* [0, 2] [1, -] */
        {4, false}, /* [4, 0] [1, -]  2 was the older */
        {0, true},  /* [0, 4] [1, -] */
        {2, false}, /* [2, 0] [1, -]  4 goes */
        {1, true},  /* [2, 0] [1, -] */
        {4, false}, /* [4, 2] [1, -]  0 goes */
        {0, false}, /* [0, 4] [1, -]  2 goes */
        {4, true},  /* [4, 0] [1, -] */
    };
    uint64_t hits = 0, evictions = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        one(c, steps[i].line, 1, false, &sink);
        hits += steps[i].hit;
        ck_assert_uint_eq(clsa_cache_counts(c)->line_hits, hits);
        ck_assert_uint_eq(sink.n_fetch, !steps[i].hit);
        ck_assert(steps[i].hit || sink.fetch[0].line == steps[i].line);
    }
    evictions = clsa_cache_counts(c)->evictions;
    ck_assert_uint_eq(evictions, 4);
    uint64_t lines[2];
    ck_assert_uint_eq(clsa_cache_set_lines(c, 0, lines), 2);
    ck_assert_uint_eq(lines[0], 4);
    ck_assert_uint_eq(lines[1], 0);
    ck_assert_uint_eq(clsa_cache_set_lines(c, 1, lines), 1);
    ck_assert_uint_eq(lines[0], 1);
    clsa_cache_sink_destroy(&sink);
    clsa_cache_destroy(c);
}
END_TEST

START_TEST(sectors_are_fetched_one_by_one)
{
    /* One set, one way, 128 B in four 32 B sectors. State drawn as valid|dirty masks. */
    struct clsa_cache *c = make((struct clsa_cache_config){
        .size_bytes = 128, .line_bytes = 128, .sector_bytes = 32, .ways = 1});
    struct clsa_cache_sink sink = sink_for(1, 1);
    uint32_t valid, dirty;
    one(c, 7, 0x3, false, &sink); /* line 7: 0011|0000 */
    ck_assert_uint_eq(sink.fetch[0].sectors, 0x3);
    one(c, 7, 0x6, false, &sink); /* line 7: 0111|0000, only sector 2 was missing */
    ck_assert_uint_eq(sink.n_fetch, 1);
    ck_assert_uint_eq(sink.fetch[0].sectors, 0x4);
    one(c, 7, 0x8, true, &sink); /* line 7: 1111|1000, a whole sector written needs no fetch */
    ck_assert_uint_eq(sink.n_fetch, 0);
    ck_assert(clsa_cache_probe(c, 7, &valid, &dirty));
    ck_assert_uint_eq(valid, 0xf);
    ck_assert_uint_eq(dirty, 0x8);
    one(c, 9, 0x1, false, &sink); /* line 9: 0001|0000, the dirty sector of 7 is written back */
    ck_assert_uint_eq(sink.n_write, 1);
    ck_assert_uint_eq(sink.write[0].line, 7);
    ck_assert_uint_eq(sink.write[0].sectors, 0x8);
    const struct clsa_cache_counters *n = clsa_cache_counts(c);
    ck_assert_uint_eq(n->lookups, 4);
    ck_assert_uint_eq(n->sectors, 6);
    ck_assert_uint_eq(n->sector_hits, 1);
    ck_assert_uint_eq(n->fetched_sectors, 4);
    ck_assert_uint_eq(n->written_sectors, 1);
    clsa_cache_sink_destroy(&sink);
    clsa_cache_destroy(c);
}
END_TEST

START_TEST(write_policies)
{
    struct clsa_cache_config base = {
        .size_bytes = 128, .line_bytes = 64, .sector_bytes = 64, .ways = 2};
    struct clsa_cache_sink sink = sink_for(2, 4);
    uint32_t valid, dirty;

    struct clsa_cache_config config = base; /* write-back, allocate, fetch: a CPU */
    config.write_fetch = true;
    struct clsa_cache *c = make(config);
    one(c, 1, 1, true, &sink);
    ck_assert_uint_eq(sink.n_fetch, 1);
    ck_assert_uint_eq(sink.n_write, 0);
    one(c, 2, 1, false, &sink);
    one(c, 3, 1, false, &sink);
    ck_assert_uint_eq(sink.n_write, 1);
    ck_assert_uint_eq(sink.write[0].line, 1);
    clsa_cache_destroy(c);

    config = base; /* write-through and around: a GPU's L1 */
    config.write_through = config.write_around = true;
    c = make(config);
    one(c, 1, 1, true, &sink);
    ck_assert_uint_eq(sink.n_write, 1);
    ck_assert(!clsa_cache_probe(c, 1, &valid, &dirty));
    one(c, 1, 1, false, &sink);
    one(c, 1, 1, true, &sink);
    ck_assert_uint_eq(sink.n_write, 1);
    ck_assert(clsa_cache_probe(c, 1, &valid, &dirty));
    ck_assert_uint_eq(dirty, 0);
    clsa_cache_destroy(c);

    config = base; /* write-back but around */
    config.write_around = true;
    c = make(config);
    one(c, 1, 1, true, &sink);
    ck_assert_uint_eq(sink.n_write, 1);
    one(c, 1, 1, false, &sink);
    one(c, 1, 1, true, &sink);
    ck_assert_uint_eq(sink.n_write, 0);
    ck_assert(clsa_cache_probe(c, 1, &valid, &dirty));
    ck_assert_uint_eq(dirty, 1);
    clsa_cache_destroy(c);
    clsa_cache_sink_destroy(&sink);
}
END_TEST

START_TEST(geometry_errors_are_named)
{
    static const struct clsa_cache_config bad[] = {
        {.size_bytes = 1024, .line_bytes = 48, .sector_bytes = 16, .ways = 1},
        {.size_bytes = 1024, .line_bytes = 128, .sector_bytes = 16, .ways = 1},
        {.size_bytes = 1024, .line_bytes = 64, .sector_bytes = 128, .ways = 1},
        {.size_bytes = 1024, .line_bytes = 64, .sector_bytes = 0, .ways = 1},
        {.size_bytes = 1024, .line_bytes = 64, .sector_bytes = 64, .ways = 0},
        {.size_bytes = 1 << 20, .line_bytes = 64, .sector_bytes = 64, .ways = 65},
        {.size_bytes = 100, .line_bytes = 64, .sector_bytes = 64, .ways = 2},
        {.size_bytes = UINT64_MAX, .line_bytes = 64, .sector_bytes = 64, .ways = 1},
    };
    struct clsa_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct clsa_cache *c = NULL;
        err.text[0] = 0;
        ck_assert_int_eq(clsa_cache_create(&bad[i], &c, &err), CLSA_ERANGE);
        ck_assert_ptr_null(c);
        ck_assert(err.text[0]);
    }
    const struct clsa_cache_config good = {
        .size_bytes = 1 << 16, .line_bytes = 64, .sector_bytes = 64, .ways = 4};
    for (unsigned long n = 1; n < 10; n++) {
        struct clsa_cache *c = NULL;
        clsa_alloc_fail_at(n);
        const int status = clsa_cache_create(&good, &c, &err);
        clsa_alloc_fail_at(0);
        clsa_cache_destroy(c);
        if (status == 0)
            return;
        ck_assert_int_eq(status, CLSA_ENOMEM);
    }
    ck_abort_msg("creation never succeeded");
}
END_TEST

/* ---- laws of LRU ---- */

/* Sets of every kind: power of two, odd, 25 * 2^b; hashed or not; ways across one and more
 * groups. */
static const struct clsa_cache_config shapes[] = {
    {.size_bytes = 64 * 1024, .line_bytes = 128, .sector_bytes = 32, .ways = 16},
    {.size_bytes = 64 * 1024, .line_bytes = 128, .sector_bytes = 32, .ways = 16, .hashed = true},
    {.size_bytes = 200 * 1024, .line_bytes = 128, .sector_bytes = 32, .ways = 16, .hashed = true},
    {.size_bytes = 7 * 5 * 64, .line_bytes = 64, .sector_bytes = 64, .ways = 5},
    {.size_bytes = 48 * 3 * 128, .line_bytes = 128, .sector_bytes = 64, .ways = 3, .hashed = true},
    {.size_bytes = 20 * 24 * 64, .line_bytes = 64, .sector_bytes = 32, .ways = 20},
    {.size_bytes = 64 * 64, .line_bytes = 64, .sector_bytes = 64, .ways = 64},
    {.size_bytes = 64 * 64, .line_bytes = 64, .sector_bytes = 64, .ways = 1, .hashed = true},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

START_TEST(a_line_and_its_set_name_each_other)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct clsa_cache *c = make(shapes[i]);
        const uint32_t sets = clsa_cache_sets(c);
        struct clsa_cache_sink sink = sink_for(shapes[i].size_bytes / shapes[i].line_bytes, 1);
        uint8_t *seen = clsa_calloc(sets, 1);
        ck_assert_ptr_nonnull(seen);
        /* `sets` lines from an aligned start visit every set once, far up the address space too */
        const uint64_t reach = clsa_cache_reach_bytes(c) / shapes[i].line_bytes;
        const uint64_t start = (reach / 2 / sets) * sets;
        for (uint32_t s = 0; s < sets; s++) {
            const uint32_t set = clsa_cache_set_of(c, start + s);
            ck_assert_uint_lt(set, sets);
            ck_assert_uint_eq(seen[set], 0);
            seen[set] = 1;
            uint64_t lines[CLSA_CACHE_WAYS_MAX];
            one(c, start + s, 1, false, &sink);
            ck_assert_uint_eq(clsa_cache_set_lines(c, set, lines), 1);
            ck_assert_uint_eq(lines[0], start + s);
        }
        free(seen);
        clsa_cache_sink_destroy(&sink);
        clsa_cache_destroy(c);
    }
}
END_TEST

START_TEST(cyclic_sweeps_fit_or_never_hit)
{
    for (size_t i = 0; i < SHAPES; i++) {
        const uint64_t lines = shapes[i].size_bytes / shapes[i].line_bytes;
        struct clsa_cache_sink sink = sink_for(lines, 1);
        for (int extra = 0; extra < 2; extra++) {
            /* lines that fill every set: the second pass hits always. One more a set: never, LRU
             * having thrown each line out just before it comes again. */
            struct clsa_cache *c = make(shapes[i]);
            const uint64_t n = lines + (extra ? clsa_cache_sets(c) : 0);
            for (int pass = 0; pass < 3; pass++)
                for (uint64_t line = 0; line < n; line++)
                    one(c, line, 1, false, &sink);
            ck_assert_uint_eq(clsa_cache_counts(c)->line_hits, extra ? 0 : 2 * n);
            clsa_cache_destroy(c);
        }
        clsa_cache_sink_destroy(&sink);
    }
}
END_TEST

START_TEST(more_ways_never_miss_more)
{
    struct clsa_cache_sink sink = sink_for(64 * 64, 1);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t before = UINT64_MAX;
        for (uint32_t ways = 1; ways <= 64; ways += ways < 4 ? 1 : 12) {
            struct clsa_cache *c = make((struct clsa_cache_config){.size_bytes = 24u * 64 * ways,
                                                                   .line_bytes = 64,
                                                                   .sector_bytes = 64,
                                                                   .ways = ways,
                                                                   .hashed = seed & 1});
            struct clsa_rng rng;
            clsa_rng_seed(&rng, seed);
            for (int i = 0; i < 20000; i++) {
                const uint64_t span = clsa_rng_below(&rng, 4) ? 300 : 3000;
                one(c, clsa_rng_below(&rng, span), 1, clsa_rng_below(&rng, 4) == 0, &sink);
            }
            const uint64_t misses = clsa_cache_counts(c)->lookups - clsa_cache_counts(c)->line_hits;
            ck_assert_uint_le(misses, before);
            before = misses;
            clsa_cache_destroy(c);
        }
    }
    clsa_cache_sink_destroy(&sink);
}
END_TEST

/* The specification of one set: lines in the order of their use, moved by hand. */
struct plain_set {
    uint64_t line[CLSA_CACHE_WAYS_MAX];
    uint32_t valid[CLSA_CACHE_WAYS_MAX], dirty[CLSA_CACHE_WAYS_MAX];
    uint32_t n;
};

START_TEST(equals_a_list_kept_by_hand)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (unsigned policy = 0; policy < 8; policy++) {
            struct clsa_cache_config config = shapes[i];
            config.write_through = policy & 1;
            config.write_around = policy & 2;
            config.write_fetch = policy & 4;
            struct clsa_cache *c = make(config);
            const uint32_t all = (1u << (config.line_bytes / config.sector_bytes)) - 1;
            const uint64_t lines = config.size_bytes / config.line_bytes;
            struct clsa_cache_sink sink = sink_for(lines, 1);
            struct plain_set *sets = clsa_calloc(clsa_cache_sets(c), sizeof *sets);
            ck_assert_ptr_nonnull(sets);
            struct clsa_rng rng;
            clsa_rng_seed(&rng, 100 + i);
            for (int step = 0; step < 12000; step++) {
                const uint64_t line = clsa_rng_below(&rng, lines + lines / 2);
                const uint32_t want = 1 + (uint32_t)clsa_rng_below(&rng, all);
                const bool write = clsa_rng_below(&rng, 3) == 0;
                struct plain_set *s = &sets[clsa_cache_set_of(c, line)];
                uint32_t at = 0, fetch = 0, down = 0, evicted = 0;
                uint64_t evicted_line = 0;
                while (at < s->n && s->line[at] != line)
                    at++;
                const bool there = at < s->n;
                uint32_t valid = there ? s->valid[at] : 0, dirty = there ? s->dirty[at] : 0;
                const bool stays = there || !(write && config.write_around);
                if (!write || (config.write_fetch && stays))
                    fetch = want & ~valid;
                if (write && (config.write_through || !stays))
                    down = want;
                if (stays) {
                    if (!there && s->n == config.ways) {
                        at = --s->n;
                        evicted = s->dirty[at];
                        evicted_line = s->line[at];
                    }
                    if (!there)
                        at = s->n++;
                    memmove(s->line + 1, s->line, at * sizeof *s->line);
                    memmove(s->valid + 1, s->valid, at * sizeof *s->valid);
                    memmove(s->dirty + 1, s->dirty, at * sizeof *s->dirty);
                    s->line[0] = line;
                    s->valid[0] = valid | want;
                    s->dirty[0] = dirty | (write && !config.write_through ? want : 0);
                }
                one(c, line, want, write, &sink);
                ck_assert_uint_eq(sink.n_fetch, fetch != 0);
                ck_assert(!fetch || (sink.fetch[0].line == line && sink.fetch[0].sectors == fetch));
                ck_assert_uint_eq(sink.n_write, (evicted != 0) + (down != 0));
                ck_assert(!evicted ||
                          (sink.write[0].line == evicted_line && sink.write[0].sectors == evicted));
                ck_assert(!down || sink.write[sink.n_write - 1].sectors == down);
            }
            for (uint32_t set = 0; set < clsa_cache_sets(c); set++) {
                uint64_t held[CLSA_CACHE_WAYS_MAX];
                ck_assert_uint_eq(clsa_cache_set_lines(c, set, held), sets[set].n);
                ck_assert_mem_eq(held, sets[set].line, sets[set].n * sizeof *held);
            }
            free(sets);
            clsa_cache_sink_destroy(&sink);
            clsa_cache_destroy(c);
        }
}
END_TEST

/* ---- streams in bulk ---- */

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Runs as (line, sectors) numbers, one a line, sorted where asked, so that differently cut lists
 * compare equal. */
static size_t spread(const struct clsa_line_run *runs, size_t n, bool sort, uint64_t *out)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < runs[i].count; j++)
            out[k++] = (runs[i].line + j) << CLSA_SECTORS_MAX | runs[i].sectors;
    if (sort)
        qsort(out, k, sizeof *out, ascending);
    return k;
}

START_TEST(streams_equal_line_by_line)
{
    enum { ROOM = 40000 };
    uint64_t *a = clsa_calloc(ROOM, sizeof *a), *b = clsa_calloc(ROOM, sizeof *b);
    struct clsa_line_request *single = clsa_calloc(ROOM, sizeof *single);
    struct clsa_cache_sink sa = sink_for(2048, ROOM), sb = sink_for(2048, ROOM);
    ck_assert(a && b && single);
    for (size_t i = 0; i < SHAPES; i++)
        for (unsigned policy = 0; policy < 8; policy++) {
            struct clsa_cache_config config = shapes[i];
            config.write_through = policy & 1;
            config.write_around = policy & 2;
            config.write_fetch = policy & 4;
            const uint32_t all = (1u << (config.line_bytes / config.sector_bytes)) - 1;
            const uint64_t lines = config.size_bytes / config.line_bytes;
            struct clsa_cache *bulk = make(config), *plain = make(config);
            struct clsa_rng rng;
            clsa_rng_seed(&rng, 7 * i + policy);
            const uint64_t pool = 4 * lines + 50;
            for (int step = 0; step < 60; step++) {
                const bool write = clsa_rng_below(&rng, 3) == 0;
                const uint64_t first = clsa_rng_below(&rng, pool);
                uint64_t n;
                if (clsa_rng_below(&rng, 3) == 0) { /* a burst of single sectors in between */
                    n = clsa_rng_below(&rng, 200);
                    for (uint64_t j = 0; j < n; j++)
                        single[j] = (struct clsa_line_request){
                            clsa_rng_below(&rng, pool), 1 + (uint32_t)clsa_rng_below(&rng, all)};
                    clsa_cache_access(bulk, single, n, write, &sa);
                } else {
                    static const unsigned scale[] = {1, 4, 8, 24, 60};
                    n = clsa_rng_below(&rng, 1 + lines * scale[clsa_rng_below(&rng, 5)] / 8);
                    if (clsa_rng_below(&rng, 4) == 0) /* whole sweeps, aligned */
                        n -= n % clsa_cache_sets(bulk);
                    for (uint64_t j = 0; j < n; j++)
                        single[j] = (struct clsa_line_request){first + j, all};
                    clsa_cache_stream(bulk, first, n, write, &sa);
                }
                clsa_cache_access(plain, single, n, write, &sb);
                ck_assert_mem_eq(clsa_cache_counts(bulk), clsa_cache_counts(plain),
                                 sizeof(struct clsa_cache_counters));
                ck_assert_uint_eq(clsa_cache_digest(bulk), clsa_cache_digest(plain));
                size_t na = spread(sa.fetch, sa.n_fetch, false, a);
                size_t nb = spread(sb.fetch, sb.n_fetch, false, b);
                ck_assert_uint_eq(na, nb);
                ck_assert_mem_eq(a, b, na * sizeof *a);
                na = spread(sa.write, sa.n_write, true, a);
                nb = spread(sb.write, sb.n_write, true, b);
                ck_assert_uint_eq(na, nb);
                ck_assert_mem_eq(a, b, na * sizeof *a);
                sa.n_fetch = sa.n_write = sb.n_fetch = sb.n_write = 0;
            }
            clsa_cache_destroy(bulk);
            clsa_cache_destroy(plain);
        }
    clsa_cache_sink_destroy(&sa);
    clsa_cache_sink_destroy(&sb);
    free(a);
    free(b);
    free(single);
}
END_TEST

#ifdef __SSE2__
START_TEST(vector_lanes_equal_plain_ones)
{
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        _Alignas(16) uint32_t tags[2][CLSA_LANES];
        _Alignas(16) uint8_t ages[2][CLSA_LANES], flags[2][CLSA_LANES];
        const uint8_t ways = (uint8_t)(1 + clsa_rng_below(&rng, 64));
        /* around 0, around 2^31 and around 2^32, where signed compares would go wrong */
        const uint32_t near = (uint32_t)clsa_rng_below(&rng, 4) << 30;
        for (int w = 0; w < CLSA_LANES; w++) {
            tags[0][w] = tags[1][w] = near + (uint32_t)clsa_rng_below(&rng, 40) - 20;
            ages[0][w] = ages[1][w] =
                clsa_rng_below(&rng, 8) == 0 ? CLSA_AGE_PAD : (uint8_t)clsa_rng_below(&rng, ways);
            flags[0][w] = flags[1][w] = (uint8_t)clsa_rng_below(&rng, 256);
        }
        const uint32_t tag = near + (uint32_t)clsa_rng_below(&rng, 40) - 20;
        const uint32_t count = 1 + (uint32_t)clsa_rng_below(&rng, 1u << clsa_rng_below(&rng, 31));
        const uint8_t age = (uint8_t)clsa_rng_below(&rng, ways);
        const uint8_t turn = (uint8_t)clsa_rng_below(&rng, ways);
        const uint8_t fresh = (uint8_t)clsa_rng_below(&rng, 256);
        ck_assert_uint_eq(clsa_sse2_match(tags[0], tag), clsa_plain_match(tags[0], tag));
        ck_assert_uint_eq(clsa_sse2_range(tags[0], tag, count),
                          clsa_plain_range(tags[0], tag, count));
        ck_assert_uint_eq(clsa_sse2_aged(ages[0], age), clsa_plain_aged(ages[0], age));
        ck_assert_uint_eq(clsa_sse2_older(ages[0], age), clsa_plain_older(ages[0], age));
        ck_assert_uint_eq(clsa_sse2_any(flags[0], fresh), clsa_plain_any(flags[0], fresh));
        ck_assert_uint_eq(clsa_sse2_all(flags[0], fresh), clsa_plain_all(flags[0], fresh));
        const unsigned there = clsa_plain_range(tags[0], tag, 16);
        if (there) {
            clsa_sse2_rewarm(tags[0], ages[0], tag, there);
            clsa_plain_rewarm(tags[1], ages[1], tag, there);
            ck_assert_mem_eq(ages[0], ages[1], sizeof ages[0]);
            for (int w = 0; w < CLSA_LANES;
                 w++) /* tags drawn twice make ages that no set can hold */
                if (ages[0][w] != CLSA_AGE_PAD)
                    ages[0][w] = ages[1][w] = ages[0][w] % ways;
        }
        clsa_sse2_push(ages[0], age);
        clsa_plain_push(ages[1], age);
        ck_assert_mem_eq(ages[0], ages[1], sizeof ages[0]);
        for (int w = 0; w < CLSA_LANES; w++) /* a push may make an age that no set can hold */
            if (ages[0][w] != CLSA_AGE_PAD)
                ages[0][w] = ages[1][w] = ages[0][w] % ways;
        clsa_sse2_turn(tags[0], ages[0], flags[0], ways, turn, age, tag, fresh);
        clsa_plain_turn(tags[1], ages[1], flags[1], ways, turn, age, tag, fresh);
        ck_assert_mem_eq(tags[0], tags[1], sizeof tags[0]);
        ck_assert_mem_eq(ages[0], ages[1], sizeof ages[0]);
        ck_assert_mem_eq(flags[0], flags[1], sizeof flags[0]);
    }
}
END_TEST
#endif

static Suite *suite(void)
{
    Suite *s = suite_create("cache");
    TCase *toy = tcase_create("toy machines");
    tcase_add_test(toy, two_sets_of_two_ways);
    tcase_add_test(toy, sectors_are_fetched_one_by_one);
    tcase_add_test(toy, write_policies);
    tcase_add_test(toy, geometry_errors_are_named);
    suite_add_tcase(s, toy);
    TCase *laws = tcase_create("laws");
    tcase_set_timeout(laws, 60);
    tcase_add_test(laws, a_line_and_its_set_name_each_other);
    tcase_add_test(laws, cyclic_sweeps_fit_or_never_hit);
    tcase_add_test(laws, more_ways_never_miss_more);
    tcase_add_test(laws, equals_a_list_kept_by_hand);
    tcase_add_test(laws, streams_equal_line_by_line);
#ifdef __SSE2__
    tcase_add_test(laws, vector_lanes_equal_plain_ones);
#endif
    suite_add_tcase(s, laws);
    return s;
}

CLSA_TEST_MAIN(suite)
