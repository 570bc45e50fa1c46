/* The memory of a machine: caches from the first simulated level down to DRAM, and translation
 * beside them. One struct for GPUs and CPUs.
 *
 * GPU: L2 and, where there is one, the memory-side cache (l3.*), shared by all SMs; translation by
 * the last-level TLB alone, which all SMs share. What an SM's own L1 keeps is the caller's
 * business. The L2 of P partitions holds a line once in the part that its DRAM hangs on and once
 * more in the part of an SM that reads it from the other side: with readers on either side alike a
 * line takes 2 - 1/P places, so it is one cache of l2.size / (2 - 1/P). CPU: L1 and L2 of each core
 * in use, an L3 for every l3.cores of them, a TLB a core.
 *
 * Bytes of a level count whole sectors. State stays from call to call. */
#ifndef CLSA_HWMODELS_HIERARCHY_H
#define CLSA_HWMODELS_HIERARCHY_H

#include <stdbool.h>
#include <stdint.h>

#include "hwmodels/access.h"
#include "hwmodels/dram.h"
#include "hwmodels/machine.h"
#include "hwmodels/tlb.h"
#include "sim/base/status.h"

#define CLSA_LEVELS_MAX 3

/* Traffic since the last clsa_hierarchy_take. Level 0 is the first simulated one. */
struct clsa_traffic {
    struct {
        uint64_t lookups; /* lines */
        uint64_t read_bytes, hit_bytes; /* asked of this level by reads; of those, found here */
        uint64_t write_bytes;           /* arrived here as writes */
    } level[CLSA_LEVELS_MAX];
    uint64_t dram_read_bytes, dram_write_bytes; /* left the last cache */
    uint64_t dram_bursts, dram_activates;
    uint64_t dram_ps;       /* service time of the busiest channel since the last mark, no refresh */
    uint64_t dram_ideal_ps; /* those bytes at the pin rate, spread evenly */
    struct clsa_tlb_counters tlb;
};

struct clsa_hierarchy;

/* Empty caches and closed rows. `cores`: CPU cores that will issue accesses (1 .. core.count; a GPU
 * has one issuer). Returns 0, CLSA_ERANGE (the message names what of the machine cannot be) or
 * CLSA_ENOMEM. */
int clsa_hierarchy_create(const struct clsa_machine *machine, uint32_t cores,
                          struct clsa_hierarchy **out, struct clsa_err *err);
void clsa_hierarchy_destroy(struct clsa_hierarchy *h); /* takes NULL */
void clsa_hierarchy_reset(struct clsa_hierarchy *h);

uint32_t clsa_hierarchy_levels(const struct clsa_hierarchy *h);
/* Addresses from here on cannot be looked up. */
uint64_t clsa_hierarchy_reach_bytes(const struct clsa_hierarchy *h);

/* Runs of bytes through all levels, in order, for one core. Runs longer than a batch are taken in
 * bulk; short ones line by line. */
void clsa_hierarchy_access(struct clsa_hierarchy *h, uint32_t core,
                           const struct clsa_byte_run *runs, size_t n, bool write);
/* Serves what DRAM still has queued: the end of a kernel. */
void clsa_hierarchy_finish(struct clsa_hierarchy *h);
/* Finishes, writes the traffic since the last take and starts anew. */
void clsa_hierarchy_take(struct clsa_hierarchy *h, struct clsa_traffic *out);
/* Starts the service times of the channels anew: what one channel has more in one take, another may
 * have in the next, so the busiest one is found over all takes of a kernel. */
void clsa_hierarchy_mark(struct clsa_hierarchy *h);

/* A number made of the state of all caches, TLBs and open rows. */
uint64_t clsa_hierarchy_digest(const struct clsa_hierarchy *h);

#endif
