/* Replay: prices the steps of a trace on a machine from exact cache, TLB and DRAM state.
 *
 * Every op is mapped to kernels by the same mapping as the closed form (sim/replay/map.h,
 * map_cpu.h). The rows that a kernel's streams touch go through the machine's memory
 * (hwmodels/hierarchy.h): on a GPU wave by wave, each wave with its share of every stream; on a CPU
 * dealt to the cores. Gathers go row by row from the index sets, consecutive rows in bulk. What the
 * levels answered is the memory service of the kernel's timing core (hwmodels/gpu.h, cpu.h), so
 * both predictors give one struct and differ in memory alone. State is kept from kernel to kernel,
 * op to op and step to step. */
#ifndef CLSA_REPLAY_REPLAY_H
#define CLSA_REPLAY_REPLAY_H

#include "hwmodels/gpu.h"
#include "hwmodels/hierarchy.h"
#include "hwmodels/implementation.h"
#include "sim/replay/closed.h"
#include "traces/format.h"

/* What memory saw of one op, exact integers. */
struct clsa_replay_counts {
    uint64_t lookups;           /* lines, in the first simulated level */
    uint64_t l1_bytes;          /* asked by the kernels, passes and re-reads included */
    uint64_t l2_bytes;          /* asked of L2 */
    uint64_t cache_hit_bytes;   /* reads that some cache from L2 on answered */
    uint64_t dram_read_bytes, dram_write_bytes;
    uint64_t dram_bursts, dram_row_hits; /* bursts that found their row open */
    uint64_t tlb_lookups, tlb_walks;
};

/* One kernel as it ran, for whoever listens. Texts are static; op_index counts within the step. */
struct clsa_replay_kernel {
    uint64_t step;
    size_t op_index;
    const struct clsa_op *op;
    const char *name;
    uint32_t repeat;
    uint64_t start_ps, ps; /* from the end of the kernel before; launch gap included in ps */
    uint64_t gap_ps;
    uint8_t bound;         /* enum clsa_gpu_bound */
    uint64_t l2_bytes, dram_bytes;
};

struct clsa_replay_request {
    const struct clsa_machine *machine;     /* both borrowed for the life of the replay */
    const struct clsa_implementation *impl;
    uint32_t threads; /* CPU: threads used; 0: all cores */
    /* Called after every kernel; NULL: nobody listens. Not 0 ends the replay with that status. */
    int (*kernel)(void *user, const struct clsa_replay_kernel *kernel);
    void *user;
};

struct clsa_replay;

/* Cold memory. Returns 0, CLSA_ERANGE (a machine that cannot be simulated) or CLSA_ENOMEM. */
int clsa_replay_create(const struct clsa_replay_request *request, struct clsa_replay **out,
                       struct clsa_err *err);
void clsa_replay_destroy(struct clsa_replay *replay); /* takes NULL */

/* Runs a step. `trace` must have the index sets that its sparse ops read. *out is overwritten;
 * release it with clsa_prediction_destroy. NULL: memory moves on, nothing is priced or told to the
 * listener. Returns 0, CLSA_EMISMATCH (the step breaks a rule of traces/validate.h), CLSA_ERANGE
 * (addresses that the caches' tags cannot hold), CLSA_EUNSUPPORTED (the implementation has no
 * kernel for an op), CLSA_ENOMEM, or what the listener returned. */
int clsa_replay_step(struct clsa_replay *replay, const struct clsa_trace_step *trace,
                     struct clsa_prediction *out, struct clsa_err *err);
/* Counts of the last step's ops, n_ops of them; NULL before the first step. */
const struct clsa_replay_counts *clsa_replay_counts(const struct clsa_replay *replay);
/* A number made of the state of memory. */
uint64_t clsa_replay_digest(const struct clsa_replay *replay);

#endif
