/* The closed form: prices a step on a machine without walking a trace, and the result struct that
 * replay shares.
 *
 * What memory answers comes from reuse distances: an operand's bytes are found in L2 as far as the
 * bytes that passed since its last use leave it there. A step is taken to follow an equal step, as
 * in decode. */
#ifndef CLSA_REPLAY_CLOSED_H
#define CLSA_REPLAY_CLOSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hwmodels/gpu.h"
#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/op.h"

enum clsa_part { CLSA_PART_ATTENTION, CLSA_PART_INDEX, CLSA_PART_OTHER, CLSA_PARTS };

struct clsa_op_prediction {
    uint64_t ps, ps_lo, ps_hi; /* 80 % interval */
    uint32_t launches;
    uint8_t part;              /* enum clsa_part */
    uint8_t bound;             /* enum clsa_gpu_bound of its longest kernel; CPU: DRAM or VECTOR */
    uint64_t l1_bytes, l2_bytes, dram_bytes; /* that passed each level, l1 >= l2 >= dram */
};

struct clsa_prediction {
    uint64_t step_ps, step_ps_lo, step_ps_hi; /* sum over ops and between them; 80 % interval */
    uint64_t part_ps[CLSA_PARTS];             /* adds up to step_ps */
    uint64_t launches;
    uint64_t l1_bytes, l2_bytes, dram_bytes;
    size_t n_ops;
    struct clsa_op_prediction *ops; /* in plan order; owned */
};

struct clsa_closed_request {
    const struct clsa_step *step;
    const struct clsa_machine *machine;
    const struct clsa_implementation *impl;
    bool cold;    /* caches empty before the step, instead of left by an equal step */
    uint32_t variants; /* equal steps until the same selections and weights come again; 0: 1 */
    bool no_host; /* kernels timed by themselves: the host does not hold them up */
    bool no_ops;  /* leave prediction.ops NULL: totals only, for sweeps */
    uint32_t threads; /* CPU: threads used; 0: all cores */
};

/* Prices a step. *out is overwritten; release with clsa_prediction_destroy.
 * Returns 0, CLSA_EUNSUPPORTED (the implementation has no kernel for an op), CLSA_ENOMEM. */
int clsa_closed_predict(const struct clsa_closed_request *request, struct clsa_prediction *out,
                        struct clsa_err *err);
/* Takes NULL and zeroed structs. */
void clsa_prediction_destroy(struct clsa_prediction *prediction);

/* What memory answers one launch of a kernel whose streams find the part found[i] of their distinct
 * bytes in L2 and, of those that miss, the part held[i] in a memory-side cache (NULL: none). */
void clsa_closed_service(const struct clsa_machine *machine, const struct clsa_gpu_kernel *k,
                         const double *found, const double *held, struct clsa_gpu_service *out);

/* Which part of a step's time an op counts in: attention (window, dense, sparse, and nothing else),
 * index (scores, top-k, and every op whose role is the indexer's), other. */
enum clsa_part clsa_op_part(const struct clsa_op *op);

#endif
