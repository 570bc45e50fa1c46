#include "hwmodels/hierarchy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/cache.h"
#include "sim/base/alloc.h"

/* Lines looked up in one batch: enough to hide the host's own cache misses, few enough to stay in
 * its L1 and L2. */
#define BATCH 4096
/* Lines from which a run goes to the cache as a stream, and bytes from which one goes to DRAM
 * so. */
#define STREAM_LINES 2048
#define STREAM_BYTES (UINT64_C(1) << 18)

struct level {
    uint32_t instances, cores_each;
    struct clsa_cache **caches;
    uint32_t line_bytes, sector_bytes;
    unsigned line_bits, sector_bits;
    uint32_t all_sectors;
    struct clsa_line_request *batch;
    size_t n_batch;
    struct clsa_cache_sink sink;
};

struct clsa_hierarchy {
    uint32_t cores, n_levels;
    struct level levels[CLSA_LEVELS_MAX];
    struct clsa_tlb **tlbs;
    struct clsa_dram *dram;
    struct clsa_traffic traffic;      /* what caches and DRAM do not count themselves */
    struct clsa_tlb_counters tlb_was; /* at the last take, over all TLBs */
    struct clsa_dram_counters dram_was;
};

/* ---- making ---- */

static int add_level(struct clsa_hierarchy *h, const struct clsa_cache_config *config,
                     uint32_t instances, uint32_t cores_each, const char *name,
                     struct clsa_err *err)
{
    struct level *l = &h->levels[h->n_levels++];
    l->caches = clsa_calloc(instances, sizeof *l->caches);
    l->batch = clsa_malloc(BATCH, sizeof *l->batch);
    if (!l->caches || !l->batch)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for %u caches", instances);
    l->instances = instances;
    l->cores_each = cores_each;
    l->line_bytes = config->line_bytes;
    l->sector_bytes = config->sector_bytes;
    for (uint32_t i = 0; i < instances; i++) {
        const int status = clsa_cache_create(config, &l->caches[i], err);
        if (status)
            return clsa_fail_prefix(err, status, name);
    }
    l->line_bits = (unsigned)__builtin_ctz(config->line_bytes);
    l->sector_bits = (unsigned)__builtin_ctz(config->sector_bytes);
    l->all_sectors = (1u << (config->line_bytes / config->sector_bytes)) - 1;
    return clsa_cache_sink_create(config->size_bytes / config->line_bytes, BATCH, &l->sink, err);
}

/* A size of whole sets; hashing wants many lines in a block of sets, so the count is rounded down
 * to a multiple of 256 where that costs less than 2 %. */
static uint64_t whole_sets(double bytes, uint32_t line, uint32_t ways)
{
    uint64_t sets = (uint64_t)(bytes / ((double)line * ways));
    if (sets >= 256 * 50)
        sets -= sets % 256;
    return sets * line * ways;
}

static int gpu_levels(struct clsa_hierarchy *h, const struct clsa_machine *m, struct clsa_err *err)
{
    const uint32_t line = (uint32_t)m->l2_line;
    struct clsa_cache_config config = {
        .size_bytes =
            whole_sets(m->l2_size / (2 - 1 / m->l2_partitions), line, (uint32_t)m->l2_ways),
        .line_bytes = line,
        .sector_bytes = m->l2_sector > 0 ? (uint32_t)m->l2_sector : line,
        .ways = (uint32_t)m->l2_ways,
        .hashed = true};
    int status = add_level(h, &config, 1, 1, "l2", err);
    if (!status && m->l3_size > 0) {
        config.size_bytes = whole_sets(m->l3_size, line, (uint32_t)m->l3_ways);
        config.ways = (uint32_t)m->l3_ways;
        status = add_level(h, &config, 1, 1, "l3", err);
    }
    return status;
}

