/* How a family's plan is put together: a growing list of tensors and ops with checked sizes.
 * Private to sim/model (plan.c and the plan_FAMILY.c files).
 *
 * A failure (a size beyond 2^63, no memory, a group that does not fit) is remembered in the builder
 * and every later call does nothing, so that a family's code reads as the list of ops it is.
 * clsa_plan_build looks once, at the end. */
#ifndef CLSA_MODEL_PLAN_BUILD_H
#define CLSA_MODEL_PLAN_BUILD_H

#include "kernels/traffic.h"
#include "sim/model/plan.h"

struct clsa_plan_builder {
    const struct clsa_geometry *g;
    const struct clsa_plan_request *request;
    /* Request with defaults resolved. */
    uint64_t rows;     /* n_seqs * new_tokens */
    uint64_t capacity; /* token rows a sequence */
    uint64_t most_keys; /* largest number of keys that a query sees */
    uint32_t n_queries;
    uint32_t top_k;
    uint32_t ranks;
    uint32_t cache_seqs; /* sequence slots of a cache */
    struct clsa_query *queries;
    uint64_t *past;

    uint64_t cursor; /* next free virtual address */
    struct clsa_tensor *tensors;
    uint32_t n_tensors, tensor_room;
    struct clsa_op *ops;
    size_t n_ops, op_room;
    uint32_t n_sets;

    int status;
    struct clsa_err *err;
};

/* Remembers the first failure. */
void clsa_plan_fail(struct clsa_plan_builder *b, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* a * b, remembering CLSA_ERANGE beyond 2^63. */
uint64_t clsa_plan_mul(struct clsa_plan_builder *b, uint64_t x, uint64_t y);

/* Appends a tensor of `elements` values at the cursor, which moves behind it, 256-byte aligned.
 * Returns its index (0 after a failure). */
uint32_t clsa_plan_tensor(struct clsa_plan_builder *b, enum clsa_tensor_kind kind, unsigned dtype,
                          int32_t layer, uint64_t elements, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Moves the cursor over `bytes` of address space without a tensor: room for what other plans of the
 * same geometry keep there, so that everything behind has the same address in all of them. */
void clsa_plan_reserve(struct clsa_plan_builder *b, uint64_t bytes);

/* Appends an op with every field zero but these, layer as given, set -1. The pointer lives until
 * the next call; after a failure it points to a dummy. */
struct clsa_op *clsa_plan_op(struct clsa_plan_builder *b, enum clsa_op_kind kind,
                             enum clsa_role role, int32_t layer);

/* Appends an operand: rows of row_bytes, row_stride apart, from `offset` into the tensor. The
 * caller sets seq_stride, head_stride and ring_rows on the result where they matter. */
struct clsa_operand *clsa_plan_operand(struct clsa_op *op, uint32_t tensor, enum clsa_access access,
                                       enum clsa_axis axis, uint64_t offset, uint64_t row_bytes,
                                       uint64_t row_stride);

/* read_bytes and write_bytes of every op from its operands: clsa_operand_rows * row_bytes, times
 * kv_heads where the operand has a head stride. Called once by clsa_plan_build. */
void clsa_plan_count_bytes(struct clsa_plan_builder *b, const struct clsa_step *step);

/* The families, one file each: plan_clsa.c, ... */
void clsa_plan_build_clsa(struct clsa_plan_builder *b);
void clsa_plan_build_dsa(struct clsa_plan_builder *b);

#endif
