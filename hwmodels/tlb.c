#include "hwmodels/tlb.h"

#include <stdlib.h>

#include "hwmodels/cache.h"
#include "sim/base/alloc.h"

/* A TLB is a cache whose lines are pages; the line size is of no account. */
#define PAGE_LINE 64
#define BATCH 256
#define FULL_WAYS 64
#define L1_WAYS 16

struct clsa_tlb {
    struct clsa_tlb_config config;
    struct clsa_tlb_counters counters;
    unsigned page_bits;
    struct clsa_cache *l1, *last;
    struct clsa_cache_sink from_l1, from_last;
};

void clsa_tlb_config_of(const struct clsa_machine *machine, struct clsa_tlb_config *out)
{
    *out = (struct clsa_tlb_config){.page_bytes = (uint64_t)machine->tlb_page,
                                    .l1_entries = (uint64_t)machine->tlb_l1_entries,
                                    .entries = (uint64_t)machine->tlb_entries,
                                    .ways = (uint32_t)machine->tlb_ways};
}

static int level(uint64_t entries, uint32_t ways, struct clsa_cache **cache,
                 struct clsa_cache_sink *sink, struct clsa_err *err)
{
    const struct clsa_cache_config config = {.size_bytes = entries * PAGE_LINE,
                                             .line_bytes = PAGE_LINE,
                                             .sector_bytes = PAGE_LINE,
                                             .ways = ways};
    const int status = clsa_cache_create(&config, cache, err);
    return status ? status : clsa_cache_sink_create(entries, BATCH, sink, err);
}

int clsa_tlb_create(const struct clsa_tlb_config *config, struct clsa_tlb **out,
                    struct clsa_err *err)
{
    const uint64_t page = config->page_bytes;
    if (page == 0 || (page & (page - 1)))
        return clsa_fail(err, CLSA_ERANGE, "page of %llu B: a power of two is needed",
                         (unsigned long long)page);
    if (!config->ways || config->entries < config->ways || config->entries > UINT64_C(1) << 30 ||
        config->l1_entries > UINT64_C(1) << 30)
        return clsa_fail(err, CLSA_ERANGE, "TLB of %llu entries in %u ways",
                         (unsigned long long)config->entries, config->ways);
    struct clsa_tlb *t = clsa_calloc(1, sizeof *t);
    if (!t)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for a TLB");
    t->config = *config;
    t->page_bits = (unsigned)__builtin_ctzll(page);
    int status = level(config->entries, config->ways, &t->last, &t->from_last, err);
    if (!status && config->l1_entries)
        status = level(config->l1_entries,
                       config->l1_entries <= FULL_WAYS ? (uint32_t)config->l1_entries : L1_WAYS,
                       &t->l1, &t->from_l1, err);
    if (status) {
        clsa_tlb_destroy(t);
        return status;
    }
    *out = t;
    return 0;
}

void clsa_tlb_destroy(struct clsa_tlb *tlb)
{
    if (!tlb)
        return;
    clsa_cache_destroy(tlb->l1);
    clsa_cache_destroy(tlb->last);
    clsa_cache_sink_destroy(&tlb->from_l1);
    clsa_cache_sink_destroy(&tlb->from_last);
    free(tlb);
}

void clsa_tlb_reset(struct clsa_tlb *tlb)
{
    if (tlb->l1)
        clsa_cache_reset(tlb->l1);
    clsa_cache_reset(tlb->last);
    tlb->counters = (struct clsa_tlb_counters){0};
}

/* Pages that the first level missed go to the last one, in order. */
static void last_level(struct clsa_tlb *t, const struct clsa_line_run *runs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        t->counters.l1_misses += runs[i].count;
        clsa_cache_stream(t->last, runs[i].line, runs[i].count, false, &t->from_last);
        for (size_t w = 0; w < t->from_last.n_fetch; w++)
            t->counters.walks += t->from_last.fetch[w].count;
        t->from_last.n_fetch = 0;
    }
}

static void look_up(struct clsa_tlb *t, const struct clsa_line_request *pages, size_t n)
{
    t->counters.lookups += n;
    if (t->l1) {
        clsa_cache_access(t->l1, pages, n, false, &t->from_l1);
        last_level(t, t->from_l1.fetch, t->from_l1.n_fetch);
        t->from_l1.n_fetch = 0;
        return;
    }
    clsa_cache_access(t->last, pages, n, false, &t->from_last);
    t->counters.l1_misses += n;
    for (size_t w = 0; w < t->from_last.n_fetch; w++)
        t->counters.walks += t->from_last.fetch[w].count;
    t->from_last.n_fetch = 0;
}

void clsa_tlb_access(struct clsa_tlb *t, const struct clsa_byte_run *runs, size_t n)
{
    struct clsa_line_request batch[BATCH];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!runs[i].bytes)
            continue;
        const uint64_t first = runs[i].address >> t->page_bits;
        const uint64_t last = (runs[i].address + runs[i].bytes - 1) >> t->page_bits;
        if (last - first >= BATCH) {
            const struct clsa_line_run run = {first, last - first + 1, 1};
            look_up(t, batch, k);
            k = 0;
            t->counters.lookups += run.count;
            if (t->l1) {
                clsa_cache_stream(t->l1, run.line, run.count, false, &t->from_l1);
                last_level(t, t->from_l1.fetch, t->from_l1.n_fetch);
                t->from_l1.n_fetch = 0;
            } else {
                last_level(t, &run, 1);
            }
            continue;
        }
        for (uint64_t page = first; page <= last; page++) {
            batch[k++] = (struct clsa_line_request){page, 1};
            if (k == BATCH) {
                look_up(t, batch, k);
                k = 0;
            }
        }
    }
    look_up(t, batch, k);
}

const struct clsa_tlb_counters *clsa_tlb_counts(const struct clsa_tlb *tlb)
{
    return &tlb->counters;
}

uint64_t clsa_tlb_reach_bytes(const struct clsa_tlb *tlb)
{
    return tlb->config.entries << tlb->page_bits;
}

uint64_t clsa_tlb_digest(const struct clsa_tlb *tlb)
{
    return clsa_cache_digest(tlb->last) ^ (tlb->l1 ? clsa_cache_digest(tlb->l1) << 1 : 0);
}

double clsa_tlb_seconds(const struct clsa_machine *machine, double clock,
                        const struct clsa_tlb_counters *counters)
{
    return (double)counters->l1_misses * machine->tlb_l2_latency / clock +
           (double)counters->walks * machine->tlb_walk * machine->tlb_nested;
}
