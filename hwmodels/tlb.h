/* Address translation: a first-level TLB, a last-level TLB behind it, and page walks, all LRU and
 * exact to the page. Reach is entries * page bytes. */
#ifndef CLSA_HWMODELS_TLB_H
#define CLSA_HWMODELS_TLB_H

#include <stdint.h>

#include "hwmodels/access.h"
#include "hwmodels/machine.h"
#include "sim/base/status.h"

struct clsa_tlb_config {
    uint64_t page_bytes; /* a power of two */
    uint64_t l1_entries; /* fully associative up to 64, then 16-way; 0: no first level */
    uint64_t entries;
    uint32_t ways;
};

struct clsa_tlb_counters {
    uint64_t lookups;
    uint64_t l1_misses; /* of those, not in the first level */
    uint64_t walks;     /* in neither */
};

struct clsa_tlb;

/* The tlb.* parameters of a machine. */
void clsa_tlb_config_of(const struct clsa_machine *machine, struct clsa_tlb_config *out);
/* Empty. Returns 0, CLSA_ERANGE or CLSA_ENOMEM. */
int clsa_tlb_create(const struct clsa_tlb_config *config, struct clsa_tlb **out,
                    struct clsa_err *err);
void clsa_tlb_destroy(struct clsa_tlb *tlb); /* takes NULL */
void clsa_tlb_reset(struct clsa_tlb *tlb);

/* Translates n runs of bytes in order, one lookup for every page that a run touches. A run over
 * many pages is taken in bulk with the same result as page by page. */
void clsa_tlb_access(struct clsa_tlb *tlb, const struct clsa_byte_run *runs, size_t n);

const struct clsa_tlb_counters *clsa_tlb_counts(const struct clsa_tlb *tlb);
uint64_t clsa_tlb_reach_bytes(const struct clsa_tlb *tlb);
uint64_t clsa_tlb_digest(const struct clsa_tlb *tlb);

/* Seconds that translation adds to `counters`' lookups when they come one after another: a
 * first-level miss costs tlb.l2_latency cycles at `clock`, a walk tlb.walk * tlb.nested. */
double clsa_tlb_seconds(const struct clsa_machine *machine, double clock,
                        const struct clsa_tlb_counters *counters);

#endif
