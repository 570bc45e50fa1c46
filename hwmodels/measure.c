#include "hwmodels/measure.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "hwmodels/cpu.h"
#include "hwmodels/measure_bench.h"
#include "hwmodels/measure_kernels.h"
#include "sim/base/alloc.h"
#include "sim/base/log.h"

/* Everything is measured in rounds: as many as end by then, but at least one. */
#define ROUNDS_NS UINT64_C(50000000000)
/* Few samples of what lay idle, since each waits. */
#define AGAIN_SAMPLES 25
#define AGAIN_SAMPLES_LONG 9

/* ---- what the operating system says ---- */

static void say(struct clsa_bench *b, const char *what, double value, const char *unit)
{
    clsa_bench_add(b, &(struct clsa_measured){.what = what, .value = value, .fastest = value, .usual = value,
                                       .unit = unit});
}

static void ask_system(struct clsa_bench *b)
{
    say(b, "size_l1", clsa_host_cache(1, "size", _SC_LEVEL1_DCACHE_SIZE), "B");
    say(b, "size_l2", clsa_host_cache(2, "size", _SC_LEVEL2_CACHE_SIZE), "B");
    const double last = clsa_host_cache(3, "size", _SC_LEVEL3_CACHE_SIZE);
    say(b, "size_l3", last, "B");
    b->last_bytes = (uint64_t)last;
    say(b, "sharers_l3", clsa_host_sharers(), "-");
    say(b, "line", clsa_host_cache(2, "coherency_line_size", _SC_LEVEL2_CACHE_LINESIZE), "B");
    say(b, "ways_l1", clsa_host_cache(1, "ways_of_associativity", _SC_LEVEL1_DCACHE_ASSOC), "-");
    say(b, "ways_l2", clsa_host_cache(2, "ways_of_associativity", _SC_LEVEL2_CACHE_ASSOC), "-");
    say(b, "ways_l3", clsa_host_cache(3, "ways_of_associativity", _SC_LEVEL3_CACHE_ASSOC), "-");
    say(b, "memory", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), "B");
    say(b, "huge_pages", clsa_host_huge_pages(), "-");
    say(b, "golden_cove", clsa_host_golden_cove(), "-");
    uint32_t entries = 0, walkers = 0;
    if (clsa_host_translation(&entries, &walkers)) {
        say(b, "tlb_entries", entries, "-");
        say(b, "tlb_walkers", walkers, "-");
    }
}

/* ---- all of it ---- */

/* What one thread and all threads do, one after the other. */
static void measure_core(struct clsa_bench *b)
{
    const uint32_t both[] = {1, b->threads};
    clsa_bench_call(b);
    for (int i = 0; i < (b->threads > 1 ? 2 : 1) && !b->status; i++) {
        clsa_bench_clock(b, both[i]);
        for (int kind = CLSA_BENCH_FMA; kind <= CLSA_BENCH_MIXED; kind++)
            clsa_bench_arithmetic(b, both[i], (enum clsa_bench_arithmetic_kind)kind);
        clsa_bench_fork_join(b, both[i]);
        if (both[i] > 1 && !b->status)
            clsa_bench_handed(b, both[i]);
    }
}

/* Memory of its own for what all threads read, as far as there is some: a last cache may keep in place what several cores
 * have read and move what one has (Intel's since Skylake do, and stream the former a quarter faster). */
static struct clsa_area apart(const struct clsa_area *area, uint64_t bytes)
{
    struct clsa_area a = *area;
    if (bytes <= a.bytes / 2)
        a.base += a.bytes / 2 / CLSA_PAGE_HUGE * CLSA_PAGE_HUGE;
    a.bytes = bytes;
    return a;
}