static int cpu_levels(struct clsa_hierarchy *h, const struct clsa_machine *m, struct clsa_err *err)
{
    const uint32_t line = (uint32_t)m->l2_line;
    struct clsa_cache_config config = {.line_bytes = m->l1_line > 0 ? (uint32_t)m->l1_line : line,
                                       .ways = (uint32_t)m->l1_ways,
                                       .write_fetch = true};
    config.sector_bytes = config.line_bytes;
    config.size_bytes = whole_sets(m->l1_size, config.line_bytes, config.ways);
    int status = add_level(h, &config, h->cores, 1, "l1", err);
    /* what comes from L1 as a write is a whole line */
    config.write_fetch = false;
    config.line_bytes = config.sector_bytes = line;
    config.ways = (uint32_t)m->l2_ways;
    config.size_bytes = whole_sets(m->l2_size, line, config.ways);
    if (!status)
        status = add_level(h, &config, h->cores, 1, "l2", err);
    if (!status && m->l3_size > 0) {
        const uint32_t each = m->l3_cores > 0 ? (uint32_t)m->l3_cores : h->cores;
        config.ways = (uint32_t)m->l3_ways;
        config.size_bytes = whole_sets(m->l3_size, line, config.ways);
        config.hashed = true;
        status = add_level(h, &config, (h->cores + each - 1) / each, each, "l3", err);
    }
    return status;
}

int clsa_hierarchy_create(const struct clsa_machine *machine, uint32_t cores,
                          struct clsa_hierarchy **out, struct clsa_err *err)
{
    const bool gpu = machine->kind == CLSA_MACHINE_GPU;
    struct clsa_hierarchy *h = clsa_calloc(1, sizeof *h);
    if (!h)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for a machine");
    assert(cores >= 1);
    h->cores = gpu ? 1 : cores;
    int status = gpu ? gpu_levels(h, machine, err) : cpu_levels(h, machine, err);
    h->tlbs = clsa_calloc(h->cores, sizeof *h->tlbs);
    if (!status && !h->tlbs)
        status = clsa_fail(err, CLSA_ENOMEM, "no memory for TLBs");
    struct clsa_tlb_config tlb;
    clsa_tlb_config_of(machine, &tlb);
    if (gpu)
        tlb.l1_entries = 0;
    for (uint32_t i = 0; !status && i < h->cores; i++)
        status = clsa_tlb_create(&tlb, &h->tlbs[i], err);
    struct clsa_dram_config dram;
    clsa_dram_config_of(machine, &dram);
    if (!status)
        status = clsa_dram_create(&dram, &h->dram, err);
    if (status) {
        clsa_hierarchy_destroy(h);
        return clsa_fail_prefix(err, status, machine->name);
    }
    *out = h;
    return 0;
}

void clsa_hierarchy_destroy(struct clsa_hierarchy *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; i < h->n_levels; i++) {
        struct level *l = &h->levels[i];
        for (uint32_t c = 0; l->caches && c < l->instances; c++)
            clsa_cache_destroy(l->caches[c]);
        free(l->caches);
        free(l->batch);
        clsa_cache_sink_destroy(&l->sink);
    }
    for (uint32_t i = 0; h->tlbs && i < h->cores; i++)
        clsa_tlb_destroy(h->tlbs[i]);
    free(h->tlbs);
    clsa_dram_destroy(h->dram);
    free(h);
}

void clsa_hierarchy_reset(struct clsa_hierarchy *h)
{
    for (uint32_t i = 0; i < h->n_levels; i++)
        for (uint32_t c = 0; c < h->levels[i].instances; c++)
            clsa_cache_reset(h->levels[i].caches[c]);
    for (uint32_t i = 0; i < h->cores; i++)
        clsa_tlb_reset(h->tlbs[i]);
    clsa_dram_reset(h->dram);
    memset(&h->traffic, 0, sizeof h->traffic);
    memset(&h->tlb_was, 0, sizeof h->tlb_was);
    memset(&h->dram_was, 0, sizeof h->dram_was);
}

uint32_t clsa_hierarchy_levels(const struct clsa_hierarchy *h)
{
    return h->n_levels;
}

uint64_t clsa_hierarchy_reach_bytes(const struct clsa_hierarchy *h)
{
    uint64_t reach = UINT64_MAX;
    for (uint32_t i = 0; i < h->n_levels; i++) {
        const uint64_t r = clsa_cache_reach_bytes(h->levels[i].caches[0]);
        if (r < reach)
            reach = r;
    }
    return reach;
}

/* ---- traffic ---- */

static void enter_level(struct clsa_hierarchy *h, uint32_t level, uint32_t core,
                        const struct clsa_byte_run *run, bool write);
