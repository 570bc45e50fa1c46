/* The plan of a step: which ops run, in which order, on which operands.
 *
 * This is the one place that knows what a layer is made of. The engine executes a plan, the shape-only
 * generator writes it into a trace, replay and closed form price it, reports sum it. */
#ifndef CLSA_MODEL_PLAN_H
#define CLSA_MODEL_PLAN_H

#include "sim/base/op.h"
#include "sim/model/geometry.h"

struct clsa_plan_request {
    enum clsa_phase phase;
    uint32_t n_seqs;
    uint64_t new_tokens;  /* rows a sequence; 1 in decode */
    const uint64_t *past; /* n_seqs entries: tokens in the cache before the step */
    uint64_t capacity;    /* token rows a sequence that the caches are laid out for; 0: just enough */
    uint32_t group;       /* 0 dense; else must divide the cross layers evenly or be the number of them */
    uint32_t top_k;       /* 0: the model's own */
    bool per_layer_kv;
    unsigned kv_dtype, index_dtype, activation_dtype; /* enum clsa_dtype */
    const struct clsa_query *queries; /* NULL: the last new token of each sequence */
    uint32_t n_queries;
    uint32_t tensor_parallel; /* ranks; 0 or 1: none */
};

/* Fills a request with what decode at one context for all sequences means: every query sees `context`
 * keys, its own included (past = context - 1). `past` must hold n_seqs entries and is written. */
void clsa_plan_decode(const struct clsa_geometry *g, uint32_t n_seqs, uint64_t context,
                      uint32_t group, uint64_t *past, struct clsa_plan_request *out);

/* Builds the step. *out owns everything it points to; release with clsa_plan_destroy. Tensors are laid
 * out once, so plans of one geometry, capacity, batch and dtypes give the same addresses for weights
 * and caches whatever the phase or group.
 * Returns 0, CLSA_EUSAGE (a group that does not fit), CLSA_ERANGE (sizes beyond 2^63), CLSA_ENOMEM. */
int clsa_plan_build(const struct clsa_geometry *g, const struct clsa_plan_request *request,
                    struct clsa_step *out, struct clsa_err *err);
void clsa_plan_destroy(struct clsa_step *plan);

#endif