/* Latency and streams over footprints inside and around the caches, in huge pages. */
static void measure_caches(struct clsa_bench *b, const struct clsa_area *huge)
{
    static const uint64_t kib[] = {16,   256,   512,   1024,  2048,  3072,  4096,  6144,  8192,
                                   12288, 16384, 24576, 32768, 49152, 65536, 98304, 131072};
    static const uint64_t reads[] = {16,   256,  512,   1024,  1280,  1536,  2048,  2560,  3072,   4096,
                                     8192, 16384, 24576, 32768, 49152, 65536, 81920, 98304, 131072, 196608};
    struct clsa_area a = *huge;
    for (size_t i = 0; i < sizeof kib / sizeof *kib && !b->status; i++)
        if ((a.bytes = kib[i] << 10) <= huge->bytes)
            clsa_bench_latency(b, &a);
    for (size_t i = 0; i < sizeof reads / sizeof *reads && !b->status; i++)
        for (int all = 0; all < (b->threads > 1 ? 2 : 1); all++) {
            const uint64_t bytes = (reads[i] << 10) * (all ? b->threads : 1);
            const uint32_t threads = all ? b->threads : 1;
            a = all ? apart(huge, bytes) : *huge;
            /* In halves: what all read, and what one does. */
            struct clsa_area other = {.base = all ? huge->base : apart(huge, bytes).base, .bytes = 2 * b->last_bytes};
            if (bytes > huge->bytes || b->status)
                continue;
            if (clsa_bench_settles(b, bytes) && other.bytes <= huge->bytes / 2)
                clsa_bench_unsettled(b, &a, &other, reads[i] << 10, threads);
            if (!b->status)
                clsa_bench_read(b, &a, reads[i] << 10, threads);
        }
    a = *huge;
    a.bytes = CLSA_PROBE_IDLE_BYTES < huge->bytes ? CLSA_PROBE_IDLE_BYTES : huge->bytes;
    if (!b->status)
        clsa_bench_again(b, &a, 1, 0, AGAIN_SAMPLES);
    for (int i = 0; i < CLSA_PROBE_IDLES && !b->status; i++)
        clsa_bench_again(b, &a, 1, clsa_probe_idle_us[i], i ? AGAIN_SAMPLES_LONG : AGAIN_SAMPLES);
}

/* Parts of the last cache: one that most of what is read once outlives, and one that little does. */
static void measure_once(struct clsa_bench *b, const struct clsa_area *huge)
{
    for (uint64_t part = 16; part >= 8 && !b->status; part /= 2) {
        const uint64_t once = b->last_bytes / part / CLSA_ONCE_PART / 512 * 512;
        struct clsa_area a = *huge;
        a.bytes = once * (1 + CLSA_ONCE_PART);
        if (once && a.bytes <= huge->bytes)
            clsa_bench_once(b, &a, once);
    }
}

/* Rows at random places of `bytes`, through which one thread has wandered, prefetched or not, of it and of all. */
static void measure_rows(struct clsa_bench *b, const struct clsa_area *area, uint64_t bytes, const uint64_t *sizes,
                         size_t n)
{
    struct clsa_area one = *area, all = apart(area, bytes);
    one.bytes = bytes;
    for (int fetch = 0; fetch < 2 && !b->status; fetch++)
        clsa_bench_gathers(b, &one, sizes, n, 1, fetch);
    if (b->threads > 1 && all.base != one.base)
        clsa_bench_wander(b, &all);
    for (int fetch = 0; fetch < 2 && !b->status && b->threads > 1; fetch++)
        clsa_bench_gathers(b, &all, sizes, n, b->threads, fetch);
}

/* One footprint of an area: latency, rows of all sizes, and streams, of one thread and of all. */
static void measure_memory(struct clsa_bench *b, const struct clsa_area *area, uint64_t bytes)
{
    /* What a size costs goes up and down with its number of lines: how long the loop over them is decides what
     * prefetches and branch predictions make of it. */
    static const uint64_t rows[] = {64, 128, 256, 512, 768, 1024, 2048, 3072, 4096};
    /* Streams want a footprint beyond every cache, or the largest that there may be. */
    const bool large = bytes >= 256u << 20 || bytes * 8 > b->memory_bytes;
    const bool all = large && b->threads > 1;
    struct clsa_area a = *area;
    a.bytes = bytes;
    clsa_bench_wander(b, &a);
    clsa_bench_latency(b, &a);
    if (!b->status)
        measure_rows(b, area, bytes, rows, sizeof rows / sizeof *rows);
    if (!b->status && large) {
        const uint64_t most = bytes / b->threads / 512 * 512;
        clsa_bench_read(b, &a, bytes, 1);
        if (all && !b->status)
            clsa_bench_read(b, &a, most, b->threads);
        if (all && !b->status && a.page == CLSA_PAGE_HUGE)
            clsa_bench_loaded(b, &a);
    }
}

/* One footprint to hold the rest against. */
static void measure_held(struct clsa_bench *b, const struct clsa_area *area, uint64_t bytes)
{
    static const uint64_t rows[] = {64, 192, 768, 3072, 4096};
    struct clsa_area a = *area;
    a.bytes = bytes;
    clsa_bench_wander(b, &a);
    measure_rows(b, area, bytes, rows, sizeof rows / sizeof *rows);
}

