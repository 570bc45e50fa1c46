/* The engine's state and how it executes one op. Private to sim/engine. */
#ifndef CLSA_ENGINE_EXEC_H
#define CLSA_ENGINE_EXEC_H

#include "sim/engine/engine.h"

struct clsa_exec;

struct clsa_engine {
    struct clsa_model *model;
    const struct clsa_geometry *g;
    const struct clsa_kernels *kernels;
    struct clsa_engine_options options; /* group and top_k as they are now */
    uint64_t *past;                     /* n_seqs lengths */

    /* Memory of tensors: weights belong to the model; window caches lie in one block, index keys and K/V in
     * one each; activations of a step lie in one block in the plan's order. */
    const void **weights; /* by tensor index, for plans of the policy `bound_group` */
    uint32_t bound_group, n_bound;
    struct {
        void *data;
        uint64_t bytes;
    } *caches; /* by cache number, in the plan's order */
    uint32_t n_caches;
    char *block;
    uint64_t block_bytes;

    /* A prefill chunk may be longer than a ring: its attention reads the ring's tail and the
     * chunk's own rows side by side here. */
    char *recent;
    uint64_t recent_bytes;

    int32_t *counts; /* selected positions a query */
    uint64_t counts_room;

    bool retracted; /* what window caches held before the last token is gone */
    const struct clsa_exec *running; /* the step in progress, for observers */

    /* The whole text of a prefill from empty is still in `block`: requery may use it. */
    bool whole;
    uint32_t whole_first, whole_seqs;
    uint64_t whole_tokens;
};

/* The step being executed, with its tensors found. */
struct clsa_exec {
    struct clsa_engine *e;
    const struct clsa_step *step;
    void **tensors; /* by tensor index */
    struct clsa_err *err;
};

/* Executes op `i`. Returns 0, CLSA_ENOMEM, or what an observer returned. */
int clsa_exec_op(struct clsa_exec *x, size_t i);

/* K and V as the attention op reads them for a sequence of the step, and how many rows lie there:
 * all tokens, what a ring holds (in some order), or the tail of a ring and the chunk behind it. */
struct clsa_attn clsa_exec_attn(const struct clsa_exec *x, const struct clsa_op *op, uint32_t seq,
                                uint64_t *rows_held);

/* Grows *block to at least `bytes` (contents kept). Returns 0 or CLSA_ENOMEM. */
int clsa_exec_grow(char **block, uint64_t *have, uint64_t bytes);

#endif
