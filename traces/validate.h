/* Does a trace make sense? The reader has seen to it that a trace is whole and safe to index with
 * (traces/bounds.h); this holds it against what a step is. Every test trace goes through it.
 *
 * Rules, each named in what it prints:
 *   tensor-empty     a tensor has a name that no other of the table has; weights and caches have
 *                    bytes
 *   tensor-align     its address is a multiple of 256, not 0
 *   tensor-overlap   no two tensors share an address
 *   tensor-moved     weights and caches keep their address from step to step (index keys may change
 *                    their size with the group)
 *   phase            decode brings one token a sequence; queries see one of the new tokens
 *   group            a step with queries makes selections exactly when layers share an index; then it
 *                    has a top-k
 *   rows             an op works on the rows of its step (grouped expert products, and the
 *                    activation between two of them, may have more)
 *   shape            a product has a weight of its dtype and size; attention has heads that divide
 *   axis             selected rows need an index set, table rows a table, new rows a cache
 *   extent           every operand stays inside its tensor
 *   access           weights are never written; every op writes something
 *   bytes            read_bytes and write_bytes are what the operands add up to
 *   flops            flops lie between what the shape needs and a few more a value
 *   set-order        a selection is made before it is used, once
 *   set-missing      every (query, group) whose top-k ran has an index set
 *   set-count        an index set holds min(top_k, keys) positions */
#ifndef CLSA_TRACES_VALIDATE_H
#define CLSA_TRACES_VALIDATE_H

#include <stdio.h>

#include "traces/tool.h"

struct clsa_trace_validator;

/* Findings go to `out` (borrowed; NULL: none), one line each, at most `limit` lines; all are
 * counted. NULL when out of memory. */
struct clsa_trace_validator *clsa_trace_validator_create(FILE *out, size_t limit);
void clsa_trace_validator_destroy(struct clsa_trace_validator *validator);

/* Finds every broken rule of one step. Returns 0 whatever it finds, or CLSA_ENOMEM. */
int clsa_trace_validator_step(struct clsa_trace_validator *validator,
                              const struct clsa_trace_step *step, struct clsa_err *err);
uint64_t clsa_trace_validator_findings(const struct clsa_trace_validator *validator);
uint64_t clsa_trace_validator_steps(const struct clsa_trace_validator *validator);

/* The validator as a tool; its finish returns CLSA_EMISMATCH when anything was found. */
struct clsa_trace_tool clsa_trace_validator_tool(struct clsa_trace_validator *validator);

/* `clsa trace validate PATH`: prints findings and a last line "PATH: N steps, M findings".
 * Returns 0, CLSA_EMISMATCH, or what the reader returns. */
int clsa_trace_validate(const char *path, FILE *out, struct clsa_err *err);

/* One step held against the rules, for who is about to use it: 0, or CLSA_EMISMATCH with the first
 * broken rule as the message, or CLSA_ENOMEM. */
int clsa_trace_check_step(const struct clsa_trace_step *step, struct clsa_err *err);

#endif