static void report(const struct clsa_measure_options *o, uint64_t begin)
{
    const uint64_t elapsed = clsa_now_ns() - begin;
    if (o->progress)
        o->progress(o->user, (uint32_t)((elapsed < ROUNDS_NS ? elapsed : ROUNDS_NS) / 1000000000),
                    (uint32_t)(ROUNDS_NS / 1000000000));
}

/* Footprints of gathers: of the machine, closer where caches end, and held out at its ends and between. */
static const struct {
    uint32_t mib;
    bool machine, held;
} footprints[] = {{4, true, true},   {8, true, false},   {12, false, true},    {16, true, false},   {24, false, true},
                  {32, true, false}, {48, false, true},  {64, true, false},    {96, false, true},   {128, true, false},
                  {192, false, true}, {256, true, false}, {512, false, true},   {1024, true, false}, {2048, false, true},
                  {4096, true, true}};

static void measure_round(struct clsa_bench *b, struct clsa_bench *held, const struct clsa_area *pages,
                          const struct clsa_measure_options *o, uint64_t begin)
{
    measure_core(b);
    if (!b->status)
        measure_caches(b, &pages[1]);
    if (!b->status)
        measure_once(b, &pages[1]);
    report(o, begin);
    for (size_t f = 0; f < sizeof footprints / sizeof *footprints; f++)
        for (int huge = 0; huge < 2 && !b->status; huge++) {
            const uint64_t bytes = (uint64_t)footprints[f].mib << 20;
            if (bytes > b->memory_bytes)
                return;
            if (footprints[f].machine)
                measure_memory(b, &pages[huge], bytes);
            if (footprints[f].held && held && !b->status) {
                measure_held(held, &pages[huge], bytes);
                b->status = held->status;
            }
            report(o, begin);
        }
}

static void measure_everything(struct clsa_bench *b, struct clsa_bench *held,
                               const struct clsa_measure_options *o)
{
    const uint64_t begin = clsa_now_ns();
    struct clsa_area pages[2]; /* small, huge */
    ask_system(b);
    if (b->status || !clsa_area_open(b, b->memory_bytes, CLSA_PAGE_SMALL, &pages[0]))
        return;
    if (clsa_area_open(b, b->memory_bytes, CLSA_PAGE_HUGE, &pages[1])) {
        uint64_t longest = 0;
        for (uint32_t round = 0; !b->status; round++) {
            const uint64_t start = clsa_now_ns(), end = start + longest;
            if (o->rounds ? round == o->rounds : round && end > begin + ROUNDS_NS)
                break;
            measure_round(b, held, pages, o, begin);
            longest = clsa_now_ns() - start > longest ? clsa_now_ns() - start : longest;
        }
        clsa_area_close(&pages[1]);
    }
    clsa_area_close(&pages[0]);
}

int clsa_measure_host(const struct clsa_measure_options *options, struct clsa_measurement_set *out,
                      struct clsa_err *err)
{
    struct clsa_measurement_set set = {0}, rest = {0};
    struct clsa_bench b = {.set = &set, .err = err};
    b.threads = options->threads ? options->threads : clsa_host_cores();
    b.repeats = options->repeats ? options->repeats : 15;
    b.repeats = b.repeats > CLSA_BENCH_SAMPLES ? CLSA_BENCH_SAMPLES : b.repeats;
    const uint64_t third = clsa_memory_available_bytes() / 3, most = UINT64_C(4) << 30;
    b.memory_bytes = options->memory_bytes ? options->memory_bytes : third < most ? third : most;
    clsa_rng_seed(&b.rng, 1);
    b.offsets = clsa_malloc(CLSA_BENCH_ROWS + 1024 * (size_t)b.threads, sizeof *b.offsets);
    if (!b.offsets)
        return clsa_bench_out_of_memory(&b);
    struct clsa_bench held = b;
    held.set = &rest;
    measure_everything(&b, options->held_out ? &held : NULL, options);
    free(b.offsets);
    if (b.status) {
        clsa_measurement_destroy(&set);
        clsa_measurement_destroy(&rest);
        return b.status;
    }
    *out = set;
    if (options->held_out)
        *options->held_out = rest;
    return CLSA_OK;
}
