/* What is in a trace, in a few lines: `clsa trace info`. */
#ifndef CLSA_TRACES_INFO_H
#define CLSA_TRACES_INFO_H

#include <stdio.h>

#include "traces/tool.h"

enum clsa_trace_format { CLSA_TRACE_TABLE, CLSA_TRACE_CSV, CLSA_TRACE_JSON };

struct clsa_trace_totals {
    uint64_t steps, prefill_steps;
    uint64_t rows, queries;      /* over all steps */
    uint64_t keys_min, keys_max; /* seen by a query; 0 when there is none */
    uint32_t seqs_max, groups_max, group_min, group_max, top_k_max;
    uint64_t index_sets, positions;
    uint64_t tensors, tensor_bytes[CLSA_TENSOR_KINDS]; /* of the largest table */
    uint64_t ops, flops, read_bytes, write_bytes;      /* over all steps, saturating */
    uint64_t op_count[CLSA_OP_KINDS], op_flops[CLSA_OP_KINDS], op_bytes[CLSA_OP_KINDS];
};

/* The tool that adds up steps; `totals` must be zeroed. */
struct clsa_trace_tool clsa_trace_totals_tool(struct clsa_trace_totals *totals);

/* Prints provenance and totals of the trace at `path` as a table, as `key,value` CSV or as one JSON
 * object. Returns 0 or what the reader returns; nothing is printed on failure. */
int clsa_trace_info(const char *path, enum clsa_trace_format format, FILE *out,
                    struct clsa_err *err);

#endif