static void flush_batch(struct clsa_hierarchy *h, uint32_t level, uint32_t core, bool write);

/* Runs of lines of one level become runs of bytes of the next one. Masks have one run of sectors or
 * several; each is its own run of bytes. */
static void pass_runs(struct clsa_hierarchy *h, uint32_t level, uint32_t core,
                      const struct clsa_line_run *runs, size_t n, bool write)
{
    const struct level *l = &h->levels[level];
    for (size_t i = 0; i < n; i++) {
        if (runs[i].sectors == l->all_sectors) {
            const struct clsa_byte_run run = {runs[i].line << l->line_bits,
                                              runs[i].count << l->line_bits};
            enter_level(h, level + 1, core, &run, write);
            continue;
        }
        for (uint64_t line = runs[i].line; line < runs[i].line + runs[i].count; line++)
            for (uint32_t mask = runs[i].sectors; mask;) {
                const unsigned first = (unsigned)__builtin_ctz(mask);
                const unsigned length = (unsigned)__builtin_ctz(~(mask >> first));
                const struct clsa_byte_run run = {(line << l->line_bits) +
                                                      ((uint64_t)first << l->sector_bits),
                                                  (uint64_t)length << l->sector_bits};
                enter_level(h, level + 1, core, &run, write);
                mask &= ~(((1u << length) - 1) << first);
            }
    }
    if (level + 1 < h->n_levels)
        flush_batch(h, level + 1, core, write);
}

static void account(struct clsa_hierarchy *h, uint32_t level, uint64_t bytes, bool write)
{
    if (write)
        h->traffic.level[level].write_bytes += bytes;
    else
        h->traffic.level[level].read_bytes += bytes;
}

/* Sends on what the level could not answer. */
static void drain(struct clsa_hierarchy *h, uint32_t level, uint32_t core)
{
    struct level *l = &h->levels[level];
    pass_runs(h, level, core, l->sink.fetch, l->sink.n_fetch, false);
    pass_runs(h, level, core, l->sink.write, l->sink.n_write, true);
    l->sink.n_fetch = l->sink.n_write = 0;
}

static void flush_batch(struct clsa_hierarchy *h, uint32_t level, uint32_t core, bool write)
{
    struct level *l = &h->levels[level];
    if (!l->n_batch)
        return;
    const size_t n = l->n_batch;
    l->n_batch = 0;
    clsa_cache_access(l->caches[core / l->cores_each], l->batch, n, write, &l->sink);
    drain(h, level, core);
}

/* Sectors first .. last of a line, by sector number within the whole address space. */
static uint32_t sector_mask(const struct level *l, uint64_t line, uint64_t first, uint64_t last)
{
    const unsigned per_line = l->line_bits - l->sector_bits;
    const uint64_t start = line << per_line, end = start + (UINT64_C(1) << per_line) - 1;
    const unsigned low = first > start ? (unsigned)(first - start) : 0;
    const unsigned high = (unsigned)((last < end ? last : end) - start);
    return ((2u << high) - 1) & ~((1u << low) - 1);
}

static void queue_line(struct clsa_hierarchy *h, uint32_t level, uint32_t core, uint64_t line,
                       uint32_t sectors, bool write)
{
    struct level *l = &h->levels[level];
    l->batch[l->n_batch++] = (struct clsa_line_request){line, sectors};
    if (l->n_batch == BATCH)
        flush_batch(h, level, core, write);
}

static void enter_dram(struct clsa_hierarchy *h, const struct clsa_byte_run *run, bool write)
{
    if (write)
        h->traffic.dram_write_bytes += run->bytes;
    else
        h->traffic.dram_read_bytes += run->bytes;
    if (run->bytes >= STREAM_BYTES)
        clsa_dram_stream(h->dram, run->address, run->bytes, write);
    else
        clsa_dram_access(h->dram, run->address, run->bytes, write);
}

