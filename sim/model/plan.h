/* The plan of a step: which ops run, in which order, on which operands.
 *
 * This is the one place that knows what a layer is made of. The engine executes a plan, the
 * shape-only generator writes it into a trace, replay and closed form price it, reports sum it. */
#ifndef CLSA_MODEL_PLAN_H
#define CLSA_MODEL_PLAN_H

/* Operands come in this order, per kind (r: read, w: written):
 *   embed        r ids (the embedding only), r table, w rows
 *   norm         r x, r weight, w y
 *   gemm         r x, r W, w y
 *   head_norm    r x, r q_norm if there are query heads, r k_norm if there are key heads, w x
 *   rope         r x, r cos and sin, w x
 *   kv_append    r rows, w cache
 *   attn_*       r q, r K, r V, [r selected positions,] w out
 *   index_score  r index query, r index keys, [r head weights,] w scores
 *   topk         r scores, w positions
 *   silu         r [gate, up], w y
 *   add          r x, r y, w x
 *   all_reduce   r y, w y
 * n and k: embed, norm, add, silu, all_reduce have n values a row; gemm is [m,n] = [m,k] W[n,k]^T;
 * head_norm, rope: n = heads * head_dim; kv_append: n values a row in kv_heads planes of head_dim;
 * attn_*: n = k = heads * head_dim; index_score: n = the most keys of any query, k = head_dim;
 * topk: n likewise.
 * An operand with a head stride has kv_heads rows (planes, K/V heads) where it says one.
 * Cache rows of K and V are interleaved: [2, kv_heads, head_dim] a token. */
#include "sim/base/op.h"
#include "sim/model/geometry.h"

struct clsa_plan_request {
    enum clsa_phase phase;
    uint32_t n_seqs;
    uint64_t new_tokens;  /* rows a sequence; 1 in decode */
    const uint64_t *past; /* n_seqs entries: tokens in the cache before the step */
    uint64_t capacity;    /* token rows a sequence in the caches' layout; 0: just enough */
    uint32_t group;       /* 0 dense; else divides the cross layers */
    uint32_t top_k;       /* 0: the model's own */
    bool per_layer_kv;
    unsigned kv_dtype, index_dtype, activation_dtype; /* enum clsa_dtype */
    const struct clsa_query *queries; /* NULL: the last new token of each sequence */
    uint32_t n_queries;
    uint32_t tensor_parallel; /* ranks; 0 or 1: none */
    /* A step may work on some of the sequences that the caches hold: slots first_seq .. first_seq +
     * n_seqs - 1 of cache_seqs (0: just n_seqs). Operands' offsets lead to slot first_seq. */
    uint32_t cache_seqs, first_seq;
};

/* Fills a request with what decode at one context for all sequences means: every query sees
 * `context` keys, its own included (past = context - 1). `past` must hold n_seqs entries and is
 * written. */
void clsa_plan_decode(const struct clsa_geometry *g, uint32_t n_seqs, uint64_t context,
                      uint32_t group, uint64_t *past, struct clsa_plan_request *out);

/* Builds the step. *out owns everything it points to; release with clsa_plan_destroy. Tensors are
 * laid out once, so plans of one geometry, capacity, batch and dtypes give the same addresses for
 * weights and caches whatever the phase or group.
 * Returns 0, CLSA_EUSAGE (a group that does not fit), CLSA_ERANGE (sizes beyond 2^63), CLSA_ENOMEM.
 * */
int clsa_plan_build(const struct clsa_geometry *g, const struct clsa_plan_request *request,
                    struct clsa_step *out, struct clsa_err *err);
void clsa_plan_destroy(struct clsa_step *plan);

#endif
