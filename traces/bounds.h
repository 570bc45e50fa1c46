/* What every step of a trace obeys before anyone may index with its numbers.
 *
 * A writer refuses to write a step that fails this, a reader refuses to yield one. The rules keep
 * consumers inside their arrays and their sums inside 64 bits; sense is checked by validate.h. */
#ifndef CLSA_TRACES_BOUNDS_H
#define CLSA_TRACES_BOUNDS_H

#include "sim/base/status.h"
#include "traces/format.h"

/* Largest m, n, k, window and rows of any kind; largest heads and head sizes; largest address, byte
 * and flop count. Positions are 32 bits wide, so past + new_tokens is at most 2^32. */
#define CLSA_TRACE_EXTENT_MAX (UINT64_C(1) << 40)
#define CLSA_TRACE_HEADS_MAX (UINT32_C(1) << 20)
#define CLSA_TRACE_BYTES_MAX (UINT64_C(1) << 62)
#define CLSA_TRACE_KEYS_MAX (UINT64_C(1) << 32)
#define CLSA_TRACE_SETS_MAX (UINT32_C(1) << 16)

/* Rules: enums known; at least one sequence and one new token, n_seqs * new_tokens and past +
 * new_tokens at most 2^32; query.seq < n_seqs, 1 <= query.keys <= past + new_tokens of its
 * sequence; operand.tensor < n_tensors, n_operands <= CLSA_OP_OPERANDS; n_sets at most 2^16; op.set
 * -1 or below n_sets; tensors end at or below 2^62; index sets ascend by (set, query), within
 * n_sets and n_queries, not empty, positions strictly ascending and below keys. Returns 0 or
 * CLSA_ERANGE with a message that names the record ("op 12 (gemm_q): ..."). */
int clsa_trace_bounds(const struct clsa_trace_step *step, struct clsa_err *err);

#endif