/* Puts a run into a level's batch, or streams its whole lines when it is long. */
static void enter_level(struct clsa_hierarchy *h, uint32_t level, uint32_t core,
                        const struct clsa_byte_run *run, bool write)
{
    if (level == h->n_levels) {
        enter_dram(h, run, write);
        return;
    }
    struct level *l = &h->levels[level];
    const uint64_t first = run->address >> l->sector_bits;
    const uint64_t last = (run->address + run->bytes - 1) >> l->sector_bits;
    const unsigned per_line = l->line_bits - l->sector_bits;
    uint64_t line = first >> per_line;
    const uint64_t last_line = last >> per_line;
    account(h, level, (last - first + 1) << l->sector_bits, write);
    h->traffic.level[level].lookups += last_line - line + 1;
    if (last_line - line < STREAM_LINES) {
        for (; line <= last_line; line++)
            queue_line(h, level, core, line, sector_mask(l, line, first, last), write);
        return;
    }
    queue_line(h, level, core, line, sector_mask(l, line, first, last), write);
    flush_batch(h, level, core, write);
    clsa_cache_stream(l->caches[core / l->cores_each], line + 1, last_line - line - 1, write,
                      &l->sink);
    drain(h, level, core);
    queue_line(h, level, core, last_line, sector_mask(l, last_line, first, last), write);
}

void clsa_hierarchy_access(struct clsa_hierarchy *h, uint32_t core,
                           const struct clsa_byte_run *runs, size_t n, bool write)
{
    assert(core < h->cores);
    clsa_tlb_access(h->tlbs[core], runs, n);
    for (size_t i = 0; i < n; i++)
        if (runs[i].bytes)
            enter_level(h, 0, core, &runs[i], write);
    flush_batch(h, 0, core, write);
}

void clsa_hierarchy_finish(struct clsa_hierarchy *h)
{
    clsa_dram_finish(h->dram);
}

static struct clsa_tlb_counters tlb_total(const struct clsa_hierarchy *h)
{
    struct clsa_tlb_counters sum = {0};
    for (uint32_t i = 0; i < h->cores; i++) {
        const struct clsa_tlb_counters *n = clsa_tlb_counts(h->tlbs[i]);
        sum.lookups += n->lookups;
        sum.l1_misses += n->l1_misses;
        sum.walks += n->walks;
    }
    return sum;
}

void clsa_hierarchy_take(struct clsa_hierarchy *h, struct clsa_traffic *out)
{
    clsa_dram_finish(h->dram);
    *out = h->traffic;
    for (uint32_t i = 0; i < h->n_levels; i++) {
        /* reads that did not go on to the next level */
        const uint64_t below = i + 1 < h->n_levels ? out->level[i + 1].read_bytes
                                                   : out->dram_read_bytes;
        out->level[i].hit_bytes =
            out->level[i].read_bytes > below ? out->level[i].read_bytes - below : 0;
    }
    const struct clsa_dram_counters *d = clsa_dram_counts(h->dram);
    const struct clsa_dram_config *config = clsa_dram_geometry(h->dram);
    out->dram_bursts = d->bursts - h->dram_was.bursts;
    out->dram_activates = d->activates - h->dram_was.activates;
    out->dram_ps = clsa_dram_service_ps(h->dram);
    out->dram_ideal_ps = (uint64_t)((double)(out->dram_read_bytes + out->dram_write_bytes) * 1e12 /
                                    clsa_dram_peak(config));
    const struct clsa_tlb_counters tlb = tlb_total(h);
    out->tlb.lookups = tlb.lookups - h->tlb_was.lookups;
    out->tlb.l1_misses = tlb.l1_misses - h->tlb_was.l1_misses;
    out->tlb.walks = tlb.walks - h->tlb_was.walks;
    h->tlb_was = tlb;
    h->dram_was = *d;
    memset(&h->traffic, 0, sizeof h->traffic);
}

void clsa_hierarchy_mark(struct clsa_hierarchy *h)
{
    clsa_dram_finish(h->dram);
    clsa_dram_mark(h->dram);
}

uint64_t clsa_hierarchy_digest(const struct clsa_hierarchy *h)
{
    uint64_t sum = clsa_dram_digest(h->dram);
    for (uint32_t i = 0; i < h->n_levels; i++)
        for (uint32_t c = 0; c < h->levels[i].instances; c++)
            sum = sum * UINT64_C(0x9E3779B97F4A7C15) + clsa_cache_digest(h->levels[i].caches[c]);
    for (uint32_t i = 0; i < h->cores; i++)
        sum = sum * UINT64_C(0x9E3779B97F4A7C15) + clsa_tlb_digest(h->tlbs[i]);
    return sum;
}
